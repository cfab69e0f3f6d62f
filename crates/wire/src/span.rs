//! A range of a buffer that is not borrowed.

/// A half-open byte range `start..end` into some message buffer.
///
/// Eight bytes, so that a header index of 64 fields stays within two cache pages. Offsets are
/// `u32`: messages are capped far below 4 GiB by the framer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte; `start <= end`.
    pub end: u32,
}

impl Span {
    /// Makes a span from buffer offsets.
    ///
    /// # Panics
    /// If an offset does not fit `u32`; framers cap messages far below.
    #[inline]
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end, "span {start}..{end}");
        let narrow = |n: usize| u32::try_from(n).expect("framers cap messages below 4 GiB");
        Self { start: narrow(start), end: narrow(end) }
    }

    /// An empty span at `at`: an insertion point.
    #[inline]
    #[must_use]
    pub fn at(at: usize) -> Self {
        Self::new(at, at)
    }

    /// Length in bytes.
    #[inline]
    #[must_use]
    pub const fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether the span covers no byte.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// As a slice index.
    #[inline]
    #[must_use]
    pub const fn range(self) -> core::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The bytes of `buffer` that this span covers; empty if it lies outside.
    ///
    /// Never panics: a span that outlived its buffer finds nothing.
    #[inline]
    #[must_use]
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.range()).unwrap_or_default()
    }

    /// The span of `part`, which must be a sub-slice of `whole`.
    ///
    /// Returns `None` when `part` does not lie inside `whole` (by address).
    #[inline]
    #[must_use]
    pub fn within(whole: &[u8], part: &[u8]) -> Option<Self> {
        let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
        let end = start.checked_add(part.len())?;
        (end <= whole.len()).then(|| Self::new(start, end))
    }

    /// The same span seen from a buffer that starts `by` bytes earlier.
    #[inline]
    #[must_use]
    pub fn shifted(self, by: usize) -> Self {
        Self::new(self.start as usize + by, self.end as usize + by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_outside_its_buffer_is_empty() {
        assert_eq!(Span::new(3, 9).of(b"short"), b"");
        assert_eq!(Span::new(1, 3).of(b"short"), b"ho");
    }

    #[test]
    fn within_finds_a_sub_slice_and_refuses_a_stranger() {
        let whole = b"INVITE sip:a@b SIP/2.0".to_vec();
        assert_eq!(Span::within(&whole, &whole[7..14]), Some(Span::new(7, 14)));
        assert_eq!(Span::within(&whole[7..9], &whole[7..14]), None);
        assert_eq!(Span::within(&whole[7..9], &whole[..2]), None);
    }
}
