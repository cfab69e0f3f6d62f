//! Chunks that are cut so that others pass: nothing is lost, each sender gets one answer, and no chat line
//! waits for a file.

use super::*;
use msrp::{Flag, Reader, Scan};

/// Two sessions of two UEs over one connection of the core.
fn shared() -> (Shell, [StreamId; 2], StreamId) {
    let mut shell = Shell::new();
    let core = shell.open(9, Realm::Core, CORE);
    let ues = [1, 2].map(|n| {
        let mut session = numbered(n);
        session.core.opening = Opening::Listen;
        shell.session(session.clone());
        let ue = shell.open(n, Realm::Access, UE);
        shell.bytes(ue, of(n, Realm::Access, &format!("ue.{n}"), "SEND", ""));
        shell.bytes(core, of(n, Realm::Core, &format!("co.{n}"), "SEND", ""));
        ue
    });
    shell.sent.clear();
    (shell, ues, core)
}

/// A message that session `n` gets from this side.
fn of(n: u32, from: Realm, id: &str, start: &str, rest: &str) -> String {
    let session = numbered(n);
    let side = session.side(from);
    let text = |path: &Bytes| String::from_utf8(path.to_vec()).unwrap();
    message(id, start, &text(&side.local_path), &text(side.remote_path.as_ref().unwrap()), rest)
}

const FILE: &str = "Message-ID: file\r\nByte-Range: 1-9000/9000\r\nFailure-Report: yes\r\nX-Odd: kept\r\n\
Content-Type: image/png\r\n\r\n";

/// The file of 9,000 octets of UE 1, up to octet `end` of its body.
fn file() -> (String, String, String) {
    let whole = of(1, Realm::Access, "file", "SEND", &format!("{FILE}{}\r\n", "f".repeat(9_000)));
    let at = whole.find("ffff").unwrap();
    (whole[..at + 5_000].into(), whole[at + 5_000..at + 9_000].into(), whole[at + 9_000..].into())
}

fn parts(bytes: &[u8]) -> Vec<(String, String, String, usize, Flag)> {
    let mut reader = Reader::new(Scan::Every, 8_192);
    let (mut at, mut parts, mut part) = (0, Vec::new(), None);
    loop {
        match reader.next(bytes, &mut at) {
            msrp::Event::Head(head) => {
                let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
                let range = text(head.value(msrp::HeaderId::ByteRange));
                part = Some((text(head.id()), text(head.message_id()), range, 0));
            }
            msrp::Event::Body(piece) => part.as_mut().unwrap().3 += piece.len(),
            msrp::Event::End(flag, _) => {
                let (id, message, range, octets) = part.take().unwrap();
                parts.push((id, message, range, octets, flag));
            }
            msrp::Event::Partial => return parts,
            msrp::Event::Broken(cause) => panic!("{cause}"),
        }
    }
}

#[test]
fn a_chat_line_passes_a_file_and_the_file_goes_on_behind_it() {
    let (mut shell, [one, two], core) = shared();
    let (first, second, end) = file();
    shell.bytes(one, &first);
    assert!(shell.take(core).ends_with("fff"));
    let line = of(2, Realm::Access, "chat", "SEND", &with_body("hello"));
    shell.bytes(two, &line);
    let sent = shell.sent.remove(&core).unwrap();
    let text = String::from_utf8(sent).unwrap();
    assert!(text.starts_with("\r\n-------file+\r\nMSRP chat SEND\r\n"), "{text}");
    assert!(text.ends_with("hello\r\n-------chat$\r\n"), "{text}");
    assert!(shell.paused.is_empty(), "nobody waits");
    shell.bytes(one, &second);
    shell.bytes(one, &end);
    let sent = shell.sent.remove(&core).unwrap();
    let [(id, message, range, octets, flag)] = &parts(&sent)[..] else { panic!("one part") };
    assert_eq!((&message[..], &range[..], *octets, *flag), ("file", "5001-*/9000", 4_000, Flag::Last));
    assert_ne!(id, "file");
    let text = String::from_utf8(sent.clone()).unwrap();
    let head = of(1, Realm::Core, id, "SEND", "").replace(TO_CORE, CORE_PATH);
    assert!(
        text.contains("\r\nFailure-Report: yes\r\nX-Odd: kept\r\nContent-Type: image/png\r\n\r\n"),
        "{text}"
    );
    assert_eq!(text.lines().next(), head.lines().next());
    assert_eq!(shell.relay.counters().interruptions, 1);
    // The answers: to the first part nothing, to the line its own, to the last part that of the file.
    shell.bytes(core, of(1, Realm::Core, "file", "200 OK", ""));
    assert_eq!(shell.take(one), "");
    shell.bytes(core, of(2, Realm::Core, "chat", "200 OK", ""));
    assert!(shell.take(two).starts_with("MSRP chat 200 OK"));
    shell.bytes(core, of(1, Realm::Core, id, "200 OK", ""));
    let session = numbered(1);
    let (to, from) = (session.access.remote_path.unwrap(), session.access.local_path);
    let [to, from] = [to, from].map(|path| String::from_utf8(path.to_vec()).unwrap());
    assert_eq!(shell.take(one), escaped(&super::message("file", "200 OK", &to, &from, "")));
    assert_eq!(shell.causes(), []);
}

