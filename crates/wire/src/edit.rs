//! Changes to a message as a list, gathered into a reused buffer in one pass.
//!
//! ```text
//! source   [....|xxxx|........|.....|yyyy]
//! edits         Replace(span)  Insert  Remove
//! gathered [....|NEW|........|INS|.....|]
//! ```

use crate::span::Span;

/// Edits over one source buffer. Reuse it: `clear` keeps the memory.
///
/// Edits may be added in any order. Two insertions at one place keep their order of arrival; an
/// insertion at the start of a replaced or removed span comes before it.
#[derive(Clone, Debug, Default)]
pub struct EditList {
    edits: Vec<Edit>,
    fresh: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Edit {
    old: Span,
    new: Span, // into `fresh`
}

/// How far a list had grown.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint {
    edits: usize,
    fresh: usize,
}

/// Two edits want the same bytes: a bug of the caller, never of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Where the second edit starts.
    pub at: usize,
}

impl EditList {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all edits and keeps the memory.
    pub fn clear(&mut self) {
        self.edits.clear();
        self.fresh.clear();
    }

    /// Where the list stands, for `rewind`.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { edits: self.edits.len(), fresh: self.fresh.len() }
    }

    /// Forgets the edits made since `to`; not after `gather`, which puts them in order.
    pub fn rewind(&mut self, to: Checkpoint) {
        self.edits.truncate(to.edits);
        self.fresh.truncate(to.fresh);
    }

    /// Whether nothing would change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Whether a change of `span` would overlap one that is in the list.
    #[must_use]
    pub fn touches(&self, span: Span) -> bool {
        let inside = |at: u32, of: Span| of.start < at && at < of.end;
        self.edits.iter().any(|e| match (e.old.is_empty(), span.is_empty()) {
            (true, _) => inside(e.old.start, span),
            (false, true) => inside(span.start, e.old),
            (false, false) => e.old.start < span.end && span.start < e.old.end,
        })
    }

    /// Takes `old` out.
    pub fn remove(&mut self, old: Span) {
        self.replace(old, b"");
    }

    /// Puts `new` in the place of `old`.
    pub fn replace(&mut self, old: Span, new: &[u8]) {
        self.replace_with(old, |fresh| fresh.extend_from_slice(new));
    }

    /// Puts `new` before the byte at `at`.
    pub fn insert(&mut self, at: usize, new: &[u8]) {
        self.replace(Span::at(at), new);
    }

    /// Puts what `write` appends in the place of `old`.
    pub fn replace_with(&mut self, old: Span, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.fresh.len();
        write(&mut self.fresh);
        self.edits.push(Edit { old, new: Span::new(start, self.fresh.len()) });
    }

    /// Puts what `write` appends before the byte at `at`.
    pub fn insert_with(&mut self, at: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.replace_with(Span::at(at), write);
    }

    /// The length that `gather` will write for a source of `source_len` bytes.
    #[must_use]
    pub fn gathered_len(&self, source_len: usize) -> usize {
        let added: usize = self.edits.iter().map(|e| e.new.len()).sum();
        let taken: usize = self.edits.iter().map(|e| e.old.len()).sum();
        (source_len + added).saturating_sub(taken)
    }

    /// How many bytes longer (or shorter, if negative) the edits inside `within` make it.
    #[must_use]
    pub fn growth(&self, within: Span) -> i64 {
        let inside = |e: &&Edit| e.old.start >= within.start && e.old.end <= within.end;
        self.edits.iter().filter(inside).map(|e| e.new.len() as i64 - e.old.len() as i64).sum()
    }

    /// Appends the edited source to `out` and returns how many bytes that were.
    ///
    /// # Errors
    /// `Overlap` if two edits cover the same bytes or lie outside the source; `out` is left as it was.
    pub fn gather(&mut self, source: &[u8], out: &mut Vec<u8>) -> Result<usize, Overlap> {
        // Stable, and nearly sorted already: stages walk the message forward.
        self.edits.sort_by_key(|e| (e.old.start, e.old.end));
        let before = out.len();
        out.reserve(self.gathered_len(source.len()));
        let mut copied = 0;
        for edit in &self.edits {
            let old = edit.old.range();
            if old.start < copied || old.end > source.len() {
                out.truncate(before);
                return Err(Overlap { at: old.start });
            }
            out.extend_from_slice(&source[copied..old.start]);
            out.extend_from_slice(edit.new.of(&self.fresh));
            copied = old.end;
        }
        out.extend_from_slice(&source[copied..]);
        Ok(out.len() - before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(source: &[u8], edits: &mut EditList) -> Vec<u8> {
        let mut out = Vec::new();
        let predicted = edits.gathered_len(source.len());
        assert_eq!(edits.gather(source, &mut out), Ok(predicted));
        out
    }

    #[test]
    fn no_edit_gives_the_same_bytes() {
        assert_eq!(gathered(b"abc", &mut EditList::new()), b"abc");
    }

    #[test]
    fn edits_apply_in_place_order_whatever_the_order_of_arrival() {
        let mut edits = EditList::new();
        edits.remove(Span::new(6, 8));
        edits.insert(0, b"<");
        edits.replace(Span::new(2, 4), b"XYZ");
        edits.insert(10, b">");
        assert_eq!(gathered(b"0123456789", &mut edits), b"<01XYZ4589>");
    }

    #[test]
    fn insertions_at_one_place_keep_their_order_and_precede_a_replacement() {
        let mut edits = EditList::new();
        edits.insert(2, b"a");
        edits.replace(Span::new(2, 3), b"R");
        edits.insert(2, b"b");
        assert_eq!(gathered(b"0123", &mut edits), b"01abR3");
    }

    #[test]
    fn what_touches_overlaps_and_nothing_else() {
        let mut edits = EditList::new();
        edits.replace(Span::new(4, 7), b"x");
        edits.insert(10, b"y");
        for (start, end, touches) in [
            (0, 4, false),
            (7, 9, false),
            (0, 5, true),
            (6, 8, true),
            (5, 5, true),
            (4, 4, false),
            (7, 7, false),
            (10, 12, false),
            (8, 10, false),
            (9, 11, true),
            (10, 10, false),
        ] {
            assert_eq!(edits.touches(Span::new(start, end)), touches, "{start}..{end}");
        }
    }

    #[test]
    fn overlap_is_refused_and_leaves_the_output_alone() {
        let mut edits = EditList::new();
        edits.remove(Span::new(1, 4));
        edits.replace(Span::new(3, 5), b"x");
        let mut out = b"kept".to_vec();
        assert_eq!(edits.gather(b"0123456", &mut out), Err(Overlap { at: 3 }));
        assert_eq!(out, b"kept");
    }

    #[test]
    fn what_was_rewound_never_happened() {
        let mut edits = EditList::new();
        edits.insert(1, b"x");
        let before = edits.checkpoint();
        edits.replace(Span::new(0, 3), b"other");
        edits.rewind(before);
        edits.insert(2, b"y");
        assert_eq!(gathered(b"abc", &mut edits), b"axbyc");
    }

    #[test]
    fn growth_counts_only_inside() {
        let mut edits = EditList::new();
        edits.replace(Span::new(1, 3), b"12345");
        edits.remove(Span::new(8, 9));
        assert_eq!(edits.growth(Span::new(0, 5)), 3);
        assert_eq!(edits.growth(Span::new(5, 10)), -1);
    }
}
