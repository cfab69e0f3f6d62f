#![allow(clippy::unwrap_used)]
//! Vectors, laws, hostile input.

use super::*;
use proptest::prelude::*;

/// Octets of a hexadecimal text.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A context whose session keys are given outright.
fn sender_of(suite: Suite, key: &str, salt: &str) -> Sender {
    let keys = || RtcpKeys::from_session(suite, &hex(key), &hex(salt));
    Sender { suite, rtp: keys().expand(), rtcp: keys(), sources: Sources::default() }
}

fn receiver_of(suite: Suite, key: &str, salt: &str) -> Receiver {
    let keys = || RtcpKeys::from_session(suite, &hex(key), &hex(salt));
    Receiver { suite, rtp: keys().expand(), rtcp: keys(), sources: Sources::default() }
}

fn master(suite: Suite) -> MasterKey {
    MasterKey::random(suite, &mut wire::Random::from_u64(suite as u64))
}

fn pair(suite: Suite) -> (Sender, Receiver) {
    (Sender::new(&master(suite)), Receiver::new(&master(suite)))
}

fn rtp_packet(sequence: u16, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 160]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

fn protect(sender: &mut Sender, packet: &[u8]) -> Result<Vec<u8>, Error> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + 32, 0xee);
    let len = sender.protect_rtp(&mut buffer, packet.len())?;
    buffer.truncate(len);
    Ok(buffer)
}

fn protect_rtcp(sender: &mut Sender, packet: &[u8]) -> Result<Vec<u8>, Error> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + 32, 0xee);
    let len = sender.protect_rtcp(&mut buffer, packet.len())?;
    buffer.truncate(len);
    Ok(buffer)
}

fn open(receiver: &mut Receiver, packet: &[u8]) -> Result<Vec<u8>, Error> {
    let mut buffer = packet.to_vec();
    let len = receiver.open_rtp(&mut buffer)?;
    buffer.truncate(len);
    Ok(buffer)
}

fn open_rtcp(receiver: &mut Receiver, packet: &[u8]) -> Result<Vec<u8>, Error> {
    let mut buffer = packet.to_vec();
    let len = receiver.open_rtcp(&mut buffer)?;
    buffer.truncate(len);
    Ok(buffer)
}

const SALT: &str = "517569642070726f2071756f";
const KEY_128: &str = "000102030405060708090a0b0c0d0e0f";
const KEY_256: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const GALLIA: &str =
    "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573";
const MARS: &str = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";

