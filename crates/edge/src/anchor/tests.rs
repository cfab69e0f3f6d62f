use super::*;
use crate::anchor::rtp::tests::Office;
use core::net::IpAddr;
use media::command::{MsrpSide, Opening};
use std::cell::RefCell;
use std::sync::LazyLock;

pub(super) const UE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(50, 51, 120, 82));

static POLICIES: LazyLock<Policies> = LazyLock::new(Policies::default);
static PLAIN: LazyLock<config::Msrp> = LazyLock::new(config::Msrp::default);

pub(super) fn point(realm: Realm, transport: Transport, advertised: &str) -> MsrpPoint {
    let advertised = advertised.parse().unwrap();
    MsrpPoint { realm, transport, advertised, websocket: false, fingerprint: None }
}

pub(super) fn terms(points: &[MsrpPoint], ue_transport: Transport) -> Terms<'_> {
    Terms {
        points,
        ue: UE,
        ue_transport,
        ue_websocket: false,
        msrp: &PLAIN,
        policies: &POLICIES,
        content: &[None, None],
        idle_max: Duration::from_secs(600),
        user: None,
        message_bytes_max: u64::MAX,
        rtp: rtp::tests::terms([config::Srtp::Offer, config::Srtp::None]),
    }
}

pub(super) fn points(access: &str, core: &str) -> Vec<MsrpPoint> {
    vec![point(Realm::Access, Transport::Tcp, access), point(Realm::Core, Transport::Tcp, core)]
}

/// `sdp` as the body of a message.
fn message_with(sdp: &[u8]) -> Vec<u8> {
    let head = format!(
        "INVITE sip:a@b SIP/2.0\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n",
        sdp.len()
    );
    [head.as_bytes(), sdp].concat()
}

/// Runs `edit` over a message around `sdp`; gives what it returned and the body that comes out.
fn edited<T>(
    sdp: &[u8],
    edit: impl FnOnce(Message<'_>, SdpPlace, &mut EditList) -> Result<T, Cause>,
) -> Result<(T, Vec<u8>), Cause> {
    let bytes = message_with(sdp);
    let mut index = sip::Index::default();
    let message = sip::parse(&bytes, &sip::Limits::default(), &mut index).unwrap();
    let place = SdpPlace { body: message.body_span(), part_length: None };
    let mut edits = EditList::new();
    let got = edit(message, place, &mut edits)?;
    sip::edit::fit_content_length(message, &mut edits);
    let mut out = Vec::new();
    edits.gather(&bytes, &mut out).unwrap();
    let mut index = sip::Index::default();
    let again = sip::parse(&out, &sip::Limits::default(), &mut index).unwrap();
    let length = again.content_length().unwrap();
    assert_eq!(length, Some(again.body().len() as u32), "Content-Length");
    Ok((got, again.body().to_vec()))
}

thread_local! {
    /// What the last offer was made of: its answer is made of the same.
    static OFFICE: RefCell<Office> = RefCell::new(Office::new());
}

pub(super) fn offer(sdp: &[u8], by: Realm, terms: &Terms<'_>) -> Result<(Offer, String), Cause> {
    let run = |m: Message<'_>, p, e: &mut EditList| {
        let mut office = Office::new();
        let offer = Offer::anchor(m, p, by, terms, &mut office.desk(), e);
        OFFICE.set(office);
        offer
    };
    edited(sdp, run).map(|(offer, body)| (offer, String::from_utf8(body).unwrap()))
}

pub(super) fn answer(offer: &Offer, sdp: &[u8], terms: &Terms<'_>) -> (Answer, String) {
    let run = |m: Message<'_>, p, e: &mut EditList| {
        OFFICE.with_borrow_mut(|office| offer.anchor_answer(m, p, terms, &mut office.desk(), e))
    };
    let (answer, body) = edited(sdp, run).unwrap();
    (answer, String::from_utf8(body).unwrap())
}

pub(super) fn id(n: usize) -> Option<MediaId> {
    Some(MediaId { slot: n as u32, generation: 0 })
}

macro_rules! pair {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/vectors/pairs/", $name))
    };
}

