//! How long messages are that come in several chunks, whatever their Byte-Ranges say.
//!
//! A sender may interleave the chunks of several messages (RFC 4975 §5.1), so one counter is not enough:
//! taking turns between two messages would start each anew with every chunk, and slip past any limit.

use core::time::Duration;
use wire::Instant;

/// Messages of one sender that are neither complete nor abandoned.
///
/// Costs nothing while there are none: a message in one chunk is never kept here.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    begun: Vec<Begun>,
}

#[derive(Debug)]
struct Begun {
    /// Of its Message-ID.
    hash: u64,
    octets: u64,
    last_at: Instant,
}

/// Messages that one sender may have begun at one time; RFC 4975 senders have one or two.
const BEGUN_MAX: usize = 8;
/// A message that got no chunk for so long may be forgotten for another one.
const FORGET_AFTER: Duration = Duration::from_secs(30);

impl Sizes {
    /// Where a chunk of this message begins, by its own word or by what came before: the later of both.
    pub(super) fn position(&self, hash: u64, start: u64) -> u64 {
        let known = self.begun.iter().find(|begun| begun.hash == hash);
        known.map_or(start, |known| known.octets.max(start))
    }

    /// A chunk ended, and more of its message follow. False if too many messages are begun.
    pub(super) fn keep(&mut self, hash: u64, octets: u64, now: Instant) -> bool {
        let begun = Begun { hash, octets, last_at: now };
        let oldest = self.begun.iter().enumerate().min_by_key(|(_, begun)| begun.last_at).map(|(at, _)| at);
        if let Some(known) = self.begun.iter_mut().find(|known| known.hash == hash) {
            *known = begun;
        } else if self.begun.len() < BEGUN_MAX {
            self.begun.push(begun);
        } else if let Some(place) = oldest.and_then(|at| self.begun.get_mut(at))
            && place.last_at + FORGET_AFTER <= now
        {
            *place = begun;
        } else {
            return false;
        }
        true
    }

    /// The message is complete or abandoned.
    pub(super) fn end(&mut self, hash: u64) {
        if self.begun.capacity() == 0 {
            return;
        }
        self.begun.retain(|begun| begun.hash != hash);
        if self.begun.is_empty() {
            self.begun = Vec::new(); // an idle session must cost nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_between_messages_forget_nothing() {
        let mut sizes = Sizes::default();
        let at = Instant::from_micros;
        assert_eq!(sizes.position(1, 5), 5);
        for turn in 1..4 {
            for message in 1..=BEGUN_MAX as u64 {
                let position = sizes.position(message, 0);
                assert_eq!(position, (turn - 1) * 10);
                assert!(sizes.keep(message, position + 10, at(turn)));
            }
        }
        assert_eq!(sizes.position(1, 99), 99, "a sender may skip what it knows to have arrived");
        assert!(!sizes.keep(99, 10, at(4)), "nine messages at a time");
        sizes.end(3);
        assert!(sizes.keep(99, 10, at(4)));
        assert!(!sizes.keep(3, 10, at(5)));
        assert!(sizes.keep(3, 10, at(3) + FORGET_AFTER), "one that was given up makes room");
        for message in 1..100 {
            sizes.end(message);
        }
        assert_eq!(sizes.begun.capacity(), 0);
    }
}
