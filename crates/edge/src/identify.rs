//! Who is asking: flow → binding → registered identities → the one that is asserted.

use crate::address::{is_anonymous, same_identity};
use crate::exchange::Incoming;
use crate::shard::Edge;
use sip::{HeaderId, Message, NameAddr};
use wire::{BindingId, Cause, EditList, Span};

/// The caller of a request from a UE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Its binding.
    pub(crate) binding: BindingId,
    /// What is asserted about it: one P-Asserted-Identity value.
    pub(crate) identity: Vec<u8>,
}

/// Finds the caller.
///
/// The identity a UE prefers (P-Preferred-Identity; a P-Asserted-Identity of its own counts as no
/// more than that, R29) is asserted as it wrote it, display name included, if it is registered;
/// otherwise the first registered one is (R27). From must name a registered identity or nobody (R9),
/// for it is what the callee sees.
///
/// # Errors
/// `NotRegistered` without a binding, `IdentityMismatch` for a From that is somebody else's.
pub(crate) fn caller(edge: &Edge, request: &Incoming<'_>) -> Result<Caller, Cause> {
    let message = request.message;
    let flow = request.origin.flow().ok_or(Cause::NotRegistered)?;
    let bindings = edge.flows.bindings(flow);
    let preferred = [HeaderId::PPreferredIdentity, HeaderId::PAssertedIdentity]
        .into_iter()
        .flat_map(|id| message.name_addrs(id).flatten());
    for wanted in preferred {
        if let Some(binding) = bindings.iter().find(|id| owns(edge, **id, wanted.uri)) {
            check_from(edge, bindings, request)?;
            let identity = message.text(wanted.span).to_vec();
            return Ok(Caller { binding: *binding, identity });
        }
    }
    let first = *bindings.first().ok_or(Cause::NotRegistered)?;
    let named = check_from(edge, bindings, request)?;
    let binding = named.unwrap_or(first);
    Ok(Caller { binding, identity: default_identity(edge, binding) })
}

/// The caller of a request inside a dialog, which was admitted with it: From and To stay what they
/// were then, whoever they name.
pub(crate) fn in_dialog(edge: &Edge, message: Message<'_>, binding: BindingId) -> Caller {
    let preferred = [HeaderId::PPreferredIdentity, HeaderId::PAssertedIdentity]
        .into_iter()
        .flat_map(|id| message.name_addrs(id).flatten());
    let own = preferred.into_iter().find(|wanted| owns(edge, binding, wanted.uri));
    let identity = match own {
        Some(wanted) => message.text(wanted.span).to_vec(),
        None => default_identity(edge, binding),
    };
    Caller { binding, identity }
}

/// The binding that From belongs to; `None` for an anonymous caller.
fn check_from(
    edge: &Edge,
    bindings: &[BindingId],
    request: &Incoming<'_>,
) -> Result<Option<BindingId>, Cause> {
    if is_anonymous(request.from.uri) {
        return Ok(None);
    }
    let owner = bindings.iter().find(|id| owns(edge, **id, request.from.uri));
    owner.map(|id| Some(*id)).ok_or(Cause::IdentityMismatch)
}

/// Whether `uri` is the address of record of this binding or in its P-Associated-URI (R27, R63).
fn owns(edge: &Edge, binding: BindingId, uri: &[u8]) -> bool {
    let Some(binding) = edge.bindings.live(binding) else {
        return false;
    };
    let profile = binding.profile();
    same_identity(profile.aor, uri) || identities(profile.identities).any(|i| same_identity(i.uri, uri))
}

/// The default identity: the first of P-Associated-URI (TS 24.229 §5.2.6.3), else the address of record.
fn default_identity(edge: &Edge, binding: BindingId) -> Vec<u8> {
    let Some(binding) = edge.bindings.live(binding) else {
        return Vec::new();
    };
    let profile = binding.profile();
    let first = identities(profile.identities).next().map_or(profile.aor, |i| i.uri);
    [b"<", first, b">"].concat()
}

/// The addresses of a stored P-Associated-URI value: one on each line.
pub(crate) fn identities(value: &[u8]) -> impl Iterator<Item = NameAddr<'_>> {
    value.split(|&b| b == b'\n').filter_map(|line| NameAddr::read(line, Span::new(0, line.len())))
}

/// The number that local numbers are completed from: the caller's own, if it has one (R32).
pub(crate) fn caller_uri(edge: &Edge, caller: &Caller) -> Option<Vec<u8>> {
    let profile = edge.bindings.live(caller.binding)?.profile();
    let all = || identities(profile.identities).map(|i| i.uri).chain([profile.aor]);
    let number = all().find(|uri| {
        uri.starts_with(b"tel:") || crate::address::identity_key(uri).is_some_and(|k| k[0] == b'+')
    });
    number.map(<[u8]>::to_vec)
}

/// Writes the assertion where the UE wrote its wish (R27).
pub(crate) fn assert_identity(message: Message<'_>, caller: &Caller, edits: &mut EditList) {
    let wish =
        message.first(HeaderId::PPreferredIdentity).or_else(|| message.first(HeaderId::PAssertedIdentity));
    let at = wish.map_or(message.fields_end(), |field| field.line.start as usize);
    edits.insert_with(at, |out| {
        out.extend_from_slice(b"P-Asserted-Identity: ");
        out.extend_from_slice(&caller.identity);
        out.extend_from_slice(b"\r\n");
    });
}
