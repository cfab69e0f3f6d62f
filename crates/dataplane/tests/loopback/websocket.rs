//! MSRP over WebSocket (RFC 7977), and the certificates of those who connect.

use crate::stand_in::*;
use msrp::fuzz::{client_frame, server_messages};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wire::{Realm, Transport};

const ASKED: &str = "GET / HTTP/1.1\r\nHost: edge\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: msrp\r\nSec-WebSocket-Version: 13\r\n\r\n";

const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
Sec-WebSocket-Protocol: msrp\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn upgraded<S: Read + Write>(mut stream: S) -> S {
    stream.write_all(ASKED.as_bytes()).unwrap();
    stream.flush().unwrap();
    let mut answer = vec![0; ACCEPTED.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), ACCEPTED);
    stream
}

fn message(id: &str, body: &str) -> String {
    format!(
        "MSRP {id} SEND\r\nTo-Path: msrp://a:1/x;tcp\r\nFrom-Path: msrp://b:2/y;ws\r\nContent-Type: text/plain\r\n\r\n\
{body}\r\n-------{id}$\r\n"
    )
}

/// Reads until these messages came; the fragments may come in any number.
fn expect(stream: &mut impl Read, messages: &[String]) {
    let mut all = Vec::new();
    let mut part = [0; 65_536];
    loop {
        let count = stream.read(&mut part).unwrap();
        assert!(count > 0, "closed after {}", all.escape_ascii());
        all.extend_from_slice(&part[..count]);
        if let Some(got) = server_messages(&all)
            && got.len() == messages.len()
        {
            assert!(got.iter().zip(messages).all(|(got, expected)| got == expected.as_bytes()));
            return;
        }
    }
}

const BINARY: u8 = 0x82;

