//! What a UE is told before it is switched on.

use super::command::AnswerPolicy;
use crate::auth::Secret;
use crate::msrp_end::MsrpSettings;
use crate::topology::Topology;
use core::net::SocketAddr;
use core::time::Duration;
use sip::transaction::Timers;
use std::sync::Arc;
use wire::{SocketId, Transport};

/// Who a UE is and how it reaches the network.
#[derive(Clone, Debug)]
pub struct UeSettings {
    /// Its name in violations and reports.
    pub name: String,
    /// The home domain: realm and registrar.
    pub domain: String,
    /// The public identity, `sip:user@domain`.
    pub identity: String,
    /// The private identity.
    pub username: String,
    /// What proves it.
    pub secret: Secret,
    /// The IMEI of a native UE, which stands in the Contact URI as in figure 5-8.
    pub imei: Option<String>,
    /// How it reaches the edge.
    pub transport: Transport,
    /// The edge's address (the core's in [`Topology::Direct`]).
    pub edge: SocketAddr,
    /// Its own socket, for UDP.
    pub socket: SocketId,
    /// The address it believes to have, for Via, Contact and SDP: one behind a NAT.
    pub claimed: SocketAddr,
    /// TCP or TLS for the MSRP streams it offers.
    pub msrp_transport: Transport,
    /// MSRP behaviour.
    pub msrp: MsrpSettings,
    /// Transaction timers.
    pub timers: Timers,
    /// The registration asked for.
    pub expires_seconds: u32,
    /// Send CRLF CRLF so often on streams, once registered.
    pub ping_interval: Option<Duration>,
    /// How it answers INVITEs.
    pub answer: AnswerPolicy,
    /// Whether it sends the notifications that are asked for.
    pub notifies: bool,
    /// What it holds the network to.
    pub topology: Arc<Topology>,
    /// Seeds tags, branches and ids.
    pub seed: u64,
}

impl UeSettings {
    /// An app with a password, over UDP, at an address behind a NAT.
    #[must_use]
    pub fn app(user: &str, domain: &str, password: &str, edge: SocketAddr) -> Self {
        Self {
            name: user.to_owned(),
            domain: domain.to_owned(),
            identity: format!("sip:{user}@{domain}"),
            username: format!("{user}@{domain}"),
            secret: Secret::Password(password.to_owned()),
            imei: None,
            transport: Transport::Udp,
            edge,
            socket: SocketId(0),
            claimed: SocketAddr::from(([10, 201, 66, 64], 3_550)),
            msrp_transport: Transport::Tcp,
            msrp: MsrpSettings::default(),
            timers: Timers::default(),
            expires_seconds: 3_600,
            ping_interval: None,
            answer: AnswerPolicy::Accept,
            notifies: true,
            topology: Arc::new(Topology::Direct),
            seed: 1,
        }
    }
}
