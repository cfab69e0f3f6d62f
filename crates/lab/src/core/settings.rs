//! What the core is told before it is switched on.

use crate::auth::Subscription;
use crate::msrp_end::MsrpSettings;
use crate::topology::Topology;
use core::net::SocketAddr;
use sip::transaction::Timers;
use std::sync::Arc;
use wire::SocketId;

/// Where the core stands and whom it serves.
#[derive(Clone, Debug)]
pub struct CoreSettings {
    /// The home domain: realm, registrar, Service-Route.
    pub domain: String,
    /// Where SIP is served, over UDP and TCP alike.
    pub sip: SocketAddr,
    /// Its socket, for UDP.
    pub udp: SocketId,
    /// Where the messaging server takes MSRP connections.
    pub msrp: SocketAddr,
    /// MSRP behaviour.
    pub msrp_settings: MsrpSettings,
    /// Transaction timers.
    pub timers: Timers,
    /// Longest registration granted.
    pub expires_seconds_max: u32,
    /// Whom it serves.
    pub subscribers: Vec<Subscriber>,
    /// What it holds the edge to.
    pub topology: Arc<Topology>,
    /// Seeds nonces, tags, branches and ids.
    pub seed: u64,
}

impl CoreSettings {
    /// A core without subscribers.
    #[must_use]
    pub fn new(domain: &str, sip: SocketAddr, msrp: SocketAddr) -> Self {
        Self {
            domain: domain.to_owned(),
            sip,
            udp: SocketId(0),
            msrp,
            msrp_settings: MsrpSettings::default(),
            timers: Timers::default(),
            expires_seconds_max: 3_600,
            subscribers: Vec::new(),
            topology: Arc::new(Topology::Direct),
            seed: 1,
        }
    }
}

/// A user.
#[derive(Clone, Debug)]
pub struct Subscriber {
    /// Public identities, the default one first.
    pub identities: Vec<String>,
    /// How it proves itself.
    pub subscription: Subscription,
    /// Whether its Contact must carry `sip.instance` (native UEs).
    pub is_native: bool,
    /// Whether it comes over TLS, so that the edge vouches for it with `integrity-protected` (R16).
    pub is_protected: bool,
}