#[test]
fn messages_travel_in_frames_over_tcp_and_tls() {
    let node = Node::start(settings());
    let certificate = node.config.realm.access.tls.as_ref().unwrap().certificate.clone();
    let config = crate::tls::client(&certificate, rustls::DEFAULT_VERSIONS);
    let big = message("b1gb", &"x".repeat(300_000));
    let all = [message("0001", "one"), message("0002", "two"), big];
    let both: [Box<dyn Fn() -> Box<dyn ReadWrite>>; 2] = [
        Box::new(|| Box::new(upgraded(connect(node.websocket(Transport::Tcp))))),
        Box::new(|| Box::new(upgraded(crate::tls::open(&config, node.websocket(Transport::Tls))))),
    ];
    for (n, open) in both.iter().enumerate() {
        let mut stream = open();
        for message in &all {
            stream.write_all(&client_frame(BINARY, message.as_bytes(), [1, 2, 3, 4])).unwrap();
            stream.flush().unwrap();
            expect(&mut stream, std::slice::from_ref(message));
        }
        // Fragments with a ping between them.
        let (front, back) = all[0].as_bytes().split_at(30);
        for frame in [
            client_frame(2, front, [9; 4]),
            client_frame(0x89, b"ping", [8; 4]),
            client_frame(0x80, back, [7; 4]),
        ] {
            stream.write_all(&frame).unwrap();
            stream.flush().unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut seen = Vec::new();
        let mut part = [0; 4_096];
        while !seen.ends_with(b"$\r\n") {
            let count = stream.read(&mut part).unwrap();
            seen.extend_from_slice(&part[..count]);
        }
        let pong = b"\x8a\x04ping";
        assert!(seen.windows(pong.len()).any(|w| w == pong), "{}", seen.escape_ascii());
        stream.write_all(&client_frame(0x88, &[0x03, 0xe8], [7; 4])).unwrap();
        stream.flush().unwrap();
        assert_eq!(read_to_end(&mut stream), [0x88, 2, 0x03, 0xe8]);
        node.log.wait("msrp closed", n + 1);
    }
    node.wait_metric("gatehouse_websocket_upgrades_total{result=\"ok\"}", 2);
    node.wait_metric("gatehouse_flow_queued_bytes", 0);
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

#[test]
fn the_first_frames_may_come_with_the_request_and_in_any_pieces() {
    let node = Node::start(settings());
    let text = message("0001", "early");
    let sent = [ASKED.as_bytes(), &client_frame(BINARY, text.as_bytes(), [1, 2, 3, 4])].concat();
    for size in [sent.len(), ASKED.len() + 3, 50, 7] {
        let mut stream = connect(node.websocket(Transport::Tcp));
        for piece in sent.chunks(size) {
            stream.write_all(piece).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut answer = vec![0; ACCEPTED.len()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, ACCEPTED.as_bytes());
        expect(&mut stream, std::slice::from_ref(&text));
    }
}

#[test]
fn who_does_not_speak_websocket_never_reaches_the_relay() {
    let mut config = settings();
    config.timers.handshake_seconds = 1;
    config.msrp.websocket_origins = vec!["https://chat.example.net".to_owned()];
    let node = Node::start(config);
    let foreign = ASKED.replace("Host: edge", "Host: edge\r\nOrigin: https://evil.example");
    for (asked, status) in
        [(foreign.as_str(), "403"), ("MSRP abcd SEND\r\n", "400"), (&ASKED.replace("13", "12"), "426")]
    {
        let mut stream = connect(node.websocket(Transport::Tcp));
        stream.write_all(asked.as_bytes()).unwrap();
        let answer = String::from_utf8(read_to_end(&mut stream)).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    node.wait_metric("gatehouse_websocket_upgrades_total{result=\"refused\"}", 3);
    // Who asks too slowly, or for nothing.
    let mut slow = connect(node.websocket(Transport::Tcp));
    slow.write_all(&ASKED.as_bytes()[..40]).unwrap();
    assert_eq!(read_to_end(&mut slow), b"");
    node.wait_metric("gatehouse_websocket_upgrades_total{result=\"timeout\"}", 1);
    assert_eq!(node.log.count("msrp opened"), 0);
    // A page that may, and then breaks the framing: an unmasked frame.
    let allowed = ASKED.replace("Host: edge", "Host: edge\r\nOrigin: https://chat.example.net");
    let mut stream = connect(node.websocket(Transport::Tcp));
    stream.write_all(allowed.as_bytes()).unwrap();
    stream.write_all(b"\x82\x04MSRP").unwrap();
    let answer = read_to_end(&mut stream);
    assert_eq!(answer.strip_prefix(ACCEPTED.as_bytes()), Some(&[0x88, 2, 0x03, 0xea][..]));
    node.wait_metric("gatehouse_websocket_faults_total", 1);
    node.log.wait("msrp closed", 1);
    node.wait_metric("gatehouse_flow_connections{protocol=\"msrp\",realm=\"access\",transport=\"tcp\"}", 0);
}

/// A client that shows the certificate in `directory`.
fn showing(
    directory: &Path,
    trusted: &Path,
    version: &'static rustls::SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_file(directory.join("cert.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).unwrap();
    let config = ClientConfig::builder_with_provider(dataplane::tls::crypto_provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

/// RFC 4975 §14.4: MSRP asks for a certificate and takes any whose key the peer has, also after a ticket;
/// SIP does not ask.
#[test]
fn a_certificate_that_a_peer_shows_is_told_to_the_relay() {
    let node = Node::start(settings());
    let trusted = node.config.realm.access.tls.as_ref().unwrap().certificate.clone();
    let own = certificate();
    let der = CertificateDer::from_pem_file(own.join("cert.pem")).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, &der);
    let fingerprint = wire::Fingerprint::new(wire::HashFunction::Sha256, digest.as_ref()).unwrap();
    let mut count = 0;
    for version in [&TLS12, &TLS13] {
        let config = showing(&own, &trusted, version);
        for kind in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
            let name = ServerName::try_from("edge.example").unwrap();
            let connection = ClientConnection::new(Arc::clone(&config), name).unwrap();
            let mut stream = StreamOwned::new(connection, connect(node.msrp(Realm::Access, Transport::Tls)));
            round(&mut stream, b"hello");
            assert_eq!(stream.conn.handshake_kind(), Some(kind), "{version:?}");
            count += 1;
            node.log.wait(&format!("shown {fingerprint}"), count);
            drop(stream);
            node.log.wait("msrp closed", count);
        }
    }
    let mut without =
        crate::tls::open(&crate::tls::client(&trusted, &[&TLS13]), node.msrp(Realm::Access, Transport::Tls));
    round(&mut without, b"hello");
    assert_eq!(node.log.count("shown"), count, "who has none is served all the same");
}
