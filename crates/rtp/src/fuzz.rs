//! The bodies of the fuzz targets, ordinary functions so that a crash becomes a test.

use crate::srtp::{MasterKey, Receiver, Sender, Suite};
use crate::{Rtp, classify, rtcp, sdes, stun};
use wire::Random;

/// Every reader of what comes to a media socket.
///
/// # Panics
/// If one of them does, or what was written does not read the same.
pub fn datagram(bytes: &[u8]) {
    let _ = (classify(bytes), Rtp::read(bytes));
    for rules in [rtcp::Rules::Compound, rtcp::Rules::ReducedSize] {
        for packet in rtcp::Compound::read(bytes, rules).into_iter().flatten() {
            if let rtcp::Packet::SenderReport { reports, .. } | rtcp::Packet::ReceiverReport { reports, .. } =
                packet
            {
                assert!(reports.count() <= 31, "five bits count them");
            }
        }
    }
    if let Ok(line) = sdes::Crypto::parse(bytes) {
        let mut value = Vec::new();
        line.write(&mut value);
        let again = sdes::Crypto::parse(&value).expect("our own line reads");
        assert_eq!((again.tag, &again.key), (line.tag, &line.key));
    }
    let ours = stun::Credentials { fragment: b"evtj", password: b"VOkJxbRl1RmTxUk/WvJxBt" };
    let source = core::net::SocketAddr::from(([192, 0, 2, 1], 32_853));
    let mut out = Vec::new();
    if stun::answer(bytes, source, ours, &mut out) != stun::Verdict::Ignored {
        assert!(stun::Message::read(&out).is_some(), "our own answer reads");
    }
}

/// The first octet chooses the suite, the rest is a packet: forged, it never opens; protected, it opens
/// to what it was.
///
/// # Panics
/// If it is otherwise.
pub fn srtp(bytes: &[u8]) {
    let Some((choice, packet)) = bytes.split_first() else { return };
    let suite = Suite::ALL[usize::from(*choice) % Suite::ALL.len()];
    let key = MasterKey::random(suite, &mut Random::from_u64(0));
    let (mut sender, mut receiver) = (Sender::new(&key), Receiver::new(&key));
    assert!(receiver.open_rtp(&mut packet.to_vec()).is_err(), "forged");
    assert!(receiver.open_rtcp(&mut packet.to_vec()).is_err(), "forged");
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + 20, 0);
    if let Ok(len) = sender.protect_rtp(&mut buffer, packet.len()) {
        assert_eq!(receiver.open_rtp(&mut buffer[..len]), Ok(packet.len()));
        assert_eq!(&buffer[..packet.len()], packet);
    }
    buffer[..packet.len()].copy_from_slice(packet);
    if let Ok(len) = sender.protect_rtcp(&mut buffer, packet.len()) {
        assert_eq!(receiver.open_rtcp(&mut buffer[..len]), Ok(packet.len()));
        assert_eq!(&buffer[..packet.len()], packet);
    }
}
