//! Challenges and credentials: WWW-Authenticate, Authorization and their proxy twins.

use crate::text::{Members, find_unquoted, span, unquote};
use wire::bytes_class::{self, TOKEN};
use wire::{EditList, Span};

/// `scheme name=value, name=value, ...`, read on demand.
///
/// Opaque on purpose (R19): any order, case and quoting; values without quotes may hold blanks
/// (q18, q19).
#[derive(Clone, Copy, Debug)]
pub struct AuthParams<'a> {
    bytes: &'a [u8],
    /// `Digest`, as written.
    pub scheme: &'a [u8],
    /// Where the parameters lie.
    pub params_span: Span,
}

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthParam<'a> {
    /// Its name as written.
    pub name: &'a [u8],
    /// Its value as written.
    pub raw: &'a [u8],
    /// Its value without quotes.
    pub value: &'a [u8],
    /// Name, `=` and value, without comma.
    pub span: Span,
    /// Where the value lies, quotes included.
    pub value_span: Span,
}

impl<'a> AuthParams<'a> {
    /// Reads the challenge or credentials that are the whole of `within`: the value of a field.
    #[must_use]
    pub fn read(bytes: &'a [u8], within: Span) -> Option<Self> {
        let whole = span(bytes, within.start as usize, (within.end as usize).min(bytes.len()));
        let (start, end) = (whole.start as usize, whole.end as usize);
        let text = bytes.get(start..end)?;
        let scheme_len = text.iter().position(|&b| !bytes_class::is(b, TOKEN)).unwrap_or(text.len());
        let scheme = &text[..scheme_len];
        let parted = matches!(text.get(scheme_len), None | Some(b' ' | b'\t' | b'\r' | b'\n'));
        (!scheme.is_empty() && parted).then(|| Self {
            bytes,
            scheme,
            params_span: span(bytes, start + scheme_len, end),
        })
    }

    /// The parameters, in order.
    pub fn iter(self) -> impl Iterator<Item = AuthParam<'a>> + Clone + use<'a> {
        Members::new(self.bytes, self.params_span).map(move |member| self.param(member))
    }

    fn param(self, member: Span) -> AuthParam<'a> {
        let (start, end) = (member.start as usize, member.end as usize);
        let equals = find_unquoted(self.bytes, start, end, b"=");
        let name = span(self.bytes, start, equals);
        let value_span = span(self.bytes, (equals + 1).min(end), end);
        let of = |span: Span| self.bytes.get(span.range()).unwrap_or_default();
        AuthParam {
            name: of(name),
            raw: of(value_span),
            value: unquote(of(value_span)),
            span: member,
            value_span,
        }
    }

    /// The first parameter with this name, in any case.
    #[must_use]
    pub fn find(self, name: &[u8]) -> Option<AuthParam<'a>> {
        self.iter().find(|p| p.name.eq_ignore_ascii_case(name))
    }

    /// The value of the first parameter with this name, without quotes.
    #[must_use]
    pub fn get(self, name: &[u8]) -> Option<&'a [u8]> {
        self.find(name).map(|p| p.value)
    }

    /// Takes out every parameter with one of these names, with the commas that would be left over.
    ///
    /// Everything else stays byte for byte (R16, R17). Returns how many were taken out.
    pub fn remove(self, names: &[&[u8]], edits: &mut EditList) -> usize {
        let members = Members::new(self.bytes, self.params_span);
        let gone = |member: Span| {
            let name = self.param(member).name;
            names.iter().any(|unwanted| unwanted.eq_ignore_ascii_case(name))
        };
        crate::edit::remove_members(members, gone, edits)
    }

    /// Sets a parameter: replaces the value of the first with this name, or appends it.
    pub fn set(self, name: &str, raw: &[u8], edits: &mut EditList) {
        if let Some(old) = self.find(name.as_bytes()) {
            edits.replace(old.value_span, raw);
            return;
        }
        let comma: &[u8] = if self.params_span.is_empty() { b" " } else { b", " };
        edits.insert_with(self.params_span.end as usize, |out| {
            out.extend_from_slice(comma);
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            out.extend_from_slice(raw);
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> AuthParams<'_> {
        AuthParams::read(text.as_bytes(), Span::new(0, text.len())).unwrap()
    }

    fn edited(text: &str, edit: impl FnOnce(AuthParams<'_>, &mut EditList)) -> String {
        let mut edits = EditList::new();
        edit(read(text), &mut edits);
        let mut out = Vec::new();
        edits.gather(text.as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn parameters_in_any_quoting() {
        let auth = read(
            "Digest  realm=\"a, b\",nonce=base64(RAND + AUTN +x), ALGORITHM = AKAv1-SHA256 ,qop=\"auth\"",
        );
        assert_eq!(auth.scheme, b"Digest");
        let all: Vec<_> = auth.iter().map(|p| (p.name, p.value)).collect();
        assert_eq!(
            all,
            [
                (&b"realm"[..], &b"a, b"[..]),
                (b"nonce", b"base64(RAND + AUTN +x)"),
                (b"ALGORITHM", b"AKAv1-SHA256"),
                (b"qop", b"auth")
            ]
        );
        assert_eq!(auth.get(b"algorithm"), Some(&b"AKAv1-SHA256"[..]));
        assert_eq!(auth.find(b"realm").unwrap().raw, b"\"a, b\"");
        assert_eq!(read("Digest").iter().count(), 0);
        assert!(AuthParams::read(b"", Span::default()).is_none());
        assert!(AuthParams::read(b"a=b", Span::new(0, 3)).is_none());
    }

    #[test]
    fn keys_vanish_wherever_they_stand() {
        for (text, left) in [
            ("Digest realm=\"r\", ck=\"1\", ik=\"2\", qop=\"auth\"", "Digest realm=\"r\", qop=\"auth\""),
            ("Digest ck=\"1\",ik=\"2\",realm=\"r\"", "Digest realm=\"r\""),
            ("Digest CK=1, realm=\"r\" , Ik=2", "Digest realm=\"r\""),
            ("Digest realm=\"r\",ik=\"2\"", "Digest realm=\"r\""),
            ("Digest ck=\"1\" , ik=\"2\"", "Digest "),
            ("Digest ck=\"1\"", "Digest "),
            ("Digest realm=\"ck=1, ik=2\"", "Digest realm=\"ck=1, ik=2\""),
            ("Digest ck=1, realm=r, ck=2, a=b, ik=3", "Digest realm=r, a=b"),
            ("Digest ,ck=1,,ik=2,, a=b", "Digest ,a=b"),
        ] {
            let got = edited(text, |auth, edits| {
                auth.remove(&[b"ck", b"ik"], edits);
            });
            assert_eq!(got, left, "{text}");
        }
    }

    #[test]
    fn a_parameter_is_replaced_or_appended() {
        let set = |text| edited(text, |auth, edits| auth.set("integrity-protected", b"\"yes\"", edits));
        assert_eq!(set("Digest a=b, Integrity-Protected=no"), "Digest a=b, Integrity-Protected=\"yes\"");
        assert_eq!(set("Digest a=b"), "Digest a=b, integrity-protected=\"yes\"");
        assert_eq!(set("Digest"), "Digest integrity-protected=\"yes\"");
    }
}