#[test]
fn rfc_7714_section_16_rtp() {
    let table = [
        (
            Suite::AeadAes128Gcm,
            KEY_128,
            "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            Suite::AeadAes256Gcm,
            KEY_256,
            "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ];
    for (suite, key, sealed) in table {
        assert_eq!(protect(&mut sender_of(suite, key, SALT), &hex(GALLIA)), Ok(hex(sealed)));
        assert_eq!(open(&mut receiver_of(suite, key, SALT), &hex(sealed)), Ok(hex(GALLIA)));
    }
}

#[test]
fn rfc_7714_section_17_rtcp() {
    let table = [
        (
            Suite::AeadAes128Gcm,
            KEY_128,
            "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
        ),
        (
            Suite::AeadAes256Gcm,
            KEY_256,
            "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
        ),
    ];
    for (suite, key, sealed) in table {
        assert_eq!(open_rtcp(&mut receiver_of(suite, key, SALT), &hex(sealed)), Ok(hex(MARS)));
        let mut sender = sender_of(suite, key, SALT);
        sender.sources.find_or_add(0x4d61_7273).unwrap().rtcp = Window::at(0x5d3);
        assert_eq!(protect_rtcp(&mut sender, &hex(MARS)), Ok(hex(sealed)));
    }
    // §17.3: a tag without encryption. Nothing here ever agrees to that.
    let tag_only = format!("{MARS}841dd9683dd78ec92ae58790125f62b3000005d4");
    let mut receiver = receiver_of(Suite::AeadAes128Gcm, KEY_128, SALT);
    assert_eq!(open_rtcp(&mut receiver, &hex(&tag_only)), Err(Error::Unencrypted));
}

/// Whole packets from master keys, as libsrtp makes them (its `srtp_driver`).
#[test]
fn packets_of_libsrtp() {
    let plain = "800f1234decafbadcafebabeabababababababababababababababab";
    let report = "81c8000bcafebabeabababababababababababababababab";
    let table = [
        (
            Suite::AesCm128HmacSha1Tag80,
            "e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6",
            "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb",
        ),
        (
            Suite::AesCm256HmacSha1Tag80,
            "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b63b04803de51ee7c96423ab5b78d2",
            "800f1234decafbadcafebabef1d9de17ff251ff1aa007774b0b4b40da08d9d9a5b3a55d8873b",
        ),
        (
            Suite::AeadAes128Gcm,
            "000102030405060708090a0b0c0d0e0fa0a1a2a3a4a5a6a7a8a9aaab",
            "800f1234decafbadcafebabec5002ede04cfdd2eb91159e0880aa06ed2976826f796b201df3131a127e8a392",
        ),
    ];
    for (suite, key, sealed) in table {
        let key = MasterKey::new(suite, &hex(key)).unwrap();
        assert_eq!(protect(&mut Sender::new(&key), &hex(plain)), Ok(hex(sealed)), "{suite:?}");
        assert_eq!(open(&mut Receiver::new(&key), &hex(sealed)), Ok(hex(plain)), "{suite:?}");
    }
    let key = MasterKey::new(Suite::AeadAes128Gcm, &hex(table[2].1)).unwrap();
    let sealed = "81c8000bcafebabec98b8b5df0392a55852b6c21ac8e7025c52c6fbea2b3b446ea31123ba88ce61e80000001";
    assert_eq!(protect_rtcp(&mut Sender::new(&key), &hex(report)), Ok(hex(sealed)));
}

#[test]
fn a_call_through_every_suite() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        for n in 0..400u32 {
            let sequence = 65_300u16.wrapping_add(n as u16);
            let plain = rtp_packet(sequence, 7, &[n as u8; 160]);
            let sealed = protect(&mut sender, &plain).unwrap();
            assert_eq!(sealed.len(), plain.len() + suite.rtp_growth_bytes());
            assert_ne!(sealed[12..172], plain[12..]);
            assert_eq!(open(&mut receiver, &sealed), Ok(plain), "{suite:?} {sequence}");
            assert_eq!(open(&mut receiver, &sealed), Err(Error::Replayed));
        }
        let report = [&[0x81u8, 201, 0, 7, 0, 0, 0, 7][..], &[3; 24]].concat();
        for _ in 0..3 {
            let sealed = protect_rtcp(&mut sender, &report).unwrap();
            assert_eq!(sealed.len(), report.len() + suite.rtcp_growth_bytes());
            assert_eq!(open_rtcp(&mut receiver, &sealed).as_deref(), Ok(&report[..]));
            assert_eq!(open_rtcp(&mut receiver, &sealed), Err(Error::Replayed));
        }
    }
}

#[test]
fn any_flipped_bit_is_noticed_and_changes_nothing() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let plain = rtp_packet(10, 7, b"a few octets of voice");
        let sealed = protect(&mut sender, &plain).unwrap();
        let report = [&[0x81u8, 201, 0, 7, 0, 0, 0, 7][..], &[3; 24]].concat();
        let sealed_report = protect_rtcp(&mut sender, &report).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut bent = sealed.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&mut receiver, &bent).is_err(), "{suite:?} bit {bit}");
        }
        for bit in 0..sealed_report.len() * 8 {
            let mut bent = sealed_report.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(open_rtcp(&mut receiver, &bent).is_err(), "{suite:?} report, bit {bit}");
        }
        for len in 0..sealed.len() {
            assert!(open(&mut receiver, &sealed[..len]).is_err(), "{suite:?} cut at {len}");
        }
        assert!(receiver.sources.list.is_empty(), "forged packets make no source");
        assert_eq!(open(&mut receiver, &sealed), Ok(plain));
        assert_eq!(open_rtcp(&mut receiver, &sealed_report), Ok(report));
    }
}

