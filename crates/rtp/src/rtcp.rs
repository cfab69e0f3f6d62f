//! RTCP: compound packets read in place (RFC 3550 §6, feedback of RFC 4585, reduced size of RFC 5506).

/// What a datagram must begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rules {
    /// A report first, RFC 3550 §6.1.
    Compound,
    /// Any packet, where `a=rtcp-rsize` was agreed (RFC 5506).
    ReducedSize,
}

/// One packet of a compound one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// 200: who sends tells how much, and how it receives.
    SenderReport {
        /// Who sends.
        ssrc: u32,
        /// What was sent.
        sent: Sent,
        /// What is received.
        reports: Reports<'a>,
    },
    /// 201: how it is received.
    ReceiverReport {
        /// Who receives.
        ssrc: u32,
        /// What is received.
        reports: Reports<'a>,
    },
    /// 202: names; not looked into, since they are passed on and kept nowhere.
    Description {
        /// Sources described.
        count: u8,
    },
    /// 203: sources that leave.
    Bye {
        /// 32 bits each.
        sources: Sources<'a>,
    },
    /// 204: of an application.
    App {
        /// Who sends.
        ssrc: u32,
        /// Four letters.
        name: [u8; 4],
    },
    /// 205 (transport) and 206 (payload): NACK, PLI, FIR, REMB, ...
    Feedback {
        /// 205 or 206.
        kind: u8,
        /// Which message.
        format: u8,
        /// Who sends.
        ssrc: u32,
        /// Whom it is about.
        media_ssrc: u32,
        /// The rest.
        control: &'a [u8],
    },
    /// Extended reports and whatever else is registered.
    Other {
        /// 192..=223.
        kind: u8,
    },
}

/// Sender info of a report, RFC 3550 §6.4.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Wall clock of the sender, 32.32 seconds.
    pub ntp: u64,
    /// The same instant on the media clock.
    pub timestamp: u32,
    /// Packets since the start.
    pub packets: u32,
    /// Octets of payload since the start.
    pub octets: u32,
}

impl Sent {
    /// The middle 32 bits of the clock, by which receivers name this report.
    #[must_use]
    pub const fn name(self) -> u32 {
        (self.ntp >> 16) as u32
    }
}

/// How one source is received, RFC 3550 §6.4.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Whose packets.
    pub ssrc: u32,
    /// Of 256, since the last report.
    pub fraction_lost: u8,
    /// Since the start; duplicates can make it negative. 24 bits.
    pub lost: i32,
    /// Highest sequence number with its cycles.
    pub highest: u32,
    /// In units of the media clock.
    pub jitter: u32,
    /// [`Sent::name`] of the last sender report; 0 if there was none.
    pub last_sender_report: u32,
    /// Between that and this, in 1/65,536 s.
    pub delay_since: u32,
}

/// The report blocks of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reports<'a>(&'a [u8]);

/// The sources of a BYE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources<'a>(&'a [u8]);

impl Iterator for Reports<'_> {
    type Item = Report;

    fn next(&mut self) -> Option<Report> {
        let (block, rest) = self.0.split_first_chunk::<REPORT_BYTES>()?;
        self.0 = rest;
        let lost = word(block, 4)? & 0x00ff_ffff;
        Some(Report {
            ssrc: word(block, 0)?,
            fraction_lost: block[4],
            // Sign of 24 bits.
            lost: ((lost << 8) as i32) >> 8,
            highest: word(block, 8)?,
            jitter: word(block, 12)?,
            last_sender_report: word(block, 16)?,
            delay_since: word(block, 20)?,
        })
    }
}

impl Iterator for Sources<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (ssrc, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*ssrc))
    }
}

/// The packets of a datagram that was checked as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compound<'a>(&'a [u8]);

impl<'a> Compound<'a> {
    /// Checks a plain (opened) datagram: versions, lengths that add up, padding only at the end, every
    /// packet as long as its counts need (RFC 3550 appendix A.2). `None` if it breaks a rule.
    #[must_use]
    pub fn read(datagram: &'a [u8], rules: Rules) -> Option<Self> {
        let first = datagram.get(1)?;
        if rules == Rules::Compound && !matches!(first, 200 | 201) {
            return None;
        }
        let mut rest = datagram;
        while !rest.is_empty() {
            let (bytes, after) = split(rest)?;
            if bytes[0] & PADDING != 0 && !after.is_empty() {
                return None;
            }
            packet(bytes)?;
            rest = after;
        }
        Some(Self(datagram))
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        let (bytes, after) = split(self.0)?;
        self.0 = after;
        packet(bytes)
    }
}

/// The first packet, by its own length, and what follows.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let fixed = bytes.first_chunk::<4>()?;
    let len = (usize::from(u16::from_be_bytes([fixed[2], fixed[3]])) + 1) * 4;
    (fixed[0] >> 6 == 2).then(|| bytes.split_at_checked(len)).flatten()
}

