//! One large chunk over sockets: cut-through, unchanged, in constant memory.
#![allow(clippy::unwrap_used)]

use gatehouse_benches::msrp::anchor::{Anchors, access_address, access_path, queued_bytes, start, ue_path};
use gatehouse_benches::msrp::chunk;
use gatehouse_benches::msrp::link::{Ue, tls_client, write_certificate};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use telemetry::Telemetry;
use wire::Transport;

/// `GATEHOUSE_CHUNK_BYTES=1073741824 cargo test` sends the whole gigabyte.
fn total() -> usize {
    std::env::var("GATEHOUSE_CHUNK_BYTES").ok().and_then(|n| n.parse().ok()).unwrap_or(48 << 20)
}

fn one_chunk(access: Transport, early_min: usize) {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("chunk-{}", access.label()));
    write_certificate(&directory).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let anchors = Anchors { sessions: 1, access, core: listener.local_addr().unwrap() };
    let telemetry = Arc::new(Telemetry::default());
    let plane = start(anchors, Some(&directory), Arc::clone(&telemetry)).unwrap();
    let relay = access_address(&plane, access).unwrap();
    let mut core = listener.accept().unwrap().0;
    let tls = (access == Transport::Tls).then(|| tls_client(&directory).unwrap());
    let mut ue = Ue::connect(relay, tls.as_ref()).unwrap();
    let (to, from) = (access_path(access, relay, 0), ue_path(access, 0));
    let mut queued_max = 0;
    let seen = chunk::send(&mut ue, &mut core, (&to, &from), total(), || {
        queued_max = queued_max.max(queued_bytes(&telemetry));
    })
    .unwrap();
    assert!(seen.early >= early_min, "{} octets came before the second 64 KiB", seen.early);
    assert!(queued_max > 0, "the reader's pause was felt");
    assert!(queued_max <= 262_144, "{queued_max} octets waited in our memory");
    plane.stop();
    plane.join();
}

#[test]
fn over_tcp() {
    one_chunk(Transport::Tcp, 39_000);
}

#[test]
fn over_tls() {
    // The last record may not be complete.
    one_chunk(Transport::Tls, 16_384);
}
