//! Both sides of registration authentication: SIP Digest and IMS AKA, core and UE.
//!
//! ```text
//! UE                                  core (with its HSS)
//! Authenticator::first()      ──▶     Registrar sees no usable credentials
//!                             ◀──     Verifier::challenge()      401 + nonce
//! Authenticator::answer(..)   ──▶     Verifier::verify(..)       200 or 401/403
//! ```
//! Neither side trusts the other: the UE checks the network's MAC and SQN (AKA), the core checks the
//! response, the nonce's age and the nonce count.

pub mod aka;
pub mod digest;
pub mod params;
pub mod text;
mod ue;
mod verifier;

pub use digest::Algorithm;
pub use params::AuthValue;
pub use ue::{AnswerError, Authenticator, Secret};
pub use verifier::{Challenged, Refusal, Subscription, Verifier};
