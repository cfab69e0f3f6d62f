//! What reaches a shard from other threads: a bounded queue and a wake-up.

use crate::plane::Holdings;
use crate::rtp::RtpSessionView;
use crate::tls::Material;
use config::Config;
use core::net::SocketAddr;
use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use std::io;
use std::sync::Arc;
use telemetry::capture::Capture;
use wire::{Directory, PrefixSet, Realm, Transport};

/// One message.
#[derive(Debug)]
pub(crate) enum Mail {
    /// A SIP message that came in on another shard.
    Handover { realm: Realm, transport: Transport, source: SocketAddr, bytes: Box<[u8]> },
    /// A new configuration with its TLS material.
    Config(Arc<Config>, Arc<Material>),
    /// A new blacklist; the sender hears when it is in force.
    Blacklist(Arc<PrefixSet>, Sender<()>),
    /// Counts what the sources in a set have here.
    Count(Arc<PrefixSet>, Sender<Holdings>),
    /// The RTP sessions of a call, or of all, as they stand.
    RtpSessions { call_id: Option<Arc<str>>, max: usize, answer: Sender<Vec<RtpSessionView>> },
    /// Begins a capture; the answer is how many sessions it sees at once.
    Capture { capture: Arc<Capture>, seconds: u64, answer: Sender<usize> },
    /// What names of next hops lead to.
    NextHops(Arc<Directory>),
    /// Refuse new work.
    Drain,
    /// Close everything and end.
    Stop,
}

/// Where others put mail for a shard.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    mail: Sender<Mail>,
    wake: Arc<OwnedFd>,
}

/// The shard's end.
#[derive(Clone, Debug)]
pub(crate) struct Letters {
    mail: Receiver<Mail>,
    wake: Arc<OwnedFd>,
}

/// Hand-overs are rare (a core that does not follow the port in our URIs); a flood of them is dropped.
const MAIL_MAX: usize = 4_096;

pub(crate) fn mailbox() -> io::Result<(Mailbox, Letters)> {
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let (sender, receiver) = bounded(MAIL_MAX);
    Ok((Mailbox { mail: sender, wake: Arc::clone(&wake) }, Letters { mail: receiver, wake }))
}

impl Mailbox {
    /// Puts mail in; false if the box is full.
    pub(crate) fn post(&self, mail: Mail) -> bool {
        let fits = self.mail.try_send(mail).is_ok();
        // A full counter means that the shard is woken already.
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
        fits
    }

    /// Puts mail in, and waits for room: for orders that must not get lost.
    pub(crate) fn order(&self, mail: Mail) {
        // The other end lives as long as its shard; a shard that ended needs no orders.
        let _ = self.mail.send(mail);
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
    }
}

impl Letters {
    pub(crate) fn wake(&self) -> &OwnedFd {
        &self.wake
    }

    /// Wakes the shard again: more mail is there than it read in one turn.
    pub(crate) fn wake_again(&self) {
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
    }

    /// Takes the wake-up back; mail that comes in after this wakes again.
    pub(crate) fn hear(&self) {
        let _ = rustix::io::read(&*self.wake, &mut [0u8; 8]);
    }

    pub(crate) fn next(&self) -> Option<Mail> {
        self.mail.try_recv().ok()
    }
}
