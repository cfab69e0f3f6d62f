//! Warm, reading and editing a message allocates nothing.

use allocation_counter::{AllocationInfo, measure};
use sip::frame::{Datagram, Frame, Framer, datagram};
use sip::{HeaderId, Index, Limits, NameAddr, edit, multipart, parse, uri, write};
use wire::EditList;

const MESSAGE: &[u8] = include_bytes!("../../tests/vectors/pager-01-message-cpim.sip");
const INVITE: &[u8] = include_bytes!("../../tests/vectors/chat-01-invite.sip");
const REGISTER: &[u8] = include_bytes!("../../tests/vectors/reg-15-secagree-register2.sip");

/// What `work` allocates once it ran twice: buffers are as large then as they will be.
fn warm(mut work: impl FnMut()) -> AllocationInfo {
    work();
    work();
    measure(work)
}

#[test]
fn the_counter_counts() {
    assert_eq!(warm(|| drop(std::hint::black_box(vec![1u8; 100]))).count_total, 1);
}

#[test]
fn framing_and_indexing_allocate_nothing() {
    let limits = Limits::default();
    let (mut index, mut framer) = (Index::default(), Framer::new());
    let info = warm(|| {
        for bytes in [MESSAGE, INVITE, REGISTER] {
            assert_eq!(datagram(bytes, &limits), Datagram::Message(bytes));
            let mut input = bytes;
            assert!(matches!(framer.next(&mut input, &limits), Frame::Message(_)));
            parse(bytes, &limits, &mut index).expect("a vector");
        }
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn every_view_allocates_nothing() {
    let limits = Limits::default();
    let mut index = Index::default();
    let info = warm(|| {
        for bytes in [MESSAGE, INVITE, REGISTER] {
            let message = parse(bytes, &limits, &mut index).expect("a vector");
            for field in message.fields() {
                if let Some(address) = NameAddr::read(bytes, field.value) {
                    assert!(uri::parse(address.uri).is_ok() || address.tag().is_none());
                }
            }
            assert!(message.top_via().is_ok_and(|via| via.branch().is_some()));
            assert!(message.from().is_ok() && message.to().is_ok() && message.cseq().is_ok());
            assert_eq!(message.lists(HeaderId::Allow, b"MESSAGE"), message.has(HeaderId::Allow));
            assert!(multipart::find(message, "application", "sdp").is_ok());
            assert!(!uri::equal(message.uri(), b"sip:nobody@home1.net;user=phone"));
        }
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn editing_gathering_and_answering_allocate_nothing() {
    let limits = Limits::default();
    let (mut index, mut edits, mut out) = (Index::default(), EditList::new(), Vec::new());
    let info = warm(|| {
        for bytes in [MESSAGE, INVITE, REGISTER] {
            let message = parse(bytes, &limits, &mut index).expect("a vector");
            edits.clear();
            out.clear();
            edit::prepend(message, "Via", b"SIP/2.0/UDP edge;branch=z9hG4bK1", &mut edits);
            edit::stamp_top_via(message, ([9, 8, 7, 6], 4444).into(), &mut edits);
            edit::set(message, HeaderId::MaxForwards, b"69", &mut edits);
            edit::remove_elements(message, HeaderId::Require, |tag| tag == b"sec-agree", &mut edits);
            edit::remove_all(message, HeaderId::PPreferredIdentity, &mut edits);
            edit::append(message, "P-Asserted-Identity", b"<sip:user1@home1.net>", &mut edits);
            edits.insert(message.body_span().end as usize, b"\r\n");
            edit::fit_content_length(message, &mut edits);
            edits.gather(bytes, &mut out).expect("no overlap");
            let response = write::Response { status: 200, to_tag: Some(b"t"), ..write::Response::default() };
            response.write(message, &mut out);
        }
    });
    assert_eq!(info.count_total, 0);
}
