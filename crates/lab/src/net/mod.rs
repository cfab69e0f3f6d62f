//! The shell that puts lab nodes on real sockets: one thread, one event loop, any number of nodes.
//!
//! ```text
//!  socket tasks ──Input──▶ node task: handle, drain the outbox, arm one timer ──bytes──▶ socket tasks
//!  other threads ──orders──▶
//! ```
//! Nothing here knows SIP or MSRP. Queues are not capped: the nodes themselves send no more than
//! their transactions and MSRP windows allow.

mod stand;
mod stream;
pub mod tls;

pub use stand::{CoreStand, UeStand};

use crate::node::{LabOutbox, Node};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::thread::{self, JoinHandle};
use stream::{Opening, Work};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot};
use wire::{CloseReason, Hop, Instant, NetAction, NetEvent, Realm, SocketId, StreamId, Transport};

/// A thread that carries nodes.
#[derive(Debug)]
pub struct Host {
    runtime: tokio::runtime::Handle,
    began: std::time::Instant,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives no thread or no event loop.
    pub fn start(name: &str) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            // an Err means that the Host was dropped: the same thing
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { runtime: handle, began: std::time::Instant::now(), stop: Some(stop), thread: Some(thread) })
    }

    /// The time of the nodes' clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        now(self.began)
    }

    /// Starts a node on its sockets; `heard` is called after each step of it.
    ///
    /// # Errors
    /// If a socket cannot be handed to the event loop.
    pub fn run<N: Node + Send + 'static>(
        &self,
        node: N,
        sockets: Sockets,
        heard: impl FnMut(&mut N) + Send + 'static,
    ) -> io::Result<Remote<N>> {
        let (inbox, inputs) = mpsc::unbounded_channel();
        let _inside = self.runtime.enter();
        let mut udp = None;
        if let Some(socket) = sockets.udp {
            socket.set_nonblocking(true)?;
            let socket = Arc::new(UdpSocket::from_std(socket)?);
            self.runtime.spawn(receive(Arc::clone(&socket), inbox.clone()));
            udp = Some(socket);
        }
        let mut shell = Shell {
            node,
            began: self.began,
            realm: sockets.realm,
            ip: sockets.ip,
            tls: sockets.tls,
            udp,
            inbox: inbox.clone(),
            streams: HashMap::new(),
            peers: HashMap::new(),
            next_slot: 0,
            out: LabOutbox::default(),
        };
        for listener in sockets.listeners {
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            self.runtime.spawn(accept(listener, inbox.clone()));
        }
        self.runtime.spawn(async move { shell.run(inputs, heard).await });
        Ok(Remote { inbox })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // an Err means that the thread has ended already
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // a panic of a node's task stays in that task
            let _ = thread.join();
        }
    }
}

/// What a node is given to speak through.
#[derive(Debug)]
pub struct Sockets {
    /// What the node calls its side.
    pub realm: Realm,
    /// Where its connections come from.
    pub ip: IpAddr,
    /// Its datagram socket, `SocketId(0)`.
    pub udp: Option<std::net::UdpSocket>,
    /// Its listeners; plain TCP.
    pub listeners: Vec<std::net::TcpListener>,
    /// How it trusts TLS servers; without it TLS peers are unreachable.
    pub tls: Option<tls::Trust>,
}

/// A node, seen from another thread.
pub struct Remote<N> {
    inbox: mpsc::UnboundedSender<Input<N>>,
}

impl<N> Clone for Remote<N> {
    fn clone(&self) -> Self {
        Self { inbox: self.inbox.clone() }
    }
}

impl<N> core::fmt::Debug for Remote<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Remote")
    }
}