#[test]
fn the_first_error_of_a_part_is_the_only_answer() {
    let (mut shell, [one, two], core) = shared();
    let (first, second, end) = file();
    shell.bytes(one, &first);
    shell.bytes(two, of(2, Realm::Access, "chat", "SEND", ""));
    shell.bytes(core, of(1, Realm::Core, "file", "413 Enough", ""));
    assert!(shell.take(one).starts_with("MSRP file 413 Enough"));
    shell.take(core);
    // A sender that does not stop at once.
    shell.bytes(one, second + &end);
    let sent = shell.sent.remove(&core).unwrap();
    let id = parts(&sent)[0].0.clone();
    shell.bytes(core, of(1, Realm::Core, &id, "413 Enough", ""));
    assert_eq!(shell.take(one), "");
    assert!(shell.relay.conns.of(core).unwrap().splits.is_empty());
}

#[test]
fn what_is_short_or_as_good_as_over_is_not_cut() {
    let (mut shell, [one, two], core) = shared();
    let (first, second, end) = file();
    // Fewer octets than a sender may send without being ready to stop.
    shell.bytes(one, &first[..first.len() - 3_500]);
    shell.bytes(two, of(2, Realm::Access, "chat", "SEND", ""));
    assert!(!shell.take(core).contains("chat"));
    assert!(shell.paused.contains(&two));
    shell.bytes(one, &first[first.len() - 3_500..]);
    let text = shell.take(core);
    assert!(text.contains("-------file+") && text.contains("MSRP chat SEND"), "once they are there: {text}");
    shell.bytes(one, &second);
    shell.take(core);
    shell.bytes(two, of(2, Realm::Access, "cha2", "SEND", ""));
    assert_eq!(shell.take(core), "", "only the end-line is missing");
    shell.bytes(one, &end);
    assert!(shell.take(core).contains("MSRP cha2 SEND"));
}

#[test]
fn a_cut_file_whose_sender_or_receiver_goes() {
    // The sender: the far side has a message that does not go on; its connection stays in frame.
    let (mut shell, [one, two], core) = shared();
    let (first, second, _) = file();
    shell.bytes(one, &first);
    shell.bytes(two, of(2, Realm::Access, "chat", "SEND", ""));
    shell.event(Event::Closed { conn: one });
    shell.bytes(two, of(2, Realm::Access, "cha2", "SEND", ""));
    let ids: Vec<_> = parts(&shell.sent[&core]).into_iter().map(|part| (part.0, part.4)).collect();
    let last = |id: &str| (id.to_owned(), Flag::Last);
    assert_eq!(ids, [("file".to_owned(), Flag::More), last("chat"), last("cha2")]);
    // The receiver: the sender is told, once.
    let (mut shell, [one, two], core) = shared();
    shell.bytes(one, &first);
    shell.bytes(two, of(2, Realm::Access, "chat", "SEND", ""));
    shell.event(Event::Closed { conn: core });
    shell.bytes(one, &second);
    assert!(shell.take(one).starts_with("MSRP file 408"));
}

