//! The body of a fuzz target, an ordinary function so that a crash becomes a test.

use crate::anchor::rtp::{Desk, Legs, RtpTerms};
use crate::anchor::{Offer, SdpPlace, Terms};
use crate::api::{MsrpPoint, RtpPoint};
use crate::negotiation::MediaIds;
use crate::rtp_ports::RtpPorts;
use ::rtp::srtp::Suite;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use sip::Message;
use std::sync::Arc;
use wire::{Cause, DialogId, EditList, Instant, Random, Realm, Transport};

/// Offers `bytes` from the core to a UE, and answers with them: what comes out reads again, and no address
/// that its writer gave for itself is left in it.
///
/// # Panics
/// If it is otherwise, or two changes want the same bytes.
pub fn anchor(bytes: &[u8]) {
    let head = format!(
        "INVITE sip:a@b SIP/2.0\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    let text = [head.as_bytes(), bytes].concat();
    let mut index = sip::Index::default();
    let Ok(message) = sip::parse(&text, &sip::Limits::default(), &mut index) else { return };
    if message.body().is_empty() {
        return;
    }
    let ours = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let sides = [Realm::Access, Realm::Core];
    let port = |realm| RtpPoint { realm, bound: ours, advertised: ours, ports: 10_000..=10_063 };
    let mut random = Random::from_u64(1);
    let mut ports = RtpPorts::new(&sides.map(port), Duration::ZERO, &mut random);
    let (mut legs, mut ids) = (Legs::default(), MediaIds::new(64, 0));
    let points = sides.map(|realm| MsrpPoint {
        realm,
        transport: Transport::Tcp,
        advertised: (ours, 2855).into(),
        websocket: false,
        fingerprint: None,
    });
    let (msrp, call_id) = (config::Msrp::default(), Arc::from("c"));
    let policies = crate::content::Policies::default();
    let terms = Terms {
        points: &points,
        ue: ours,
        ue_transport: Transport::Udp,
        ue_websocket: false,
        msrp: &msrp,
        policies: &policies,
        content: &[None, None],
        user: None,
        idle_max: Duration::from_secs(1),
        message_bytes_max: 1,
        rtp: RtpTerms {
            srtp: [config::Srtp::Offer; 2],
            keying: [config::Keying::Sdes, config::Keying::Dtls],
            latching: [config::Latching::Signaller, config::Latching::Strict],
            suites: &Suite::ALL,
            fingerprint: Some("sha-256 00"),
            call_id: &call_id,
        },
    };
    let call = DialogId { slot: 0, generation: 0 };
    let now = Instant::from_micros(1);
    let mut desk = Desk { legs: &mut legs, ids: &mut ids, ports: &mut ports, random: &mut random, call, now };
    let place = SdpPlace { body: message.body_span(), part_length: None };
    for by in sides {
        let mut edits = EditList::new();
        let Ok(offer) = Offer::anchor(message, place, by, &terms, &mut desk, &mut edits) else { continue };
        check(message, &mut edits);
        let mut edits = EditList::new();
        let answer = offer.anchor_answer(message, place, &terms, &mut desk, &mut edits);
        if let Ok(answer) = &answer {
            check(message, &mut edits);
            let _ = offer.rtp_orders(Some(answer), &terms, desk.legs);
        }
        assert!(!matches!(answer, Err(Cause::Internal)), "a bug of ours");
    }
}

/// What was written is a description, and its own addresses are ours.
fn check(message: Message<'_>, edits: &mut EditList) {
    let mut out = Vec::new();
    edits.gather(message.bytes(), &mut out).expect("each change has bytes of its own");
    let body = out.split_off(message.body_span().range().start);
    let sdp = sdp::Sdp::parse_within(&body, &sdp::Limits::UNLIMITED).expect("what is written reads");
    let sections = core::iter::once(sdp.session()).chain(sdp.media().map(|media| media.section()));
    let addresses = sections.flat_map(sdp::Section::connections).map(|c| c.address.text);
    let origin = sdp.session().origin().map(|o| o.address.text);
    for address in addresses.chain(origin) {
        assert!(matches!(address, b"192.0.2.1" | b"0.0.0.0"), "{}", address.escape_ascii());
    }
    for media in sdp.media().filter(|media| media.profile().is_some() && !media.is_disabled()) {
        let candidates = media.section().attributes().filter(|a| a.name.eq_ignore_ascii_case(b"candidate"));
        for candidate in candidates.filter_map(|a| a.value) {
            assert!(memchr::memmem::find(candidate.text, b" 192.0.2.1 ").is_some(), "a candidate of ours");
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_vectors_and_pieces_of_them_hold() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors");
        let files = std::fs::read_dir(directory).expect("the vectors").flatten();
        let mut count = 0;
        for path in files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "sip"))
        {
            let bytes = std::fs::read(&path).expect("a vector");
            let Some(at) = memchr::memmem::find(&bytes, b"v=0") else { continue };
            let sdp = &bytes[at..];
            let lines: Vec<&[u8]> = sdp.split_inclusive(|b| *b == b'\n').collect();
            count += 1;
            super::anchor(sdp);
            for skip in 0..lines.len() {
                let rest: Vec<&[u8]> =
                    lines.iter().enumerate().filter(|(i, _)| *i != skip).map(|(_, l)| *l).collect();
                super::anchor(&rest.concat());
                super::anchor(&[&lines[..=skip], &lines[skip..]].concat().concat());
                super::anchor(&lines[..skip].concat());
            }
        }
        assert!(count > 20, "{count} vectors with SDP");
    }
}
