//! The least a relay can do: epoll, one read into a 64 KB buffer, one write. It knows no MSRP.

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

struct End {
    socket: TcpStream,
    far: u64,
    /// What the socket did not take yet.
    queue: Vec<u8>,
    /// The far end's queue is not empty: nothing is read from here meanwhile.
    held: bool,
}

/// Relays every connection to `listener` to one of its own to `core`, until the process ends.
///
/// # Errors
/// If the kernel refuses to poll or to accept.
pub fn serve(listener: &TcpListener, core: SocketAddr) -> io::Result<()> {
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&poll, listener, EventData::new_u64(0), EventFlags::IN)?;
    let mut ends: HashMap<u64, End> = HashMap::new();
    let mut next = 2;
    let mut buffer = vec![0; 65_536];
    let mut events = Vec::with_capacity(64);
    loop {
        events.clear();
        epoll::wait(&poll, spare_capacity(&mut events), None)?;
        for event in &events {
            let (flags, id) = (event.flags, event.data.u64());
            if id == 0 {
                let near = listener.accept()?.0;
                let far = TcpStream::connect(core)?;
                for (socket, id, other) in [(near, next, next + 1), (far, next + 1, next)] {
                    socket.set_nodelay(true)?;
                    socket.set_nonblocking(true)?;
                    epoll::add(&poll, &socket, EventData::new_u64(id), EventFlags::IN)?;
                    ends.insert(id, End { socket, far: other, queue: Vec::new(), held: false });
                }
                next += 2;
                continue;
            }
            let relayed = if flags.contains(EventFlags::OUT) {
                flush(&mut ends, id, &poll)
            } else {
                relay(&mut ends, id, &mut buffer, &poll)
            };
            if relayed.is_err() {
                let far = ends.remove(&id).map(|end| end.far);
                far.and_then(|far| ends.remove(&far));
            }
        }
    }
}

fn relay(
    ends: &mut HashMap<u64, End>,
    id: u64,
    buffer: &mut [u8],
    poll: &rustix::fd::OwnedFd,
) -> io::Result<()> {
    let Some(end) = ends.get_mut(&id) else { return Ok(()) };
    let read = match end.socket.read(buffer) {
        Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
        Ok(read) => read,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
        Err(error) => return Err(error),
    };
    let far_id = end.far;
    let Some(far) = ends.get_mut(&far_id) else { return Ok(()) };
    let written = taken(far.socket.write(&buffer[..read]))?;
    if written < read {
        far.queue.extend_from_slice(&buffer[written..read]);
        epoll::modify(poll, &far.socket, EventData::new_u64(far_id), EventFlags::OUT)?;
        if let Some(end) = ends.get_mut(&id) {
            end.held = true;
            epoll::modify(poll, &end.socket, EventData::new_u64(id), EventFlags::empty())?;
        }
    }
    Ok(())
}

fn flush(ends: &mut HashMap<u64, End>, id: u64, poll: &rustix::fd::OwnedFd) -> io::Result<()> {
    let Some(end) = ends.get_mut(&id) else { return Ok(()) };
    let written = taken(end.socket.write(&end.queue))?;
    end.queue.drain(..written);
    if !end.queue.is_empty() {
        return Ok(());
    }
    let far_id = end.far;
    let reads = if end.held { EventFlags::empty() } else { EventFlags::IN };
    epoll::modify(poll, &end.socket, EventData::new_u64(id), reads)?;
    if let Some(far) = ends.get_mut(&far_id)
        && far.held
    {
        far.held = false;
        let out = if far.queue.is_empty() { EventFlags::empty() } else { EventFlags::OUT };
        epoll::modify(poll, &far.socket, EventData::new_u64(far_id), EventFlags::IN | out)?;
    }
    Ok(())
}

fn taken(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
