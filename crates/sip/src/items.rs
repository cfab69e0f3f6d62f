//! Header fields of the shape `word;name=value;...`, and typed views of some of them.

use crate::text::{find_unquoted, leading_digits, span, unquote};
use crate::{Method, Params};
use wire::Span;
use wire::bytes_class::{decimal, trim};

/// `word;name=value;...`: Event, Content-Disposition, Subscription-State, Security-*, Retry-After.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// What stands before the first `;`, without blanks at either end.
    pub word: &'a [u8],
    /// What follows.
    pub params: Params<'a>,
    /// The whole.
    pub span: Span,
}

impl<'a> Item<'a> {
    /// Reads the item that is the whole of `within`; `None` without word.
    #[must_use]
    pub fn read(bytes: &'a [u8], within: Span) -> Option<Self> {
        let whole = span(bytes, within.start as usize, (within.end as usize).min(bytes.len()));
        let (start, end) = (whole.start as usize, whole.end as usize);
        let semicolon = find_unquoted(bytes, start, end, b";");
        let word = trim(bytes.get(start..semicolon)?);
        (!word.is_empty()).then(|| Self {
            word,
            params: Params::new(bytes, Span::new(semicolon, end)),
            span: whole,
        })
    }

    /// Whether the word is this one, in any case.
    #[must_use]
    pub fn is(&self, word: &str) -> bool {
        self.word.eq_ignore_ascii_case(word.as_bytes())
    }
}

/// Who refreshes a session (RFC 4028).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// The side that sent the request.
    Uac,
    /// The side that answered it.
    Uas,
}

/// Session-Expires and Min-SE (RFC 4028).
#[derive(Clone, Copy, Debug)]
pub struct SessionExpires<'a> {
    /// The interval; leading digits, saturating.
    pub seconds: u32,
    /// Who refreshes; `None` if left open or unreadable (`refresulther=`, requirements §9).
    pub refresher: Option<Refresher>,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> SessionExpires<'a> {
    /// Reads the whole of `within`.
    #[must_use]
    pub fn read(bytes: &'a [u8], within: Span) -> Option<Self> {
        let item = Item::read(bytes, within)?;
        let refresher = match item.params.value(b"refresher") {
            Some(side) if side.eq_ignore_ascii_case(b"uac") => Some(Refresher::Uac),
            Some(side) if side.eq_ignore_ascii_case(b"uas") => Some(Refresher::Uas),
            _ => None,
        };
        Some(Self { seconds: leading_digits(item.word)?, refresher, params: item.params })
    }
}

/// One Reason value (RFC 3326).
#[derive(Clone, Copy, Debug)]
pub struct Reason<'a> {
    /// `SIP`, `Q.850`, ...
    pub protocol: &'a [u8],
    /// The cause.
    pub cause: Option<u32>,
    /// The text without quotes.
    pub text: Option<&'a [u8]>,
}

impl<'a> Reason<'a> {
    /// Reads one member of the field.
    #[must_use]
    pub fn read(bytes: &'a [u8], within: Span) -> Option<Self> {
        let item = Item::read(bytes, within)?;
        Some(Self {
            protocol: item.word,
            cause: item.params.value(b"cause").and_then(decimal),
            text: item.params.value(b"text"),
        })
    }
}

/// One Warning value (RFC 3261 §20.43).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning<'a> {
    /// 300..=399.
    pub code: u16,
    /// Who warns.
    pub agent: &'a [u8],
    /// The text without quotes; escapes as written.
    pub text: &'a [u8],
}

impl<'a> Warning<'a> {
    /// Reads one member of the field.
    #[must_use]
    pub fn read(bytes: &'a [u8], within: Span) -> Option<Self> {
        let value = trim(bytes.get(within.range())?);
        let (code, rest) = value.split_at_checked(3)?;
        let rest = trim(rest.strip_prefix(b" ")?);
        let blank = rest.iter().position(|b| matches!(b, b' ' | b'\t'))?;
        let (agent, text) = rest.split_at(blank);
        Some(Self { code: decimal(code)? as u16, agent, text: unquote(text) })
    }
}

/// RAck (RFC 3262): which provisional response a PRACK acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RAck<'a> {
    /// RSeq of the response.
    pub response_number: u32,
    /// CSeq number of the request.
    pub cseq_number: u32,
    /// Method of the request.
    pub method: Method,
    /// The method as written.
    pub method_text: &'a [u8],
}

impl<'a> RAck<'a> {
    /// Reads the value.
    #[must_use]
    pub fn read(value: &'a [u8]) -> Option<Self> {
        let digits = value.iter().position(|b| !b.is_ascii_digit())?;
        let (number, rest) = value.split_at(digits);
        let cseq_text = trim(rest);
        if cseq_text.len() == rest.len() {
            return None;
        }
        let cseq = crate::CSeq::read(cseq_text)?;
        Some(Self {
            response_number: decimal(number)?,
            cseq_number: cseq.number,
            method: cseq.method,
            method_text: cseq.method_text,
        })
    }
}

