//! What may be sent in a session, by its service: chosen with its INVITE, held against SDP, and ordered of
//! the relay, which holds it against every message.

use config::{ContentPolicy, Sender};
use media::command::ContentRules;
use sdp::{Direction, Media};
use sip::{HeaderId, Message};
use std::sync::Arc;
use wire::bytes_class::trim;
use wire::{Cause, Realm};

/// The policies of the operator, ready for use.
#[derive(Debug, Default)]
pub struct Policies {
    rules: Vec<(Box<[u8]>, Sender, Arc<ContentRules>)>,
}

/// What each side of one session may send, by side; `None` where nothing is asked of it.
pub type Content = [Option<Arc<ContentRules>>; 2];

impl Policies {
    /// Compiles the policies of a configuration.
    #[must_use]
    pub fn new(policies: &[ContentPolicy]) -> Self {
        let lower =
            |names: &[String]| names.iter().map(|n| n.to_ascii_lowercase().into_bytes().into()).collect();
        let rule = |policy: &ContentPolicy| {
            let rules = ContentRules {
                types: lower(&policy.types),
                message_bytes_max: match policy.message_bytes_max {
                    0 => u64::MAX,
                    max => max,
                },
                suffixes_blocked: lower(&policy.suffixes_blocked),
            };
            (plain(policy.service.as_bytes()).into(), policy.sent_by, Arc::new(rules))
        };
        Self { rules: policies.iter().map(rule).collect() }
    }

    /// The rules of the session that this INVITE opens.
    #[must_use]
    pub fn of(&self, invite: Message<'_>) -> Content {
        if self.rules.is_empty() {
            return [None, None];
        }
        let mut services = Vec::new();
        for id in [HeaderId::AcceptContact, HeaderId::PPreferredService, HeaderId::PAssertedService] {
            for field in invite.all(id) {
                services.extend(plain(invite.text(field.value)));
                services.push(b'\n');
            }
        }
        [Sender::Ue, Sender::Core].map(|sender| {
            let fits = |(service, sent_by, _): &&(Box<[u8]>, Sender, Arc<ContentRules>)| {
                (*sent_by == Sender::Any || *sent_by == sender) && names(&services, service)
            };
            self.rules.iter().find(fits).map(|(.., rules)| Arc::clone(rules))
        })
    }
}

/// Holds one medium of `by` against what may be sent in its session.
///
/// # Errors
/// `FileBlocked` (403), `ContentTypeRefused` (415) or `FileTooLarge` (488) for a file that could not be
/// sent; `NoCommonType` (488) if `by` accepts nothing that the other side may send.
pub fn check(media: &Media<'_>, by: Realm, content: &Content) -> Result<(), Cause> {
    let rules = |realm: Realm| content[realm as usize].as_deref();
    if let Some(selector) = media.file_selector() {
        // RFC 5547 §6: who sends is told by the direction; a file is pushed unless it is asked for.
        let sender = match media.direction() {
            Direction::Recvonly => by.other(),
            _ => by,
        };
        if let Some(rules) = rules(sender) {
            check_file(selector.text, rules)?;
        }
    }
    let accepted = || media.accept_types();
    match rules(by.other()) {
        Some(rules) if !rules.types.is_empty() && accepted().next().is_some() => {
            match accepted().any(|accepted| is_common(accepted, rules)) {
                true => Ok(()),
                false => Err(Cause::NoCommonType),
            }
        }
        _ => Ok(()),
    }
}

