//! What is written down of a session that ended: one line of JSON.

use super::Rtp;
use super::view::{RtpSessionView, SideView};
use core::fmt::{self, Write as _};
use media::command::MediaKind;
use media::rtp::Drop;
use wire::{Cause, Instant, MediaId};

/// The record of an ended RTP session; its `Display` is the JSON.
///
/// Figures of a side are about what came from there: what the other side heard.
#[derive(Clone, Debug)]
pub struct RtpRecord {
    /// How it stood at its end.
    pub session: RtpSessionView,
    /// Why it ended.
    pub cause: Cause,
}

/// Grows when a member changes its meaning or goes away.
const SCHEMA: u32 = 1;

impl RtpRecord {
    /// Writes it to the log, under the target `cdr`.
    pub(super) fn write(&self) {
        tracing::info!(target: "cdr", record = %self, "rtp session ended");
    }
}

impl fmt::Display for RtpRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.session;
        write!(f, "{{\"schema\":{SCHEMA},\"type\":\"rtp\",\"call_id\":{}", Text(&s.call_id))?;
        write!(f, ",\"kind\":\"{}\",\"encoding\":{}", s.kind.label(), Text(&s.encoding))?;
        write!(f, ",\"cause\":\"{}\",\"seconds\":{:.3}", self.cause.label(), s.duration.as_secs_f64())?;
        f.write_str(",\"access\":")?;
        side(f, s, &s.access)?;
        f.write_str(",\"core\":")?;
        side(f, s, &s.core)?;
        f.write_char('}')
    }
}

fn side(f: &mut fmt::Formatter<'_>, session: &RtpSessionView, side: &SideView) -> fmt::Result {
    let (totals, figures) = (&side.totals, &side.totals.figures);
    write!(f, "{{\"local\":\"{}\",\"remote\":", side.local)?;
    match side.remote {
        Some(remote) => write!(f, "\"{remote}\"")?,
        None => f.write_str("null")?,
    }
    write!(f, ",\"packets\":{},\"bytes\":{},\"reports\":{}", totals.packets, totals.octets, totals.reports)?;
    write!(
        f,
        ",\"expected\":{},\"lost\":{},\"sources\":{}",
        figures.expected,
        figures.lost(),
        figures.sources
    )?;
    let [jitter, jitter_max] = [figures.jitter_micros, figures.jitter_max_micros].map(|us| us as f64 / 1e3);
    write!(f, ",\"jitter_ms\":{jitter:.3},\"jitter_max_ms\":{jitter_max:.3},\"round_trip_ms\":")?;
    match totals.round_trip {
        Some(time) => write!(f, "{:.3}", time.as_secs_f64() * 1e3)?,
        None => f.write_str("null")?,
    }
    f.write_str(",\"mos\":")?;
    match side.totals.mos_hundredths(&session.encoding).filter(|_| session.kind == MediaKind::Audio) {
        Some(mos) => write!(f, "{}.{:02}", mos / 100, mos % 100)?,
        None => f.write_str("null")?,
    }
    f.write_str(",\"dropped\":{")?;
    let drops = Drop::ALL.iter().zip(totals.drops).filter(|(_, count)| *count > 0);
    for (at, (drop, count)) in drops.enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(f, "{comma}\"{}\":{count}", drop.label())?;
    }
    f.write_str("}}")
}

/// A JSON string: what stands in it came from a peer.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

impl Rtp {
    pub(super) fn record(&self, id: MediaId, cause: Cause, now: Instant) -> Option<RtpRecord> {
        Some(RtpRecord { session: self.view(id, now)?, cause })
    }

    pub(super) fn count_quality(&mut self, record: &RtpRecord) {
        let session = &record.session;
        for (at, side) in [&session.access, &session.core].into_iter().enumerate() {
            self.counters.expected[at] += side.totals.figures.expected;
            self.counters.lost[at] += side.totals.figures.lost();
            let mos =
                side.totals.mos_hundredths(&session.encoding).filter(|_| session.kind == MediaKind::Audio);
            if let Some(mos) = mos {
                self.counters.quality[at][telemetry::rtp::mos_cell(mos)] += 1;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use core::time::Duration;
    use media::rtp::SideTotals;

    #[test]
    fn a_record_is_one_line_of_json() {
        let mut totals = SideTotals { packets: 99, octets: 17_028, reports: 2, ..SideTotals::default() };
        totals.drops[Drop::Flood as usize] = 3;
        totals.drops[Drop::NotAuthentic as usize] = 1;
        totals.round_trip = Some(Duration::from_millis(150));
        let figures = &mut totals.figures;
        (figures.expected, figures.received, figures.sources) = (100, 99, 1);
        (figures.jitter_micros, figures.jitter_max_micros) = (1_500, 20_000);
        let access = SideView {
            local: "192.0.2.1:4000".parse().unwrap(),
            remote: Some("198.51.100.1:5000".parse().unwrap()),
            totals,
        };
        let core = SideView {
            local: "[2001:db8::1]:4000".parse().unwrap(),
            remote: None,
            totals: SideTotals::default(),
        };
        let session = RtpSessionView {
            call_id: "a\"b\\c\u{1}".into(),
            kind: MediaKind::Audio,
            encoding: "PCMA".into(),
            duration: Duration::from_millis(2_001),
            access,
            core,
        };
        let record = RtpRecord { session, cause: Cause::Bye };
        let expected = "{\"schema\":1,\"type\":\"rtp\",\"call_id\":\"a\\\"b\\\\c\\u0001\",\"kind\":\"audio\",\
            \"encoding\":\"PCMA\",\"cause\":\"bye\",\"seconds\":2.001,\"access\":{\"local\":\"192.0.2.1:4000\",\
            \"remote\":\"198.51.100.1:5000\",\"packets\":99,\"bytes\":17028,\"reports\":2,\"expected\":100,\
            \"lost\":1,\"sources\":1,\"jitter_ms\":1.500,\"jitter_max_ms\":20.000,\"round_trip_ms\":150.000,\
            \"mos\":4.28,\"dropped\":{\"not_authentic\":1,\"flood\":3}},\"core\":{\
            \"local\":\"[2001:db8::1]:4000\",\"remote\":null,\"packets\":0,\"bytes\":0,\"reports\":0,\
            \"expected\":0,\"lost\":0,\"sources\":0,\"jitter_ms\":0.000,\"jitter_max_ms\":0.000,\
            \"round_trip_ms\":null,\"mos\":null,\"dropped\":{}}}";
        assert_eq!(record.to_string(), expected);
    }
}
