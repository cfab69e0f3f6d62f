//! SIP: read, index, edit, write; URIs; the RFC 3261 transaction machines.
//!
//! ```text
//! bytes ─ frame ─▶ one message ─ parse ─▶ Message (view) ─ typed views, spans ─▶ wire::EditList
//! ```
//! Reading copies nothing: a `Message` is the bytes and a reused index, and every typed view borrows
//! from the bytes. What is not edited leaves as it came (R30). No function here panics on peer bytes,
//! reads a clock, opens a socket or draws randomness.

pub mod auth;
pub mod cpim;
pub mod edit;
pub mod features;
pub mod frame;
#[doc(hidden)]
pub mod fuzz;
pub mod header;
pub mod index;
pub mod items;
pub mod message;
pub mod method;
pub mod multipart;
pub mod name_addr;
pub mod params;
pub mod text;
pub mod transaction;
pub mod uri;
pub mod values;
pub mod via;
pub mod write;

pub use auth::{AuthParam, AuthParams};
pub use header::HeaderId;
pub use index::{Field, Index, Limits, ParseError, parse, salvage};
pub use items::{Item, RAck, Reason, Refresher, SessionExpires, Warning};
pub use message::{Element, Elements, Message, MessageBuf};
pub use method::Method;
pub use name_addr::NameAddr;
pub use params::{Param, Params};
pub use text::unquote;
pub use values::{CSeq, MediaType};
pub use via::Via;
