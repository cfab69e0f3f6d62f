#![allow(clippy::unwrap_used)]
//! Calls, attacks, moves, silence.

mod dtls;
mod table;

use super::*;
use ::rtp::srtp::{MasterKey, Receiver, Sender, Suite};
use ::rtp::stun;
use core::net::SocketAddr;
use core::time::Duration;
use wire::{Instant, Random, Realm};

const UE: &str = "198.51.100.7:40000";
/// The same phone after its NAT moved.
const UE_MOVED: &str = "198.51.100.200:50123";
const CORE: &str = "10.0.0.9:30000";
const CORE_RTCP: &str = "10.0.0.9:30001";
const ATTACKER: &str = "203.0.113.66:6666";

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn key(seed: u64) -> MasterKey {
    MasterKey::random(Suite::AesCm128HmacSha1Tag80, &mut Random::from_u64(seed))
}

/// A phone behind a NAT: its SDP names a private address.
fn ue() -> RtpSide {
    RtpSide {
        remote: Some(addr("192.168.1.2:4000")),
        remote_rtcp: None,
        rtcp: RtcpPort::Muxed,
        latching: Latching::Signaller { host: addr(UE).ip() },
        protection: Protection::Plain,
        ice: None,
        sends: true,
        clock_rate: 8_000,
    }
}

fn secure_ue() -> RtpSide {
    RtpSide { protection: Protection::Sdes { send: key(1), receive: Some(key(2)) }, ..ue() }
}

fn core() -> RtpSide {
    RtpSide {
        remote: Some(addr(CORE)),
        remote_rtcp: Some(addr(CORE_RTCP)),
        rtcp: RtcpPort::Own,
        latching: Latching::Strict,
        ..ue()
    }
}

struct Call {
    session: Session,
    now: Instant,
    out: Outbox,
    /// What the last forwarded datagram looked like.
    sent: Vec<u8>,
}

impl Call {
    fn new(access: RtpSide, core: RtpSide) -> Self {
        let now = Instant::from_micros(5_000_000);
        let session = Session::new(RtpSession { access, core }, Limits::default(), now);
        Self { session, now, out: Outbox::default(), sent: Vec::new() }
    }

    fn give(&mut self, from: Realm, component: Component, source: &str, bytes: &[u8]) -> Verdict {
        let mut buffer = bytes.to_vec();
        buffer.resize(bytes.len() + 32, 0xee);
        let mut datagram =
            Datagram { from, component, source: addr(source), buffer: &mut buffer, len: bytes.len() };
        let verdict = self.session.handle(&mut datagram, self.now, &mut self.out);
        if let Verdict::Forward { len, .. } = verdict {
            buffer.truncate(len);
            self.sent = buffer;
        }
        verdict
    }

    fn media(&mut self, from: Realm, source: &str, bytes: &[u8]) -> Verdict {
        self.now += Duration::from_millis(20);
        self.give(from, Component::Rtp, source, bytes)
    }

    /// A call that runs: both sides sent a packet.
    fn running(access: RtpSide, core: RtpSide) -> Self {
        let mut call = Self::new(access, core);
        assert_eq!(call.media(Realm::Access, UE, &packet(7, 1)), to_core());
        assert_eq!(call.media(Realm::Core, CORE, &packet(9, 1)), to_ue(UE, 172));
        call
    }
}

fn packet(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut bytes = vec![0x80, 0];
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    bytes.extend_from_slice(&ssrc.to_be_bytes());
    bytes.resize(172, 0x55);
    bytes
}

fn report(ssrc: u32) -> Vec<u8> {
    [&[0x80, 201, 0, 1][..], &ssrc.to_be_bytes()].concat()
}

fn to_core() -> Verdict {
    Verdict::Forward { to: Realm::Core, component: Component::Rtp, peer: addr(CORE), len: 172 }
}

fn to_ue(peer: &str, len: usize) -> Verdict {
    Verdict::Forward { to: Realm::Access, component: Component::Rtp, peer: addr(peer), len }
}

fn sealed(sender: &mut Sender, plain: &[u8]) -> Vec<u8> {
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + 32, 0);
    let len = sender.protect_rtp(&mut buffer, plain.len()).unwrap();
    buffer.truncate(len);
    buffer
}

