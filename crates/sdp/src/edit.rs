//! Anchoring as edits: what R65..R69 change, and nothing else.

use crate::path::PathUri;
use crate::read::Sdp;
use crate::view::{Connection, Media, Origin, Section, Setup, Text, address_type};
use core::net::IpAddr;
use std::io::Write as _;
use wire::{EditList, Span};

/// Pushes changes of one description into the edit list of the message that carries it.
///
/// Give each field at most one change: two edits of the same bytes are a bug that `gather` reports.
#[derive(Debug)]
pub struct Editor<'e> {
    edits: &'e mut EditList,
    base: usize,
}

impl<'e> Editor<'e> {
    /// An editor for a description that starts at offset `base` of the source of `edits`.
    pub fn new(edits: &'e mut EditList, base: usize) -> Self {
        Self { edits, base }
    }

    /// Rewrites everything above the media level and every `c=`: `o=` username and address, `s=`, `c=`.
    ///
    /// Session id and version stay, so that the peer still sees what changed (R65).
    pub fn session(&mut self, sdp: &Sdp<'_>, username: &[u8], name: &[u8], address: IpAddr) {
        if let Some(origin) = sdp.session().origin() {
            self.origin(&origin, username, address);
        }
        self.session_name(sdp, name);
        let sections = core::iter::once(sdp.session()).chain(sdp.media().map(|m| m.section()));
        for connection in sections.flat_map(Section::connections) {
            self.connection(&connection, address);
        }
    }

    /// Replaces username and address of `o=`.
    pub fn origin(&mut self, origin: &Origin<'_>, username: &[u8], address: IpAddr) {
        self.replace(origin.username.span, username);
        self.address(origin.addrtype, origin.address, address);
    }

    /// Replaces the session name; a description without `s=` gets none.
    pub fn session_name(&mut self, sdp: &Sdp<'_>, name: &[u8]) {
        if let Some(line) = sdp.session().line(b's') {
            self.replace(line.value, name);
        }
    }

    /// Replaces address type and address of one `c=` line.
    pub fn connection(&mut self, connection: &Connection<'_>, address: IpAddr) {
        self.address(connection.addrtype, connection.address, address);
    }

    /// Replaces port and protocol of an RTP medium, which is not switched off.
    pub fn rtp_line(&mut self, media: &Media<'_>, port: u16, proto: &str) {
        self.port(media, port);
        if !media.line().proto.text.eq_ignore_ascii_case(proto.as_bytes()) {
            self.proto(media, proto.as_bytes());
        }
    }

    /// Replaces the port of `m=`. A refused medium stays refused: port 0 stays 0 (R69).
    pub fn port(&mut self, media: &Media<'_>, port: u16) {
        if !media.is_disabled() {
            self.replace_fmt(media.line().port_span, format_args!("{port}"));
        }
    }

    /// Replaces the protocol of `m=`, for example `TCP/TLS/MSRP` by `TCP/MSRP`.
    pub fn proto(&mut self, media: &Media<'_>, proto: &[u8]) {
        self.replace(media.line().proto.span, proto);
    }

    /// Replaces scheme, `host:port` and transport of one URI of `a=path`; session-id and further parameters
    /// stay (R66).
    pub fn path(&mut self, uri: &PathUri<'_>, scheme: &[u8], host_port: &[u8], transport: &[u8]) {
        if !uri.scheme.text.eq_ignore_ascii_case(scheme) {
            self.replace(uri.scheme.span, scheme);
        }
        self.replace(uri.host_port.span, host_port);
        if let Some(old) = uri.transport()
            && !old.text.eq_ignore_ascii_case(transport)
        {
            self.replace(old.span, transport);
        }
    }

    /// Takes the URI at the front of `a=path` out, up to the one that follows it.
    pub fn remove_hop(&mut self, first: &PathUri<'_>, next: &PathUri<'_>) {
        let span = Span { start: first.uri.span.start, end: next.uri.span.start };
        self.edits.remove(span.shifted(self.base));
    }

    /// Puts a line (given without line end) before another line of the section.
    pub fn insert_line(&mut self, section: Section<'_>, before: Span, line: core::fmt::Arguments<'_>) {
        let end = section.line_end();
        self.edits.insert_with(before.shifted(self.base).start as usize, |out| {
            let _ = out.write_fmt(line); // a Vec takes everything
            out.extend_from_slice(end);
        });
    }

    /// Sets `a=setup` of this medium (R67): replaces the value, or adds a line at its end.
    pub fn setup(&mut self, media: &Media<'_>, setup: Setup) {
        let attributes = media.section().attributes();
        let mut written = attributes.filter(|a| a.name.eq_ignore_ascii_case(b"setup"));
        match written.next().and_then(|a| a.value) {
            Some(value) => self.replace(value.span, setup.as_str().as_bytes()),
            None => self.append_line(media.section(), format_args!("a=setup:{}", setup.as_str())),
        }
    }

