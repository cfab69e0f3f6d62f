//! io_uring for datagrams: the one place where the kernel is given pointers.
//!
//! ```text
//!  buffers (one block): | head, source, payload … room |  × BUFFERS
//!  kernel ─ completion names a buffer ─▶ taken: ours ─▶ sent from where it lies, or given back ─▶ kernel
//! ```
//! The pool is small so that it stays in the cache. A send does not wait (`MSG_DONTWAIT`), so all of them
//! are done when the call that hands them over returns, and their buffers go back to the kernel then.
//! Its safe twin is `epoll`, to which every test holds it equal.
#![allow(unsafe_code)]

use core::mem::{offset_of, size_of};
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use core::ptr;
use core::sync::atomic::{AtomicU16, Ordering};
use core::time::Duration;
use io_uring::types::{BufRingEntry, CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::fd::{AsRawFd, BorrowedFd, RawFd};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;

/// What the kernel reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// Something watched by `watch` is ready.
    Ready,
    /// A datagram lies in a buffer, which must be sent or given back.
    Datagram {
        /// As given to `listen`.
        token: u64,
        /// The buffer.
        buffer: u16,
        /// Who sent it.
        source: SocketAddr,
        /// Its octets; `None` if it did not fit.
        len: Option<usize>,
    },
    /// A socket is no longer listened to: buffers had run out, or it was forgotten.
    Deaf {
        /// As given to `listen`.
        token: u64,
    },
    /// A packet could not be sent.
    Unsent,
}

/// A ring with its buffers.
pub(crate) struct Ring {
    ring: IoUring,
    /// What every receive asks for: the source, and no control data. The kernel keeps its address.
    head: Box<libc::msghdr>,
    block: Block,
    /// Buffers of packets that were handed over to be sent.
    sending: Vec<u16>,
    /// Where they go, by buffer: the kernel reads it when it takes the send.
    peers: Box<[Peer]>,
    tail: u16,
    watched: Option<RawFd>,
}

