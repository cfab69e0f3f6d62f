//! The RTP side of a shard: the sockets of its sessions, and the way of a packet between them.
//!
//! ```text
//! epoll ─▶ receive ─▶ judge: blacklist, RtpRelay::handle (changes it where it lies) ─▶ send
//! ```
//! A packet is read, changed and sent in one go, in one buffer. One packet is read for each report of
//! epoll: a call's socket never has two, and asking a second time would cost as much as the first; a
//! socket that does have more is reported again in the next turn, so that a flood waits for the others.
//! With `media.io = "io_uring"` the kernel reports packets by itself and sends them together with the next
//! wait, in buffers that it shares with us (`ring`); everything else is the same.
//!
//! A `Strict` side is connected once its source is known: the kernel then drops what others send.

mod epoll;
mod pace;
mod record;
mod ring;
mod sessions;
mod socket;
mod tap;
mod uring;
mod view;

use self::pace::Pace;
use self::socket::Sockets;
use self::tap::Tap;
use crate::io::READ_BYTES;
use config::Config;
use core::net::SocketAddr;
use core::time::Duration;
use media::command::RtpAbout;
use media::rtp::{Datagram, Dtls, Limits, RtpNotice, RtpRelay, Verdict};
use rustix::fd::OwnedFd;
use std::io;
use std::sync::Arc;
use telemetry::Bank;
use wire::{Instant, MediaId, PrefixSet, Realm};

pub use self::record::RtpRecord;
pub(crate) use self::sessions::WORDS;
pub(crate) use self::uring::probe;
pub use self::view::{RtpSessionView, SideView};

/// The RTP sessions of a shard and their sockets.
#[derive(Debug)]
pub(crate) struct Rtp {
    relay: RtpRelay,
    sockets: Sockets,
    /// By the slot of the session.
    held: Vec<Option<Box<Held>>>,
    notices: Vec<RtpNotice>,
    reply: Vec<u8>,
    buffer: Vec<u8>,
    config: Arc<Config>,
    blacklist: Arc<PrefixSet>,
    /// Tells blacklists apart.
    blacklist_number: u32,
    taps: Vec<Tap>,
    pace: Pace,
    engine: Engine,
    counters: Counters,
}

/// How packets are read and written.
#[derive(Debug)]
enum Engine {
    Epoll,
    Ring(Box<ring::Ring>),
}

/// What the shell knows of a session.
#[derive(Debug)]
struct Held {
    id: MediaId,
    /// Bound addresses, and the sockets there: `[side][component]`.
    local: [SocketAddr; 2],
    sockets: [[u32; 2]; 2],
    /// Sides whose sockets are connected once they latched.
    is_strict: [bool; 2],
    about: RtpAbout,
    /// The capture that sees its packets.
    tap: Option<Arc<telemetry::capture::Capture>>,
}

#[derive(Debug, Default)]
struct Counters {
    blacklisted: u64,
    unsendable: u64,
    sockets_failed: u64,
    captured: u64,
    expected: [u64; 2],
    lost: [u64; 2],
    quality: [[u64; 5]; 2],
}

/// What leaves: `reply`, or the packet in the buffer it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outgoing {
    socket: u32,
    peer: SocketAddr,
    /// Octets of the packet; `None` sends `reply`.
    len: Option<usize>,
}

/// What SRTP may add to a packet.
const TAIL_BYTES: usize = 32;

impl Rtp {
    /// No sessions yet. Belongs to the thread that calls it.
    ///
    /// # Errors
    /// If `media.io` demands io_uring and the system forbids it.
    pub(crate) fn new(config: Arc<Config>, epoll: &OwnedFd, dtls: Option<Arc<Dtls>>) -> io::Result<Self> {
        let engine = Engine::start(config.media.io, epoll)?;
        let mut relay = RtpRelay::new(limits(&config), ids_max(&config));
        relay.set_dtls(dtls);
        Ok(Self {
            relay,
            sockets: Sockets::default(),
            held: Vec::new(),
            notices: Vec::new(),
            reply: Vec::new(),
            // A datagram is never longer, so none is cut; short ones touch only the start.
            buffer: vec![0; READ_BYTES + TAIL_BYTES],
            pace: Pace::new(&config),
            config,
            blacklist: Arc::default(),
            blacklist_number: 0,
            taps: Vec::new(),
            engine,
            counters: Counters::default(),
        })
    }

    /// Takes a new configuration: for the sessions that are opened from here on.
    pub(crate) fn set_config(&mut self, config: Arc<Config>) {
        self.relay.set_limits(limits(&config), ids_max(&config));
        self.pace = Pace::new(&config);
        self.config = config;
    }

