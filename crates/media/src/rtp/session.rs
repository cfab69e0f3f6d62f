//! One session: what happens to a datagram, in order.

use super::api::{
    Component, Datagram, Drop, Latching, Limits, Notice, Outbox, Protection, RtcpPort, RtpSession, RtpSide,
    Sending, SideTotals, Verdict,
};
use super::dtls::{Dtls, Keys as DtlsKeys};
use super::latch::{self, Latch, Standing};
use super::shake::Shake;
use ::rtp::quality::{Reception, RoundTrip};
use ::rtp::rtcp::{self, Compound, Packet};
use ::rtp::srtp::{Error, Receiver, Sender};
use ::rtp::{Kind, Rtp, classify, stun};
use core::net::SocketAddr;
use std::sync::Arc;
use wire::{Instant, Realm};

/// A relayed media line: see the module.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    signalled: RtpSession,
    sides: [Side; 2],
    opened_at: Instant,
    /// The next look at who is silent.
    check_at: Instant,
    /// Our end of handshakes, where DTLS is spoken.
    dtls: Option<Arc<Dtls>>,
    /// The silent side was reported.
    is_one_way: bool,
    is_inactive: bool,
    /// Somebody looks at what is accepted, unprotected.
    is_tapped: bool,
}

/// What the session learnt of a side.
#[derive(Debug)]
struct Side {
    keys: Keys,
    /// The handshake of a side whose keys come from DTLS.
    shake: Option<Box<Shake>>,
    latches: [Latch; 2],
    known_rate: Rate,
    stranger_rate: Rate,
    /// When something genuine last came.
    heard_at: Instant,
    totals: SideTotals,
    reception: Reception,
    round_trip: RoundTrip,
}

#[derive(Debug, Default)]
struct Keys {
    sender: Option<Sender>,
    receiver: Option<Receiver>,
}

/// Media or its control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Media,
    Control,
}

/// How a packet gets from one side to the other.
struct Way {
    open: fn(&mut Keys, Sort, &mut [u8], usize) -> Result<usize, Drop>,
    seal: fn(&mut Keys, Sort, &mut [u8], usize) -> Result<usize, Drop>,
}

/// By (transport in, transport out): plain, SDES.
const WAYS: [[Way; 2]; 2] = [
    [Way { open: as_it_is, seal: as_it_is }, Way { open: as_it_is, seal }],
    [Way { open, seal: as_it_is }, Way { open, seal }],
];

impl Session {
    /// Both sides as far as they are signalled.
    #[must_use]
    pub fn new(signalled: RtpSession, limits: Limits, now: Instant) -> Self {
        let sides = [Realm::Access, Realm::Core].map(|realm| Side::new(signalled.side(realm), now));
        let check_at = now + limits.one_way_after;
        let (is_one_way, is_inactive, is_tapped) = (false, false, false);
        let dtls = None;
        Self { limits, signalled, sides, opened_at: now, check_at, dtls, is_one_way, is_inactive, is_tapped }
    }

    /// Takes what new signalling says: an answer, a re-INVITE, an UPDATE.
    ///
    /// Keys that did not change keep their counters, others start anew. A side whose address changed
    /// forgets its source; one whose address did not may take another source of the same host for a
    /// while.
    pub fn update(&mut self, signalled: RtpSession, now: Instant) {
        for realm in [Realm::Access, Realm::Core] {
            let (before, after) = (self.signalled.side(realm), signalled.side(realm));
            let side = &mut self.sides[realm as usize];
            side.update_keys(before, after, now);
            for component in [Component::Rtp, Component::Rtcp] {
                let latch = &mut side.latches[component as usize];
                if is_moved(before, after, component) { latch.reset() } else { latch.reopen(now) }
            }
            if before.sends != after.sends {
                side.heard_at = side.heard_at.max(now);
            }
        }
        self.signalled = signalled;
        (self.is_one_way, self.is_inactive) = (false, false);
        self.check_at = now + self.limits.one_way_after;
    }

