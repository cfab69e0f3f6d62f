//! Typed views of the lines that the edge looks at.

use crate::path::Path;
use crate::read::Line;
use core::net::IpAddr;
use wire::Span;
pub(crate) use wire::bytes_class::decimal;
use wire::bytes_class::{BLANK, is};

/// A piece of a line and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// The bytes.
    pub text: &'a [u8],
    /// Where, from the start of the description.
    pub span: Span,
}

/// A run of lines: the session part, or one media section with its `m=` line first.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    bytes: &'a [u8],
    lines: &'a [Line],
}

impl<'a> Section<'a> {
    pub(crate) const fn new(bytes: &'a [u8], lines: &'a [Line]) -> Self {
        Self { bytes, lines }
    }

    /// The lines in order.
    #[must_use]
    pub const fn lines(self) -> &'a [Line] {
        self.lines
    }

    /// The first line of this kind.
    #[must_use]
    pub fn line(self, kind: u8) -> Option<Line> {
        self.lines.iter().copied().find(|line| line.kind == kind)
    }

    /// What stands after `=` in a line of this section.
    #[must_use]
    pub fn value(self, line: Line) -> Text<'a> {
        Text { text: line.value.of(self.bytes), span: line.value }
    }

    /// The `o=` line (session part only).
    #[must_use]
    pub fn origin(self) -> Option<Origin<'a>> {
        let value = self.value(self.line(b'o')?);
        Origin::read(value.text, value.span.start as usize)
    }

    /// Every `c=` line of this section; a media section may have several (RFC 8866 §5.7).
    pub fn connections(self) -> impl Iterator<Item = Connection<'a>> {
        self.lines.iter().filter(|line| line.kind == b'c').filter_map(move |&line| {
            let value = self.value(line);
            Connection::read(value.text, value.span.start as usize)
        })
    }

    /// Every `a=` line in order.
    pub fn attributes(self) -> impl Iterator<Item = Attribute<'a>> {
        self.lines
            .iter()
            .filter(|line| line.kind == b'a')
            .map(move |&line| Attribute::read(self.value(line), line))
    }

    /// The first attribute of this name; names compare without case, as terminals write them.
    #[must_use]
    pub fn attribute(self, name: &[u8]) -> Option<Attribute<'a>> {
        self.attributes().find(|a| a.name.eq_ignore_ascii_case(name))
    }

    /// The direction attribute of this very section, if it has one.
    #[must_use]
    pub fn direction(self) -> Option<Direction> {
        self.attributes().find_map(|a| Direction::from_name(a.name))
    }

    /// The line end in use: CRLF unless the first line of the section ends in a bare LF.
    #[must_use]
    pub fn line_end(self) -> &'static [u8] {
        let first = self.lines.first().map_or(&b""[..], |line| line.span.of(self.bytes));
        if first.ends_with(b"\n") && !first.ends_with(b"\r\n") { b"\n" } else { b"\r\n" }
    }

    pub(crate) fn ends_with_line_end(self) -> bool {
        self.lines.last().is_none_or(|line| line.span.of(self.bytes).ends_with(b"\n"))
    }
}

/// One media section.
#[derive(Clone, Copy, Debug)]
pub struct Media<'a> {
    index: usize,
    section: Section<'a>,
    session: Section<'a>,
    line: MediaLine<'a>,
}

impl<'a> Media<'a> {
    pub(crate) fn new(index: usize, section: Section<'a>, session: Section<'a>) -> Option<Self> {
        let value = section.value(*section.lines.first()?);
        Some(Self { index, section, session, line: MediaLine::read(value.text, value.span.start as usize)? })
    }

