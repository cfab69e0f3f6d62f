//! Bodies: every line as it was, except those of SDP that the edge must write itself.

use super::{Judge, Stand, Way};
use lab::strict::SipMessage;

/// Compares the bodies of a pair.
pub(super) fn lines(stand: &Stand, sent: &SipMessage, judge: &mut Judge<'_>) {
    let (before, after) = (text(&sent.body), text(&judge.got.body));
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    if before.len() != after.len() {
        judge.say(&format!("{} lines of body became {}:\n{}", before.len(), after.len(), before.join("\n")));
        return;
    }
    let host = match judge.way {
        Way::Core => &stand.edge_core,
        Way::Ue => &stand.access,
    };
    let mut sdp = Description::default();
    for (before, after) in before.into_iter().zip(after) {
        sdp.enter(before);
        let holds = match sdp.inside {
            true => sdp.line(before, after, host),
            // The length of a part whose SDP was rewritten.
            false => before == after || (before.starts_with("Content-Length") && is_length(after)),
        };
        judge.expect(holds, || format!("{before:?} became {after:?}"));
    }
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

fn is_length(line: &str) -> bool {
    line.strip_prefix("Content-Length:").is_some_and(|n| n.trim().parse::<usize>().is_ok())
}

/// Where in a session description we are.
#[derive(Debug, Default)]
struct Description {
    inside: bool,
    /// The port of the m= line above, as the edge wrote it.
    port: String,
}

impl Description {
    fn enter(&mut self, line: &str) {
        if line == "v=0" {
            self.inside = true;
        } else if line.starts_with("--") || line.is_empty() {
            self.inside = false;
        }
    }

    /// One line of a session description: R65 to R69.
    fn line(&mut self, before: &str, after: &str, host: &str) -> bool {
        let kind = before.split_inclusive(['=', ':']).next().unwrap_or_default();
        match kind {
            "o=" => origin(before, after, host),
            "c=" => after == format!("c=IN IP4 {host}"),
            "s=" => after.starts_with("s=") && after.len() > 2,
            "m=" => self.media(before, after),
            "a=" if before.starts_with("a=path:") => self.path(before, after, host),
            "a=" if before.starts_with("a=setup:") => {
                matches!(after, "a=setup:active" | "a=setup:passive" | "a=setup:actpass")
            }
            "a=" if before.starts_with("a=rtcp:") => after.starts_with("a=rtcp:"),
            _ => before == after,
        }
    }

    /// R69: only the port is the edge's, and 0 stays 0.
    fn media(&mut self, before: &str, after: &str) -> bool {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (mut before, mut after) = (words(before), words(after));
        if before.len() < 4 || before.len() != after.len() {
            return false;
        }
        let (was, is) = (before.remove(1), after.remove(1));
        let closed = |port: &str| port == "0";
        self.port.clone_from(&is);
        before == after && closed(&was) == closed(&is) && is.parse::<u16>().is_ok()
    }

    /// R66: host and port are the edge's, the session stays.
    fn path(&self, before: &str, after: &str, host: &str) -> bool {
        let session = before.rsplit_once('/').map_or("", |(_, session)| session);
        after == format!("a=path:msrp://{host}:{}/{session}", self.port)
    }
}

/// R65: session id and version stay, no user, the address is the edge's.
fn origin(before: &str, after: &str, host: &str) -> bool {
    let words: Vec<&str> = before.split(' ').collect();
    let [_, id, version, ..] = words[..] else {
        return false;
    };
    after == format!("o=- {id} {version} IN IP4 {host}")
}
