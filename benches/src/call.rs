//! An audio call through the RTP relay: a phone on one side, a server on the other.

use core::net::SocketAddr;
use media::rtp::{
    Component, Datagram, Latching, Limits, Protection, RtcpPort, RtpNotice, RtpRelay, RtpSession, RtpSide,
    Verdict,
};
use rtp::srtp::{MasterKey, Sender, Suite};
use wire::{Instant, MediaId, Random, Realm};

/// 12 octets of header and 160 of voice.
pub const PLAIN_BYTES: usize = 172;

/// The phone's address and the server's.
const ENDS: [([u8; 4], u16); 2] = [([198, 51, 100, 7], 40_000), ([10, 0, 0, 9], 30_000)];

/// Sessions of one kind in a relay, and a phone that sends into them in turn.
#[derive(Debug)]
pub struct Calls {
    relay: RtpRelay,
    phones: Vec<Option<Sender>>,
    sequence: u16,
    turn: usize,
    now: Instant,
    buffer: [u8; 256],
    reply: Vec<u8>,
    notices: Vec<RtpNotice>,
}

impl Calls {
    /// So many sessions; a suite on a side makes it SRTP.
    ///
    /// # Panics
    /// If the relay does not take them.
    #[must_use]
    pub fn new(sessions: u32, access: Option<Suite>, core: Option<Suite>) -> Self {
        let now = Instant::from_micros(1_000_000);
        let mut calls = Self {
            relay: RtpRelay::new(Limits::default(), sessions as usize),
            phones: Vec::new(),
            sequence: 0,
            turn: 0,
            now,
            buffer: [0; 256],
            reply: Vec::new(),
            notices: Vec::new(),
        };
        for slot in 0..sessions {
            let session = RtpSession { access: side(0, access), core: side(1, core) };
            let id = MediaId { slot, generation: 0 };
            calls.relay.set(id, session, now, &mut calls.notices).expect("there is room for all");
            calls.phones.push(access.map(|suite| Sender::new(&key(suite))));
        }
        calls
    }

    /// Writes and relays one packet of the next session.
    ///
    /// # Panics
    /// If it is not forwarded.
    pub fn relay_one(&mut self) {
        let len = self.write();
        let slot = self.turn as u32;
        let mut datagram = Datagram {
            from: Realm::Access,
            component: Component::Rtp,
            source: SocketAddr::from(ENDS[0]),
            buffer: &mut self.buffer,
            len,
        };
        let id = MediaId { slot, generation: 0 };
        let verdict = self.relay.handle(id, &mut datagram, self.now, &mut self.reply, &mut self.notices);
        assert!(matches!(verdict, Verdict::Forward { .. }), "{verdict:?}");
        self.notices.clear();
    }

    /// What the phone does: a packet that never came before.
    pub fn write(&mut self) -> usize {
        self.turn += 1;
        if self.turn >= self.phones.len() {
            self.turn = 0;
            self.sequence = self.sequence.wrapping_add(1);
            self.now += core::time::Duration::from_millis(20);
        }
        self.buffer[..PLAIN_BYTES].fill(0x5a);
        self.buffer[..12].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef]);
        self.buffer[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        match &mut self.phones[self.turn] {
            Some(phone) => phone.protect_rtp(&mut self.buffer, PLAIN_BYTES).unwrap_or_default(),
            None => PLAIN_BYTES,
        }
    }
}

fn key(suite: Suite) -> MasterKey {
    MasterKey::random(suite, &mut Random::from_u64(1))
}

fn side(end: usize, suite: Option<Suite>) -> RtpSide {
    RtpSide {
        remote: Some(SocketAddr::from(ENDS[end])),
        remote_rtcp: None,
        rtcp: RtcpPort::Muxed,
        latching: Latching::Signaller { host: SocketAddr::from(ENDS[end]).ip() },
        protection: suite.map_or(Protection::Plain, |suite| Protection::Sdes {
            send: key(suite),
            receive: Some(key(suite)),
        }),
        ice: None,
        sends: true,
        clock_rate: 8_000,
    }
}
