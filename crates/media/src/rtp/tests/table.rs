//! Many sessions: ids, deadlines, totals; and random events against what must never happen.

use super::*;
use crate::rtp::{RtpNotice, RtpRelay};
use wire::{Cause, MediaId};

const ID: MediaId = MediaId { slot: 3, generation: 1 };

fn set(relay: &mut RtpRelay, id: MediaId, now: Instant, out: &mut Vec<RtpNotice>) -> Result<(), Cause> {
    relay.set(id, RtpSession { access: ue(), core: core() }, now, out)
}

fn give(relay: &mut RtpRelay, id: MediaId, bytes: &[u8], now: Instant, out: &mut Vec<RtpNotice>) -> Verdict {
    let mut buffer = bytes.to_vec();
    buffer.resize(bytes.len() + 32, 0);
    let (from, component, len) = (Realm::Access, Component::Rtp, bytes.len());
    let mut datagram = Datagram { from, component, source: addr(UE), buffer: &mut buffer, len };
    relay.handle(id, &mut datagram, now, &mut Vec::new(), out)
}

#[test]
fn a_session_from_start_to_end() {
    let mut relay = RtpRelay::new(Limits::default(), 10);
    let (mut out, now) = (Vec::new(), Instant::from_micros(1));
    assert_eq!(set(&mut relay, ID, now, &mut out), Ok(()));
    assert_eq!(give(&mut relay, ID, &packet(7, 1), now, &mut out), to_core());
    let source = addr(UE);
    let notice = Notice::Latched { realm: Realm::Access, component: Component::Rtp, source };
    assert_eq!(out, [RtpNotice::Session { id: ID, notice }]);
    out.clear();
    let stale = MediaId { generation: 0, ..ID };
    assert_eq!(give(&mut relay, stale, &packet(7, 2), now, &mut out), dropped(Drop::NotMedia));
    relay.release(stale, Cause::Bye, now, &mut out);
    assert_eq!((out.len(), relay.len(), relay.counters().strays), (0, 1, 2));
    let later = now + Duration::from_secs(7);
    relay.release(ID, Cause::Bye, later, &mut out);
    let [RtpNotice::Ended { id: ID, cause: Cause::Bye, duration, access, core }] = &out[..] else {
        unreachable!()
    };
    assert_eq!(*duration, Duration::from_secs(7));
    assert_eq!((access.packets, access.octets, core.packets), (1, 172, 0));
    assert_eq!((relay.len(), relay.next_deadline()), (0, None));
    assert_eq!((relay.counters().forwarded, relay.counters().octets), ([1, 0], [172, 0]));
}

#[test]
fn five_thousand_sessions_come_and_go() {
    let mut relay = RtpRelay::new(Limits::default(), 5_000);
    let mut out = Vec::new();
    for generation in 0..3 {
        let now = Instant::from_micros(u64::from(generation) * 1_000);
        for slot in 0..5_000 {
            assert_eq!(set(&mut relay, MediaId { slot, generation }, now, &mut out), Ok(()));
        }
        let over = MediaId { slot: 5_000, generation };
        assert_eq!(set(&mut relay, over, now, &mut out), Err(Cause::TableFull));
        assert_eq!(relay.len(), 5_000);
        // The last round is left open: slots used again end what was in them.
        if generation != 1 {
            for slot in 0..5_000 {
                relay.release(MediaId { slot, generation }, Cause::Bye, now, &mut out);
            }
            assert_eq!((relay.len(), relay.next_deadline()), (0, None));
        }
    }
    let ended =
        |cause| out.iter().filter(move |n| matches!(n, RtpNotice::Ended { cause: c, .. } if *c == cause));
    assert_eq!((ended(Cause::Bye).count(), ended(Cause::Internal).count()), (10_000, 5_000));
}

#[test]
fn deadlines_ring_for_those_who_are_due() {
    let mut relay = RtpRelay::new(Limits::default(), 10);
    let mut out = Vec::new();
    let other = MediaId { slot: 4, generation: 1 };
    let second = |n: u64| Instant::from_micros(n * 1_000_000);
    assert_eq!(set(&mut relay, ID, second(0), &mut out), Ok(()));
    assert_eq!(set(&mut relay, other, second(5), &mut out), Ok(()));
    assert_eq!(relay.next_deadline(), Some(second(10)));
    for at in 10..=60 {
        relay.handle_deadline(second(at), &mut out);
        assert!(relay.next_deadline().is_some_and(|next| next > second(at)));
    }
    assert_eq!(out, [RtpNotice::Session { id: ID, notice: Notice::Inactive }]);
    assert_eq!(give(&mut relay, other, &packet(7, 1), second(60), &mut out), to_core());
    out.clear();
    for at in 61..=75 {
        relay.handle_deadline(second(at), &mut out);
    }
    let one_way = RtpNotice::Session { id: other, notice: Notice::OneWay { silent: Realm::Core } };
    assert_eq!((&out[..], relay.counters().one_way), (&[one_way][..], 1));
}

/// Random datagrams, signalling and deadlines: what is sealed for a side goes to its phone or to its
/// server and nowhere else, and what a stranger says is heard by nobody.
#[test]
fn random_events_never_serve_a_stranger() {
    for seed in 0..200 {
        let mut random = Random::from_u64(seed);
        let is_secure = seed % 2 == 1;
        let access = || if is_secure { secure_ue() } else { ue() };
        let mut call = Call::new(access(), core());
        let mut phone = Sender::new(&key(2));
        let mut captured = vec![packet(7, 0)];
        for sequence in 1..300u16 {
            call.now += Duration::from_millis(random.below(60));
            match random.below(12) {
                0..4 => {
                    let plain = packet(7, sequence);
                    let bytes = if is_secure { sealed(&mut phone, &plain) } else { plain };
                    let verdict = call.give(Realm::Access, Component::Rtp, UE, &bytes);
                    assert_eq!(verdict, to_core(), "seed {seed}");
                    captured.push(bytes);
                }
                4..7 => {
                    let verdict = call.give(Realm::Core, Component::Rtp, CORE, &packet(9, sequence));
                    if let Verdict::Forward { peer, .. } = verdict {
                        assert_eq!(peer, addr(UE), "seed {seed}");
                    }
                }
                // What the attacker saw once, bent or as it was, from either side, to either socket.
                7..10 => {
                    let mut bytes = captured[random.below(captured.len() as u64) as usize].clone();
                    let bit = random.below(bytes.len() as u64 * 8) as usize;
                    if random.below(2) == 0 {
                        bytes[bit / 8] ^= 1 << (bit % 8);
                    }
                    let from = if random.below(2) == 0 { Realm::Access } else { Realm::Core };
                    let component = if random.below(2) == 0 { Component::Rtp } else { Component::Rtcp };
                    let verdict = call.give(from, component, ATTACKER, &bytes);
                    assert!(matches!(verdict, Verdict::Drop(_)), "seed {seed}: {verdict:?}");
                }
                10 => call.session.update(RtpSession { access: access(), core: core() }, call.now),
                _ => call.session.handle_deadline(call.now, &mut call.out),
            }
            let known = call.session.source(Realm::Access, Component::Rtp);
            assert!(known.is_none() || known == Some(addr(UE)), "seed {seed}: {known:?}");
        }
    }
}
