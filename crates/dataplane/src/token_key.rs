//! The key that seals the tokens in Path, Record-Route and Contact: kept in a file, so that what was
//! sealed before a restart still opens after it.

use ring::rand::{SecureRandom, SystemRandom};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The key of the node: from `file`, which is made if it is missing; without one, a fresh key that
/// dies with the process.
///
/// # Errors
/// The file can be neither read nor made, or holds something else than 64 hexadecimal digits.
pub(crate) fn load(file: Option<&Path>) -> io::Result<[u8; 32]> {
    let Some(file) = file else { return random() };
    let text = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return create(file),
        read => read?,
    };
    parse(text.trim()).ok_or_else(|| io::Error::other("not 64 hexadecimal digits"))
}

fn create(file: &Path) -> io::Result<[u8; 32]> {
    let key = random()?;
    let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    // Nobody else may read it: who has it can send anything to any UE in the core's name.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    Ok(key)
}

fn parse(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; 32];
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(key)
}

/// 32 bytes that nobody can guess.
pub(crate) fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("the system has no randomness"))?;
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_survives_in_its_file_and_is_nobody_elses() {
        let directory = std::env::temp_dir().join(format!("gatehouse-token-key-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("key");
        let first = load(Some(&file)).unwrap();
        assert_eq!(load(Some(&file)).unwrap(), first);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(load(None).unwrap(), first);
        for wrong in ["", "00", &"0".repeat(63), &"x".repeat(64), &"0".repeat(66)] {
            std::fs::write(&file, wrong).unwrap();
            assert!(load(Some(&file)).is_err(), "{wrong}");
        }
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(load(Some(&file)).is_err(), "no directory");
    }
}