/// `name:"…" type:… size:… hash:…`, in any order (RFC 5547 §6).
fn check_file(selector: &[u8], rules: &ContentRules) -> Result<(), Cause> {
    if let Some(name) = quoted(selector, b"name:")
        && rules.blocks(&unescaped(name))
    {
        return Err(Cause::FileBlocked);
    }
    // What stands in the name must not pass for a type or a size.
    let rest = match quoted(selector, b"name:") {
        Some(name) => {
            let end = name.as_ptr() as usize + name.len() - selector.as_ptr() as usize;
            selector.get(end..).unwrap_or_default()
        }
        None => selector,
    };
    for word in [rest, selector.split(|&b| b == b'"').next().unwrap_or_default()]
        .into_iter()
        .flat_map(|text| text.split(|&b| b == b' ' || b == b'\t'))
    {
        let word = word.to_ascii_lowercase();
        if let Some(name) = word.strip_prefix(b"type:")
            && !rules.allows(name)
        {
            return Err(Cause::ContentTypeRefused);
        }
        if let Some(size) = word.strip_prefix(b"size:")
            && count(size).is_none_or(|size| size > rules.message_bytes_max)
        {
            return Err(Cause::FileTooLarge);
        }
    }
    Ok(())
}

fn count(digits: &[u8]) -> Option<u64> {
    core::str::from_utf8(digits).ok()?.parse().ok()
}

/// The text in quotes behind `key`, which some write with a blank (R68).
fn quoted<'a>(selector: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let lower = selector.to_ascii_lowercase();
    let at = memchr::memmem::find(&lower, key)? + key.len();
    let rest = trim(selector.get(at..)?).strip_prefix(b"\"")?;
    rest.get(..memchr::memchr(b'"', rest)?)
}

/// `%22` and the like stand for octets (RFC 5547 §6).
fn unescaped(name: &[u8]) -> Vec<u8> {
    let hex = |octet: u8| char::from(octet).to_digit(16).map(|digit| digit as u8);
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, after)) = rest.split_first() {
        match (first, after) {
            (b'%', [high, low, behind @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                out.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                rest = behind;
            }
            _ => {
                out.push(first);
                rest = after;
            }
        }
    }
    out
}

/// Whether something is both accepted by the one side and allowed to the other.
fn is_common(accepted: &[u8], rules: &ContentRules) -> bool {
    let accepted = accepted.to_ascii_lowercase();
    match accepted.strip_suffix(b"*") {
        Some(front) => rules.types.iter().any(|allowed| allowed.starts_with(front)),
        None => rules.allows(&accepted),
    }
}

/// Without case and without `%3A`, as service names stand in Accept-Contact.
fn plain(text: &[u8]) -> Vec<u8> {
    unescaped(text).to_ascii_lowercase()
}

