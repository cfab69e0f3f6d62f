//! What the access network says of a UE, and what charging is told: the P- fields that this network
//! answers for (RFC 7315, TS 24.229 §5.2).

use crate::exchange::Exchange;
use crate::points::PointId;
use crate::shard::Edge;
use sip::{HeaderId, Message};
use wire::{EditList, Realm, Span};

/// Tells the core the access network (R15): what the UE says passes, but it may not say that the
/// network says so; what the network knows goes beside it, marked; and where nobody says anything, the
/// default does.
pub(crate) fn access_info(edge: &Edge, message: Message<'_>, point: Option<PointId>, edits: &mut EditList) {
    for element in message.elements(HeaderId::PAccessNetworkInfo) {
        let from = memchr::memchr(b';', element.text).unwrap_or(element.text.len());
        for (text, range) in crate::address::params(&element.text[from..]) {
            if wire::bytes_class::trim(text).eq_ignore_ascii_case(NETWORK_PROVIDED) {
                let start = element.span.start as usize + from;
                edits.remove(Span::new(start + range.start, start + range.end));
            }
        }
    }
    let listener = point.and_then(|point| edge.points.listener(point, &edge.config.realm));
    let provided = listener.and_then(|listener| listener.access_network_info.as_deref());
    let (info, mark) = match provided {
        Some(info) => (info, true),
        None if message.has(HeaderId::PAccessNetworkInfo) => return,
        None => (edge.config.identity.access_network_info.as_str(), false),
    };
    if info.is_empty() {
        return;
    }
    edits.insert_with(message.fields_end(), |out| {
        out.extend_from_slice(b"P-Access-Network-Info: ");
        out.extend_from_slice(info.as_bytes());
        if mark {
            out.push(b';');
            out.extend_from_slice(NETWORK_PROVIDED);
        }
        out.extend_from_slice(b"\r\n");
    });
}

const NETWORK_PROVIDED: &[u8] = b"network-provided";

/// Gives an initial request of a UE its icid (RFC 7315 §4.6): unique for this dialog or transaction,
/// and nobody's to guess.
pub(crate) fn charge(edge: &mut Edge, message: Message<'_>, edits: &mut EditList) {
    if !edge.config.identity.charging_vector {
        return;
    }
    let mut icid = Vec::with_capacity(ICID_LEN);
    edge.random.push_token(ICID_LEN, &mut icid);
    let identity = &edge.config.identity;
    edits.insert_with(message.fields_end(), |out| {
        out.extend_from_slice(b"P-Charging-Vector: icid-value=\"");
        out.extend_from_slice(&icid);
        out.extend_from_slice(b"\";icid-generated-at=");
        out.extend_from_slice(edge.config.realm.core.host.as_bytes());
        push_ioi(b";orig-ioi=", &identity.orig_ioi, out);
        out.extend_from_slice(b"\r\n");
    });
}

const ICID_LEN: usize = 32;

/// The charging vector of a request of the core, to be answered; empty if it is none of ours to answer.
pub(crate) fn vector_of(edge: &Edge, message: Message<'_>, from: Realm) -> Box<[u8]> {
    if !edge.config.identity.charging_vector || from != Realm::Core {
        return Box::default();
    }
    let value = message.value(HeaderId::PChargingVector).unwrap_or_default();
    value.iter().filter(|b| !b.is_ascii_control()).copied().collect()
}

/// Tells the core in the answer of a UE which of its vectors is answered, and by which network.
pub(crate) fn answer_charge(edge: &Edge, x: &Exchange, message: Message<'_>, edits: &mut EditList) {
    if x.charging.is_empty() || message.status() == 100 {
        return;
    }
    edits.insert_with(message.fields_end(), |out| {
        out.extend_from_slice(b"P-Charging-Vector: ");
        out.extend_from_slice(&x.charging);
        if memchr::memmem::find(&x.charging, b"term-ioi").is_none() {
            push_ioi(b";term-ioi=", &edge.config.identity.term_ioi, out);
        }
        out.extend_from_slice(b"\r\n");
    });
}

fn push_ioi(name: &[u8], ioi: &str, out: &mut Vec<u8>) {
    if !ioi.is_empty() {
        out.extend_from_slice(name);
        out.extend_from_slice(ioi.as_bytes());
    }
}
