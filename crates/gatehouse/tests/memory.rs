//! The byte budget of a TLS connection at rest: the promise that sizes a node.
#![allow(clippy::unwrap_used)]

mod node;

use node::Node;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// Resident bytes of the process for one more TLS 1.3 connection that stands and says nothing: TLS,
/// socket bookkeeping, and what the edge keeps for the stream. The kernel's share is not in it.
const BUDGET_BYTES: u64 = 10_000;
const COUNT: u64 = 1_500;

#[test]
fn an_idle_tls_connection_stays_within_its_budget() {
    let node = Node::start("memory", "");
    let client = client(&node);
    // The first ones pay for tables, code pages and allocator segments that all share.
    let mut held: Vec<_> = (0..200).map(|_| open(&node, &client)).collect();
    let before = resident(&node);
    held.extend((0..COUNT).map(|_| open(&node, &client)));
    let after = resident(&node);
    let each = after.saturating_sub(before) / COUNT;
    println!("{each} bytes for an idle TLS connection ({before} -> {after} for {COUNT})");
    assert!(each <= BUDGET_BYTES, "{each} bytes for an idle TLS connection, {BUDGET_BYTES} allowed");
    // They are alive.
    ping(held.last_mut().unwrap());
}

fn resident(node: &Node) -> u64 {
    std::thread::sleep(Duration::from_millis(500));
    node.metric("gatehouse_process_resident_memory_bytes")
}

fn client(node: &Node) -> Arc<ClientConfig> {
    let certificate = node.file.with_file_name("cert.pem");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn open(node: &Node, config: &Arc<ClientConfig>) -> StreamOwned<ClientConnection, TcpStream> {
    let socket = TcpStream::connect(node.sip("tls")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket);
    ping(&mut stream);
    stream
}

fn ping(stream: &mut StreamOwned<ClientConnection, TcpStream>) {
    let mut pong = [0; 2];
    stream.write_all(b"\r\n\r\n").unwrap();
    stream.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"\r\n");
}