    pub(crate) fn set_blacklist(&mut self, set: Arc<PrefixSet>) {
        self.blacklist = set;
        self.blacklist_number = self.blacklist_number.wrapping_add(1);
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        [self.relay.next_deadline(), self.taps_deadline()].into_iter().flatten().min()
    }

    pub(crate) fn handle_deadline(&mut self, now: Instant) {
        self.relay.handle_deadline(now, &mut self.notices);
        self.send_handshakes();
        self.end_taps(now);
    }

    /// How long to wait before looking for more, so that several packets share a wake-up.
    pub(crate) fn nap(&mut self, now: Instant) -> Option<Duration> {
        self.pace.nap(now)
    }

    pub(crate) fn publish(&self, bank: &Bank) {
        use telemetry::rtp;
        let (relay, own) = (self.relay.counters(), &self.counters);
        bank.set(&rtp::SESSIONS, [self.relay.len() as u64]);
        bank.set(&rtp::SESSIONS_OPENED, [relay.sessions]);
        bank.set(&rtp::PACKETS, relay.forwarded);
        bank.set(&rtp::BYTES, relay.octets);
        bank.set(&rtp::DROPS, relay.drops.into_iter().chain([own.blacklisted, own.unsendable]));
        bank.set(&rtp::CHECKS, [relay.replies]);
        bank.set(&rtp::ONE_WAY, [relay.one_way]);
        bank.set(&rtp::INACTIVE, [relay.inactive]);
        bank.set(&rtp::EXPECTED, own.expected);
        bank.set(&rtp::LOST, own.lost);
        bank.set(&rtp::QUALITY, own.quality.as_flattened().iter().copied());
        bank.set(&rtp::SOCKETS, [self.sockets.len() as u64]);
        bank.set(&rtp::SOCKETS_FAILED, [own.sockets_failed]);
        bank.set(&rtp::CAPTURED, [own.captured]);
        bank.set(&rtp::ENGINES, [u64::from(!self.has_ring()), u64::from(self.has_ring())]);
    }

    /// Decides about a datagram in `buffer[..len]` that came to socket `at`.
    fn judge(
        &mut self,
        at: u32,
        source: SocketAddr,
        buffer: &mut [u8],
        len: usize,
        now: Instant,
    ) -> Option<Outgoing> {
        let socket = self.sockets.get_mut(at)?;
        let (session, from, component, far) = (socket.session, socket.realm, socket.component, socket.far);
        let is_tapped = socket.is_tapped;
        if from == Realm::Access && socket.vetted != Some((source, self.blacklist_number)) {
            if self.blacklist.contains(source.ip()) {
                self.counters.blacklisted += 1;
                return None;
            }
            socket.vetted = Some((source, self.blacklist_number));
        }
        if is_tapped {
            self.tap_in(at, source, buffer.get(..len).unwrap_or_default(), now);
        }
        let mut datagram = Datagram { from, component, source, buffer: &mut *buffer, len };
        let verdict = self.relay.handle(session, &mut datagram, now, &mut self.reply, &mut self.notices);
        let outgoing = match verdict {
            Verdict::Forward { component, peer, len, .. } => {
                let [rtp, rtcp] = far;
                let socket = match component {
                    media::rtp::Component::Rtp => rtp,
                    media::rtp::Component::Rtcp => rtcp,
                };
                Outgoing { socket, peer, len: Some(len) }
            }
            Verdict::Reply => Outgoing { socket: at, peer: source, len: None },
            Verdict::Taken => {
                self.send_handshakes();
                return None;
            }
            Verdict::Drop(_) => return None,
        };
        if is_tapped {
            let sent = match outgoing.len {
                Some(len) => buffer.get(..len).unwrap_or_default(),
                None => &[],
            };
            self.tap_out(at, source, &outgoing, sent, now);
        }
        Some(outgoing)
    }
}

/// Ids are shared with MSRP sessions, so their slots go as far as both together.
fn ids_max(config: &Config) -> usize {
    config.media.sessions_max.saturating_add(config.msrp.sessions_max)
}

fn limits(config: &Config) -> Limits {
    let m = &config.media;
    Limits {
        packets_per_second_max: m.packets_per_second_max,
        burst_max: m.burst_packets_max,
        strangers_per_second_max: m.strangers_per_second_max,
        inactivity_max: Duration::from_secs(m.inactivity_seconds),
        hold_max: Duration::from_secs(m.hold_seconds),
        one_way_after: Duration::from_secs(m.one_way_seconds),
    }
}

#[cfg(test)]
mod tests {
    use media::rtp::Drop;

    #[test]
    fn the_cause_label_is_in_the_order_of_the_drops() {
        let labels = telemetry::rtp::DROPS.labels[0].values;
        let known = Drop::ALL.iter().map(|drop| drop.label());
        assert!(known.chain(["blacklisted", "unsendable"]).eq(labels.iter().copied()), "{labels:?}");
    }
}
