//! Keys from handshakes: two relays of ours face each other, each the phone of the other.

use super::*;
use crate::rtp::{Dtls, DtlsRole, RtpNotice, RtpRelay, Sending};
use ::rtp::certificate::fingerprint;
use std::sync::{Arc, LazyLock};
use wire::{Fingerprint, HashFunction, MediaId};

const ID: MediaId = MediaId { slot: 0, generation: 1 };
/// What they see of each other, and where each has its plain side.
const OURS: &str = "203.0.113.1:10000";
const THEIRS: &str = "192.0.2.7:4000";
const START: Instant = Instant::from_micros(1_000_000);
const PLAIN: &str = "198.51.100.9:7000";

/// The system's clock is read once; after that time is what a test says.
#[allow(clippy::disallowed_methods)]
static EPOCH: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

/// A relay with a certificate of its own.
struct End {
    dtls: Option<Arc<Dtls>>,
    relay: RtpRelay,
    own: Fingerprint,
    out: Vec<RtpNotice>,
}

impl End {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let der = certificate.der().to_vec();
        let own = fingerprint(HashFunction::Sha256, &der).unwrap();
        let mut relay = RtpRelay::new(Limits::default(), 1);
        let dtls = Dtls::new(der, key.serialize_der(), *EPOCH).map(Arc::new);
        relay.set_dtls(dtls.clone());
        Self { dtls, relay, own, out: Vec::new() }
    }

    fn set(&mut self, role: DtlsRole, peer: &str, known: Fingerprint, now: Instant) {
        let secret = RtpSide {
            remote: Some(addr(peer)),
            remote_rtcp: None,
            rtcp: RtcpPort::Muxed,
            latching: Latching::Signaller { host: addr(peer).ip() },
            protection: Protection::Dtls { role, fingerprints: [known].into_iter().collect() },
            ice: None,
            sends: true,
            clock_rate: 8_000,
        };
        let plain = RtpSide {
            remote: Some(addr(PLAIN)),
            latching: Latching::Strict,
            protection: Protection::Plain,
            ..secret.clone()
        };
        self.relay.set(ID, RtpSession { access: secret, core: plain }, now, &mut self.out).unwrap();
    }

    fn give(&mut self, from: Realm, source: &str, bytes: &[u8], now: Instant) -> (Verdict, Vec<u8>) {
        let mut buffer = [bytes, &[0; 64]].concat();
        let source = addr(source);
        let mut datagram =
            Datagram { from, component: Component::Rtp, source, buffer: &mut buffer, len: bytes.len() };
        let verdict = self.relay.handle(ID, &mut datagram, now, &mut Vec::new(), &mut self.out);
        let len = if let Verdict::Forward { len, .. } = verdict { len } else { 0 };
        buffer.truncate(len);
        (verdict, buffer)
    }

    fn ring(&mut self, now: Instant) {
        self.relay.handle_deadline(now, &mut self.out);
    }

    fn sendings(&mut self) -> Vec<Sending> {
        self.relay.take_sendings().into_iter().map(|(_, sending)| sending).collect()
    }
}

/// Lets both talk; every datagram whose turn `lost` names is lost. Ends when nobody has anything to say for
/// twenty seconds.
fn shake(client: &mut End, server: &mut End, mut now: Instant, lost: impl Fn(usize) -> bool) -> Instant {
    let mut count = 0;
    for _ in 0..200 {
        client.ring(now);
        server.ring(now);
        loop {
            let (ours, theirs) = (client.sendings(), server.sendings());
            if ours.is_empty() && theirs.is_empty() {
                break;
            }
            for sending in ours {
                assert_eq!((sending.peer, sending.to), (addr(OURS), Realm::Access));
                count += 1;
                if !lost(count) {
                    server.give(Realm::Access, THEIRS, &sending.bytes, now);
                }
            }
            for sending in theirs {
                assert_eq!(sending.peer, addr(THEIRS));
                count += 1;
                if !lost(count) {
                    client.give(Realm::Access, OURS, &sending.bytes, now);
                }
            }
        }
        now += Duration::from_millis(100);
    }
    now
}

fn pair(now: Instant) -> (End, End) {
    let (mut client, mut server) = (End::new(), End::new());
    client.set(DtlsRole::Client, OURS, server.own, now);
    server.set(DtlsRole::Server, THEIRS, client.own, now);
    (client, server)
}

