//! What one key alone cannot tell: whether the keys fit together.

mod hops;

use crate::read::Reader;
use crate::sections::{Config, RealmConfig};
use core::net::{IpAddr, SocketAddr};
use wire::{Realm, Transport};

/// Reports everything that is well-formed and still cannot work.
pub(crate) fn check(config: &Config, reader: &mut Reader) {
    let mut checks = Checks { config, reader };
    checks.node();
    checks.realm(Realm::Access);
    checks.realm(Realm::Core);
    checks.binds();
    checks.media_ports();
    checks.core();
    checks.timers();
    checks.limits();
    checks.pools();
    checks.emergency();
    checks.msrp();
    checks.topology();
    checks.access_points();
    checks.identity();
    crate::check_numbers::check(config, reader);
    crate::check_rules::check(config, reader);
    crate::content::check(config, reader);
}

mod msrp;

struct Checks<'a> {
    config: &'a Config,
    reader: &'a mut Reader,
}

impl Checks<'_> {
    fn fault(&mut self, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        let error = self.reader.positions.error(path, message, hint);
        self.reader.errors.push(error);
    }

    fn node(&mut self) {
        let name = &self.config.node.name;
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(legal) {
            self.fault("node.name", "`node.name` is not a name", "1 to 64 letters, digits, `-`, `_`, `.`");
        }
        if !self.config.admin.listen.ip().is_loopback() {
            self.fault(
                "admin.listen",
                "`admin.listen` must be a loopback address",
                "it carries neither TLS nor authentication: put a proxy with both before it",
            );
        }
    }

    fn realm(&mut self, realm: Realm) {
        let name = format!("realm.{}", realm.label());
        let config = self.config.realm.of(realm);
        self.required(&name);
        self.host(&format!("{name}.host"), &config.host);
        for (i, listener) in config.sip.iter().enumerate() {
            if let Some(host) = &listener.host {
                self.host(&format!("{name}.sip[{i}].host"), host);
            }
        }
        if config.sip.is_empty() {
            self.fault(
                &format!("{name}.sip"),
                format!("`{name}` serves no SIP address"),
                format!("add a [[{name}.sip]] table"),
            );
        }
        self.advertised(&name, config);
        self.media(&name, config);
        self.tls(&name, config);
    }

    /// Tables in lists have keys without which they mean nothing.
    fn required(&mut self, name: &str) {
        for list in ["sip", "msrp"] {
            for i in 0.. {
                let member = format!("{name}.{list}[{i}]");
                if !self.reader.positions.has(&member) {
                    break;
                }
                for key in ["bind", "transport"] {
                    if !self.reader.positions.has(&format!("{member}.{key}")) {
                        self.fault(
                            &member,
                            format!("`{key}` is missing in {member}"),
                            "every listener needs it",
                        );
                    }
                }
            }
        }
    }

    fn host(&mut self, path: &str, host: &str) {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let is_address = bare.parse::<IpAddr>().is_ok();
        if !is_address && !is_host_name(host) {
            self.fault(
                path,
                format!("`{path}` is neither a host name nor an address: \"{host}\""),
                "without port",
            );
        }
    }

    /// Peers can only come back to an address that means something to them.
    fn advertised(&mut self, name: &str, config: &RealmConfig) {
        let host = format!("{name}.host");
        let open = |a: &SocketAddr| !a.ip().is_loopback();
        for (i, listener) in config.sip.iter().enumerate() {
            let path = format!("{name}.sip[{i}].bind");
            if is_unbindable(listener.bind.ip()) {
                self.fault(
                    &path,
                    format!("`{path}` is not an address of a host"),
                    "unicast or 0.0.0.0 / [::]",
                );
            }
            if open(&listener.bind) && listener.host.is_none() && !self.reader.positions.has(&host) {
                self.fault(
                    &path,
                    format!("`{host}` must be set when SIP is served beyond loopback"),
                    "the name or address that peers reach this node by",
                );
            }
        }
        let media = format!("{name}.media_address");
        for (i, listener) in config.msrp.iter().enumerate() {
            let path = format!("{name}.msrp[{i}].bind");
            if is_unbindable(listener.bind.ip()) {
                self.fault(
                    &path,
                    format!("`{path}` is not an address of a host"),
                    "unicast or 0.0.0.0 / [::]",
                );
            }
            if listener.bind.is_ipv4() && open(&listener.bind) && !self.reader.positions.has(&media) {
                self.fault(
                    &path,
                    format!("`{media}` must be set when media is served beyond loopback"),
                    "the address that peers are told in SDP",
                );
            }
        }
    }

    fn media(&mut self, name: &str, config: &RealmConfig) {
        let v4 = config.media_address;
        if v4.is_unspecified() || is_unbindable(v4.into()) {
            let path = format!("{name}.media_address");
            self.fault(
                &path,
                format!("`{path}` cannot be told to peers: {v4}"),
                "the address that reaches this node",
            );
        }
        if let Some(v6) = config.media_address_v6
            && (v6.is_unspecified() || v6.is_multicast())
        {
            let path = format!("{name}.media_address_v6");
            self.fault(
                &path,
                format!("`{path}` cannot be told to peers: {v6}"),
                "the address that reaches this node",
            );
        }
        for (i, listener) in config.msrp.iter().enumerate() {
            let path = format!("{name}.msrp[{i}]");
            if listener.transport == Transport::Udp {
                let path = format!("{path}.transport");
                self.fault(&path, "MSRP is not carried over UDP", "tcp or tls");
            }
            if listener.bind.is_ipv6() && config.media_address_v6.is_none() {
                self.fault(
                    &format!("{path}.bind"),
                    format!("`{name}.media_address_v6` must be set to serve MSRP over IPv6"),
                    "the address that peers are told in SDP",
                );
            }
        }
    }

    fn tls(&mut self, name: &str, config: &RealmConfig) {
        let path = format!("{name}.tls");
        if let Some(tls) = &config.tls {
            for (key, file) in [("certificate", &tls.certificate), ("key", &tls.key)] {
                if file.as_os_str().is_empty() {
                    self.fault(&path, format!("`{path}.{key}` is missing"), "the path of a PEM file");
                }
            }
            if let Some(server) = &tls.verify_server_name {
                self.host(&format!("{path}.verify_server_name"), server);
            }
            return;
        }
        if self.reader.positions.has(&path) {
            return; // it is there and faulty: reported by the reader
        }
        let sip = config.sip.iter().map(|l| l.transport).enumerate().map(|(i, t)| ("sip", i, t));
        let msrp = config.msrp.iter().map(|l| l.transport).enumerate().map(|(i, t)| ("msrp", i, t));
        for (list, i, _) in sip.chain(msrp).filter(|(.., t)| *t == Transport::Tls) {
            self.fault(
                &format!("{name}.{list}[{i}].transport"),
                format!("TLS is served without a certificate on `{name}`"),
                format!("set `certificate` and `key` in [{path}]"),
            );
        }
    }

    /// No two listeners of the node may want the same port, port ranges of shards included.
    fn binds(&mut self) {
        let mut taken: Vec<(String, bool, SocketAddr, u16)> = Vec::new();
        let shards = self.config.node.shard_count();
        for realm in [Realm::Access, Realm::Core] {
            let config = self.config.realm.of(realm);
            let name = format!("realm.{}", realm.label());
            for (i, l) in config.sip.iter().enumerate() {
                let width = if realm == Realm::Access { 1 } else { shards };
                let stream = l.transport.is_reliable();
                taken.push((format!("{name}.sip[{i}].bind"), stream, l.bind, width));
            }
            for (i, l) in config.msrp.iter().enumerate() {
                taken.push((format!("{name}.msrp[{i}].bind"), true, l.bind, shards));
            }
        }
        taken.push(("admin.listen".to_owned(), true, self.config.admin.listen, 1));
        for (i, (path, stream, bind, width)) in taken.iter().enumerate() {
            if bind.port() != 0 && u32::from(bind.port()) + u32::from(*width) > 65_536 {
                let hint = format!("{width} shards need {width} ports from here on");
                self.fault(path, format!("`{path}` leaves no room for the ports of the shards"), hint);
            }
            let clash = taken[..i].iter().find(|(_, s, b, w)| s == stream && overlap(b, *w, bind, *width));
            if let Some((other, _, _, other_width)) = clash {
                let hint = match (*width).max(*other_width) {
                    1 => "choose another port".to_owned(),
                    n => format!("shard i listens on port + i: {n} ports from the first on"),
                };
                let message = format!("`{path}` ({bind}) collides with `{other}`");
                self.fault(path, message, hint);
            }
        }
    }

    /// Each shard needs at least one pair on each side, and the sides none in common.
    fn media_ports(&mut self) {
        let pairs = u32::from(self.config.node.shard_count());
        for realm in [Realm::Access, Realm::Core] {
            let ports = self.config.realm.of(realm).media_ports(realm);
            let (first, last) = (u32::from(*ports.start()).next_multiple_of(2), u32::from(*ports.end()));
            if first < 1_024 || last + 1 < first + 2 * pairs {
                let name = format!("realm.{}.media_ports_first", realm.label());
                let message = format!("{} to {} holds no pair of ports for each shard", ports.start(), last);
                self.fault(&name, message, format!("from 1024 on, two ports for each of {pairs} shards"));
            }
        }
        let realms = &self.config.realm;
        let [a, b] = [Realm::Access, Realm::Core].map(|realm| realms.of(realm).media_ports(realm));
        let is_shared = a.start() <= b.end() && b.start() <= a.end();
        let v4 = |r: &RealmConfig| r.media_bind.unwrap_or(r.media_address);
        let v6 = |r: &RealmConfig| r.media_bind_v6.or(r.media_address_v6);
        let any = |v4: core::net::Ipv4Addr| v4.is_unspecified();
        let (access, core) = (&realms.access, &realms.core);
        let is_one_host = v4(access) == v4(core)
            || any(v4(access))
            || any(v4(core))
            || (v6(access).is_some() && v6(access) == v6(core));
        if is_shared && is_one_host {
            self.fault(
                "realm.core.media_ports_first",
                "the RTP ports of both sides overlap on one address",
                "give `realm.access` and `realm.core` ranges of their own",
            );
        }
    }

    fn core(&mut self) {
        if !is_host_name(&self.config.core.domain) {
            let domain = &self.config.core.domain;
            self.fault("core.domain", format!("`core.domain` is not a domain name: \"{domain}\""), "");
        }
        if self.config.core.next_hops.is_empty() && !self.reader.positions.has("core.next_hops[0]") {
            self.fault("core.next_hops", "`core.next_hops` is empty", "name at least one S-CSCF or I-CSCF");
        }
        let core = &self.config.realm.core;
        for (i, hop) in self.config.core.next_hops.iter().enumerate() {
            let path = format!("core.next_hops[{i}]");
            let family = if hop.address.is_ipv4() { "IPv4" } else { "IPv6" };
            let served = core
                .sip
                .iter()
                .any(|l| l.transport == hop.transport && l.bind.is_ipv4() == hop.address.is_ipv4());
            if !served {
                self.fault(
                    &path,
                    format!("no listener of `realm.core` speaks {} over {family}", hop.transport),
                    format!("add one to [[realm.core.sip]], or change next hop {hop}"),
                );
            }
            if hop.transport == Transport::Tls && core.tls.as_ref().is_some_and(|tls| tls.ca.is_none()) {
                self.fault(
                    &path,
                    "a next hop over TLS needs authorities to check it against",
                    "set `ca` in [realm.core.tls]",
                );
            }
            if hop.address.ip().is_unspecified() || is_unbindable(hop.address.ip()) || hop.address.port() == 0
            {
                self.fault(&path, format!("{} is not the address of a host", hop.address), "");
            }
        }
    }

    fn timers(&mut self) {
        let t = &self.config.timers;
        if t.t1_ms > t.t2_ms {
            self.fault("timers.t1_ms", "`t1_ms` is longer than `t2_ms`", "RFC 3261 §17.1.2.1: T1 ≤ T2");
        }
    }

    fn limits(&mut self) {
        let l = &self.config.limits;
        if l.connections_per_source_max > l.connections_max {
            self.fault(
                "limits.connections_per_source_max",
                "`connections_per_source_max` is above `connections_max`",
                "one source cannot have more than all",
            );
        }
        let message = l.head_bytes_max + l.body_bytes_max;
        for (key, room) in
            [("send_queue_bytes_max", l.send_queue_bytes_max), ("pending_bytes_max", l.pending_bytes_max)]
        {
            if room < message {
                let path = format!("limits.{key}");
                let hint = format!("head_bytes_max + body_bytes_max = {message}");
                self.fault(&path, format!("`{key}` does not hold one message of the largest size"), hint);
            }
        }
        let m = &self.config.msrp;
        if m.queue_low_bytes >= m.queue_high_bytes {
            let hint = "reading stops above high and goes on below low";
            self.fault("msrp.queue_low_bytes", "`queue_low_bytes` is not below `queue_high_bytes`", hint);
        }
    }

    fn topology(&mut self) {
        for (i, domain) in self.config.topology.hidden_domains.iter().enumerate() {
            let path = format!("topology.hidden_domains[{i}]");
            if !is_host_name(domain) {
                self.fault(
                    &path,
                    format!("`{path}` is no domain: \"{domain}\""),
                    "such as \"core.example.net\"",
                );
            }
        }
    }

    /// What is written into header fields as it stands.
    fn identity(&mut self) {
        let identity = &self.config.identity;
        let listeners = [Realm::Access, Realm::Core].into_iter().flat_map(|realm| {
            let listeners = self.config.realm.of(realm).sip.iter().enumerate();
            listeners.map(move |(i, listener)| {
                let path = format!("realm.{}.sip[{i}].access_network_info", realm.label());
                (path, listener.access_network_info.as_deref().unwrap_or_default())
            })
        });
        let values = [
            ("identity.access_network_info", &identity.access_network_info),
            ("identity.orig_ioi", &identity.orig_ioi),
            ("identity.term_ioi", &identity.term_ioi),
        ];
        let values = values.into_iter().map(|(path, value)| (path.to_owned(), value.as_str()));
        let is_odd = |path: &str, value: &str| match path.ends_with("_ioi") {
            true => !value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
            false => !value.bytes().all(|b| (32..127).contains(&b)),
        };
        let odd: Vec<String> = listeners
            .chain(values)
            .filter(|(path, value)| is_odd(path, value))
            .map(|(path, _)| path)
            .collect();
        for path in odd {
            let hint = "printable ASCII on one line; an ioi is a name like \"home1.net\"";
            self.fault(&path, format!("`{path}` cannot stand in a header field"), hint);
        }
    }

    /// Several listeners may share a name: one place over several transports.
    fn access_points(&mut self) {
        for realm in [Realm::Access, Realm::Core] {
            for (i, listener) in self.config.realm.of(realm).sip.iter().enumerate() {
                let Some(name) = listener.name.as_ref().filter(|name| !is_label(name)) else { continue };
                let path = format!("realm.{}.sip[{i}].name", realm.label());
                self.fault(&path, format!("{name:?} is not a name"), LABEL_HINT);
            }
        }
    }
}

/// Whether a text may name something in metrics and on the command line.
pub(crate) fn is_label(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (1..=64).contains(&name.len()) && name.bytes().all(legal)
}

pub(crate) const LABEL_HINT: &str = "1 to 64 letters, digits, `-`, `_`, `.`";

fn is_host_name(host: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    !host.is_empty()
        && host.len() <= 253
        && host.split('.').all(label)
        // `192.0.2.300` is a mistyped address, not a name.
        && !host.split('.').all(|l| l.bytes().all(|b| b.is_ascii_digit()))
}

fn is_unbindable(ip: IpAddr) -> bool {
    ip.is_multicast() || ip == IpAddr::V4(core::net::Ipv4Addr::BROADCAST)
}

fn overlap(a: &SocketAddr, a_width: u16, b: &SocketAddr, b_width: u16) -> bool {
    if a.port() == 0 || b.port() == 0 || a.is_ipv4() != b.is_ipv4() {
        return false;
    }
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    let (a_start, b_start) = (u32::from(a.port()), u32::from(b.port()));
    same_ip && a_start < b_start + u32::from(b_width) && b_start < a_start + u32::from(a_width)
}
