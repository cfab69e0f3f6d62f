//! Who is asking: flow → binding → registered identities → the one that is asserted.

use crate::address::{identity_key, is_anonymous, same_identity};
use crate::exchange::Incoming;
use crate::number::Who;
use crate::shard::Edge;
use sip::{HeaderId, Message, NameAddr};
use wire::{BindingId, Cause, EditList, Span};

/// The caller of a request from a UE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller<'a> {
    /// Its binding.
    pub(crate) binding: BindingId,
    /// The registered identity it prefers, as it wrote it; `None` for the default one.
    pub(crate) wish: Option<Wish<'a>>,
}

/// A registered identity that a UE prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish<'a> {
    /// As the UE wrote it, display name included.
    Verbatim(&'a [u8]),
    /// A number that the plan completed: the identity with this ordinal, behind what stands before the
    /// URI (R32, by option).
    Completed {
        /// The display name, as the UE wrote it.
        display: &'a [u8],
        /// Which of the registered identities.
        ordinal: usize,
    },
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
pub(crate) fn caller<'a>(edge: &Edge, request: &Incoming<'a>) -> Result<Caller<'a>, Cause> {
    let message = request.message;
    let flow = request.origin.flow().ok_or(Cause::NotRegistered)?;
    let bindings = edge.flows.bindings(flow);
    let preferred = [HeaderId::PPreferredIdentity, HeaderId::PAssertedIdentity]
        .into_iter()
        .flat_map(|id| message.name_addrs(id).flatten());
    for wanted in preferred {
        let found = bindings.iter().find_map(|id| Some((*id, wish(edge, *id, message, &wanted)?)));
        if let Some((binding, wish)) = found {
            check_from(edge, bindings, request)?;
            return Ok(Caller { binding, wish: Some(wish) });
        }
    }
    let first = *bindings.first().ok_or(Cause::NotRegistered)?;
    let named = check_from(edge, bindings, request)?;
    let binding = named.unwrap_or(first);
    Ok(Caller { binding, wish: None })
}

/// The caller of a request inside a dialog, which was admitted with it: From and To stay what they
/// were then, whoever they name.
pub(crate) fn in_dialog<'a>(edge: &Edge, message: Message<'a>, binding: BindingId) -> Caller<'a> {
    let preferred = [HeaderId::PPreferredIdentity, HeaderId::PAssertedIdentity]
        .into_iter()
        .flat_map(|id| message.name_addrs(id).flatten());
    let wish = preferred.into_iter().find_map(|wanted| wish(edge, binding, message, &wanted));
    Caller { binding, wish }
}

/// How the identity that a UE prefers is asserted, if it is one of this binding's.
fn wish<'a>(
    edge: &Edge,
    binding: BindingId,
    message: Message<'a>,
    wanted: &NameAddr<'a>,
) -> Option<Wish<'a>> {
    if owns(edge, binding, wanted.uri) {
        return Some(Wish::Verbatim(message.text(wanted.span)));
    }
    let completed = edge.derived.numbers.preferred_identity(wanted.uri, &who(edge, binding))?;
    let profile = edge.bindings.live(binding)?.profile();
    let ordinal = identities(profile.identities).position(|i| same_identity(i.uri, &completed))?;
    Some(Wish::Completed { display: wanted.display, ordinal })
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

/// The addresses of a stored P-Associated-URI value: one on each line.
pub(crate) fn identities(value: &[u8]) -> impl Iterator<Item = NameAddr<'_>> {
    value.split(|&b| b == b'\n').filter_map(|line| NameAddr::read(line, Span::new(0, line.len())))
}

/// Who dials, for the number plan: the caller's own number, if it has one, its address, and the access
/// point that it is registered through (R32).
pub(crate) fn who(edge: &Edge, binding: BindingId) -> Who<'_> {
    let Some(binding) = edge.bindings.live(binding) else {
        return Who::default();
    };
    let profile = binding.profile();
    let mut all = identities(profile.identities).map(|i| i.uri).chain([profile.aor]);
    let number = all.find(|uri| identity_key(uri).is_some_and(|key| key.first() == Some(&b'+')));
    Who { number, user: Some(profile.aor), access_point: edge.points.name(binding.point) }
}

/// Writes the assertion where the UE wrote its wish (R27). The default identity is the first of
/// P-Associated-URI (TS 24.229 §5.2.6.3), else the address of record.
pub(crate) fn assert_identity(edge: &Edge, message: Message<'_>, caller: &Caller<'_>, edits: &mut EditList) {
    let wish =
        message.first(HeaderId::PPreferredIdentity).or_else(|| message.first(HeaderId::PAssertedIdentity));
    let at = wish.map_or(message.fields_end(), |field| field.line.start as usize);
    let Some(binding) = edge.bindings.live(caller.binding) else { return };
    if binding.is_guest() {
        return; // nobody we could vouch for
    }
    edits.insert_with(at, |out| {
        out.extend_from_slice(b"P-Asserted-Identity: ");
        let profile = binding.profile();
        let (display, ordinal) = match caller.wish {
            Some(Wish::Verbatim(wish)) => {
                out.extend_from_slice(wish);
                if let Some(other) = other_form(edge, message, caller, wish) {
                    out.extend_from_slice(b", ");
                    out.extend_from_slice(other);
                }
                out.extend_from_slice(b"\r\n");
                return;
            }
            Some(Wish::Completed { display, ordinal }) => (display, ordinal),
            None => (&b""[..], 0),
        };
        if !display.is_empty() {
            out.extend_from_slice(display);
            out.push(b' ');
        }
        out.push(b'<');
        out.extend_from_slice(identities(profile.identities).nth(ordinal).map_or(profile.aor, |i| i.uri));
        out.push(b'>');
        out.extend_from_slice(b"\r\n");
    });
}

/// The same wish by the other scheme: RFC 3325 §9.1 lets a UE be asserted by one SIP and one tel URI, as in
/// figure 5-51.
fn other_form<'m>(edge: &Edge, message: Message<'m>, caller: &Caller<'_>, wish: &[u8]) -> Option<&'m [u8]> {
    let is_tel = |uri: &[u8]| uri.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"tel:"));
    let first = NameAddr::read(wish, Span::new(0, wish.len()))?;
    let mut all = message.name_addrs(HeaderId::PPreferredIdentity).flatten();
    let other = all.find(|it| is_tel(it.uri) != is_tel(first.uri) && owns(edge, caller.binding, it.uri))?;
    Some(message.text(other.span))
}
