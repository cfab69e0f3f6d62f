//! The MSRP relay beside others on the same traffic: what a relay process costs per byte and per session.
//!
//! ```text
//! traffic: UE end ══▶ relay process (gatehouse | bare | HAProxy | Kamailio) ══▶ core end, which answers
//!                          └─ process: CPU of its whole tree, memory
//! ```
//! Both ends are one thread of the measuring process, so that every relay meets the same pattern of
//! writes and wake-ups; all are pinned to one core.

pub mod anchor;
pub mod bare;
pub mod bench;
pub mod chunk;
pub mod link;
pub mod process;
pub mod relays;
pub mod sessions;
pub mod traffic;
