//! Common changes to a message, as edits over its bytes.

use crate::text::Members;
use crate::{Element, HeaderId, Message};
use core::net::SocketAddr;
use wire::bytes_class::push_decimal;
use wire::{EditList, Span};

/// Takes out every field with this id.
pub fn remove_all(message: Message<'_>, id: HeaderId, edits: &mut EditList) {
    for field in message.all(id) {
        edits.remove(field.line);
    }
}

/// Appends a field behind all others.
pub fn append(message: Message<'_>, name: &str, value: &[u8], edits: &mut EditList) {
    edits.insert_with(message.fields_end(), |out| crate::write::header(name, value, out));
}

/// Puts a field before all others: a Via, a Route.
pub fn prepend(message: Message<'_>, name: &str, value: &[u8], edits: &mut EditList) {
    let top = message.start_span().end as usize;
    edits.insert_with(top, |out| crate::write::header(name, value, out));
}

/// Puts a field before the first of its kind, or before all others.
pub fn prepend_to(message: Message<'_>, id: HeaderId, value: &[u8], edits: &mut EditList) {
    let top = message.first(id).map_or(message.start_span().end, |f| f.line.start);
    edits.insert_with(top as usize, |out| crate::write::header(id.name(), value, out));
}

/// Makes `value` the only value of this id: replaces the first, removes others, appends if absent.
pub fn set(message: Message<'_>, id: HeaderId, value: &[u8], edits: &mut EditList) {
    let mut fields = message.all(id);
    match fields.next() {
        Some(first) => edits.replace(first.value, value),
        None => append(message, id.name(), value, edits),
    }
    for other in fields {
        edits.remove(other.line);
    }
}

/// Writes the length that the body will have into Content-Length, if it differs.
///
/// Call it last, after all edits inside `body_span()`. Both fields of a message that has two are set.
pub fn fit_content_length(message: Message<'_>, edits: &mut EditList) {
    let grown = edits.growth(message.body_span());
    let length = (message.body().len() as i64).saturating_add(grown).max(0) as u64;
    let mut seen = false;
    for field in message.all(HeaderId::ContentLength) {
        seen = true;
        if wire::bytes_class::decimal(message.text(field.value)).map(u64::from) != Some(length) {
            edits.replace_with(field.value, |out| spaced_decimal(message, field.value, length, out));
        }
    }
    if !seen {
        edits.insert_with(message.fields_end(), |out| crate::write::content_length(length, out));
    }
}

/// An empty value may stand right behind its colon.
fn spaced_decimal(message: Message<'_>, value: Span, length: u64, out: &mut Vec<u8>) {
    let before = (value.start as usize).checked_sub(1).and_then(|at| message.bytes().get(at));
    if value.is_empty() && before == Some(&b':') {
        out.push(b' ');
    }
    push_decimal(length, out);
}

/// Takes out the members of a comma-separated field for which `gone` holds, with the commas that
/// would be left over; a field that loses all its members goes as a whole (R18).
///
/// Returns how many were taken out. `gone` may be asked twice about one member.
pub fn remove_elements(
    message: Message<'_>,
    id: HeaderId,
    gone: impl Fn(&[u8]) -> bool,
    edits: &mut EditList,
) -> usize {
    let mut removed = 0;
    for field in message.all(id) {
        let members = Members::new(message.bytes(), field.value);
        let is_gone = |member: Span| gone(message.text(member));
        if members.clone().all(is_gone) {
            let count = members.count();
            if count > 0 {
                edits.remove(field.line);
            }
            removed += count;
        } else {
            removed += remove_members(members, is_gone, edits);
        }
    }
    removed
}

/// Takes the topmost value of a comma-separated field out: the own Via of a response, the own Route.
pub fn remove_first(message: Message<'_>, id: HeaderId, edits: &mut EditList) -> Option<()> {
    let mut elements = message.elements(id);
    let top: Element<'_> = elements.next()?;
    if top.last {
        edits.remove(message.field(top.field)?.line);
    } else {
        let next = elements.next()?;
        edits.remove(Span { start: top.span.start, end: next.span.start });
    }
    Some(())
}

