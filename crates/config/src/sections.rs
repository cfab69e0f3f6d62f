//! Every section of the file: name, type, default and range of each key, declared once.
//!
//! Field names are the TOML keys; units stand last in the name. `config/gatehouse.toml` shows every key
//! to operators and a test keeps it equal to this.

use crate::access::{Emergency, Nat};
use crate::content::ContentPolicy;
use crate::hops::{Dns, Pool, Probe, Redirects};
use crate::msrp_relay::MsrpRelay;
use crate::plans::{NumberPlace, PlanName};
use crate::read::section;
use crate::rules::HeaderRule;
use crate::types::{
    Keying, Latching, Level, LogFormat, LogLevel, MediaIo, NextHop, NumberOutput, Srtp, SrtpSuite, TlsVersion,
};
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::ops::RangeInclusive;
use core::time::Duration;
use std::path::PathBuf;
use wire::{Prefix, Realm, Transport};

section! {
    /// Everything an operator can set.
    Config {
        /// The node as a whole.
        node: Node = Node::default();
        /// Logging.
        log: Log = Log::default();
        /// Admin HTTP.
        admin: Admin = Admin::default();
        /// Sources that may do nothing here.
        blacklist: Blacklist = Blacklist::default();
        /// The two sides of the edge.
        realm: Realms = Realms::default();
        /// The way to the core.
        core: Core = Core::default();
        /// Registrations.
        registrar: Registrar = Registrar::default();
        /// Timers.
        timers: Timers = Timers::default();
        /// Caps of everything that grows.
        limits: Limits = Limits::default();
        /// How strictly requests are checked.
        validation: Validation = Validation::default();
        /// How dialled numbers are completed.
        number_plan: NumberPlan = NumberPlan::default();
        /// The MSRP relay.
        msrp: Msrp = Msrp::default();
        /// The RTP relay.
        media: Media = Media::default();
        /// Clients that ask for an MSRP relay themselves.
        msrp_relay: MsrpRelay = MsrpRelay::default();
        /// What the edge says about UEs.
        identity: Identity = Identity::default();
        /// What UEs see of the core.
        topology: Topology = Topology::default();
        /// What is changed in header fields on the way through.
        header_rules: Vec<HeaderRule> = Vec::new();
        /// What may be sent in MSRP sessions, by service; the first that fits counts.
        content_policies: Vec<ContentPolicy> = Vec::new();
        /// Looking up names of next hops.
        dns: Dns = Dns::default();
        /// UEs behind address translators.
        nat: Nat = Nat::default();
        /// Calls that must get through.
        emergency: Emergency = Emergency::default();
    }
}

section! {
    /// `[node]`: the node as a whole.
    Node {
        /// Name of this node in logs and metrics: letters, digits, `-`, `_`, `.`.
        name: String = "edge-1".to_owned();
        /// Threads that carry traffic, one core each; 0 takes one for every core.
        shards: u16 = 0, 0..=256;
        /// File with the key that seals tokens, made if missing: dialogs then outlive a restart. Unset: a fresh key each time.
        token_key_file: Option<PathBuf> = None;
    }
}

impl Node {
    /// The number of shards that run.
    #[must_use]
    pub fn shard_count(&self) -> u16 {
        match self.shards {
            0 => std::thread::available_parallelism()
                .map_or(1, |n| u16::try_from(n.get()).unwrap_or(u16::MAX).clamp(1, 256)),
            n => n,
        }
    }
}

section! {
    /// `[log]`: logging.
    Log {
        /// The least severe level that is written.
        level: LogLevel = LogLevel::Info;
        /// For people or for machines.
        format: LogFormat = LogFormat::Text;
        /// Lines about traffic with the same cause in one second; the rest is counted and summed up.
        repeats_per_second_max: u32 = 10, 1..=100_000;
    }
}