/// Whether two values of Security-Client, -Server or -Verify offer the same mechanisms in the same
/// order (R18): names and parameters in any case, parameters in any order, blanks ignored.
#[must_use]
pub fn same_mechanisms(a: &[u8], b: &[u8]) -> bool {
    let members = |bytes| crate::text::Members::new(bytes, span(bytes, 0, bytes.len()));
    let (mut left, mut right) = (members(a), members(b));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(l), Some(r)) if same_mechanism(Item::read(a, l), Item::read(b, r)) => {}
            _ => return false,
        }
    }
}

fn same_mechanism(a: Option<Item<'_>>, b: Option<Item<'_>>) -> bool {
    let (Some(a), Some(b)) = (a, b) else {
        return false;
    };
    let count = a.params.entries().count();
    let covers = |a: Item<'_>, b: Item<'_>| {
        a.params.iter().all(|(name, value)| match (value, b.params.get(name)) {
            (Some(value), Some(Some(other))) => unquote(value).eq_ignore_ascii_case(unquote(other)),
            (None, Some(None)) => true,
            _ => false,
        })
    };
    // Comparing is quadratic; no honest mechanism has so many parameters.
    a.word.eq_ignore_ascii_case(b.word)
        && count == b.params.entries().count()
        && count <= 32
        && covers(a, b)
        && covers(b, a)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn all(text: &str) -> (&[u8], Span) {
        (text.as_bytes(), Span::new(0, text.len()))
    }

    fn item(text: &str) -> Item<'_> {
        Item::read(text.as_bytes(), Span::new(0, text.len())).unwrap()
    }

    #[test]
    fn items() {
        assert!(item("Conference ;id=7").is("conference"));
        assert_eq!(item("conference;id=7").params.get(b"id"), Some(Some(&b"7"[..])));
        assert_eq!(item("active;expires=3600").params.value(b"expires"), Some(&b"3600"[..]));
        assert_eq!(item("attachment; handling=\"a;b\"").params.value(b"handling"), Some(&b"a;b"[..]));
        let (bytes, span) = all(";x");
        assert!(Item::read(bytes, span).is_none());
    }

    #[test]
    fn session_intervals() {
        for (text, expected) in [
            ("1800", Some((1800, None))),
            ("1800;refresher=uas", Some((1800, Some(Refresher::Uas)))),
            ("90 ; Refresher = UAC", Some((90, Some(Refresher::Uac)))),
            ("300;refresulther=uas", Some((300, None))),
            ("soon", None),
            ("", None),
        ] {
            let (bytes, span) = all(text);
            let got = SessionExpires::read(bytes, span).map(|s| (s.seconds, s.refresher));
            assert_eq!(got, expected, "{text}");
        }
    }

    #[test]
    fn reasons_and_warnings() {
        let (bytes, span) = all("SIP ;cause=200 ;text=\"booted\"");
        let reason = Reason::read(bytes, span).unwrap();
        assert_eq!(
            (reason.protocol, reason.cause, reason.text),
            (&b"SIP"[..], Some(200), Some(&b"booted"[..]))
        );
        let (bytes, span) = all("399 edge.example \"a \\\"b\\\"\"");
        assert_eq!(
            Warning::read(bytes, span),
            Some(Warning { code: 399, agent: b"edge.example", text: b"a \\\"b\\\"" })
        );
        for text in ["", "399", "3x9 a \"b\"", "399 a", "39\u{e9}"] {
            let (bytes, span) = all(text);
            assert_eq!(Warning::read(bytes, span), None, "{text}");
        }
    }

    #[test]
    fn racks() {
        let rack = RAck::read(b"776656 1 INVITE").unwrap();
        assert_eq!((rack.response_number, rack.cseq_number, rack.method), (776_656, 1, Method::Invite));
        for text in ["", "1", "1 INVITE", "1 2", "x 1 INVITE", "11INVITE", "99999999999 1 INVITE"] {
            assert_eq!(RAck::read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn mechanisms_compare_without_regard_to_spelling() {
        let server = b"tls-3gpp; q=0.1; alg=hmac-sha-256-96; spi-c=98765432; port-c=8642";
        assert!(same_mechanisms(server, server));
        assert!(same_mechanisms(server, b"TLS-3GPP;Port-C=8642;spi-c=98765432;alg=HMAC-sha-256-96;q=0.1"));
        assert!(!same_mechanisms(server, b"tls-3gpp;q=0.1"));
        assert!(!same_mechanisms(b"tls;q=0.1", b"tls;q=0.2"));
        assert!(!same_mechanisms(b"tls, ipsec-3gpp", b"tls"));
        assert!(!same_mechanisms(b"tls, ipsec-3gpp", b"ipsec-3gpp, tls"));
        assert!(same_mechanisms(b"", b" "));
    }
}
