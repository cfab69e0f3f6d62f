//! SIP, SIPS and tel URIs, and what the field sends in their place.

mod equal;

pub use equal::equal;

use crate::Params;
use crate::text::{find_unquoted, span};
use crate::via::host_port as read_host_port;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire::bytes_class::{self, ALPHA, trim};
use wire::{Cause, Span};

/// What kind of URI it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`.
    Sip,
    /// `sips:`.
    Sips,
    /// `tel:`.
    Tel,
    /// No scheme: `user@host`, a host, or a number (R32, requirements §9).
    Bare,
    /// Any other: `urn:`, `http:`, `im:`; not looked into.
    Other,
}

/// A URI. Spans are offsets into the text given to `parse`.
#[derive(Clone, Copy, Debug)]
pub struct Uri<'a> {
    /// What kind it is.
    pub scheme: Scheme,
    /// The scheme as written, without colon; empty if `Bare`.
    pub scheme_text: &'a [u8],
    /// The user part without password; escapes as written. It may hold `;` and `=`.
    pub user: Option<&'a [u8]>,
    /// Where the user part lies; empty before the host if there is none.
    pub user_span: Span,
    /// The password.
    pub password: Option<&'a [u8]>,
    /// The host, IPv6 with brackets; empty for `Tel`, `Other` and bare numbers.
    pub host: &'a [u8],
    /// Where the host lies.
    pub host_span: Span,
    /// The port.
    pub port: Option<u16>,
    /// Where host and port lie: what R26 replaces in a Contact.
    pub host_port_span: Span,
    /// The URI parameters.
    pub params: Params<'a>,
    /// What follows `?`.
    pub headers: Option<&'a [u8]>,
    /// The number of `Tel` and of a bare number, as written: global if it begins with `+`.
    pub number: Option<&'a [u8]>,
    /// Where the number lies.
    pub number_span: Span,
}

/// A host and perhaps a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPort<'a> {
    /// Name or address, IPv6 with brackets.
    pub host: &'a [u8],
    /// The port, if it is written.
    pub port: Option<u16>,
}

impl HostPort<'_> {
    /// The address, if the host is one and no name.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        ip(self.host)
    }
}

/// The address that a host of a URI or Via is; `None` if it is a name.
#[must_use]
pub fn ip(host: &[u8]) -> Option<IpAddr> {
    let text = core::str::from_utf8(host).ok()?;
    match text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        Some(inside) => inside.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// Reads `host[:port]`.
#[must_use]
pub fn host_port(text: &[u8]) -> Option<HostPort<'_>> {
    let (host, port) = read_host_port(text, span(text, 0, text.len()))?;
    Some(HostPort { host, port })
}

/// Reads a URI.
///
/// Blanks are let pass at either end, behind the scheme, around the host and before the port, and
/// `sip: sip:x` is read as `sip:x` (requirements §9). Tags in quotes may stand among the parameters
/// (R26). A blank inside a Request-URI never gets here: the request line is refused.
///
/// # Errors
/// `BadRequestUri` if it is none.
pub fn parse(text: &[u8]) -> Result<Uri<'_>, Cause> {
    read(text).ok_or(Cause::BadRequestUri)
}

fn read(text: &[u8]) -> Option<Uri<'_>> {
    let whole = span(text, 0, text.len());
    let (start, end) = (whole.start as usize, whole.end as usize);
    if start == end {
        return None;
    }
    match scheme(text, start, end) {
        (scheme @ (Scheme::Sip | Scheme::Sips), colon) => {
            let at = skip_second_scheme(text, colon + 1, end);
            read_sip(text, scheme, text.get(start..colon)?, at, end)
        }
        (Scheme::Tel, colon) => read_tel(text, Scheme::Tel, text.get(start..colon)?, colon + 1, end),
        (Scheme::Other, colon) => {
            let mut uri = empty(Scheme::Other, text.get(start..colon)?);
            uri.number_span = Span::at(end);
            Some(uri)
        }
        (Scheme::Bare, _) if is_number(text.get(start..end)?) => {
            read_tel(text, Scheme::Bare, b"", start, end)
        }
        (Scheme::Bare, _) => read_sip(text, Scheme::Bare, b"", start, end),
    }
}