section! {
    /// `[admin]`: health and metrics over HTTP.
    Admin {
        /// Loopback only: it carries neither TLS nor authentication.
        listen: SocketAddr = loopback(9080);
    }
}

section! {
    /// `[blacklist]`: sources that may do nothing here (R10).
    Blacklist {
        /// Keeps the list and the log of its changes over restarts; unset: `STATE_DIRECTORY`, which systemd sets.
        directory: Option<PathBuf> = None;
        /// Address ranges on the list.
        prefixes_max: usize = 1_000_000, 1..=10_000_000;
        /// A change that would cut more registrations or connections than this must be confirmed.
        confirm_above: u64 = 100, 0..=1_000_000_000;
    }
}

section! {
    /// `[realm]`: the two sides of the edge.
    Realms {
        /// Towards UEs: nothing from there is trusted.
        access: RealmConfig = RealmConfig::on_loopback(5060, 2855);
        /// Towards the operator's own network.
        core: RealmConfig = RealmConfig::on_loopback(5080, 2955);
    }
}

impl Realms {
    /// The settings of one side.
    #[must_use]
    pub const fn of(&self, realm: Realm) -> &RealmConfig {
        match realm {
            Realm::Access => &self.access,
            Realm::Core => &self.core,
        }
    }
}

section! {
    /// `[realm.access]`, `[realm.core]`: addresses, TLS material and trust of one side.
    RealmConfig {
        /// Name or address that peers are told in Via, Path, Record-Route and Contact; the port is added.
        host: String = "127.0.0.1".to_owned();
        /// IPv4 address that peers are told in SDP.
        media_address: Ipv4Addr = Ipv4Addr::LOCALHOST;
        /// IPv6 address that peers are told in SDP; needed to serve media over IPv6.
        media_address_v6: Option<Ipv6Addr> = None;
        /// IPv4 address that RTP is received on, if it is not `media_address` itself (one-to-one NAT).
        media_bind: Option<Ipv4Addr> = None;
        /// The same for IPv6.
        media_bind_v6: Option<Ipv6Addr> = None;
        /// The first RTP port, shared out among the shards; 0: 16384 (access), 24576 (core).
        media_ports_first: u16 = 0, 0..=65_534;
        /// The last RTP port; 0: 24575 (access), 32767 (core).
        media_ports_last: u16 = 0, 0..=65_535;
        /// DSCP of the RTP that is sent (RFC 2474); 46 is expedited forwarding.
        media_dscp: u8 = 46, 0..=63;
        /// Which source a stream may have; unset: `signaller` (access), `strict` (core).
        latching: Option<Latching> = None;
        /// Whether media have keys; unset: `offer` (access), `none` (core).
        srtp: Option<Srtp> = None;
        /// How the keys are agreed on that we offer.
        srtp_keying: Keying = Keying::Sdes;
        /// Where SIP is served. Access: all shards share the address. Core: shard i listens on port + i.
        sip: Vec<SipListener> = Vec::new();
        /// Where MSRP is served: shard i listens on port + i.
        msrp: Vec<MsrpListener> = Vec::new();
        /// Certificate and trust; needed as soon as anything on this side speaks TLS.
        tls: Option<Tls> = None;
    }
}

impl RealmConfig {
    /// The RTP ports of this side, all shards together.
    #[must_use]
    pub fn media_ports(&self, realm: Realm) -> RangeInclusive<u16> {
        let (first, last) = match realm {
            Realm::Access => (16_384, 24_575),
            Realm::Core => (24_576, 32_767),
        };
        let or = |port: u16, default| if port == 0 { default } else { port };
        or(self.media_ports_first, first)..=or(self.media_ports_last, last)
    }

    /// Which source a stream of this side may have.
    #[must_use]
    pub fn latching(&self, realm: Realm) -> Latching {
        self.latching.unwrap_or(match realm {
            Realm::Access => Latching::Signaller,
            Realm::Core => Latching::Strict,
        })
    }

