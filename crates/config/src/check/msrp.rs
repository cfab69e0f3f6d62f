//! Whether the keys of the MSRP relay fit together, and with the realms.

use super::Checks;
use wire::Transport;

impl Checks<'_> {
    pub(super) fn msrp(&mut self) {
        let relay = &self.config.msrp_relay;
        if relay.expires_seconds_min > relay.expires_seconds_max {
            self.fault(
                "msrp_relay.expires_seconds_min",
                "`expires_seconds_min` is above `expires_seconds_max`",
                "no time could be granted",
            );
        }
        let relay = &self.config.msrp_relay;
        if relay.realm.bytes().any(|b| !(32..127).contains(&b) || b == b'"' || b == b'\\' || b == b':') {
            self.fault("msrp_relay.realm", "not a realm", "printable, without quotes and colons");
        }
        for (i, listener) in self.config.realm.core.msrp.iter().enumerate() {
            if listener.websocket {
                let path = format!("realm.core.msrp[{i}].websocket");
                self.fault(&path, "the core does not speak MSRP over WebSocket", "access listeners only");
            }
        }
        match self.config.msrp.core_transport {
            Transport::Tcp => {}
            Transport::Udp => self.fault("msrp.core_transport", "MSRP is not carried over UDP", "tcp or tls"),
            Transport::Tls => {
                let served = self.config.realm.core.msrp.iter().any(|l| l.transport == Transport::Tls);
                if !served {
                    self.fault(
                        "msrp.core_transport",
                        "no listener of `realm.core` serves MSRP over TLS",
                        "add one to [[realm.core.msrp]]: it is what the core is told in SDP",
                    );
                }
            }
        }
    }
}
