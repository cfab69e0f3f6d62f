//! The binary as operators use it: check, serve, signals, and a process that runs out of descriptors.
#![allow(clippy::unwrap_used)]

mod node;

use node::{Node, gatehouse, scratch, write_settings};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn check_accepts_the_example() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/gatehouse.toml");
    let output = gatehouse().args(["check", "--config", example]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("gatehouse.toml: ok\n"));
}

#[test]
fn check_names_every_fault_by_file_line_and_column() {
    let file = scratch("bad").join("bad.toml");
    std::fs::write(&file, "[node]\nnam = 1\n[timers]\nt1_ms = 0\n").unwrap();
    let output = gatehouse().args(["check", "--config"]).arg(&file).output().unwrap();
    let name = file.display();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!(
            "{name}:2:1: unknown key `nam` in node (did you mean `name`?)\n\
             {name}:4:9: `timers.t1_ms` is out of range (allowed: 10..10000)\n"
        )
    );
}

#[test]
fn check_opens_the_files_that_are_named() {
    let file = scratch("tls").join("tls.toml");
    let text = "[[realm.access.sip]]\nbind = \"127.0.0.1:5061\"\ntransport = \"tls\"\n\
                [realm.access.tls]\ncertificate = \"no.pem\"\nkey = \"no.key\"\n";
    std::fs::write(&file, text).unwrap();
    let output = gatehouse().args(["check", "--config"]).arg(&file).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.starts_with(&format!("{}:5:15: no usable certificate in ", file.display())), "{errors}");
}

#[test]
fn check_warns_of_a_certificate_for_another_name() {
    let directory = scratch("name");
    node::write_certificate(&directory);
    let file = directory.join("name.toml");
    let text = "[realm.access]\nhost = \"pcscf.example.org\"\n[[realm.access.sip]]\nbind = \"127.0.0.1:5061\"\n\
                transport = \"tls\"\n[realm.access.tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";
    std::fs::write(&file, text).unwrap();
    let output = gatehouse().args(["check", "--config"]).arg(&file).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let expected =
        format!("warning: {}:7:15: the certificate does not bear `realm.access.host`", file.display());
    assert!(errors.starts_with(&expected), "{errors}");
}

#[test]
fn serve_answers_reloads_drains_and_stops() {
    let mut node = Node::start("serve", "");
    assert!(node.http("/healthz").starts_with("HTTP/1.1 200"));
    assert!(node.http("/readyz").contains("in_service"));
    let mut ue = node.tcp();
    ping(&mut ue);

    std::fs::write(&node.file, "[timers]\nt1_ms = 0\n").unwrap();
    node.signal("HUP");
    node.wait_log("configuration not reloaded, the old one stays");
    write_settings(&node.file, "[timers]\nt1_ms = 600\n");
    node.signal("HUP");
    node.wait_log("\"configuration reloaded\"");
    ping(&mut ue);
    assert!(node.metric("gatehouse_config_reloads_total{result=\"ok\"}") == 1);
    assert!(node.metric("gatehouse_config_reloads_total{result=\"failed\"}") == 1);

    node.signal("TERM");
    node.wait_log("draining");
    assert_eq!(node.wait_exit(), Some(0));
    assert_eq!(ue.read(&mut [0; 16]).unwrap_or(0), 0, "connections are closed");
}

#[test]
fn an_address_that_is_taken_is_reported_with_its_position() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let file = scratch("taken").join("taken.toml");
    let text = format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[[realm.access.sip]]\nbind = \"{}\"\ntransport = \"tcp\"\n",
        taken.local_addr().unwrap()
    );
    std::fs::write(&file, text).unwrap();
    let output = gatehouse().args(["serve", "--config"]).arg(&file).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("taken.toml:4:8: `realm.access.sip[0].bind`: cannot listen on"), "{errors}");
}

#[test]
fn out_of_descriptors_new_connections_are_refused_and_old_ones_unharmed() {
    let mut node = Node::start_limited("descriptors", "", 64);
    let mut served = Vec::new();
    let mut refused = 0;
    for _ in 0..64 {
        let mut stream = node.tcp();
        match try_ping(&mut stream) {
            true => served.push(stream),
            false => refused += 1,
        }
    }
    assert!(!served.is_empty() && refused > 0, "{} served, {refused} refused", served.len());
    // A full table must not make the loop spin: the connections that are there still get their turn.
    let started = Instant::now();
    served.iter_mut().for_each(ping);
    assert!(started.elapsed() < Duration::from_secs(5));
    served.truncate(served.len() / 2);
    std::thread::sleep(Duration::from_millis(300));
    assert!(node.metric("gatehouse_flow_connections_refused_total{cause=\"no_descriptor\"}") >= refused);
    ping(&mut node.tcp());
    node.signal("TERM");
    assert_eq!(node.wait_exit(), Some(0));
}

/// RFC 5626 §4.4.1: a double CRLF is answered with one.
fn ping(stream: &mut TcpStream) {
    assert!(try_ping(stream), "no answer to a ping");
}

fn try_ping(stream: &mut TcpStream) -> bool {
    let mut pong = [0; 2];
    stream.write_all(b"\r\n\r\n").is_ok() && stream.read_exact(&mut pong).is_ok() && pong == *b"\r\n"
}
