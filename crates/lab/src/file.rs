//! What SDP says about a file (RFC 5547), and fingerprints.

use crate::auth::text::hex;
use sha2::{Digest as _, Sha256};

/// An `a=file-selector`, as far as the lab uses it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSelector {
    /// The file's name.
    pub name: String,
    /// Its type.
    pub content_type: String,
    /// Its size in octets.
    pub size: Option<u64>,
    /// Its SHA-256 in hexadecimal.
    pub sha256: Option<String>,
}

impl FileSelector {
    /// Describes a file.
    #[must_use]
    pub fn of(name: &str, content_type: &str, content: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            content_type: content_type.to_owned(),
            size: Some(content.len() as u64),
            sha256: Some(sha256(content)),
        }
    }

    /// Reads `name:"…" type:… size:… hash:sha-256:…`, in any order.
    #[must_use]
    pub fn parse(value: &str) -> Self {
        let mut out = Self::default();
        let after = |key: &str| value.split_once(key).map(|(_, rest)| rest);
        if let Some((name, _)) = after("name:\"").and_then(|rest| rest.split_once('"')) {
            out.name = name.to_owned();
        }
        let word = |key: &str| after(key).and_then(|rest| rest.split(' ').next());
        out.content_type = word("type:").unwrap_or_default().to_owned();
        out.size = word("size:").and_then(|n| n.parse().ok());
        out.sha256 = word("hash:sha-256:").map(|h| h.replace(':', "").to_ascii_lowercase());
        out
    }

    /// Writes the value.
    #[must_use]
    pub fn write(&self) -> String {
        let mut out = format!("name:\"{}\" type:{}", self.name, self.content_type);
        if let Some(size) = self.size {
            out.push_str(&format!(" size:{size}"));
        }
        if let Some(hash) = &self.sha256 {
            out.push_str(&format!(" hash:sha-256:{hash}"));
        }
        out
    }

    /// What contradicts this description in `content`.
    #[must_use]
    pub fn contradiction(&self, content: &[u8]) -> Option<String> {
        if self.size.is_some_and(|size| size != content.len() as u64) {
            return Some(format!("{}: {} octets, not {:?}", self.name, content.len(), self.size));
        }
        let found = sha256(content);
        self.sha256
            .as_ref()
            .filter(|expected| **expected != found)
            .map(|expected| format!("{}: SHA-256 {found}, not {expected}", self.name))
    }
}

/// SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn sha256(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_read_back_and_see_a_flipped_bit() {
        let file = FileSelector::of("a b.rar", "application/octet-stream", b"content");
        assert_eq!(FileSelector::parse(&file.write()), file);
        assert_eq!(file.contradiction(b"content"), None);
        assert!(file.contradiction(b"conten").is_some());
        assert!(file.contradiction(b"contenu").is_some());
        let printed = FileSelector::parse("name:\"l.rar\" type:application/octet-stream size:10");
        assert_eq!((printed.size, printed.sha256), (Some(10), None));
    }
}
