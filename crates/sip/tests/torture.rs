//! The torture messages of RFC 4475 and RFC 5118: read or refused, and why.

#![allow(missing_docs)]

use sip::frame::{Datagram, datagram};
use sip::uri::Scheme;
use sip::{HeaderId, Index, Limits, Message, parse, uri};
use std::collections::BTreeSet;
use wire::Cause;

include!("../../../tests/torture/expected.rs");

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/torture/");

/// Reads everything that a proxy has to understand; the first fault counts.
fn read(bytes: &[u8]) -> Result<(), Cause> {
    let limits = Limits::default();
    let message = match datagram(bytes, &limits) {
        Datagram::Message(message) => message,
        Datagram::Broken(cause) => return Err(cause),
        Datagram::Keepalive | Datagram::Stun => return Err(Cause::NotSip),
    };
    let mut index = Index::default();
    let message = parse(message, &limits, &mut index).map_err(|e| e.cause)?;
    for id in [HeaderId::CallId, HeaderId::CSeq, HeaderId::From, HeaderId::To, HeaderId::MaxForwards] {
        message.single(id)?;
    }
    if message.is_request() {
        let uri = uri::parse(message.uri())?;
        if uri.scheme == Scheme::Other {
            return Err(Cause::BadUriScheme);
        }
        if uri.headers.is_some() {
            return Err(Cause::BadRequestUri);
        }
    }
    fields(message)
}

fn fields(message: Message<'_>) -> Result<(), Cause> {
    message.top_via()?;
    message.vias().try_for_each(|via| via.map(drop))?;
    message.from()?;
    message.to()?;
    message.call_id()?;
    message.cseq()?;
    message.max_forwards()?;
    message.content_type()?;
    message.content_length()?;
    for id in [HeaderId::Contact, HeaderId::Route, HeaderId::RecordRoute] {
        message.name_addrs(id).try_for_each(|address| address.map(drop))?;
    }
    Ok(())
}

#[test]
fn every_torture_message_is_read_or_refused_as_the_rfcs_ask() {
    let mut wrong = String::new();
    for case in CASES {
        let bytes = std::fs::read(format!("{DIRECTORY}{}.sip", case.file)).expect("a file for each case");
        let verdict = read(&bytes).map_or_else(Cause::label, |()| "ok");
        if verdict != case.reader {
            wrong +=
                &format!("{} (§{}): {verdict}, not {}: {}\n", case.file, case.section, case.reader, case.why);
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// A refusal by the reader is the answer; what the reader accepts may still be refused by a rule.
#[test]
fn the_table_does_not_contradict_itself() {
    for case in CASES {
        let cause = Cause::ALL.iter().find(|cause| cause.label() == case.reader);
        match (cause, case.proxy) {
            (None, _) => assert_eq!(case.reader, "ok", "{}", case.file),
            (Some(_), Proxy::Discard) => {}
            (Some(cause), proxy) => {
                assert_eq!(proxy, Proxy::Answer(cause.status().unwrap_or(0)), "{}", case.file);
            }
        }
    }
}

#[test]
fn every_file_has_a_case() {
    let mut files = BTreeSet::new();
    for rfc in ["rfc4475", "rfc5118"] {
        for entry in std::fs::read_dir(format!("{DIRECTORY}{rfc}")).expect("a directory for each RFC") {
            let name = entry.expect("a readable directory").file_name().into_string().expect("plain names");
            files.insert(format!("{rfc}/{}", name.strip_suffix(".sip").expect("only messages")));
        }
    }
    assert_eq!(files, CASES.iter().map(|case| case.file.to_owned()).collect());
}

/// Every prefix of a torture message, and each with one byte changed, is read without a panic.
#[test]
fn broken_torture_messages_harm_nobody() {
    for case in CASES {
        let bytes = std::fs::read(format!("{DIRECTORY}{}.sip", case.file)).expect("a file for each case");
        for at in 0..bytes.len() {
            let _ = read(&bytes[..at]);
            let mut changed = bytes.clone();
            for byte in [0, b'\n', b'"', b'>', b';', 0xff] {
                changed[at] = byte;
                let _ = read(&changed);
            }
        }
    }
}
