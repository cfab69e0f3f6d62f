//! Writes SIP messages.

use super::sip::SipMessage;

/// A message under construction: start line and headers in the order they are given.
#[derive(Clone, Debug)]
pub struct SipWriter(String);

impl SipWriter {
    /// Starts a request.
    #[must_use]
    pub fn request(method: &str, uri: &str) -> Self {
        Self(format!("{method} {uri} SIP/2.0\r\n"))
    }

    /// Starts a response: Via, From, To, Call-ID and CSeq are those of the request (RFC 3261 §8.2.6);
    /// `to_tag` is added to a To that has none.
    #[must_use]
    pub fn response(request: &SipMessage, status: u16, to_tag: &str) -> Self {
        let mut out = Self(format!("SIP/2.0 {status} {}\r\n", phrase(status)));
        for (name, value) in &request.fields {
            let copied = ["Via", "From", "Call-ID", "CSeq"];
            if copied.iter().any(|n| n.eq_ignore_ascii_case(name)) {
                out = out.field(name, value);
            } else if name.eq_ignore_ascii_case("To") {
                let tagged = status > 100 && request.to().is_some_and(|to| to.tag().is_none());
                let tag = if tagged { format!(";tag={to_tag}") } else { String::new() };
                out = out.field(name, &format!("{value}{tag}"));
            }
        }
        out
    }

    /// Appends a header.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.0.push_str(name);
        self.0.push_str(": ");
        self.0.push_str(value);
        self.0.push_str("\r\n");
        self
    }

    /// Appends a header for each value.
    #[must_use]
    pub fn fields<'a>(self, name: &str, values: impl IntoIterator<Item = &'a str>) -> Self {
        values.into_iter().fold(self, |out, value| out.field(name, value))
    }

    /// Appends a header if there is a value.
    #[must_use]
    pub fn maybe(self, name: &str, value: Option<&str>) -> Self {
        self.fields(name, value)
    }

    /// Ends the head; no body.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.field("Content-Length", "0").end()
    }

    /// Ends the head and appends the body.
    #[must_use]
    pub fn finish_with(self, content_type: &str, body: &[u8]) -> Vec<u8> {
        let mut out =
            self.field("Content-Type", content_type).field("Content-Length", &body.len().to_string()).end();
        out.extend_from_slice(body);
        out
    }

    fn end(mut self) -> Vec<u8> {
        self.0.push_str("\r\n");
        self.0.into_bytes()
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        420 => "Bad Extension",
        430 => "Flow Failed",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        483 => "Too Many Hops",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        603 => "Decline",
        _ => "Unspecified",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_a_response_mirrors_its_request() {
        let bytes = SipWriter::request("MESSAGE", "sip:b@h")
            .fields("Via", ["SIP/2.0/UDP a;branch=z9hG4bK1", "SIP/2.0/UDP b;branch=z9hG4bK2"])
            .field("From", "<sip:a@h>;tag=1")
            .field("To", "<sip:b@h>")
            .field("Call-ID", "x")
            .field("CSeq", "1 MESSAGE")
            .maybe("Subject", None)
            .finish_with("text/plain", b"hi");
        let request = SipMessage::parse(&bytes).unwrap();
        let response = SipMessage::parse(&SipWriter::response(&request, 202, "t").finish()).unwrap();
        assert_eq!(response.status(), 202);
        assert_eq!(response.vias(), request.vias());
        assert_eq!(response.to().unwrap().tag(), Some("t"));
        assert_eq!(response.method(), "MESSAGE");
    }
}