    /// Decides about one datagram and changes it in its buffer.
    pub fn handle(&mut self, datagram: &mut Datagram<'_>, now: Instant, out: &mut Outbox) -> Verdict {
        let from = datagram.from;
        match self.relay(datagram, now, out) {
            Ok(verdict) => verdict,
            Err(drop) => {
                let count = &mut self.sides[from as usize].totals.drops[drop as usize];
                *count = count.saturating_add(1);
                Verdict::Drop(drop)
            }
        }
    }

    /// With it, a side may have its keys from DTLS.
    #[must_use]
    pub fn with_dtls(mut self, dtls: Option<Arc<Dtls>>) -> Self {
        self.dtls = dtls;
        self
    }

    /// From here on `Outbox::plain` holds, or no longer holds, what is accepted.
    pub const fn set_tapped(&mut self, is_tapped: bool) {
        self.is_tapped = is_tapped;
    }

    /// When it began.
    #[must_use]
    pub const fn opened_at(&self) -> Instant {
        self.opened_at
    }

    /// When to call `handle_deadline`.
    #[must_use]
    pub fn next_deadline(&self) -> Instant {
        let shakes = self.sides.iter().filter_map(|side| side.shake.as_ref()?.next_deadline());
        shakes.fold(self.check_at, Instant::min)
    }

    /// Looks who is silent; each finding is reported once, until packets or signalling come again.
    pub fn handle_deadline(&mut self, now: Instant, out: &mut Outbox) {
        self.go_on_shaking(now, out);
        if now < self.check_at {
            return;
        }
        self.check_at = now + self.limits.one_way_after;
        let silent = |realm: Realm| now.since(self.sides[realm as usize].heard_at);
        let missed =
            |realm: Realm| self.signalled.side(realm).sends && silent(realm) >= self.limits.one_way_after;
        let since_any = silent(Realm::Access).min(silent(Realm::Core));
        let one_way = match (missed(Realm::Access), missed(Realm::Core)) {
            (true, false) if since_any < self.limits.one_way_after => Some(Realm::Access),
            (false, true) if since_any < self.limits.one_way_after => Some(Realm::Core),
            _ => None,
        };
        if let Some(silent) = one_way.filter(|_| !self.is_one_way) {
            out.notices.push(Notice::OneWay { silent });
        }
        self.is_one_way = one_way.is_some();
        let is_held = !self.signalled.access.sends && !self.signalled.core.sends;
        let patience = if is_held { self.limits.hold_max } else { self.limits.inactivity_max };
        let is_inactive = since_any >= patience;
        if is_inactive && !self.is_inactive {
            out.notices.push(Notice::Inactive);
        }
        if self.is_inactive && !is_inactive {
            out.notices.push(Notice::Active);
        }
        self.is_inactive = is_inactive;
    }

    /// What came from this side so far.
    #[must_use]
    pub fn totals(&self, realm: Realm) -> SideTotals {
        let side = &self.sides[realm as usize];
        SideTotals { figures: side.reception.figures(), round_trip: side.round_trip.last(), ..side.totals }
    }

    /// The known source of a side.
    #[must_use]
    pub fn source(&self, realm: Realm, component: Component) -> Option<SocketAddr> {
        self.sides[realm as usize].latches[component as usize].known()
    }

