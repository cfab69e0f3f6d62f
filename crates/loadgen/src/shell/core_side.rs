//! The answering core on one port, UDP and TCP, in a thread of its own.

use super::stream::{Incoming, Stream};
use crate::answer::Answerer;
use mio::net::{TcpListener, UdpSocket};
use mio::{Events, Interest, Poll, Token, Waker};
use sip::{Index, Limits};
use slab::Slab;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use wire::Span;

const UDP: Token = Token(0);
const LISTENER: Token = Token(1);
const WAKER: Token = Token(2);
const FIRST_STREAM: usize = 3;

/// A running core; ends with this value.
#[derive(Debug)]
pub struct CoreShell {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    end: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl CoreShell {
    /// Listens on `bind` (port 0: a free one) for UDP and TCP, as the core of `domain`.
    ///
    /// # Errors
    /// If the port is taken, or no thread can be started.
    pub fn start(bind: SocketAddr, domain: &str) -> io::Result<Self> {
        let mut listener = TcpListener::bind(bind)?;
        let address = listener.local_addr()?;
        let udp = std::net::UdpSocket::bind(address)?;
        let sock = socket2::SockRef::from(&udp);
        // A burst waits here, not in the edge; the kernel caps it.
        let _ = sock.set_recv_buffer_size(8 << 20);
        let _ = sock.set_send_buffer_size(8 << 20);
        udp.set_nonblocking(true)?;
        let mut udp = UdpSocket::from_std(udp);
        let poll = Poll::new()?;
        poll.registry().register(&mut udp, UDP, Interest::READABLE)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let (requests, end) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut side = Side {
            poll,
            udp,
            listener,
            streams: Slab::new(),
            answerer: Answerer::new(domain, &address.to_string()),
            requests: Arc::clone(&requests),
            end: Arc::clone(&end),
            index: Index::default(),
            out: Vec::new(),
            spans: Vec::new(),
        };
        let thread = std::thread::Builder::new().name("load-core".to_owned()).spawn(move || side.run())?;
        Ok(Self { address, requests, end, waker, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests it has answered.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for CoreShell {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Side {
    poll: Poll,
    udp: UdpSocket,
    listener: TcpListener,
    streams: Slab<Stream>,
    answerer: Answerer,
    requests: Arc<AtomicU64>,
    end: Arc<AtomicBool>,
    index: Index,
    out: Vec<u8>,
    spans: Vec<Span>,
}

impl Side {
    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        let mut buffer = vec![0; 65_536];
        while !self.end.load(Ordering::Relaxed) {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                match event.token() {
                    UDP => self.datagrams(&mut buffer)?,
                    LISTENER => self.accept()?,
                    WAKER => {}
                    Token(at) => self.stream(at - FIRST_STREAM, &mut buffer),
                }
            }
        }
        Ok(())
    }

    fn datagrams(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            let (count, source) = match self.udp.recv_from(buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // What an earlier answer found: nobody there.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error),
            };
            self.out.clear();
            self.spans.clear();
            let bytes = buffer.get(..count).unwrap_or_default();
            if let Ok(request) = sip::parse(bytes, &Limits::default(), &mut self.index) {
                self.answerer.answer(request, &mut self.out, &mut self.spans);
                self.requests.fetch_add(1, Ordering::Relaxed);
            }
            for span in &self.spans {
                let _ = self.udp.send_to(span.of(&self.out), source);
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((mut socket, _)) => {
                    socket.set_nodelay(true)?;
                    let entry = self.streams.vacant_entry();
                    let token = Token(entry.key() + FIRST_STREAM);
                    self.poll.registry().register(
                        &mut socket,
                        token,
                        Interest::READABLE | Interest::WRITABLE,
                    )?;
                    entry.insert(Stream::new(socket, None));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn stream(&mut self, at: usize, buffer: &mut [u8]) {
        let Some(stream) = self.streams.get_mut(at) else {
            return;
        };
        let mut more = true;
        while more {
            self.out.clear();
            self.spans.clear();
            let (answerer, index, out, spans) =
                (&mut self.answerer, &mut self.index, &mut self.out, &mut self.spans);
            let requests = &self.requests;
            let result = stream.read(buffer, |incoming| match incoming {
                Incoming::Message(bytes) => {
                    if let Ok(request) = sip::parse(bytes, &Limits::default(), index) {
                        answerer.answer(request, out, spans);
                        requests.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Incoming::Ping => out.extend_from_slice(b"\r\n"),
            });
            let sent = if out.is_empty() { stream.flush() } else { stream.send(out) };
            match result.and_then(|more| sent.map(|()| more)) {
                Ok(again) => more = again,
                Err(_) => {
                    self.streams.remove(at);
                    return;
                }
            }
        }
    }
}