/// The scheme, and where its colon stands.
fn scheme(text: &[u8], start: usize, end: usize) -> (Scheme, usize) {
    let bare = (Scheme::Bare, start);
    let Some(name_len) = text[start..end].iter().position(|&b| !is_scheme_byte(b)) else {
        return bare;
    };
    let colon = start + name_len;
    let name = &text[start..colon];
    if text[colon] != b':' || !name.first().is_some_and(|&b| bytes_class::is(b, ALPHA)) {
        return bare;
    }
    if name.eq_ignore_ascii_case(b"sip") {
        (Scheme::Sip, colon)
    } else if name.eq_ignore_ascii_case(b"sips") {
        (Scheme::Sips, colon)
    } else if name.eq_ignore_ascii_case(b"tel") {
        (Scheme::Tel, colon)
    } else if is_port(&text[colon + 1..end]) {
        bare // `localhost:5060`
    } else {
        (Scheme::Other, colon)
    }
}

fn is_scheme_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

fn is_port(rest: &[u8]) -> bool {
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    digits > 0 && matches!(rest.get(digits), None | Some(b';' | b'?' | b' '))
}

/// `sip: sip:user2@h` (q08): the second scheme counts only behind a blank, which no URI may hold, so
/// that a user named `sip` with a password stays one.
fn skip_second_scheme(text: &[u8], at: usize, end: usize) -> usize {
    let rest = span(text, at, end).start as usize;
    if rest == at {
        return at;
    }
    match scheme(text, rest, end) {
        (Scheme::Sip | Scheme::Sips, colon) => colon + 1,
        _ => rest,
    }
}

fn read_sip<'a>(
    text: &'a [u8],
    scheme: Scheme,
    scheme_text: &'a [u8],
    at: usize,
    end: usize,
) -> Option<Uri<'a>> {
    let mut uri = empty(scheme, scheme_text);
    let at = span(text, at, end).start as usize;
    let sign = find_unquoted(text, at, end, b"@");
    let mut host = at;
    uri.user_span = Span::at(at);
    if sign < end {
        host = sign + 1;
        let userinfo = text.get(at..sign)?;
        let colon = memchr::memchr(b':', userinfo);
        let user = &userinfo[..colon.unwrap_or(userinfo.len())];
        if user.is_empty() || userinfo.iter().any(|&b| is_stray(b)) {
            return None;
        }
        uri.user = Some(user);
        uri.user_span = Span::new(at, at + user.len());
        uri.password = colon.map(|colon| &userinfo[colon + 1..]);
    }
    let params = find_unquoted(text, host, end, b";?");
    let headers = find_unquoted(text, params, end, b"?");
    uri.host_port_span = span(text, host, params);
    let (name, port) = read_host_port(text, uri.host_port_span)?;
    uri.host = name;
    uri.port = port;
    let host_start = uri.host_port_span.start as usize;
    uri.host_span = Span::new(host_start, host_start + name.len());
    uri.params = Params::new(text, Span::new(params, headers));
    uri.headers = text.get(headers + 1..end);
    Some(uri)
}

/// Bytes that no part of a URI may hold. 8-bit bytes pass: they are seen in user parts.
fn is_stray(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f || matches!(byte, b'<' | b'>' | b'"')
}

