//! The rewriting pairs of the specification, byte for byte (R73, R74, R76), however the input is cut.

use super::*;

struct Pair {
    input: &'static [u8],
    output: &'static [u8],
    from: Realm,
    /// Ports and session-ids of the table in R65: edge and UE, server and edge.
    session: [&'static str; 4],
}

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!("../../../../../tests/vectors/msrp-", $name, ".msrp"))
    };
}

const CHAT: [&str; 4] = [
    "182.3.1.7:40410/hwK3zBbqenxBFB",
    "182.1.1.203:10110/10110",
    "182.1.1.64:7654/hwK3zBbqenxBFB",
    "182.2.1.4:36514/10110",
];
const TERM: [&str; 4] = [
    "182.3.1.7:40408/hw9WXfVRvWfAXj",
    "182.1.1.203:10210/10210",
    "182.1.1.64:7654/hw9WXfVRvWfAXj",
    "182.2.1.4:36516/10210",
];
const GROUP: [&str; 4] = [
    "182.3.1.7:41650/hwWS4d41Zg6kvz",
    "182.1.1.203:10110/10110",
    "182.1.1.64:7654/hwWS4d41Zg6kvz",
    "182.2.1.4:37730/10110",
];
const INVITED: [&str; 4] = [
    "182.3.1.7:41652/hwx0koFAZ0PVxc",
    "182.1.1.203:10210/10210",
    "182.1.1.64:7654/hwx0koFAZ0PVxc",
    "182.2.1.4:37732/10210",
];

const PAIRS: [Pair; 6] = [
    Pair {
        input: vector!("05-send-chat"),
        output: vector!("06-send-chat-core"),
        from: Realm::Access,
        session: CHAT,
    },
    Pair {
        input: vector!("07-200-chat-core"),
        output: vector!("08-200-chat-ue"),
        from: Realm::Core,
        session: CHAT,
    },
    Pair {
        input: vector!("09-send-chat-from-core"),
        output: vector!("10-send-chat-to-ue"),
        from: Realm::Core,
        session: TERM,
    },
    Pair {
        input: vector!("11-200-chat-from-ue"),
        output: vector!("12-200-chat-core"),
        from: Realm::Access,
        session: TERM,
    },
    Pair {
        input: vector!("19-send-group-cloudfile"),
        output: vector!("20-send-group-cloudfile-core"),
        from: Realm::Access,
        session: GROUP,
    },
    Pair {
        input: vector!("22-send-group-from-core"),
        output: vector!("23-send-group-to-ue"),
        from: Realm::Core,
        session: INVITED,
    },
];

/// A shell with this session bound on both sides.
fn shell(names: [&str; 4]) -> (Shell, [StreamId; 2]) {
    let [to_ue, ue, core, to_core] = names.map(|name| format!("msrp://{name};tcp"));
    let mut session = usual();
    session.access.local_path = path(&to_ue);
    session.access.remote_path = Some(path(&ue));
    session.core.local_path = path(&to_core);
    session.core.remote_path = Some(path(&core));
    let mut shell = Shell::new();
    shell.session(session);
    let at_core = shell.opened(2, Realm::Core, CORE, Some(ID));
    let at_ue = shell.open(1, Realm::Access, UE);
    shell.bytes(at_ue, message("bind", "SEND", &to_ue, &ue, ""));
    assert_eq!(shell.take(at_core), escaped(&message("bind", "SEND", &core, &to_core, "")));
    (shell, [at_ue, at_core])
}

#[test]
fn pairs_at_every_cut() {
    for pair in PAIRS {
        let (mut shell, conns) = shell(pair.session);
        let (from, to) = (conns[pair.from as usize], conns[pair.from.other() as usize]);
        for cut in 0..pair.input.len() {
            let (first, second) = pair.input.split_at(cut);
            if cut > 0 {
                shell.bytes(from, first);
            }
            shell.bytes(from, second);
            assert_eq!(shell.take(to), pair.output.escape_ascii().to_string(), "cut at {cut}");
        }
        for octet in pair.input {
            shell.bytes(from, [*octet]);
        }
        assert_eq!(shell.take(to), pair.output.escape_ascii().to_string(), "octet by octet");
        assert_eq!(shell.causes(), []);
    }
}

#[test]
fn the_answer_of_figure_5_90() {
    let (mut shell, [ue, core]) = shell(INVITED);
    let to_ue = "msrp://182.3.1.7:41652/hwx0koFAZ0PVxc;tcp";
    let answer = message(
        "ome-WyuhzgnkZv",
        "200 OK",
        to_ue,
        "msrp://182.1.1.203:10210/10210;tcp",
        "Message-ID: msrprequest9818\r\n",
    );
    shell.bytes(ue, answer);
    assert_eq!(shell.take(core), vector!("24-200-group-core").escape_ascii().to_string());
}

#[test]
fn a_message_in_one_read_is_one_write_and_only_a_short_one_is_copied() {
    for (octets, by_reference) in [(100, false), (2_048, false), (10_000, true)] {
        let (mut shell, ue, core) = connected();
        let input = from_ue("long", &with_body(&"x".repeat(octets)));
        let event = Event::Bytes { conn: ue, bytes: input.as_bytes() };
        shell.relay.handle(event, shell.now, &mut shell.out);
        let segments = if by_reference { 0..2 } else { 0..1 };
        assert_eq!(shell.out.actions, [Action::Forward { conn: core, segments }]);
        if by_reference {
            let Segment::Input(rest) = shell.out.segments[1] else { panic!("the rest was copied") };
            let body = memchr::memmem::find(input.as_bytes(), b"xxx").unwrap();
            assert_eq!(rest.range(), body..input.len());
        }
        shell.drain(input.as_bytes());
        assert_eq!(shell.take(core), escaped(&to_core("long", &with_body(&"x".repeat(octets)))));
    }
}