    /// Which one, from 0: offers and answers correspond by it (RFC 3264 §6).
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }

    /// Its lines.
    #[must_use]
    pub const fn section(&self) -> Section<'a> {
        self.section
    }

    /// The session it is part of: what holds for it unless it says otherwise.
    #[must_use]
    pub const fn session(&self) -> Section<'a> {
        self.session
    }

    /// Its `m=` line.
    #[must_use]
    pub const fn line(&self) -> &MediaLine<'a> {
        &self.line
    }

    /// Whether it was refused or is not offered: port 0 (R69).
    #[must_use]
    pub const fn is_disabled(&self) -> bool {
        self.line.port == 0
    }

    /// Whether it speaks MSRP, plain or over TLS.
    #[must_use]
    pub fn is_msrp(&self) -> bool {
        let proto = self.line.proto.text;
        proto.eq_ignore_ascii_case(b"TCP/MSRP") || proto.eq_ignore_ascii_case(b"TCP/TLS/MSRP")
    }

    /// Whether the transport is under TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.line.proto.text.to_ascii_uppercase().starts_with(b"TCP/TLS/")
    }

    /// The connection that holds for it: its own `c=`, or that of the session.
    #[must_use]
    pub fn connection(&self) -> Option<Connection<'a>> {
        let own = self.section.connections().next();
        own.or_else(|| self.session.connections().next())
    }

    /// The direction that holds for it: its own, that of the session, or `sendrecv` (RFC 8866 §6.7).
    #[must_use]
    pub fn direction(&self) -> Direction {
        let own = self.section.direction();
        own.or_else(|| self.session.direction()).unwrap_or(Direction::Sendrecv)
    }

    /// The `a=setup` that holds for it (RFC 4145), its own or that of the session.
    #[must_use]
    pub fn setup(&self) -> Option<Setup> {
        let own = self.section.attribute(b"setup");
        let attribute = own.or_else(|| self.session.attribute(b"setup"))?;
        Setup::from_name(attribute.value?.text)
    }

    /// The `a=path` line (RFC 4975 §8.1).
    #[must_use]
    pub fn path(&self) -> Option<Path<'a>> {
        self.section.attribute(b"path")?.value.map(Path::new)
    }

    /// The media types of `a=accept-types`, or of `a=accept-type` as printed in the field (R68).
    pub fn accept_types(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let named = |name| self.section.attribute(name).and_then(|a| a.value);
        let value = named(b"accept-types").or_else(|| named(b"accept-type"));
        let text = value.map_or(&b""[..], |v| v.text);
        text.split(|&b| is(b, BLANK)).filter(|word| !word.is_empty())
    }

    /// The raw value of `a=file-selector` (RFC 5547): never altered (R50).
    #[must_use]
    pub fn file_selector(&self) -> Option<Text<'a>> {
        self.section.attribute(b"file-selector")?.value
    }

    /// The raw value of `a=rtcp` (RFC 3605).
    #[must_use]
    pub fn rtcp(&self) -> Option<Text<'a>> {
        self.section.attribute(b"rtcp")?.value
    }

    /// Every `a=crypto` line (RFC 4568). The values are keys: never log them.
    pub fn crypto(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        self.section.attributes().filter(|a| a.name.eq_ignore_ascii_case(b"crypto"))
    }
}

/// `o=<username> <sess-id> <sess-version> <nettype> <addrtype> <address>`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Username, `-` for none.
    pub username: Text<'a>,
    /// Session id.
    pub session_id: Text<'a>,
    /// Session version.
    pub version: Text<'a>,
    /// `IN`.
    pub nettype: Text<'a>,
    /// `IP4` or `IP6`.
    pub addrtype: Text<'a>,
    /// Address or name.
    pub address: Text<'a>,
}

impl<'a> Origin<'a> {
    pub(crate) fn read(value: &'a [u8], at: usize) -> Option<Self> {
        let mut words = Words::new(value, at);
        Some(Self {
            username: words.next()?,
            session_id: words.next()?,
            version: words.next()?,
            nettype: words.next()?,
            addrtype: words.next()?,
            address: words.next()?,
        })
    }
}

