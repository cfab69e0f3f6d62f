//! What a UE holds the network to.

use super::{Pending, Purpose, Ue, UeSettings};
use crate::node::Violations;
use crate::strict::sdp::MsrpMedia;
use crate::strict::{NameAddr, SipMessage, Uri};
use crate::topology::{EdgeFacts, INITIAL_MAX_FORWARDS, UNKNOWN_HEADER, is_named, leads_to, shows};
use wire::Instant;

/// Headers that never leave the trusted network (R15, R17, R18, R28).
const NEVER_AT_A_UE: [&str; 8] = [
    "P-Visited-Network-ID",
    "P-Charging-Vector",
    "P-Charging-Function-Addresses",
    "P-Access-Network-Info",
    "Security-Client",
    "Security-Verify",
    "P-Preferred-Identity",
    "P-Preferred-Service",
];

pub(super) fn check_response(
    settings: &UeSettings,
    pending: &Pending,
    response: &SipMessage,
    bytes: &[u8],
    now: Instant,
    violations: &mut Violations,
) {
    let request = &pending.request;
    let what = format!("{} to {}", response.status(), request.method());
    let mut expect = |holds: bool, rule, detail: &str| {
        violations.expect(holds, now, rule, || format!("{what}: {detail}"));
    };
    expect(response.list("Via").len() == 1, "R23", &format!("Vias {:?}", response.list("Via")));
    let sent = request.first("Via").unwrap_or_default();
    let came = response.first("Via").unwrap_or_default();
    expect(via_as_sent(sent, came), "R6", &format!("Via {came:?}, sent {sent:?}"));
    expect(response.call_id() == request.call_id(), "R24", &format!("Call-ID {:?}", response.call_id()));
    expect(
        response.first("CSeq") == request.first("CSeq"),
        "R35",
        &format!("CSeq {:?}", response.first("CSeq")),
    );
    expect(
        response.first("From") == request.first("From"),
        "R35",
        &format!("From {:?}", response.first("From")),
    );
    expect(
        to_as_sent(request, response),
        "R35",
        &format!("To {:?}, sent {:?}", response.first("To"), request.first("To")),
    );
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    expect(!names_a_key(&text), "R17", "CK or IK is visible");
    for name in NEVER_AT_A_UE {
        expect(!response.has(name), "R28", &format!("{name} is visible"));
    }
    if matches!(pending.purpose, Purpose::Message { .. } | Purpose::Notification) {
        expect(response.body.is_empty(), "R35", "a body in an answer to MESSAGE");
    }
    let Some(edge) = settings.topology.edge() else {
        return;
    };
    let hidden = shows(&edge.hidden_from_ues, bytes);
    expect(hidden.is_none(), "R23", &format!("{hidden:?} is visible"));
    if pending.purpose != Purpose::Register {
        expect(
            contacts_lead_to(edge, response, &NameAddr::parse),
            "R26",
            &format!("Contact {:?}", response.list("Contact")),
        );
        expect(
            record_route_is_ours(edge, response),
            "R25",
            &format!("Record-Route {:?}", response.list("Record-Route")),
        );
    }
}

impl Ue {
    pub(super) fn check_request(&mut self, request: &SipMessage, bytes: &[u8], now: Instant) {
        let method = request.method();
        let in_dialog = request.to().is_some_and(|to| to.tag().is_some());
        let uri = Uri::parse(request.uri());
        let own_contact = self.contact_uri();
        let to_us = request.uri() == own_contact
            || uri.as_ref().is_some_and(|u| u.identity() == self.settings.identity)
            || self.registration.identities.iter().any(|i| i == request.uri());
        let v = &mut self.violations;
        let mut expect = |holds: bool, rule, detail: &str| {
            v.expect(holds, now, rule, || format!("{method} from the edge: {detail}"));
        };
        expect(to_us, "R45", &format!("Request-URI {}", request.uri()));
        expect(request.list("Via").len() == 1, "R23", &format!("Vias {:?}", request.list("Via")));
        let hops = request.first("Max-Forwards").and_then(|n| n.parse::<u8>().ok());
        expect(hops.is_some_and(|n| n <= 70), "R31", &format!("Max-Forwards {hops:?}"));
        for name in NEVER_AT_A_UE.iter().chain(&["Path", "Route", "P-Preferred-Service"]) {
            expect(!request.has(name), "R28", &format!("{name} is visible"));
        }
        let initial = !in_dialog && matches!(method, "MESSAGE" | "INVITE");
        if initial {
            let asserted = !request.name_addrs("P-Asserted-Identity").is_empty();
            expect(asserted, "R45", "no P-Asserted-Identity");
        }
        let Some(edge) = self.settings.topology.edge() else {
            return;
        };
        let via = request.vias().into_iter().next();
        expect(
            via.as_ref().is_some_and(|v| is_named(&edge.access_sip, &v.sent_by())),
            "R23",
            &format!("Via {:?} is not the edge's", request.first("Via")),
        );
        let one_less = if initial { INITIAL_MAX_FORWARDS - 1 } else { 69 };
        expect(hops == Some(one_less), "R31", &format!("Max-Forwards {hops:?}, not {one_less}"));
        if initial {
            let unknown = request.first(UNKNOWN_HEADER.0);
            expect(unknown == Some(UNKNOWN_HEADER.1), "R30", &format!("unknown header {unknown:?}"));
        }
        let hidden = shows(&edge.hidden_from_ues, bytes);
        expect(hidden.is_none(), "R23", &format!("{hidden:?} is visible"));
        if method == "INVITE" && initial {
            expect(request.has("Record-Route"), "R25", "no Record-Route in an initial INVITE");
        }
        if in_dialog {
            expect(
                request.uri() == own_contact,
                "R26",
                &format!("Request-URI {} is not our Contact", request.uri()),
            );
        }
        expect(
            record_route_is_ours(edge, request),
            "R25",
            &format!("Record-Route {:?}", request.list("Record-Route")),
        );
        expect(
            contacts_lead_to(edge, request, &NameAddr::parse),
            "R26",
            &format!("Contact {:?}", request.list("Contact")),
        );
    }

