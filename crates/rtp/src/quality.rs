//! How well a stream arrives: loss and jitter (RFC 3550 appendices A.1, A.3, A.8), round-trip time, and
//! what a listener would say of it (MOS by the E-model of ITU-T G.107).

use core::time::Duration;
use wire::Instant;

/// Counts over one source in one direction; a new SSRC starts anew and keeps the totals.
#[derive(Clone, Debug)]
pub struct Reception {
    /// Ticks of the media clock per second.
    clock_rate: u32,
    source: Option<Current>,
    /// Expected and received packets of sources that ended.
    before: (u64, u64),
    /// Sources seen; more than one is a change of SSRC.
    sources: u32,
    /// The highest jitter so far, in ticks.
    jitter_max: u32,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    ssrc: u32,
    /// Sequence numbers with their cycles: `base <= highest`.
    base: u64,
    highest: u64,
    received: u64,
    /// The next number after a jump, which a restarted sender would use.
    after_jump: Option<u16>,
    transit: u32,
    /// Sixteen times the jitter, as appendix A.8 keeps it.
    jitter_16: u32,
}

/// A snapshot of [`Reception`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Packets that should have come.
    pub expected: u64,
    /// Packets that came.
    pub received: u64,
    /// Interarrival jitter at the end, microseconds.
    pub jitter_micros: u64,
    /// The highest jitter, microseconds.
    pub jitter_max_micros: u64,
    /// Sources seen.
    pub sources: u32,
}

impl Figures {
    /// Packets that did not come; zero if duplicates outnumber them.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.received)
    }

    /// Of a million.
    #[must_use]
    pub const fn lost_ppm(&self) -> u32 {
        if self.expected == 0 {
            return 0;
        }
        (self.lost() as u128 * 1_000_000 / self.expected as u128) as u32
    }
}

impl Reception {
    /// Nothing received yet. A clock rate of zero counts as 8,000.
    #[must_use]
    pub const fn new(clock_rate: u32) -> Self {
        let clock_rate = if clock_rate == 0 { 8_000 } else { clock_rate };
        Self { clock_rate, source: None, before: (0, 0), sources: 0, jitter_max: 0 }
    }

    /// Counts one packet.
    pub fn on_packet(&mut self, packet: &crate::Rtp, now: Instant) {
        let arrival = self.ticks(now);
        let transit = arrival.wrapping_sub(packet.timestamp);
        match &mut self.source {
            Some(current) if current.ssrc == packet.ssrc => match current.place(packet.sequence) {
                Place::Next => {
                    let jitter = current.on_transit(transit);
                    self.jitter_max = self.jitter_max.max(jitter);
                }
                Place::Late => {}
                Place::Jumped => {}
                Place::Restarted => self.start(packet, transit),
            },
            _ => {
                self.sources = self.sources.saturating_add(1);
                self.start(packet, transit);
            }
        }
    }

    /// What is known so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let (expected, received) = self.source.map_or((0, 0), |c| (c.highest - c.base + 1, c.received));
        Figures {
            expected: self.before.0 + expected,
            received: self.before.1 + received,
            jitter_micros: self.micros(self.source.map_or(0, |c| c.jitter_16 >> 4)),
            jitter_max_micros: self.micros(self.jitter_max),
            sources: self.sources,
        }
    }

    fn start(&mut self, packet: &crate::Rtp, transit: u32) {
        let so_far = self.figures();
        self.before = (so_far.expected, so_far.received);
        // The cycles begin at one, so that a packet of before the first has a number as well.
        let base = 0x1_0000 + u64::from(packet.sequence);
        self.source = Some(Current {
            ssrc: packet.ssrc,
            base,
            highest: base,
            received: 1,
            after_jump: None,
            transit,
            jitter_16: 0,
        });
    }

    fn ticks(&self, now: Instant) -> u32 {
        (u128::from(now.as_micros()) * u128::from(self.clock_rate) / 1_000_000) as u32
    }

    fn micros(&self, ticks: u32) -> u64 {
        u64::from(ticks) * 1_000_000 / u64::from(self.clock_rate)
    }
}

enum Place {
    Next,
    Late,
    Jumped,
    Restarted,
}

impl Current {
    /// RFC 3550 appendix A.1: in order, late, or a jump that only its successor makes believable.
    fn place(&mut self, sequence: u16) -> Place {
        const DROPOUT_MAX: u16 = 3_000;
        const MISORDER_MAX: u16 = 100;
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if (1..DROPOUT_MAX).contains(&ahead) {
            self.highest += u64::from(ahead);
            self.received += 1;
            self.after_jump = None;
            return Place::Next;
        }
        if ahead == 0 || ahead >= 0u16.wrapping_sub(MISORDER_MAX) {
            // Late or doubled: both count as received (appendix A.3).
            let number = self.highest.saturating_sub(u64::from(0u16.wrapping_sub(ahead)));
            self.base = self.base.min(number);
            self.received += 1;
            return Place::Late;
        }
        if self.after_jump == Some(sequence) {
            return Place::Restarted;
        }
        self.after_jump = Some(sequence.wrapping_add(1));
        Place::Jumped
    }

