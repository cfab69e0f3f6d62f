//! A URI read as a number.

use super::pattern::without_port;
use smallvec::SmallVec;
use wire::bytes_class::trim;

/// What the digits of a number are kept in while it is worked on.
pub(super) type Digits = SmallVec<[u8; 32]>;

/// A URI read as a number.
pub(super) struct Dialled<'a> {
    pub(super) shape: Shape<'a>,
    pub(super) number: Number,
    /// What follows the number, from the first `;`.
    params: &'a [u8],
}

#[derive(Clone, Copy)]
pub(super) enum Shape<'a> {
    Bare,
    Tel,
    /// `before` ends with the colon, `after` starts with the `@`.
    Sip {
        before: &'a [u8],
        after: &'a [u8],
    },
}

pub(super) struct Number {
    pub(super) digits: Digits,
    /// Written with a `+`.
    pub(super) global: bool,
}

/// Where a local number is valid (RFC 3966 §5.1.5).
pub(super) enum Context<'a> {
    None,
    Global(Digits),
    Domain(&'a [u8]),
}

impl<'a> Dialled<'a> {
    pub(super) fn read(uri: &'a [u8]) -> Option<Self> {
        let uri = bare(uri);
        if let Some(rest) = after_scheme(uri, b"tel:") {
            let (number, params) = split_at_byte(rest, b';');
            return Self::of(Shape::Tel, number, params);
        }
        let sip = after_scheme(uri, b"sip:").or_else(|| after_scheme(uri, b"sips:"));
        let Some(rest) = sip else {
            return Self::of(Shape::Bare, uri, b"");
        };
        let (user, after) = split_at_byte(rest, b'@');
        if !is_phone(after) {
            return None;
        }
        let before = &uri[..uri.len() - rest.len()];
        let (number, params) = split_at_byte(user, b';');
        Self::of(Shape::Sip { before, after }, number, params)
    }

    fn of(shape: Shape<'a>, number: &[u8], params: &'a [u8]) -> Option<Self> {
        Some(Self { shape, number: Number::read(number)?, params })
    }

    pub(super) fn is_bare(&self) -> bool {
        matches!(self.shape, Shape::Bare)
    }

    pub(super) fn params(&self) -> impl Iterator<Item = &'a [u8]> {
        self.params.split(|&b| b == b';').map(trim).filter(|p| !p.is_empty())
    }

    pub(super) fn context(&self) -> Context<'a> {
        let Some(context) = self.params().find_map(context_in) else {
            return Context::None;
        };
        match Number::read(context) {
            Some(number) if number.global => Context::Global(number.digits),
            _ => Context::Domain(context),
        }
    }

    /// The parameters of the number that outlive its completion.
    pub(super) fn kept_params(&self) -> impl Iterator<Item = &'a [u8]> {
        self.params().filter(|p| context_in(p).is_none())
    }
}

impl Shape<'_> {
    /// The scheme, if there is one.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Bare => "bare digits",
            Self::Tel => "tel",
            Self::Sip { .. } => "sip",
        }
    }

    /// The host of a SIP URI that says nothing beyond `host;user=phone`: it can become a `tel:` URI
    /// without loss (RFC 3261 §19.1.6).
    pub(super) fn plain_host(&self) -> Option<&[u8]> {
        let Self::Sip { after, .. } = self else { return None };
        let (host_port, params) = split_at_byte(after.strip_prefix(b"@")?, b';');
        let host = without_port(host_port);
        (params.eq_ignore_ascii_case(b";user=phone") && host.len() == host_port.len()).then_some(host)
    }
}

impl Number {
    /// Reads `+` and digits; visual separators of RFC 3966 §5.1.1 fall away.
    fn read(text: &[u8]) -> Option<Self> {
        let (global, rest) = match text {
            [b'+', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let mut digits = Digits::new();
        for &b in rest {
            match b {
                b'0'..=b'9' if digits.len() < digits.inline_size() => digits.push(b),
                b'-' | b'.' | b'(' | b')' => {}
                _ => return None,
            }
        }
        (!digits.is_empty()).then_some(Self { digits, global })
    }
}

/// Without blanks and `<>` around it.
pub(super) fn bare(uri: &[u8]) -> &[u8] {
    match trim(uri) {
        [b'<', inner @ .., b'>'] => trim(inner),
        uri => uri,
    }
}

/// The global number in a URI, as its digits without the `+`.
pub(super) fn number_of(uri: &[u8]) -> Option<Digits> {
    let uri = trim(uri);
    let rest = [&b"tel:"[..], b"sip:", b"sips:"].iter().find_map(|scheme| after_scheme(uri, scheme))?;
    let (user, _) = split_at_byte(rest, b'@');
    let (number, _) = split_at_byte(user, b';');
    let number = Number::read(number)?;
    number.global.then_some(number.digits)
}

pub(super) fn after_scheme<'a>(uri: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = uri.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// `text` up to `byte`, and from it on.
fn split_at_byte(text: &[u8], byte: u8) -> (&[u8], &[u8]) {
    text.split_at(memchr::memchr(byte, text).unwrap_or(text.len()))
}

/// Whether what follows the user part says `user=phone`; without it the user is a name (RFC 3261 §19.1.1).
fn is_phone(after: &[u8]) -> bool {
    let (uri, _headers) = split_at_byte(after, b'?');
    uri.split(|&b| b == b';').skip(1).any(|param| trim(param).eq_ignore_ascii_case(b"user=phone"))
}

fn context_in(param: &[u8]) -> Option<&[u8]> {
    after_scheme(param, b"phone-context=")
}
