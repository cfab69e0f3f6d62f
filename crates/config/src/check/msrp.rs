//! Whether the keys of the MSRP relay fit together, and with the realms.

use super::Checks;
use wire::Transport;

impl Checks<'_> {
    pub(super) fn msrp(&mut self) {
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