    /// Appendix A.8; returns the jitter in ticks.
    fn on_transit(&mut self, transit: u32) -> u32 {
        // Clocks may run apart by half their range at most, else a wild timestamp would count as jitter.
        let difference = (transit.wrapping_sub(self.transit) as i32).unsigned_abs().min(1 << 27);
        self.transit = transit;
        self.jitter_16 = self.jitter_16.saturating_add(difference).saturating_sub((self.jitter_16 + 8) >> 4);
        self.jitter_16 >> 4
    }
}

/// The way to an end and back, measured by the reports that pass (RFC 3550 §6.4.1).
///
/// A sender report goes out to an end at a known time; when that end's report names it, what the end did
/// not spend itself was spent on the way.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundTrip {
    /// The last sender reports that went out, by name. Several are on the way at once on a slow path.
    sent: [Option<(u32, Instant)>; 4],
    next: usize,
    last: Option<Duration>,
}

impl RoundTrip {
    /// A sender report with this name went out to the end.
    pub fn on_sender_report(&mut self, name: u32, now: Instant) {
        if let Some(slot) = self.sent.get_mut(self.next) {
            *slot = Some((name, now));
        }
        self.next = (self.next + 1) % self.sent.len();
    }

    /// The end reported; the round-trip time if it named a report of ours.
    pub fn on_report(&mut self, report: &crate::rtcp::Report, now: Instant) -> Option<Duration> {
        let is_named = |(name, _): &&(u32, Instant)| *name == report.last_sender_report;
        let (_, sent_at) = self.sent.iter().flatten().find(is_named)?;
        let held = Duration::from_micros(u64::from(report.delay_since) * 1_000_000 / 65_536);
        // An end that claims to have held it longer than it was away has no say.
        let round_trip = now.since(*sent_at).checked_sub(held)?;
        self.last = Some(round_trip);
        self.last
    }

    /// The last measurement.
    #[must_use]
    pub const fn last(&self) -> Option<Duration> {
        self.last
    }
}

/// What the E-model must know of a codec: ITU-T G.113 appendix I.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Codec {
    /// Equipment impairment factor.
    pub impairment: f64,
    /// Packet-loss robustness factor.
    pub robustness: f64,
}

impl Codec {
    /// G.711 with packet loss concealment; also stands in for what is not known.
    pub const G711: Self = Self { impairment: 0.0, robustness: 25.1 };
    /// G.729A with VAD.
    pub const G729: Self = Self { impairment: 11.0, robustness: 19.0 };
    /// AMR at 12.2 kbit/s, GSM-EFR.
    pub const AMR: Self = Self { impairment: 5.0, robustness: 10.0 };

    /// By the encoding name in `a=rtpmap`.
    #[must_use]
    pub fn of(encoding: &[u8]) -> Self {
        if encoding.eq_ignore_ascii_case(b"G729") {
            Self::G729
        } else if encoding.eq_ignore_ascii_case(b"AMR") {
            Self::AMR
        } else {
            Self::G711
        }
    }
}

