//! The RTP relay.

use crate::family::{Label, REALM, families};

/// In the order of `media::rtp::Drop::ALL`, then what the shell drops itself.
const DROP: Label = Label {
    name: "cause",
    values: &[
        "not_media",
        "malformed",
        "wrong_port",
        "foreign_source",
        "unproven",
        "not_authentic",
        "replayed",
        "no_key",
        "no_far_side",
        "flood",
        "unprotectable",
        "blacklisted",
        "unsendable",
    ],
};

/// What listeners would say, by the bands of ITU-T G.107 annex B: R of 80, 70, 60 and 50.
const MOS: Label =
    Label { name: "mos", values: &["4.0_and_up", "3.6_to_4.0", "3.1_to_3.6", "2.6_to_3.1", "below_2.6"] };

/// The band of a MOS in hundredths, as a cell of [`QUALITY`].
#[must_use]
pub const fn mos_cell(hundredths: u16) -> usize {
    match hundredths {
        402.. => 0,
        360.. => 1,
        310.. => 2,
        258.. => 3,
        _ => 4,
    }
}

const STATE: Label = Label { name: "state", values: &["used", "unused"] };

const ENGINE: Label = Label { name: "engine", values: &["epoll", "io_uring"] };

families! {
    SESSIONS = Gauge, "gatehouse_rtp_sessions", [],
        "RTP sessions, one for each media line, that are open.";
    SESSIONS_OPENED = Counter, "gatehouse_rtp_sessions_opened_total", [],
        "RTP sessions opened.";
    PACKETS = Counter, "gatehouse_rtp_relayed_packets_total", [REALM],
        "RTP and RTCP packets relayed, by the side they came from.";
    BYTES = Counter, "gatehouse_rtp_relayed_bytes_total", [REALM],
        "Bytes of these packets as they came, UDP and IP heads left out.";
    DROPS = Counter, "gatehouse_rtp_dropped_packets_total", [DROP],
        "Packets to media ports that were not relayed, by cause.";
    CHECKS = Counter, "gatehouse_rtp_connectivity_checks_total", [],
        "ICE connectivity checks answered.";
    ONE_WAY = Counter, "gatehouse_rtp_one_way_sessions_total", [],
        "Times that one side of a session was silent although it should send, while the other one sent.";
    INACTIVE = Counter, "gatehouse_rtp_inactive_sessions_total", [],
        "Times that nothing came from any side of a session for too long.";
    EXPECTED = Counter, "gatehouse_rtp_expected_packets_total", [REALM],
        "Packets that the ended sessions should have received from a side, by their sequence numbers.";
    LOST = Counter, "gatehouse_rtp_lost_packets_total", [REALM],
        "Packets of these that did not arrive here.";
    QUALITY = Counter, "gatehouse_rtp_session_quality_total", [REALM, MOS],
        "Audio of ended sessions by side and estimated listening quality (E-model) of what came from it.";
    PORTS = Gauge, "gatehouse_rtp_ports", [REALM, STATE],
        "Pairs of RTP ports that sessions have, and that none has (resting ones included).";
    PORTS_EXHAUSTED = Counter, "gatehouse_rtp_ports_exhausted_total", [REALM],
        "Media lines that found no pair of ports free; each was answered 503.";
    SOCKETS = Gauge, "gatehouse_rtp_sockets", [],
        "Media sockets that are open.";
    SOCKETS_FAILED = Counter, "gatehouse_rtp_sockets_failed_total", [],
        "Media sockets that could not be opened; each ended its session.";
    CAPTURED = Counter, "gatehouse_rtp_captured_packets_total", [],
        "Packets written into captures.";
    ENGINES = Gauge, "gatehouse_rtp_io_shards", [ENGINE],
        "Shards by the way they read and write packets.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_of_quality() {
        let bands = [100, 257, 258, 309, 310, 359, 360, 401, 402, 450].map(|mos| MOS.values[mos_cell(mos)]);
        let [a, b, c, d, e] = *MOS.values else { unreachable!() };
        assert_eq!(bands, [e, e, d, d, c, c, b, b, a, a]);
    }
}
