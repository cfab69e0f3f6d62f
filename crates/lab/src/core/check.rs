//! What the core holds the edge to.

use super::{Core, CoreSettings};
use crate::auth::{Algorithm, AuthValue};
use crate::node::Violations;
use crate::strict::sdp::MsrpMedia;
use crate::strict::{NameAddr, SipMessage, Uri};
use crate::topology::{EdgeFacts, UNKNOWN_HEADER, is_named, leads_to, shows};
use wire::{Instant, Transport};

/// Headers that are spoken between UE and edge only (R18, R27, R28).
const NEVER_AT_A_CORE: [&str; 4] =
    ["Security-Client", "Security-Verify", "P-Preferred-Identity", "P-Asserted-Service"];

impl Core {
    pub(super) fn check_request(&mut self, request: &SipMessage, now: Instant) {
        let method = request.method().to_owned();
        let in_dialog = request.to().is_some_and(|to| to.tag().is_some());
        let initial = !in_dialog && matches!(method.as_str(), "MESSAGE" | "INVITE" | "SUBSCRIBE");
        let asserted = initial.then(|| self.asserts_its_own(request));
        let service_route = self.service_route();
        let contact_of_ours = self.contact_uri();
        let Some(edge) = self.settings.topology.edge() else {
            return;
        };
        let v = &mut self.violations;
        let mut expect = |holds: bool, rule, detail: &str| {
            v.expect(holds, now, rule, || format!("{method} from the edge: {detail}"));
        };
        expect(vias_are_good(edge, request), "R23", &format!("Vias {:?}", request.list("Via")));
        let hops = request.first("Max-Forwards").and_then(|n| n.parse::<u8>().ok());
        expect(hops == Some(69), "R31", &format!("Max-Forwards {hops:?}"));
        for name in NEVER_AT_A_CORE {
            expect(!request.has(name), "R28", &format!("{name} reached the core"));
        }
        for name in ["Require", "Proxy-Require"] {
            let tags = request.list(name);
            expect(!tags.contains(&"sec-agree"), "R18", "sec-agree reached the core");
            expect(request.first(name) != Some(""), "R18", &format!("{name} is empty"));
        }
        expect(request.has("Content-Length"), "R33", "no Content-Length");
        let hidden = shows_outside_vias(edge, request);
        expect(hidden.is_none(), "R14", &format!("{hidden:?} reached the core"));
        expect(contacts_are_good(edge, request), "R26", &format!("Contact {:?}", request.list("Contact")));
        if let Some(asserted) = asserted {
            expect(asserted, "R27", "no P-Asserted-Identity of a registered user");
            let routes = request.list("Route");
            expect(routes == [service_route.as_str()], "R22", &format!("Route {routes:?}"));
            let unknown = request.first(UNKNOWN_HEADER.0);
            expect(unknown == Some(UNKNOWN_HEADER.1), "R30", &format!("unknown header {unknown:?}"));
        }
        if in_dialog {
            let routes = request.list("Route");
            expect(routes.is_empty(), "R25", &format!("Route {routes:?} was not popped"));
            let to_us = request.uri() == contact_of_ours || super::group::is_group(request.uri());
            expect(to_us, "R25", &format!("Request-URI {}", request.uri()));
        }
        if method != "MESSAGE" && initial {
            expect(
                recorded_by(edge, request),
                "R25",
                &format!("Record-Route {:?}", request.list("Record-Route")),
            );
        }
    }

    pub(super) fn check_ack(&mut self, request: &SipMessage, now: Instant) {
        self.check_request(request, now);
    }

    pub(super) fn check_register(
        &mut self,
        user: usize,
        request: &SipMessage,
        given: Option<&AuthValue>,
        now: Instant,
    ) {
        let Some(edge) = self.settings.topology.edge() else {
            return;
        };
        let subscriber = &self.settings.subscribers[user];
        let v = &mut self.violations;
        let mut expect = |holds: bool, rule, detail: &str| {
            v.expect(holds, now, rule, || format!("REGISTER from the edge: {detail}"));
        };
        let path = request.name_addrs("Path");
        let contact = request.first("Contact").unwrap_or_default();
        let leaves = contact == "*" || contact.contains("expires=0");
        expect(path_is_good(edge, &path), "R14", &format!("Path {:?}", request.list("Path")));
        let visited = format!("\"{}\"", edge.visited_network_id);
        let came: Vec<&str> = request.all("P-Visited-Network-ID").collect();
        expect(came == [visited.as_str()], "R14", &format!("P-Visited-Network-ID {came:?}"));
        expect(
            request.list("Supported").contains(&"path"),
            "R14",
            &format!("Supported {:?}", request.list("Supported")),
        );
        // R15: from the UE, or added by the edge
        let access: Vec<&str> = request.all("P-Access-Network-Info").collect();
        let from_ue = access.first().is_some_and(|a| a.starts_with("3GPP-E-UTRAN-TDD;"));
        expect(
            access.len() == 1 && from_ue == subscriber.is_native,
            "R15",
            &format!("P-Access-Network-Info {access:?}"),
        );
        if contact != "*" {
            expect(
                !subscriber.is_native || contact.contains("sip.instance=urn:gsma:imei:"),
                "R14",
                &format!("no sip.instance in Contact {contact}"),
            );
            expect(
                leaves || contact.matches("+g.3gpp.icsi-ref=").count() == 4,
                "R14",
                &format!("feature tags in Contact {contact}"),
            );
        }
        let protected = given.and_then(|g| g.param("integrity-protected"));
        let quoted = given.and_then(|g| g.is_quoted("integrity-protected"));
        expect(quoted != Some(false), "R16", "integrity-protected is not quoted");
        if let Some(given) = given
            && subscriber.subscription.algorithm.is_aka()
        {
            let first = given.param("nonce").is_none_or(str::is_empty);
            let wanted = if !first && subscriber.is_protected { "yes" } else { "no" };
            expect(
                protected == Some(wanted),
                "R16",
                &format!("integrity-protected {protected:?}, not {wanted:?}"),
            );
        }
        if let Some(given) = given
            && Algorithm::parse(given.param("algorithm")).is_none()
        {
            expect(false, "R19", &format!("algorithm {:?}", given.param("algorithm")));
        }
    }

