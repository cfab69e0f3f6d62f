//! MSRP sessions signalled by SIPp, between ends that share no code with the edge, and with Kamailio's `msrp`
//! relay chained behind it; every stream is captured and dissected by tshark.

#![allow(clippy::unwrap_used)]

use gatehouse_tests::capture::Capture;
use gatehouse_tests::edge::{Edge, Settings};
use gatehouse_tests::eventually;
use gatehouse_tests::msrp::{End, Message, ok, send};
use gatehouse_tests::place::Place;
use gatehouse_tests::process::{Process, find};
use gatehouse_tests::script::{Answer, Script, ue_sends};
use gatehouse_tests::sipp::{Sipp, Stand};
use lab::auth::digest::{Algorithm, Inputs, QopAuth, response};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

/// A chat that SIPp set up, and where its two ends stand.
struct Chat {
    edge: Edge,
    sides: [Sipp; 2],
    ue: End,
    /// What the UE writes into To-Path.
    to: String,
    server: TcpListener,
}

/// The UE's own URI in figure 5-50, behind its NAT.
const UE: &str = "msrp://182.1.1.203:10110/10110;tcp";
/// Where the messaging server stands in the core.
const SERVER_PORT: u16 = 7654;
/// Where the edge and Kamailio serve MSRP; the edge has two shards.
const PORTS: [u16; 3] = [2_855, 2_856, SERVER_PORT];

/// The UE invites by SIPp; the core, SIPp as well, answers with `path` (in which `[local_ip]` is its own
/// address) and waits for the BYE. Returns once the UE's first SEND, an empty one, was answered 200.
fn chat(
    place: &Place,
    stands: [IpAddr; 2],
    server: TcpListener,
    path: &str,
    to: impl Fn(SocketAddr) -> String,
) -> Chat {
    let [core, ue] = stands;
    let sdp = format!(
        "v=0\no=- 33554432 0 IN IP4 [local_ip]\ns=-\nc=IN IP4 [local_ip]\nt=0 0\nm=message {SERVER_PORT} TCP/MSRP *\n\
         a=accept-types:text/* message/*\na=path:{path}\na=sendrecv\na=setup:passive\n"
    );
    let script = Script::registered("chat");
    let answer = Answer::new(200, "OK").describing(&sdp);
    let (mut script, dialog) = script.ue_opens("chat-01-invite", &ue_sends("chat-01-invite"), &answer);
    script.ue = script.ue.pause(9_000);
    script = script.ue_asks(&dialog.from_ue("BYE", 2, "", ""), &Answer::new(200, "OK"));
    let stand = Stand { name: "core", transport: "udp", address: core, remote: None };
    let core_side = Sipp::start(place, stand, script.core.clone());
    let edge = Edge::start(place, SocketAddr::new(core, 5060));
    let stand = Stand { name: "ue", transport: "udp", address: ue, remote: Some(edge.access("udp")) };
    let ue_side = Sipp::start(place, stand, script.ue.clone());
    // Which shard has the session is said in the SDP that SIPp got; the others know nothing of it.
    let (end, to) = eventually("an answer to the first SEND", || {
        [2_855, 2_856].into_iter().find_map(|port| {
            let at = SocketAddr::new(edge.access_address(), port);
            let to = to(at);
            let mut end = End::connect(ue, at);
            end.send(&send("first001", &to, UE, None));
            let answer = end.read()?;
            (answer.word() == "200").then_some((end, to))
        })
    });
    Chat { edge, sides: [ue_side, core_side], ue: end, to, server }
}

/// Answers the empty SEND that binds a session, and hands the connection over.
fn bound(server: &TcpListener) -> std::thread::JoinHandle<End> {
    let server = server.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut end = End::over(server.accept().unwrap().0);
        let first = end.read().unwrap();
        assert_eq!((first.word(), first.body.len()), ("SEND", 0), "the empty SEND goes through: {first:?}");
        end.send(&ok(&first));
        end
    })
}