impl<N: Node + 'static> Remote<N> {
    /// Lets the node do something.
    pub fn order(&self, order: impl FnOnce(&mut N, Instant, &mut LabOutbox) + Send + 'static) {
        // a node that has stopped takes no orders
        let _ = self.inbox.send(Input::Order(Box::new(order)));
    }

    /// Asks the node something and waits for the answer; `None` if it has stopped.
    pub fn ask<T: Send + 'static>(&self, question: impl FnOnce(&mut N) -> T + Send + 'static) -> Option<T> {
        let (answer, answered) = blocking::channel();
        self.order(move |node, _, _| {
            // whoever asked may have given up
            let _ = answer.send(question(node));
        });
        answered.recv_timeout(ANSWER_MAX).ok()
    }
}

/// How long a node without deadlines sleeps at a time.
const IDLE_MAX: Duration = Duration::from_secs(3_600);
/// A node answers between two events; this is only to never hang.
const ANSWER_MAX: Duration = Duration::from_secs(10);

type Order<N> = Box<dyn FnOnce(&mut N, Instant, &mut LabOutbox) + Send>;

enum Input<N> {
    Accepted(TcpStream),
    Stream(StreamId, stream::News),
    Datagram(SocketAddr, Vec<u8>),
    Order(Order<N>),
}

struct Shell<N> {
    node: N,
    began: std::time::Instant,
    realm: Realm,
    ip: IpAddr,
    tls: Option<tls::Trust>,
    udp: Option<Arc<UdpSocket>>,
    inbox: mpsc::UnboundedSender<Input<N>>,
    streams: HashMap<StreamId, Stream>,
    peers: HashMap<(Transport, SocketAddr), StreamId>,
    next_slot: u32,
    out: LabOutbox,
}

struct Stream {
    /// `None` once the node has closed it: the task sends what is left and ends.
    queue: Option<mpsc::UnboundedSender<Vec<u8>>>,
    dialled: Option<(Transport, SocketAddr)>,
    up: bool,
}