    fn relay(&mut self, d: &mut Datagram<'_>, now: Instant, out: &mut Outbox) -> Result<Verdict, Drop> {
        let bytes = d.buffer.get(..d.len).ok_or(Drop::Malformed)?;
        let signalled = self.signalled.side(d.from);
        let sort = match (classify(bytes), d.component, signalled.rtcp) {
            (Kind::Stun, ..) => return self.check_connectivity(d, now, out),
            (Kind::Dtls, Component::Rtp, _) => return self.shake_hands(d, now, out),
            // Without multiplexing the port tells: payload types 64..=95 with the marker look like RTCP.
            (Kind::Rtp, Component::Rtp, _) | (Kind::Rtcp, Component::Rtp, RtcpPort::Own) => Sort::Media,
            (Kind::Rtcp, Component::Rtcp, _) | (Kind::Rtcp, Component::Rtp, RtcpPort::Muxed) => Sort::Control,
            (Kind::Rtp, Component::Rtcp, _) => return Err(Drop::WrongPort),
            _ => return Err(Drop::NotMedia),
        };
        let standing = self.admit(d, now)?;
        let to = other(d.from);
        let [way_in, way_out] = [d.from, to].map(|realm| transport(&self.signalled.side(realm).protection));
        let way = &WAYS[way_in][way_out];
        let len = (way.open)(&mut self.sides[d.from as usize].keys, sort, d.buffer, d.len)?;
        let plain = d.buffer.get(..len).ok_or(Drop::Malformed)?;
        match sort {
            Sort::Media => self.on_media(d.from, d.source, plain, standing, now, out)?,
            Sort::Control => self.on_control(d, plain, standing, now, out)?,
        }
        if self.is_tapped {
            out.plain.clear();
            out.plain.extend_from_slice(plain);
        }
        self.sides[d.from as usize].count(sort, d.len, now);
        let (component, peer) = self.target(to, sort).ok_or(Drop::NoFarSide)?;
        let len = (way.seal)(&mut self.sides[to as usize].keys, sort, d.buffer, len)?;
        Ok(Verdict::Forward { to, component, peer, len })
    }

    /// Whether the source may send at all, and not too much.
    fn admit(&mut self, d: &Datagram<'_>, now: Instant) -> Result<Standing, Drop> {
        let signalled = self.signalled.side(d.from);
        let side = &mut self.sides[d.from as usize];
        let latch = &side.latches[d.component as usize];
        let standing = latch.standing(d.source, address(signalled, d.component), signalled, now);
        let is_within = match standing {
            Standing::Foreign => return Err(Drop::ForeignSource),
            Standing::Known => {
                side.known_rate.take(self.limits.packets_per_second_max, self.limits.burst_max, now)
            }
            // A rate of their own, so that they do not use up that of the known source.
            Standing::Stranger => {
                let rate = self.limits.strangers_per_second_max;
                side.stranger_rate.take(rate, rate, now)
            }
        };
        if is_within { Ok(standing) } else { Err(Drop::Flood) }
    }

    fn on_media(
        &mut self,
        from: Realm,
        source: SocketAddr,
        plain: &[u8],
        standing: Standing,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), Drop> {
        let packet =
            Rtp::read(plain).filter(|packet| is_padding_right(packet, plain)).ok_or(Drop::Malformed)?;
        let signalled = self.signalled.side(from);
        let side = &mut self.sides[from as usize];
        let latch = &mut side.latches[Component::Rtp as usize];
        if standing == Standing::Stranger {
            let is_proved = match signalled.protection {
                // It is authentic in any case; only the newest tells where the sender is.
                Protection::Sdes { .. } | Protection::Dtls { .. } => latch.is_newest(&packet),
                Protection::Plain => {
                    if !latch.is_proved_by(
                        &packet,
                        source,
                        address(signalled, Component::Rtp),
                        signalled,
                        now,
                    ) {
                        return Err(Drop::Unproven);
                    }
                    true
                }
            };
            if is_proved && latch.take(source) {
                out.notices.push(Notice::Latched { realm: from, component: Component::Rtp, source });
            }
        }
        latch.on_known(&packet, now);
        side.reception.on_packet(&packet, now);
        Ok(())
    }

    fn on_control(
        &mut self,
        d: &Datagram<'_>,
        plain: &[u8],
        standing: Standing,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), Drop> {
        let packets = Compound::read(plain, rtcp::Rules::ReducedSize).ok_or(Drop::Malformed)?;
        if standing == Standing::Stranger {
            self.prove_control(d, now)?;
            if self.sides[d.from as usize].latches[d.component as usize].take(d.source) {
                let (realm, component, source) = (d.from, d.component, d.source);
                out.notices.push(Notice::Latched { realm, component, source });
            }
        }
        for packet in packets {
            let reports = match packet {
                Packet::SenderReport { sent, reports, .. } => {
                    self.sides[other(d.from) as usize].round_trip.on_sender_report(sent.name(), now);
                    reports
                }
                Packet::ReceiverReport { reports, .. } => reports,
                _ => continue,
            };
            for report in reports {
                self.sides[d.from as usize].round_trip.on_report(&report, now);
            }
        }
        Ok(())
    }

