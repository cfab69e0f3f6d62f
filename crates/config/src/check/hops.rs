//! Whether pools lead anywhere, and emergency calls to one of them.

use super::{Checks, is_unbindable};
use wire::{HostQuery, Transport};

impl Checks<'_> {
    pub(super) fn pools(&mut self) {
        let pools = &self.config.core.pools;
        for (i, pool) in pools.iter().enumerate() {
            let path = format!("core.pools[{i}]");
            let (name, at) = (&pool.name, format!("{path}.name"));
            let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
            if name.is_empty() || name.len() > 32 || !name.bytes().all(legal) {
                let message = format!("\"{name}\" is not the name of a pool");
                self.fault(&at, message, "1 to 32 letters, digits, `-`, `_`");
            } else if pools[..i].iter().any(|other| other.name == *name) {
                self.fault(&at, format!("two pools are named \"{name}\""), "");
            }
            if pool.members.is_empty() && !self.reader.positions.has(&format!("{path}.members[0]")) {
                let message = format!("pool \"{name}\" has no members");
                self.fault(&path, message, "add [[core.pools.members]]");
            }
            for (j, member) in pool.members.iter().enumerate() {
                self.member(&format!("{path}.members[{j}].uri"), &member.uri);
            }
        }
        self.named("core.pool", &self.config.core.pool);
        self.named("emergency.pool", &self.config.emergency.pool);
    }

    fn named(&mut self, path: &str, name: &str) {
        if !name.is_empty() && !self.config.core.pools.iter().any(|pool| pool.name == name) {
            self.fault(path, format!("there is no pool \"{name}\""), "add it to [[core.pools]]");
        }
    }

    fn member(&mut self, path: &str, uri: &HostQuery) {
        let core = &self.config.realm.core;
        let served = |transport, v4: Option<bool>| {
            let family = |v4: bool, bind: &core::net::SocketAddr| bind.is_ipv4() == v4;
            core.sip.iter().any(|l| l.transport == transport && v4.is_none_or(|v4| family(v4, &l.bind)))
        };
        let missing = match (uri.literal(), uri.transport()) {
            (Some((address, transport)), _) if !served(transport, Some(address.is_ipv4())) => {
                let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
                Some(format!("{transport} over {family}"))
            }
            (None, Some(transport)) if !served(transport, None) => Some(transport.to_string()),
            _ => None,
        };
        if let Some(missing) = missing {
            let hint = format!("add one to [[realm.core.sip]], or change the member {uri}");
            self.fault(path, format!("no listener of `realm.core` speaks {missing}"), hint);
        }
        let secure = uri.transport() == Some(Transport::Tls);
        if secure && core.tls.as_ref().is_some_and(|tls| tls.ca.is_none()) {
            let message = "a next hop over TLS needs authorities to check it against";
            self.fault(path, message, "set `ca` in [realm.core.tls]");
        }
        if let Some((address, _)) = uri.literal()
            && (address.ip().is_unspecified() || is_unbindable(address.ip()))
        {
            self.fault(path, format!("{address} is not the address of a host"), "");
        }
    }

    pub(super) fn emergency(&mut self) {
        let emergency = &self.config.emergency;
        for (i, urn) in emergency.urns.iter().enumerate() {
            self.urn(&format!("emergency.urns[{i}]"), urn, "such as urn:service:sos, RFC 5031");
        }
        for (i, entry) in emergency.numbers.iter().enumerate() {
            let path = format!("emergency.numbers[{i}]");
            let number = &entry.number;
            let legal = |b: u8| b.is_ascii_digit() || b"*#".contains(&b);
            if number.is_empty() || number.len() > 20 || !number.bytes().all(legal) {
                let message = format!("\"{number}\" is not an emergency number");
                self.fault(&format!("{path}.number"), message, "digits, `*`, `#`");
            }
            self.urn(&format!("{path}.urn"), &entry.urn, "such as urn:service:sos.police, RFC 5031");
        }
        for (key, value, example) in [
            ("priority", &emergency.priority, "such as emergency"),
            ("resource_priority", &emergency.resource_priority, "such as esnet.1"),
        ] {
            let legal = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~,".contains(&b);
            if !value.bytes().all(legal) {
                let path = format!("emergency.{key}");
                self.fault(&path, format!("`{path}` is not a token: \"{value}\""), example);
            }
        }
    }

    /// RFC 5031 §3: `urn:service:` and labels.
    fn urn(&mut self, path: &str, urn: &str, hint: &str) {
        let label = |l: &str| {
            !l.is_empty() && l.len() <= 63 && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let service = urn.strip_prefix("urn:service:");
        if !service.is_some_and(|service| service.split('.').all(label)) {
            self.fault(path, format!("\"{urn}\" is not a service URN"), hint);
        }
    }
}
