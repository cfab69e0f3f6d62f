//! `name-addr` and `addr-spec` with parameters: From, To, Contact, Route and their kin.

use crate::Params;
use crate::text::{closing, find_unquoted, leading_digits, quoted_end, span};
use wire::Span;

/// An address in a header field.
///
/// ```text
/// "Bob" <sip:bob@b.example;lr> ;tag=1 ;x
/// display  uri                params
/// ```
/// The URI is not looked into; `uri::parse` does that.
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'a> {
    /// The display name as written, quotes included; empty if there is none.
    pub display: &'a [u8],
    /// The URI without `<>` and without blanks at either end; `*` if `star`.
    pub uri: &'a [u8],
    /// Where the URI lies.
    pub uri_span: Span,
    /// What follows the address.
    pub params: Params<'a>,
    /// Where the parameters lie, from the byte behind the address on: where one is put in, since further
    /// on an open quote might swallow it.
    pub params_span: Span,
    /// The whole member.
    pub span: Span,
    /// Whether the URI stood in `<>`; if not, all parameters belong to the header field
    /// (RFC 3261 §20.10).
    pub bracketed: bool,
    /// Whether it is the `*` of `Contact: *`.
    pub star: bool,
}

impl<'a> NameAddr<'a> {
    /// Reads the address that is the whole of `within`, without blanks at either end.
    ///
    /// Accepts what requirements §9 accepts: no scheme, blanks next to `<>`, a display name before an
    /// address without `<>` (q16). `None` if there is no address, or `<` is never closed, or what
    /// follows it is no parameter list.
    #[must_use]
    pub fn read(bytes: &'a [u8], within: Span) -> Option<Self> {
        let within = span(bytes, within.start as usize, (within.end as usize).min(bytes.len()));
        let (start, end) = (within.start as usize, within.end as usize);
        if start == end {
            return None;
        }
        let name_end = match bytes.get(start)? {
            b'"' => quoted_end(bytes, start, end),
            _ => start,
        };
        let open = find_unquoted(bytes, name_end, end, b"<;");
        if bytes.get(open) == Some(&b'<') && open < end {
            return Self::bracketed(bytes, within, open);
        }
        Self::bare(bytes, within, name_end)
    }

    fn bracketed(bytes: &'a [u8], within: Span, open: usize) -> Option<Self> {
        let end = within.end as usize;
        let close = closing(bytes, open, end, b'>')?;
        let rest = span(bytes, close + 1, end);
        if !rest.is_empty() && bytes.get(rest.start as usize) != Some(&b';') {
            return None;
        }
        let display = span(bytes, within.start as usize, open);
        let uri = span(bytes, open + 1, close);
        if uri.is_empty() {
            return None;
        }
        let params = Span { start: close as u32 + 1, end: within.end };
        Some(Self::new(bytes, within, display, uri, params, true))
    }

    fn bare(bytes: &'a [u8], within: Span, name_end: usize) -> Option<Self> {
        let end = within.end as usize;
        let stop = find_unquoted(bytes, name_end, end, b";");
        let uri = span(bytes, name_end, stop);
        let text = bytes.get(uri.range())?;
        if text.is_empty() || memchr::memchr(b'"', text).is_some() {
            return None;
        }
        let display = Span { start: within.start, end: name_end as u32 };
        let params = Span { start: uri.end, end: within.end };
        Some(Self::new(bytes, within, display, uri, params, false))
    }

    fn new(bytes: &'a [u8], whole: Span, display: Span, uri: Span, params: Span, bracketed: bool) -> Self {
        let of = |span: Span| bytes.get(span.range()).unwrap_or_default();
        Self {
            display: of(display),
            uri: of(uri),
            uri_span: uri,
            params: Params::new(bytes, span(bytes, params.start as usize, params.end as usize)),
            params_span: params,
            span: whole,
            bracketed,
            star: !bracketed && of(uri) == b"*",
        }
    }

