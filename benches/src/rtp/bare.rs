//! What a relay cannot do without: epoll, recv, send.

use super::anchor::ports;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::{RecvFlags, SendFlags};
use std::io;
use std::net::{SocketAddr, UdpSocket};

/// Relays between the ports of each stream and the two ends, until killed.
///
/// # Errors
/// If a port cannot be bound.
pub fn serve(host: u8, streams: u32, ends: [SocketAddr; 2]) -> io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut sockets = Vec::new();
    for number in 0..streams {
        for local in ports(host, number) {
            let socket = UdpSocket::bind(local)?;
            let at = sockets.len() as u64;
            epoll::add(&epoll, &socket, EventData::new_u64(at), EventFlags::IN)?;
            sockets.push(socket);
        }
    }
    println!("ready");
    let mut events = Vec::with_capacity(256);
    let mut buffer = vec![0; 2_048];
    loop {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            let at = event.data.u64() as usize;
            // The sockets of a stream stand side by side.
            let (from, to, end) = (&sockets[at], &sockets[at ^ 1], ends[at & 1 ^ 1]);
            if let Ok((_, len)) = rustix::net::recv(from, &mut buffer[..], RecvFlags::DONTWAIT) {
                rustix::net::sendto(to, &buffer[..len], SendFlags::DONTWAIT, &end)?;
            }
        }
    }
}
