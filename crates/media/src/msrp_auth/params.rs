//! `Digest name=value, name="value"`: the parameters of credentials.

use wire::bytes_class::{TOKEN, is, trim};

/// Parameters in order; values without their quotes.
#[derive(Debug)]
pub(super) struct Params<'a> {
    list: Vec<(&'a [u8], &'a [u8])>,
}

/// Credentials have ten; more are hostile.
const PARAMS_MAX: usize = 24;

impl<'a> Params<'a> {
    /// Reads credentials; `None` if they are not Digest, malformed, or name something twice.
    pub(super) fn read(text: &'a [u8]) -> Option<Self> {
        let (scheme, mut rest) = text.split_at_checked(6)?;
        if !scheme.eq_ignore_ascii_case(b"Digest") || !rest.first().is_some_and(|b| matches!(b, b' ' | b'\t'))
        {
            return None;
        }
        let mut list: Vec<(&[u8], &[u8])> = Vec::new();
        loop {
            let equals = memchr::memchr(b'=', rest)?;
            let name = trim(rest.get(..equals)?);
            let after = trim(rest.get(equals + 1..)?);
            let (value, behind) = match after.strip_prefix(b"\"") {
                // No escapes: none of our values needs one, and a name with one is nobody's.
                Some(quoted) => {
                    let end =
                        memchr::memchr2(b'"', b'\\', quoted).filter(|&at| quoted.get(at) == Some(&b'"'))?;
                    (quoted.get(..end)?, quoted.get(end + 1..)?)
                }
                None => {
                    let end = memchr::memchr(b',', after).unwrap_or(after.len());
                    (trim(after.get(..end)?), after.get(end..)?)
                }
            };
            let is_new = list.iter().all(|(known, _)| !known.eq_ignore_ascii_case(name));
            if name.is_empty() || !name.iter().all(|&b| is(b, TOKEN)) || !is_new || list.len() >= PARAMS_MAX {
                return None;
            }
            list.push((name, value));
            match trim(behind) {
                b"" => return Some(Self { list }),
                more => rest = more.strip_prefix(b",")?,
            }
        }
    }

    /// The value of a parameter; empty if it is not there.
    pub(super) fn get(&self, name: &[u8]) -> &'a [u8] {
        let found = self.list.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn credentials_come_apart() {
        let params = Params::read(b"digest\tUserName=\"a, b=c\" ,nc = 00000001,qop=auth,x=\"\"").unwrap();
        assert_eq!(params.get(b"username"), b"a, b=c");
        assert_eq!(params.get(b"NC"), b"00000001");
        assert_eq!(params.get(b"qop"), b"auth");
        assert_eq!(params.get(b"x"), b"");
        assert_eq!(params.get(b"y"), b"");
    }

    #[test]
    fn what_is_not_digest_is_nothing() {
        let many = format!("Digest {}", (0..25).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join(","));
        for text in [
            "",
            "Digest",
            "Digestx=1",
            "Basic dXNlcg==",
            "Digest x",
            "Digest x=\"",
            "Digest x=\"a\\\"b\"",
            "Digest x=1,x=2",
            "Digest x=1,,y=2",
            "Digest =1",
            "Digest x=\"1\"y=2",
            "Digest x y=1",
            &many,
        ] {
            assert!(Params::read(text.as_bytes()).is_none(), "{text}");
        }
    }
}