/// A plain packet goes in at one end, is secret between them, and comes out at the other as it was.
#[track_caller]
fn assert_talk(client: &mut End, server: &mut End, now: Instant) {
    for sequence in 1..4 {
        let plain = packet(7, sequence);
        let (verdict, secret) = client.give(Realm::Core, PLAIN, &plain, now);
        assert!(matches!(verdict, Verdict::Forward { .. }), "{verdict:?}");
        assert_ne!(secret, plain);
        let (verdict, out) = server.give(Realm::Access, THEIRS, &secret, now);
        assert!(matches!(verdict, Verdict::Forward { .. }), "{verdict:?}");
        assert_eq!(out, plain);
        let (verdict, secret) = server.give(Realm::Core, PLAIN, &plain, now);
        assert!(matches!(verdict, Verdict::Forward { .. }), "{verdict:?}");
        let (_, out) = client.give(Realm::Access, OURS, &secret, now);
        assert_eq!(out, plain);
    }
}

/// R71, RFC 5764: in either part, and whatever single datagram is lost.
#[test]
fn a_handshake_gives_both_ends_their_keys() {
    for lost in 0..14 {
        let (mut client, mut server) = pair(Instant::from_micros(1));
        let now = shake(&mut client, &mut server, START, |n| n == lost);
        assert_talk(&mut client, &mut server, now);
    }
}

/// RFC 5763 §6.7.1: a certificate that was not announced gets no media, at neither end.
#[test]
fn a_stranger_with_a_certificate_of_its_own_gets_nothing() {
    let now = Instant::from_micros(1);
    let (mut client, mut server) = pair(now);
    let somebody = End::new().own;
    server.set(DtlsRole::Server, THEIRS, somebody, now);
    let now = shake(&mut client, &mut server, START, |_| false);
    let (verdict, _) = server.give(Realm::Core, PLAIN, &packet(7, 1), now);
    assert_eq!(verdict, Verdict::Drop(Drop::NoKey));
    // New signalling with the right one: it is tried again.
    let own = client.own;
    server.set(DtlsRole::Server, THEIRS, own, now);
    let theirs = server.own;
    client.set(DtlsRole::Client, OURS, somebody, now);
    client.set(DtlsRole::Client, OURS, theirs, now);
    let now = shake(&mut client, &mut server, now, |_| false);
    assert_talk(&mut client, &mut server, now);
}

/// Nobody who did not signal starts a handshake, and no answer is longer than what was asked.
#[test]
fn strangers_are_not_answered_and_nobody_is_flooded() {
    let now = Instant::from_micros(1);
    let (mut client, mut server) = pair(now);
    client.ring(now + Duration::from_millis(1));
    let hello = client.sendings().remove(0).bytes;
    let (verdict, _) = server.give(Realm::Access, "192.0.2.66:4000", &hello, now);
    assert_eq!(verdict, Verdict::Drop(Drop::ForeignSource));
    assert!(server.sendings().is_empty());
    let (verdict, _) = server.give(Realm::Access, THEIRS, &hello, now);
    assert_eq!(verdict, Verdict::Taken);
    let answers: usize = server.sendings().iter().map(|s| s.bytes.len()).sum();
    assert!(answers < hello.len(), "{answers} octets for {}", hello.len());
    let (verdict, _) = server.give(Realm::Access, "192.0.2.7:4001", &hello, now);
    assert_eq!(verdict, Verdict::Drop(Drop::Unproven), "it is under way with another port");
    let mut taken = 0;
    for _ in 0..1_000 {
        taken += usize::from(server.give(Realm::Access, THEIRS, &hello, now).0 == Verdict::Taken);
    }
    assert!(taken <= 50, "{taken}");
}

#[test]
fn a_session_without_handshakes_has_none() {
    let (mut client, _) = pair(Instant::from_micros(1));
    client.ring(Instant::from_micros(2));
    let hello = client.sendings().remove(0).bytes;
    let mut relay = RtpRelay::new(Limits::default(), 1);
    relay.set(ID, RtpSession { access: ue(), core: core() }, Instant::ZERO, &mut Vec::new()).unwrap();
    let mut end = End { dtls: None, relay, own: client.own, out: Vec::new() };
    let (verdict, _) = end.give(Realm::Access, UE, &hello, Instant::from_micros(3));
    assert_eq!(verdict, Verdict::Drop(Drop::NotMedia));
    assert_eq!(end.relay.len(), 1);
}

/// Anything in the place of a handshake: the beginning of a true one, and what else there is.
#[test]
fn rubbish_in_a_handshake_harms_nobody() {
    let (mut client, _) = pair(START);
    client.ring(START);
    let hello = client.sendings().remove(0).bytes;
    let end = End::new();
    let mut random = Random::from_u64(3);
    for round in 0..300_u64 {
        let mut piece = hello[..hello.len().min(255)].to_vec();
        for _ in 0..round % 7 {
            let at = random.below(piece.len() as u64) as usize;
            piece[at] = random.below(256) as u8;
        }
        piece.truncate(1 + random.below(piece.len() as u64) as usize);
        let mut input = vec![round as u8];
        for _ in 0..3 {
            input.push(piece.len() as u8);
            input.extend_from_slice(&piece);
        }
        handshake_fuzz::session(&input, end.dtls.clone());
    }
}