    pub(super) fn check_media(&mut self, media: &MsrpMedia, setup: &str, now: Instant) {
        let v = &mut self.violations;
        v.expect(media.setup == setup, now, "R67", || format!("a=setup:{}", media.setup));
        let Some(edge) = self.settings.topology.edge() else {
            return;
        };
        let ours = |ip| edge.core_media.contains(&ip);
        v.expect(ours(media.address.ip()) && ours(media.origin), now, "R65", || {
            format!("SDP of {} by {}", media.address, media.origin)
        });
        v.expect(media.transport == Transport::Tcp, now, "R66", || {
            "TLS media offered to a core that has none".to_owned()
        });
    }

    /// R9, R27: the asserted identity is one of a registered user, and the From is one of the same.
    fn asserts_its_own(&self, request: &SipMessage) -> bool {
        let asserted = request.name_addrs("P-Asserted-Identity");
        let users: Vec<Option<usize>> = asserted.iter().map(|n| self.user_of(&n.uri)).collect();
        let from = request.from().and_then(|n| self.user_of(&n.uri));
        self.originator(request).is_some() && users.iter().all(|u| *u == from)
    }

    fn contact_uri(&self) -> String {
        format!("sip:im@{}", self.settings.sip)
    }
}

pub(super) fn check_response(
    settings: &CoreSettings,
    request: &SipMessage,
    response: &SipMessage,
    now: Instant,
    violations: &mut Violations,
) {
    let what = format!("{} to {}", response.status(), request.method());
    let mut expect = |holds: bool, rule, detail: &str| {
        violations.expect(holds, now, rule, || format!("{what}: {detail}"));
    };
    let vias = response.vias();
    let same_branch =
        vias.first().map(|v| v.branch().to_owned()) == request.vias().first().map(|v| v.branch().to_owned());
    expect(vias.len() == 1 && same_branch, "R35", &format!("Vias {:?}", response.list("Via")));
    expect(
        response.call_id() == request.call_id() && response.first("CSeq") == request.first("CSeq"),
        "R35",
        &format!("Call-ID {:?}, CSeq {:?}", response.call_id(), response.first("CSeq")),
    );
    expect(
        response.first("From") == request.first("From"),
        "R35",
        &format!("From {:?}", response.first("From")),
    );
    let to = request.first("To").unwrap_or_default();
    let came = response.first("To").unwrap_or_default();
    expect(came.starts_with(to), "R35", &format!("To {came:?}, sent {to:?}"));
    let Some(edge) = settings.topology.edge() else {
        return;
    };
    let hidden = shows_outside_vias(edge, response);
    expect(hidden.is_none(), "R26", &format!("{hidden:?} reached the core"));
    expect(contacts_are_good(edge, response), "R26", &format!("Contact {:?}", response.list("Contact")));
    if request.method() == "INVITE" && (200..300).contains(&response.status()) {
        expect(
            recorded_by(edge, response),
            "R25",
            &format!("Record-Route {:?}", response.list("Record-Route")),
        );
    }
}

/// The edge's Via on top; the UE's may stay below if it is marked with where it came from.
fn vias_are_good(edge: &EdgeFacts, request: &SipMessage) -> bool {
    let vias = request.vias();
    let Some((top, below)) = vias.split_first() else {
        return false;
    };
    is_named(&edge.core_sip, &top.sent_by())
        && top.branch().starts_with("z9hG4bK")
        && below.len() <= 1
        && below.iter().all(|v| v.param("received").is_some())
}

fn path_is_good(edge: &EdgeFacts, path: &[NameAddr]) -> bool {
    let [own] = path else {
        return false;
    };
    let has_token = |u: &Uri| !u.user.is_empty() && u.param("lr").is_some();
    leads_to(&edge.core_sip, &own.uri) && Uri::parse(&own.uri).is_some_and(|u| has_token(&u))
}

fn contacts_are_good(edge: &EdgeFacts, message: &SipMessage) -> bool {
    message.name_addrs("Contact").iter().all(|c| c.uri == "*" || leads_to(&edge.core_sip, &c.uri))
}

fn recorded_by(edge: &EdgeFacts, message: &SipMessage) -> bool {
    let routes = message.name_addrs("Record-Route");
    let ours = |n: &NameAddr| {
        leads_to(&edge.core_sip, &n.uri) && Uri::parse(&n.uri).is_some_and(|u| u.param("lr").is_some())
    };
    routes.len() == 1 && routes.iter().all(ours)
}

fn shows_outside_vias<'a>(edge: &'a EdgeFacts, message: &SipMessage) -> Option<&'a str> {
    let hidden = &edge.hidden_from_core;
    let in_uri = shows(hidden, message.uri().as_bytes());
    let fields = message.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("Via"));
    let in_fields = fields.filter_map(|(_, value)| shows(hidden, value.as_bytes())).next();
    in_uri.or(in_fields).or_else(|| shows(hidden, &message.body))
}
