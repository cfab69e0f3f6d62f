//! Two end points, back to back.

use super::*;
use wire::NetAction;

const ADDRESS: &str = "192.0.2.1:2855";
const STREAM: StreamId = StreamId { slot: 1, generation: 0 };
const UE: &str = "msrp://10.0.0.1:9/ue;tcp";
const CORE: &str = "msrp://192.0.2.1:2855/core;tcp";

struct Pair {
    ue: MsrpEnd,
    core: MsrpEnd,
    to_core: LabOutbox,
    to_ue: LabOutbox,
    at_ue: Vec<MsrpIncoming>,
    at_core: Vec<MsrpIncoming>,
}

impl Pair {
    fn new(settings: MsrpSettings) -> Self {
        let mut pair = Self {
            ue: MsrpEnd::new(settings, Random::from_u64(1)),
            core: MsrpEnd::new(settings, Random::from_u64(2)),
            to_core: LabOutbox::default(),
            to_ue: LabOutbox::default(),
            at_ue: Vec::new(),
            at_core: Vec::new(),
        };
        pair.core.listen("core", CORE, Some(UE));
        let opened = NetEvent::StreamOpened {
            stream: STREAM,
            realm: Realm::Core,
            transport: Transport::Tcp,
            local: ADDRESS.parse().unwrap(),
            peer: ADDRESS.parse().unwrap(),
        };
        pair.ue.dial("ue", UE, CORE, Realm::Access, Instant::ZERO, &mut pair.to_core);
        pair.ue.handle(opened, Instant::ZERO, &mut pair.to_core);
        pair.core.handle(opened, Instant::ZERO, &mut pair.to_ue);
        pair
    }

    /// Carries bytes both ways, `step` at a time, until nothing moves; counts sends to the core.
    fn run(&mut self, step: usize) -> usize {
        let mut sends = 0;
        loop {
            let (to_core, to_ue) = (core::mem::take(&mut self.to_core), core::mem::take(&mut self.to_ue));
            if to_core.actions.is_empty() && to_ue.actions.is_empty() {
                return sends;
            }
            for action in &to_core.actions {
                let NetAction::Send { bytes, .. } = action else { continue };
                sends += 1;
                for bytes in bytes.of(&to_core.bytes).chunks(step) {
                    let event = NetEvent::StreamBytes { stream: STREAM, bytes };
                    self.at_core.extend(self.core.handle(event, Instant::ZERO, &mut self.to_ue));
                }
            }
            for action in &to_ue.actions {
                let NetAction::Send { bytes, .. } = action else { continue };
                for bytes in bytes.of(&to_ue.bytes).chunks(step) {
                    let event = NetEvent::StreamBytes { stream: STREAM, bytes };
                    self.at_ue.extend(self.ue.handle(event, Instant::ZERO, &mut self.to_core));
                }
            }
        }
    }
}

fn message(size: usize, success_report: bool) -> MsrpMessage {
    MsrpMessage {
        message_id: "m1".to_owned(),
        content_type: "application/octet-stream".to_owned(),
        body: (0..size).map(|i| (i % 251) as u8).collect(),
        success_report,
    }
}

#[test]
fn messages_of_every_size_arrive_whole_however_the_stream_is_cut() {
    let settings = MsrpSettings { chunk_bytes: 100, window: 3, ..MsrpSettings::default() };
    for size in [0, 1, 99, 100, 101, 1_000] {
        for step in [1, 7, 100_000] {
            let mut pair = Pair::new(settings);
            let sent = message(size, true);
            pair.ue.send("ue", sent.clone(), Instant::ZERO, &mut pair.to_core);
            pair.run(step);
            let received = MsrpIncoming::Received { session: "core".to_owned(), message: sent };
            assert!(pair.at_core.contains(&received), "{size} {step}");
            assert!(pair.at_ue.iter().any(|e| matches!(e, MsrpIncoming::Sent { .. })));
            assert!(pair.at_ue.iter().any(|e| matches!(e, MsrpIncoming::Reported { status: 200, .. })));
            assert!(pair.ue.is_quiet("ue"));
            for e in pair.at_core.iter().chain(&pair.at_ue) {
                assert!(!matches!(e, MsrpIncoming::Broken { .. }), "{e:?}");
            }
        }
    }
}

#[test]
fn no_more_chunks_than_the_window_wait_for_an_answer() {
    let settings = MsrpSettings { chunk_bytes: 10, window: 2, ..MsrpSettings::default() };
    let mut pair = Pair::new(settings);
    pair.run(1_000);
    pair.ue.send("ue", message(100, false), Instant::ZERO, &mut pair.to_core);
    assert_eq!(pair.to_core.actions.len(), 2);
    assert_eq!(pair.run(1_000), 10);
}

#[test]
fn an_answer_that_never_comes_is_408_at_its_time() {
    let mut pair = Pair::new(MsrpSettings::default());
    pair.run(1_000);
    pair.ue.send("ue", message(1, false), Instant::ZERO, &mut pair.to_core);
    let at = pair.ue.next_deadline().unwrap();
    assert_eq!(at.since(Instant::ZERO), Duration::from_secs(30));
    assert_eq!(pair.ue.handle_deadline(Instant::from_micros(at.as_micros() - 1)), []);
    let failed = pair.ue.handle_deadline(at);
    assert!(matches!(failed[..], [MsrpIncoming::SendFailed { status: 408, .. }]));
    assert_eq!(pair.ue.next_deadline(), None);
}

#[test]
fn wrong_paths_are_seen_and_an_unknown_session_is_481() {
    let mut pair = Pair::new(MsrpSettings::default());
    pair.core.listen("core", CORE, Some("msrp://192.0.2.99:9/ue;tcp"));
    pair.run(1_000);
    assert!(matches!(pair.at_core[0], MsrpIncoming::Broken { rule: "R73", .. }));
    let mut pair = Pair::new(MsrpSettings::default());
    pair.core.close("core", &mut LabOutbox::default());
    pair.run(1_000);
    assert!(pair.at_ue.iter().any(|e| matches!(e, MsrpIncoming::SendFailed { status: 481, .. })));
}
