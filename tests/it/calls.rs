//! baresip and linphone call each other through the edge over TLS, with Kamailio behind it: PRACK, hold and
//! resume by re-INVITE from both sides, and audio that is heard both ways.

use gatehouse_tests::baresip::{self, Baresip};
use gatehouse_tests::edge::Edge;
use gatehouse_tests::kamailio::Kamailio;
use gatehouse_tests::linphone::{self, Linphone};
use gatehouse_tests::place::Place;
use gatehouse_tests::trace::Message;
use std::net::SocketAddr;
use std::path::Path;

/// Where everybody registers, over what, and what must vouch for it.
#[derive(Clone, Copy)]
struct Proxy<'a> {
    at: SocketAddr,
    transport: &'a str,
    root_ca: &'a Path,
}

fn linphone<'a>(
    place: &Place,
    proxy: Proxy<'a>,
    name: &'a str,
    reliability: linphone::Reliability,
) -> Linphone {
    let Proxy { at: outbound, transport, root_ca } = proxy;
    Linphone::start(place, linphone::Account { name, transport, outbound, root_ca, reliability })
}

fn baresip<'a>(place: &Place, proxy: Proxy<'a>, name: &'a str) -> Baresip {
    let account = baresip::Account { name, transport: proxy.transport, outbound: proxy.at, friend: "alice" };
    Baresip::start(place, account)
}

/// Whether this is a request of `method` that came in.
fn came(method: &str) -> impl Fn(&Message) -> bool {
    move |m| m.inbound && m.is_request(method)
}

/// Whether this is an INVITE that came in and puts us on hold.
fn holds(m: &Message) -> bool {
    came("INVITE")(m) && (m.body.contains("a=sendonly") || m.body.contains("a=inactive"))
}

/// Whether this is an offer that came in and takes us off hold again: the third INVITE or later.
fn resumes(m: &Message) -> bool {
    came("INVITE")(m) && !m.body.is_empty() && !holds(m)
}

/// Alice, with linphone, calls Bob, with baresip; he echoes what she plays. Both hold and resume. Then he calls.
fn they_call_each_other(alice: &mut Linphone, bob: &mut Baresip) {
    alice.command("call sip:bob@ims.example.net");
    bob.wait_nth(1, "INVITE", came("INVITE"));
    bob.order("accept");
    bob.wait_nth(1, "ACK", came("ACK"));
    alice.command(&format!("play {}", linphone::SOUND));
    bob.wait_audio();
    alice.command("pause");
    bob.wait_nth(1, "INVITE that holds", holds);
    bob.wait_nth(2, "ACK", came("ACK"));
    alice.command("resume");
    bob.wait_nth(2, "INVITE that resumes", resumes);
    bob.wait_nth(3, "ACK", came("ACK"));
    bob.order("hold");
    alice.wait_nth(1, "INVITE that holds", holds);
    alice.wait_nth(1, "ACK", came("ACK"));
    bob.order("resume");
    alice.wait_nth(1, "INVITE that resumes", resumes);
    alice.wait_nth(2, "ACK", came("ACK"));
    alice.command("terminate");
    bob.wait_nth(1, "BYE", came("BYE"));
    alice.wait_nth(1, "200 to BYE", |m| m.inbound && m.status() == Some(200) && m.is_about("BYE"));

    bob.call("alice");
    alice.wait_nth(3, "INVITE", came("INVITE"));
    alice.command("answer");
    alice.wait_nth(3, "ACK", came("ACK"));
    bob.order("hangup");
    alice.wait_nth(1, "BYE", came("BYE"));
    bob.wait_nth(1, "200 to BYE", |m| m.inbound && m.status() == Some(200) && m.is_about("BYE"));
}

/// The control experiment. Over UDP: without an edge nothing keeps a call on the connection of a UE's
/// registration, and these two tell of ports that they do not listen on.
#[test]
fn linphone_and_baresip_get_along_without_the_edge() {
    let place = Place::new("calls-direct");
    let kamailio = Kamailio::start(&place);
    let proxy = Proxy { at: kamailio.sip(), transport: "udp", root_ca: &place.file("kamailio.pem") };
    let mut alice = linphone(&place, proxy, "alice", linphone::Reliability::Supported);
    let mut bob = baresip(&place, proxy, "bob");
    alice.wait_registered();
    bob.wait_registered();
    they_call_each_other(&mut alice, &mut bob);
    alice.quit();
    bob.quit();
}

