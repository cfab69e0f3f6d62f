//! Brings the names of next hops and the data plane together.

use config::Config;
use control::Names;
use dataplane::Dataplane;
use std::io;
use std::sync::Arc;
use std::thread;
use telemetry::Telemetry;

/// From here on, the shards hear what names lead to, and may ask for more.
pub(crate) fn attach(
    config: &Arc<Config>,
    telemetry: &Arc<Telemetry>,
    plane: &Arc<Dataplane>,
) -> io::Result<Names> {
    let shards = Arc::downgrade(plane);
    let names = Names::start(
        Arc::clone(config),
        Arc::clone(telemetry),
        Box::new(move |directory| {
            if let Some(plane) = shards.upgrade() {
                plane.set_directory(directory);
            }
        }),
    )?;
    let (wishes, wisher) = (plane.wishes(), names.wisher());
    // It ends with the shards, or with whoever looks names up.
    thread::Builder::new().name("wishes".to_owned()).spawn(move || {
        for query in wishes {
            if !wisher.want(query) {
                return;
            }
        }
    })?;
    Ok(names)
}
