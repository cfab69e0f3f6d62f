//! Reading SIP: the header index against `rsip`, the framer, and what the edge does with a MESSAGE.

use criterion::{Criterion, Throughput, criterion_group};
use gatehouse_benches::compare::{Promise, compare, report};
use sip::frame::{Datagram, Frame, Framer, datagram};
use sip::{HeaderId, Index, Limits, Method, parse};
use std::hint::black_box;
use wire::EditList;

const MESSAGE: &[u8] = include_bytes!("../../tests/vectors/pager-01-message-cpim.sip");
const INVITE: &[u8] = include_bytes!("../../tests/vectors/chat-01-invite.sip");
const ACCEPTED: &[u8] = include_bytes!("../../tests/vectors/pager-06-202-to-ue.sip");

/// At most 1 us for a MESSAGE of 1 KB, and five times as fast as `rsip`. A short response is read in
/// little more than the time of its calls, on both sides, so less is promised there.
const PROMISES: [(&str, &[u8], Promise); 3] = [
    ("MESSAGE", MESSAGE, Promise { ratio: 5.0, limit_ns: Some(1_000.0) }),
    ("INVITE", INVITE, Promise { ratio: 5.0, limit_ns: Some(1_500.0) }),
    ("202", ACCEPTED, Promise { ratio: 3.0, limit_ns: Some(500.0) }),
];

fn promises() {
    let limits = Limits::default();
    let rows = PROMISES.map(|(name, bytes, promise)| {
        let mut index = Index::default();
        let fields = rsip_fields(bytes);
        compare(
            &format!("index of {name}, {} bytes", bytes.len()),
            "rsip 0.4",
            promise,
            || {
                let message = parse(black_box(bytes), &limits, &mut index).expect("a vector");
                assert_eq!(message.fields().len(), fields);
            },
            || assert_eq!(rsip_fields(black_box(bytes)), fields),
        )
    });
    report("sip_parse", &rows);
}

/// How many header fields `rsip` finds.
fn rsip_fields(bytes: &[u8]) -> usize {
    match rsip::SipMessage::try_from(bytes).expect("a vector") {
        rsip::SipMessage::Request(request) => request.headers.iter().count(),
        rsip::SipMessage::Response(response) => response.headers.iter().count(),
    }
}

fn reading(c: &mut Criterion) {
    let limits = Limits::default();
    for (name, bytes) in [("message", MESSAGE), ("invite", INVITE), ("202", ACCEPTED)] {
        let mut group = c.benchmark_group(format!("sip/{name}"));
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let mut index = Index::default();
        group.bench_function("index", |b| {
            b.iter(|| parse(black_box(bytes), &limits, &mut index).expect("a vector").fields().len());
        });
        group.bench_function("datagram", |b| {
            b.iter(|| assert_eq!(datagram(black_box(bytes), &limits), Datagram::Message(bytes)));
        });
        group.bench_function("framer", |b| {
            let mut framer = Framer::new();
            b.iter(|| {
                let mut input = black_box(bytes);
                assert_eq!(framer.next(&mut input, &limits), Frame::Message(bytes));
            });
        });
        group.finish();
    }
}

/// Index, the views every request needs, and an edit list of the usual size, gathered.
fn forwarding(c: &mut Criterion) {
    let limits = Limits::default();
    let mut group = c.benchmark_group("sip/forward");
    group.throughput(Throughput::Elements(1));
    let (mut index, mut edits, mut out) = (Index::default(), EditList::new(), Vec::new());
    group.bench_function("message", |b| {
        b.iter(|| {
            out.clear();
            forward(black_box(MESSAGE), &limits, &mut index, &mut edits, &mut out);
            assert_eq!(out.len(), MESSAGE.len() + ADDED_BYTES);
        });
    });
    group.bench_function("views", |b| {
        b.iter(|| {
            let message = parse(black_box(MESSAGE), &limits, &mut index).expect("a vector");
            let via = message.top_via().expect("a vector");
            let (from, to) = (message.from().expect("a vector"), message.to().expect("a vector"));
            assert_eq!(message.cseq().expect("a vector").method, Method::Message);
            assert!(message.call_id().is_ok());
            (via.branch().map(<[u8]>::len), from.tag().is_some(), to.tag().is_some())
        });
    });
    group.finish();
}

const VIA: &[u8] = b"SIP/2.0/UDP 182.3.1.6:5060;branch=z9hG4bKcx8bbxxebdxiebodyfbvffeci";
const IDENTITY: &[u8] = b"<sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org>";
/// Via, `;received=...`, P-Asserted-Identity instead of P-Preferred-Identity.
const ADDED_BYTES: usize = "Via: \r\n".len() + VIA.len() + ";received=9.8.7.6".len() - 1;

fn forward(bytes: &[u8], limits: &Limits, index: &mut Index, edits: &mut EditList, out: &mut Vec<u8>) {
    let message = parse(bytes, limits, index).expect("a vector");
    edits.clear();
    sip::edit::prepend(message, "Via", VIA, edits);
    sip::edit::stamp_top_via(message, ([9, 8, 7, 6], 4444).into(), edits);
    sip::edit::set(message, HeaderId::MaxForwards, b"69", edits);
    sip::edit::remove_all(message, HeaderId::PPreferredIdentity, edits);
    sip::edit::append(message, "P-Asserted-Identity", IDENTITY, edits);
    sip::edit::fit_content_length(message, edits);
    edits.gather(bytes, out).expect("no overlap");
}

criterion_group!(benches, reading, forwarding);

fn main() {
    promises();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
