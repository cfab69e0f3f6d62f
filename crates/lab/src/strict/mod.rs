//! The lab's own readers and writers of SIP, SDP, MSRP, CPIM and multipart.
//!
//! They share no code with the `sip`, `sdp` and `msrp` crates that the edge uses, so that a mistake
//! there cannot hide itself, and they are strict where those are tolerant: an edge may accept a
//! vendor's habits but must not emit them. Nothing here is made for speed.

pub mod body;
pub mod cpim;
pub mod msrp;
pub mod sdp;
pub mod sip;
pub mod uri;
pub mod write;

pub use cpim::Cpim;
pub use msrp::{MsrpFrame, MsrpReader};
pub use sdp::Sdp;
pub use sip::{SipFramer, SipMessage, Via};
pub use uri::{NameAddr, Uri};
pub use write::SipWriter;
