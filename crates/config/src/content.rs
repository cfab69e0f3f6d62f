//! `[[content_policies]]`: what may be sent in MSRP sessions.

use crate::read::{Reader, section, words};
use crate::sections::Config;

section! {
    /// `[[content_policies]]`: what one side may send in the sessions of one service. For each side of a session the
    /// first policy that means both counts.
    ContentPolicy {
        /// The sessions it means: an ICSI or IARI as in Accept-Contact or P-Preferred-Service; empty: all.
        service: String = String::new();
        /// Whose messages it means.
        sent_by: Sender = Sender::Any;
        /// Media types that may be sent, `type/*` for all of a type; empty: all. Others get 415.
        types: Vec<String> = Vec::new();
        /// Bytes of one message; more gets 413, and a larger file is refused with its INVITE. 0: as in `[msrp]`.
        message_bytes_max: u64 = 0, 0..=1_099_511_627_776;
        /// Ends of file names that get 403, also with their INVITE.
        suffixes_blocked: Vec<String> = Vec::new();
    }
}

words! {
    /// Whose messages a policy means.
    Sender {
        /// Both sides.
        Any = "any",
        /// UEs.
        Ue = "ue",
        /// The core.
        Core = "core",
    }
}

/// More are a program.
const POLICIES_MAX: usize = 64;

pub(crate) fn check(config: &Config, reader: &mut Reader) {
    let mut fault = |path: &str, message: &str, hint: &str| {
        let error = reader.positions.error(path, message, hint);
        reader.errors.push(error);
    };
    let policies = &config.content_policies;
    if policies.len() > POLICIES_MAX {
        fault("content_policies", "too many content policies", &format!("at most {POLICIES_MAX}"));
    }
    for (i, policy) in policies.iter().enumerate() {
        let path = format!("content_policies[{i}]");
        if !policy.service.bytes().all(|b| b.is_ascii_graphic() && b != b'"') {
            fault(&format!("{path}.service"), "not a feature tag", "as in Accept-Contact, without quotes");
        }
        for (n, name) in policy.types.iter().enumerate() {
            if !is_type(name) {
                fault(&format!("{path}.types[{n}]"), "not a media type", "\"image/jpeg\" or \"image/*\"");
            }
        }
        for (n, suffix) in policy.suffixes_blocked.iter().enumerate() {
            if suffix.is_empty() || !suffix.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'/') {
                fault(&format!("{path}.suffixes_blocked[{n}]"), "not the end of a file name", "\".exe\"");
            }
        }
        let earlier = policies.iter().take(i).position(|p| {
            let covers = p.service.is_empty() || p.service.eq_ignore_ascii_case(&policy.service);
            covers && (p.sent_by == Sender::Any || p.sent_by == policy.sent_by)
        });
        if let Some(earlier) = earlier {
            let message = format!("never used: content_policies[{earlier}] means all that this one means");
            fault(&path, &message, "the first that fits counts: put the special before the general");
        }
    }
}

fn is_type(name: &str) -> bool {
    let word =
        |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b));
    name.split_once('/').is_some_and(|(main, sub)| word(main) && (sub == "*" || word(sub)))
}
