//! Finds the end of a head and its Content-Length, resuming where it stopped.

use crate::Limits;
use core::ops::Range;
use wire::Cause;
use wire::bytes_class::{self, BLANK, TOKEN, decimal, trim};

/// How far the head of one message was looked at.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// No line end is left unseen before this offset; `line_start <= scanned <= len`.
    scanned: usize,
    /// Where the line begins that is not complete.
    line_start: usize,
    /// A Content-Length value whose field may still be folded.
    open_length: Option<Range<usize>>,
    length: Option<u32>,
}

/// What a look at more bytes gave.
#[derive(Debug)]
pub(super) enum Step {
    /// The head goes on behind the bytes seen.
    More,
    /// The head ends at `head`.
    Head {
        /// Length of the head with its empty line.
        head: usize,
        /// Content-Length, if there is one.
        length: Option<u32>,
    },
    /// This is no head.
    Broken(Cause),
}

impl Scan {
    /// Looks at `bytes`, the message so far; those seen before are not looked at again.
    pub(super) fn advance(&mut self, bytes: &[u8], limits: &Limits) -> Step {
        if bytes.first().is_some_and(|&b| !bytes_class::is(b, TOKEN)) {
            return Step::Broken(Cause::NotSip);
        }
        let cap = bytes.len().min(limits.head_bytes_max);
        while let Some(found) = memchr::memchr(b'\n', bytes.get(self.scanned..cap).unwrap_or_default()) {
            let line_feed = self.scanned + found;
            match self.line(bytes, line_feed) {
                Ok(true) => {
                    let head = line_feed + 1;
                    return Step::Head { head, length: self.length };
                }
                Ok(false) => {}
                Err(cause) => return Step::Broken(cause),
            }
            self.scanned = line_feed + 1;
            self.line_start = self.scanned;
        }
        self.scanned = cap;
        if bytes.len() >= limits.head_bytes_max {
            return Step::Broken(Cause::HeadTooLong);
        }
        Step::More
    }

    /// One line is complete; `true` if it is the empty one.
    #[inline]
    fn line(&mut self, bytes: &[u8], line_feed: usize) -> Result<bool, Cause> {
        let line = bytes.get(self.line_start..line_feed).unwrap_or_default();
        // A lone LF could end a line for the next hop only: see `parse`.
        let Some(line) = line.strip_suffix(b"\r") else {
            return Err(if self.line_start == 0 { Cause::NotSip } else { Cause::BadHeaderLine });
        };
        if self.line_start == 0 {
            return if is_start_line(line) { Ok(false) } else { Err(Cause::NotSip) };
        }
        if line.first().is_some_and(|&b| bytes_class::is(b, BLANK)) {
            if let Some(value) = &mut self.open_length {
                value.end = line_feed;
            }
            return Ok(false);
        }
        if let Some(value) = self.open_length.take() {
            self.close_length(bytes.get(value).unwrap_or_default())?;
        }
        if line.is_empty() {
            return Ok(true);
        }
        if let Some(colon) = length_colon(line) {
            self.open_length = Some(self.line_start + colon + 1..line_feed);
        }
        Ok(false)
    }

    /// The same number twice is let pass, two numbers are not: the next hop might take the other.
    fn close_length(&mut self, value: &[u8]) -> Result<(), Cause> {
        let number = decimal(trim(value)).ok_or(Cause::BadContentLength)?;
        if self.length.is_some_and(|before| before != number) {
            return Err(Cause::BadContentLength);
        }
        self.length = Some(number);
        Ok(())
    }
}

/// The head as far as it came, if its first line is a SIP start line; at most the cap.
pub(super) fn head_so_far<'a>(bytes: &'a [u8], limits: &Limits) -> Option<&'a [u8]> {
    let head = &bytes[..bytes.len().min(limits.head_bytes_max)];
    let line_feed = memchr::memchr(b'\n', head)?;
    let line = head[..line_feed].strip_suffix(b"\r")?;
    is_start_line(line).then_some(head)
}

/// Whether a line could be a SIP start line of any version; `parse` looks closer.
fn is_start_line(line: &[u8]) -> bool {
    let is_version = |text: &[u8]| text.get(..4).is_some_and(|v| v.eq_ignore_ascii_case(b"SIP/"));
    let last = memchr::memrchr(b' ', trim(line)).map_or(0, |at| at + 1);
    is_version(line) || line.get(last..).is_some_and(is_version)
}

/// Where the colon stands, if the line is a Content-Length field.
#[inline]
fn length_colon(line: &[u8]) -> Option<usize> {
    let name_len = match line.first()? | 0x20 {
        b'l' => 1,
        b'c' => b"Content-Length".len(),
        _ => return None,
    };
    let (name, rest) = line.split_at_checked(name_len)?;
    if name_len > 1 && !name.eq_ignore_ascii_case(b"Content-Length") {
        return None;
    }
    let blanks = rest.iter().take_while(|&&b| bytes_class::is(b, BLANK)).count();
    (rest.get(blanks) == Some(&b':')).then_some(name_len + blanks)
}
