//! What an idle session costs in memory, once it carried a message.

use super::link::Ue;
use super::relays::{Kind, Place, Relay};
use super::traffic::{Session, Work};
use std::io;
use wire::Transport;

/// One message each, so that everything a session ever allocates is there.
const HELLO: Work = Work { name: "hello", body: 2_048, window: 1, rate: None, count: 1 };

/// Sessions that this process and the relay can hold: each needs two descriptors in both.
#[must_use]
pub fn count_that_fits(wanted: u32) -> u32 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let fits = limit.saturating_sub(200) / 2;
    wanted.min(u32::try_from(fits).unwrap_or(u32::MAX))
}

/// Bytes of our process for each of `count` idle sessions, beyond what it needs for one.
///
/// # Errors
/// If a session does not come up or loses its message.
pub fn idle_bytes(access: Transport, count: u32, place: &Place) -> io::Result<f64> {
    let one = memory(access, 1, place)?;
    let all = memory(access, count, place)?;
    Ok((all.saturating_sub(one)) as f64 / f64::from(count.saturating_sub(1).max(1)))
}

fn memory(access: Transport, count: u32, place: &Place) -> io::Result<u64> {
    let relay = Relay::start(Kind::Gatehouse, access, count, place)?;
    let tls = (access == Transport::Tls).then_some(&place.tls);
    let mut open = Vec::new();
    // Sessions are dialled in their order, and faster than messages pass.
    let cores: Vec<_> = (0..count).map(|_| relay.accept()).collect::<io::Result<_>>()?;
    for (number, core) in (0..).zip(cores) {
        let (to, from) = relay.paths(number)?;
        let mut session = Session::new(Ue::connect(relay.address(), tls)?, core, to, from)?;
        session.run(&HELLO)?;
        open.push(session);
    }
    // The counters are published, and what was freed is given back.
    std::thread::sleep(std::time::Duration::from_millis(500));
    relay.process.memory_bytes()
}
