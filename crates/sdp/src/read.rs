//! Bytes to lines: one pass, spans only.

use crate::view::{self, Media, Section};
use core::ops::Range;
use wire::{Cause, Span};

/// Caps on a description, so that a hostile one cannot cost much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of the whole description.
    pub bytes_max: usize,
    /// Lines.
    pub lines_max: usize,
    /// Media sections.
    pub media_max: usize,
}

impl Limits {
    /// No cap but the width of an offset.
    pub const UNLIMITED: Self =
        Self { bytes_max: u32::MAX as usize, lines_max: u32::MAX as usize, media_max: u32::MAX as usize };
}

impl Default for Limits {
    /// Offers of video terminals run to 6 kB and 150 lines; an order of magnitude above is hostile.
    fn default() -> Self {
        Self { bytes_max: 65_536, lines_max: 1_024, media_max: 32 }
    }
}

/// Why a description cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdpError {
    /// Always `Cause::BadSdp`; a field so that callers need no translation.
    pub cause: Cause,
    /// Offset of the offending line.
    pub offset: usize,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The letter before `=`.
    pub kind: u8,
    /// What stands after `=`, without the line end.
    pub value: Span,
    /// The whole line with its line end, if it has one.
    pub span: Span,
}

/// A description that was read: its bytes and where things are.
///
/// Every span counts from the start of these bytes; `Editor` shifts them to the whole message.
#[derive(Clone, Debug)]
pub struct Sdp<'a> {
    bytes: &'a [u8],
    lines: Vec<Line>,
    media: Vec<u32>, // index of each m= line; a section reaches to the next one
}

impl<'a> Sdp<'a> {
    /// Reads a description under the default caps.
    ///
    /// # Errors
    /// `Cause::BadSdp` if a line is not `x=...`, the first is not `v=0`, an `o=`, `c=` or `m=` line
    /// lacks a field, or a cap is exceeded.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SdpError> {
        Self::parse_within(bytes, &Limits::default())
    }

    /// Reads a description under the given caps.
    ///
    /// # Errors
    /// As `parse`.
    pub fn parse_within(bytes: &'a [u8], limits: &Limits) -> Result<Self, SdpError> {
        if bytes.len() > limits.bytes_max {
            return Err(bad(limits.bytes_max));
        }
        let mut sdp = Self {
            bytes,
            lines: Vec::with_capacity(24), // most messaging offers have 10..20 lines
            media: Vec::with_capacity(2),
        };
        let mut start = 0;
        while start < bytes.len() {
            let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |at| start + at + 1);
            let text = without_line_end(&bytes[start..end]);
            if text.is_empty() {
                // Blank lines may close a description (a part of multipart often carries one), not split it.
                return if wire::bytes_class::trim(&bytes[end..]).is_empty() {
                    sdp.checked()
                } else {
                    Err(bad(start))
                };
            }
            sdp.push_line(text, start..end, limits)?;
            start = end;
        }
        sdp.checked()
    }

    /// The bytes that were read.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Every line in order.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The lines before the first `m=`.
    #[must_use]
    pub fn session(&self) -> Section<'_> {
        let end = self.media.first().map_or(self.lines.len(), |&at| at as usize);
        Section::new(self.bytes, &self.lines[..end])
    }

    /// The media sections in order.
    pub fn media(&self) -> impl Iterator<Item = Media<'_>> {
        (0..self.media.len()).filter_map(|index| {
            let section = Section::new(self.bytes, &self.lines[self.media_lines(index)]);
            Media::new(index, section, self.session())
        })
    }

    fn media_lines(&self, index: usize) -> Range<usize> {
        let end = self.media.get(index + 1).map_or(self.lines.len(), |&at| at as usize);
        self.media[index] as usize..end
    }

    fn push_line(&mut self, text: &[u8], at: Range<usize>, limits: &Limits) -> Result<(), SdpError> {
        let [kind, b'=', value @ ..] = text else {
            return Err(bad(at.start));
        };
        let first = self.lines.is_empty();
        // A bare CR or a NUL would be a line end to some readers behind us and not to others.
        let torn = memchr::memchr2(b'\r', 0, value).is_some();
        if !kind.is_ascii_alphabetic() || torn || first != (*kind == b'v') || (first && value != b"0") {
            return Err(bad(at.start));
        }
        let readable = match kind {
            b'o' => view::Origin::read(value, 0).is_some(),
            b'c' => view::Connection::read(value, 0).is_some(),
            b'm' => view::MediaLine::read(value, 0).is_some(),
            _ => true,
        };
        let full = self.lines.len() >= limits.lines_max || self.media.len() > limits.media_max;
        if !readable || full {
            return Err(bad(at.start));
        }
        if *kind == b'm' {
            self.media.push(u32::try_from(self.lines.len()).map_err(|_| bad(at.start))?);
        }
        self.lines.push(Line {
            kind: *kind,
            value: Span::new(at.start + 2, at.start + 2 + value.len()),
            span: Span::new(at.start, at.end),
        });
        Ok(())
    }

    fn checked(self) -> Result<Self, SdpError> {
        if self.lines.is_empty() { Err(bad(0)) } else { Ok(self) }
    }
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