/// Reads one packet; `None` if it is shorter than its counts need.
fn packet(bytes: &[u8]) -> Option<Packet<'_>> {
    let [first, kind, ..] = *bytes.first_chunk::<4>()?;
    let count = first & 0x1f;
    let padded = match first & PADDING {
        0 => 0,
        // The last octet counts the padding with itself, a multiple of four.
        _ => match usize::from(*bytes.last()?) {
            padding if padding > 0 && padding % 4 == 0 => padding,
            _ => return None,
        },
    };
    let body = bytes.get(4..bytes.len().checked_sub(padded)?)?;
    let reports = |at: usize| Some(Reports(body.get(at..at + usize::from(count) * REPORT_BYTES)?));
    Some(match kind {
        200 => Packet::SenderReport {
            ssrc: word(body, 0)?,
            sent: Sent {
                ntp: u64::from(word(body, 4)?) << 32 | u64::from(word(body, 8)?),
                timestamp: word(body, 12)?,
                packets: word(body, 16)?,
                octets: word(body, 20)?,
            },
            reports: reports(24)?,
        },
        201 => Packet::ReceiverReport { ssrc: word(body, 0)?, reports: reports(4)? },
        // Each source takes its SSRC and at least four octets of items.
        202 if body.len() < usize::from(count) * 8 => return None,
        202 => Packet::Description { count },
        203 => Packet::Bye { sources: Sources(body.get(..usize::from(count) * 4)?) },
        204 => Packet::App { ssrc: word(body, 0)?, name: *body.get(4..)?.first_chunk()? },
        205 | 206 => Packet::Feedback {
            kind,
            format: count,
            ssrc: word(body, 0)?,
            media_ssrc: word(body, 4)?,
            control: body.get(8..)?,
        },
        192..=223 => Packet::Other { kind },
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

const PADDING: u8 = 0x20;
const REPORT_BYTES: usize = 24;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A packet of `words` after its first, all of them `fill`.
    fn make(count: u8, kind: u8, words: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0x80 | count, kind];
        bytes.extend_from_slice(&(words.len() as u16).to_be_bytes());
        words.iter().for_each(|word| bytes.extend_from_slice(&word.to_be_bytes()));
        bytes
    }

    fn sender_report() -> Vec<u8> {
        let block = [9, 0x40ff_fffe, 0x0001_0005, 80, 0xbbbb_cccc, 65_536];
        make(1, 200, &[&[7, 0xaaaa_bbbb, 0xcccc_dddd, 160, 50, 8_000][..], &block].concat())
    }

    #[test]
    fn a_compound_packet() {
        let datagram = [
            sender_report(),
            make(1, 202, &[7, 0x0102_6162, 0]),
            make(15, 206, &[7, 9, 0x5245_4d42]),
            make(2, 203, &[7, 8]),
        ]
        .concat();
        let packets: Vec<_> = Compound::read(&datagram, Rules::Compound).unwrap().collect();
        let [
            Packet::SenderReport { ssrc: 7, sent, mut reports },
            description,
            feedback,
            Packet::Bye { sources },
        ] = packets[..]
        else {
            unreachable!("{packets:?}")
        };
        assert_eq!((sent.name(), sent.timestamp, sent.packets, sent.octets), (0xbbbb_cccc, 160, 50, 8_000));
        let expected = Report {
            ssrc: 9,
            fraction_lost: 0x40,
            lost: -2,
            highest: 0x1_0005,
            jitter: 80,
            last_sender_report: 0xbbbb_cccc,
            delay_since: 65_536,
        };
        assert_eq!((reports.next(), reports.next()), (Some(expected), None));
        assert_eq!(description, Packet::Description { count: 1 });
        let control = &b"REMB"[..];
        assert_eq!(feedback, Packet::Feedback { kind: 206, format: 15, ssrc: 7, media_ssrc: 9, control });
        assert_eq!(sources.collect::<Vec<_>>(), [7, 8]);
    }

    #[test]
    fn rules() {
        let pli = make(1, 206, &[7, 9]);
        let report = make(0, 201, &[7]);
        let mut padded = make(0, 201, &[7, 4]);
        padded[0] |= PADDING;
        let mut overpadded = make(0, 201, &[7, 12]);
        overpadded[0] |= PADDING;
        let table: &[(&str, Vec<u8>, Rules, bool)] = &[
            ("empty", vec![], Rules::ReducedSize, false),
            ("a report alone", report.clone(), Rules::Compound, true),
            ("feedback alone", pli.clone(), Rules::Compound, false),
            ("feedback alone, reduced", pli.clone(), Rules::ReducedSize, true),
            ("report and feedback", [report.clone(), pli.clone()].concat(), Rules::Compound, true),
            ("padding at the end", [report.clone(), padded.clone()].concat(), Rules::Compound, true),
            ("padding before the end", [padded, report.clone()].concat(), Rules::Compound, false),
            ("more padding than packet", overpadded, Rules::Compound, false),
            ("octets left over", [report.clone(), vec![0x80]].concat(), Rules::Compound, false),
            ("two counted, none there", make(2, 201, &[7]), Rules::Compound, false),
            (
                "BYE without its sources",
                [report.clone(), make(2, 203, &[7])].concat(),
                Rules::Compound,
                false,
            ),
            ("not RTCP at all", [report, make(0, 100, &[7])].concat(), Rules::Compound, false),
        ];
        for (name, datagram, rules, is_right) in table {
            assert_eq!(Compound::read(datagram, *rules).is_some(), *is_right, "{name}");
        }
    }

    #[test]
    fn every_prefix_is_refused_or_a_whole_number_of_packets() {
        let datagram = [sender_report(), make(2, 203, &[7, 8])].concat();
        for len in 0..datagram.len() {
            let is_whole = len == sender_report().len();
            assert_eq!(Compound::read(&datagram[..len], Rules::Compound).is_some(), is_whole, "{len}");
        }
    }
}
