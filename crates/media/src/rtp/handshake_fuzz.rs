//! The body of a fuzz target, an ordinary function so that a crash becomes a test.

use super::{
    Component, Datagram, Dtls, DtlsRole, Ice, Latching, Limits, Protection, RtcpPort, RtpRelay, RtpSession,
    RtpSide, Verdict,
};
use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;
use wire::{Fingerprint, HashFunction, Instant, MediaId, Realm};

/// Takes pieces of `bytes`, each led by its length, for datagrams of a side with DTLS and ICE or without:
/// whatever they are, none is relayed, because nobody has shown the certificate. Time passes in between.
///
/// `dtls` is our end; `None` shows that without one nothing is answered.
///
/// # Panics
/// If a datagram goes through.
pub fn session(bytes: &[u8], dtls: Option<Arc<Dtls>>) {
    let source = SocketAddr::from(([192, 0, 2, 7], 4_000));
    let fingerprint = Fingerprint::new(HashFunction::Sha256, &[7; 32]);
    let Some((choice, mut rest)) = bytes.split_first() else { return };
    let role = if choice & 1 == 0 { DtlsRole::Server } else { DtlsRole::Client };
    let ice = (choice & 2 != 0).then(|| Ice { fragment: b"ufrag".to_vec(), password: b"password".to_vec() });
    let access = RtpSide {
        remote: Some(source),
        remote_rtcp: None,
        rtcp: RtcpPort::Muxed,
        latching: Latching::Signaller { host: source.ip() },
        protection: Protection::Dtls { role, fingerprints: fingerprint.into_iter().collect() },
        ice,
        sends: true,
        clock_rate: 8_000,
    };
    let core =
        RtpSide { protection: Protection::Plain, ice: None, latching: Latching::Strict, ..access.clone() };
    let mut relay = RtpRelay::new(Limits::default(), 1);
    relay.set_dtls(dtls);
    let id = MediaId { slot: 0, generation: 0 };
    let mut now = Instant::from_micros(1);
    let mut notices = Vec::new();
    if relay.set(id, RtpSession { access, core }, now, &mut notices).is_err() {
        return;
    }
    while let Some((len, after)) = rest.split_first() {
        let (piece, after) = after.split_at(usize::from(*len).min(after.len()));
        rest = after;
        let mut buffer = [piece, &[0; 32]].concat();
        let (from, component) = (Realm::Access, Component::Rtp);
        let mut datagram = Datagram { from, component, source, buffer: &mut buffer, len: piece.len() };
        let verdict = relay.handle(id, &mut datagram, now, &mut Vec::new(), &mut notices);
        assert!(!matches!(verdict, Verdict::Forward { .. }), "nobody has shown a certificate");
        now += Duration::from_millis(u64::from(*len) * 7);
        relay.handle_deadline(now, &mut notices);
        relay.take_sendings();
    }
    assert_eq!(relay.len(), 1);
}
