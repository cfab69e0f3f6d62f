//! The body of the fuzz target, an ordinary function so that a crash becomes a test.

use super::{
    Component, Datagram, Ice, Latching, Limits, Protection, RtcpPort, RtpRelay, RtpSession, RtpSide, Verdict,
};
use ::rtp::srtp::{MasterKey, Sender, Suite};
use core::net::SocketAddr;
use core::time::Duration;
use wire::{Cause, Instant, MediaId, Random, Realm};

/// A script of what reaches a session: datagrams of strangers and of the phone, new signalling, time.
///
/// Each event is an octet that says what, one that says how long, and that many octets. The first octet
/// of all chooses what the sides are like.
///
/// # Panics
/// If anything does, if a stranger is heard as the phone, or sent what is meant for it.
pub fn rtp_session(bytes: &[u8]) {
    let Some((choice, mut script)) = bytes.split_first() else { return };
    let [phone, server, stranger] = [1, 2, 3].map(|host| SocketAddr::from(([192, 0, 2, host], 4_000)));
    let id = MediaId { slot: 0, generation: 0 };
    let mut relay = RtpRelay::new(Limits::default(), 1);
    let (mut now, mut notices, mut reply) = (Instant::from_micros(1), Vec::new(), Vec::new());
    let session = || session(*choice, phone, server);
    assert!(relay.set(id, session(), now, &mut notices).is_ok());
    let mut sender = Sender::new(&key(2));
    let mut sequence = 0u16;
    while let [what, len, rest @ ..] = script {
        let (payload, behind) = rest.split_at(usize::from(*len).min(rest.len()));
        script = behind;
        now += Duration::from_millis(u64::from(what >> 5) * 40);
        let from = if what & 8 == 0 { Realm::Access } else { Realm::Core };
        let component = if what & 16 == 0 { Component::Rtp } else { Component::Rtcp };
        let mut buffer = payload.to_vec();
        let (source, from, component, len) = match what & 7 {
            0 => {
                assert!(relay.set(id, session(), now, &mut notices).is_ok());
                continue;
            }
            1 => {
                relay.handle_deadline(now, &mut notices);
                continue;
            }
            2 => {
                sequence = sequence.wrapping_add(1);
                buffer = vec![0x80, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
                buffer[2..4].copy_from_slice(&sequence.to_be_bytes());
                buffer.extend_from_slice(payload);
                let plain = buffer.len();
                buffer.resize(plain + 32, 0);
                let Ok(len) = sender.protect_rtp(&mut buffer, plain) else { continue };
                (phone, Realm::Access, Component::Rtp, len)
            }
            // Whatever it says: the server's address is not proof enough to be heard as the phone.
            3 => (server, from, component, payload.len()),
            _ => (stranger, from, component, payload.len()),
        };
        buffer.resize(len + 32, 0);
        let mut datagram = Datagram { from, component, source, buffer: &mut buffer, len };
        let verdict = relay.handle(id, &mut datagram, now, &mut reply, &mut notices);
        if let Verdict::Forward { to, peer, len, .. } = verdict {
            assert!(peer != stranger, "sent to a stranger");
            assert!(source != stranger, "a stranger is heard");
            assert!(to == from.other() && len <= buffer.len());
            assert!(from == Realm::Core || source == phone, "another one is heard as the phone");
        }
        if verdict == Verdict::Reply {
            assert!(::rtp::stun::Message::read(&reply).is_some(), "our own answer reads");
        }
        notices.clear();
    }
    relay.release(id, Cause::Bye, now, &mut notices);
    assert_eq!((notices.len(), relay.len()), (1, 0));
}

fn key(seed: u64) -> MasterKey {
    MasterKey::random(Suite::AesCm128HmacSha1Tag80, &mut Random::from_u64(seed))
}

/// The phone speaks SRTP, so that nobody else can; the server is plain and strict.
fn session(choice: u8, phone: SocketAddr, server: SocketAddr) -> RtpSession {
    let rtcp = |bit: u8| if choice & bit == 0 { RtcpPort::Muxed } else { RtcpPort::Own };
    let ice = || Ice { fragment: b"ours".to_vec(), password: b"a password of 22 chars".to_vec() };
    let side = |remote: SocketAddr, rtcp, latching, protection| RtpSide {
        remote: Some(remote),
        remote_rtcp: None,
        rtcp,
        latching,
        protection,
        ice: None,
        sends: true,
        clock_rate: 8_000,
    };
    let latching = match choice & 12 {
        0 => Latching::Strict,
        4 => Latching::Anyone,
        _ => Latching::Signaller { host: phone.ip() },
    };
    let protection = Protection::Sdes { send: key(1), receive: Some(key(2)) };
    let access = side(phone, rtcp(1), latching, protection);
    let core = side(server, rtcp(2), Latching::Strict, Protection::Plain);
    RtpSession { access: RtpSide { ice: (choice & 16 != 0).then(ice), ..access }, core }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random scripts, so that the body runs in every test run; the fuzzer goes on from here.
    #[test]
    fn random_scripts() {
        for seed in 0..2_000 {
            let mut random = Random::from_u64(seed);
            let script: Vec<u8> = (0..random.below(2_000)).map(|_| random.next_u64() as u8).collect();
            rtp_session(&script);
        }
    }
}