/// What listeners would answer on a scale of 1 to 4.5, in hundredths: 100..=450.
///
/// ITU-T G.107 with its defaults: R = 93.2 - Id - Ie,eff. The delay is one way, mouth to ear: half the
/// round trip, and a play-out buffer of twice the jitter.
#[must_use]
pub fn mos_hundredths(codec: Codec, lost_ppm: u32, jitter: Duration, round_trip: Duration) -> u16 {
    let loss_percent = f64::from(lost_ppm.min(1_000_000)) / 10_000.0;
    let delay_ms = (round_trip / 2 + jitter * 2).as_secs_f64() * 1_000.0;
    let delay_impairment = 0.024 * delay_ms + 0.11 * (delay_ms - 177.3).max(0.0);
    let loss_impairment =
        codec.impairment + (95.0 - codec.impairment) * loss_percent / (loss_percent + codec.robustness);
    let r = (93.2 - delay_impairment - loss_impairment).clamp(0.0, 100.0);
    let mos = 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6;
    (mos.clamp(1.0, 4.5) * 100.0).round() as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rtp;
    use crate::rtcp::Report;

    const SECOND: u64 = 1_000_000;

    fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> Rtp {
        Rtp { marker: false, payload_type: 0, sequence, timestamp, ssrc, header_bytes: 12, is_padded: false }
    }

    /// Packets of 20 ms by their numbers, arriving on time.
    fn receive(numbers: &[u16]) -> Figures {
        let mut reception = Reception::new(8_000);
        for (n, sequence) in numbers.iter().enumerate() {
            let at = Instant::from_micros(SECOND + n as u64 * 20_000);
            reception.on_packet(&packet(1, *sequence, n as u32 * 160), at);
        }
        reception.figures()
    }

    #[test]
    fn losses() {
        let table: &[(&[u16], u64, u64)] = &[
            (&[1], 1, 1),
            (&[1, 2, 3], 3, 3),
            (&[1, 2, 4, 5], 5, 4),
            (&[1, 3, 2, 4], 4, 4),
            (&[2, 1, 3], 3, 3),              // the first one came late
            (&[1, 2, 2, 3], 3, 4),           // doubled
            (&[65_534, 65_535, 0, 1], 4, 4), // around the corner
            (&[0, 65_535, 1], 3, 3),         // late, around the corner
            (&[1, 2, 40_000, 3], 3, 3),      // a stray number
            (&[1, 2, 40_000, 40_001], 3, 3), // a restart: two and one, the first one only announced it
            (&[1, 2_999], 2_999, 2),
        ];
        for (numbers, expected, received) in table {
            let figures = receive(numbers);
            assert_eq!((figures.expected, figures.received), (*expected, *received), "{numbers:?}");
        }
        assert_eq!(receive(&[1, 2, 4, 5]).lost_ppm(), 200_000);
        assert_eq!(receive(&[]).lost_ppm(), 0);
    }

    #[test]
    fn a_new_source_starts_anew_and_keeps_the_totals() {
        let mut reception = Reception::new(8_000);
        for (ssrc, sequence) in [(1, 10), (1, 12), (2, 50_000), (2, 50_001)] {
            reception.on_packet(&packet(ssrc, sequence, 0), Instant::ZERO);
        }
        let figures = reception.figures();
        assert_eq!((figures.expected, figures.received, figures.sources), (5, 4, 2));
    }

    #[test]
    fn jitter() {
        let run = |arrivals_ms: &dyn Fn(u64) -> u64| {
            let mut reception = Reception::new(8_000);
            for n in 0..2_000u64 {
                let at = Instant::from_micros(SECOND + arrivals_ms(n) * 1_000);
                reception.on_packet(&packet(1, n as u16, n as u32 * 160), at);
            }
            reception.figures().jitter_micros
        };
        assert_eq!(run(&|n| n * 20), 0, "on time");
        let shaken = run(&|n| n * 20 + n % 2 * 8);
        assert!((7_000..=8_000).contains(&shaken), "8 ms to and fro: {shaken}");
        assert!(run(&|n| n * 20 + u64::from(n == 1_900) * 50) < 1_000, "one late packet is forgotten");
    }

    #[test]
    fn round_trips() {
        let mut way = RoundTrip::default();
        let report =
            |name, delay_since| Report { last_sender_report: name, delay_since, ..Report::default() };
        let at = |millis: u64| Instant::from_micros(millis * 1_000);
        assert_eq!(way.on_report(&report(0, 0), at(0)), None);
        way.on_sender_report(77, at(1_000));
        assert_eq!(way.on_report(&report(77, 65_536), at(2_150)), Some(Duration::from_millis(150)));
        assert_eq!(way.on_report(&report(77, 10 * 65_536), at(2_150)), None, "held longer than away");
        assert_eq!(way.on_report(&report(78, 0), at(2_150)), None);
        for name in 80..84 {
            way.on_sender_report(name, at(3_000));
        }
        assert_eq!(way.on_report(&report(77, 0), at(3_100)), None, "long ago");
        assert_eq!(way.on_report(&report(80, 0), at(3_100)), Some(Duration::from_millis(100)));
        assert_eq!(way.last(), Some(Duration::from_millis(100)));
    }

    /// Worked out by hand from the formulas of G.107.
    #[test]
    fn what_listeners_would_say() {
        let table: &[(Codec, u32, u64, u64, u16)] = &[
            (Codec::G711, 0, 0, 0, 441),
            (Codec::G711, 10_000, 0, 0, 433),
            (Codec::G711, 0, 0, 600, 371),
            (Codec::G711, 1_000_000, 0, 0, 118),
            (Codec::G711, 1_000_000, 500, 5_000, 100),
            (Codec::G729, 0, 0, 0, 410),
            (Codec::AMR, 0, 0, 0, 429),
        ];
        for (codec, lost_ppm, jitter_ms, round_trip_ms, mos) in table {
            let said = mos_hundredths(
                *codec,
                *lost_ppm,
                Duration::from_millis(*jitter_ms),
                Duration::from_millis(*round_trip_ms),
            );
            assert_eq!(said, *mos, "{codec:?} {lost_ppm} ppm, {jitter_ms} ms, {round_trip_ms} ms");
        }
        let mut before = 500;
        for lost_ppm in (0..1_000_000).step_by(10_000) {
            let said = mos_hundredths(Codec::AMR, lost_ppm, Duration::ZERO, Duration::ZERO);
            assert!(said <= before, "more loss never sounds better");
            before = said;
        }
    }
}
