use crate::stand_in::*;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::Transport;

type Stream = StreamOwned<ClientConnection, TcpStream>;

pub fn client(certificate: &Path, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(dataplane::tls::crypto_provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

pub fn open(config: &Arc<ClientConfig>, address: SocketAddr) -> Stream {
    let name = ServerName::try_from("edge.example").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), connect(address))
}

fn trusted(node: &Node, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    client(&node.config.realm.access.tls.as_ref().unwrap().certificate, versions)
}

#[test]
fn both_versions_on_both_families_carry_any_number_of_bytes() {
    let node = Node::start(settings());
    for version in [&TLS12, &TLS13] {
        let config = trusted(&node, &[version]);
        for address in [node.sip(Transport::Tls), node.sip_v6(Transport::Tls)] {
            let mut stream = open(&config, address);
            for size in [1, 1_000, 16_384, 16_385, 200_000] {
                round(&mut stream, &vec![size as u8; size]);
            }
            assert_eq!(stream.conn.protocol_version(), Some(version.version));
            stream.conn.send_close_notify();
            stream.flush().unwrap();
            assert_eq!(read_to_end(&mut stream), b"");
        }
    }
    node.log.wait("PeerClosed", 4);
    node.wait_metric("gatehouse_tls_handshakes_total{result=\"ok\"}", 4);
    node.wait_metric("gatehouse_tls_handshake_versions_total{version=\"1.2\"}", 2);
    node.wait_metric("gatehouse_tls_handshakes_open", 0);
}

#[test]
fn new_keys_in_the_middle_of_a_connection() {
    let node = Node::start(settings());
    let mut stream = open(&trusted(&node, &[&TLS13]), node.sip(Transport::Tls));
    for _ in 0..5 {
        round(&mut stream, &[7; 40_000]);
        stream.conn.refresh_traffic_keys().unwrap();
    }
    round(&mut stream, b"still there");
}

#[test]
fn tickets_resume_a_session_in_both_versions() {
    let node = Node::start(settings());
    for version in [&TLS12, &TLS13] {
        let config = trusted(&node, &[version]);
        for expected in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
            let mut stream = open(&config, node.sip(Transport::Tls));
            round(&mut stream, b"hello");
            assert_eq!(stream.conn.handshake_kind(), Some(expected), "{version:?}");
        }
    }
}

#[test]
fn only_1_3_where_the_configuration_says_so() {
    let mut config = settings();
    config.realm.access.tls.as_mut().unwrap().min_version = config::TlsVersion::V1_3;
    let node = Node::start(config);
    let mut old = open(&trusted(&node, &[&TLS12]), node.sip(Transport::Tls));
    old.write_all(b"x").unwrap_err();
    round(&mut open(&trusted(&node, &[&TLS13]), node.sip(Transport::Tls)), b"x");
    node.wait_metric("gatehouse_tls_handshakes_total{result=\"failed\"}", 1);
}

#[test]
fn the_answer_and_close_notify_arrive_when_the_edge_closes() {
    let node = Node::start(settings());
    let mut stream = open(&trusted(&node, &[&TLS13]), node.sip(Transport::Tls));
    stream.write_all(b"CLOSE").unwrap();
    // Without close_notify rustls would report an unexpected end here.
    assert_eq!(read_to_end(&mut stream), b"bye");
    node.log.wait("Local", 1);
}

#[test]
fn a_deaf_tls_peer_is_cut_off() {
    let node = Node::start(settings());
    let mut deaf = open(&trusted(&node, &[&TLS13]), node.sip(Transport::Tls));
    deaf.write_all(b"FLOOD 128").unwrap();
    deaf.flush().unwrap();
    node.log.wait("QueueFull", 1);
}

#[test]
fn silent_and_trickling_handshakes_end_in_time_and_harm_nobody() {
    let mut config = settings();
    config.timers.handshake_seconds = 3;
    let node = Node::start(config);
    let started = Instant::now();
    let silent: Vec<_> = (0..50).map(|_| connect(node.sip(Transport::Tls))).collect();
    let mut trickling = connect(node.sip(Transport::Tls));
    trickling.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
    round(&mut open(&trusted(&node, &[&TLS13]), node.sip(Transport::Tls)), b"unharmed");
    node.wait_metric("gatehouse_tls_handshakes_total{result=\"timeout\"}", 51);
    assert!(started.elapsed() >= Duration::from_secs(3));
    for mut stream in silent {
        assert_eq!(read_to_end(&mut stream), b"");
    }
    assert_eq!(node.log.count("StreamOpened"), 1, "the machine never hears of them");
    node.wait_metric("gatehouse_flow_connections_closed_total{reason=\"handshake_timeout\"}", 51);
}

#[test]
fn plain_sip_on_the_tls_port_is_refused() {
    let node = Node::start(settings());
    let mut stream = connect(node.sip(Transport::Tls));
    stream.write_all(b"OPTIONS sip:edge.example SIP/2.0\r\n\r\n").unwrap();
    read_to_end(&mut stream);
    node.wait_metric("gatehouse_tls_handshakes_total{result=\"failed\"}", 1);
    node.wait_metric("gatehouse_flow_connections_closed_total{reason=\"tls_failed\"}", 1);
}