fn dropped(drop: Drop) -> Verdict {
    Verdict::Drop(drop)
}

#[test]
fn a_plain_call_behind_a_nat() {
    let mut call = Call::new(ue(), core());
    assert_eq!(
        call.media(Realm::Core, CORE, &packet(9, 1)),
        dropped(Drop::NoFarSide),
        "nobody to send to yet"
    );
    assert_eq!(call.media(Realm::Access, UE, &packet(7, 1)), to_core());
    let source = addr(UE);
    let latched = Notice::Latched { realm: Realm::Access, component: Component::Rtp, source };
    assert!(call.out.notices.contains(&latched));
    assert_eq!(call.sent, packet(7, 1), "not one octet changed");
    assert_eq!(call.media(Realm::Core, CORE, &packet(9, 2)), to_ue(UE, 172));
    let totals = call.session.totals(Realm::Access);
    assert_eq!((totals.packets, totals.octets, totals.figures.received), (1, 172, 1));
}

/// Telephone events have a payload type of their own and pass as any other (RFC 4733); so does a new SSRC.
#[test]
fn events_and_new_sources_pass() {
    let mut call = Call::running(ue(), core());
    let mut event = packet(7, 2);
    event[1] = 0x80 | 101;
    event.truncate(16);
    let forwarded =
        Verdict::Forward { to: Realm::Core, component: Component::Rtp, peer: addr(CORE), len: 16 };
    assert_eq!(call.media(Realm::Access, UE, &event), forwarded);
    assert_eq!(call.media(Realm::Access, UE, &packet(8, 60_000)), to_core());
    assert_eq!(call.session.totals(Realm::Access).figures.sources, 2);
}

#[test]
fn every_combination_of_transports() {
    for (is_ue_secure, is_core_secure) in [(false, false), (false, true), (true, false), (true, true)] {
        let access = if is_ue_secure { secure_ue() } else { ue() };
        let far = if is_core_secure {
            RtpSide { protection: Protection::Sdes { send: key(3), receive: Some(key(4)) }, ..core() }
        } else {
            core()
        };
        let mut call = Call::new(access, far);
        let (mut phone, mut ear) = (Sender::new(&key(2)), Receiver::new(&key(3)));
        for sequence in (65_500..=65_535).chain(0..50) {
            let plain = packet(7, sequence);
            let given = if is_ue_secure { sealed(&mut phone, &plain) } else { plain.clone() };
            let verdict = call.media(Realm::Access, UE, &given);
            let Verdict::Forward { to: Realm::Core, len, .. } = verdict else { unreachable!("{verdict:?}") };
            let heard = if is_core_secure {
                assert_ne!(call.sent[12..172], plain[12..]);
                let len = ear.open_rtp(&mut call.sent[..len]).unwrap();
                call.sent[..len].to_vec()
            } else {
                call.sent.clone()
            };
            assert_eq!(heard, plain, "{is_ue_secure} {is_core_secure} {sequence}");
        }
    }
}

#[test]
fn rtcp_on_one_port_here_and_on_two_there() {
    let mut call = Call::running(ue(), core());
    let verdict = call.give(Realm::Access, Component::Rtp, UE, &report(7));
    let peer = addr(CORE_RTCP);
    assert_eq!(verdict, Verdict::Forward { to: Realm::Core, component: Component::Rtcp, peer, len: 8 });
    assert_eq!(call.give(Realm::Core, Component::Rtcp, CORE_RTCP, &report(9)), to_ue(UE, 8));
    assert_eq!(call.give(Realm::Core, Component::Rtcp, CORE, &report(9)), dropped(Drop::ForeignSource));
    assert_eq!(call.give(Realm::Core, Component::Rtcp, CORE_RTCP, &packet(9, 2)), dropped(Drop::WrongPort));
    // Without multiplexing it is media that looks like a report: payload type 73 with the marker.
    let mut lookalike = packet(9, 2);
    lookalike[1] = 201;
    assert_eq!(call.media(Realm::Core, CORE, &lookalike), to_ue(UE, 172));
    let broken = [0x81, 201, 0, 1, 0, 0, 0, 7];
    assert_eq!(call.give(Realm::Access, Component::Rtp, UE, &broken), dropped(Drop::Malformed));
}

