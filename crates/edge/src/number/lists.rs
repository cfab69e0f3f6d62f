//! Numbers in the entries of a resource list (R44, RFC 4826 §3.1): `<entry uri="tel:28880001"/>`.
//!
//! Only the values of `uri` in `entry` elements are looked at; the rest of the document, whatever its
//! quality (R42), leaves as it came.

use super::{NumberPlan, Who};
use sip::{Message, multipart};
use wire::{EditList, Span};

impl NumberPlan {
    /// Completes the entries of the resource list in the body, if there is one.
    pub fn complete_list(
        &self,
        message: Message<'_>,
        who: &Who<'_>,
        scratch: &mut Vec<u8>,
        edits: &mut EditList,
    ) {
        // A body that cannot be split is the validation's business.
        let Ok(Some(found)) = multipart::find(message, "application", "resource-lists+xml") else {
            return;
        };
        let start = found.span.start as usize;
        let mut changed = false;
        for (from, to) in EntryUris::new(message.text(found.span)) {
            let value = Span::new(start + from, start + to);
            if self.completes(message.text(value), who, scratch) && is_plain(scratch) {
                edits.replace(value, scratch);
                changed = true;
            }
        }
        if let Some(part) = found.part.filter(|_| changed) {
            part.fit_content_length(edits);
        }
    }
}

/// Whether a value can stand in an attribute as it is.
fn is_plain(value: &[u8]) -> bool {
    !value.iter().any(|b| matches!(b, b'<' | b'>' | b'&' | b'"' | b'\''))
}

/// Where the values of `uri` in `entry` elements lie, in a document of any quality.
pub(super) struct EntryUris<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> EntryUris<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Moves behind the next `what`; false at the end.
    fn skip_behind(&mut self, what: &[u8]) -> bool {
        match memchr::memmem::find(self.rest(), what) {
            Some(found) => {
                self.at += found + what.len();
                true
            }
            None => {
                self.at = self.text.len();
                false
            }
        }
    }

    fn name(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let ends = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'=' | b'>' | b'/' | b'<' | b'"' | b'\'');
        let len = rest.iter().position(ends).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(rest.len());
    }

    /// `name = "value"`: the name and where the value lies; `None` at the end of the tag.
    fn attribute(&mut self) -> Option<(&'a [u8], (usize, usize))> {
        self.blanks();
        let name = self.name();
        self.blanks();
        if name.is_empty() || self.rest().first() != Some(&b'=') {
            return None;
        }
        self.at += 1;
        self.blanks();
        let quote = *self.rest().first().filter(|b| matches!(b, b'"' | b'\''))?;
        self.at += 1;
        let start = self.at;
        self.skip_behind(&[quote]).then(|| (name, (start, self.at - 1)))
    }
}

impl Iterator for EntryUris<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        while self.skip_behind(b"<") {
            if self.rest().starts_with(b"!--") {
                self.skip_behind(b"-->");
                continue;
            }
            if self.rest().starts_with(b"![CDATA[") {
                self.skip_behind(b"]]>");
                continue;
            }
            let tag = self.name();
            if local(tag) != b"entry" {
                continue;
            }
            while let Some((name, value)) = self.attribute() {
                if name == b"uri" {
                    return Some(value);
                }
            }
        }
        None
    }
}

/// The name without its namespace prefix.
fn local(name: &[u8]) -> &[u8] {
    memchr::memrchr(b':', name).map_or(name, |at| &name[at + 1..])
}
