//! `;name=value` lists, in header fields and in URIs.

use crate::text::{find_unquoted, span, unquote};
use wire::Span;

/// A lazy `;name[=value]` list inside a message or a URI.
///
/// Lenient by requirements §9: blanks around `;` and `=`, empty members and a last `;` are let pass; a
/// quote left open ends with the list.
#[derive(Clone, Copy)]
pub struct Params<'a> {
    bytes: &'a [u8],
    within: Span,
}

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// Its name as written.
    pub name: &'a [u8],
    /// Its value as written, quotes included; `None` without `=`.
    pub value: Option<&'a [u8]>,
    /// From the `;` before it to its last byte: what to remove to make it vanish.
    pub span: Span,
    /// Where the value lies; empty behind the name if there is none.
    pub value_span: Span,
}

impl<'a> Params<'a> {
    /// The parameters in this part of `bytes`, which begins with the first `;` or is empty.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8], within: Span) -> Self {
        Self { bytes, within }
    }

    /// No parameters.
    #[must_use]
    pub fn none() -> Self {
        Self::new(b"", Span::default())
    }

    /// Where they lie, first `;` included.
    #[inline]
    #[must_use]
    pub fn span(self) -> Span {
        self.within
    }

    /// They as written, first `;` included.
    #[inline]
    #[must_use]
    pub fn text(self) -> &'a [u8] {
        self.bytes.get(self.within.range()).unwrap_or_default()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.entries().next().is_none()
    }

    /// Names and raw values, in order.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone {
        self.entries().map(|p| (p.name, p.value))
    }

    /// Names, raw values and spans, in order.
    #[inline]
    #[must_use]
    pub fn entries(self) -> Entries<'a> {
        Entries {
            bytes: self.bytes,
            at: self.within.start as usize,
            end: (self.within.end as usize).min(self.bytes.len()),
        }
    }

    /// The first parameter with this name, in any case.
    #[inline]
    #[must_use]
    pub fn find(self, name: &[u8]) -> Option<Param<'a>> {
        self.entries().find(|p| p.name.eq_ignore_ascii_case(name))
    }

    /// The raw value of the first parameter with this name; `Some(None)` if it stands without `=`.
    #[inline]
    #[must_use]
    pub fn get(self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.find(name).map(|p| p.value)
    }

    /// The value of the first parameter with this name, without quotes.
    #[inline]
    #[must_use]
    pub fn value(self, name: &[u8]) -> Option<&'a [u8]> {
        self.get(name)?.map(unquote)
    }

    /// Whether this name is there, with or without value.
    #[inline]
    #[must_use]
    pub fn has(self, name: &[u8]) -> bool {
        self.find(name).is_some()
    }

    /// Where the first parameter with this name lies, the `;` before it included.
    #[must_use]
    pub fn span_of(self, name: &[u8]) -> Option<Span> {
        self.find(name).map(|p| p.span)
    }
}

impl core::fmt::Debug for Params<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Params({:?})", self.text().escape_ascii())
    }
}

/// The walk over a parameter list.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Param<'a>;

    #[inline]
    fn next(&mut self) -> Option<Param<'a>> {
        while self.at < self.end {
            let bytes = self.bytes;
            let start = self.at;
            let after_semicolon = start + usize::from(bytes.get(start) == Some(&b';'));
            let stop = find_unquoted(bytes, after_semicolon, self.end, b";");
            self.at = stop;
            let whole = span(bytes, after_semicolon, stop);
            if whole.is_empty() {
                continue;
            }
            let (from, to) = (whole.start as usize, whole.end as usize);
            let equals = find_unquoted(bytes, from, to, b"=");
            let name = span(bytes, from, equals);
            let value_span = if equals < to {
                span(bytes, equals + 1, to)
            } else {
                Span { start: whole.end, end: whole.end }
            };
            return Some(Param {
                name: name_of(bytes, name),
                value: (equals < to).then(|| name_of(bytes, value_span)),
                span: Span { start: start as u32, end: whole.end },
                value_span,
            });
        }
        None
    }
}

#[inline]
fn name_of(bytes: &[u8], span: Span) -> &[u8] {
    bytes.get(span.range()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Params<'_> {
        Params::new(text.as_bytes(), Span::new(0, text.len()))
    }

    #[test]
    fn lists_are_read_leniently() {
        type Expected = &'static [(&'static str, Option<&'static str>)];
        let cases: &[(&str, Expected)] = &[
            ("", &[]),
            (";", &[]),
            (";a", &[("a", None)]),
            (";a=1;b = 2 ;; c;", &[("a", Some("1")), ("b", Some("2")), ("c", None)]),
            (";a=\"x;y=z\";b", &[("a", Some("\"x;y=z\"")), ("b", None)]),
            (";a=\"open;b", &[("a", Some("\"open;b"))]),
            (";expires=3600+g.3gpp=\"u\"", &[("expires", Some("3600+g.3gpp=\"u\""))]),
            (";a=", &[("a", Some(""))]),
            (";lr:Dpt=7a8_246", &[("lr:Dpt", Some("7a8_246"))]),
        ];
        for (text, expected) in cases {
            let got: Vec<_> = params(text).iter().map(|(n, v)| (n.to_vec(), v.map(<[u8]>::to_vec))).collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(n, v)| (n.as_bytes().to_vec(), v.map(|v| v.as_bytes().to_vec())))
                .collect();
            assert_eq!(got, expected, "{text}");
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_spans_reach_from_semicolon_to_last_byte() {
        let text = ";transport=tcp ;LR; q=\"0.5\"";
        let list = params(text);
        assert_eq!(list.get(b"lr"), Some(None));
        assert_eq!(list.get(b"absent"), None);
        assert_eq!(list.value(b"Q"), Some(&b"0.5"[..]));
        let of = |name: &[u8]| list.span_of(name).map(|s| s.of(text.as_bytes()).to_vec());
        assert_eq!(of(b"transport"), Some(b";transport=tcp".to_vec()));
        assert_eq!(of(b"lr"), Some(b";LR".to_vec()));
        assert_eq!(of(b"q"), Some(b"; q=\"0.5\"".to_vec()));
    }
}