/// R1, R3, R64, R65, R71: over TLS with the edge's certificate verified, and only the edge knows both sides.
#[test]
fn linphone_and_baresip_call_each_other_through_the_edge() {
    let place = Place::new("calls-edge");
    let kamailio = Kamailio::start(&place);
    let edge = Edge::start(&place, kamailio.sip());
    let proxy = Proxy { at: edge.access("tls"), transport: "tls", root_ca: &place.file("edge.pem") };
    let mut alice = linphone(&place, proxy, "alice", linphone::Reliability::Supported);
    let mut carol = linphone(&place, proxy, "carol", linphone::Reliability::Required);
    let mut bob = baresip(&place, proxy, "bob");
    alice.wait_registered();
    carol.wait_registered();
    bob.wait_registered();
    alice.command("chat sip:carol@ims.example.net hello from alice");
    carol.wait_nth(1, "MESSAGE", came("MESSAGE"));
    they_call_each_other(&mut alice, &mut bob);
    carol_rings_reliably(&mut carol, &mut alice);
    let of_bob = bob.messages();
    for (who, messages) in [("alice", alice.messages()), ("bob", of_bob), ("carol", carol.messages())] {
        let hidden = [kamailio.sip().ip(), edge.core_address()].map(|address| address.to_string());
        nothing_of_the_core_shows(who, &messages, &hidden);
        media_is_the_edge_s(who, &messages, &edge.access_address().to_string());
    }
    for line in kamailio.log().lines().filter(|line| line.contains("request ")) {
        assert!(line.contains(&format!(":{}:", edge.core_address())), "{line}");
    }
    alice.quit();
    carol.quit();
    bob.quit();
}

/// RFC 3262: Carol rings reliably, Alice acknowledges with PRACK.
fn carol_rings_reliably(carol: &mut Linphone, alice: &mut Linphone) {
    alice.command("call sip:carol@ims.example.net");
    let ringing = alice.wait_nth(1, "reliable 18x", |m| {
        m.inbound && m.status().is_some_and(|s| (180..200).contains(&s)) && m.value("RSeq").is_some()
    });
    assert!(ringing.value("Require").is_some_and(|r| r.contains("100rel")), "{ringing:#?}");
    let prack = carol.wait_nth(1, "PRACK", came("PRACK"));
    let acknowledged = format!("{} ", ringing.value("RSeq").unwrap_or_default());
    assert!(prack.value("RAck").is_some_and(|r| r.starts_with(&acknowledged)), "{prack:#?}");
    alice.wait_nth(1, "200 to PRACK", |m| m.inbound && m.status() == Some(200) && m.is_about("PRACK"));
    carol.command("answer");
    carol.wait_nth(1, "ACK", came("ACK"));
    alice.command("terminate");
    carol.wait_nth(1, "BYE", came("BYE"));
}

/// R23, R26.
fn nothing_of_the_core_shows(who: &str, messages: &[Message], hidden: &[String]) {
    for message in messages.iter().filter(|m| m.inbound) {
        assert_eq!(message.values("Via").count(), 1, "{who}: {message:#?}");
        let shown = hidden.iter().find(|address| message.raw.contains(address.as_str()));
        assert!(shown.is_none(), "{who} sees {shown:?}: {message:#?}");
    }
}

/// R65: every session description that a UE gets names the edge and nobody else.
fn media_is_the_edge_s(who: &str, messages: &[Message], access: &str) {
    let described: Vec<&Message> =
        messages.iter().filter(|m| m.inbound && m.body.starts_with("v=0")).collect();
    assert!(!described.is_empty(), "{who} got no session description");
    for message in described {
        let addresses = message.body.lines().filter(|line| line.starts_with("c=") || line.starts_with("o="));
        for line in addresses {
            assert!(line.ends_with(access), "{who}: {line} in {message:#?}");
        }
    }
}