/// Three senders of files and lines into one connection that fills up now and then, every read torn
/// anywhere: each message arrives whole, and each sender has one answer to each of its chunks.
#[test]
fn random_files_and_lines_over_one_connection() {
    let mut interruptions = 0;
    for seed in 0..150 {
        let mut random = Random::from_u64(seed);
        let mut shell = Shell::new();
        let core = shell.open(9, Realm::Core, CORE);
        let mut sources = Vec::new();
        let mut expected = BTreeMap::new();
        for n in 1..=3u32 {
            let mut session = numbered(n);
            session.core.opening = Opening::Listen;
            shell.session(session);
            let ue = shell.open(n, Realm::Access, UE);
            shell.bytes(core, of(n, Realm::Core, &format!("co.{n}"), "SEND", ""));
            let mut bytes = Vec::new();
            for count in 0..6 {
                let octets = [0, 10, 300, 3_000, 20_000][random.below(5) as usize];
                let body: Vec<u8> = (0..octets).map(|_| b"ab\r\n-"[random.below(5) as usize]).collect();
                let id = format!("t{n}.{count}");
                let ranged = ["1-*/*".to_owned(), format!("1-{octets}/{octets}")];
                let range = &ranged[random.below(2) as usize];
                let range =
                    if random.below(4) == 0 { String::new() } else { format!("Byte-Range: {range}\r\n") };
                let rest = format!("Message-ID: m{id}\r\n{range}Content-Type: x/y\r\n\r\n");
                let text = of(n, Realm::Access, &id, "SEND", &(rest + "\u{1}\r\n"));
                let (before, behind) = text.split_once('\u{1}').unwrap();
                bytes.extend_from_slice(&[before.as_bytes(), &body, behind.as_bytes()].concat());
                expected.insert(format!("m{id}"), body);
            }
            sources.push((ue, bytes, 0));
        }
        shell.sent.clear();
        let mut is_full = false;
        loop {
            let open: Vec<usize> = (0..3)
                .filter(|at| sources[*at].2 < sources[*at].1.len() && !shell.paused.contains(&sources[*at].0))
                .collect();
            if is_full && (open.is_empty() || random.below(3) == 0) {
                is_full = false;
                shell.event(Event::Drained { conn: core });
            } else if random.below(20) == 0 && !is_full {
                is_full = true;
                shell.event(Event::Queued { conn: core, bytes: 1 << 20 });
            } else if let Some(at) = open.get(random.below(open.len() as u64) as usize) {
                let (ue, bytes, from) = &mut sources[*at];
                let most = [3, 60, 3_000, 9_000][random.below(4) as usize];
                let end = (*from + 1 + random.below(most) as usize).min(bytes.len());
                let piece = bytes[*from..end].to_vec();
                *from = end;
                let ue = *ue;
                shell.bytes(ue, piece);
            } else if !is_full {
                break;
            }
        }
        let sent = shell.sent.remove(&core).unwrap_or_default();
        let mut arrived: BTreeMap<String, (Vec<u8>, bool)> = BTreeMap::new();
        let mut answers = Vec::new();
        let mut reader = Reader::new(Scan::Every, 8_192);
        let (mut at, mut current) = (0, String::new());
        loop {
            match reader.next(&sent, &mut at) {
                msrp::Event::Head(head) => {
                    current = String::from_utf8(head.message_id().to_vec()).unwrap();
                    let start = head.byte_range().map_or(1, |range| range.start) as usize;
                    let so_far = arrived.entry(current.clone()).or_default();
                    assert_eq!((start, so_far.1), (so_far.0.len() + 1, false), "seed {seed}: {current}");
                    answers.push((
                        current[2..3].parse::<u32>().unwrap(),
                        String::from_utf8(head.id().to_vec()).unwrap(),
                    ));
                }
                msrp::Event::Body(piece) => {
                    let body = &mut arrived.get_mut(&current).unwrap().0;
                    body.extend_from_slice(piece.held);
                    body.extend_from_slice(&sent[piece.range()]);
                }
                msrp::Event::End(flag, _) => arrived.get_mut(&current).unwrap().1 = flag == Flag::Last,
                msrp::Event::Partial => break,
                msrp::Event::Broken(cause) => panic!("seed {seed}: {cause}"),
            }
        }
        assert!(arrived.values().all(|(_, is_whole)| *is_whole), "seed {seed}");
        assert!(arrived.into_iter().map(|(id, (body, _))| (id, body)).eq(expected), "seed {seed}");
        for (n, id) in answers {
            shell.bytes(core, of(n, Realm::Core, &id, "200 OK", ""));
        }
        for (n, (ue, ..)) in (1..).zip(&sources) {
            let heard = parts(&shell.sent[ue]);
            // The first is what bound the core's connection.
            let ids: Vec<_> = heard.into_iter().skip(1).map(|part| part.0).collect();
            let asked: Vec<_> = (0..6).map(|count| format!("t{n}.{count}")).collect();
            assert_eq!(ids, asked, "seed {seed}");
        }
        assert!(shell.relay.conns.of(core).unwrap().splits.is_empty(), "seed {seed}");
        assert_eq!((shell.causes(), shell.relay.held_bytes()), (vec![], 0), "seed {seed}");
        interruptions += shell.relay.counters().interruptions;
    }
    assert!(interruptions > 300, "{interruptions}");
}
