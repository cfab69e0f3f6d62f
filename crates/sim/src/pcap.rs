//! Writes what was delivered to a pcap file, stamped with virtual time.

use core::net::{IpAddr, SocketAddr};
use etherparse::PacketBuilder;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::{DataLink, PcapError};
use std::fs::File;
use std::path::Path;
use wire::{Instant, Transport};

/// The environment variable that names the file.
pub const VARIABLE: &str = "GATEHOUSE_SIM_PCAP";

/// An open capture.
#[derive(Debug)]
pub struct Capture {
    writer: PcapWriter<File>,
    packet: Vec<u8>,
}

impl Capture {
    /// Opens the file that [`VARIABLE`] names, if it names one.
    ///
    /// # Panics
    /// If the file cannot be written: somebody asked for it and would search for it in vain.
    #[must_use]
    pub fn from_environment() -> Option<Self> {
        let path = std::env::var_os(VARIABLE)?;
        Some(Self::create(Path::new(&path)).expect("the capture file asked for must be writable"))
    }

    /// Starts a capture of raw IP packets.
    ///
    /// # Errors
    /// If the file cannot be created or written.
    pub fn create(path: &Path) -> Result<Self, PcapError> {
        let header = PcapHeader { datalink: DataLink::RAW, ..PcapHeader::default() };
        let writer = PcapWriter::with_header(File::create(path).map_err(PcapError::IoError)?, header)?;
        Ok(Self { writer, packet: Vec::new() })
    }

    /// Notes one delivery. Stream sequence numbers are not kept: follow them by time.
    pub(crate) fn note(
        &mut self,
        at: Instant,
        transport: Transport,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
    ) {
        self.packet.clear();
        let built = match (from.ip(), to.ip()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => Some(PacketBuilder::ipv4(a.octets(), b.octets(), 64)),
            (IpAddr::V6(a), IpAddr::V6(b)) => Some(PacketBuilder::ipv6(a.octets(), b.octets(), 64)),
            _ => None, // two families in one packet do not exist
        };
        let Some(builder) = built else { return };
        let bytes = &bytes[..bytes.len().min(60_000)];
        let written = match transport {
            Transport::Udp => builder.udp(from.port(), to.port()).write(&mut self.packet, bytes),
            Transport::Tcp | Transport::Tls => {
                builder.tcp(from.port(), to.port(), 0, u16::MAX).psh().write(&mut self.packet, bytes)
            }
        };
        let stamp = core::time::Duration::from_micros(at.as_micros());
        let length = u32::try_from(self.packet.len()).unwrap_or(u32::MAX);
        if written.is_ok() {
            // A full disk ends the capture, not the simulation.
            let _ = self.writer.write_packet(&PcapPacket::new(stamp, length, &self.packet));
        }
    }
}