#[test]
fn hostile_lengths_never_panic() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        for len in 0..=64 {
            for first in [0x80, 0x8f, 0x90, 0xff, 0] {
                let mut packet = vec![first; len];
                if let Some(kind) = packet.get_mut(1) {
                    *kind = 200;
                }
                let (_, _) = (open(&mut receiver, &packet), open_rtcp(&mut receiver, &packet));
                let (_, _) = (protect(&mut sender, &packet), protect_rtcp(&mut sender, &packet));
                let _ = sender.protect_rtp(&mut packet, len);
                assert!(sender.protect_rtcp(&mut packet, len + 1).is_err());
            }
        }
    }
}

#[test]
fn one_index_is_never_used_twice_by_a_sender() {
    let (mut sender, _) = pair(Suite::AesCm128HmacSha1Tag80);
    assert!(protect(&mut sender, &rtp_packet(5, 7, b"one")).is_ok());
    assert_eq!(protect(&mut sender, &rtp_packet(5, 7, b"two")), Err(Error::Replayed));
    assert!(protect(&mut sender, &rtp_packet(4, 7, b"late")).is_ok());
    assert!(protect(&mut sender, &rtp_packet(5, 8, b"another source")).is_ok());
}

#[test]
fn sources_are_capped() {
    let (mut sender, mut receiver) = pair(Suite::AesCm128HmacSha1Tag32);
    for ssrc in 0..64 {
        let sealed = protect(&mut sender, &rtp_packet(1, ssrc, b"x")).unwrap();
        assert!(open(&mut receiver, &sealed).is_ok());
    }
    assert_eq!(protect(&mut sender, &rtp_packet(1, 64, b"x")), Err(Error::TooManySources));
    let (mut other, _) = pair(Suite::AesCm128HmacSha1Tag32);
    let sealed = protect(&mut other, &rtp_packet(1, 64, b"x")).unwrap();
    assert_eq!(open(&mut receiver, &sealed), Err(Error::TooManySources));
    assert!(protect(&mut sender, &rtp_packet(2, 0, b"x")).is_ok(), "the first is still known");
}

#[test]
fn keys_are_never_printed() {
    let key = MasterKey::new(Suite::AeadAes128Gcm, &[0xab; 28]).unwrap();
    let printed = format!("{key:?} {:?} {:?}", Sender::new(&key), Receiver::new(&key));
    assert!(!printed.contains("171") && !printed.to_lowercase().contains("abab"), "{printed}");
    assert_eq!(MasterKey::new(Suite::AeadAes128Gcm, &[0; 30]), None);
}

proptest! {
    /// What arrives reordered within the window, with losses, opens; and across rollovers.
    #[test]
    fn reordering_and_rollover(
        start in any::<u16>(),
        order in proptest::collection::vec((0u32..40_000, any::<bool>()), 1..80),
        suite in 0..6usize,
    ) {
        let (mut sender, mut receiver) = pair(Suite::ALL[suite]);
        let mut index = u32::from(start);
        let mut held: Option<(Vec<u8>, Vec<u8>)> = None;
        let first = rtp_packet(index as u16, 9, b"first");
        let sealed = protect(&mut sender, &first).unwrap();
        prop_assert_eq!(open(&mut receiver, &sealed), Ok(first));
        for (step, is_late) in order {
            // Steps of under half the number space are never mistaken.
            index += if step < 32_000 { 1 + step / 3_000 } else { step - 25_000 };
            let plain = rtp_packet(index as u16, 9, &index.to_be_bytes());
            let sealed = protect(&mut sender, &plain).unwrap();
            if is_late && held.is_none() {
                held = Some((plain, sealed));
                continue;
            }
            prop_assert_eq!(open(&mut receiver, &sealed), Ok(plain));
            if let Some((plain, sealed)) = held.take() {
                let opened = open(&mut receiver, &sealed);
                prop_assert!(opened == Ok(plain) || opened == Err(Error::TooOld), "{:?}", opened);
            }
        }
    }
}
