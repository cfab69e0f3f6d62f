//! Who takes part in the flows: each way of registering once.

use crate::auth::{Algorithm, Secret, Subscription, aka::Sim};
use crate::core::Subscriber;
use crate::ue::UeSettings;
use core::net::SocketAddr;
use wire::Transport;

/// One user: what the core knows of it and what its UE is told.
#[derive(Clone, Debug)]
pub struct Person {
    /// The user part of its identity.
    pub name: &'static str,
    /// Its number, a second identity.
    pub number: &'static str,
    /// How its UE reaches the edge.
    pub transport: Transport,
    /// How it is challenged.
    pub algorithm: Algorithm,
    /// Whether challenges offer `qop`.
    pub qop: bool,
    /// The home domain.
    pub domain: String,
    /// The address its UE believes to have.
    pub claimed: SocketAddr,
    secret: Secret,
    imei: Option<&'static str>,
}

/// Alice (native, AKA, TLS), Bob (app, TLS), Carol (app, TCP), Dave (app, UDP).
#[must_use]
pub fn people(domain: &str) -> Vec<Person> {
    let person = |name, number, transport, algorithm, host: u8| Person {
        name,
        number,
        transport,
        algorithm,
        qop: true,
        domain: domain.to_owned(),
        claimed: SocketAddr::from(([10, 201, 66, host], 16_800 + u16::from(host))),
        secret: Secret::Password(format!("{name}'s password")),
        imei: None,
    };
    let alice = Person {
        qop: false,
        secret: Secret::Sim(Sim { k: *b"the key of Alice", opc: *b"Alice's operator" }),
        imei: Some("351564060017928"),
        ..person("alice", "+8613812342821", Transport::Tls, Algorithm::AkaV1Md5, 64)
    };
    let dave = Person {
        // figure 5-11 offers no qop
        qop: false,
        ..person("dave", "+8613812342824", Transport::Udp, Algorithm::Md5, 67)
    };
    vec![
        alice,
        person("bob", "+8613812342822", Transport::Tls, Algorithm::Sha256, 65),
        person("carol", "+8613812342823", Transport::Tcp, Algorithm::Md5, 66),
        dave,
    ]
}

impl Person {
    /// The public identity.
    #[must_use]
    pub fn identity(&self) -> String {
        format!("sip:{}@{}", self.name, self.domain)
    }

    /// The number as a URI.
    #[must_use]
    pub fn tel(&self) -> String {
        format!("tel:{}", self.number)
    }

    /// What the core is told.
    #[must_use]
    pub fn subscriber(&self) -> Subscriber {
        Subscriber {
            identities: vec![self.identity(), self.tel()],
            subscription: Subscription {
                username: format!("{}@{}", self.name, self.domain),
                secret: self.secret.clone(),
                algorithm: self.algorithm,
                qop: self.qop,
            },
            is_native: self.imei.is_some(),
            is_protected: self.transport == Transport::Tls,
        }
    }

    /// What its UE asks for its media.
    #[must_use]
    pub const fn media_transport(&self) -> Transport {
        match self.transport {
            Transport::Tls => Transport::Tls,
            Transport::Tcp | Transport::Udp => Transport::Tcp,
        }
    }

    /// What its UE is told; the caller sets topology and seed.
    #[must_use]
    pub fn ue(&self, edge: SocketAddr) -> UeSettings {
        UeSettings {
            secret: self.secret.clone(),
            imei: self.imei.map(str::to_owned),
            transport: self.transport,
            msrp_transport: self.media_transport(),
            claimed: self.claimed,
            ..UeSettings::app(self.name, &self.domain, "", edge)
        }
    }
}