/// Bodies that come close to an end-line, in every way that a body can.
fn near_misses(id: &str) -> Vec<Vec<u8>> {
    [
        format!("x-------{id}$"),
        format!("\r\n-------{id}"),
        format!("\r\n-------{id}$\r"),
        format!("\r\n------{id}$\r\n"),
        format!("\r\n--------{id}$\r\n"),
        format!("\r\n-------{}$\r\n", id.to_uppercase()),
        format!("\r\n-------{id}x$\r\n"),
        format!("\r\n-------{id}!\r\n"),
        format!("\n-------{id}$\n"),
        "\r\n\r\n\r\n-------".to_owned(),
        "MSRP fake SEND\r\nTo-Path: msrp://x:1/y;tcp\r\n\r\n-------fake$\r\n".to_owned(),
        String::new(),
    ]
    .map(String::into_bytes)
    .to_vec()
}

fn is_same(message: &Message, id: &str, body: &[u8]) {
    assert_eq!((message.word(), message.id(), message.flag), ("SEND", id, '$'));
    assert!(message.body == body, "{id}: {} became {}", body.escape_ascii(), message.body.escape_ascii());
}

fn metric(edge: &Edge, series: &str) -> u64 {
    let text = edge.metrics();
    let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
    text.lines().find_map(value).unwrap_or_else(|| panic!("no {series} in {text}"))
}

fn finish(mut chat: Chat) {
    for side in &mut chat.sides {
        side.finish();
    }
    // The BYE released the session, and the relay closed what carried it.
    assert_eq!(chat.ue.read(), None, "closed with the call");
    eventually("no session left", || (metric(&chat.edge, "gatehouse_msrp_sessions") == 0).then_some(()));
}

#[test]
fn a_chat_of_independent_ends_passes_byte_for_byte_and_tshark_finds_no_fault() {
    let place = Place::new("msrp-chat");
    let (core, ue) = (place.address(), place.address());
    let server = TcpListener::bind((core, SERVER_PORT)).unwrap();
    let capture = Capture::start(&place, &[core, ue]);
    let path = format!("msrp://[local_ip]:{SERVER_PORT}/hwK3zBbqenxBFB;tcp");
    let server_side = bound(&server);
    let mut chat = chat(&place, [core, ue], server, &path, |at| format!("msrp://{at}/hwK3zBbqenxBFB;tcp"));
    let mut server = server_side.join().unwrap();
    // One at a time, small and large: frames beyond 14 KB are where others stop.
    for (n, size) in [1, 100, 14_000, 16_384, 65_536, 1_000_000].into_iter().enumerate() {
        let (id, body) = (format!("size{n:04}"), vec![b'a' + n as u8; size]);
        chat.ue.send(&send(&id, &chat.to, UE, Some(&body)));
        let got = server.read().unwrap();
        is_same(&got, &id, &body);
        server.send(&ok(&got));
        let answer = chat.ue.read().unwrap();
        assert_eq!((answer.word(), answer.id()), ("200", id.as_str()));
        assert_eq!(answer.header("From-Path"), Some(chat.to.as_str()));
        assert_eq!(answer.header("To-Path"), Some(UE));
    }
    // Several in one write, with what looks like their ends in them.
    let bodies = near_misses("near0007");
    let all: Vec<u8> = bodies.iter().flat_map(|body| send("near0007", &chat.to, UE, Some(body))).collect();
    chat.ue.send(&all);
    for body in &bodies {
        let got = server.read().unwrap();
        is_same(&got, "near0007", body);
        server.send(&ok(&got));
        assert_eq!(chat.ue.read().unwrap().word(), "200");
    }
    // And torn: each octet by itself.
    let torn = send("torn0008", &chat.to, UE, Some(b"\r\n-------torn0008-\r\n"));
    for octet in &torn {
        chat.ue.send(core::slice::from_ref(octet));
    }
    let got = server.read().unwrap();
    is_same(&got, "torn0008", b"\r\n-------torn0008-\r\n");
    // The other way; the server knows the UE by the path that the edge gave it.
    let to = got.header("From-Path").unwrap().to_owned();
    let from = format!("msrp://{core}:{SERVER_PORT}/hwK3zBbqenxBFB;tcp");
    for (n, body) in near_misses("back0009").iter().enumerate() {
        server.send(&send("back0009", &to, &from, Some(body)));
        let got = chat.ue.read().unwrap();
        is_same(&got, "back0009", body);
        assert_eq!(got.header("To-Path"), Some(UE), "{n}");
        assert_eq!(got.header("From-Path"), Some(chat.to.as_str()));
        chat.ue.send(&ok(&got));
        assert_eq!(server.read().unwrap().word(), "200");
    }
    finish(chat);
    let dissection = capture.dissect(&PORTS);
    assert_eq!(dissection.errors, Vec::<String>::new());
    assert!(dissection.messages > 100, "{} segments of MSRP", dissection.messages);
}

