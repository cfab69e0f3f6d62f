//! Header fields: those the edge owns by their rule, all others as they were.

use super::{Context, Judge, Way};
use lab::strict::uri::param;
use lab::strict::{NameAddr, SipMessage, Uri};

/// Fields that have a rule below, on one way at least; all others must come through (R30).
const RULED: [&str; 26] = [
    "Via",
    "Max-Forwards",
    "Route",
    "Record-Route",
    "Path",
    "Contact",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Content-Length",
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "P-Asserted-Service",
    "P-Access-Network-Info",
    "P-Visited-Network-ID",
    "Security-Client",
    "Security-Server",
    "Security-Verify",
    "Require",
    "Proxy-Require",
    "Supported",
    "Authorization",
    "WWW-Authenticate",
    "Service-Route",
    "Warning",
];

/// Compares the heads of a pair.
pub(super) fn fields(context: &Context<'_>, sent: &SipMessage, judge: &mut Judge<'_>) {
    let kept = |m: &SipMessage| -> Vec<String> {
        let ruled = |name: &str| is_charging(name) || RULED.iter().any(|r| r.eq_ignore_ascii_case(name));
        m.fields
            .iter()
            .filter(|(name, _)| !ruled(name))
            .map(|(name, value)| format!("{name}: {value}"))
            .collect()
    };
    let (before, after) = (kept(sent), kept(judge.got));
    judge.expect(before == after, || format!("R30: of\n  {}", before.join("\n  ")));
    nowhere(judge);
    trust(context, sent, judge);
    credentials(sent, judge);
    contacts(context, sent, judge);
    match judge.got.is_request() {
        true => request(context, sent, judge),
        false => response(context, sent, judge),
    }
}

/// A message that the edge made itself: nothing in it but what such a message needs.
pub(super) fn own(context: &Context<'_>, judge: &mut Judge<'_>) {
    const PLAIN: [&str; 12] = [
        "Via",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Max-Forwards",
        "Route",
        "Content-Length",
        "Warning",
        "Retry-After",
        "Allow",
        "Require",
    ];
    let strange = |m: &SipMessage| {
        let unknown = |name: &str| !PLAIN.iter().any(|plain| plain.eq_ignore_ascii_case(name));
        m.fields.iter().map(|(name, _)| name.clone()).find(|name| unknown(name))
    };
    let expected = match judge.got.status() {
        0 => matches!(judge.got.method(), "CANCEL" | "ACK"),
        status => {
            status == 100 || judge.got.method() == "CANCEL" || context.stand.own_answers.contains(&status)
        }
    };
    judge.expect(expected, || "came from nobody".to_owned());
    let found = strange(judge.got);
    judge.expect(found.is_none(), || format!("{found:?} in a message of the edge's own"));
    let empty = judge.got.body.is_empty();
    judge.expect(empty, || "a body in a message of the edge's own".to_owned());
    if !judge.got.is_request() {
        echoed(context, judge);
    }
}

/// What never leaves the edge on any way (R14, R18, R28). The Security-Server of a 401 is the edge's.
fn nowhere(judge: &mut Judge<'_>) {
    let challenged = judge.got.status() == 401 && judge.way == Way::Ue;
    let banned: &[&str] = match judge.way {
        Way::Core => &["Security-Client", "Security-Verify", "P-Preferred-Identity", "P-Asserted-Service"],
        Way::Ue => {
            &["Security-Client", "Security-Verify", "P-Visited-Network-ID", "P-Access-Network-Info", "Route"]
        }
    };
    for name in banned.iter().copied().chain((!challenged).then_some("Security-Server")) {
        let there = judge.got.has(name);
        judge.expect(!there, || format!("R28: {name} left the edge"));
    }
    let charged =
        judge.got.fields.iter().any(|(name, _)| name.to_ascii_lowercase().starts_with("p-charging-"));
    judge.expect(!charged, || "R28: a P-Charging header left the edge".to_owned());
}

