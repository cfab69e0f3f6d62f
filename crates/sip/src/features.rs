//! Feature tags in Accept-Contact, Reject-Contact and Contact, read as leniently as the field needs.

use crate::text::{find_unquoted, span};
use crate::{HeaderId, Message};
use wire::Span;
use wire::bytes_class::trim;

/// One feature tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature<'a> {
    /// Its name without the leading `+` and without what was glued before it: `g.3gpp.icsi-ref`.
    pub name: &'a [u8],
    /// Its value without quotes, straight or curly; `None` without `=`.
    pub value: Option<&'a [u8]>,
}

impl Feature<'_> {
    /// Whether its value names this service: `oma.cpm.session` (see `service`).
    #[must_use]
    pub fn names(&self, wanted: &str) -> bool {
        self.value.and_then(service).is_some_and(|found| same_service(found, wanted.as_bytes()))
    }
}

/// The feature tags of all fields with this id.
///
/// For classification only: the bytes themselves are forwarded as they came. Accepted (requirements
/// §9): `*+g...`, `*;*+g`, `*,+g` (q11), the field name repeated inside the value (q04), a quote left
/// open (q01), curly quotes (q11), `g.3gpp` without `+`.
pub fn features(message: Message<'_>, id: HeaderId) -> impl Iterator<Item = Feature<'_>> {
    message.all(id).flat_map(move |field| Features { bytes: message.bytes(), at: field.value })
}

/// The feature tags in one text.
pub fn features_in(text: &[u8]) -> impl Iterator<Item = Feature<'_>> {
    Features { bytes: text, at: span(text, 0, text.len()) }
}

struct Features<'a> {
    bytes: &'a [u8],
    at: Span,
}

impl<'a> Iterator for Features<'a> {
    type Item = Feature<'a>;

    fn next(&mut self) -> Option<Feature<'a>> {
        while !self.at.is_empty() {
            let (start, end) = (self.at.start as usize, (self.at.end as usize).min(self.bytes.len()));
            let stop = find_unquoted(self.bytes, start, end, b";,");
            let piece = self.bytes.get(start..stop)?;
            self.at = Span { start: ((stop + 1).min(end)) as u32, end: end as u32 };
            if let Some(feature) = read(piece) {
                return Some(feature);
            }
        }
        None
    }
}

fn read(piece: &[u8]) -> Option<Feature<'_>> {
    let equals = memchr::memchr(b'=', piece);
    let (name, value) = match equals {
        Some(at) => (&piece[..at], Some(strip_quotes(&piece[at + 1..]))),
        None => (piece, None),
    };
    // Whatever was glued before the tag ends at the last `*`, `+`, blank or colon.
    let glue = |b: &u8| matches!(b, b'*' | b'+' | b' ' | b'\t' | b':');
    let name = trim(name);
    let name = &name[name.iter().rposition(glue).map_or(0, |at| at + 1)..];
    (!name.is_empty()).then_some(Feature { name, value })
}

/// Straight quotes, and the three-byte typographic ones (q11).
fn strip_quotes(text: &[u8]) -> &[u8] {
    let mut text = trim(text);
    loop {
        let rest = match text {
            [b'"', rest @ ..] | [0xE2, 0x80, 0x9C | 0x9D, rest @ ..] => rest,
            [rest @ .., b'"' | b'>'] | [rest @ .., 0xE2, 0x80, 0x9C | 0x9D] => rest,
            _ => return text,
        };
        text = trim(rest);
    }
}

/// The service that a tag value or a P-Preferred-Service names: what follows `.ims.icsi.` or
/// `.ims.iari.`, up to `;`, whatever stands before it (`urn:urn-7:3gpp-service`, `urn%3Aurn-7%3A3gpp-service`,
/// `urn:3Aurn-7%3A3gppservice`: one normal form only for classification).
#[must_use]
pub fn service(value: &[u8]) -> Option<&[u8]> {
    const MARK: usize = b".ims.icsi.".len();
    let is_mark = |window: &[u8]| {
        window.eq_ignore_ascii_case(b".ims.icsi.") || window.eq_ignore_ascii_case(b".ims.iari.")
    };
    let at = value.windows(MARK).position(is_mark)?;
    let rest = value.get(at + MARK..)?;
    let end = rest.iter().position(|b| matches!(b, b';' | b'"' | b'>' | b',')).unwrap_or(rest.len());
    Some(strip_quotes(&rest[..end])).filter(|name| !name.is_empty())
}

/// Whether two service names are the same but for case and stray blanks (`rcs .mnc000`).
#[must_use]
pub fn same_service(a: &[u8], b: &[u8]) -> bool {
    letters(a).eq(letters(b))
}

fn letters(name: &[u8]) -> impl Iterator<Item = u8> {
    let bytes = name.iter().filter(|b| !matches!(b, b' ' | b'\t'));
    bytes.map(u8::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Vec<(String, Option<String>)> {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        features_in(text.as_bytes()).map(|f| (lossy(f.name), f.value.map(lossy))).collect()
    }

    #[test]
    fn tags_are_found_in_every_spelling() {
        let icsi = |value: &str| vec![("g.3gpp.icsi-ref".to_owned(), Some(value.to_owned()))];
        for text in [
            "*;+g.3gpp.icsi-ref=\"v\"",
            "*;+g.3gpp.icsi-ref= \"v\" ",
            "*;+g.3gpp.icsi-ref=\"v",
            "*;g.3gpp.icsi-ref=v",
            "*+g.3gpp.icsi-ref=\u{201c}v\u{201d}",
            "*;*+g.3gpp.icsi-ref=\"v\"",
            "*,+g.3gpp.icsi-ref=\"v\"",
            "*; Accept-Contact: *;+g.3gpp.icsi-ref=\"v",
        ] {
            assert_eq!(shape(text), icsi("v"), "{text}");
        }
        assert_eq!(shape("*"), []);
        assert_eq!(shape(""), []);
        assert_eq!(
            shape("*;+g.x=\"a;vs=1\";barCycle;require"),
            [
                ("g.x".to_owned(), Some("a;vs=1".to_owned())),
                ("barCycle".to_owned(), None),
                ("require".to_owned(), None)
            ]
        );
    }

    #[test]
    fn services_are_read_from_every_urn() {
        for value in [
            "urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.msg",
            "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.msg",
            "urn:3Aurn-7%3A3gppservice.ims.icsi.oma.cpm.msg;vs=1",
            "urn:urn-7: 3gpp-service.ims.iari.oma.cpm.msg\"",
            "x.IMS.ICSI.oma.cpm .msg",
        ] {
            let found = service(value.as_bytes()).unwrap_or_default();
            assert!(same_service(found, b"OMA.cpm.msg"), "{value}");
        }
        assert_eq!(service(b"urn:service:sos"), None);
        assert_eq!(service(b".ims.icsi."), None);
        assert!(!same_service(b"oma.cpm.msg", b"oma.cpm.msgs"));
    }
}