#[repr(C)]
#[derive(Clone, Copy)]
union Peer {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// A power of two.
const BUFFERS: u16 = 256;
/// A packet of an Ethernet, what stands before it, and what SRTP adds.
const BUFFER_BYTES: usize = 2_048;
/// `struct io_uring_recvmsg_out`: four words.
const OUT_BYTES: usize = 16;
const SOURCE_BYTES: usize = size_of::<libc::sockaddr_in6>();
const PAYLOAD: usize = OUT_BYTES + SOURCE_BYTES;
/// Longer datagrams leave no room for a tag.
const PAYLOAD_MAX: usize = BUFFER_BYTES - PAYLOAD - super::TAIL_BYTES;
const GROUP: u16 = 1;
const ENTRIES: u32 = 256;
const COMPLETIONS: u32 = 4_096;

/// A signal may come before anything was taken.
const SUBMITS_MAX: usize = 8;

/// Words of completions that are no receive.
const READY: u64 = u64::MAX;
const SENT: u64 = u64::MAX - 1;

impl Ring {
    /// Sets up a ring and its buffers, and sees one datagram through.
    ///
    /// # Errors
    /// What the kernel said: it is too old, or io_uring is forbidden, as in most containers.
    pub(crate) fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_cqsize(COMPLETIONS)
            .setup_single_issuer()
            .setup_defer_taskrun()
            // Without it a call that does not wait would leave undone what was deferred.
            .setup_taskrun_flag()
            .build(ENTRIES)?;
        // SAFETY: all zeros is an empty message header.
        let mut head: Box<libc::msghdr> = Box::new(unsafe { core::mem::zeroed() });
        head.msg_namelen = SOURCE_BYTES as libc::socklen_t;
        let block = Block::new();
        // SAFETY: the ring of buffers lies in `block`, page-aligned, BUFFERS entries long; `Drop` takes the
        // registration back before the block is freed.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(block.entries() as u64, BUFFERS, GROUP, 0)?;
        }
        let peers = vec![Peer { v4: zeroed_v4() }; usize::from(BUFFERS)].into();
        let mut ring = Self { ring, head, block, sending: Vec::new(), peers, tail: 0, watched: None };
        for buffer in 0..BUFFERS {
            ring.offer(buffer);
        }
        ring.publish();
        ring.prove()?;
        Ok(ring)
    }

    /// An old kernel takes requests that it does not know and answers with an error only then.
    fn prove(&mut self) -> io::Result<()> {
        let [here, there] = [(); 2].map(|()| std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)));
        let (here, there) = (here?, there?);
        self.listen(rustix::fd::AsFd::as_fd(&here), 0)?;
        self.wait(0, None)?;
        there.send_to(b"?", here.local_addr()?)?;
        self.wait(1, Some(Duration::from_secs(1)))?;
        let mut works = false;
        self.completions(|ring, came| {
            works = matches!(came, Came::Datagram { len: Some(1), source, .. } if Some(source) == there.local_addr().ok());
            if let Came::Datagram { buffer, .. } = came {
                ring.give_back(buffer);
            }
        });
        self.forget(0)?;
        self.completions(|_, _| {});
        if works { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
    }

    /// Reports `Ready` each time something becomes ready in an epoll instance.
    pub(crate) fn watch(&mut self, epoll: BorrowedFd<'_>) -> io::Result<()> {
        self.watched = Some(epoll.as_raw_fd());
        self.watch_again()
    }

    fn watch_again(&mut self) -> io::Result<()> {
        let Some(watched) = self.watched else { return Ok(()) };
        let entry = opcode::PollAdd::new(Fd(watched), libc::POLLIN as u32).multi(true).build();
        self.push(&entry.user_data(READY))
    }

    /// Reports every datagram that comes to a socket, until it is forgotten. `token` is below 2^63.
    pub(crate) fn listen(&mut self, socket: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let entry = opcode::RecvMsgMulti::new(Fd(socket.as_raw_fd()), &raw const *self.head, GROUP).build();
        self.push(&entry.user_data(token))
    }

    /// Ends `listen` before the socket is closed: the kernel would keep it, and its port, for the request.
    pub(crate) fn forget(&mut self, token: u64) -> io::Result<()> {
        // Nothing that was pushed may meet another socket under this number.
        self.submit()?;
        // By its token: by its descriptor, the kernel would look at the requests of all sockets.
        let request = CancelBuilder::user_data(token);
        match self.ring.submitter().register_sync_cancel(None, request) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            done => done?,
        }
        // The request lets go of the socket when its end is worked off.
        self.submit()
    }

    /// The datagram in a buffer, `len` octets long, and the room behind it.
    pub(crate) fn payload(&mut self, buffer: u16) -> &mut [u8] {
        let bytes = self.block.buffer(buffer);
        bytes.get_mut(PAYLOAD..).unwrap_or_default()
    }

    /// Sends `len` octets of the payload of a buffer; `peer` is `None` for a connected socket.
    pub(crate) fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        buffer: u16,
        len: usize,
        peer: Option<SocketAddr>,
    ) -> io::Result<()> {
        let bytes = self.payload(buffer);
        let len = len.min(bytes.len()) as u32;
        let mut entry =
            opcode::Send::new(Fd(socket.as_raw_fd()), bytes.as_ptr(), len).flags(libc::MSG_DONTWAIT);
        if let (Some(peer), Some(place)) = (peer, self.peers.get_mut(usize::from(buffer))) {
            let size = write_peer(peer, place);
            entry = entry.dest_addr(ptr::from_ref(place).cast()).dest_addr_len(size as libc::socklen_t);
        }
        let entry = entry.build().flags(squeue::Flags::SKIP_SUCCESS).user_data(SENT);
        self.push(&entry)?;
        self.sending.push(buffer);
        Ok(())
    }

    /// Gives a buffer back to the kernel that is not sent.
    pub(crate) fn give_back(&mut self, buffer: u16) {
        self.offer(buffer);
        self.publish();
    }

    /// Hands over what was pushed and waits for so many completions, or for the end of `timeout`.
    pub(crate) fn wait(&mut self, want: usize, timeout: Option<Duration>) -> io::Result<()> {
        let submitter = self.ring.submitter();
        let done = match timeout {
            None => submitter.submit_and_wait(want),
            Some(timeout) => {
                let timeout = Timespec::from(timeout);
                submitter.submit_with_args(want, &SubmitArgs::new().timespec(&timeout))
            }
        };
        self.recycle();
        match done.map_err(|error| (error.raw_os_error(), error)) {
            Ok(_) | Err((Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN), _)) => Ok(()),
            Err((_, error)) => Err(error),
        }
    }

    /// Packets that wait to be handed over.
    pub(crate) fn pending(&self) -> usize {
        self.sending.len()
    }

    /// Hands over what was pushed.
    pub(crate) fn submit(&mut self) -> io::Result<()> {
        self.wait(0, None)
    }

    /// Tells what came since the last time.
    pub(crate) fn completions(&mut self, mut tell: impl FnMut(&mut Self, Came)) {
        // Those that are there; what comes meanwhile is for the next turn.
        let count = self.ring.completion().len();
        for _ in 0..count {
            let Some(entry) = self.ring.completion().next() else { return };
            let (token, flags) = (entry.user_data(), entry.flags());
            match token {
                READY => {
                    if !cqueue::more(flags) {
                        // Its entry goes out with the next wait; a full queue was emptied for it.
                        let _ = self.watch_again();
                    }
                    tell(self, Came::Ready);
                }
                SENT => tell(self, Came::Unsent),
                _ => {
                    if let Some(buffer) = cqueue::buffer_select(flags).filter(|_| entry.result() >= 0) {
                        let came = self.datagram(token, buffer, entry.result() as usize);
                        tell(self, came);
                    }
                    if !cqueue::more(flags) {
                        tell(self, Came::Deaf { token });
                    }
                }
            }
        }
    }

    /// Reads what stands before the payload: `struct io_uring_recvmsg_out`, then the source.
    fn datagram(&mut self, token: u64, buffer: u16, written: usize) -> Came {
        let bytes = self.block.buffer(buffer);
        let word =
            |at: usize| bytes.get(at..at + 4).and_then(|w| w.try_into().ok()).map_or(0, u32::from_ne_bytes);
        let (payload, flags) = (word(8) as usize, word(12) as i32);
        let source = bytes.get(OUT_BYTES..PAYLOAD).and_then(read_source);
        let is_whole = flags & libc::MSG_TRUNC == 0 && payload <= PAYLOAD_MAX && written >= PAYLOAD;
        let nobody = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        let len = is_whole.then_some(payload).filter(|_| source.is_some());
        Came::Datagram { token, buffer, source: source.unwrap_or(nobody), len }
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        for _ in 0..SUBMITS_MAX {
            if !self.ring.submission().is_full() {
                break;
            }
            self.submit()?;
        }
        // SAFETY: what entries point to, `head`, `peers` and `block`, is on the heap, owned by this value and
        // not moved or freed before `Drop`, which ends all requests. A buffer is written by us only after a
        // completion named it and before it is offered again; `recycle` offers a sent one after the call that
        // took the send, which `MSG_DONTWAIT` makes complete within that call.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.map_err(|_| io::ErrorKind::OutOfMemory.into())
    }

    fn recycle(&mut self) {
        if self.sending.is_empty() || !self.ring.submission().is_empty() {
            return;
        }
        while let Some(buffer) = self.sending.pop() {
            self.offer(buffer);
        }
        self.publish();
    }

    /// Writes a buffer into the next place of the ring of buffers.
    fn offer(&mut self, buffer: u16) {
        let place = usize::from(self.tail & (BUFFERS - 1));
        let address = self.block.buffer(buffer).as_mut_ptr() as u64;
        // SAFETY: `place` is below BUFFERS, so the entry lies in the block, and the kernel does not read it
        // before `publish` moves the tail beyond it.
        let entry = unsafe { &mut *self.block.entries().add(place) };
        entry.set_addr(address);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see what was offered.
    fn publish(&mut self) {
        // SAFETY: the tail is a u16 within the first entry, in the block, and only this thread writes it.
        let tail = unsafe { &*BufRingEntry::tail(self.block.entries()).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // All requests end before the memory that they point to is freed.
        let _ = self.submit();
        let _ = self.ring.submitter().register_sync_cancel(None, CancelBuilder::any());
        let _ = self.ring.submitter().unregister_buf_ring(GROUP);
    }
}

impl core::fmt::Debug for Ring {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Ring({} sending)", self.sending.len())
    }
}

