//! Calls of which one leg is secret and the other is not: baresip with keys calls baresip without, through
//! the edge, and each hears the other's tone.

use gatehouse_tests::baresip::{Account, Baresip, Sound};
use gatehouse_tests::edge::Edge;
use gatehouse_tests::kamailio::Kamailio;
use gatehouse_tests::place::Place;
use gatehouse_tests::trace::Message;
use std::time::Duration;

/// The tones are far apart from each other, and from their harmonics.
const OF_ALICE: u32 = 440;
const OF_BOB: u32 = 1_250;

fn came(method: &str) -> impl Fn(&Message) -> bool {
    move |m| m.inbound && m.is_request(method)
}

/// Two phones on one edge, each with its way to protect media.
struct Pair {
    place: Place,
    // Kept until the end, and stopped with the pair.
    _kamailio: Kamailio,
    _edge: Edge,
    alice: Baresip,
    bob: Baresip,
}

impl Pair {
    fn start(name: &str, of_alice: Option<&str>, of_bob: Option<&str>) -> Self {
        let place = Place::new(name);
        let kamailio = Kamailio::start(&place);
        let edge = Edge::start(&place, kamailio.sip());
        let outbound = edge.access("tls");
        let phone = |name, friend, encryption, hertz| {
            let account = Account { name, transport: "tls", outbound, friend };
            Baresip::start_with(&place, account, Sound { encryption, tone: Some(hertz) })
        };
        let mut alice = phone("alice", "bob", of_alice, OF_ALICE);
        let mut bob = phone("bob", "alice", of_bob, OF_BOB);
        alice.wait_registered();
        bob.wait_registered();
        Self { place, _kamailio: kamailio, _edge: edge, alice, bob }
    }

    /// Alice calls, they talk for three seconds, Bob hangs up. Returns what Bob was offered, and what Alice
    /// was answered.
    fn talk(&mut self) -> (Message, Message) {
        self.alice.call("bob");
        let offer = self.bob.wait_nth(1, "INVITE", came("INVITE"));
        self.bob.order("accept");
        self.bob.wait_nth(1, "ACK", came("ACK"));
        let answered = |m: &Message| m.inbound && m.status() == Some(200) && m.is_about("INVITE");
        let answer = self.alice.wait_nth(1, "200 to INVITE", answered);
        std::thread::sleep(Duration::from_secs(3));
        self.bob.order("hangup");
        self.alice.wait_nth(1, "BYE", came("BYE"));
        (offer, answer)
    }

    /// Ends both, so that their recordings are whole, and listens to what each heard.
    fn listen(mut self) {
        self.alice.quit();
        self.bob.quit();
        for (name, own, other) in [("alice", OF_ALICE, OF_BOB), ("bob", OF_BOB, OF_ALICE)] {
            let phone = if name == "alice" { &self.alice } else { &self.bob };
            let heard = phone.recording(&self.place);
            let (of_other, of_own) = (heard.energy_at(other), heard.energy_at(own));
            assert!(heard.seconds() > 1.0, "{name} heard only {} s", heard.seconds());
            assert!(of_other > 0.2, "{name} does not hear {other} Hz: {of_other} of the energy");
            assert!(of_own < 0.02, "{name} hears itself: {of_own} of the energy");
        }
    }
}

/// R71: RTP on both legs.
#[test]
fn two_phones_without_keys() {
    let mut pair = Pair::start("rtp-plain", None, None);
    let (offer, answer) = pair.talk();
    assert!(offer.body.contains(" RTP/AVP ") && answer.body.contains(" RTP/AVP "), "{offer:#?}");
    assert!(!answer.body.contains("a=crypto"), "{answer:#?}");
    pair.listen();
}

/// R71: SRTP with keys from SDP (RFC 4568) on the caller's leg, RTP on the others. No key of a phone leaves
/// its leg.
#[test]
fn sdes_on_one_leg() {
    let mut pair = Pair::start("rtp-sdes", Some("srtp-mand"), None);
    let (offer, answer) = pair.talk();
    assert!(offer.body.contains(" RTP/AVP "), "{offer:#?}");
    assert!(answer.body.contains(" RTP/SAVP ") && answer.body.contains("a=crypto:"), "{answer:#?}");
    let sent = |m: &Message| !m.inbound && m.is_request("INVITE");
    let own = pair.alice.wait_nth(1, "own INVITE", sent);
    for key in own.body.lines().filter_map(|line| line.split("inline:").nth(1)) {
        assert!(!offer.body.contains(key), "the key of alice reached bob");
        assert!(!answer.body.contains(key), "alice got her own key back");
    }
    pair.listen();
}

/// The same with the keys at the callee: what it is offered leaves it the choice (RFC 8643).
#[test]
fn sdes_on_the_leg_of_the_callee() {
    let mut pair = Pair::start("rtp-sdes-callee", None, Some("srtp"));
    let (offer, answer) = pair.talk();
    assert!(offer.body.contains("a=crypto:"), "{offer:#?}");
    assert!(!answer.body.contains("a=crypto:"), "{answer:#?}");
    pair.listen();
}
