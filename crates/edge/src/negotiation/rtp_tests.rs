//! Calls: what each side is told, and what the relay is ordered.

use super::tests::{Stage, body};
use super::*;
use ::rtp::sdes::Crypto;
use media::command::RtpOrder;
use media::rtp::{Latching, Protection, RtcpPort};

const UE_SDP: &str = "v=0\r\no=ue 1 1 IN IP4 10.0.0.1\r\ns=TOMORROW\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
                      m=audio 26608 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n";
const CORE_SDP: &str = "v=0\r\no=as 7 7 IN IP4 10.166.37.216\r\ns=-\r\nc=IN IP4 10.166.37.162\r\nt=0 0\r\n\
                        m=audio 1372 RTP/AVP 0\r\nc=IN IP4 10.166.37.162\r\na=rtcp:1400\r\nb=AS:64\r\n";
const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
const OTHER_KEY: &str = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR";

fn message(start: &str, method: &str, sdp: &str) -> String {
    let kind = if sdp.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!("{start}\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n{kind}Content-Length: {}\r\n\r\n{sdp}", sdp.len())
}

fn request(method: &str, sdp: &str) -> String {
    message(&format!("{method} sip:a@b SIP/2.0"), method, sdp)
}

fn response(status: u16, method: &str, sdp: &str) -> String {
    message(&format!("SIP/2.0 {status} Whatever"), method, sdp)
}

/// A stage with a negotiation under way.
struct Call {
    stage: Stage,
    dialog: Negotiation,
}

impl Call {
    fn new(srtp: [config::Srtp; 2]) -> Self {
        let mut stage = Stage::new("203.0.113.1:2855", "198.51.100.1:2955");
        stage.srtp = srtp;
        Self { stage, dialog: Negotiation::default() }
    }

    fn plain() -> Self {
        Self::new([config::Srtp::None; 2])
    }

    fn try_pass(&mut self, from: Realm, message: &str) -> Result<String, Cause> {
        self.stage.pass(&mut self.dialog, from, message).map(|text| body(&text).to_owned())
    }

    #[track_caller]
    fn pass(&mut self, from: Realm, message: &str) -> String {
        let out = self.try_pass(from, message).unwrap();
        for own in ["10.0.0.", "10.166.", "10.9.9.9", KEY, OTHER_KEY] {
            assert!(!out.contains(own), "{own} in {out}");
        }
        out
    }

    /// Offer of the UE, answer of the core.
    #[track_caller]
    fn set_up(&mut self, offer: &str, answer: &str) -> (String, String) {
        let offer = self.pass(Realm::Access, &request("INVITE", offer));
        let answer = self.pass(Realm::Core, &response(200, "INVITE", answer));
        (offer, answer)
    }

    fn ordered(&mut self) -> (Vec<RtpOrder>, usize) {
        self.stage.rtp_ordered()
    }

    #[track_caller]
    fn one(&mut self) -> RtpOrder {
        let (mut orders, released) = self.ordered();
        assert_eq!((orders.len(), released), (1, 0));
        orders.remove(0)
    }
}