    /// Adds a line (given without line end) at the end of a section.
    pub fn append_line(&mut self, section: Section<'_>, line: core::fmt::Arguments<'_>) {
        self.append_line_bytes(section, line.to_string().as_bytes());
    }

    fn append_line_bytes(&mut self, section: Section<'_>, line: &[u8]) {
        let Some(last) = section.lines().last() else {
            return;
        };
        let (end, complete) = (section.line_end(), section.ends_with_line_end());
        // A description may end without a line end, or in half of one. Behind such a line stands only what
        // belongs behind a line that nobody takes out; a line that goes would leave a blank one.
        if !complete && !matches!(last.kind, b'v' | b'c' | b'm' | b't') {
            self.edits.insert_with(last.span.start as usize + self.base, |out| {
                out.extend_from_slice(line);
                out.extend_from_slice(end);
            });
            return;
        }
        let from = if complete { last.span.end } else { last.value.end };
        let rest = Span { start: from, end: last.span.end };
        self.edits.replace_with(rest.shifted(self.base), |out| {
            if !complete {
                out.extend_from_slice(end);
            }
            out.extend_from_slice(line);
            out.extend_from_slice(end);
        });
    }

    /// Adds lines (given without line ends) before the line number `at` of a section, or at its end.
    ///
    /// At the end of a section only one call may add something: the last line may lack its line end.
    pub fn insert_lines(&mut self, section: Section<'_>, at: usize, lines: &[Vec<u8>]) {
        let end = section.line_end();
        let (Some(before), false) = (section.lines().get(at), lines.is_empty()) else {
            // Several lines as one: `append_line` puts the end of the last one.
            let text = lines.join(end);
            if !lines.is_empty() {
                self.append_line_bytes(section, &text);
            }
            return;
        };
        self.edits.insert_with(before.span.start as usize + self.base, |out| {
            for line in lines {
                out.extend_from_slice(line);
                out.extend_from_slice(end);
            }
        });
    }

    /// Takes a whole line out.
    pub fn remove_line(&mut self, line: Span) {
        self.edits.remove(line.shifted(self.base));
    }

    fn address(&mut self, kind: Text<'_>, old: Text<'_>, new: IpAddr) {
        if kind.text != address_type(new).as_bytes() {
            self.replace(kind.span, address_type(new).as_bytes());
        }
        self.replace_fmt(old.span, format_args!("{new}"));
    }

    fn replace(&mut self, old: Span, new: &[u8]) {
        self.edits.replace(old.shifted(self.base), new);
    }

