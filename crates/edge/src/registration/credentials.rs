//! Parameters of credentials and challenges, taken out and put in; the rest stays verbatim (R16, R17, R19).

use crate::keys::{AkaKeys, Secret};
use core::ops::Range;
use sip::{Field, HeaderId, Message, unquote};
use wire::bytes_class::trim;
use wire::{EditList, Span};

/// One `name=value` of credentials or of a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthParam<'a> {
    pub(crate) name: &'a [u8],
    /// Without quotes.
    pub(crate) value: &'a [u8],
    /// In the header value, blanks around it included, commas not.
    pub(crate) range: Range<usize>,
}

/// The parameters of `scheme name=value, name=value`.
///
/// A quote that is never closed counts as an ordinary byte: otherwise it would hide what follows it.
pub(crate) fn auth_params(value: &[u8]) -> impl Iterator<Item = AuthParam<'_>> {
    let start = value.len() - trim(value).len().min(value.len());
    let scheme_end = value[start..].iter().position(|&b| b == b' ' || b == b'\t');
    let mut at = scheme_end.map_or(value.len(), |n| start + n);
    core::iter::from_fn(move || {
        if at >= value.len() {
            return None;
        }
        let end = param_end(value, at);
        let range = at..end;
        at = end + 1;
        let text = &value[range.clone()];
        let equals = text.iter().position(|&b| b == b'=').unwrap_or(text.len());
        Some(AuthParam {
            name: trim(&text[..equals]),
            value: unquote(text.get(equals + 1..).unwrap_or_default()),
            range,
        })
    })
}

fn param_end(value: &[u8], from: usize) -> usize {
    let mut at = from;
    while at < value.len() {
        match value[at] {
            b',' => return at,
            b'"' => at = closing_quote(value, at).map_or(at + 1, |close| close + 1),
            _ => at += 1,
        }
    }
    value.len()
}

fn closing_quote(value: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    while at < value.len() {
        match value[at] {
            b'\\' => at += 2,
            b'"' => return Some(at),
            _ => at += 1,
        }
    }
    None
}

/// Takes the parameters that `drop` names out of one field, with the comma that bound them.
fn remove_params(
    message: Message<'_>,
    field: Field,
    drop: impl Fn(&AuthParam<'_>) -> bool,
    edits: &mut EditList,
) {
    let value = message.text(field.value);
    let start = field.value.start as usize;
    let mut kept = false;
    for param in auth_params(value) {
        if !drop(&param) {
            kept = true;
            continue;
        }
        let Range { start: from, end } = param.range;
        let blank = |at: usize| matches!(value.get(at), Some(b' ' | b'\t'));
        let range = match (kept, value.get(end)) {
            (true, _) => from - 1..end, // the comma before it
            (false, None) => from..end,
            // The comma behind it, and its blank unless that is the only one between scheme and next.
            (false, Some(_)) => from + usize::from(blank(from) && !blank(end + 1))..end + 1,
        };
        edits.remove(Span::new(start + range.start, start + range.end));
    }
}

/// Sets `integrity-protected` in the Authorization of a REGISTER, which is the edge's alone to say (R16).
///
/// The first AKA REGISTER (empty nonce) gets `"no"`; the answer to an AKA challenge gets `"yes"` if it
/// comes over the TLS flow that the challenge went out on, else `"no"`. Digest credentials, whose
/// domain says nothing about it (TS 24.229 §5.2.2.1), get none.
pub(crate) fn edit_authorization(message: Message<'_>, challenged_over_tls: bool, edits: &mut EditList) {
    for field in message.all(HeaderId::Authorization) {
        let value = message.text(field.value);
        let named = |name: &str| auth_params(value).find(|p| p.name.eq_ignore_ascii_case(name.as_bytes()));
        let first = named("nonce").is_some_and(|p| p.value.is_empty());
        let aka = named("algorithm").is_some_and(|p| is_aka(p.value));
        remove_params(message, field, |p| is_integrity(p.name), edits);
        let text: &[u8] = match (first, aka || challenged_over_tls) {
            (true, _) => b", integrity-protected=\"no\"",
            (false, true) if challenged_over_tls => b", integrity-protected=\"yes\"",
            (false, true) => b", integrity-protected=\"no\"",
            (false, false) => continue,
        };
        edits.insert(field.value.end as usize, text);
    }
}

fn is_integrity(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"integrity-protected")
}

/// Whether an algorithm is one of the AKA family: `AKAv1-MD5`, `AKAv1-SHA256`, `AKAv2-...`.
pub(crate) fn is_aka(algorithm: &[u8]) -> bool {
    algorithm.len() >= 3 && algorithm[..3].eq_ignore_ascii_case(b"aka")
}