/// Kamailio with its `msrp` module. (It frames bodies by what looks like an end-line, so none of those is sent
/// through it.)
fn relay_of_the_core(place: &Place, relay: IpAddr) -> Process {
    let directory = place.directory().to_string_lossy().into_owned();
    let listen = format!("LISTEN=tcp:{relay}:2855");
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/kamailio-msrp.cfg");
    let pid_file = place.file("kamailio.pid").to_string_lossy().into_owned();
    let args = ["-DD", "-E", "-m", "64", "-M", "16", "-f", config, "-A", &listen];
    let args = [&args[..], &["-w", &directory, "-Y", &directory, "-P", &pid_file]].concat();
    let kamailio = Process::start(&find("kamailio", "kamailio"), &args, place.file("kamailio.log"));
    eventually("Kamailio's relay", || TcpStream::connect((relay, 2_855)).ok());
    kamailio
}

#[test]
fn a_session_whose_far_path_leads_through_kamailio_s_relay() {
    let place = Place::new("msrp-kamailio");
    let (core, ue, relay) = (place.address(), place.address(), place.address());
    let server = TcpListener::bind((core, SERVER_PORT)).unwrap();
    let _kamailio = relay_of_the_core(&place, relay);
    let capture = Capture::start(&place, &[core, ue, relay]);
    let path = format!("msrp://{relay}:2855/chained;tcp msrp://[local_ip]:{SERVER_PORT}/hwK3zBbqenxBFB;tcp");
    // The UE sees a hop of ours, and behind it the server: it writes what its SDP said.
    let behind = format!("msrp://{core}:{SERVER_PORT}/hwK3zBbqenxBFB;tcp");
    let mut chat = chat(&place, [core, ue], server, &path, |at| format!("msrp://{at}/chained;tcp {behind}"));
    let (stream, _) = chat.server.accept().unwrap();
    let mut server = End::over(stream);
    let first = server.read().unwrap();
    assert_eq!((first.word(), first.body.len()), ("SEND", 0), "the empty SEND reaches the server");
    // Kamailio answers its hop, so the 200 is there before the server said anything.
    for n in 0..40 {
        let (id, body) = (format!("many{n:04}"), vec![b'k'; 10_000]);
        chat.ue.send(&send(&id, &chat.to, UE, Some(&body)));
        let answer = chat.ue.read().unwrap();
        assert_eq!((answer.word(), answer.id()), ("200", id.as_str()));
        let got = server.read().unwrap();
        is_same(&got, &id, &body);
        let from = got.header("From-Path").unwrap();
        assert!(from.starts_with(&format!("msrp://{relay}:2855/chained;tcp msrp://")), "{from}");
        assert!(from.contains(&format!("{}", chat.edge.core_address())), "{from}");
        server.send(&ok(&got));
    }
    finish(chat);
    let dissection = capture.dissect(&PORTS);
    assert_eq!(dissection.errors, Vec::<String>::new());
    assert!(dissection.messages > 100, "{} segments of MSRP", dissection.messages);
}

/// An AUTH with these fields, and its answer.
fn auth(ue: &mut End, to: &str, fields: &str) -> Message {
    let head = format!("MSRP auth0001 AUTH\r\nTo-Path: {to}\r\nFrom-Path: {UE}\r\n{fields}");
    ue.send(format!("{head}-------auth0001$\r\n").as_bytes());
    ue.read().unwrap()
}

