//! The RTP relay beside rtpengine and a bare loop on the same traffic: what a relay process costs per packet.
//!
//! ```text
//! load: UE end ══▶ relay process (gatehouse | bare | rtpengine) ══▶ core end
//!               ◀══      └─ process: CPU of its whole tree, memory ◀══
//! ```
//! Both ends of all streams are two sockets of the measuring process; every relay has a socket for each
//! stream and side. All are pinned to one core, and CPU time is what the scheduler says.

pub mod anchor;
pub mod bare;
pub mod bench;
pub mod load;
pub mod relays;
pub mod rtpengine;
pub mod table;