    pub(super) fn check_ack(&mut self, request: &SipMessage, now: Instant) {
        let vias = request.list("Via").len();
        self.violations.expect(vias == 1, now, "R23", || format!("ACK with {vias} Vias"));
        self.violations.expect(!request.has("Route"), now, "R25", || "ACK with a Route".to_owned());
    }

    pub(super) fn check_media(&mut self, media: &MsrpMedia, setups: &[&str], now: Instant) {
        let v = &mut self.violations;
        v.expect(setups.contains(&media.setup.as_str()), now, "R67", || {
            format!("a=setup:{} from the edge", media.setup)
        });
        let Some(edge) = self.settings.topology.edge() else {
            return;
        };
        let ours = |ip| edge.access_media.contains(&ip);
        v.expect(ours(media.address.ip()) && ours(media.origin), now, "R65", || {
            format!("SDP of {} by {}", media.address, media.origin)
        });
    }
}

/// The Via came back as it was sent, with `rport` filled and `received` added (RFC 3581 §4).
fn via_as_sent(sent: &str, came: &str) -> bool {
    let mut stripped = String::new();
    let mut rport_filled = false;
    for (i, piece) in came.split(';').enumerate() {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "received" => continue,
            "rport" => {
                rport_filled = value.parse::<u16>().is_ok_and(|port| port > 0);
                stripped.push_str(";rport");
                continue;
            }
            _ => {}
        }
        if i > 0 {
            stripped.push(';');
        }
        stripped.push_str(piece);
    }
    stripped == sent && rport_filled == sent.contains(";rport") && came.contains("received=")
}

/// R35: a To gains only a tag.
fn to_as_sent(request: &SipMessage, response: &SipMessage) -> bool {
    let (Some(sent), Some(came)) = (request.first("To"), response.first("To")) else {
        return false;
    };
    came == sent || came.strip_prefix(sent).is_some_and(|rest| rest.starts_with(";tag="))
}

fn contacts_lead_to(
    edge: &EdgeFacts,
    message: &SipMessage,
    parse: &dyn Fn(&str) -> Option<NameAddr>,
) -> bool {
    // a conference keeps its own (figure 5-63)
    let good = |n: NameAddr| n.param("isfocus").is_some() || leads_to(&edge.access_sip, &n.uri);
    message.list("Contact").into_iter().all(|c| parse(c).is_some_and(good))
}

/// R25: one Record-Route at most, the edge's own, which is a loose route.
fn record_route_is_ours(edge: &EdgeFacts, message: &SipMessage) -> bool {
    let routes = message.name_addrs("Record-Route");
    let ours = |n: &NameAddr| {
        leads_to(&edge.access_sip, &n.uri) && Uri::parse(&n.uri).is_some_and(|u| u.param("lr").is_some())
    };
    routes.len() <= 1 && routes.iter().all(ours)
}

/// Whether a parameter `ck` or `ik` stands in `text`, which is in lower case. The name must begin there:
/// the base64 of a nonce may end in the same letters.
fn names_a_key(text: &str) -> bool {
    ["ck=", "ik="].iter().any(|name| {
        text.match_indices(name).any(|(at, _)| {
            let before = text[..at].bytes().next_back();
            matches!(before, None | Some(b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' | b'"'))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_via_may_only_gain_what_rfc_3581_adds() {
        let sent = "SIP/2.0/UDP 10.0.0.1:5060;rkeep=600;branch=z9hG4bK1;rport";
        for (came, good) in [
            ("SIP/2.0/UDP 10.0.0.1:5060;rkeep=600;branch=z9hG4bK1;rport=77;received=1.2.3.4", true),
            ("SIP/2.0/UDP 10.0.0.1:5060;rkeep=600;branch=z9hG4bK1;received=1.2.3.4;rport=77", true),
            ("SIP/2.0/UDP 10.0.0.1:5060;rkeep=600;branch=z9hG4bK1;rport=77", false),
            ("SIP/2.0/UDP 10.0.0.1:5060;rkeep=600;branch=z9hG4bK1;rport;received=1.2.3.4", false),
            ("SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1;rport=77;received=1.2.3.4", false),
            ("SIP/2.0/TLS 10.0.0.1:5060;rkeep=600;branch=z9hG4bK1;rport=77;received=1.2.3.4", false),
        ] {
            assert_eq!(via_as_sent(sent, came), good, "{came}");
        }
    }

    #[test]
    fn a_key_is_a_parameter_and_not_the_end_of_a_nonce() {
        for (text, expected) in [
            ("digest realm=\"a\",ck=\"00\"", true),
            ("digest ck=00", true),
            ("nonce=\"x\"ik=\"0\"", true),
            ("digest nonce=\"abck=\", qop", false),
            ("digest nonce=\"+/ik=\"", false),
        ] {
            assert_eq!(names_a_key(text), expected, "{text}");
        }
    }
}
