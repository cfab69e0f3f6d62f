//! Whether pools lead anywhere.

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
}
