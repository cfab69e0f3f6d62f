//! The handshake of one side: when it begins, with whom, and what must be true before its keys count.

use super::api::{Drop, DtlsRole};
use super::dtls::{Dtls, Flight, Handshake, Keys};
use core::net::SocketAddr;
use core::time::Duration;
use wire::{Fingerprint, Instant};

/// A side whose keys come from DTLS.
#[derive(Debug, Default)]
pub(super) struct Shake {
    stage: Stage,
    /// Where it is looked whether we can begin, if that is our part.
    begin_at: Option<Instant>,
    flight: Flight,
}

#[derive(Debug, Default)]
enum Stage {
    /// Nothing came yet, or the side has no such keys.
    #[default]
    Waiting,
    /// With this peer; others are not listened to.
    Running {
        handshake: Box<dyn Handshake>,
        peer: SocketAddr,
        is_proved: bool,
        keys: Option<Keys>,
        is_done: bool,
    },
    /// It failed, and is not tried again before new signalling: neither is the peer asked for ever, nor can
    /// somebody try fingerprint after fingerprint.
    Failed,
}

impl Shake {
    /// A handshake is due.
    pub(super) fn new(role: DtlsRole, now: Instant) -> Self {
        Self { begin_at: (role == DtlsRole::Client).then_some(now), ..Self::default() }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Waiting => self.begin_at,
            Stage::Running { handshake, .. } => handshake.next_deadline(),
            Stage::Failed => None,
        }
    }

    /// Takes a datagram of the peer in; gives the keys when they count.
    ///
    /// # Errors
    /// `Unproven` from anybody else than the one it began with, `NotAuthentic` if it failed.
    pub(super) fn handle(
        &mut self,
        dtls: &Dtls,
        role: DtlsRole,
        datagram: &[u8],
        source: SocketAddr,
        known: &[Fingerprint],
        now: Instant,
    ) -> Result<Option<Keys>, Drop> {
        if matches!(self.stage, Stage::Waiting) {
            self.stage = running(dtls.begin(role, now), source);
        }
        let Stage::Running { handshake, peer, .. } = &mut self.stage else { return Err(Drop::NotAuthentic) };
        if *peer != source {
            return Err(Drop::Unproven);
        }
        let result = handshake.handle(datagram, now, &mut self.flight);
        self.settle(result.is_ok(), known)
    }

    /// Begins, if that is our part and `target` is known; sends again what may be lost.
    pub(super) fn handle_deadline(
        &mut self,
        dtls: &Dtls,
        target: Option<SocketAddr>,
        known: &[Fingerprint],
        now: Instant,
    ) -> Result<Option<Keys>, Drop> {
        if self.next_deadline().is_none_or(|at| now < at) {
            return Ok(None);
        }
        if let (Stage::Waiting, Some(peer)) = (&self.stage, target) {
            self.stage = running(dtls.begin(DtlsRole::Client, now), peer);
        }
        match &mut self.stage {
            Stage::Running { handshake, .. } => {
                let result = handshake.handle_deadline(now, &mut self.flight);
                self.settle(result.is_ok(), known)
            }
            _ => {
                // The peer is behind a NAT and has not shown itself yet.
                self.begin_at = Some(now + LOOK_EVERY);
                Ok(None)
            }
        }
    }

    /// Whom to send what; empty after.
    pub(super) fn take_datagrams(&mut self) -> impl Iterator<Item = (SocketAddr, Vec<u8>)> + '_ {
        let peer = match &self.stage {
            Stage::Running { peer, .. } => Some(*peer),
            _ => None,
        };
        self.flight.datagrams.drain(..).filter_map(move |bytes| Some((peer?, bytes)))
    }

    fn settle(&mut self, is_well: bool, known: &[Fingerprint]) -> Result<Option<Keys>, Drop> {
        let Stage::Running { is_proved, keys, is_done, .. } = &mut self.stage else { return Ok(None) };
        let certificate = self.flight.certificate.take();
        if let Some(fresh) = self.flight.keys.take() {
            *keys = Some(fresh);
        }
        let is_foreign = certificate.as_ref().is_some_and(|der| !is_one_of(der, known));
        if is_foreign || (!is_well && !*is_done) {
            // RFC 5763 §6.7.1, RFC 8122 §5.1: media with anybody else is not to be.
            self.stage = Stage::Failed;
            self.flight = Flight::default();
            return Err(Drop::NotAuthentic);
        }
        *is_proved |= certificate.is_some();
        let counts = if *is_proved { keys.take() } else { None };
        *is_done |= counts.is_some();
        Ok(counts)
    }
}

fn running(handshake: Box<dyn Handshake>, peer: SocketAddr) -> Stage {
    Stage::Running { handshake, peer, is_proved: false, keys: None, is_done: false }
}

fn is_one_of(certificate: &[u8], known: &[Fingerprint]) -> bool {
    known.iter().any(|f| ::rtp::certificate::fingerprint(f.hash(), certificate).as_ref() == Some(f))
}

/// How often it is looked whether a peer behind a NAT has shown itself.
const LOOK_EVERY: Duration = Duration::from_millis(200);
