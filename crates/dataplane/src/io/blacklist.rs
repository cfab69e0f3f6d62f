//! Barred sources (R10): refused when they come, cut when they are here already.
//!
//! Datagrams are left to the edge, which answers a REGISTER.

use super::Io;
use crate::conn::Conn;
use core::net::IpAddr;
use std::sync::Arc;
use telemetry::flow;
use wire::{CloseReason, PrefixSet, Realm};

/// The set in force, and how far the connections were searched for it.
#[derive(Debug, Default)]
pub(super) struct Blacklist {
    set: Arc<PrefixSet>,
    /// The slot to go on at, while a search is under way.
    next: Option<usize>,
}

/// Slots searched in a turn, so that the others wait for less than a millisecond.
const SLOTS_PER_TURN: usize = 512;

impl Io {
    /// Puts a new set in force; what is open is searched from the next turn on.
    pub(crate) fn set_blacklist(&mut self, set: Arc<PrefixSet>) {
        self.blacklist = Blacklist { next: (!set.is_empty()).then_some(0), set };
    }

    /// The set in force.
    pub(crate) fn blacklist(&self) -> &Arc<PrefixSet> {
        &self.blacklist.set
    }

    /// The core is trusted.
    pub(super) fn is_barred(&self, realm: Realm, peer: IpAddr) -> bool {
        realm == Realm::Access && self.blacklist.set.contains(peer)
    }

    /// Whether connections of barred sources may still be open.
    pub(crate) fn is_cutting(&self) -> bool {
        self.blacklist.next.is_some()
    }

    /// Cuts the connections of barred sources in one stretch of the table, without last words.
    pub(crate) fn cut_barred(&mut self) {
        let Some(first) = self.blacklist.next else {
            return;
        };
        let barred = |conn: &Conn| self.is_barred(conn.kind.realm, conn.peer.ip());
        let (ids, next) = self.conns.search(first, SLOTS_PER_TURN, barred);
        for id in ids {
            self.fail_as(id, CloseReason::Local, flow::REASON_BLACKLISTED);
        }
        self.blacklist.next = next;
    }
}
