//! The torture messages of RFC 4475 and RFC 5118 through the edge: a registered UE sends each of them,
//! and what the core and the UE get is what the RFC asks of a proxy.

#![allow(missing_docs)]

use config::Config;
use core::net::SocketAddr;
use edge::api::SipPoint;
use edge::{Action, Edge, Event, Outbox, ShardContext};
use sip::{HeaderId, Index, Limits, Message, parse, write};
use std::sync::Arc;
use wire::{Hop, Instant, NetAction, NetEvent, Realm, ShardId, SocketId, Transport};

include!("../../../tests/torture/expected.rs");

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/torture/");
const UE: &str = "192.0.2.1:5060";
const CORE: &str = "127.0.0.1:5070";
const ACCESS_SOCKET: SocketId = SocketId(0);
const CORE_SOCKET: SocketId = SocketId(1);

/// What the edge does otherwise than a plain proxy, and the rule that makes it so.
const OWN_RULES: [(&str, Proxy, &str); 12] = [
    ("rfc4475/invut", Proxy::Answer(400), "R39: a type that is not in the list"),
    ("rfc4475/wsinv", Proxy::Answer(481), DIALOG),
    ("rfc5118/via-received-param-with-delim", Proxy::Answer(481), DIALOG),
    ("rfc5118/mult-ip-in-header", Proxy::Answer(481), DIALOG),
    ("rfc4475/esc01", Proxy::Answer(488), MEDIA),
    ("rfc4475/longreq", Proxy::Answer(488), MEDIA),
    ("rfc4475/baddate", Proxy::Answer(488), MEDIA),
    ("rfc4475/sdp01", Proxy::Answer(488), MEDIA),
    ("rfc4475/inv2543", Proxy::Answer(488), MEDIA),
    ("rfc5118/ipv6-in-sdp", Proxy::Answer(488), MEDIA),
    ("rfc5118/mult-ip-in-sdp", Proxy::Answer(488), MEDIA),
    ("rfc5118/ipv4-mapped-ipv6", Proxy::Answer(488), MEDIA),
];

const DIALOG: &str = "the edge keeps dialogs, and this request belongs to none of them";
const MEDIA: &str = "media pass through the edge (R65), and it relays MSRP only: audio and video are refused";

/// An edge with one UE registered, owner of every identity that a torture message comes from.
struct Bench {
    edge: Edge,
    out: Outbox,
}

/// What left the edge: to the core, to the UE.
#[derive(Debug, Default)]
struct Sent {
    core: Vec<Vec<u8>>,
    ue: Vec<Vec<u8>>,
}

impl Bench {
    fn new() -> Self {
        let point = |realm, socket, bound: &str| SipPoint {
            realm,
            transport: Transport::Udp,
            socket: Some(socket),
            bound: bound.parse().expect("an address"),
            advertised: bound.into(),
        };
        let context = ShardContext {
            shard: ShardId(0),
            sip: vec![
                point(Realm::Access, ACCESS_SOCKET, "198.51.100.6:5060"),
                point(Realm::Core, CORE_SOCKET, "127.0.0.1:5080"),
            ],
            msrp: Vec::new(),
            rtp: Vec::new(),
            rtp_fingerprint: None,
            token_key: [7; 32],
            seed: [9; 32],
        };
        let edge = Edge::new(Arc::new(Config::default()), context);
        let mut bench = Self { edge, out: Outbox::default() };
        bench.register();
        bench
    }