fn port_of(sdp: &str, media: &str) -> u16 {
    let line = sdp.lines().find(|line| line.starts_with(&format!("m={media} "))).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

fn key_in(sdp: &str) -> Crypto {
    let line = sdp.lines().find_map(|line| line.strip_prefix("a=crypto:")).unwrap();
    Crypto::parse(line.as_bytes()).unwrap()
}

/// R65, R68, R69, R71: voip-01 in small.
#[test]
fn a_call_of_the_ue() {
    let mut call = Call::plain();
    let to_core = call.pass(Realm::Access, &request("INVITE", UE_SDP));
    assert_eq!(call.ordered().0.len(), 0, "the core may not send before it answers");
    let port = port_of(&to_core, "audio");
    assert_eq!(
        to_core,
        format!(
            "v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=SBC call\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n"
        )
    );
    let early = call.pass(Realm::Core, &response(183, "INVITE", CORE_SDP));
    let order = call.one();
    assert_eq!(
        early,
        format!(
            "v=0\r\no=- 7 7 IN IP4 203.0.113.1\r\ns=SBC call\r\nc=IN IP4 203.0.113.1\r\nt=0 0\r\n\
             m=audio {} RTP/AVP 0\r\nc=IN IP4 203.0.113.1\r\nb=AS:64\r\n",
            order.access_local.port()
        )
    );
    assert_eq!((order.core_local.port(), port % 2), (port, 0));
    let RtpSession { access, core } = &order.session;
    assert_eq!(access.remote, Some("10.0.0.1:26608".parse().unwrap()));
    assert_eq!(access.latching, Latching::Signaller { host: "182.1.1.203".parse().unwrap() });
    assert_eq!(core.remote, Some("10.166.37.162:1372".parse().unwrap()));
    assert_eq!(core.remote_rtcp, Some("10.166.37.162:1400".parse().unwrap()));
    assert_eq!((core.rtcp, core.latching, core.sends), (RtcpPort::Own, Latching::Strict, true));
    assert_eq!((&*order.about.encoding, access.clock_rate), ("PCMU", 8_000));
    // The same again, as it comes in the 200 and in each repetition of it.
    assert_eq!(call.pass(Realm::Core, &response(200, "INVITE", CORE_SDP)), early);
    assert_eq!(call.ordered().0.len(), 0);
    call.dialog.release(
        Cause::Bye,
        Instant::from_micros(9),
        &mut call.stage.ids,
        &mut call.stage.ports,
        &mut call.stage.commands,
    );
    assert_eq!((call.ordered().1, call.stage.ids.count()), (1, 0));
}

use media::rtp::RtpSession;

#[test]
fn hold_is_passed_and_silence_on_hold_is_expected() {
    let mut call = Call::plain();
    let (_, answer) = call.set_up(UE_SDP, CORE_SDP);
    call.one();
    for (line, there, back) in [("a=sendonly", true, false), ("a=inactive", false, false)] {
        let held = format!("{UE_SDP}{line}\r\n");
        let offer = call.pass(Realm::Access, &request("INVITE", &held));
        assert!(offer.ends_with(&format!("{line}\r\n")), "{offer}");
        let reply = if there { "a=recvonly\r\n" } else { "a=inactive\r\n" };
        call.pass(Realm::Core, &response(200, "INVITE", &format!("{CORE_SDP}{reply}")));
        let order = call.one();
        assert_eq!((order.session.access.sends, order.session.core.sends), (there, back), "{line}");
    }
    // As RFC 2543 did it; nobody else's address is in its place.
    let old = UE_SDP.replace("c=IN IP4 10.0.0.1", "c=IN IP4 0.0.0.0");
    let offer = call.pass(Realm::Access, &request("UPDATE", &old));
    assert!(
        offer.contains("c=IN IP4 0.0.0.0\r\n") && offer.contains("o=- 1 1 IN IP4 198.51.100.1"),
        "{offer}"
    );
    call.pass(Realm::Core, &response(200, "UPDATE", CORE_SDP));
    let order = call.one();
    assert_eq!((order.session.access.sends, order.session.core.sends), (true, false));
    // And back, with the ports of the beginning.
    call.pass(Realm::Access, &request("INVITE", UE_SDP));
    assert_eq!(call.pass(Realm::Core, &response(200, "INVITE", CORE_SDP)), answer);
}

#[test]
fn media_come_go_and_are_refused() {
    let mut call = Call::plain();
    let video = "m=video 30000 RTP/AVP 34\r\nb=AS:768\r\n";
    let (offer, answer) =
        call.set_up(&format!("{UE_SDP}{video}"), &format!("{CORE_SDP}m=video 0 RTP/AVP 34\r\n"));
    assert_ne!(port_of(&offer, "video"), port_of(&offer, "audio"));
    assert_eq!(port_of(&answer, "video"), 0);
    let first = call.one();
    assert_eq!(call.stage.ids.count(), 1, "what is refused gives its ports back");
    // Video is added, and a third medium of which nobody knows what it is.
    let more = format!("{UE_SDP}{video}m=application 7000 UDP/BFCP *\r\na=floorctrl:c-s\r\n");
    let offer = call.pass(Realm::Access, &request("INVITE", &more));
    assert!(offer.contains("m=application 0 UDP/BFCP *\r\n"), "{offer}");
    assert_eq!(port_of(&offer, "audio"), first.core_local.port());
    let both = format!("{CORE_SDP}m=video 1500 RTP/AVP 34\r\nm=application 0 UDP/BFCP *\r\n");
    call.pass(Realm::Core, &response(200, "INVITE", &both));
    let added = call.one();
    assert_eq!(added.session.core.remote, Some("10.166.37.162:1500".parse().unwrap()));
    // A new offer is refused: all stays. Then video goes.
    let third = format!("{more}m=audio 8000 RTP/AVP 0\r\n");
    call.pass(Realm::Access, &request("INVITE", &third));
    assert_eq!(call.stage.ids.count(), 3);
    call.dialog.on_refused(Instant::from_micros(3), &mut call.stage.ids, &mut call.stage.ports);
    assert_eq!((call.stage.ids.count(), call.ordered().1), (2, 0));
    let gone = more.replace("m=video 30000", "m=video 0");
    call.pass(Realm::Access, &request("INVITE", &gone));
    call.pass(Realm::Core, &response(200, "INVITE", &both.replace("video 1500", "video 0")));
    let (orders, released) = call.ordered();
    assert_eq!((orders.len(), released, call.stage.ids.count()), (0, 1, 1));
}

/// R70: the offer comes in the 200, the answer in the ACK; and another one in PRACK.
#[test]
fn an_invite_without_offer() {
    let mut call = Call::plain();
    call.pass(Realm::Core, &request("INVITE", ""));
    let to_core = call.pass(Realm::Access, &response(200, "INVITE", UE_SDP));
    assert!(to_core.contains("c=IN IP4 198.51.100.1"), "{to_core}");
    let to_ue = call.pass(Realm::Core, &request("ACK", CORE_SDP));
    assert!(to_ue.contains("c=IN IP4 203.0.113.1"), "{to_ue}");
    let order = call.one();
    assert_eq!(order.session.access.remote, Some("10.0.0.1:26608".parse().unwrap()));
    assert_eq!(order.session.core.remote, Some("10.166.37.162:1372".parse().unwrap()));
    let mut call = Call::plain();
    call.pass(Realm::Core, &request("INVITE", ""));
    call.pass(Realm::Access, &response(183, "INVITE", UE_SDP));
    call.pass(Realm::Core, &request("PRACK", CORE_SDP));
    assert_eq!(call.one().session.core.remote, Some("10.166.37.162:1372".parse().unwrap()));
}

/// A UE that is called may send before its answer is here.
#[test]
fn a_call_to_the_ue_is_open_before_it_is_answered() {
    let mut call = Call::plain();
    let offer = call.pass(Realm::Core, &request("INVITE", CORE_SDP));
    let order = call.one();
    assert_eq!(port_of(&offer, "audio"), order.access_local.port());
    assert_eq!((order.session.access.remote, order.session.access.sends), (None, false));
    assert_eq!(order.session.core.remote, Some("10.166.37.162:1372".parse().unwrap()));
    call.pass(Realm::Access, &response(200, "INVITE", UE_SDP));
    assert_eq!(call.one().session.access.remote, Some("10.0.0.1:26608".parse().unwrap()));
}

/// Each fork has a port of its own towards the caller; they share the one that all were told.
#[test]
fn forks_have_legs_of_their_own() {
    let mut call = Call::plain();
    call.pass(Realm::Access, &request("INVITE", UE_SDP));
    let mut forks = [call.dialog.fork(), call.dialog.fork()];
    let mut orders = Vec::new();
    for (fork, host) in forks.iter_mut().zip(["10.166.1.1", "10.166.2.2"]) {
        let sdp = CORE_SDP.replace("10.166.37.162", host);
        let early = response(183, "INVITE", &sdp);
        let out = call.stage.pass(fork, Realm::Core, &early).unwrap();
        let (mut ordered, _) = call.stage.rtp_ordered();
        let order = ordered.remove(0);
        assert_eq!(port_of(body(&out), "audio"), order.access_local.port());
        assert_eq!(order.session.core.remote.unwrap().ip(), host.parse::<core::net::IpAddr>().unwrap());
        orders.push(order);
    }
    assert_eq!(orders[0].core_local, orders[1].core_local);
    assert_ne!(orders[0].access_local, orders[1].access_local);
    for fork in &mut forks {
        let now = Instant::from_micros(5);
        fork.release(Cause::Bye, now, &mut call.stage.ids, &mut call.stage.ports, &mut call.stage.commands);
    }
    assert_eq!((call.stage.rtp_ordered().1, call.stage.ids.count()), (2, 0));
    for order in orders {
        call.stage.ports.release(order.id, Instant::from_micros(6));
    }
    assert_eq!([Realm::Access, Realm::Core].map(|r| call.stage.ports.counts(r)[0]), [0, 0]);
}

/// R71, RFC 4568: the keys of each side are its own.
#[test]
fn keys_towards_the_phone_and_none_towards_the_core() {
    let mut call = Call::new([config::Srtp::Offer, config::Srtp::None]);
    let secure = format!(
        "{}a=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20\r\na=crypto:6 F8_128_HMAC_SHA1_80 inline:{KEY}\r\n",
        UE_SDP.replace("RTP/AVP", "RTP/SAVP")
    );
    let (offer, answer) = call.set_up(&secure, CORE_SDP);
    assert!(offer.contains(" RTP/AVP ") && !offer.contains("crypto"), "{offer}");
    assert!(answer.contains(" RTP/SAVP 0\r\n"), "{answer}");
    let ours = key_in(&answer);
    assert_eq!(ours.tag, 5);
    let order = call.one();
    let theirs =
        |key: &str| Crypto::parse(format!("5 AES_CM_128_HMAC_SHA1_80 inline:{key}").as_bytes()).unwrap().key;
    let expected = Protection::Sdes { send: ours.key.clone(), receive: Some(theirs(KEY)) };
    assert_eq!(order.session.access.protection, expected);
    assert_eq!(order.session.core.protection, Protection::Plain);
    // The phone takes another key: ours goes on, so that its counters do.
    let changed = secure.replace(KEY, OTHER_KEY);
    let (_, again) = call.set_up(&changed, CORE_SDP);
    assert_eq!(key_in(&again), ours);
    let expected = Protection::Sdes { send: ours.key.clone(), receive: Some(theirs(OTHER_KEY)) };
    assert_eq!(call.one().session.access.protection, expected);
    // An offer of the core goes to it as secured as its own was.
    let offer = call.pass(Realm::Core, &request("UPDATE", CORE_SDP));
    assert!(offer.contains(" RTP/SAVP ") && offer.contains(ours_line(&ours).trim_end()), "{offer}");
    let reply = changed.replace("crypto:5", "crypto:1");
    let reply: String = reply.split_inclusive('\n').filter(|line| !line.contains("crypto:6")).collect();
    call.pass(Realm::Access, &response(200, "UPDATE", &reply));
    assert_eq!(call.ordered().0.len(), 0, "nothing has changed");
}

fn ours_line(crypto: &Crypto) -> String {
    let mut line = Vec::new();
    Crypto { tag: 1, ..crypto.clone() }.write(&mut line);
    format!("a=crypto:{}\r\n", String::from_utf8(line).unwrap())
}

/// RFC 8643 towards a phone of which nothing is known; it may use our keys or not.
#[test]
fn what_is_called_is_offered_keys_it_need_not_take() {
    for takes in [true, false] {
        let mut call = Call::new([config::Srtp::Offer, config::Srtp::None]);
        let offer = call.pass(Realm::Core, &request("INVITE", CORE_SDP));
        assert!(offer.contains(" RTP/AVP ") && offer.matches("a=crypto:").count() == 2, "{offer}");
        call.ordered();
        let key = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n");
        let reply = if takes { format!("{UE_SDP}{key}") } else { UE_SDP.to_owned() };
        let to_core = call.pass(Realm::Access, &response(200, "INVITE", &reply));
        assert!(!to_core.contains("crypto"), "{to_core}");
        let protection = call.one().session.access.protection;
        assert_eq!(protection != Protection::Plain, takes);
    }
}

#[test]
fn policies_refuse_what_they_do_not_allow() {
    use config::Srtp::{None as Never, Offer, Require};
    let key = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n");
    let savp = UE_SDP.replace("RTP/AVP", "RTP/SAVP");
    for (policy, sdp, passes) in [
        (Never, UE_SDP.to_owned(), true),
        (Never, format!("{savp}{key}"), false),
        (Offer, UE_SDP.to_owned(), true),
        (Offer, format!("{savp}{key}"), true),
        (Offer, savp.clone(), false),
        (Offer, format!("{savp}a=crypto:1 UNKNOWN inline:{KEY}\r\n"), false),
        (Require, UE_SDP.to_owned(), false),
        (Require, format!("{UE_SDP}{key}"), true),
        (Require, format!("{savp}{key}"), true),
    ] {
        let mut call = Call::new([policy, Never]);
        let got = call.try_pass(Realm::Access, &request("INVITE", &sdp));
        let expected = if passes { None } else { Some(Cause::NotAcceptableMedia) };
        assert_eq!(got.err(), expected, "{policy:?} {sdp}");
        assert_eq!(call.stage.ids.count(), usize::from(passes), "{policy:?} {sdp}");
    }
    // What the core side requires it is offered, and it must take it.
    let mut call = Call::new([Never, Require]);
    let offer = call.pass(Realm::Access, &request("INVITE", UE_SDP));
    assert!(offer.contains(" RTP/SAVP ") && offer.contains("a=crypto:1 "), "{offer}");
    let answer = call.pass(Realm::Core, &response(200, "INVITE", CORE_SDP));
    assert_eq!(port_of(&answer, "audio"), 0, "an answer in another profile answers nothing");
    assert_eq!(call.ordered().0.len(), 0);
}

/// RFC 8445, RFC 8839, RFC 5763: we are the lite end of what a browser offers.
#[test]
fn ice_and_dtls_end_at_the_edge() {
    let print = ["AB"; 32].join(":");
    let browser = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=ice-options:trickle\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:uuuu\r\n\
         a=ice-pwd:pppppppppppppppppppppp\r\na=fingerprint:sha-256 {print}\r\na=setup:actpass\r\na=mid:0\r\n\
         a=rtcp-mux\r\na=rtcp-fb:111 transport-cc\r\na=rtpmap:111 opus/48000/2\r\n\
         a=candidate:1 1 udp 2113937151 10.0.0.7 51472 typ host\r\n"
    );
    let mut call = Call::new([config::Srtp::Offer, config::Srtp::None]);
    let answer = CORE_SDP.replace("RTP/AVP 0", "RTP/AVPF 111");
    let (offer, answer) = call.set_up(&browser, &answer);
    assert!(offer.contains(" RTP/AVPF 111\r\n") && offer.contains("a=rtcp-fb:111"), "{offer}");
    for gone in ["BUNDLE", "ice-", "candidate", "fingerprint", "setup", "a=rtcp:"] {
        assert!(!offer.contains(gone), "{gone}: {offer}");
    }
    let port = port_of(&answer, "audio");
    for line in [
        &format!("m=audio {port} UDP/TLS/RTP/SAVPF 111\r\n"),
        "a=ice-lite\r\n",
        "a=rtcp-mux\r\n",
        "a=fingerprint:sha-256 00:11\r\n",
        "a=setup:passive\r\n",
        &format!("a=candidate:1 1 UDP 2130706431 203.0.113.1 {port} typ host\r\n"),
    ] {
        assert!(answer.contains(line), "{line}: {answer}");
    }
    assert!(!answer.contains("candidate:1 2"), "RTCP has no port of its own: {answer}");
    let order = call.one();
    let ice = order.session.access.ice.clone().unwrap();
    assert!(answer.contains(&format!("a=ice-ufrag:{}\r\n", String::from_utf8(ice.fragment).unwrap())));
    assert!(matches!(order.session.access.protection, Protection::Dtls { .. }));
    assert_eq!(order.session.access.rtcp, RtcpPort::Muxed);
    // The same credentials in a later offer to it; new ones when it starts ICE anew.
    let again = call.pass(Realm::Core, &request("INVITE", &CORE_SDP.replace("RTP/AVP 0", "RTP/AVPF 111")));
    let ufrag = |sdp: &str| sdp.lines().find(|l| l.starts_with("a=ice-ufrag:")).unwrap().to_owned();
    assert_eq!(ufrag(&again), ufrag(&answer));
    assert!(again.contains("a=setup:actpass\r\n") && again.contains("a=rtcp-mux\r\n"), "{again}");
    let restarted = browser.replace("uuuu", "vvvv");
    let (_, fresh) = call.set_up(&restarted, &CORE_SDP.replace("RTP/AVP 0", "RTP/AVPF 111"));
    assert_ne!(ufrag(&fresh), ufrag(&answer));
}

