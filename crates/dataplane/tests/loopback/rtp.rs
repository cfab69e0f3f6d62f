//! RTP through real sockets: two ends, a shard between them.

use crate::stand_in::{Node, eventually, settings};
use config::{Config, MediaIo};
use core::sync::atomic::{AtomicU16, Ordering};
use media::command::{MediaCommand, MediaKind, RtpAbout, RtpOrder};
use media::rtp::{Latching, Protection, RtcpPort, RtpSession, RtpSide};
use rtp::srtp::{MasterKey, Receiver, Sender, Suite};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use telemetry::capture::{Capture, Side};
use wire::{Cause, MediaId, Random};

/// Each test with both ways to read and write packets.
macro_rules! tests {
    ($($name:ident,)*) => {
        mod by_epoll { $( #[test] fn $name() { super::$name(config::MediaIo::Epoll); } )* }
        mod by_io_uring { $( #[test] fn $name() {
            if !super::is_refused() {
                super::$name(config::MediaIo::IoUring);
            }
        } )* }
    };
}

tests! {
    a_call_is_relayed_and_leaves_nothing_behind,
    rtcp_has_the_odd_ports_until_it_is_multiplexed,
    a_strict_side_is_deaf_to_others_and_follows_a_new_answer,
    srtp_on_one_side_and_a_capture_of_both_views,
    a_port_that_cannot_be_had_ends_the_session_and_takes_nothing,
    from_ipv4_to_ipv6,
    a_barred_source_is_not_heard,
    an_unreachable_end_does_not_disturb_the_other,
    silence_is_reported_to_the_edge,
    five_thousand_sessions_leak_nothing,
    a_burst_is_relayed_whole,
}

/// Where the system forbids io_uring, a node that demands it must say so instead of starting.
fn is_refused() -> bool {
    let refused = Node::try_start(with(MediaIo::IoUring)).err();
    if let Some(error) = &refused {
        assert_eq!(error.key(), Some("media.io"), "{error}");
        let fallen_back = Node::start(with(MediaIo::Auto));
        fallen_back.wait_metric("gatehouse_rtp_io_shards{engine=\"epoll\"}", 1);
    }
    refused.is_some()
}

fn with(io: MediaIo) -> Config {
    let mut config = settings();
    config.media.io = io;
    config
}

/// A loopback address of this process alone, so that its ports are free.
fn host() -> IpAddr {
    let pid = std::process::id();
    Ipv4Addr::new(127, 64 + (pid >> 16) as u8 % 64, (pid >> 8) as u8, (pid as u8).max(1)).into()
}

/// A pair of ports nobody has.
fn pair(ip: IpAddr) -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(10_000);
    SocketAddr::new(ip, NEXT.fetch_add(2, Ordering::Relaxed))
}