/// `c=<nettype> <addrtype> <address>`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection<'a> {
    /// `IN`.
    pub nettype: Text<'a>,
    /// `IP4` or `IP6`.
    pub addrtype: Text<'a>,
    /// Address or name, a multicast one with `/ttl`.
    pub address: Text<'a>,
}

impl<'a> Connection<'a> {
    pub(crate) fn read(value: &'a [u8], at: usize) -> Option<Self> {
        let mut words = Words::new(value, at);
        Some(Self { nettype: words.next()?, addrtype: words.next()?, address: words.next()? })
    }

    /// The address, unless it is a name or multicast.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        core::str::from_utf8(self.address.text).ok()?.parse().ok()
    }
}

/// `m=<media> <port>[/<count>] <proto> <fmt> ...`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaLine<'a> {
    /// `message`, `audio`, ...
    pub media: Text<'a>,
    /// The port; 0 when refused.
    pub port: u16,
    /// Where the port stands, without a count.
    pub port_span: Span,
    /// Ports in a row; 1 unless written.
    pub port_count: u32,
    /// `TCP/MSRP`, `RTP/AVP`, ...
    pub proto: Text<'a>,
    /// The formats, separated by blanks; `*` for MSRP.
    pub formats: Text<'a>,
}

impl<'a> MediaLine<'a> {
    pub(crate) fn read(value: &'a [u8], at: usize) -> Option<Self> {
        let mut words = Words::new(value, at);
        let media = words.next()?;
        let ports = words.next()?;
        let digits = ports.text.split(|&b| b == b'/').next()?.len();
        let start = ports.span.start as usize;
        Some(Self {
            media,
            port: u16::try_from(decimal(&ports.text[..digits])?).ok()?,
            port_span: Span::new(start, start + digits),
            port_count: match ports.text.get(digits + 1..) {
                Some(count) => decimal(count)?,
                None => 1,
            },
            proto: words.next()?,
            formats: words.rest(),
        })
    }
}

/// `a=<name>` or `a=<name>:<value>`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The name as written.
    pub name: &'a [u8],
    /// What follows the colon, with any blank after it (`a=file-selector: name:` is legal here, R68).
    pub value: Option<Text<'a>>,
    /// The whole line with its line end.
    pub line: Span,
}

impl<'a> Attribute<'a> {
    fn read(value: Text<'a>, line: Line) -> Self {
        let colon = memchr::memchr(b':', value.text);
        let start = value.span.start as usize;
        Self {
            name: &value.text[..colon.unwrap_or(value.text.len())],
            value: colon.map(|at| Text {
                text: &value.text[at + 1..],
                span: Span::new(start + at + 1, start + value.text.len()),
            }),
            line: line.span,
        }
    }
}

macro_rules! words_enum {
    ($(#[$doc:meta])* $name:ident { $( $(#[$each:meta])* $variant:ident = $text:literal, )* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[$each])* $variant, )* }

        impl $name {
            /// As it stands in SDP.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text, )* }
            }

            /// Reads the word, blanks around it and case aside.
            #[must_use]
            pub fn from_name(word: &[u8]) -> Option<Self> {
                let word = wire::bytes_class::trim(word);
                [$( Self::$variant, )*].into_iter().find(|v| word.eq_ignore_ascii_case(v.as_str().as_bytes()))
            }
        }
    };
}

words_enum!(
    /// Who opens the connection (RFC 4145 §4).
    Setup {
        /// The writer of this connects.
        Active = "active",
        /// The writer of this listens.
        Passive = "passive",
        /// Either.
        Actpass = "actpass",
        /// Nobody yet.
        Holdconn = "holdconn",
    }
);

words_enum!(
    /// Which way media flows (RFC 8866 §6.7).
    Direction {
        /// Both.
        Sendrecv = "sendrecv",
        /// The writer only sends.
        Sendonly = "sendonly",
        /// The writer only receives.
        Recvonly = "recvonly",
        /// Neither.
        Inactive = "inactive",
    }
);