/// Removes some members of one list. Each takes the comma before it along, or, with nothing kept
/// before it, the comma behind it, so removals never overlap.
pub(crate) fn remove_members(
    members: Members<'_>,
    gone: impl Fn(Span) -> bool,
    edits: &mut EditList,
) -> usize {
    let mut removed = 0;
    let mut kept_before = false;
    let mut last_end = None;
    let mut members = members.peekable();
    while let Some(member) = members.next() {
        if !gone(member) {
            kept_before = true;
        } else {
            removed += 1;
            let start = last_end.filter(|_| kept_before).unwrap_or(member.start);
            let next = members.peek().filter(|_| !kept_before);
            let end = next.map_or(member.end, |next| next.start);
            edits.remove(Span { start, end });
        }
        last_end = Some(member.end);
    }
    removed
}

/// Notes in the topmost Via where the request came from: `received`, and `rport` if asked
/// (RFC 3261 §18.2.1, RFC 3581 §4, R6). A `received` that the peer wrote itself is taken out.
pub fn stamp_top_via(message: Message<'_>, source: SocketAddr, edits: &mut EditList) {
    if let Ok(via) = message.top_via() {
        edits.replace_with(via.span, |out| {
            crate::write::stamped_via(message.bytes(), &via, source, out);
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Index, Limits, parse};

    fn edited(text: &str, edit: impl FnOnce(Message<'_>, &mut EditList)) -> String {
        let mut index = Index::default();
        let message = parse(text.as_bytes(), &Limits::default(), &mut index).unwrap();
        let mut edits = EditList::new();
        edit(message, &mut edits);
        let mut out = Vec::new();
        let predicted = edits.gathered_len(text.len());
        assert_eq!(edits.gather(text.as_bytes(), &mut out), Ok(predicted));
        String::from_utf8(out).unwrap()
    }

    const HEAD: &str = "BYE sip:a SIP/2.0\r\n";

    #[test]
    fn fields_come_and_go() {
        let text = format!("{HEAD}k: a\r\nSupported: b\r\nTo: x\r\n\r\n");
        let set_supported = edited(&text, |m, e| set(m, HeaderId::Supported, b"c", e));
        assert_eq!(set_supported, format!("{HEAD}k: c\r\nTo: x\r\n\r\n"));
        let set_path = edited(&text, |m, e| set(m, HeaderId::Path, b"<sip:p>", e));
        assert_eq!(set_path, format!("{HEAD}k: a\r\nSupported: b\r\nTo: x\r\nPath: <sip:p>\r\n\r\n"));
        let removed = edited(&text, |m, e| remove_all(m, HeaderId::Supported, e));
        assert_eq!(removed, format!("{HEAD}To: x\r\n\r\n"));
        let via = edited(&text, |m, e| prepend(m, "Via", b"v", e));
        assert_eq!(via, text.replace("k: a", "Via: v\r\nk: a"));
        let to = edited(&text, |m, e| prepend_to(m, HeaderId::To, b"y", e));
        assert_eq!(to, text.replace("To: x", "To: y\r\nTo: x"));
    }

    #[test]
    fn option_tags_go_with_their_commas() {
        let without = |value: &str| {
            let text = format!("{HEAD}Require: {value}\r\nTo: x\r\n\r\n");
            let out = edited(&text, |m, e| {
                remove_elements(m, HeaderId::Require, |t| t.eq_ignore_ascii_case(b"sec-agree"), e);
            });
            out[HEAD.len()..].to_owned()
        };
        assert_eq!(without("sec-agree"), "To: x\r\n\r\n");
        assert_eq!(without("sec-agree, Sec-Agree"), "To: x\r\n\r\n");
        assert_eq!(without("path, sec-agree"), "Require: path\r\nTo: x\r\n\r\n");
        assert_eq!(without("sec-agree,path"), "Require: path\r\nTo: x\r\n\r\n");
        assert_eq!(without("a,sec-agree,b"), "Require: a,b\r\nTo: x\r\n\r\n");
        assert_eq!(without(""), "Require: \r\nTo: x\r\n\r\n");
    }

    #[test]
    fn the_topmost_value_is_popped() {
        let pop = |text: &str| {
            let text = format!("{HEAD}{text}\r\n");
            edited(&text, |m, e| remove_first(m, HeaderId::Route, e).unwrap_or_default())[HEAD.len()..]
                .to_owned()
        };
        assert_eq!(pop("Route: <sip:a>, <sip:b>\r\n"), "Route: <sip:b>\r\n\r\n");
        assert_eq!(pop("Route: <sip:a>\r\nRoute: <sip:b>\r\n"), "Route: <sip:b>\r\n\r\n");
        assert_eq!(pop("Route: <sip:a>\r\n"), "\r\n");
        assert_eq!(pop("To: x\r\n"), "To: x\r\n\r\n");
    }

    #[test]
    fn content_length_follows_the_body() {
        let change_body = |fields: &str, new: &[u8]| {
            edited(&format!("{HEAD}{fields}\r\nabc"), |m, e| {
                e.replace(m.body_span(), new);
                fit_content_length(m, e);
            })[HEAD.len()..]
                .to_owned()
        };
        assert_eq!(change_body("l: 3\r\n", b"12345"), "l: 5\r\n\r\n12345");
        assert_eq!(change_body("l: 3\r\nContent-Length: 3\r\n", b""), "l: 0\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(change_body("", b"1"), "Content-Length: 1\r\n\r\n1");
        assert_eq!(change_body("l:\r\n", b"1"), "l: 1\r\n\r\n1");
        assert_eq!(change_body("l: 003\r\n", b"xyz"), "l: 003\r\n\r\nxyz");
    }

    #[test]
    fn the_source_is_noted_in_the_topmost_via() {
        let stamp = |via: &str, source: &str| {
            let text = format!("{HEAD}Via: {via}\r\n\r\n");
            let out = edited(&text, |m, e| stamp_top_via(m, source.parse().unwrap(), e));
            out[HEAD.len() + 5..out.len() - 4].to_owned()
        };
        let from = "9.8.7.6:1234";
        assert_eq!(stamp("SIP/2.0/UDP 9.8.7.6:5;branch=x", from), "SIP/2.0/UDP 9.8.7.6:5;branch=x");
        assert_eq!(
            stamp("SIP/2.0/UDP 1.1.1.1;branch=x", from),
            "SIP/2.0/UDP 1.1.1.1;branch=x;received=9.8.7.6"
        );
        assert_eq!(stamp("SIP/2.0/UDP a.b;branch=x", from), "SIP/2.0/UDP a.b;branch=x;received=9.8.7.6");
        assert_eq!(
            stamp("SIP/2.0/UDP 9.8.7.6:5;rport;branch=x", from),
            "SIP/2.0/UDP 9.8.7.6:5;rport=1234;branch=x;received=9.8.7.6"
        );
        assert_eq!(
            stamp("SIP/2.0/UDP h ;received=6.6.6.6 ;branch=x, SIP/2.0/UDP i", from),
            "SIP/2.0/UDP h ;branch=x;received=9.8.7.6, SIP/2.0/UDP i"
        );
        assert_eq!(stamp("SIP/2.0/TCP [::2];rport", "[::1]:7"), "SIP/2.0/TCP [::2];rport=7;received=::1");
        assert_eq!(stamp("SIP/2.0/TCP [0::1]", "[::1]:7"), "SIP/2.0/TCP [0::1]");
    }
}