    /// RTCP says little by which a sender could be known again. On a plain side it may be the first that
    /// comes, and on its own port it follows the media to another port of the same host.
    fn prove_control(&self, d: &Datagram<'_>, now: Instant) -> Result<(), Drop> {
        let signalled = self.signalled.side(d.from);
        let [media, control] = &self.sides[d.from as usize].latches;
        let is_proved = match (&signalled.protection, d.component) {
            (Protection::Sdes { .. } | Protection::Dtls { .. }, Component::Rtcp) => true,
            // Authentic, but it may be a copy: media alone moves the source of media.
            (Protection::Sdes { .. } | Protection::Dtls { .. }, Component::Rtp) => media.known().is_none(),
            (Protection::Plain, _) if signalled.latching == Latching::Strict => true,
            (Protection::Plain, Component::Rtp) => {
                media.known().is_none() && signalled.latching != Latching::Anyone
            }
            (Protection::Plain, Component::Rtcp) => match media.known() {
                Some(media) => media.ip() == d.source.ip() && control.may_follow(now),
                None => control.known().is_none() && signalled.latching != Latching::Anyone,
            },
        };
        if is_proved { Ok(()) } else { Err(Drop::Unproven) }
    }

    /// A STUN request: answered where ICE was signalled, and proof of its source (RFC 8445 §7.3).
    fn check_connectivity(
        &mut self,
        d: &Datagram<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<Verdict, Drop> {
        let ice = self.signalled.side(d.from).ice.as_ref().ok_or(Drop::NotMedia)?;
        let side = &mut self.sides[d.from as usize];
        let limits = &self.limits;
        let is_known = side.latches[d.component as usize].known() == Some(d.source);
        let is_within = if is_known {
            side.known_rate.take(limits.packets_per_second_max, limits.burst_max, now)
        } else {
            let rate = limits.strangers_per_second_max;
            side.stranger_rate.take(rate, rate, now)
        };
        if !is_within {
            return Err(Drop::Flood);
        }
        let ours = stun::Credentials { fragment: &ice.fragment, password: &ice.password };
        let bytes = d.buffer.get(..d.len).ok_or(Drop::Malformed)?;
        match stun::answer(bytes, d.source, ours, &mut out.reply) {
            stun::Verdict::Answered { is_nominated } => {
                let latch = &mut side.latches[d.component as usize];
                // The first pair that works serves until one is nominated.
                if (is_nominated || latch.known().is_none()) && latch.take(d.source) {
                    let (realm, component, source) = (d.from, d.component, d.source);
                    out.notices.push(Notice::Latched { realm, component, source });
                }
                side.heard_at = now;
                Ok(Verdict::Reply)
            }
            stun::Verdict::Refused { .. } => Ok(Verdict::Reply),
            stun::Verdict::Ignored => Err(Drop::NotMedia),
        }
    }

    /// A part of a handshake (RFC 5764 §5.1.2): from somebody who may be the peer, and not too much of it.
    fn shake_hands(&mut self, d: &Datagram<'_>, now: Instant, out: &mut Outbox) -> Result<Verdict, Drop> {
        let signalled = self.signalled.side(d.from);
        let Protection::Dtls { role, fingerprints } = &signalled.protection else {
            return Err(Drop::NotMedia);
        };
        let dtls = self.dtls.as_ref().ok_or(Drop::NotMedia)?;
        if fingerprints.is_empty() {
            // Before the answer nobody knows whose certificate it must be; the peer asks again.
            return Err(Drop::NoKey);
        }
        let side = &mut self.sides[d.from as usize];
        let is_known = side.latches[d.component as usize].known() == Some(d.source);
        let may = latch::may_be_first(d.source, address(signalled, d.component), signalled);
        if !is_known && (signalled.ice.is_some() || !may) {
            return Err(Drop::ForeignSource);
        }
        let rate = self.limits.strangers_per_second_max;
        if !side.stranger_rate.take(rate, rate, now) {
            return Err(Drop::Flood);
        }
        let bytes = d.buffer.get(..d.len).ok_or(Drop::Malformed)?;
        let shake = side.shake.as_mut().ok_or(Drop::NotMedia)?;
        let keys = shake.handle(dtls, *role, bytes, d.source, fingerprints, now);
        for (peer, bytes) in shake.take_datagrams() {
            out.sendings.push(Sending { to: d.from, component: d.component, peer, bytes });
        }
        if let Some(keys) = keys? {
            side.take_keys(&keys);
            // It was authenticated by its certificate.
            if side.latches[d.component as usize].take(d.source) {
                let (realm, component, source) = (d.from, d.component, d.source);
                out.notices.push(Notice::Latched { realm, component, source });
            }
        }
        side.heard_at = now;
        Ok(Verdict::Taken)
    }

    /// Begins handshakes that are ours to begin, and sends again what may be lost.
    fn go_on_shaking(&mut self, now: Instant, out: &mut Outbox) {
        for to in [Realm::Access, Realm::Core] {
            let signalled = self.signalled.side(to);
            let (Protection::Dtls { fingerprints, .. }, Some(dtls)) = (&signalled.protection, &self.dtls)
            else {
                continue;
            };
            let component = Component::Rtp;
            let target = self.target(to, Sort::Media).map(|(_, peer)| peer);
            let side = &mut self.sides[to as usize];
            let Some(shake) = &mut side.shake else { continue };
            let keys = shake.handle_deadline(dtls, target, fingerprints, now);
            for (peer, bytes) in shake.take_datagrams() {
                out.sendings.push(Sending { to, component, peer, bytes });
            }
            if let Ok(Some(keys)) = keys {
                side.take_keys(&keys);
            }
        }
    }

    /// Where packets of this sort go on a side.
    fn target(&self, to: Realm, sort: Sort) -> Option<(Component, SocketAddr)> {
        let signalled = self.signalled.side(to);
        let component = match (sort, signalled.rtcp) {
            (Sort::Control, RtcpPort::Own) => Component::Rtcp,
            _ => Component::Rtp,
        };
        let known = self.sides[to as usize].latches[component as usize].known();
        let peer = known.or_else(|| latch::first_target(address(signalled, component), signalled))?;
        Some((component, peer))
    }
}

impl Side {
    fn new(signalled: &RtpSide, now: Instant) -> Self {
        let mut keys = Keys::default();
        keys.update(&Protection::Plain, &signalled.protection);
        let shake = match signalled.protection {
            Protection::Dtls { role, .. } => Some(Box::new(Shake::new(role, now))),
            _ => None,
        };
        Self {
            keys,
            shake,
            latches: [Latch::default(), Latch::default()],
            known_rate: Rate::default(),
            stranger_rate: Rate::default(),
            heard_at: now,
            totals: SideTotals::default(),
            reception: Reception::new(signalled.clock_rate),
            round_trip: RoundTrip::default(),
        }
    }