    fn replace_fmt(&mut self, old: Span, new: core::fmt::Arguments<'_>) {
        self.edits.replace_with(old.shifted(self.base), |out| {
            let _ = out.write_fmt(new); // a Vec takes everything
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Anchors a messaging description at `host:port` as the edge does, with `prefix` standing before it.
    fn anchored(source: &[u8], host: &str, port: u16, setup: Option<Setup>, prefix: &[u8]) -> Vec<u8> {
        let sdp = Sdp::parse(source).unwrap();
        let mut edits = EditList::new();
        let mut editor = Editor::new(&mut edits, prefix.len());
        editor.session(&sdp, b"-", b"SBC call", host.parse().unwrap());
        for media in sdp.media() {
            editor.port(&media, port);
            if let Some(uri) = media.path().and_then(|p| p.first()) {
                editor.path(&uri, b"msrp", format!("{host}:{port}").as_bytes(), b"tcp");
            }
            if let Some(setup) = setup {
                editor.setup(&media, setup);
            }
        }
        let message = [prefix, source].concat();
        let mut out = Vec::new();
        edits.gather(&message, &mut out).unwrap();
        assert!(out.starts_with(prefix));
        out.split_off(prefix.len())
    }

    macro_rules! pair {
        ($name:ident: $from:literal => $to:literal at $host:literal : $port:literal) => {
            #[test]
            fn $name() {
                let from = include_bytes!(concat!("../../../tests/vectors/pairs/", $from));
                let to = include_bytes!(concat!("../../../tests/vectors/pairs/", $to));
                for prefix in [&b""[..], b"SIP/2.0 200 OK\r\n\r\n"] {
                    let out = anchored(from, $host, $port, None, prefix);
                    assert_eq!(out.escape_ascii().to_string(), to.escape_ascii().to_string());
                }
            }
        };
    }

    pair!(chat_offer_to_core: "chat-offer.ue.sdp" => "chat-offer.core.sdp" at "182.2.1.4":36514);
    pair!(chat_answer_to_ue: "chat-answer.core.sdp" => "chat-answer.ue.sdp" at "182.3.1.7":40410);
    pair!(term_offer_to_ue: "term-offer.core.sdp" => "term-offer.ue.sdp" at "182.3.1.7":40408);
    pair!(term_answer_to_core: "term-answer.ue.sdp" => "term-answer.core.sdp" at "182.2.1.4":36516);

    #[test]
    fn a_last_line_without_its_end_may_go_while_another_comes() {
        for (last, end) in [("a=x", ""), ("a=x", "\r"), ("k=x", ""), ("a=x", "\r\n")] {
            let source = format!("v=0\r\nm=message 1 TCP/MSRP *\r\n{last}{end}");
            let sdp = Sdp::parse(source.as_bytes()).unwrap();
            let mut edits = EditList::new();
            let mut editor = Editor::new(&mut edits, 0);
            let media = sdp.media().next().unwrap();
            editor.setup(&media, Setup::Passive);
            editor.remove_line(media.section().lines().last().unwrap().span);
            let mut out = Vec::new();
            edits.gather(source.as_bytes(), &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text, "v=0\r\nm=message 1 TCP/MSRP *\r\na=setup:passive\r\n", "{last}{end:?}");
        }
    }

    #[test]
    fn no_edit_leaves_every_byte() {
        let source = include_bytes!("../../../tests/vectors/pairs/chat-offer.ue.sdp");
        Sdp::parse(source).unwrap();
        let mut out = Vec::new();
        EditList::new().gather(source, &mut out).unwrap();
        assert_eq!(out, source);
    }

    #[test]
    fn a_refused_medium_stays_refused_and_each_connection_line_changes() {
        let source =
            b"v=0\r\no=oooo 1 2 IN IP4 10.0.0.1\r\ns=\r\nc=IN IP4 10.0.0.2\r\nm=audio 5 RTP/AVP 0\r\n\
c=IN IP4 10.0.0.3\r\nm=video 0 RTP/AVP 34\r\nb=AS:768\r\n";
        let out = anchored(source, "2001:db8::7", 40_000, None, b"");
        assert_eq!(
            out.escape_ascii().to_string(),
            b"v=0\r\no=- 1 2 IN IP6 2001:db8::7\r\ns=SBC call\r\nc=IN IP6 2001:db8::7\r\n\
m=audio 40000 RTP/AVP 0\r\nc=IN IP6 2001:db8::7\r\nm=video 0 RTP/AVP 34\r\nb=AS:768\r\n"
                .escape_ascii()
                .to_string()
        );
    }

    #[test]
    fn setup_is_replaced_or_added_at_the_end_of_its_section() {
        let table: &[(&str, &[u8], &[u8])] = &[
            (
                "replaced",
                b"v=0\r\nm=message 9 TCP/MSRP *\r\na=setup:active\r\na=x\r\n",
                b"a=setup:passive\r\na=x\r\n",
            ),
            ("added", b"v=0\r\nm=message 9 TCP/MSRP *\r\na=x\r\n", b"a=x\r\na=setup:passive\r\n"),
            ("added after a bare LF", b"v=0\nm=message 9 TCP/MSRP *\na=x\n", b"a=x\na=setup:passive\n"),
            (
                "added before a line without its end",
                b"v=0\r\nm=message 9 TCP/MSRP *\r\na=x",
                b"a=setup:passive\r\na=x",
            ),
            ("added behind a medium alone", b"v=0\r\nm=message 9 TCP/MSRP *", b" *\r\na=setup:passive\r\n"),
        ];
        for (name, source, tail) in table {
            let out = anchored(source, "192.0.2.1", 2855, Some(Setup::Passive), b"");
            assert!(out.ends_with(tail), "{name}: {}", out.escape_ascii());
        }
    }

    #[test]
    fn tls_and_plain_change_scheme_and_protocol() {
        let source = b"v=0\r\nm=message 9 TCP/TLS/MSRP *\r\na=path:msrps://10.0.0.1:9/x;tcp\r\n";
        let sdp = Sdp::parse(source).unwrap();
        let media = sdp.media().next().unwrap();
        let mut edits = EditList::new();
        let mut editor = Editor::new(&mut edits, 0);
        editor.proto(&media, b"TCP/MSRP");
        let uri = media.path().unwrap().first().unwrap();
        editor.path(&uri, b"msrp", b"192.0.2.1:7", b"tcp");
        let mut out = Vec::new();
        edits.gather(source, &mut out).unwrap();
        assert_eq!(out, b"v=0\r\nm=message 9 TCP/MSRP *\r\na=path:msrp://192.0.2.1:7/x;tcp\r\n");
    }
}
