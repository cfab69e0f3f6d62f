//! SRTP allocates when a key or a source is new, and never for a packet.

use rtp::srtp::{MasterKey, Receiver, Sender, Suite};
use wire::Random;

#[test]
fn packets_allocate_nothing() {
    for suite in Suite::ALL {
        let key = MasterKey::random(suite, &mut Random::from_u64(1));
        let (mut sender, mut receiver) = (Sender::new(&key), Receiver::new(&key));
        let mut buffer = [0u8; 256];
        let mut relay = |sequence: u16| {
            buffer[..12].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
            buffer[2..4].copy_from_slice(&sequence.to_be_bytes());
            let len = sender.protect_rtp(&mut buffer, 172).expect("a valid packet");
            assert_eq!(receiver.open_rtp(&mut buffer[..len]), Ok(172));
        };
        relay(0);
        let counted = allocation_counter::measure(|| (1..2_000).for_each(&mut relay));
        assert_eq!(counted.count_total, 0, "{suite:?}");
    }
}

/// Both directions of one side, with one source each: of the 8 KiB an audio session may take.
#[test]
fn a_side_fits_its_budget() {
    for suite in Suite::ALL {
        let key = MasterKey::random(suite, &mut Random::from_u64(1));
        let mut kept = None;
        let counted = allocation_counter::measure(|| {
            let (mut sender, mut receiver) = (Sender::new(&key), Receiver::new(&key));
            let mut buffer = [0x80u8; 256];
            buffer[1] = 0;
            let len = sender.protect_rtp(&mut buffer, 172).expect("a valid packet");
            assert_eq!(receiver.open_rtp(&mut buffer[..len]), Ok(172));
            kept = Some((sender, receiver));
        });
        let bytes = counted.bytes_current + size_of_val(&kept) as i64;
        println!("{}: {bytes} octets", suite.name());
        assert!(bytes <= 3_072, "{suite:?}: {bytes}");
    }
}