/// Vectors chat-offer and chat-answer: byte for byte, and the session that comes of it.
#[test]
fn a_chat_that_the_ue_offers() {
    let points = points("182.3.1.7:40410", "182.2.1.4:36514");
    let terms = terms(&points, Transport::Udp);
    let (offer, to_core) = offer(pair!("chat-offer.ue.sdp").as_bytes(), Realm::Access, &terms).unwrap();
    assert_eq!(to_core, pair!("chat-offer.core.sdp"));
    let (answer, to_ue) = answer(&offer, pair!("chat-answer.core.sdp").as_bytes(), &terms);
    assert_eq!(to_ue, pair!("chat-answer.ue.sdp"));
    let sessions = offer.sessions(Some(&answer), &terms, id).unwrap();
    assert_eq!(
        sessions.as_slice(),
        [MsrpSession {
            id: id(0).unwrap(),
            access: MsrpSide {
                local_path: "msrp://182.3.1.7:40410/hwK3zBbqenxBFB;tcp".into(),
                remote_path: Some("msrp://182.1.1.203:10110/10110;tcp".into()),
                opening: Opening::Listen,
                expect_source: Some(UE),
                ..MsrpSide::default()
            },
            core: MsrpSide {
                local_path: "msrp://182.2.1.4:36514/10110;tcp".into(),
                remote_path: Some("msrp://182.1.1.64:7654/hwK3zBbqenxBFB;tcp".into()),
                opening: Opening::Dial {
                    transport: Transport::Tcp,
                    peer: "182.1.1.64:7654".parse().unwrap(),
                },
                expect_source: None,
                ..MsrpSide::default()
            },
            idle_max: Duration::from_secs(600),
            message_bytes_max: u64::MAX,
            call_id: terms.rtp.call_id.clone(),
            user: terms.user,
            content: [None, None],
        }]
    );
}

/// Vectors term-offer and term-answer; the session is reserved before the answer is known.
#[test]
fn a_chat_that_the_core_offers() {
    let points = points("182.3.1.7:40408", "182.2.1.4:36516");
    let terms = terms(&points, Transport::Udp);
    let (offer, to_ue) = offer(pair!("term-offer.core.sdp").as_bytes(), Realm::Core, &terms).unwrap();
    assert_eq!(to_ue, pair!("term-offer.ue.sdp"));
    let reserved = offer.sessions(None, &terms, id).unwrap();
    assert_eq!(reserved[0].access.remote_path, None);
    assert_eq!(reserved[0].access.local_path, "msrp://182.3.1.7:40408/hw9WXfVRvWfAXj;tcp");
    let (answer, to_core) = answer(&offer, pair!("term-answer.ue.sdp").as_bytes(), &terms);
    assert_eq!(to_core, pair!("term-answer.core.sdp"));
    let committed = offer.sessions(Some(&answer), &terms, id).unwrap();
    assert_eq!(committed[0].core.local_path, "msrp://182.2.1.4:36516/10210;tcp");
    assert_eq!(
        committed[0].core.opening,
        Opening::Dial { transport: Transport::Tcp, peer: "182.1.1.64:7654".parse().unwrap() }
    );
    let mut commands = Vec::new();
    reconcile(&reserved, &committed, Cause::Bye, &mut commands);
    assert_eq!(commands, [MediaCommand::Msrp(Box::new(committed[0].clone()))]);
}

pub(super) fn sdp(media: &str) -> Vec<u8> {
    format!("v=0\r\no=a 1 2 IN IP4 10.0.0.1\r\ns=\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n{media}").into_bytes()
}

pub(super) const MSRP: &str =
    "m=message 9 TCP/MSRP *\r\na=setup:active\r\na=path:msrp://10.0.0.1:9/x;tcp\r\n";
const MSRPS: &str = "m=message 9 TCP/TLS/MSRP *\r\na=setup:active\r\na=fingerprint:SHA-1 AA\r\n\
                     a=path:msrps://10.0.0.1:9/x;tcp\r\n";
const AUDIO: &str = "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

