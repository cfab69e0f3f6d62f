//! What a side may send, held against the head of each SEND.

use crate::command::{ContentRules, MsrpSession};
use msrp::{Head, HeaderId};
use wire::bytes_class::trim;
use wire::{Cause, Realm};

/// The cause for which a SEND with a body is refused; the size is held against it as it comes.
pub(super) fn refused(head: &Head<'_>, session: &MsrpSession, from: Realm) -> Option<Cause> {
    let rules = session.content[from as usize].as_deref()?;
    if !rules.allows(head.value(HeaderId::ContentType)) {
        return Some(Cause::ContentTypeRefused);
    }
    is_blocked(head, rules).then_some(Cause::FileBlocked)
}

/// Whether Content-Disposition names a file that may not pass (RFC 2183 §2.3).
fn is_blocked(head: &Head<'_>, rules: &ContentRules) -> bool {
    if rules.suffixes_blocked.is_empty() {
        return false;
    }
    let dispositions = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case(b"Content-Disposition"));
    dispositions.flat_map(|(_, value)| file_names(value)).any(|name| rules.blocks(name))
}

/// The values of `filename` and `filename*`, and of `name`, which some write.
fn file_names(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b';').filter_map(|parameter| {
        let equals = memchr::memchr(b'=', parameter)?;
        let (key, text) = (trim(parameter.get(..equals)?), trim(parameter.get(equals + 1..)?));
        let is_name = [&b"filename"[..], b"filename*", b"name"].iter().any(|n| key.eq_ignore_ascii_case(n));
        let text = text.strip_prefix(b"\"").unwrap_or(text);
        is_name.then(|| text.strip_suffix(b"\"").unwrap_or(text))
    })
}
