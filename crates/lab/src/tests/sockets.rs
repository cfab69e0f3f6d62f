//! Core and UEs on loopback sockets, without an edge.

use crate::net::{CoreStand, Host, UeStand, tls};
use crate::scenario::{self, people};
use std::net::{Ipv4Addr, TcpListener};
use wire::Transport;

const DOMAIN: &str = "ims.example.net";

#[test]
fn every_flow_passes_on_sockets() {
    let host = Host::start("lab").unwrap();
    let ip = Ipv4Addr::LOCALHOST.into();
    let mut cast = people(DOMAIN);
    for person in &mut cast {
        // the core speaks no TLS itself
        if person.transport == Transport::Tls {
            person.transport = Transport::Tcp;
        }
    }
    let core = CoreStand::start(&host, ip, DOMAIN, &cast, 1).unwrap();
    let mut ues = UeStand::new(&host, &core);
    for (i, person) in cast.iter().enumerate() {
        let mut settings = person.ue(core.sip);
        settings.seed = i as u64;
        ues.add(settings, ip, None).unwrap();
    }
    let reports = scenario::run(&mut ues, &cast, scenario::ALL, |_| {});
    for report in &reports {
        assert!(report.passed(), "{report:#?}");
    }
    let counts = core.counts();
    assert_eq!((counts.contents, counts.chats), (3, 2), "{counts:?}");
}

/// A TLS server of the test's own echoes one line.
#[test]
fn a_ue_trusts_only_the_right_name_of_the_right_authority() {
    let ours = tls::Authority::new(&["edge.example.net"]).unwrap();
    let other = tls::Authority::new(&["edge.example.net"]).unwrap();
    for (ca, name, trusted) in [
        (&ours.ca, "edge.example.net", true),
        (&ours.ca, "other.example.net", false),
        (&other.ca, "edge.example.net", false),
    ] {
        assert_eq!(handshake(&ours, ca, name), trusted, "{name}");
    }
}

fn handshake(server: &tls::Authority, ca: &str, name: &str) -> bool {
    use rustls_pki_types::pem::PemObject as _;
    use std::io::Read as _;
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let certificate =
        rustls_pki_types::CertificateDer::from_pem_slice(server.certificate.as_bytes()).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(server.key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let mut tls = rustls::ServerConnection::new(config.into()).unwrap();
        let mut line = [0; 8];
        rustls::Stream::new(&mut tls, &mut tcp).read(&mut line).is_ok_and(|n| n > 0)
    });
    let host = Host::start("lab").unwrap();
    let cast = people(DOMAIN);
    let core = CoreStand::start(&host, Ipv4Addr::LOCALHOST.into(), DOMAIN, &cast, 1).unwrap();
    let mut ues = UeStand::new(&host, &core);
    let settings = cast[0].ue(address);
    let trust = tls::Trust::new(ca, name).unwrap();
    ues.add(settings, Ipv4Addr::LOCALHOST.into(), Some(trust)).unwrap();
    scenario::Driver::command(&mut ues, 0, crate::ue::Command::Register);
    server.join().unwrap()
}