#[test]
fn other_media_are_refused_beside_msrp_and_alone() {
    const BFCP: &str = "m=application 4000 UDP/BFCP *\r\na=floorctrl:c-s\r\n";
    let points = points("192.0.2.7:2855", "192.0.2.8:2955");
    let terms = terms(&points, Transport::Udp);
    let both = sdp(&format!("{BFCP}{MSRP}"));
    let (mixed, out) = offer(&both, Realm::Access, &terms).unwrap();
    assert!(out.contains("m=application 0 UDP/BFCP *\r\n"), "{out}");
    assert_eq!(mixed.msrp_count(), 1);
    assert!(!out.contains("10.0.0.1"), "no address of the UE: {out}");
    // The answer keeps the order of the offer's media (RFC 3264 §6).
    let (answered, out) = answer(&mixed, &both, &terms);
    assert!(out.contains("m=application 0 UDP/BFCP *\r\n"), "{out}");
    assert_eq!(mixed.sessions(Some(&answered), &terms, id).unwrap().len(), 1);
    for by in [Realm::Access, Realm::Core] {
        assert_eq!(offer(&sdp(BFCP), by, &terms).err(), Some(Cause::NotAcceptableMedia));
    }
    let (off, _) = offer(&sdp("m=message 0 TCP/MSRP *\r\n"), Realm::Access, &terms).unwrap();
    assert_eq!(off.msrp_count(), 0);
}

/// A call and a chat in one description: each medium has what it needs.
#[test]
fn audio_beside_msrp() {
    let points = points("192.0.2.7:2855", "192.0.2.8:2955");
    let terms = terms(&points, Transport::Udp);
    let both = sdp(&format!("{AUDIO}{MSRP}"));
    let (mixed, out) = offer(&both, Realm::Access, &terms).unwrap();
    assert_eq!((mixed.msrp_count(), mixed.rtp_count()), (1, 1));
    assert!(out.contains("c=IN IP4 198.51.100.1\r\nt=0 0\r\nm=audio 20"), "{out}");
    assert!(out.contains("m=message 2955 TCP/MSRP *\r\nc=IN IP4 192.0.2.8\r\n"), "{out}");
    let (answered, out) = answer(&mixed, &both, &terms);
    assert!(out.contains("c=IN IP4 203.0.113.1\r\nt=0 0\r\nm=audio 10"), "{out}");
    assert!(out.contains("m=message 2855 TCP/MSRP *\r\nc=IN IP4 192.0.2.7\r\n"), "{out}");
    assert_eq!(mixed.sessions(Some(&answered), &terms, id).unwrap().len(), 1);
    OFFICE.with_borrow(|office| {
        let orders = mixed.rtp_orders(Some(&answered), &terms, &office.legs);
        assert_eq!(orders.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0]);
    });
}

#[test]
fn what_cannot_be_read_is_refused() {
    let points = points("192.0.2.7:2855", "192.0.2.8:2955");
    let terms = terms(&points, Transport::Udp);
    for body in [
        b"v=0\r\nm=message 9 TCP/MSRP *\r\n".to_vec(),
        sdp("m=message 9 TCP/MSRP *\r\na=path:sip:x\r\n"),
        sdp("m=message x TCP/MSRP *\r\n"),
        sdp(&format!("{MSRP}--jXfWUFcrCxZEXdN\r\nContent-Type: x/y\r\n")), // quirk q02
    ] {
        assert_eq!(offer(&body, Realm::Access, &terms).err(), Some(Cause::BadSdp));
    }
}

#[test]
fn a_refused_answer_makes_no_session() {
    let points = points("192.0.2.7:2855", "192.0.2.8:2955");
    let terms = terms(&points, Transport::Udp);
    let (offer, _) = offer(&sdp(MSRP), Realm::Access, &terms).unwrap();
    for media in ["m=message 0 TCP/MSRP *\r\n", "m=message 9 TCP/MSRP *\r\n", ""] {
        let (answer, out) = answer(&offer, &sdp(media), &terms);
        assert!(offer.sessions(Some(&answer), &terms, id).unwrap().is_empty());
        assert!(!out.contains("m=message 9"), "{out}");
    }
}