/// RTP bleed: whoever sprays our ports gets nothing, and is not heard.
#[test]
fn an_attacker_neither_hears_nor_speaks() {
    let protected =
        || RtpSide { protection: Protection::Sdes { send: key(1), receive: Some(key(2)) }, ..ue() };
    for (name, access) in [("plain", ue()), ("SDES", protected())] {
        let mut call = Call::new(access.clone(), core());
        let mut phone = Sender::new(&key(2));
        let is_plain = access.protection == Protection::Plain;
        let mut give = |call: &mut Call, sequence: u16| {
            let plain = packet(7, sequence);
            let bytes = if is_plain { plain } else { sealed(&mut phone, &plain) };
            call.media(Realm::Access, UE, &bytes)
        };
        // Before the phone sends, and while it does: guesses, echoes of what it sent, reports, junk.
        for round in 0..200u16 {
            if round > 20 {
                assert_eq!(give(&mut call, round), to_core(), "{name}: the phone is heard");
            }
            for forged in [packet(7, round + 1), packet(1, round), report(7), vec![0x80; 30], Vec::new()] {
                let verdict = call.give(Realm::Access, Component::Rtp, ATTACKER, &forged);
                assert!(matches!(verdict, Verdict::Drop(_)), "{name}: {verdict:?}");
                let verdict = call.give(Realm::Core, Component::Rtp, ATTACKER, &forged);
                assert!(matches!(verdict, Verdict::Drop(_)), "{name} towards the core: {verdict:?}");
            }
            match call.media(Realm::Core, CORE, &packet(9, round)) {
                Verdict::Forward { peer, .. } => assert_eq!(peer, addr(UE), "{name}"),
                verdict => assert_eq!((verdict, round <= 20), (dropped(Drop::NoFarSide), true), "{name}"),
            }
        }
        assert_eq!(call.session.source(Realm::Access, Component::Rtp), Some(addr(UE)));
        let drops = call.session.totals(Realm::Access).drops;
        assert!(drops.iter().sum::<u32>() >= 1_000, "{name}: all of it is counted");
    }
}

