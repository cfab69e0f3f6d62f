//! May this request come in at all? First of the stages, and the cheapest.
//!
//! The order is that of cost and of harm: who may not be here at all, then what the shard can bear,
//! then what this flow may send. Rates and overload each belong between the lines
//! below; a barred source is turned away by `source` before anything of its request is looked at.

use crate::emergency;
use crate::exchange::Incoming;
use crate::flow::Origin;
use crate::shard::Edge;
use sip::{HeaderId, Message, Method};
use wire::Cause;

/// Decides about a source, whatever it sends (R10).
///
/// # Errors
/// `Blacklisted`.
pub(crate) fn source(edge: &Edge, origin: &Origin) -> Result<(), Cause> {
    if edge.is_barred(origin) { Err(Cause::Blacklisted) } else { Ok(()) }
}

/// Decides about a request from a UE.
///
/// # Errors
/// `NotRegistered` for anything but REGISTER from a flow without a binding (R9), emergency calls
/// excepted; `Draining` for what would begin something new while the node is being emptied, unless it is
/// an emergency.
pub(crate) fn from_access(edge: &Edge, request: &Incoming<'_>) -> Result<(), Cause> {
    let urgent = emergency::is_urgent(edge, request);
    if request.method() != Method::Register && !is_registered(edge, request.origin) {
        let may_call = urgent && edge.config.emergency.unregistered;
        if !may_call && !emergency::is_of_guest(edge, request) {
            return Err(Cause::NotRegistered);
        }
    }
    if edge.draining && begins_something(request) && !urgent {
        return Err(Cause::Draining);
    }
    Ok(())
}

/// Decides about a request from the core, which is trusted: only a node that drains refuses.
///
/// # Errors
/// `Draining`.
pub(crate) fn from_core(edge: &Edge, request: &Incoming<'_>) -> Result<(), Cause> {
    if edge.draining && begins_something(request) {
        return Err(Cause::Draining);
    }
    Ok(())
}

fn is_registered(edge: &Edge, origin: &Origin) -> bool {
    let bindings = origin.flow().map_or(&[][..], |flow| edge.flows.bindings(flow));
    bindings.iter().any(|id| edge.bindings.find(*id).is_some_and(|b| !b.is_guest()))
}

/// Whether serving the request would leave more to drain than before: no dialog yet, and not a
/// de-registration, a keep-alive or the like.
fn begins_something(request: &Incoming<'_>) -> bool {
    match request.method() {
        Method::Register => !ends_all(request.message),
        Method::Ack | Method::Cancel | Method::Bye | Method::Prack => false,
        _ => !request.in_dialog() && request.via.param(b"rkeep").is_none(),
    }
}

fn ends_all(message: Message<'_>) -> bool {
    let header = message.expires();
    let mut contacts = message.name_addrs(HeaderId::Contact).flatten().peekable();
    contacts.peek().is_some() && contacts.all(|c| c.expires().or(header) == Some(0))
}