    /// Keys that did not change keep their counters; a handshake with somebody else begins anew.
    fn update_keys(&mut self, before: &RtpSide, after: &RtpSide, now: Instant) {
        self.keys.update(&before.protection, &after.protection);
        match after.protection {
            Protection::Dtls { role, .. } if before.protection != after.protection => {
                self.keys = Keys::default();
                self.shake = Some(Box::new(Shake::new(role, now)));
            }
            Protection::Dtls { .. } => {}
            _ => self.shake = None,
        }
    }

    fn take_keys(&mut self, keys: &DtlsKeys) {
        self.keys.sender = Some(Sender::new(&keys.send));
        self.keys.receiver = Some(Receiver::new(&keys.receive));
    }

    fn count(&mut self, sort: Sort, len: usize, now: Instant) {
        self.heard_at = now;
        match sort {
            Sort::Media => {
                self.totals.packets += 1;
                self.totals.octets += len as u64;
            }
            Sort::Control => self.totals.reports += 1,
        }
    }
}

impl Keys {
    fn update(&mut self, before: &Protection, after: &Protection) {
        let (old_send, old_receive) = parts(before);
        let (send, receive) = parts(after);
        if old_send != send {
            self.sender = send.map(Sender::new);
        }
        if old_receive != receive {
            self.receiver = receive.map(Receiver::new);
        }
    }
}

type Parts<'a> = (Option<&'a ::rtp::srtp::MasterKey>, Option<&'a ::rtp::srtp::MasterKey>);

fn parts(protection: &Protection) -> Parts<'_> {
    match protection {
        Protection::Plain | Protection::Dtls { .. } => (None, None),
        Protection::Sdes { send, receive } => (Some(send), receive.as_ref()),
    }
}