const fn bad(offset: usize) -> SdpError {
    SdpError { cause: Cause::BadSdp, offset }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const OFFER: &[u8] =
        b"v=0\r\no=Spider-Phone 28994 29098 IN IP4 182.1.1.203\r\ns=-\r\nc=IN IP4 182.1.1.203\r\n\
t=0 0\r\nm=message 10110 TCP/MSRP *\r\na=path:msrp://182.1.1.203:10110/10110;tcp\r\na=setup:active\r\n";

    #[test]
    fn every_line_is_found_and_together_they_are_the_input() {
        let sdp = Sdp::parse(OFFER).unwrap();
        let joined: Vec<u8> = sdp.lines().iter().flat_map(|l| l.span.of(OFFER)).copied().collect();
        assert_eq!(joined, OFFER);
        assert_eq!(sdp.session().lines().len(), 5);
        assert_eq!(sdp.media().count(), 1);
    }

    #[test]
    fn verdicts_of_odd_descriptions() {
        let table: &[(&str, &[u8], Option<usize>)] = &[
            ("bare LF", b"v=0\no=- 1 1 IN IP4 1.2.3.4\ns=\nt=0 0\n", None),
            ("empty s=", b"v=0\r\ns=\r\n", None),
            ("no line end at the end", b"v=0\r\nt=0 0", None),
            ("blank lines at the end", b"v=0\r\nt=0 0\r\n\r\n\r\n", None),
            ("blank line inside", b"v=0\r\n\r\nt=0 0\r\n", Some(5)),
            ("foreign boundary (q02)", b"v=0\r\n--BY\r\nContent-Type: message/cpim\r\n", Some(5)),
            ("not a letter", b"v=0\r\n1=x\r\n", Some(5)),
            ("no v=", b"o=- 1 1 IN IP4 1.2.3.4\r\n", Some(0)),
            ("two v=", b"v=0\r\nv=0\r\n", Some(5)),
            ("other version", b"v=1\r\n", Some(0)),
            ("nothing", b"", Some(0)),
            ("o= too short", b"v=0\r\no=- 1 1 IN IP4\r\n", Some(5)),
            ("c= too short", b"v=0\r\nc=IN IP4\r\n", Some(5)),
            ("m= without proto", b"v=0\r\nm=message 9\r\n", Some(5)),
            ("m= port over 65535", b"v=0\r\nm=message 65536 TCP/MSRP *\r\n", Some(5)),
            ("bare CR", b"v=0\r\na=x\ry\r\n", Some(5)),
            ("NUL", b"v=0\r\na=x\0y\r\n", Some(5)),
        ];
        for (name, bytes, wrong_at) in table {
            let verdict = Sdp::parse(bytes).err().map(|e| e.offset);
            assert_eq!(verdict, *wrong_at, "{name}");
        }
    }

    #[test]
    fn caps_hold() {
        let limits = Limits { bytes_max: OFFER.len(), lines_max: 8, media_max: 1 };
        assert!(Sdp::parse_within(OFFER, &limits).is_ok());
        for tighter in [
            Limits { bytes_max: OFFER.len() - 1, ..limits },
            Limits { lines_max: 7, ..limits },
            Limits { media_max: 0, ..limits },
        ] {
            assert!(Sdp::parse_within(OFFER, &tighter).is_err(), "{tighter:?}");
        }
    }

    #[test]
    fn no_prefix_of_a_description_panics_and_each_can_be_edited() {
        for end in 0..=OFFER.len() {
            crate::fuzz::sdp(&OFFER[..end]);
        }
    }
}