/// R67 and RFC 4975 §5.4: who connects on the core side.
#[test]
fn the_core_side_opens_as_the_core_says() {
    let points = points("192.0.2.7:2855", "192.0.2.8:2955");
    let terms = terms(&points, Transport::Udp);
    let with = |setup: &str| sdp(&MSRP.replace("a=setup:active\r\n", setup));
    for (core_said, in_answer, dials) in [
        ("a=setup:actpass\r\n", "a=setup:active", true),
        ("a=setup:passive\r\n", "a=setup:active", true),
        ("a=setup:active\r\n", "a=setup:passive", false),
        ("", "a=setup:passive", false),
    ] {
        let (offer, to_ue) = offer(&with(core_said), Realm::Core, &terms).unwrap();
        assert!(to_ue.contains("a=setup:actpass"), "{core_said}");
        let (answer, to_core) = answer(&offer, &sdp(MSRP), &terms);
        assert!(to_core.contains(in_answer), "{core_said}");
        let sessions = offer.sessions(Some(&answer), &terms, id).unwrap();
        let opening = sessions[0].core.opening;
        assert_eq!(matches!(opening, Opening::Dial { .. }), dials, "{core_said}");
        assert_eq!(sessions[0].core.expect_source.is_some(), !dials, "{core_said}");
    }
    for (core_said, dials) in [("a=setup:passive\r\n", true), ("", true), ("a=setup:active\r\n", false)] {
        let (offer, to_core) = offer(&sdp(MSRP), Realm::Access, &terms).unwrap();
        assert!(to_core.contains("a=setup:active"));
        let (answer, to_ue) = answer(&offer, &with(core_said), &terms);
        assert!(to_ue.contains("a=setup:passive"), "{to_ue}");
        let sessions = offer.sessions(Some(&answer), &terms, id).unwrap();
        assert_eq!(sessions[0].access.opening, Opening::Listen);
        assert_eq!(matches!(sessions[0].core.opening, Opening::Dial { .. }), dials, "{core_said}");
    }
}

#[test]
fn tls_ends_at_the_edge_on_either_side() {
    let mut points = points("192.0.2.7:2855", "192.0.2.8:2955");
    let plain = terms(&points, Transport::Tls);
    assert_eq!(
        offer(&sdp(MSRPS), Realm::Access, &plain).err(),
        Some(Cause::NotAcceptableMedia),
        "without a TLS listener there is nothing to promise"
    );
    points.push(point(Realm::Access, Transport::Tls, "192.0.2.7:2856"));
    let terms = terms(&points, Transport::Tls);
    let (by_ue, to_core) = offer(&sdp(MSRPS), Realm::Access, &terms).unwrap();
    assert!(to_core.contains("m=message 2955 TCP/MSRP *"), "{to_core}");
    assert!(to_core.contains("a=path:msrp://192.0.2.8:2955/x;tcp"), "{to_core}");
    assert!(!to_core.contains("fingerprint"), "{to_core}");
    let (_, to_ue) = answer(&by_ue, &sdp(MSRP), &terms);
    assert!(to_ue.contains("m=message 2856 TCP/TLS/MSRP *"), "{to_ue}");
    assert!(to_ue.contains("a=path:msrps://192.0.2.7:2856/x;tcp"), "{to_ue}");
    // A UE whose signalling is secured is offered secured media.
    let (_, to_ue) = offer(&sdp(MSRP), Realm::Core, &terms).unwrap();
    assert!(to_ue.contains("m=message 2856 TCP/TLS/MSRP *"), "{to_ue}");
    // A UE that offers plain media is answered plainly.
    let (by_ue, _) = offer(&sdp(MSRP), Realm::Access, &terms).unwrap();
    let (_, to_ue) = answer(&by_ue, &sdp(MSRP), &terms);
    assert!(to_ue.contains("m=message 2855 TCP/MSRP *"), "{to_ue}");
}

