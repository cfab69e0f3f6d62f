//! `a=path`: as much of an MSRP URI as the anchor must know. Its meaning is the `msrp` crate's.

use crate::view::{Text, Words};
use wire::Span;

/// The value of an `a=path` line: one URI, or several separated by blanks, the nearest hop first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path<'a> {
    value: Text<'a>,
}

impl<'a> Path<'a> {
    pub(crate) const fn new(value: Text<'a>) -> Self {
        Self { value }
    }

    /// The whole value without blanks around it.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        wire::bytes_class::trim(self.value.text)
    }

    /// The URIs in order; one that cannot be read ends the list.
    pub fn uris(&self) -> impl Iterator<Item = PathUri<'a>> + use<'a> {
        Words::new(self.value.text, self.value.span.start as usize).map_while(PathUri::read)
    }

    /// The hop next to us: the only one that changes (R66).
    #[must_use]
    pub fn first(&self) -> Option<PathUri<'a>> {
        self.uris().next()
    }
}

/// `scheme "://" [userinfo "@"] host [":" port] ["/" session-id] *(";" param)`, RFC 4975 §9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathUri<'a> {
    /// The whole URI.
    pub uri: Text<'a>,
    /// `msrp` or `msrps`, in any case.
    pub scheme: Text<'a>,
    /// `host[:port]`, without userinfo.
    pub host_port: Text<'a>,
}

impl<'a> PathUri<'a> {
    fn read(uri: Text<'a>) -> Option<Self> {
        let text = uri.text;
        let colon = memchr::memmem::find(text, b"://")?;
        let after = colon + 3;
        let authority = text[after..].iter().take_while(|b| !matches!(b, b'/' | b';')).count();
        let end = after + authority;
        let start = memchr::memrchr(b'@', &text[after..end]).map_or(after, |at| after + at + 1);
        let scheme = &text[..colon];
        let known = scheme.eq_ignore_ascii_case(b"msrp") || scheme.eq_ignore_ascii_case(b"msrps");
        let piece = |from: usize, to: usize| Text {
            text: &text[from..to],
            span: Span::new(uri.span.start as usize + from, uri.span.start as usize + to),
        };
        (known && start < end).then(|| Self { uri, scheme: piece(0, colon), host_port: piece(start, end) })
    }

    /// The session-id: what follows the authority's `/`, up to the parameters.
    #[must_use]
    pub fn session_id(&self) -> Option<&'a [u8]> {
        let after = (self.host_port.span.end - self.uri.span.start) as usize;
        let rest = self.uri.text.get(after..)?.strip_prefix(b"/")?;
        let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
        (end > 0).then(|| &rest[..end])
    }

    /// The transport: the first parameter; `None` if it has none, which the grammar forbids and some
    /// senders do.
    #[must_use]
    pub fn transport(&self) -> Option<Text<'a>> {
        let after = (self.host_port.span.end - self.uri.span.start) as usize;
        let start = after + memchr::memchr(b';', self.uri.text.get(after..)?)? + 1;
        let rest = self.uri.text.get(start..)?;
        let end = start + memchr::memchr(b';', rest).unwrap_or(rest.len());
        let span = Span::new(start, end).shifted(self.uri.span.start as usize);
        (start < end).then(|| Text { text: &self.uri.text[start..end], span })
    }

    /// Appends this URI with another scheme, `host:port` and transport: what `Editor::path` will have written.
    ///
    /// Userinfo, session-id and further parameters stay (R66).
    pub fn write_anchored(&self, scheme: &[u8], host_port: &[u8], transport: &[u8], out: &mut Vec<u8>) {
        let from = self.uri.span.start as usize;
        let within = |span: Span| span.start as usize - from..span.end as usize - from;
        let (old_scheme, old_host) = (within(self.scheme.span), within(self.host_port.span));
        out.extend_from_slice(scheme);
        out.extend_from_slice(&self.uri.text[old_scheme.end..old_host.start]);
        out.extend_from_slice(host_port);
        match self.transport().map(|t| within(t.span)) {
            Some(old) => {
                out.extend_from_slice(&self.uri.text[old_host.end..old.start]);
                out.extend_from_slice(transport);
                out.extend_from_slice(&self.uri.text[old.end..]);
            }
            None => out.extend_from_slice(&self.uri.text[old_host.end..]),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(uri: &[u8]) -> Option<PathUri<'_>> {
        PathUri::read(Text { text: uri, span: Span::new(100, 100 + uri.len()) })
    }

    #[test]
    fn uris_come_apart() {
        type Parts<'a> = Option<(&'a [u8], &'a [u8], Option<&'a [u8]>)>;
        let table: &[(&[u8], Parts<'_>)] = &[
            (b"msrp://1.2.3.4:9/ab;tcp", Some((b"msrp", b"1.2.3.4:9", Some(b"ab")))),
            (b"MSRPS://bob@[2001:db8::1]:9/ab;tcp;x=y", Some((b"MSRPS", b"[2001:db8::1]:9", Some(b"ab")))),
            (b"msrp://relay.example.net;tcp", Some((b"msrp", b"relay.example.net", None))),
            (b"msrp://h/;tcp", Some((b"msrp", b"h", None))),
            (b"msrp:///ab;tcp", None),
            (b"sip://h/ab", None),
            (b"msrp:h", None),
            (b"", None),
        ];
        for (uri, parts) in table {
            let found = read(uri).map(|u| (u.scheme.text, u.host_port.text, u.session_id()));
            assert_eq!(found, *parts, "{}", uri.escape_ascii());
        }
    }

    #[test]
    fn anchoring_keeps_session_id_userinfo_and_parameters() {
        let mut out = Vec::new();
        read(b"msrp://bob@10.0.0.1:7/ab;tcp;x=y").unwrap().write_anchored(
            b"msrps",
            b"192.0.2.7:2855",
            b"ws",
            &mut out,
        );
        assert_eq!(out, b"msrps://bob@192.0.2.7:2855/ab;ws;x=y");
        assert_eq!(read(b"msrp://h/x").unwrap().transport(), None);
        assert_eq!(read(b"msrp://h/x;").unwrap().transport(), None);
    }

    #[test]
    fn a_path_of_two_hops_keeps_its_order() {
        let value = b" msrp://a:1/x;tcp msrp://b:2/y;tcp ";
        let path = Path::new(Text { text: value, span: Span::new(0, value.len()) });
        let hosts: Vec<_> = path.uris().map(|u| u.host_port.text).collect();
        assert_eq!(hosts, [b"a:1", b"b:2"]);
        assert_eq!(path.text(), b"msrp://a:1/x;tcp msrp://b:2/y;tcp");
    }
}