fn read_tel<'a>(
    text: &'a [u8],
    scheme: Scheme,
    scheme_text: &'a [u8],
    at: usize,
    end: usize,
) -> Option<Uri<'a>> {
    let mut uri = empty(scheme, scheme_text);
    let params = find_unquoted(text, at, end, b";");
    uri.number_span = span(text, at, params);
    let number = uri.number_span.of(text);
    let separators_only = number.iter().all(|&b| is_visual_separator(b));
    if separators_only || number.iter().any(|&b| is_stray(b) || b == b'@') {
        return None;
    }
    uri.number = Some(number);
    uri.params = Params::new(text, Span::new(params, end));
    Some(uri)
}

fn empty<'a>(scheme: Scheme, scheme_text: &'a [u8]) -> Uri<'a> {
    let nowhere = Span::default();
    Uri {
        scheme,
        scheme_text,
        user: None,
        user_span: nowhere,
        password: None,
        host: b"",
        host_span: nowhere,
        port: None,
        host_port_span: nowhere,
        params: Params::none(),
        headers: None,
        number: None,
        number_span: nowhere,
    }
}

/// Whether a text without scheme is a number: digits and visual separators, but no IPv4 address.
fn is_number(text: &[u8]) -> bool {
    let digits = trim(&text[..find_unquoted(text, 0, text.len(), b";")]);
    let rest = digits.strip_prefix(b"+").unwrap_or(digits);
    let dialled = |&b: &u8| b.is_ascii_digit() || matches!(b, b'*' | b'#') || is_visual_separator(b);
    rest.iter().any(u8::is_ascii_digit) && rest.iter().all(dialled) && ip(digits).is_none()
}

/// RFC 3966 §3 `visual-separator`.
#[must_use]
pub const fn is_visual_separator(byte: u8) -> bool {
    matches!(byte, b'-' | b'.' | b'(' | b')')
}

impl<'a> Uri<'a> {
    /// Host and port.
    #[must_use]
    pub fn host_port(&self) -> HostPort<'a> {
        HostPort { host: self.host, port: self.port }
    }

    /// A parameter: `None` if absent, empty if it has no value.
    #[must_use]
    pub fn param(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.params.get(name).map(Option::unwrap_or_default)
    }

    /// Whether it is a loose route. `lr:Dpt=...` of a cookie counts (R25).
    #[must_use]
    pub fn is_loose(&self) -> bool {
        let starts =
            |name: &[u8]| matches!(name, [b'l' | b'L', b'r' | b'R'] | [b'l' | b'L', b'r' | b'R', b':', ..]);
        self.params.iter().any(|(name, _)| starts(name))
    }

    /// The number it names: of tel, of a bare number, or the user part of `;user=phone` and of
    /// `sip:+...`, without the parameters that may follow in the user part.
    #[must_use]
    pub fn phone_number(&self) -> Option<&'a [u8]> {
        if self.number.is_some() {
            return self.number;
        }
        let user = self.user?;
        let phone = self.param(b"user").is_some_and(|v| v.eq_ignore_ascii_case(b"phone"));
        let number = &user[..memchr::memchr(b';', user).unwrap_or(user.len())];
        (phone || number.first() == Some(&b'+')).then_some(number)
    }

    /// Appends the canonical form under which two URIs of one user are the same key: scheme, user with
    /// needless escapes undone, host in lower case, port; or `tel:` and the digits. Parameters,
    /// password and headers are left out; no scheme counts as `sip:`.
    pub fn push_key(&self, out: &mut Vec<u8>) {
        if let Some(number) = self.number {
            out.extend_from_slice(b"tel:");
            let digits = number.iter().filter(|&&b| !is_visual_separator(b));
            out.extend(digits.map(u8::to_ascii_lowercase));
            return;
        }
        let scheme: &[u8] = if self.scheme == Scheme::Sips { b"sips:" } else { b"sip:" };
        out.extend_from_slice(scheme);
        if let Some(user) = self.user {
            equal::push_unescaped(user, out);
            out.push(b'@');
        }
        out.extend(self.host.iter().map(u8::to_ascii_lowercase));
        if let Some(port) = self.port {
            out.push(b':');
            bytes_class::push_decimal(u64::from(port), out);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