fn phone(ip: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

/// A call with one media line.
pub struct Call {
    pub order: RtpOrder,
    pub ue: UdpSocket,
    pub core: UdpSocket,
}

pub const ID: MediaId = MediaId { slot: 5, generation: 9 };

impl Call {
    pub fn new() -> Self {
        Self::on(ID, host(), host())
    }

    pub fn on(id: MediaId, access: IpAddr, core: IpAddr) -> Self {
        let (ue_end, core_end) = (phone(access), phone(core));
        let side = |end: &UdpSocket, latching| RtpSide {
            remote: Some(end.local_addr().unwrap()),
            remote_rtcp: None,
            rtcp: RtcpPort::Muxed,
            latching,
            protection: Protection::Plain,
            ice: None,
            sends: true,
            clock_rate: 8_000,
        };
        let session = RtpSession {
            access: side(&ue_end, Latching::Signaller { host: access }),
            core: side(&core_end, Latching::Strict),
        };
        let about = RtpAbout { call_id: "call@ue".into(), kind: MediaKind::Audio, encoding: "PCMA".into() };
        let order = RtpOrder { id, access_local: pair(access), core_local: pair(core), session, about };
        Self { order, ue: ue_end, core: core_end }
    }

    pub fn open(&self) -> MediaCommand {
        MediaCommand::Rtp(Box::new(self.order.clone()))
    }

    pub fn release(&self) -> MediaCommand {
        MediaCommand::Release { id: self.order.id, cause: Cause::Bye }
    }

    /// One packet each way.
    pub fn talk(&self, sequence: u16) {
        self.ue.send_to(&packet(7, sequence), self.order.access_local).unwrap();
        assert_eq!(hear(&self.core), (packet(7, sequence), self.order.core_local));
        self.core.send_to(&packet(9, sequence), self.order.core_local).unwrap();
        assert_eq!(hear(&self.ue), (packet(9, sequence), self.order.access_local));
    }
}

pub fn packet(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut bytes = vec![0x80, 8];
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    bytes.extend_from_slice(&ssrc.to_be_bytes());
    bytes.resize(172, 0x5a);
    bytes
}

fn report(ssrc: u32) -> Vec<u8> {
    let mut bytes = vec![0x80, 201, 0, 1];
    bytes.extend_from_slice(&ssrc.to_be_bytes());
    bytes
}

pub fn hear(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = [0; 2_048];
    let (len, source) = socket.recv_from(&mut bytes).unwrap();
    (bytes[..len].to_vec(), source)
}

#[track_caller]
fn hears_nothing(socket: &UdpSocket) {
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(socket.recv_from(&mut [0; 2_048]).is_err());
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
}

fn is_free(at: SocketAddr) -> bool {
    UdpSocket::bind(at).is_ok()
}

fn drops(node: &Node, cause: &str) -> u64 {
    node.metric(&format!("gatehouse_rtp_dropped_packets_total{{cause=\"{cause}\"}}"))
}

fn a_call_is_relayed_and_leaves_nothing_behind(io: MediaIo) {
    let node = Node::start(with(io));
    let call = Call::new();
    node.order([call.open()]);
    for sequence in 1..50 {
        call.talk(sequence);
    }
    assert_eq!(node.log.count("Latched"), 2);
    node.wait_metric("gatehouse_rtp_sessions", 1);
    node.wait_metric("gatehouse_rtp_sockets", 2);
    let engine = if io == MediaIo::IoUring { "io_uring" } else { "epoll" };
    node.wait_metric(&format!("gatehouse_rtp_io_shards{{engine=\"{engine}\"}}"), 1);
    node.wait_metric("gatehouse_rtp_relayed_packets_total{realm=\"access\"}", 49);
    let views = node.plane().rtp_sessions(Some("call@ue"), 10).unwrap();
    assert_eq!((views.len(), views[0].access.totals.packets, views[0].core.totals.packets), (1, 49, 49));
    assert_eq!(views[0].access.remote, Some(call.ue.local_addr().unwrap()));
    assert_eq!(node.plane().rtp_sessions(Some("other"), 10).unwrap(), []);
    node.order([call.release(), call.release()]);
    assert_eq!((node.log.count("Ended"), node.log.count("cause: Bye")), (1, 1), "once");
    assert!(is_free(call.order.access_local) && is_free(call.order.core_local));
    node.wait_metric("gatehouse_rtp_sockets", 0);
    node.wait_metric("gatehouse_rtp_sessions", 0);
    node.wait_metric("gatehouse_rtp_expected_packets_total{realm=\"core\"}", 49);
    node.wait_metric("gatehouse_rtp_lost_packets_total{realm=\"core\"}", 0);
    node.wait_metric("gatehouse_rtp_session_quality_total{realm=\"access\",mos=\"4.0_and_up\"}", 1);
}

fn rtcp_has_the_odd_ports_until_it_is_multiplexed(io: MediaIo) {
    let node = Node::start(with(io));
    let mut call = Call::new();
    let (ue_rtcp, core_rtcp) = (phone(host()), phone(host()));
    call.order.session.access.remote_rtcp = Some(ue_rtcp.local_addr().unwrap());
    call.order.session.access.rtcp = RtcpPort::Own;
    node.order([call.open()]);
    let odd = |even: SocketAddr| SocketAddr::new(even.ip(), even.port() + 1);
    ue_rtcp.send_to(&report(7), odd(call.order.access_local)).unwrap();
    assert_eq!(hear(&call.core), (report(7), call.order.core_local), "muxed there");
    call.core.send_to(&report(9), call.order.core_local).unwrap();
    assert_eq!(hear(&ue_rtcp), (report(9), odd(call.order.access_local)));
    assert!(is_free(odd(call.order.core_local)), "no socket for what is multiplexed");
    // A re-INVITE in which the core wants it on its own.
    call.order.session.core.remote_rtcp = Some(core_rtcp.local_addr().unwrap());
    call.order.session.core.rtcp = RtcpPort::Own;
    node.order([call.open()]);
    ue_rtcp.send_to(&report(7), odd(call.order.access_local)).unwrap();
    assert_eq!(hear(&core_rtcp), (report(7), odd(call.order.core_local)));
    call.talk(1);
    node.order([call.release()]);
    node.wait_metric("gatehouse_rtp_sockets", 0);
}

fn a_strict_side_is_deaf_to_others_and_follows_a_new_answer(io: MediaIo) {
    let node = Node::start(with(io));
    let mut call = Call::new();
    node.order([call.open()]);
    let attacker = phone(host());
    for sequence in 0..20 {
        attacker.send_to(&packet(9, sequence), call.order.core_local).unwrap();
    }
    call.talk(1);
    let refused = || drops(&node, "foreign_source");
    assert!(eventually(|| refused() == 20), "they came before it was connected: {}", refused());
    for sequence in 2..40 {
        attacker.send_to(&packet(9, sequence), call.order.core_local).unwrap();
        call.talk(sequence);
    }
    hears_nothing(&call.ue);
    // The first packets after connecting may still find the socket open.
    assert!(refused() <= 22, "the kernel turns them away: {}", refused());
    // The core moves to another port with a re-INVITE, and nothing that was connected stands in the way.
    let moved = phone(host());
    call.order.session.core.remote = Some(moved.local_addr().unwrap());
    node.order([call.open()]);
    let old = core::mem::replace(&mut call.core, moved);
    for sequence in 40..60 {
        old.send_to(&packet(9, sequence), call.order.core_local).unwrap();
        call.talk(sequence);
    }
    hears_nothing(&call.ue);
    // To the UE's own address nothing is connected: it may move.
    hears_nothing(&old);
}

fn srtp_on_one_side_and_a_capture_of_both_views(io: MediaIo) {
    let node = Node::start(with(io));
    let mut call = Call::new();
    let key = |seed| MasterKey::random(Suite::AesCm128HmacSha1Tag80, &mut Random::from_u64(seed));
    call.order.session.access.protection = Protection::Sdes { send: key(1), receive: Some(key(2)) };
    let far = || Duration::from_secs(u32::MAX.into());
    let wire_side = Arc::new(Capture::new("call@ue", Side::Wire, far(), 100_000));
    let plain_side = Arc::new(Capture::new("second@ue", Side::Plain, far(), 100_000));
    assert_eq!(node.plane().capture(&wire_side, 1), Some(0), "nobody calls");
    node.order([call.open()]);
    assert_eq!(node.plane().capture(&wire_side, 2), Some(1));
    let (mut sender, mut receiver) = (Sender::new(&key(2)), Receiver::new(&key(1)));
    let mut exchange = |call: &Call, sequence| {
        let mut bytes = packet(7, sequence);
        bytes.resize(172 + 32, 0);
        let len = sender.protect_rtp(&mut bytes, 172).unwrap();
        call.ue.send_to(&bytes[..len], call.order.access_local).unwrap();
        assert_eq!(hear(&call.core).0, packet(7, sequence));
        call.core.send_to(&packet(9, sequence), call.order.core_local).unwrap();
        let (mut sealed, _) = hear(&call.ue);
        assert_eq!(sealed.len(), 182);
        let len = receiver.open_rtp(&mut sealed).unwrap();
        assert_eq!(sealed[..len], packet(9, sequence));
    };
    for sequence in 1..=10 {
        exchange(&call, sequence);
    }
    assert_eq!(wire_side.held().packets, 40, "each as it came and as it left");
    assert!(wire_side.file().windows(160).any(|w| w == &packet(7, 1)[12..]), "the core's side is plain");
    // The other view, from now on.
    call.order.about.call_id = "second@ue".into();
    node.order([call.release()]);
    node.log.wait("Ended", 1);
    node.order([call.open()]);
    assert_eq!(node.plane().capture(&plain_side, 600), Some(1));
    let mut again = (Sender::new(&key(2)), 0);
    for sequence in 11..=12 {
        let mut bytes = packet(7, sequence);
        bytes.resize(172 + 32, 0);
        again.1 = again.0.protect_rtp(&mut bytes, 172).unwrap();
        call.ue.send_to(&bytes[..again.1], call.order.access_local).unwrap();
        assert_eq!(hear(&call.core).0, packet(7, sequence));
    }
    // What is not authentic was never accepted.
    call.ue.send_to(&packet(7, 13), call.order.access_local).unwrap();
    assert!(eventually(|| drops(&node, "not_authentic") + drops(&node, "malformed") >= 1));
    assert_eq!(plain_side.held().packets, 2);
    let file = plain_side.file();
    assert_eq!(file.len(), 24 + 2 * (16 + 28 + 172));
    assert_eq!(file[24 + 16 + 28..24 + 16 + 28 + 172], packet(7, 11)[..]);
    // The first one ended by itself.
    assert_eq!(wire_side.held().packets, 40);
    node.wait_metric("gatehouse_rtp_captured_packets_total", 42);
}

fn a_port_that_cannot_be_had_ends_the_session_and_takes_nothing(io: MediaIo) {
    let node = Node::start(with(io));
    let call = Call::new();
    let taken = UdpSocket::bind(call.order.core_local).unwrap();
    node.order([call.open()]);
    node.log.wait("cause: NoMediaPorts", 1);
    assert!(is_free(call.order.access_local));
    node.wait_metric("gatehouse_rtp_sockets_failed_total", 1);
    node.wait_metric("gatehouse_rtp_sockets", 0);
    drop(taken);
    node.order([call.open()]);
    call.talk(1);
    // A slot that is used again without a word ends who had it.
    let mut next = Call::on(MediaId { generation: 10, ..ID }, host(), host());
    next.order.about.call_id = "next@ue".into();
    node.order([next.open(), call.release()]);
    next.talk(1);
    assert_eq!(node.log.count("Ended"), 2);
    assert!(is_free(call.order.access_local));
}

fn from_ipv4_to_ipv6(io: MediaIo) {
    let node = Node::start(with(io));
    let mut call = Call::on(ID, host(), "::1".parse().unwrap());
    // ::1 is everybody's: take a port that is free.
    call.order.core_local =
        SocketAddr::new("::1".parse().unwrap(), 20_000 + std::process::id() as u16 % 10_000 * 2);
    node.order([call.open()]);
    call.talk(1);
}

fn a_barred_source_is_not_heard(io: MediaIo) {
    let node = Node::start(with(io));
    let call = Call::new();
    node.order([call.open()]);
    call.talk(1);
    let barred = [format!("{}/32", host()).parse().unwrap()].into_iter().collect::<wire::PrefixSet>();
    assert!(node.plane().set_blacklist(&Arc::new(barred)));
    call.ue.send_to(&packet(7, 2), call.order.access_local).unwrap();
    assert!(eventually(|| drops(&node, "blacklisted") == 1));
    assert!(node.plane().set_blacklist(&Arc::default()));
    call.talk(3);
    hears_nothing(&call.core);
}

/// A far end that is gone answers by ICMP, which must not cost the other direction anything.
fn an_unreachable_end_does_not_disturb_the_other(io: MediaIo) {
    let node = Node::start(with(io));
    let mut call = Call::new();
    node.order([call.open()]);
    call.talk(1);
    let gone = call.core.local_addr().unwrap();
    call.core = phone(host());
    for sequence in 2..20 {
        call.ue.send_to(&packet(7, sequence), call.order.access_local).unwrap();
    }
    call.core = UdpSocket::bind(gone).unwrap();
    call.core.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(eventually(|| node.metric("gatehouse_rtp_relayed_packets_total{realm=\"access\"}") == 19));
    // What was still on its way when the core came back.
    call.core.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    while call.core.recv_from(&mut [0; 2_048]).is_ok() {}
    call.core.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    call.talk(30);
}

fn silence_is_reported_to_the_edge(io: MediaIo) {
    let mut config = with(io);
    config.media.one_way_seconds = 1;
    config.media.inactivity_seconds = 2;
    let node = Node::start(config);
    let call = Call::new();
    node.order([call.open()]);
    call.talk(1);
    for sequence in 2..8 {
        std::thread::sleep(Duration::from_millis(200));
        call.core.send_to(&packet(9, sequence), call.order.core_local).unwrap();
    }
    node.log.wait("OneWay { silent: Access }", 1);
    node.log.wait("Inactive", 1);
    node.wait_metric("gatehouse_rtp_one_way_sessions_total", 1);
    node.wait_metric("gatehouse_rtp_inactive_sessions_total", 1);
}

/// Calls as at a busy hour: every port and every descriptor comes back.
fn five_thousand_sessions_leak_nothing(io: MediaIo) {
    const SESSIONS: u32 = 5_000;
    let limit = dataplane::raise_descriptor_limit().unwrap_or(u64::MAX);
    assert!(limit > 2 * u64::from(SESSIONS) + 500, "{limit} descriptors do not do");
    let node = Node::start(with(io));
    let template = Call::new();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let ip = |last: u8| match host() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            Ipv4Addr::new(a, b + 64, c, last).into()
        }
        v6 => v6,
    };
    let opening = |generation: u32| {
        (0..SESSIONS).map(move |slot| (MediaId { slot, generation }, 20_000 + 2 * slot as u16))
    };
    let before = descriptors();
    for generation in 1..=3 {
        node.order(opening(generation).map(|(id, port)| {
            let (access_local, core_local) = (SocketAddr::new(ip(1), port), SocketAddr::new(ip(2), port));
            let order = RtpOrder { id, access_local, core_local, ..template.order.clone() };
            MediaCommand::Rtp(Box::new(order))
        }));
        node.wait_metric("gatehouse_rtp_sockets", u64::from(2 * SESSIONS));
        node.wait_metric("gatehouse_rtp_sessions", u64::from(SESSIONS));
        node.order(opening(generation).map(|(id, _)| MediaCommand::Release { id, cause: Cause::Bye }));
        node.wait_metric("gatehouse_rtp_sockets", 0);
        assert!(eventually(|| descriptors() <= before + 16), "{} of {before}", descriptors());
    }
    assert_eq!(node.log.count("cause: NoMediaPorts"), 0);
    assert_eq!(node.log.count("cause: Bye"), 3 * SESSIONS as usize);
    node.wait_metric("gatehouse_rtp_sockets_failed_total", 0);
}

/// More packets at once than there are buffers, and longer than most.
fn a_burst_is_relayed_whole(io: MediaIo) {
    let mut config = with(io);
    config.media.burst_packets_max = 10_000;
    config.media.packets_per_second_max = 100_000;
    let node = Node::start(config);
    let call = Call::new();
    node.order([call.open()]);
    call.talk(1);
    for round in 0..10u16 {
        for n in 0..60 {
            let mut bytes = packet(7, 2 + round * 60 + n);
            bytes.resize(1_400, 1);
            call.ue.send_to(&bytes, call.order.access_local).unwrap();
        }
        for n in 0..60 {
            let (heard, _) = hear(&call.core);
            assert_eq!((heard.len(), &heard[2..4]), (1_400, &(2 + round * 60 + n).to_be_bytes()[..]));
        }
    }
}