/// `IP4` or `IP6`.
#[must_use]
pub const fn address_type(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    }
}

/// Words of a line separated by blanks; one blank by the grammar, several in the field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Words<'a> {
    pub(crate) const fn new(text: &'a [u8], at: usize) -> Self {
        Self { text, at }
    }

    fn skip(&mut self, count: usize) {
        self.text = &self.text[count..];
        self.at += count;
    }

    fn skip_blanks(&mut self) {
        let blanks = self.text.iter().take_while(|&&b| is(b, BLANK)).count();
        self.skip(blanks);
    }

    fn rest(mut self) -> Text<'a> {
        self.skip_blanks();
        Text { text: self.text, span: Span::new(self.at, self.at + self.text.len()) }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Text<'a>;

    fn next(&mut self) -> Option<Text<'a>> {
        self.skip_blanks();
        let len = self.text.iter().take_while(|&&b| !is(b, BLANK)).count();
        let word = Text { text: &self.text[..len], span: Span::new(self.at, self.at + len) };
        self.skip(len);
        (len > 0).then_some(word)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Sdp;

    const CALL: &[u8] =
        b"v=0\r\no=oooo 5484 5485 IN IP4 10.166.37.216\r\ns=Sip Call\r\nc=IN IP4 10.166.37.162\r\n\
t=0 0\r\na=recvonly\r\nm=audio 1372/2 RTP/AVP 0 8\r\nc=IN IP6 2001:db8::1\r\na=rtcp:1373\r\na=sendonly\r\n\
m=video 0 RTP/AVP 34 117\r\nb=AS:768\r\n\
m=message  9  tcp/tls/msrp *\r\na=accept-type:message/cpim  text/*\r\na=SETUP: actpass\r\n\
a=file-selector: name:\"a.rar\" size:1\r\na=path:msrps://h:9/x;tcp\r\n";

    #[test]
    fn origin_has_its_six_fields() {
        let sdp = Sdp::parse(CALL).unwrap();
        let origin = sdp.session().origin().unwrap();
        assert_eq!(origin.username.text, b"oooo");
        assert_eq!(origin.version.text, b"5485");
        assert_eq!(origin.address.text, b"10.166.37.216");
        assert_eq!(origin.address.span.of(CALL), b"10.166.37.216");
    }

    #[test]
    fn media_falls_back_to_the_session() {
        let sdp = Sdp::parse(CALL).unwrap();
        let media: Vec<_> = sdp.media().collect();
        let facts: Vec<_> = media
            .iter()
            .map(|m| {
                (m.line().port, m.line().port_count, m.direction(), m.connection().unwrap().address.text)
            })
            .collect();
        assert_eq!(
            facts,
            [
                (1372, 2, Direction::Sendonly, &b"2001:db8::1"[..]),
                (0, 1, Direction::Recvonly, b"10.166.37.162"),
                (9, 1, Direction::Recvonly, b"10.166.37.162"),
            ]
        );
        assert!(media[1].is_disabled());
        assert_eq!(media[0].connection().unwrap().ip(), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(media[0].rtcp().unwrap().text, b"1373");
        assert_eq!(media[0].line().formats.text, b"0 8");
    }

    #[test]
    fn msrp_attributes_in_the_fields_own_spelling() {
        let sdp = Sdp::parse(CALL).unwrap();
        let message = sdp.media().nth(2).unwrap();
        assert!(message.is_msrp() && message.is_tls());
        assert_eq!(message.accept_types().collect::<Vec<_>>(), [&b"message/cpim"[..], b"text/*"]);
        assert_eq!(message.setup(), Some(Setup::Actpass));
        assert_eq!(message.file_selector().unwrap().text, b" name:\"a.rar\" size:1");
        assert_eq!(message.path().unwrap().first().unwrap().session_id(), Some(&b"x"[..]));
    }
}