    /// Whether the media of this side have keys.
    #[must_use]
    pub fn srtp(&self, realm: Realm) -> Srtp {
        self.srtp.unwrap_or(match realm {
            Realm::Access => Srtp::Offer,
            Realm::Core => Srtp::None,
        })
    }

    fn on_loopback(sip_port: u16, msrp_port: u16) -> Self {
        let sip = |transport| SipListener { bind: loopback(sip_port), transport, ..SipListener::default() };
        Self {
            sip: vec![sip(Transport::Udp), sip(Transport::Tcp)],
            msrp: vec![MsrpListener {
                bind: loopback(msrp_port),
                transport: Transport::Tcp,
                websocket: false,
            }],
            ..Self::default()
        }
    }
}

section! {
    /// `[[realm.access.sip]]`: one address SIP is served on.
    SipListener {
        /// Address and port; port 0 takes a free one.
        bind: SocketAddr = loopback(5060);
        /// `udp`, `tcp` or `tls`.
        transport: Transport = Transport::Udp;
        /// Told to peers instead of the realm's `host`.
        host: Option<String> = None;
        /// Names this access point in header rules and number plans.
        name: Option<String> = None;
        /// P-Access-Network-Info that the network vouches for, told to the core of every UE of this access point.
        access_network_info: Option<String> = None;
    }
}

section! {
    /// `[[realm.access.msrp]]`: one address MSRP is served on.
    MsrpListener {
        /// Address and port of shard 0, shard i takes port + i; port 0 takes a free one.
        bind: SocketAddr = loopback(2855);
        /// `tcp` or `tls`.
        transport: Transport = Transport::Tcp;
        /// Takes MSRP in WebSocket messages (RFC 7977): `ws` over TCP, `wss` over TLS. Access only.
        websocket: bool = false;
    }
}

section! {
    /// `[realm.access.tls]`: certificate and trust of one side.
    Tls {
        /// PEM file: the certificate, then its intermediates. Relative to the configuration file.
        certificate: PathBuf = PathBuf::new();
        /// PEM file with the private key (PKCS#8, PKCS#1 or SEC1).
        key: PathBuf = PathBuf::new();
        /// PEM file with the authorities that servers we connect to are checked against.
        ca: Option<PathBuf> = None;
        /// Name that the certificate of a server we connect to must bear; unset: its address.
        verify_server_name: Option<String> = None;
        /// The lowest version that is spoken.
        min_version: TlsVersion = TlsVersion::V1_2;
    }
}

section! {
    /// `[core]`: the way to the core.
    Core {
        /// Where initial requests of UEs go, best first; the next is tried when one fails.
        next_hops: Vec<NextHop> = vec![NextHop { address: loopback(5070), transport: Transport::Udp }];
        /// Home domain of the UEs.
        domain: String = "ims.example.net".to_owned();
        /// How long a failed next hop is left alone while another is usable.
        retry_seconds: u64 = 30, 1..=3_600;
        /// Sets of next hops with weights, priorities and domain names.
        pools: Vec<Pool> = Vec::new();
        /// The pool that initial requests and registrations go to; empty: `next_hops`.
        pool: String = String::new();
        /// Next hops that one request is sent to, one after the other, before it fails.
        attempts_max: u8 = 4, 1..=32;
        /// Longest rest that a next hop may ask for by Retry-After.
        retry_after_seconds_max: u64 = 300, 1..=3_600;
        /// OPTIONS sent to next hops.
        probe: Probe = Probe::default();
        /// What becomes of redirections by the core.
        redirects: Redirects = Redirects::Pass;
        /// Requests above this go to a UDP next hop over TCP, if it takes connections (RFC 3261 §18.1.1); 0: never.
        udp_bytes_max: usize = 1_300, 0..=65_507;
        /// Sends and takes `alias`: one connection with a next hop carries requests both ways (RFC 5923).
        connection_reuse: bool = true;
    }
}