/// R15, R27, R29: who asks, as the edge knows it.
fn trust(context: &Context<'_>, sent: &SipMessage, judge: &mut Judge<'_>) {
    let got = judge.got;
    let asserted: Vec<&str> = got.all("P-Asserted-Identity").collect();
    match judge.way {
        Way::Ue => {
            let came: Vec<&str> = sent.all("P-Asserted-Identity").collect();
            judge.expect(asserted == came, || format!("R45: asserted {came:?}"));
            let service: Vec<&str> = sent.all("P-Asserted-Service").collect();
            let passed = got.all("P-Asserted-Service").eq(service.iter().copied());
            judge.expect(passed, || format!("R28: service {service:?}"));
        }
        Way::Core if !got.is_request() || matches!(got.method(), "REGISTER" | "ACK" | "CANCEL") => {
            judge.expect(asserted.is_empty(), || format!("R29: {asserted:?} of a UE"));
        }
        Way::Core => {
            let known = |n: &NameAddr| context.stand.identities.iter().any(|i| *i == n.uri.trim());
            let all = got.name_addrs("P-Asserted-Identity");
            judge.expect(!all.is_empty() && all.iter().all(known), || format!("R27: asserted {asserted:?}"));
            let access: Vec<&str> = got.all("P-Access-Network-Info").collect();
            let told: Vec<&str> = sent.all("P-Access-Network-Info").collect();
            let holds = if told.is_empty() { access.len() <= 1 } else { access == told };
            judge.expect(holds, || format!("R15: {access:?}"));
        }
    }
}

/// R16, R17, R18: what the edge adds to credentials and takes from challenges; all else is opaque (R19).
fn credentials(sent: &SipMessage, judge: &mut Judge<'_>) {
    let got = judge.got;
    let without = |value: &str, names: &[&str]| -> Vec<String> {
        let (scheme, params) = value.split_once(' ').unwrap_or((value, ""));
        let params = lab::strict::uri::split_outside_quotes(params, ',').into_iter();
        let kept = params.filter(|p| !names.contains(&p.split('=').next().unwrap_or_default().trim()));
        std::iter::once(scheme.to_owned()).chain(kept.map(str::to_owned)).collect()
    };
    for (name, taken) in
        [("Authorization", &["integrity-protected"][..]), ("WWW-Authenticate", &["ck", "ik"])]
    {
        let read = |m: &SipMessage| m.all(name).map(|v| without(v, taken)).collect::<Vec<_>>();
        let same = read(sent) == read(got);
        judge.expect(same, || format!("R19: {name} of {:?}", sent.all(name).collect::<Vec<_>>()));
    }
    if judge.way == Way::Ue {
        let keys = got.all("WWW-Authenticate").any(|v| v.contains("ck=") || v.contains("ik="));
        judge.expect(!keys, || "R17: keys in a challenge".to_owned());
    }
    for name in ["Require", "Proxy-Require"] {
        let wanted: Vec<&str> = sent.list(name).into_iter().filter(|tag| *tag != "sec-agree").collect();
        let holds = got.list(name) == wanted && got.all(name).all(|v| !v.is_empty());
        judge.expect(holds, || format!("R18: {name} of {wanted:?}"));
    }
    let (before, mut after) = (sent.list("Supported"), got.list("Supported"));
    let registers = got.is_request() && got.method() == "REGISTER" && judge.way == Way::Core;
    judge.expect(!registers || after.contains(&"path"), || "R14: no path in Supported".to_owned());
    if registers && !before.contains(&"path") {
        after.retain(|tag| *tag != "path");
    }
    judge.expect(after == before, || format!("R30: Supported of {before:?}"));
}

/// R26: the edge's host and port in every Contact, everything around them as it was; towards a UE a
/// conference keeps its own, and the answer to REGISTER gives the UE its own back (R21).
fn contacts(context: &Context<'_>, sent: &SipMessage, judge: &mut Judge<'_>) {
    let got = judge.got;
    let (before, after) = (sent.name_addrs("Contact"), got.name_addrs("Contact"));
    let registered = got.method() == "REGISTER" && !got.is_request();
    if registered && got.status() >= 300 {
        return;
    }
    // R33: an INVITE without Contact gets that of the registration.
    let filled = before.is_empty() && after.len() == 1 && got.method() == "INVITE" && judge.way == Way::Core;
    if before.len() != after.len() && !filled {
        judge.say(&format!("R26: {} Contacts became {}", before.len(), after.len()));
        return;
    }
    let host = match judge.way {
        Way::Core => &context.stand.edge_core,
        Way::Ue => &context.stand.access,
    };
    for (before, after) in before.iter().zip(&after) {
        judge.expect(before.params == after.params, || {
            format!("R26: {:?} became {:?}", before.params, after.params)
        });
        let holds = match judge.way {
            _ if before.uri == "*" => after.uri == "*",
            Way::Ue if registered => context.contacts_of_ue().contains(&after.uri),
            // A conference keeps its name, but no address of the core is a name.
            Way::Ue if before.params.contains("isfocus") && !host_of(&before.uri).is_some_and(is_address) => {
                before.uri == after.uri
            }
            _ => {
                leads_to(host, &after.uri)
                    && (judge.way == Way::Ue || same_but_place(&before.uri, &after.uri))
            }
        };
        judge.expect(holds, || format!("R26: {:?} became {:?}", before.uri, after.uri));
    }
}