/// Alice's answer to a challenge.
fn proof(challenge: &str, to: &str, password: &str) -> String {
    let nonce = challenge.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let (nc, cnonce) = ("00000001", "0a4f113b");
    let inputs = Inputs {
        username: "alice",
        realm: "ims.example.net",
        password: password.as_bytes(),
        method: "AUTH",
        uri: to,
        nonce,
        qop: Some(QopAuth { nc, cnonce }),
        session_cnonce: cnonce,
    };
    let response = response(Algorithm::Md5, &inputs);
    format!(
        "Authorization: Digest username=\"alice\", realm=\"ims.example.net\", nonce=\"{nonce}\", qop=auth, \
         nc={nc}, cnonce=\"{cnonce}\", response=\"{response}\"\r\n"
    )
}

/// RFC 4976: a UE asks the edge for a relay, and sends through it, through Kamailio, to a server.
#[test]
fn a_ue_that_asks_for_a_relay_sends_through_two_of_them() {
    let place = Place::new("msrp-auth");
    let (core, ue, relay) = (place.address(), place.address(), place.address());
    let server = TcpListener::bind((core, SERVER_PORT)).unwrap();
    let _kamailio = relay_of_the_core(&place, relay);
    let users = place.write("users", "# htdigest\nalice:ims.example.net:da996ffa79cab24719ed5bf037a9876d\n");
    let sections = format!(
        "[msrp_relay]\nusers_file = \"{}\"\ntls_only = false\nnext_hops = [\"{relay}\"]\n",
        users.display()
    );
    let settings = Settings { sections: &sections, ..Settings::default() };
    let edge = Edge::start_with(&place, SocketAddr::new(core, 5060), settings);
    let at = SocketAddr::new(edge.access_address(), 2_855);
    let capture = Capture::start(&place, &[core, ue, relay]);
    let to = format!("msrp://{at};tcp");
    let mut client = End::connect(ue, at);
    let challenge = auth(&mut client, &to, "");
    assert_eq!(challenge.word(), "401");
    let wrong = auth(&mut client, &to, &proof(challenge.header("WWW-Authenticate").unwrap(), &to, "blunder"));
    assert_eq!(wrong.word(), "401");
    let fields = proof(wrong.header("WWW-Authenticate").unwrap(), &to, "wonder");
    let granted = auth(&mut client, &to, &format!("Expires: 600\r\n{fields}"));
    assert_eq!((granted.word(), granted.header("Expires")), ("200", Some("600")), "{granted:?}");
    let replayed = auth(&mut client, &to, &fields);
    assert_eq!(replayed.word(), "401", "a proof is good for once");
    assert!(replayed.header("WWW-Authenticate").unwrap().ends_with("stale=true"));
    let grant = granted.header("Use-Path").unwrap();
    assert!(grant.starts_with(&format!("msrp://{at}/")), "{grant}");
    // Through both relays.
    let far = format!("msrp://{core}:{SERVER_PORT}/far;tcp");
    let path = format!("{grant} msrp://{relay}:2855/chained;tcp {far}");
    client.send(&send("chain001", &path, UE, Some(b"through two relays")));
    let answer = client.read().unwrap();
    assert_eq!((answer.word(), answer.id(), answer.header("From-Path")), ("200", "chain001", Some(grant)));
    let mut server = End::over(server.accept().unwrap().0);
    let got = server.read().unwrap();
    is_same(&got, "chain001", b"through two relays");
    assert_eq!(got.header("To-Path"), Some(far.as_str()));
    let from = format!("msrp://{relay}:2855/chained;tcp {grant} {UE}");
    assert_eq!(got.header("From-Path"), Some(from.as_str()));
    // Nobody else sends through the grant, and it leads nowhere that is not allowed.
    let mut thief = End::connect(ue, at);
    thief.send(&send("thief001", &path, UE, Some(b"x")));
    assert_eq!(thief.read().unwrap().word(), "403");
    client.send(&send("there001", &format!("{grant} {far}"), UE, Some(b"x")));
    assert_eq!(client.read().unwrap().word(), "403");
    eventually("the session of the grant", || (metric(&edge, "gatehouse_msrp_sessions") == 1).then_some(()));
    let dissection = capture.dissect(&PORTS);
    assert_eq!(dissection.errors, Vec::<String>::new());
    assert!(dissection.messages > 10);
}