impl<N: Node + Send + 'static> Shell<N> {
    async fn run(&mut self, mut inputs: mpsc::UnboundedReceiver<Input<N>>, mut heard: impl FnMut(&mut N)) {
        loop {
            let due = self.node.next_deadline();
            let at = now(self.began);
            // The event loop's timers are coarse and start anew with each input: what is due goes first.
            if due.is_some_and(|due| due <= at) {
                self.node.handle_deadline(at, &mut self.out);
            } else {
                let wait = due.map_or(IDLE_MAX, |due| due.since(at));
                match tokio::time::timeout(wait, inputs.recv()).await {
                    Ok(None) => return,
                    Ok(Some(input)) => self.take(input, now(self.began)),
                    Err(_) => continue,
                }
            }
            self.drain();
            heard(&mut self.node);
        }
    }

    fn take(&mut self, input: Input<N>, at: Instant) {
        match input {
            Input::Order(order) => order(&mut self.node, at, &mut self.out),
            Input::Datagram(source, bytes) => {
                let event = NetEvent::Datagram { socket: SocketId(0), source, bytes: &bytes };
                self.node.handle(event, at, &mut self.out);
            }
            Input::Accepted(tcp) => {
                let opening = Opening::Accepted(tcp);
                self.start_stream(opening, None);
            }
            Input::Stream(stream, news) => self.on_news(stream, news, at),
        }
    }

    fn on_news(&mut self, stream: StreamId, news: stream::News, at: Instant) {
        match news {
            stream::News::Up { local, peer } => {
                let Some(state) = self.streams.get_mut(&stream) else {
                    return;
                };
                state.up = true;
                let (transport, peer) = state.dialled.unwrap_or((Transport::Tcp, peer));
                let event = NetEvent::StreamOpened { stream, realm: self.realm, transport, local, peer };
                self.node.handle(event, at, &mut self.out);
            }
            stream::News::Bytes(bytes) => {
                let event = NetEvent::StreamBytes { stream, bytes: &bytes };
                self.node.handle(event, at, &mut self.out);
            }
            stream::News::Down(reason) => self.on_down(stream, reason, at),
        }
    }

    fn on_down(&mut self, stream: StreamId, reason: CloseReason, at: Instant) {
        let Some(state) = self.streams.remove(&stream) else {
            return;
        };
        if let Some(key) = state.dialled {
            if self.peers.get(&key) == Some(&stream) {
                self.peers.remove(&key);
            }
            if !state.up {
                let event = NetEvent::PeerUnreachable { realm: self.realm, transport: key.0, peer: key.1 };
                self.node.handle(event, at, &mut self.out);
                return;
            }
        }
        let event = NetEvent::StreamClosed { stream, reason };
        self.node.handle(event, at, &mut self.out);
    }

    fn drain(&mut self) {
        let out = core::mem::take(&mut self.out);
        for action in &out.actions {
            match action {
                NetAction::Send { hop, bytes } => self.send(*hop, bytes.of(&out.bytes)),
                NetAction::Close { stream } => self.close(*stream),
            }
        }
        self.out = out;
        self.out.clear();
    }

    fn send(&mut self, hop: Hop, bytes: &[u8]) {
        match hop {
            Hop::Datagram { peer, .. } => {
                if let Some(udp) = &self.udp {
                    // a full socket buffer is a lost datagram, which retransmissions are for
                    let _ = udp.try_send_to(bytes, peer);
                }
            }
            Hop::Stream(stream) => self.queue(stream, bytes),
            Hop::Peer { transport, peer, .. } => {
                let stream = match self.peers.get(&(transport, peer)) {
                    Some(stream) => *stream,
                    None => self.start_stream(Opening::Dial(transport, peer), Some((transport, peer))),
                };
                self.queue(stream, bytes);
            }
        }
    }

    fn queue(&self, stream: StreamId, bytes: &[u8]) {
        if let Some(queue) = self.streams.get(&stream).and_then(|s| s.queue.as_ref()) {
            // a stream that is ending swallows what comes too late
            let _ = queue.send(bytes.to_vec());
        }
    }

    fn close(&mut self, stream: StreamId) {
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        state.queue = None;
        if let Some(key) = state.dialled
            && self.peers.get(&key) == Some(&stream)
        {
            self.peers.remove(&key);
        }
    }

    fn start_stream(&mut self, opening: Opening, dialled: Option<(Transport, SocketAddr)>) -> StreamId {
        let stream = StreamId { slot: self.next_slot, generation: 0 };
        self.next_slot += 1;
        let (queue, queued) = mpsc::unbounded_channel();
        let inbox = self.inbox.clone();
        let work = Work {
            ip: self.ip,
            tls: self.tls.clone(),
            queued,
            // the node is gone: nobody wants the news
            tell: Box::new(move |news| drop(inbox.send(Input::Stream(stream, news)))),
        };
        tokio::spawn(work.run(opening));
        self.streams.insert(stream, Stream { queue: Some(queue), dialled, up: false });
        if let Some(key) = dialled {
            self.peers.insert(key, stream);
        }
        stream
    }
}

fn now(began: std::time::Instant) -> Instant {
    Instant::from_micros(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX))
}

async fn receive<N>(socket: Arc<UdpSocket>, inbox: mpsc::UnboundedSender<Input<N>>) {
    let mut buffer = vec![0; 65_536];
    loop {
        // an error here is an ICMP answer to something sent earlier: the next datagram may be fine
        let Ok((length, source)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let bytes = buffer.get(..length).unwrap_or_default().to_vec();
        if inbox.send(Input::Datagram(source, bytes)).is_err() {
            return;
        }
    }
}

async fn accept<N>(listener: TcpListener, inbox: mpsc::UnboundedSender<Input<N>>) {
    while let Ok((tcp, _)) = listener.accept().await {
        if inbox.send(Input::Accepted(tcp)).is_err() {
            return;
        }
    }
}

/// Opens a connection from `ip` to `peer`.
async fn dial(ip: IpAddr, peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = if peer.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if ip.is_ipv4() == peer.is_ipv4() {
        socket.bind(SocketAddr::new(ip, 0))?;
    }
    socket.connect(peer).await
}