/// Not by [`Uri`], which is too strict for what the specification's Contacts hold (R26).
fn leads_to(host: &str, uri: &str) -> bool {
    host_of(uri) == Some(host)
}

fn host_of(uri: &str) -> Option<&str> {
    let place = uri.trim().trim_start_matches("sip:").split(';').next()?;
    place.rsplit('@').next()?.split(':').next()
}

fn is_address(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_ok()
}

fn is_charging(name: &str) -> bool {
    name.to_ascii_lowercase().starts_with("p-charging-")
}

/// The user and the parameters are the UE's own, whatever host, port and transport became; the edge may
/// add one parameter, by which it knows the contact again.
fn same_but_place(before: &str, after: &str) -> bool {
    let pieces = |uri: &str| {
        let uri = uri.trim().trim_start_matches("sip:");
        let (user, place) = uri.split_once('@').map_or(("", uri), |(user, place)| (user, place));
        let mut params: Vec<String> = place.split(';').skip(1).map(str::to_owned).collect();
        params.retain(|p| !p.starts_with("transport="));
        (user.to_owned(), params)
    };
    let ((user, params), (their_user, theirs)) = (pieces(before), pieces(after));
    let mut rest = theirs.iter();
    user == their_user
        && params.iter().all(|p| rest.any(|t| t.trim() == p.trim()))
        && theirs.len() <= params.len() + 1
}

fn request(context: &Context<'_>, sent: &SipMessage, judge: &mut Judge<'_>) {
    let got = judge.got;
    let stand = context.stand;
    let host = match judge.way {
        Way::Core => &stand.edge_core,
        Way::Ue => &stand.access,
    };
    // R23
    let vias = got.vias();
    let ours = matches!(&vias[..], [via] if via.host == **host && via.branch().starts_with("z9hG4bK"));
    judge.expect(ours && got.list("Via").len() == 1, || "R23: Via".to_owned());
    // R31, R33
    let hops = |m: &SipMessage| m.first("Max-Forwards").and_then(|n| n.parse::<u8>().ok());
    let wanted = hops(sent).map_or(Some(70), |n| n.checked_sub(1));
    judge.expect(hops(got) == wanted, || format!("R31: {wanted:?} hops expected"));
    // R24, R35
    for name in ["From", "Call-ID", "CSeq"] {
        judge.expect(got.all(name).eq(sent.all(name)), || format!("R24: {name} was {:?}", sent.first(name)));
    }
    let complete = |text: &str| {
        let numbers = stand.completed.iter();
        numbers.fold(text.to_owned(), |text, (dialled, number)| text.replacen(dialled.as_str(), number, 1))
    };
    let to = sent.first("To").unwrap_or_default();
    let wanted = if judge.way == Way::Core { complete(to) } else { to.to_owned() };
    judge.expect(got.first("To") == Some(&wanted), || format!("R32: To was {to:?}, {wanted:?} expected"));
    let in_dialog = sent.to().is_some_and(|to| to.tag().is_some());
    let target = match judge.way {
        // Inside a dialog, and when the edge has hidden its peer, the target is what the core has said.
        Way::Core => in_dialog || got.uri() == complete(sent.uri()),
        Way::Ue => {
            context.contacts_of_ue().iter().any(|c| c.replace(' ', "") == got.uri())
                || got.uri() == sent.uri()
        }
    };
    judge.expect(target, || format!("R45: Request-URI was {}", sent.uri()));
    // R25
    let recorded = got.name_addrs("Record-Route");
    let opens = matches!(got.method(), "INVITE" | "SUBSCRIBE" | "REFER") && !in_dialog;
    let own = |n: &NameAddr| leads_to(host, &n.uri) && param_of(&n.uri, "lr");
    let holds =
        if opens { recorded.len() == 1 && recorded.iter().all(own) } else { recorded.iter().all(own) };
    judge.expect(holds, || format!("R25: Record-Route {:?}", got.list("Record-Route")));
    // R14
    let path = got.name_addrs("Path");
    let visited: Vec<&str> = got.all("P-Visited-Network-ID").collect();
    match judge.way == Way::Core && got.method() == "REGISTER" {
        true => {
            judge.expect(path.len() == 1 && path.iter().all(own), || "R14: Path".to_owned());
            judge.expect(visited == ["\"cmcc.rcs.com\""], || "R14: P-Visited-Network-ID".to_owned());
        }
        false => {
            let none = path.is_empty() && visited.is_empty();
            judge.expect(none, || "R14: Path or visited network".to_owned());
        }
    }
    judge.expect(!got.has("Service-Route"), || "R22: Service-Route in a request".to_owned());
    judge.expect(!got.list("Route").iter().any(|r| r.contains(host.as_str())), || {
        "R25: own Route left".to_owned()
    });
}