section! {
    /// `[registrar]`: registrations.
    Registrar {
        /// Sent to the core in P-Visited-Network-ID (R14).
        visited_network_id: String = "cmcc.rcs.com".to_owned();
        /// Registrations of one shard.
        bindings_max: usize = 200_000, 1..=10_000_000;
        /// Contacts of one address of record on one shard.
        bindings_per_user_max: usize = 16, 1..=256;
        /// How long a registration may stay between challenge and answer.
        pending_timeout_seconds: u64 = 64, 1..=600;
        /// Longer lifetimes that the core grants are cut to this (R22).
        expires_seconds_max: u32 = 604_800, 60..=31_536_000;
        /// Sends `rkeep` keep-alives on to the core instead of answering them here (R8).
        rkeep_forward: bool = false;
        /// Agrees on `tls-3gpp` with UEs that send Security-Client (R18); otherwise the fields are only taken out.
        security_agreement: bool = true;
        /// Subscribes to the state of each registration (RFC 3680), so that the network can end or shorten it here.
        reg_event: bool = false;
        /// How long such a subscription asks to live (TS 24.229 §5.2.3).
        reg_event_seconds: u32 = 600_000, 60..=31_536_000;
    }
}

section! {
    /// `[timers]`: RFC 3261 timers and the lives of connections.
    Timers {
        /// RFC 3261 T1: round-trip estimate.
        t1_ms: u64 = 500, 10..=10_000;
        /// RFC 3261 T2: longest retransmission interval.
        t2_ms: u64 = 4_000, 10..=60_000;
        /// RFC 3261 T4: how long a message may stay in the network.
        t4_ms: u64 = 5_000, 10..=60_000;
        /// RFC 3261 timer C: how long an INVITE may ring.
        c_seconds: u64 = 185, 60..=3_600;
        /// A TLS connection from a UE without any message is closed after this (R4).
        tls_idle_seconds: u64 = 900, 1..=86_400;
        /// The same for plain TCP.
        tcp_idle_seconds: u64 = 900, 1..=86_400;
        /// A connection with the core that carried nothing for so long is closed.
        core_idle_seconds: u64 = 3_600, 1..=86_400;
        /// A connection that belongs to no registration is closed after this.
        unregistered_idle_seconds: u64 = 60, 1..=3_600;
        /// A TLS handshake must be done by then.
        handshake_seconds: u64 = 10, 1..=120;
        /// A connection to the core must be up by then.
        connect_seconds: u64 = 5, 1..=120;
        /// A SIP message must be complete by then once its first byte is in.
        message_seconds: u64 = 20, 1..=300;
        /// Life of a binding after an `rkeep` without a value (R8).
        rkeep_seconds: u64 = 600, 1..=86_400;
        /// A drain (SIGTERM) ends the process after this even if work is left.
        drain_seconds: u64 = 60, 0..=86_400;
    }
}