/// Whether `services` has `service` as a whole name; none means any.
fn names(services: &[u8], service: &[u8]) -> bool {
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
    service.is_empty()
        || memchr::memmem::find_iter(services, service).any(|at| {
            let before = at.checked_sub(1).and_then(|at| services.get(at));
            !before.is_some_and(is_name) && !services.get(at + service.len()).is_some_and(is_name)
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn policy(service: &str, sent_by: Sender) -> ContentPolicy {
        ContentPolicy { service: service.to_owned(), sent_by, ..ContentPolicy::default() }
    }

    fn of(policies: &[ContentPolicy], headers: &str) -> Content {
        let text = format!("INVITE sip:a@b SIP/2.0\r\n{headers}Content-Length: 0\r\n\r\n");
        let mut index = sip::Index::default();
        let message = sip::parse(text.as_bytes(), &sip::Limits::default(), &mut index).unwrap();
        Policies::new(policies).of(message)
    }

    const TRANSFER: &str = "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.filetransfer";

    #[test]
    fn the_first_policy_of_the_service_and_the_side_counts() {
        let mut special = policy(TRANSFER, Sender::Ue);
        special.message_bytes_max = 1_000;
        let mut general = policy("", Sender::Any);
        general.message_bytes_max = 50;
        let policies = [special, general];
        let sizes = |headers: &str| of(&policies, headers).map(|rules| rules.unwrap().message_bytes_max);
        let by_tag = "Accept-Contact: *;+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.FileTransfer\"\r\n";
        assert_eq!(sizes(by_tag), [1_000, 50]);
        assert_eq!(sizes(&by_tag.replace("Accept-Contact", "a")), [1_000, 50], "in the compact form");
        assert_eq!(sizes(&format!("P-Preferred-Service: {TRANSFER}\r\n")), [1_000, 50]);
        assert_eq!(sizes(&format!("P-Asserted-Service: {TRANSFER}.large\r\n")), [50, 50], "another service");
        assert_eq!(sizes("Contact: <sip:a@b>;+g.3gpp.icsi-ref=\"x\"\r\n"), [50, 50]);
        assert_eq!(of(&[policy(TRANSFER, Sender::Any)], ""), [None, None]);
    }

    fn held(media: &str, by: Realm, policy: &ContentPolicy) -> Result<(), Cause> {
        let text = format!("v=0\r\nm=message 9 TCP/MSRP *\r\n{media}");
        let sdp = sdp::Sdp::parse(text.as_bytes()).unwrap();
        let policies = Policies::new(core::slice::from_ref(policy));
        let content = policies.rules.first().map(|(.., rules)| Arc::clone(rules));
        let content = match policy.sent_by {
            Sender::Any => [content.clone(), content],
            Sender::Ue => [content, None],
            Sender::Core => [None, content],
        };
        check(&sdp.media().next().unwrap(), by, &content)
    }

    #[test]
    fn files_that_could_not_be_sent_are_refused_with_their_offer() {
        let mut policy = policy("", Sender::Ue);
        policy.types = vec!["image/*".to_owned(), "text/plain".to_owned()];
        policy.message_bytes_max = 1_000;
        policy.suffixes_blocked = vec![".exe".to_owned(), ".js".to_owned()];
        for (selector, expected) in [
            ("name:\"a.jpg\" type:image/jpeg size:1000 hash:sha-1:00", Ok(())),
            ("name: \"a.jpg\" type:Image/JPEG", Ok(())), // R68
            ("name:\"setup.EXE\" type:image/jpeg size:5", Err(Cause::FileBlocked)),
            ("type:image/jpeg size:5 name:\"setup%2Eexe\"", Err(Cause::FileBlocked)),
            ("name:\"a size:9999 type:x/y\" size:1", Ok(())),
            ("name:\"a.jpg\" type:video/mp4 size:5", Err(Cause::ContentTypeRefused)),
            ("type:video/mp4 name:\"a.jpg\"", Err(Cause::ContentTypeRefused)),
            ("name:\"a.jpg\" size:1001", Err(Cause::FileTooLarge)),
            ("name:\"a.jpg\" size:99999999999999999999999", Err(Cause::FileTooLarge)),
            ("name:\"a.jpg", Ok(())),
            ("", Ok(())),
        ] {
            for (direction, by) in [("sendonly", Realm::Access), ("recvonly", Realm::Core)] {
                let media = format!("a={direction}\r\na=file-selector:{selector}\r\n");
                assert_eq!(held(&media, by, &policy), expected, "{selector} {direction}");
            }
            let media = format!("a=sendonly\r\na=file-selector:{selector}\r\n");
            assert_eq!(held(&media, Realm::Core, &policy), Ok(()), "the core may: {selector}");
        }
    }

    #[test]
    fn a_session_in_which_nothing_could_be_said_is_refused() {
        let mut policy = policy("", Sender::Core);
        policy.types = vec!["message/cpim".to_owned(), "image/*".to_owned()];
        for (accepted, expected) in [
            ("message/cpim", Ok(())),
            ("*", Ok(())),
            ("text/* image/*", Ok(())),
            ("text/plain Message/CPIM", Ok(())),
            ("text/plain application/x", Err(Cause::NoCommonType)),
            ("image/png", Ok(())),
        ] {
            let media = format!("a=accept-types:{accepted}\r\n");
            assert_eq!(held(&media, Realm::Access, &policy), expected, "{accepted}");
            assert_eq!(held(&media, Realm::Core, &policy), Ok(()), "the UE may send anything: {accepted}");
        }
        assert_eq!(held("", Realm::Access, &policy), Ok(()), "it does not say");
    }
}
