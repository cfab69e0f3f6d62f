//! What crosses the loopback, captured by dumpcap and read by tshark.

use crate::place::Place;
use crate::process::{Process, find};
use rustix::process::Signal;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// A capture of all TCP from and to one address.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    file: PathBuf,
}

/// What tshark made of the MSRP in a capture.
#[derive(Debug)]
pub struct Dissection {
    /// Segments in which it saw MSRP.
    pub messages: usize,
    /// What it called malformed or an error, one line each.
    pub errors: Vec<String>,
}

impl Capture {
    /// Starts to capture what `addresses` send and receive.
    ///
    /// # Panics
    /// If dumpcap is not installed or may not capture.
    #[must_use]
    pub fn start(place: &Place, addresses: &[IpAddr]) -> Self {
        let file = place.file("msrp.pcap");
        let hosts: Vec<String> = addresses.iter().map(|address| format!("host {address}")).collect();
        let filter = format!("tcp and ({})", hosts.join(" or "));
        let path = file.to_string_lossy().into_owned();
        let args = ["-q", "-P", "-i", "lo", "-B", "32", "-f", &filter, "-w", &path];
        let mut process = Process::start(&find("dumpcap", "tshark"), &args, place.file("dumpcap.log"));
        process.wait_for("File:");
        Self { process, file }
    }

    /// Ends the capture and has tshark read what went over `ports` as MSRP.
    ///
    /// # Panics
    /// If tshark fails.
    #[must_use]
    pub fn dissect(mut self, ports: &[u16]) -> Dissection {
        // What is in the kernel's buffer is written within a second.
        std::thread::sleep(Duration::from_millis(1_200));
        self.process.signal(Signal::INT);
        self.process.wait_end();
        let errors = self.tshark(ports, "_ws.malformed || _ws.expert.severity == \"Error\"");
        Dissection { messages: self.tshark(ports, "msrp").len(), errors }
    }

    fn tshark(&self, ports: &[u16], filter: &str) -> Vec<String> {
        let mut command = Command::new(find("tshark", "tshark"));
        command.arg("-r").arg(&self.file).args(["-Y", filter]);
        for port in ports {
            command.args(["-d", &format!("tcp.port=={port},msrp")]);
        }
        let output = command.output().expect("tshark runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tshark: {said}");
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }
}