/// R2: a phone in an IPv6 network calls somebody in an IPv4 one.
#[test]
fn ipv6_meets_ipv4() {
    let mut call = Call::plain();
    let v6 = UE_SDP.replace("IP4 10.0.0.1", "IP6 2001:db8::77");
    let (offer, answer) = call.set_up(&v6, CORE_SDP);
    assert!(offer.contains("c=IN IP4 198.51.100.1\r\n") && !offer.contains("2001"), "{offer}");
    assert!(answer.contains("c=IN IP6 2001:db8:a::1\r\n") && !answer.contains("IP4"), "{answer}");
    let order = call.one();
    assert_eq!((order.access_local.is_ipv6(), order.core_local.is_ipv4()), (true, true));
}

/// 503 with its cause, and nothing taken.
#[test]
fn without_ports_there_is_no_call() {
    let mut call = Call::plain();
    let now = Instant::from_micros(1);
    let v4 = [crate::rtp_ports::Family::V4; 2];
    for slot in 100..150 {
        call.stage.ports.reserve(MediaId { slot, generation: 0 }, v4, now).unwrap();
    }
    let got = call.try_pass(Realm::Access, &request("INVITE", UE_SDP));
    assert_eq!(got.err(), Some(Cause::NoMediaPorts));
    assert_eq!((Cause::NoMediaPorts.status(), call.stage.ids.count()), (Some(503), 0));
}

/// A conference of the specification (R62): the SDP is one part of several.
#[test]
fn rtcp_may_be_multiplexed_on_one_side_only() {
    let mut call = Call::plain();
    let muxed = format!("{UE_SDP}a=rtcp-mux\r\n");
    let (offer, answer) = call.set_up(&muxed, CORE_SDP);
    assert!(offer.contains("a=rtcp-mux\r\n") && answer.contains("a=rtcp-mux\r\n"));
    let order = call.one();
    assert_eq!((order.session.access.rtcp, order.session.core.rtcp), (RtcpPort::Muxed, RtcpPort::Own));
    assert_eq!(order.session.access.remote_rtcp, None);
}
