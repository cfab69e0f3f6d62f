//! The far end of a load: a core that answers every request at once and keeps nothing.
//!
//! It challenges each REGISTER without credentials and accepts each one with some, unverified: it shall
//! cost as little as it can, and the edge under load does not see the difference.

use sip::write::Response;
use sip::{HeaderId, Message, Method};
use wire::Span;

const SDP: &[u8] = b"v=0\r\no=- 9 1 IN IP4 192.0.2.90\r\ns=-\r\nc=IN IP4 192.0.2.90\r\nt=0 0\r\n\
    m=audio 50000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";

/// Answers requests.
#[derive(Clone, Debug)]
pub struct Answerer {
    domain: String,
    /// `<sip:host:port;lr>`, and the Contact of calls.
    own_uri: String,
    nonces: u64,
}

impl Answerer {
    /// A core of this home domain that is reached at `own`, as `host:port;transport=…`.
    #[must_use]
    pub fn new(domain: &str, own: &str) -> Self {
        Self { domain: domain.to_owned(), own_uri: format!("sip:{own}"), nonces: 0 }
    }

    /// Appends the answers to `request`, and where each lies. An ACK and responses get none.
    pub fn answer(&mut self, request: Message<'_>, out: &mut Vec<u8>, spans: &mut Vec<Span>) {
        if !request.is_request() {
            return;
        }
        match request.method() {
            Method::Ack => {}
            Method::Register => spans.push(self.register(request, out)),
            Method::Invite => self.invite(request, out, spans),
            _ => spans.push(write(request, 200, &[], None, out)),
        }
    }

    fn register(&mut self, request: Message<'_>, out: &mut Vec<u8>) -> Span {
        let proved = request
            .value(HeaderId::Authorization)
            .is_some_and(|value| memchr::memmem::find(value, b"response=\"\"").is_none());
        if !proved {
            self.nonces += 1;
            let challenge = format!(
                "Digest realm=\"{}\", nonce=\"n{:016x}\", algorithm=MD5, qop=\"auth\"",
                self.domain, self.nonces
            );
            return write(request, 401, &[("WWW-Authenticate", challenge.as_bytes())], None, out);
        }
        let contacts = request.elements(HeaderId::Contact).map(|contact| {
            let mut value = contact.text.to_vec();
            if memchr::memmem::find(&value, b"expires=").is_none() {
                value.extend_from_slice(b";expires=3600");
            }
            value
        });
        let contacts = contacts.collect::<Vec<_>>().join(&b", "[..]);
        let route = format!("<{};lr>", self.own_uri);
        let identity = request.to().map(|to| [b"<", to.uri, b">"].concat()).unwrap_or_default();
        let fields = [
            ("Contact", &contacts[..]),
            ("Service-Route", route.as_bytes()),
            ("P-Associated-URI", &identity[..]),
        ];
        write(request, 200, &fields, None, out)
    }

    fn invite(&self, request: Message<'_>, out: &mut Vec<u8>, spans: &mut Vec<Span>) {
        let contact = format!("<{}>", self.own_uri);
        let routes = request.elements(HeaderId::RecordRoute).map(|route| route.text);
        let routes = routes.collect::<Vec<_>>().join(&b", "[..]);
        let mut fields = vec![("Contact", contact.as_bytes())];
        if !routes.is_empty() {
            fields.push(("Record-Route", &routes[..]));
        }
        spans.push(write(request, 100, &[], None, out));
        spans.push(write(request, 180, &fields, None, out));
        spans.push(write(request, 200, &fields, Some((b"application/sdp", SDP)), out));
    }
}

fn write(
    request: Message<'_>,
    status: u16,
    extra: &[(&str, &[u8])],
    body: Option<(&[u8], &[u8])>,
    out: &mut Vec<u8>,
) -> Span {
    let to_tag = (status > 100).then_some(&b"core"[..]);
    Response { status, reason: "", to_tag, source: None, extra, body }.write(request, out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use sip::{Index, Limits, parse};

    fn answers(request: &str) -> Vec<String> {
        let mut index = Index::default();
        let message = parse(request.as_bytes(), &Limits::default(), &mut index).unwrap();
        let (mut out, mut spans) = (Vec::new(), Vec::new());
        Answerer::new("d", "h:1").answer(message, &mut out, &mut spans);
        let text = |span: &Span| String::from_utf8(span.of(&out).to_vec()).unwrap();
        spans.iter().map(text).collect()
    }

    fn request(method: &str, more: &str) -> String {
        format!(
            "{method} sip:a@d SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
             From: <sip:b@d>;tag=1\r\nTo: <sip:b@d>\r\nCall-ID: 1\r\nCSeq: 1 {method}\r\n{more}\
             Content-Length: 0\r\n\r\n"
        )
    }

    #[test]
    fn a_register_is_challenged_until_it_brings_credentials() {
        let first = answers(&request("REGISTER", "Contact: <sip:b@h>\r\n"));
        assert!(first[0].starts_with("SIP/2.0 401 ") && first[0].contains("nonce=\""), "{first:?}");
        let second =
            answers(&request("REGISTER", "Contact: <sip:b@h>\r\nAuthorization: Digest response=\"1\"\r\n"));
        assert!(second[0].starts_with("SIP/2.0 200 "), "{second:?}");
        assert!(second[0].contains("Contact: <sip:b@h>;expires=3600\r\n"), "{second:?}");
        assert!(second[0].contains("P-Associated-URI: <sip:b@d>\r\n"), "{second:?}");
    }

    #[test]
    fn a_call_rings_and_is_answered_with_its_record_route() {
        let answers = answers(&request("INVITE", "Record-Route: <sip:e;lr>\r\n"));
        let statuses: Vec<_> = answers.iter().map(|a| &a[8..11]).collect();
        assert_eq!(statuses, ["100", "180", "200"]);
        assert!(answers[2].contains("Record-Route: <sip:e;lr>\r\n") && answers[2].ends_with("sendrecv\r\n"));
    }

    #[test]
    fn ack_gets_no_answer_and_the_rest_gets_200() {
        assert!(answers(&request("ACK", "")).is_empty());
        assert!(answers(&request("BYE", ""))[0].starts_with("SIP/2.0 200 "));
    }
}