    /// The tag of From or To.
    #[inline]
    #[must_use]
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.params.get(b"tag").flatten().filter(|tag| !tag.is_empty())
    }

    /// The `expires` parameter of a Contact, in seconds; its leading digits (q03).
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        leading_digits(self.params.value(b"expires")?)
    }

    /// A parameter of the header field, without quotes; empty if it has no value.
    #[inline]
    #[must_use]
    pub fn param(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.params.get(name).map(|v| v.map_or(&b""[..], crate::text::unquote))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        text: &'static str,
        display: &'static str,
        uri: &'static str,
        params: &'static str,
        bracketed: bool,
    }

    const fn case(
        text: &'static str,
        display: &'static str,
        uri: &'static str,
        params: &'static str,
        bracketed: bool,
    ) -> Case {
        Case { text, display, uri, params, bracketed }
    }

    #[test]
    fn addresses_are_read_with_the_habits_of_the_field() {
        for c in [
            case("<sip:a@b>;tag=1", "", "sip:a@b", ";tag=1", true),
            case("sip:a@b;tag=1", "", "sip:a@b", ";tag=1", false),
            case("\"A, B <x>\" <sip:a@b;lr> ; q=1", "\"A, B <x>\"", "sip:a@b;lr", "; q=1", true),
            case("Bob B <sip:a@b>", "Bob B", "sip:a@b", "", true),
            case("< sip: user1@h >;tag=x", "", "sip: user1@h", ";tag=x", true),
            case("<user1@h >", "", "user1@h", "", true),
            case("\"Conf Factory\" sip:conf@ h", "\"Conf Factory\"", "sip:conf@ h", "", false),
            case("125@as1 ; plccmd=g;method=SETPLC", "", "125@as1", "; plccmd=g;method=SETPLC", false),
            case("<sip:h;+g=\"u;version=1_0>;isfocus", "", "sip:h;+g=\"u;version=1_0", ";isfocus", true),
            case("+861008699999", "", "+861008699999", "", false),
            case(
                "<sip:a@b>;g= \"u\" \u{53bb}\u{6389};isfocus",
                "",
                "sip:a@b",
                ";g= \"u\" \u{53bb}\u{6389};isfocus",
                true,
            ),
        ] {
            let bytes = c.text.as_bytes();
            let got = NameAddr::read(bytes, Span::new(0, bytes.len())).expect(c.text);
            assert_eq!(got.display, c.display.as_bytes(), "{}", c.text);
            assert_eq!(got.uri, c.uri.as_bytes(), "{}", c.text);
            assert_eq!(got.uri_span.of(bytes), got.uri, "{}", c.text);
            assert_eq!(got.params.text(), c.params.as_bytes(), "{}", c.text);
            assert_eq!(got.bracketed, c.bracketed, "{}", c.text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "  ",
            "<>",
            "< >",
            "\"only a name\"",
            "<sip:a@b",
            ";tag=1",
            "<sip:a@b> x",
            "sip:a\"b",
            "\"open <sip:a@b>",
        ] {
            assert!(NameAddr::read(text.as_bytes(), Span::new(0, text.len())).is_none(), "{text}");
        }
    }

    #[test]
    fn tag_expires_and_star() {
        let read =
            |text: &'static str| NameAddr::read(text.as_bytes(), Span::new(0, text.len())).expect(text);
        assert_eq!(read("<sip:a@b>;Tag=x7").tag(), Some(&b"x7"[..]));
        assert_eq!(read("<sip:a@b;tag=in>").tag(), None);
        assert_eq!(read("<sip:a@b>;tag=").tag(), None);
        assert_eq!(read("<sip:a@b>;expires=3600+g.3gpp.icsi-ref=\"u\"").expires(), Some(3600));
        assert_eq!(read("<sip:a@b>;expires=\"60\"").expires(), Some(60));
        assert!(read("*").star);
        assert!(!read("<*>").star);
    }
}