#[test]
fn a_ue_on_ipv6_is_told_an_ipv6_address() {
    let mut points = points("192.0.2.7:2855", "192.0.2.8:2955");
    points.push(point(Realm::Access, Transport::Tcp, "[2001:db8::7]:2855"));
    let mut terms = terms(&points, Transport::Tcp);
    terms.ue = "2001:db8::99".parse().unwrap();
    let (_, to_ue) = offer(&sdp(MSRP), Realm::Core, &terms).unwrap();
    assert!(to_ue.contains("c=IN IP6 2001:db8::7\r\n"), "{to_ue}");
    assert!(to_ue.contains("a=path:msrp://[2001:db8::7]:2855/x;tcp\r\n"), "{to_ue}");
}

/// R66: of several hops only the one next to the edge changes; the relay is told the whole path.
#[test]
fn a_path_of_several_hops_keeps_the_others() {
    let points = points("192.0.2.7:2855", "192.0.2.8:2955");
    let terms = terms(&points, Transport::Udp);
    let two = MSRP.replace(";tcp", ";tcp msrp://10.0.0.2:7/y;tcp");
    let (offer, to_ue) = offer(&sdp(&two), Realm::Core, &terms).unwrap();
    assert!(to_ue.contains("a=path:msrp://192.0.2.7:2855/x;tcp msrp://10.0.0.2:7/y;tcp\r\n"), "{to_ue}");
    let sessions = offer.sessions(None, &terms, id).unwrap();
    assert_eq!(
        sessions[0].core.remote_path.as_deref(),
        Some(&b"msrp://10.0.0.1:9/x;tcp msrp://10.0.0.2:7/y;tcp"[..])
    );
}

#[test]
fn a_name_in_the_path_is_reached_by_the_connection_line() {
    let points = points("192.0.2.7:2855", "192.0.2.8:2955");
    let terms = terms(&points, Transport::Udp);
    let named = MSRP.replace("msrp://10.0.0.1:9", "msrp://as.example.net:9");
    let (offer, _) = offer(&sdp(&named.replace("active", "actpass")), Realm::Core, &terms).unwrap();
    let sessions = offer.sessions(None, &terms, id).unwrap();
    assert_eq!(
        sessions[0].core.opening,
        Opening::Dial { transport: Transport::Tcp, peer: "10.0.0.1:9".parse().unwrap() }
    );
}

#[test]
fn more_media_than_the_cap_are_refused_and_a_full_table_is_said_so() {
    let points = points("192.0.2.7:2855", "192.0.2.8:2955");
    let terms = terms(&points, Transport::Udp);
    let (offer, out) = offer(&sdp(&MSRP.repeat(LINES_MAX + 2)), Realm::Access, &terms).unwrap();
    assert_eq!(offer.msrp_count(), LINES_MAX);
    assert_eq!(out.matches("m=message 0 ").count(), 2);
    let none = offer.sessions(None, &terms, |_| None);
    assert_eq!(none.err(), Some(Cause::TableFull));
}

#[test]
fn a_session_that_is_gone_is_released() {
    let points = points("192.0.2.7:2855", "192.0.2.8:2955");
    let terms = terms(&points, Transport::Udp);
    let (offer, _) = offer(&sdp(&MSRP.repeat(2)), Realm::Core, &terms).unwrap();
    let two = offer.sessions(None, &terms, id).unwrap();
    let mut commands = Vec::new();
    reconcile(&two, &two[..1], Cause::Bye, &mut commands);
    assert_eq!(commands, [MediaCommand::Release { id: id(1).unwrap(), cause: Cause::Bye }]);
}