    fn register(&mut self) {
        let register = b"REGISTER sip:example.com SIP/2.0\r\n\
            Via: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bKregister\r\n\
            From: <sip:caller@example.net>;tag=1\r\nTo: <sip:caller@example.net>\r\n\
            Call-ID: register\r\nCSeq: 1 REGISTER\r\nMax-Forwards: 70\r\n\
            Contact: <sip:caller@192.0.2.1>\r\nContent-Length: 0\r\n\r\n";
        let sent = self.ue_sends(register);
        let identities = ["<sip:caller@example.net>".to_owned()]
            .into_iter()
            .chain(senders().into_iter().map(|uri| format!("<{uri}>")))
            .collect::<Vec<_>>()
            .join(", ");
        let mut index = Index::default();
        let at_core = parse(&sent.core[0], &Limits::default(), &mut index).expect("a REGISTER");
        let contact = at_core.value(HeaderId::Contact).expect("a Contact").to_vec();
        let contact = format!("{};expires=3600", String::from_utf8(contact).expect("plain text"));
        let mut answer = Vec::new();
        let extra = [("Contact", contact.as_bytes()), ("P-Associated-URI", identities.as_bytes())];
        write::response(at_core, 200, "OK", Some(b"core"), &extra, &mut answer);
        let sent = self.datagram(CORE_SOCKET, CORE, &answer);
        assert!(sent.ue[0].starts_with(b"SIP/2.0 200"), "{}", sent.ue[0].escape_ascii());
    }

    fn ue_sends(&mut self, bytes: &[u8]) -> Sent {
        self.datagram(ACCESS_SOCKET, UE, bytes)
    }

    fn datagram(&mut self, socket: SocketId, source: &str, bytes: &[u8]) -> Sent {
        let source = source.parse().expect("an address");
        self.out.clear();
        let event = Event::Net(NetEvent::Datagram { socket, source, bytes });
        self.edge.handle(event, Instant::from_micros(1), &mut self.out);
        let mut sent = Sent::default();
        for action in &self.out.actions {
            let Action::Net(NetAction::Send { hop: Hop::Datagram { socket, peer }, bytes }) = action else {
                continue;
            };
            let bytes = bytes.of(&self.out.bytes).to_vec();
            if *socket == CORE_SOCKET {
                assert_eq!(*peer, CORE.parse::<SocketAddr>().expect("an address"));
                sent.core.push(bytes);
            } else {
                sent.ue.push(bytes);
            }
        }
        sent
    }
}

fn file(case: &Case) -> Vec<u8> {
    std::fs::read(format!("{DIRECTORY}{}.sip", case.file)).expect("a file for each case")
}

/// The From URIs of all torture messages.
fn senders() -> Vec<String> {
    let mut senders: Vec<String> = CASES
        .iter()
        .filter_map(|case| {
            let bytes = file(case);
            let mut index = Index::default();
            let message = sip::salvage(&bytes, &Limits::default(), &mut index)?;
            Some(String::from_utf8_lossy(message.from().ok()?.uri).trim().to_owned())
        })
        .collect();
    senders.sort();
    senders.dedup();
    senders
}

fn status(answer: &[u8]) -> u16 {
    let mut index = Index::default();
    parse(answer, &Limits::default(), &mut index).map_or(0, Message::status)
}

fn outcome(sent: &Sent) -> Option<Proxy> {
    let answers: Vec<u16> = sent.ue.iter().map(|bytes| status(bytes)).filter(|s| *s != 100).collect();
    match (sent.core.len(), answers.as_slice()) {
        (1, []) => Some(Proxy::Forward),
        (0, [status]) => Some(Proxy::Answer(*status)),
        (0, []) => Some(Proxy::Discard),
        _ => None,
    }
}

#[test]
fn a_registered_ue_sends_every_torture_message() {
    let mut wrong = String::new();
    for case in CASES {
        let mut bench = Bench::new();
        let message = file(&case);
        let sent = bench.ue_sends(&message);
        let own = OWN_RULES.iter().find(|(file, ..)| *file == case.file);
        let expected = match own {
            Some((_, expected, _rule)) => *expected,
            // No transaction waits for a response here.
            None if message.starts_with(b"SIP/") => Proxy::Discard,
            None => case.proxy,
        };
        if outcome(&sent) != Some(expected) {
            let answer = sent.ue.iter().map(|bytes| bytes.escape_ascii().to_string()).collect::<Vec<_>>();
            wrong += &format!(
                "{} (§{}): {:?}, not {expected:?}: {}\n    {answer:?}\n",
                case.file,
                case.section,
                outcome(&sent),
                case.why
            );
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
