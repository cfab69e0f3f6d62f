//! How many connections there may be: in all, and from one address.
//!
//! Shared by the shards of a node and touched only when a connection comes or goes.

use core::net::IpAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use telemetry::flow::Refusal;

/// The connections of the node.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    total: AtomicUsize,
    sources: Mutex<HashMap<IpAddr, usize>>,
}

/// The place of one connection; given back when dropped, also when its shard panics.
#[derive(Debug)]
pub(crate) struct Permit {
    quota: Arc<Quota>,
    source: Option<IpAddr>,
}

impl Quota {
    /// A place for a connection from `source`, or why there is none.
    pub(crate) fn admit(
        self: &Arc<Self>,
        source: Option<IpAddr>,
        total_max: usize,
        source_max: usize,
    ) -> Result<Permit, Refusal> {
        // Taken first and given back on refusal: two shards can never both take the last place.
        if self.total.fetch_add(1, Ordering::Relaxed) >= total_max {
            self.total.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::ConnectionsMax);
        }
        let mut permit = Permit { quota: Arc::clone(self), source: None };
        if let Some(address) = source {
            let mut sources = self.sources();
            let count = sources.entry(address).or_insert(0);
            if *count >= source_max {
                drop(sources);
                return Err(Refusal::SourceMax);
            }
            *count += 1;
            permit.source = source;
        }
        Ok(permit)
    }

    /// Connections that have a place.
    #[cfg(test)]
    pub(crate) fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    fn sources(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Whether the connection counts against its source.
    pub(crate) fn is_on_trial(&self) -> bool {
        self.source.is_some()
    }

    /// Stops counting the connection against its source: it earned trust by registering.
    pub(crate) fn trust(&mut self) {
        let Some(address) = self.source.take() else {
            return;
        };
        let mut sources = self.quota.sources();
        if let Some(count) = sources.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                sources.remove(&address);
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.trust();
        self.quota.total.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    #[test]
    fn places_are_counted_and_given_back() {
        let quota = Arc::new(Quota::default());
        let a = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
        let b = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)));
        let mut one = quota.admit(a, 3, 1).unwrap();
        assert_eq!(quota.admit(a, 3, 1).unwrap_err(), Refusal::SourceMax);
        let two = quota.admit(b, 3, 1).unwrap();
        one.trust();
        let three = quota.admit(a, 3, 1).unwrap();
        assert_eq!(quota.admit(None, 3, 1).unwrap_err(), Refusal::ConnectionsMax);
        drop((one, two, three));
        assert_eq!(quota.total(), 0);
        assert!(quota.sources().is_empty());
    }
}
