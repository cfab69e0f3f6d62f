//! Who may authenticate: a file as `htdigest` keeps it.

use super::digest::Algorithm;
use std::collections::HashMap;

/// What proves one user, by algorithm.
type Secrets = [Option<Box<[u8]>>; 2];

/// Names and what proves them: H(user:realm:password), never the password.
#[derive(Default)]
pub struct Users {
    secrets: HashMap<Box<[u8]>, Secrets>,
    /// Somebody is known by MD5.
    has_md5: bool,
}

impl Users {
    /// Reads `user:realm:digits` lines, 32 digits for MD5 and 64 for SHA-256; a user may have both. Lines of
    /// other realms, empty ones and those that begin with `#` are passed over.
    ///
    /// # Errors
    /// The first line that is none of these, by its number.
    pub fn read(text: &str, realm: &str) -> Result<Self, String> {
        let mut users = Self::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // The realm may hold anything but a colon; so may the name.
            let fields: Vec<&str> = line.split(':').collect();
            let [user, of, digits] = fields[..] else {
                return Err(format!("line {}: not `user:realm:digits`", number + 1));
            };
            let algorithm =
                [Algorithm::Md5, Algorithm::Sha256].into_iter().find(|a| a.digits() == digits.len());
            let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
            let Some(algorithm) = algorithm.filter(|_| is_hex && !user.is_empty()) else {
                return Err(format!("line {}: no digest of 32 or 64 hexadecimal digits", number + 1));
            };
            if of == realm {
                let digits = digits.to_ascii_lowercase().into_bytes();
                let place = users.secrets.entry(user.as_bytes().into()).or_default();
                place[algorithm as usize] = Some(digits.into());
                users.has_md5 |= algorithm == Algorithm::Md5;
            }
        }
        Ok(users)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.secrets.len()
    }

    pub(super) fn secret(&self, user: &[u8], algorithm: Algorithm) -> Option<&[u8]> {
        self.secrets.get(user)?[algorithm as usize].as_deref()
    }

    /// What is asked of clients. Those of RFC 4976 know MD5 alone, so it is asked for if anybody has it.
    pub(super) fn algorithm(&self) -> Algorithm {
        match self.has_md5 || self.secrets.is_empty() {
            true => Algorithm::Md5,
            false => Algorithm::Sha256,
        }
    }
}

impl core::fmt::Debug for Users {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Never what is in it.
        f.debug_struct("Users").field("count", &self.count()).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_htdigest_is_read() {
        let md5 = "0123456789abcdef0123456789ABCDEF";
        let sha = "a".repeat(64);
        let text = format!("# users\n\nalice:r:{md5}\nbob:other:{md5}\ncarol:r:{sha}\n");
        let users = Users::read(&text, "r").unwrap();
        assert_eq!(users.count(), 2);
        assert_eq!(users.secret(b"alice", Algorithm::Md5), Some(md5.to_ascii_lowercase().as_bytes()));
        assert_eq!(users.secret(b"alice", Algorithm::Sha256), None);
        assert_eq!(users.secret(b"bob", Algorithm::Md5), None);
        assert_eq!(users.algorithm(), Algorithm::Md5);
        assert_eq!(Users::read(&format!("carol:r:{sha}"), "r").unwrap().algorithm(), Algorithm::Sha256);
        assert!(!format!("{users:?}").contains("0123"));
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, error) in [
            ("\nalice", "line 2: not `user:realm:digits`"),
            ("a:b:c:d", "line 1: not `user:realm:digits`"),
            ("a:r:0123", "line 1: no digest of 32 or 64 hexadecimal digits"),
            (":r:0123456789abcdef0123456789abcdef", "line 1: no digest of 32 or 64 hexadecimal digits"),
            ("a:r:0123456789abcdef0123456789abcdeg", "line 1: no digest of 32 or 64 hexadecimal digits"),
        ] {
            assert_eq!(Users::read(text, "r").err().as_deref(), Some(error), "{text}");
        }
    }
}