const fn transport(protection: &Protection) -> usize {
    match protection {
        Protection::Plain => 0,
        Protection::Sdes { .. } | Protection::Dtls { .. } => 1,
    }
}

fn as_it_is(_: &mut Keys, _: Sort, _: &mut [u8], len: usize) -> Result<usize, Drop> {
    Ok(len)
}

fn open(keys: &mut Keys, sort: Sort, buffer: &mut [u8], len: usize) -> Result<usize, Drop> {
    let receiver = keys.receiver.as_mut().ok_or(Drop::NoKey)?;
    let packet = buffer.get_mut(..len).ok_or(Drop::Malformed)?;
    let opened = match sort {
        Sort::Media => receiver.open_rtp(packet),
        Sort::Control => receiver.open_rtcp(packet),
    };
    opened.map_err(|error| match error {
        Error::Malformed | Error::NoRoom | Error::Unencrypted => Drop::Malformed,
        Error::BadTag | Error::TooManySources | Error::KeyExhausted => Drop::NotAuthentic,
        Error::Replayed | Error::TooOld => Drop::Replayed,
    })
}

fn seal(keys: &mut Keys, sort: Sort, buffer: &mut [u8], len: usize) -> Result<usize, Drop> {
    let sender = keys.sender.as_mut().ok_or(Drop::NoKey)?;
    let sealed = match sort {
        Sort::Media => sender.protect_rtp(buffer, len),
        Sort::Control => sender.protect_rtcp(buffer, len),
    };
    sealed.map_err(|_| Drop::Unprotectable)
}

const fn other(realm: Realm) -> Realm {
    match realm {
        Realm::Access => Realm::Core,
        Realm::Core => Realm::Access,
    }
}

/// The signalled address that belongs to a socket, if it is one that can be sent to.
fn address(signalled: &RtpSide, component: Component) -> Option<SocketAddr> {
    let address = match component {
        Component::Rtp => signalled.remote,
        Component::Rtcp => signalled.remote_rtcp,
    };
    address.filter(|a| a.port() != 0 && !a.ip().is_unspecified() && !a.ip().is_multicast())
}

/// Whether new signalling names another far end. Hold the old way (`c=0.0.0.0`) names none, and the
/// source that was learnt is still the right one when the call is taken back.
fn is_moved(before: &RtpSide, after: &RtpSide, component: Component) -> bool {
    let (old, new) = (address(before, component), address(after, component));
    let is_elsewhere = old.is_some() && new.is_some() && old != new;
    is_elsewhere || before.latching != after.latching || before.ice != after.ice
}

/// The last octet counts the padding, itself included, and none of it is header.
fn is_padding_right(packet: &Rtp, plain: &[u8]) -> bool {
    let padding = plain.last().map_or(0, |last| usize::from(*last));
    !packet.is_padded || (padding > 0 && packet.header_bytes + padding <= plain.len())
}

/// A token bucket in one word (GCRA): when it would be empty again.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    empty_at_micros: u64,
}

impl Rate {
    fn take(&mut self, per_second: u32, burst: u32, now: Instant) -> bool {
        let step = 1_000_000 / u64::from(per_second.max(1));
        let now = now.as_micros();
        let start = self.empty_at_micros.max(now);
        if start - now > step * u64::from(burst.saturating_sub(1)) {
            return false;
        }
        self.empty_at_micros = start + step;
        true
    }
}
