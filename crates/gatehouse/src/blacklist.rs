//! Brings the blacklist and the data plane together.

use config::Config;
use control::Blacklist;
use control::blacklist::{Cut, Enforcer};
use dataplane::Dataplane;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use telemetry::Telemetry;
use wire::PrefixSet;

/// Opens the list of `[blacklist]`.
pub(crate) fn open(config: &Config, telemetry: &Arc<Telemetry>) -> Result<Arc<Blacklist>, String> {
    let settings = &config.blacklist;
    let directory = settings.directory.clone().or_else(from_systemd);
    match &directory {
        Some(directory) => tracing::debug!(directory = %directory.display(), "the blacklist is kept"),
        None => tracing::warn!("blacklist.directory is not set: a restart forgets the blacklist"),
    }
    Blacklist::open(directory.as_deref(), settings, Arc::clone(telemetry))
        .map_err(|error| format!("the blacklist cannot be opened: {error}"))
}

/// The first directory of `StateDirectory=`.
fn from_systemd() -> Option<PathBuf> {
    let directories = std::env::var_os("STATE_DIRECTORY")?;
    std::env::split_paths(&directories).next().filter(|path| path.is_absolute())
}

/// From here on, changes reach the shards.
pub(crate) fn attach(list: &Arc<Blacklist>, plane: &Arc<Dataplane>) -> io::Result<()> {
    list.attach(Box::new(Plane(Arc::downgrade(plane))))
}

/// The data plane, as long as it runs.
struct Plane(Weak<Dataplane>);

impl Enforcer for Plane {
    fn enforce(&self, set: &Arc<PrefixSet>) -> bool {
        self.0.upgrade().is_some_and(|plane| plane.set_blacklist(set))
    }

    fn holdings(&self, set: &Arc<PrefixSet>) -> Option<Cut> {
        let dataplane::Holdings { registrations, calls, connections } = self.0.upgrade()?.holdings(set)?;
        Some(Cut { registrations, calls, connections })
    }
}