macro_rules! durations {
    ($($(#[$doc:meta])* $name:ident = $from:ident($field:ident);)*) => {
        impl Timers { $( $(#[$doc])* #[must_use] pub const fn $name(&self) -> Duration {
            Duration::$from(self.$field)
        } )* }
    };
}
durations! {
    /// `t1_ms`.
    t1 = from_millis(t1_ms);
    /// `t2_ms`.
    t2 = from_millis(t2_ms);
    /// `t4_ms`.
    t4 = from_millis(t4_ms);
    /// `c_seconds`.
    c = from_secs(c_seconds);
    /// `tls_idle_seconds`.
    tls_idle = from_secs(tls_idle_seconds);
    /// `tcp_idle_seconds`.
    tcp_idle = from_secs(tcp_idle_seconds);
    /// `core_idle_seconds`.
    core_idle = from_secs(core_idle_seconds);
    /// `unregistered_idle_seconds`.
    unregistered_idle = from_secs(unregistered_idle_seconds);
    /// `handshake_seconds`.
    handshake = from_secs(handshake_seconds);
    /// `connect_seconds`.
    connect = from_secs(connect_seconds);
    /// `message_seconds`.
    message = from_secs(message_seconds);
    /// `rkeep_seconds`.
    rkeep = from_secs(rkeep_seconds);
    /// `drain_seconds`.
    drain = from_secs(drain_seconds);
}

section! {
    /// `[limits]`: caps of everything that grows; reaching one is counted and answered, never silent.
    Limits {
        /// Start line and header fields of one SIP message.
        head_bytes_max: usize = 16_384, 1_024..=65_535;
        /// Header fields of one SIP message.
        headers_max: usize = 128, 16..=200;
        /// Body of one SIP message.
        body_bytes_max: usize = 262_144, 1_024..=16_777_216;
        /// Connections of the node, all sides.
        connections_max: usize = 200_000, 16..=10_000_000;
        /// Unregistered connections from one address; many UEs may share one behind a NAT.
        connections_per_source_max: usize = 20_000, 1..=10_000_000;
        /// TLS handshakes of one shard at a time.
        handshakes_max: usize = 4_096, 1..=1_000_000;
        /// Connections that one shard accepts in one turn of its loop.
        accepts_per_turn_max: usize = 16, 1..=1_024;
        /// SIP transactions of one shard.
        transactions_max: usize = 200_000, 16..=10_000_000;
        /// SIP dialogs of one shard.
        dialogs_max: usize = 200_000, 16..=10_000_000;
        /// Incomplete SIP messages of one shard, all connections together.
        pending_bytes_max: usize = 67_108_864, 65_536..=8_589_934_592;
        /// What waits for one connection to take it; a peer that does not read is cut off beyond.
        send_queue_bytes_max: usize = 1_048_576, 65_536..=268_435_456;
        /// Connections of one shard to one peer in the core.
        core_connections_per_peer: usize = 1, 1..=64;
    }
}

section! {
    /// `[validation]`: how strictly requests are checked, side by side.
    Validation {
        /// Requests of UEs.
        access: AccessChecks = AccessChecks::default();
        /// Requests of the core.
        core: CoreChecks = CoreChecks::default();
    }
}

section! {
    /// `[validation.access]`: how strictly requests of UEs are checked.
    AccessChecks {
        /// Fields that the specification's tables want (R33).
        mandatory: Level = Level::Lenient;
        /// Fields without a value (R34); lenient lets those pass that RFC 3261's grammar lets be empty.
        empty_fields: Level = Level::Lenient;
        /// Content-Type, boundaries and supported types (R37 to R40).
        bodies: Level = Level::Strict;
        /// Parts of a body: types that stand twice, CPIM fields that stand twice (R36, R41).
        parts: Level = Level::Strict;
        /// Habits that RFC 3261's grammar does not allow: open quotes, addresses without scheme and the like.
        syntax: Level = Level::Off;
    }
}

section! {
    /// `[validation.core]`: how strictly requests of the core are checked.
    CoreChecks {
        /// Fields that the specification's tables want.
        mandatory: Level = Level::Off;
        /// Fields without a value.
        empty_fields: Level = Level::Off;
        /// Content-Type, boundaries and supported types.
        bodies: Level = Level::Lenient;
        /// Parts of a body.
        parts: Level = Level::Lenient;
        /// Habits that RFC 3261's grammar does not allow.
        syntax: Level = Level::Off;
    }
}

/// How strictly one side is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks {
    /// Mandatory fields.
    pub mandatory: Level,
    /// Empty fields.
    pub empty_fields: Level,
    /// Types of bodies.
    pub bodies: Level,
    /// Parts of bodies.
    pub parts: Level,
    /// The grammar of fields.
    pub syntax: Level,
}

macro_rules! checks {
    ($($section:ident)*) => { $(
        impl $section {
            /// The same, whichever side it is.
            #[must_use]
            pub const fn checks(&self) -> Checks {
                let Self { mandatory, empty_fields, bodies, parts, syntax } = *self;
                Checks { mandatory, empty_fields, bodies, parts, syntax }
            }
        }
    )* };
}
checks!(AccessChecks CoreChecks);

section! {
    /// `[number_plan]`: how dialled numbers are completed (R32).
    NumberPlan {
        /// The country whose way of dialling holds for every key that is left out.
        plan: PlanName = PlanName::China;
        /// Country code without `+`.
        country_code: String = "86".to_owned();
        /// Area code put before local numbers, without the national prefix; empty: none.
        area_code: String = String::new();
        /// Dialled before national numbers.
        national_prefix: String = "0".to_owned();
        /// Dialled before international numbers.
        international_prefix: String = "00".to_owned();
        /// The forms of area codes, `x` for any digit: they tell the caller's own area.
        area_codes: Vec<String> = words("10 2x 3xx 4xx 5xx 6xx 7xx 8xx 9xx");
        /// The forms of national numbers that are dialled without a prefix, `x` for any digit: mobile numbers.
        national_numbers: Vec<String> =
            words("13xxxxxxxxx 14xxxxxxxxx 15xxxxxxxxx 16xxxxxxxxx 17xxxxxxxxx 18xxxxxxxxx 19xxxxxxxxx");
        /// Numbers with fewer digits are never completed.
        subscriber_digits_min: usize = 7, 3..=15;
        /// The scheme that completed numbers are written in.
        output: NumberOutput = NumberOutput::Tel;
        /// Writes complete numbers, too, in the scheme of `output`: `tel:` becomes `sip:...;user=phone` and back.
        convert: bool = false;
        /// Emergency numbers, never completed; `x` stands for a digit, a final `*` for any digits.
        emergency: Vec<String> = words("110 112 119 120 122");
        /// Service numbers, never completed.
        services: Vec<String> = words("100xx 101xx 106* 12xxx 95* 96* 400xxxxxxx 800xxxxxxx");
        /// Short codes and other digits that are never completed.
        special: Vec<String> = words("125*");
        /// Addresses of services, `user@host`, that no number rule is about.
        psi: Vec<String> = words("125*@*");
        /// Completes the number in Refer-To too.
        refer_to: bool = false;
        /// Completes the number in P-Preferred-Identity, before it is compared with the registered identities.
        preferred_identity: bool = false;
        /// Completes the entries of resource lists in bodies too.
        resource_lists: bool = false;
        /// Where people dial otherwise; a place of the user goes before one of the access point, and the first before later ones.
        places: Vec<NumberPlace> = Vec::new();
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

section! {
    /// `[msrp]`: the MSRP relay.
    Msrp {
        /// A session that carried nothing for so long ends.
        idle_seconds: u64 = 600, 1..=86_400;
        /// Bytes of one message over all its chunks; more is answered 413.
        message_bytes_max: u64 = 536_870_912, 1_024..=1_099_511_627_776;
        /// A chunk that makes no progress for so long ends its connection.
        chunk_seconds: u64 = 30, 1..=3_600;
        /// A connection must belong to a session by then (R77).
        bind_seconds: u64 = 30, 1..=600;
        /// Ends a call by BYE to both sides when the relay gave up its last session (idle, peer gone).
        end_calls: bool = true;
        /// Sessions of one shard.
        sessions_max: usize = 100_000, 1..=10_000_000;
        /// Seconds that a session may be open, whatever it carries; 0 for no limit.
        session_seconds_max: u64 = 0, 0..=31_536_000;
        /// Bytes a second of one session, both ways together, one second's worth at once; 0 for no limit.
        session_bytes_per_second_max: u64 = 0, 0..=1_000_000_000_000;
        /// The same for all sessions of one registration.
        user_bytes_per_second_max: u64 = 0, 0..=1_000_000_000_000;
        /// What waits for one connection before its source is no longer read.
        queue_high_bytes: usize = 131_072, 16_384..=67_108_864;
        /// The source is read again below this.
        queue_low_bytes: usize = 32_768, 1_024..=67_108_864;
        /// What MSRP is offered in to the core: `tcp` or `tls`.
        core_transport: Transport = Transport::Tcp;
        /// Refuses MSRP over TLS from an end that announces no certificate by SHA-256 or better (RFC 8122).
        require_fingerprint: bool = false;
        /// Pages that may open a WebSocket, as `Origin` names them; empty: all.
        websocket_origins: Vec<String> = Vec::new();
        /// Compares From-Path of UEs by session-id alone: for middleboxes that rewrite SDP (sessmatch).
        sessmatch_access: bool = false;
        /// The same towards the core.
        sessmatch_core: bool = false;
        /// Socket buffer asked of the kernel in each direction; 0 leaves it to the kernel.
        socket_buffer_bytes: usize = 0, 0..=67_108_864;
    }
}

section! {
    /// `[media]`: the RTP relay.
    Media {
        /// How packets are read and written; `auto` takes what this system does best.
        io: MediaIo = MediaIo::Auto;
        /// A shard with many streams waits so long for more packets before it works on them; 0: never.
        coalesce_microseconds: u64 = 400, 0..=1_000;
        /// RTP sessions (media lines) of one shard.
        sessions_max: usize = 20_000, 1..=1_000_000;
        /// What is spoken under keys from SDP, the preferred one first.
        srtp_suites: Vec<SrtpSuite> = SrtpSuite::ALL.to_vec();
        /// A port that was used rests for so long before it is given out again.
        port_rest_seconds: u64 = 10, 0..=600;
        /// A session in which nothing came from any side for so long is over.
        inactivity_seconds: u64 = 60, 1..=86_400;
        /// The same while both sides are on hold.
        hold_seconds: u64 = 3_600, 1..=86_400;
        /// One-way audio is reported after this.
        one_way_seconds: u64 = 10, 1..=600;
        /// Ends a call by BYE to both sides when the last of its sessions is over (silence, no port); otherwise it is only recorded.
        end_calls: bool = true;
        /// Packets a second from one side of a session; more are dropped.
        packets_per_second_max: u32 = 2_000, 50..=100_000;
        /// Packets at once from one side of a session.
        burst_packets_max: u32 = 200, 1..=10_000;
        /// Packets a second and session from sources that are not known: enough to prove themselves.
        strangers_per_second_max: u32 = 50, 1..=10_000;
    }
}

section! {
    /// `[identity]`: what the edge says about UEs.
    Identity {
        /// P-Access-Network-Info for UEs that send none (R15); empty: nothing is added.
        access_network_info: String = "IEEE-802.11".to_owned();
        /// Adds P-Charging-Vector with a fresh icid towards the core, and answers the core's own (RFC 7315 §4.6).
        charging_vector: bool = false;
        /// `orig-ioi` of that field: the network that requests come from; empty: left out.
        orig_ioi: String = String::new();
        /// `term-ioi` in answers to the core: the network that they come from; empty: left out.
        term_ioi: String = String::new();
    }
}

section! {
    /// `[topology]`: what UEs see of the core, and the core of UEs.
    Topology {
        /// Shows Call-IDs to the other side under a mask (R24); otherwise they pass unchanged.
        mask_call_id: bool = false;
        /// Addresses that no UE may see in text; addresses in SIP URIs are hidden wherever they lie.
        hidden: Vec<Prefix> = private_ranges();
        /// Names that end in one of these are hidden like addresses.
        hidden_domains: Vec<String> = Vec::new();
    }
}

/// RFC 1918, RFC 4193: of no use to anybody outside.
fn private_ranges() -> Vec<Prefix> {
    let ranges = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];
    ranges.iter().filter_map(|range| range.parse().ok()).collect()
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
