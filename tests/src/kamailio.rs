//! Kamailio as registrar and proxy of the core: `tests/interop/kamailio.cfg`.

use crate::certificate::Certificate;
use crate::place::Place;
use crate::process::{Process, find};
use std::net::{IpAddr, SocketAddr};

/// The realm and domain that its users belong to.
pub const DOMAIN: &str = "ims.example.net";

/// A running Kamailio: UDP and TCP on 5060, TLS on 5061, users `NAME` with `NAME-secret`.
#[derive(Debug)]
pub struct Kamailio {
    address: IpAddr,
    process: Process,
}

impl Kamailio {
    /// Starts it and waits until it serves.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    #[must_use]
    pub fn start(place: &Place) -> Self {
        let address = place.address();
        let certificate = Certificate::for_address(place, "kamailio", address);
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/kamailio.cfg");
        let directory = place.directory().to_string_lossy().into_owned();
        let defines = [
            format!("LISTEN_UDP=udp:{address}:5060"),
            format!("LISTEN_TCP=tcp:{address}:5060"),
            format!("LISTEN_TLS=tls:{address}:5061"),
            format!("CERTIFICATE=\"{}\"", certificate.certificate.display()),
            format!("PRIVATE_KEY=\"{}\"", certificate.key.display()),
        ];
        let pid_file = place.file("kamailio.pid").to_string_lossy().into_owned();
        // -DD -E: in the foreground, log to standard error; -m/-M: MB of shared and private memory.
        let mut args = vec!["-DD", "-E", "-m", "32", "-M", "4", "-f", config];
        args.extend(["-w", &directory, "-Y", &directory, "-P", &pid_file]);
        args.extend(defines.iter().flat_map(|define| ["-A", define]));
        let program = find("kamailio", "kamailio kamailio-tls-modules");
        let mut process = Process::start(&program, &args, place.file("kamailio.log"));
        process.wait_for("registrar ready");
        crate::eventually("Kamailio's TCP listener", || {
            std::net::TcpStream::connect(SocketAddr::new(address, 5060)).ok()
        });
        Self { address, process }
    }

    /// Where it serves UDP and TCP.
    #[must_use]
    pub fn sip(&self) -> SocketAddr {
        SocketAddr::new(self.address, 5060)
    }

    /// Where it serves TLS.
    #[must_use]
    pub fn sips(&self) -> SocketAddr {
        SocketAddr::new(self.address, 5061)
    }

    /// Its log: one line for each request it got, with `path=`.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.output()
    }
}