/// A phone that is silent (hold, no voice) is not replaced by whoever sends in its place: the SSRC must be
/// right, and the number and the timestamp must go on.
#[test]
fn a_silent_phone_is_not_replaced() {
    type Stream<'a> = &'a dyn Fn(u16) -> Vec<u8>;
    let streams: [(&str, Stream<'_>); 4] = [
        ("another SSRC", &|n| packet(1, n + 2)),
        ("numbers far ahead", &|n| packet(7, n + 2_000)),
        ("numbers of before", &|n| packet(7, 60_000 + n)),
        ("timestamps of another day", &|n| {
            let mut bytes = packet(7, n + 2);
            bytes[4] = 0x40;
            bytes
        }),
    ];
    for (name, stream) in streams {
        let mut call = Call::running(ue(), core());
        call.now += Duration::from_secs(3);
        for n in 0..100 {
            assert_eq!(
                call.media(Realm::Access, ATTACKER, &stream(n)),
                dropped(Drop::Unproven),
                "{name} {n}"
            );
            assert_eq!(call.media(Realm::Core, CORE, &packet(9, n + 2)), to_ue(UE, 172), "{name} {n}");
        }
    }
}

/// A copy of an authentic packet, sent on by somebody who listens, moves nothing.
#[test]
fn a_replayed_packet_moves_nothing() {
    let mut call = Call::new(secure_ue(), core());
    let mut phone = Sender::new(&key(2));
    let packets: Vec<_> = (0..20).map(|sequence| sealed(&mut phone, &packet(7, sequence))).collect();
    for (n, bytes) in packets.iter().enumerate() {
        // Number 10 is held back on its way and arrives late, from the attacker.
        if n != 10 {
            assert_eq!(call.media(Realm::Access, UE, bytes), to_core());
        }
        assert_eq!(call.media(Realm::Access, ATTACKER, &packets[0]), dropped(Drop::Replayed));
    }
    assert_eq!(call.media(Realm::Access, ATTACKER, &packets[10]), to_core(), "authentic, if late");
    assert_eq!(call.session.source(Realm::Access, Component::Rtp), Some(addr(UE)));
}

/// A phone that walks out of the Wi-Fi is heard again: at once with SRTP, after proof without.
#[test]
fn a_moved_nat_heals() {
    let mut call = Call::new(secure_ue(), core());
    let mut phone = Sender::new(&key(2));
    assert_eq!(call.media(Realm::Access, UE, &sealed(&mut phone, &packet(7, 1))), to_core());
    assert_eq!(call.media(Realm::Access, UE_MOVED, &sealed(&mut phone, &packet(7, 2))), to_core());
    assert_eq!(call.media(Realm::Core, CORE, &packet(9, 1)), to_ue(UE_MOVED, 182));

    let mut call = Call::running(ue(), core());
    let verdicts: Vec<_> = (2..30).map(|n| call.media(Realm::Access, UE_MOVED, &packet(7, n))).collect();
    let healed = verdicts.iter().position(|verdict| *verdict == to_core()).unwrap();
    assert!((3..=12).contains(&healed), "{healed} packets lost");
    assert!(verdicts[healed..].iter().all(|verdict| *verdict == to_core()));
    assert_eq!(call.media(Realm::Core, CORE, &packet(9, 2)), to_ue(UE_MOVED, 172));
    // The way back works as well.
    let back = (30..60).filter(|n| call.media(Realm::Access, UE, &packet(7, *n)) == to_core()).count();
    assert!(back >= 18, "{back}");
}

#[test]
fn a_strict_side_never_moves() {
    let strict = RtpSide { remote: Some(addr(UE)), latching: Latching::Strict, ..ue() };
    let secure = RtpSide { latching: Latching::Strict, remote: Some(addr(UE)), ..secure_ue() };
    let mut call = Call::running(strict, core());
    for n in 2..60 {
        assert_eq!(call.media(Realm::Access, UE_MOVED, &packet(7, n)), dropped(Drop::ForeignSource));
    }
    let mut call = Call::new(secure, core());
    let mut phone = Sender::new(&key(2));
    let bytes = sealed(&mut phone, &packet(7, 1));
    assert_eq!(call.media(Realm::Access, UE_MOVED, &bytes), dropped(Drop::ForeignSource), "though authentic");
    assert_eq!(call.media(Realm::Access, UE, &bytes), to_core());
}

#[test]
fn anyone_needs_three_in_a_row() {
    let mut call = Call::new(RtpSide { latching: Latching::Anyone, ..ue() }, core());
    let sprayed = [5, 900, 3, 77].map(|n| call.media(Realm::Access, ATTACKER, &packet(7, n)));
    assert_eq!(sprayed, [dropped(Drop::Unproven); 4]);
    let verdicts = [1, 2, 3, 4].map(|n| call.media(Realm::Access, UE, &packet(7, n)));
    assert_eq!(verdicts, [dropped(Drop::Unproven), dropped(Drop::Unproven), to_core(), to_core()]);
}

/// A signalled address that is not the signaller's gets nothing before it asks: it may be a victim's.
#[test]
fn nobody_is_flooded_by_our_hand() {
    let public = RtpSide { remote: Some(addr(UE)), ..ue() };
    let mut call = Call::new(public, core());
    assert_eq!(call.media(Realm::Core, CORE, &packet(9, 1)), to_ue(UE, 172), "it is the signaller's own");
    let victim = RtpSide { remote: Some(addr("203.0.113.1:9")), ..ue() };
    let mut call = Call::new(victim, core());
    assert_eq!(call.media(Realm::Core, CORE, &packet(9, 1)), dropped(Drop::NoFarSide));
}

#[test]
fn packets_before_the_answer() {
    let unanswered = RtpSide { remote: None, remote_rtcp: None, ..core() };
    let mut call = Call::new(ue(), unanswered);
    assert_eq!(call.media(Realm::Access, UE, &packet(7, 1)), dropped(Drop::NoFarSide));
    assert_eq!(call.media(Realm::Core, CORE, &packet(9, 1)), dropped(Drop::ForeignSource));
    call.session.update(RtpSession { access: ue(), core: core() }, call.now);
    assert_eq!(call.media(Realm::Core, CORE, &packet(9, 2)), to_ue(UE, 172), "the phone was latched before");
    assert_eq!(call.media(Realm::Access, UE, &packet(7, 2)), to_core());

    // A phone whose key is not known yet is not heard.
    let no_key = RtpSide { protection: Protection::Sdes { send: key(1), receive: None }, ..ue() };
    let mut call = Call::new(no_key, core());
    assert_eq!(call.media(Realm::Access, UE, &packet(7, 1)), dropped(Drop::NoKey));
}

#[test]
fn hold_the_old_way_keeps_the_source_and_sends_nowhere() {
    let mut call = Call::running(ue(), core());
    let held = |side: RtpSide| RtpSide { remote: Some(addr("0.0.0.0:4000")), sends: false, ..side };
    call.session.update(RtpSession { access: held(ue()), core: core() }, call.now);
    assert_eq!(call.media(Realm::Core, CORE, &packet(9, 2)), to_ue(UE, 172), "music on hold");
    call.session.update(RtpSession { access: ue(), core: core() }, call.now);
    assert_eq!(call.media(Realm::Access, UE, &packet(7, 2)), to_core());
    for nowhere in ["0.0.0.0:4000", "10.0.0.9:0", "239.1.1.1:4000"] {
        let far = RtpSide { remote: Some(addr(nowhere)), ..core() };
        let mut call = Call::new(ue(), far);
        assert_eq!(call.media(Realm::Access, UE, &packet(7, 1)), dropped(Drop::NoFarSide), "{nowhere}");
    }
}

#[test]
fn a_new_address_in_a_re_invite_counts_for_its_socket() {
    let mut call = Call::running(ue(), core());
    assert!(matches!(
        call.give(Realm::Core, Component::Rtcp, CORE_RTCP, &report(9)),
        Verdict::Forward { .. }
    ));
    let new = |port| RtpSide { remote_rtcp: Some(addr(&format!("10.0.0.9:{port}"))), ..core() };
    call.session.update(RtpSession { access: ue(), core: new(30_099) }, call.now);
    let peer = addr("10.0.0.9:30099");
    let forwarded = Verdict::Forward { to: Realm::Core, component: Component::Rtcp, peer, len: 8 };
    assert_eq!(call.give(Realm::Access, Component::Rtp, UE, &report(7)), forwarded);
    assert_eq!(call.give(Realm::Core, Component::Rtcp, CORE_RTCP, &report(9)), dropped(Drop::ForeignSource));
    assert_eq!(call.session.source(Realm::Core, Component::Rtp), Some(addr(CORE)), "media stays");
}

#[test]
fn keys_change_with_a_re_invite_and_stay_without() {
    let mut call = Call::new(secure_ue(), core());
    let mut phone = Sender::new(&key(2));
    assert_eq!(call.media(Realm::Access, UE, &sealed(&mut phone, &packet(7, 1))), to_core());
    call.session.update(RtpSession { access: secure_ue(), core: core() }, call.now);
    let old = sealed(&mut phone, &packet(7, 2));
    assert_eq!(call.media(Realm::Access, UE, &old), to_core());
    assert_eq!(call.media(Realm::Access, UE, &old), dropped(Drop::Replayed), "the window survived");
    let rekeyed = RtpSide { protection: Protection::Sdes { send: key(1), receive: Some(key(5)) }, ..ue() };
    call.session.update(RtpSession { access: rekeyed, core: core() }, call.now);
    let stale = sealed(&mut phone, &packet(7, 3));
    assert_eq!(call.media(Realm::Access, UE, &stale), dropped(Drop::NotAuthentic));
    let mut phone = Sender::new(&key(5));
    assert_eq!(call.media(Realm::Access, UE, &sealed(&mut phone, &packet(7, 4))), to_core());
}

#[test]
fn ice_lite_latches_by_checks_alone() {
    let ice = Ice { fragment: b"ours".to_vec(), password: b"a password of 22 chars".to_vec() };
    assert!(!format!("{ice:?}").contains("password of"));
    let mut call = Call::new(RtpSide { ice: Some(ice), ..ue() }, core());
    assert_eq!(call.media(Realm::Access, UE, &packet(7, 1)), dropped(Drop::ForeignSource));
    let check = |password: &[u8]| {
        let mut out = Vec::new();
        stun::write_request([1; 12], b"ours:theirs", password, stun::Role::Controlling(1), 1, &mut out);
        out
    };
    let good = check(b"a password of 22 chars");
    assert_eq!(call.media(Realm::Access, ATTACKER, &check(b"wrong")), Verdict::Reply, "a refusal");
    assert_eq!(call.session.source(Realm::Access, Component::Rtp), None);
    assert_eq!(call.media(Realm::Access, UE, &good), Verdict::Reply);
    assert_eq!(stun::Message::read(&call.out.reply).unwrap().mapped, Some(addr(UE)));
    assert_eq!(call.media(Realm::Access, UE, &packet(7, 2)), to_core());
    assert_eq!(call.media(Realm::Core, CORE, &good), dropped(Drop::NotMedia), "no ICE was agreed there");
}

#[test]
fn floods_are_cut_and_strangers_do_not_use_up_the_rate() {
    let mut call = Call::running(ue(), core());
    for _ in 0..5_000 {
        call.give(Realm::Access, Component::Rtp, ATTACKER, &packet(1, 1));
    }
    assert_eq!(call.give(Realm::Access, Component::Rtp, UE, &packet(7, 2)), to_core());
    let passed =
        (3..5_000).filter(|n| call.give(Realm::Access, Component::Rtp, UE, &packet(7, *n)) == to_core());
    assert!((150..=200).contains(&passed.count()));
    call.now += Duration::from_secs(1);
    assert_eq!(call.give(Realm::Access, Component::Rtp, UE, &packet(7, 5_001)), to_core());
}

#[test]
fn silence_is_reported_once_and_hold_is_not_silence() {
    let mut call = Call::running(ue(), core());
    call.out.clear();
    let ring = |call: &mut Call, seconds: u64| {
        call.now = Instant::from_micros(5_000_000) + Duration::from_secs(seconds);
        call.session.handle_deadline(call.now, &mut call.out);
        core::mem::take(&mut call.out.notices)
    };
    // The phone stops, the core goes on.
    for second in 1..=30u64 {
        call.now = Instant::from_micros(5_000_000) + Duration::from_secs(second);
        call.media(Realm::Core, CORE, &packet(9, second as u16 + 1));
        let expected = if second == 11 { vec![Notice::OneWay { silent: Realm::Access }] } else { vec![] };
        let notices = if second == 11 || second > 20 { ring(&mut call, second) } else { vec![] };
        assert_eq!(notices, expected, "{second}");
    }
    // Nobody sends.
    assert_eq!(ring(&mut call, 89), []);
    assert_eq!(ring(&mut call, 100), [Notice::Inactive]);
    assert_eq!(ring(&mut call, 200), []);
    // Both on hold: hours may pass, and reports alone keep it alive.
    let held = |side: RtpSide| RtpSide { sends: false, ..side };
    call.session.update(RtpSession { access: held(ue()), core: held(core()) }, call.now);
    assert_eq!(ring(&mut call, 1_000), []);
    assert!(matches!(call.give(Realm::Access, Component::Rtp, UE, &report(7)), Verdict::Forward { .. }));
    assert_eq!(ring(&mut call, 1_000 + 3_599), []);
    assert_eq!(ring(&mut call, 1_000 + 3_700), [Notice::Inactive]);
}

#[test]
fn hostile_datagrams_never_panic() {
    for access in [ue(), secure_ue()] {
        let mut call = Call::new(access, core());
        for first in 0..=255u8 {
            for len in 0..=64 {
                let bytes: Vec<u8> = [first, 200, 0xff].into_iter().cycle().take(len).collect();
                call.now += Duration::from_millis(100);
                for component in [Component::Rtp, Component::Rtcp] {
                    call.give(Realm::Access, component, UE, &bytes);
                    call.give(Realm::Core, component, CORE, &bytes);
                }
            }
        }
    }
    // A length that is not the buffer's.
    let mut call = Call::new(ue(), core());
    let mut datagram = Datagram {
        from: Realm::Access,
        component: Component::Rtp,
        source: addr(UE),
        buffer: &mut [0x80; 20],
        len: 21,
    };
    assert_eq!(call.session.handle(&mut datagram, call.now, &mut call.out), dropped(Drop::Malformed));
}

/// Half of the 8 KiB that an audio session may take is left for the shell.
#[test]
fn a_session_is_small() {
    assert!(size_of::<Session>() <= 2_560, "{}", size_of::<Session>());
}
