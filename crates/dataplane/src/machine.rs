//! What a shard drives: the seam between sockets and protocol machines.

use config::Config;
use edge::api::{Event, Outbox, ShardContext};
use media::relay;
use std::sync::Arc;
use telemetry::Bank;
use telemetry::hops::HopRow;
use wire::{Instant, PrefixSet, StreamId};

/// The signalling machine of one shard: SIP streams and datagrams go here.
pub trait Signalling {
    /// Takes in one event.
    fn handle(&mut self, event: Event<'_>, now: Instant, out: &mut Outbox);
    /// When to be woken; may lie in the past.
    fn next_deadline(&self) -> Option<Instant>;
    /// The alarm rang.
    fn handle_deadline(&mut self, now: Instant, out: &mut Outbox);
    /// Whether `stream` carries a registration: it then keeps its connection beyond the first minute.
    fn is_registered(&self, stream: StreamId) -> bool;
    /// What the sources in `set` have here.
    fn holdings(&self, set: &PrefixSet) -> edge::Holdings;
    /// How the next hops of the configuration do.
    fn next_hops(&self, _now: Instant) -> Vec<HopRow> {
        Vec::new()
    }
    /// Writes its counters into the bank of the shard.
    fn publish(&self, bank: &Bank);
}

/// The MSRP relay of one shard: MSRP streams go here.
pub trait Relaying {
    /// Takes in one event.
    fn handle(&mut self, event: relay::Event<'_>, now: Instant, out: &mut relay::Outbox);
    /// When to be woken; may lie in the past.
    fn next_deadline(&self) -> Option<Instant>;
    /// The alarm rang.
    fn handle_deadline(&mut self, now: Instant, out: &mut relay::Outbox);
    /// Other settings from here on.
    fn configure(&mut self, config: &Config, now: Instant, out: &mut relay::Outbox);
    /// Writes its counters into the bank of the shard.
    fn publish(&self, bank: &Bank);
}

/// Makes the machines of a shard, at start and after a panic.
pub trait Machines: Send + Sync + 'static {
    /// The signalling machine.
    type Signalling: Signalling;
    /// The relay.
    type Relaying: Relaying;
    /// Makes both for a shard whose sockets are bound.
    fn build(&self, config: &Arc<Config>, context: ShardContext) -> (Self::Signalling, Self::Relaying);
}