fn param_of(uri: &str, name: &str) -> bool {
    Uri::parse(uri).is_some_and(|uri| param(&uri.params, name).is_some())
}

fn response(context: &Context<'_>, sent: &SipMessage, judge: &mut Judge<'_>) {
    let got = judge.got;
    echoed(context, judge);
    let host = match judge.way {
        Way::Core => &context.stand.edge_core,
        Way::Ue => &context.stand.access,
    };
    let own = |n: &NameAddr| leads_to(host, &n.uri) && param_of(&n.uri, "lr");
    let recorded = got.name_addrs("Record-Route");
    let holds = match judge.way {
        // R23: nothing of the core's inner routes.
        Way::Ue => recorded.len() <= 1 && recorded.iter().all(own),
        // RFC 3261 §12.1.1: ours, and below it what the request had recorded.
        Way::Core if recorded.is_empty() => true,
        Way::Core => {
            let inner = context.asked.map(|a| a.list("Record-Route")).unwrap_or_default();
            recorded.first().is_some_and(own) && got.list("Record-Route").get(1..) == Some(&inner[..])
        }
    };
    judge.expect(holds, || format!("R25: Record-Route {:?}", got.list("Record-Route")));
    let opens = matches!(got.method(), "INVITE" | "SUBSCRIBE") && (200..300).contains(&got.status());
    let initial = context.asked.is_some_and(|a| a.to().is_some_and(|to| to.tag().is_none()));
    judge.expect(!(opens && initial && recorded.is_empty()), || "R25: no Record-Route".to_owned());
    judge.expect(!got.has("Path"), || "R21: Path in a response".to_owned());
    if judge.way == Way::Ue {
        let routed = got.has("Service-Route");
        let wanted = got.method() == "REGISTER" && sent.has("Service-Route");
        judge.expect(routed == wanted, || "R21: Service-Route".to_owned());
        let agents = got.list("Warning");
        let holds =
            agents.iter().all(|w| w.split(' ').nth(1).is_some_and(|agent| agent.starts_with(host.as_str())));
        judge.expect(holds && agents.len() == sent.list("Warning").len(), || format!("Warning {agents:?}"));
    }
}

/// R6, R21, R24, R35: a response brings the requester its own back.
fn echoed(context: &Context<'_>, judge: &mut Judge<'_>) {
    let got = judge.got;
    let Some(asked) = context.asked else {
        judge.say("a response that nobody waits for");
        return;
    };
    let unmarked = |via: &str| {
        let kept = via.split(';').filter(|p| !p.starts_with("received=") && !p.starts_with("rport"));
        kept.collect::<Vec<_>>().join(";").replace(' ', "")
    };
    let vias = |m: &SipMessage| m.list("Via").into_iter().map(unmarked).collect::<Vec<_>>();
    judge.expect(vias(got) == vias(asked), || format!("R6: Via was {:?}", asked.list("Via")));
    for name in ["From", "Call-ID", "CSeq"] {
        judge
            .expect(got.all(name).eq(asked.all(name)), || format!("R35: {name} was {:?}", asked.first(name)));
    }
    let (to, came) = (asked.first("To").unwrap_or_default(), got.first("To").unwrap_or_default());
    let tagged = came.strip_prefix(to).is_some_and(|rest| rest.is_empty() || rest.starts_with(";tag="));
    judge.expect(tagged, || format!("R35: To was {to:?}"));
}