const LINES: [&str; 51] = [
    "v=0",
    "o=a 1 2 IN IP4 10.0.0.1",
    "s=x",
    "c=IN IP4 10.0.0.1",
    "c=IN IP6 2001:db8::bad",
    "t=0 0",
    "m=message 9 TCP/MSRP *",
    "m=message 9 TCP/TLS/MSRP *",
    "m=message 0 TCP/MSRP *",
    "m=audio 4000 RTP/AVP 0",
    "a=setup:active",
    "a=setup:passive",
    "a=setup",
    "a=path:msrp://10.0.0.1:9/x;tcp",
    "a=path:msrps://10.0.0.1:9/y;tcp",
    "a=path:10.0.0.1",
    "a=path",
    "a=fingerprint:SHA-1 AA",
    "a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF",
    "a=fingerprint:sha-256 00",
    "a=msrp-cema",
    "a=path:msrp://192.0.2.7:2855/g;tcp msrp://h.example:9/x;ws",
    "a=path:msrp://10.0.0.1:9/x;ws",
    "a=candidate:1 1 UDP 1 10.0.0.1 9 typ host",
    "a=rtcp:53 IN IP4 10.0.0.1",
    "a=sendrecv",
    "b=AS:1",
    "i=of 10.0.0.1",
    "u=http://host.bad.example/",
    "k=clear:secret",
    "z=0 0",
    "c=IN IP4 0.0.0.0",
    "c=IN IP4 host.bad.example",
    "m=audio 5000 RTP/SAVP 0 8 101",
    "m=video 6000 UDP/TLS/RTP/SAVPF 96",
    "m=audio 5000/2 RTP/AVP 0",
    "m=audio 5000 RTP/AVP 0",
    "m=video 0 RTP/AVP 34",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20",
    "a=crypto:2 AEAD_AES_128_GCM inline:AAECAwQFBgcICQoLDA0OD6ChoqOkpaanqKmqqw==",
    "a=fingerprint:sha-256 \
     00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F",
    "a=rtcp-mux",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:0123456789012345678901",
    "a=group:BUNDLE 0 1",
    "a=unknown:thing of 10.0.0.1:5",
    "a=unknown:[2001:db8::bad]",
    "a=ssrc:1 cname:me@host.bad.example",
    "a=rtpmap:96 H264/90000",
    "a=altc:1 IP6 2001:db8::bad 7",
    "a=setup:actpass",
];

/// What names the writer of such a description, or is secret between it and us.
const FOREIGN: [&str; 4] = ["10.0.0.1", "2001:db8::bad", "k=clear", "inline:WVNfX"];

proptest::proptest! {
    /// Whatever stands in a description, in whatever order and how often: no two changes want the same
    /// bytes, what comes out can be read, and no address of the far end is left in what is anchored.
    #[test]
    fn any_description_is_refused_or_anchored_whole(
        lines in proptest::collection::vec(0..LINES.len(), 0..24),
        by_core: bool,
        secure: bool,
    ) {
        let mut points = points("192.0.2.7:2855", "192.0.2.8:2955");
        points.push(point(Realm::Access, Transport::Tls, "192.0.2.7:2856"));
        points.push(MsrpPoint { websocket: true, ..point(Realm::Access, Transport::Tcp, "192.0.2.7:2857") });
        let terms = terms(&points, if secure { Transport::Tls } else { Transport::Udp });
        let by = if by_core { Realm::Core } else { Realm::Access };
        let text: String = core::iter::once(0).chain(lines).map(|n| format!("{}\r\n", LINES[n])).collect();
        let Ok((offer, out)) = offer(text.as_bytes(), by, &terms) else { return Ok(()) };
        Sdp::parse(out.as_bytes()).unwrap();
        let foreign = |out: &str| FOREIGN.iter().any(|own| out.contains(own));
        proptest::prop_assert!(!foreign(&out), "{}\n->\n{}", text, out);
        let (answered, out) = answer(&offer, text.as_bytes(), &terms);
        Sdp::parse(out.as_bytes()).unwrap();
        proptest::prop_assert!(!foreign(&out), "{}\n->\n{}", text, out);
        let sessions = offer.sessions(Some(&answered), &terms, id).unwrap();
        proptest::prop_assert_eq!(sessions.len(), offer.msrp_count());
    }

    #[test]
    fn hostile_descriptions_never_panic(bytes: Vec<u8>) {
        let points = points("192.0.2.7:2855", "192.0.2.8:2955");
        let hostile = [b"v=0\r\nm=message 9 TCP/MSRP *\r\na=path:", &bytes[..]].concat();
        for body in [&bytes, &hostile] {
            let run = |m: Message<'_>, p, e: &mut EditList| {
                let desk = &mut Office::new();
                Offer::anchor(m, p, Realm::Access, &terms(&points, Transport::Udp), &mut desk.desk(), e)
            };
            if !body.is_empty() {
                let _ = edited(body, run);
            }
        }
    }
}
