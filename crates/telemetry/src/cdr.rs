//! Records of what was carried, for billing and for people: one line of JSON each.
//!
//! Fields are only ever added; a reader that meets one it does not know passes over it.

use core::fmt::Write as _;
use core::net::IpAddr;
use wire::Cause;

/// The version of the layout, in each record.
pub const VERSION: u32 = 1;

/// An MSRP session that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Msrp<'a> {
    /// Its id on the shard; reused by later sessions.
    pub session: String,
    /// The Call-ID of its dialog.
    pub call_id: &'a str,
    /// Why it ended.
    pub cause: Cause,
    /// How long it was open, in microseconds.
    pub duration_micros: u64,
    /// From its opening to the end of its first whole message, in microseconds.
    pub first_message_micros: Option<u64>,
    /// Towards the UE.
    pub access: MsrpSide,
    /// Towards the core.
    pub core: MsrpSide,
}

/// One side of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsrpSide {
    /// Who was connected at the end.
    pub peer: Option<IpAddr>,
    /// Bytes that came from there, heads included.
    pub bytes: u64,
    /// Whole messages that came from there.
    pub messages: u64,
}

impl Msrp<'_> {
    /// The record as one JSON object, without a line break.
    #[must_use]
    pub fn json(&self) -> String {
        let mut out = format!("{{\"type\":\"msrp_session\",\"version\":{VERSION},\"session\":");
        string(&self.session, &mut out);
        out.push_str(",\"call_id\":");
        string(self.call_id, &mut out);
        out.push_str(",\"cause\":");
        string(self.cause.label(), &mut out);
        // Writing into a String cannot fail.
        let _ = write!(out, ",\"duration_seconds\":{}", Seconds(self.duration_micros));
        if let Some(micros) = self.first_message_micros {
            let _ = write!(out, ",\"first_message_seconds\":{}", Seconds(micros));
        }
        for (name, side) in [("access", &self.access), ("core", &self.core)] {
            let _ = write!(out, ",\"{name}\":{{");
            if let Some(peer) = side.peer {
                let _ = write!(out, "\"peer\":\"{peer}\",");
            }
            let _ = write!(out, "\"bytes\":{},\"messages\":{}}}", side.bytes, side.messages);
        }
        out.push('}');
        out
    }
}

/// Microseconds, printed as seconds without an error of rounding.
struct Seconds(u64);

impl core::fmt::Display for Seconds {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// A JSON string: what a peer wrote cannot break out of it.
fn string(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            letter if letter < ' ' || letter == '\u{7f}' => {
                let _ = write!(out, "\\u{:04x}", letter as u32);
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_of_json() {
        let side = |peer: &str, bytes, messages| MsrpSide { peer: peer.parse().ok(), bytes, messages };
        let record = Msrp {
            session: "m1.0".to_owned(),
            call_id: "a\"b\\c\n@ue",
            cause: Cause::Bye,
            duration_micros: 61_000_007,
            first_message_micros: Some(20_000),
            access: side("203.0.113.9", 10, 1),
            core: side("", 20, 2),
        };
        assert_eq!(
            record.json(),
            "{\"type\":\"msrp_session\",\"version\":1,\"session\":\"m1.0\",\
             \"call_id\":\"a\\\"b\\\\c\\u000a@ue\",\"cause\":\"bye\",\"duration_seconds\":61.000007,\
             \"first_message_seconds\":0.020000,\
             \"access\":{\"peer\":\"203.0.113.9\",\"bytes\":10,\"messages\":1},\
             \"core\":{\"bytes\":20,\"messages\":2}}"
        );
    }
}