/// Takes `ck` and `ik` out of every challenge and returns them (R17), and whether a challenge is AKA.
///
/// A challenge in which one of them would still be left, because it is written in a way we do not
/// read, goes altogether: better a UE without a challenge than keys on the air.
pub(crate) fn take_keys(message: Message<'_>, edits: &mut EditList) -> (Option<AkaKeys>, bool) {
    let mut keys = None;
    let mut aka = false;
    for id in [HeaderId::WwwAuthenticate, HeaderId::ProxyAuthenticate] {
        for field in message.all(id) {
            let value = message.text(field.value);
            let of =
                |name: &[u8]| auth_params(value).find(|p| p.name.eq_ignore_ascii_case(name)).map(|p| p.value);
            aka |= of(b"algorithm").is_some_and(is_aka);
            if let (Some(ck), Some(ik)) = (of(b"ck"), of(b"ik")) {
                keys = Some(AkaKeys { ck: Secret::new(ck), ik: Secret::new(ik) });
            }
            if auth_params(value).any(|p| !is_key(p.name) && hides_key(p.value)) {
                edits.remove(field.line);
            } else {
                remove_params(message, field, |p| is_key(p.name), edits);
            }
        }
    }
    (keys, aka)
}

fn is_key(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"ck") || name.eq_ignore_ascii_case(b"ik")
}

/// Whether `ck=` or `ik=` stands inside a value as if it were a parameter: behind a separator, and not
/// as the end of a base64 text.
fn hides_key(value: &[u8]) -> bool {
    value.windows(4).any(|w| {
        matches!(w[0], b' ' | b'\t' | b'\r' | b'\n' | b',' | b';' | b'"')
            && is_key(&w[1..3])
            && matches!(w[3], b'=' | b' ')
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use sip::{Index, Limits, parse};

    fn edited(header: &str, edit: impl FnOnce(Message<'_>, &mut EditList)) -> String {
        let text = format!("SIP/2.0 401 Unauthorized\r\n{header}\r\n\r\n");
        let mut index = Index::default();
        let message = parse(text.as_bytes(), &Limits::default(), &mut index).unwrap();
        let mut edits = EditList::new();
        edit(message, &mut edits);
        let mut out = Vec::new();
        edits.gather(text.as_bytes(), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        out.lines().nth(1).unwrap_or_default().to_owned()
    }

    #[test]
    fn keys_go_and_the_rest_of_the_challenge_stays_verbatim() {
        let cases = [
            (
                r#"Digest realm="r", nonce="n=", algorithm=AKAv1-SHA256, ik="3b", ck="10""#,
                r#"Digest realm="r", nonce="n=", algorithm=AKAv1-SHA256"#,
            ),
            (r#"Digest ck="10", ik="3b", realm="r""#, r#"Digest realm="r""#),
            (r#"Digest CK=10,realm="r" , Ik=3b,nonce="a,b""#, r#"Digest realm="r" ,nonce="a,b""#),
            (
                r#"Digest realm="r",ik="3b",nonce="xck=",ck="10",qop="auth""#,
                r#"Digest realm="r",nonce="xck=",qop="auth""#,
            ),
        ];
        for (challenge, expected) in cases {
            let mut found = false;
            let got = edited(&format!("WWW-Authenticate: {challenge}"), |message, edits| {
                let (keys, _) = take_keys(message, edits);
                let keys = keys.unwrap();
                found = keys.ck.bytes() == b"10" && keys.ik.bytes() == b"3b";
            });
            let value = got.strip_prefix("WWW-Authenticate: ").unwrap();
            assert_eq!(value, expected, "{challenge}");
            assert!(found, "{challenge}");
        }
    }

    #[test]
    fn a_key_that_hides_in_a_broken_challenge_takes_the_challenge_with_it() {
        for challenge in [
            r#"Digest nonce="open, ck=10, ik=3b"#,
            r#"Digest nonce="a" ck="10", ik="3b""#,
            r#"Digest nonce="x, ck=10""#,
        ] {
            let got = edited(&format!("WWW-Authenticate: {challenge}"), |message, edits| {
                take_keys(message, edits);
            });
            assert!(!got.contains("10") && !got.contains("3b"), "{challenge} -> {got}");
        }
    }

    #[test]
    fn integrity_protected_is_ours_to_say() {
        for (credentials, over_tls, expected) in [
            (
                r#"Digest nonce="", response="""#,
                false,
                r#"Digest nonce="", response="", integrity-protected="no""#,
            ),
            (
                r#"Digest nonce="n", algorithm=AKAv1-SHA256, integrity-protected=yes"#,
                false,
                r#"Digest nonce="n", algorithm=AKAv1-SHA256, integrity-protected="no""#,
            ),
            (
                r#"Digest nonce="n", integrity-protected="no", algorithm=AKAv1-MD5"#,
                true,
                r#"Digest nonce="n", algorithm=AKAv1-MD5, integrity-protected="yes""#,
            ),
            (r#"Digest nonce="n", algorithm=SHA-256"#, false, r#"Digest nonce="n", algorithm=SHA-256"#),
            (
                "Digest nonce=base64(RAND + AUTN + server specific data)",
                false,
                "Digest nonce=base64(RAND + AUTN + server specific data)",
            ),
        ] {
            let got = edited(&format!("Authorization: {credentials}"), |message, edits| {
                edit_authorization(message, over_tls, edits);
            });
            assert_eq!(got, format!("Authorization: {expected}"));
        }
    }
}