/// The ring of buffers, and the buffers behind it.
struct Block(ptr::NonNull<u8>);

/// The kernel wants whole pages for the ring: 256 entries of 16 bytes are one.
const RING_BYTES: usize = size_of::<BufRingEntry>() * BUFFERS as usize;
const BLOCK: Layout = match Layout::from_size_align(RING_BYTES + BUFFER_BYTES * BUFFERS as usize, 4_096) {
    Ok(layout) => layout,
    Err(_) => panic!("a power of two"),
};

impl Block {
    fn new() -> Self {
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(BLOCK) };
        ptr::NonNull::new(start).map_or_else(|| handle_alloc_error(BLOCK), Self)
    }

    fn entries(&self) -> *mut BufRingEntry {
        self.0.as_ptr().cast()
    }

    fn buffer(&mut self, buffer: u16) -> &mut [u8] {
        let at = RING_BYTES + BUFFER_BYTES * usize::from(buffer % BUFFERS);
        // SAFETY: it lies in the block, whatever the number; the borrow of `self` keeps it the only one, and
        // the kernel writes only into buffers that are offered, of which nobody here knows the number.
        unsafe { core::slice::from_raw_parts_mut(self.0.as_ptr().add(at), BUFFER_BYTES) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout, and `Ring::drop` ran before.
        unsafe { dealloc(self.0.as_ptr(), BLOCK) }
    }
}

fn zeroed_v4() -> libc::sockaddr_in {
    libc::sockaddr_in { sin_family: 0, sin_port: 0, sin_addr: libc::in_addr { s_addr: 0 }, sin_zero: [0; 8] }
}

/// Writes an address as the kernel reads it; its size.
fn write_peer(peer: SocketAddr, place: &mut Peer) -> usize {
    match peer {
        SocketAddr::V4(v4) => {
            place.v4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                ..zeroed_v4()
            };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            place.v6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            SOURCE_BYTES
        }
    }
}

/// Reads an address as the kernel writes it.
fn read_source(bytes: &[u8]) -> Option<SocketAddr> {
    let family = libc::c_int::from(u16::from_ne_bytes([*bytes.first()?, *bytes.get(1)?]));
    let at = |at: usize, len: usize| bytes.get(at..at + len);
    // The port stands at the same place in both.
    let port = at(offset_of!(libc::sockaddr_in, sin_port), 2)?;
    let port = u16::from_be_bytes(port.try_into().ok()?);
    match family {
        libc::AF_INET => {
            let ip: [u8; 4] = at(offset_of!(libc::sockaddr_in, sin_addr), 4)?.try_into().ok()?;
            Some(SocketAddr::V4(SocketAddrV4::new(ip.into(), port)))
        }
        libc::AF_INET6 => {
            let ip: [u8; 16] = at(offset_of!(libc::sockaddr_in6, sin6_addr), 16)?.try_into().ok()?;
            let scope = at(offset_of!(libc::sockaddr_in6, sin6_scope_id), 4)?.try_into().ok()?;
            Some(SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, u32::from_ne_bytes(scope))))
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_they_are_read() {
        for text in ["192.0.2.1:4000", "[2001:db8::1]:65535", "[fe80::1%3]:1", "0.0.0.0:0"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut place = Peer {
                v6: libc::sockaddr_in6 {
                    sin6_family: 0,
                    sin6_port: 0,
                    sin6_flowinfo: 0,
                    sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
                    sin6_scope_id: 0,
                },
            };
            write_peer(address, &mut place);
            // SAFETY: all of it was initialised above.
            let bytes =
                unsafe { core::slice::from_raw_parts(ptr::from_ref(&place).cast::<u8>(), SOURCE_BYTES) };
            assert_eq!(read_source(bytes), Some(address));
        }
        assert_eq!(read_source(&[0; SOURCE_BYTES]), None);
        assert_eq!(read_source(&[2, 0, 1]), None);
    }
}
