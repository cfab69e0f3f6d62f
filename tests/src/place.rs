//! Where a test works: a directory of its own and loopback addresses of its own.
//!
//! Addresses instead of free-port hunting: all of 127.0.0.0/8 is ours on Linux, so each program
//! gets a fresh address and the well-known ports on it, and no two tests can collide.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory and a supply of addresses for one test.
///
/// The directory, with every program's log in it, is kept if the test fails or `GATEHOUSE_KEEP` is set.
#[derive(Debug)]
pub struct Place {
    directory: PathBuf,
}

impl Place {
    /// Makes an empty directory named after the test.
    ///
    /// # Panics
    /// If the directory cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("gatehouse-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).expect("the temporary directory takes a new one");
        Self { directory }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A file in the directory, which may not exist yet.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes a file into the directory.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("a directory in our own directory");
        }
        std::fs::write(&path, contents).expect("a file in our own directory");
        path
    }

    /// A loopback address on which nothing listens at the SIP ports.
    ///
    /// # Panics
    /// If none can be found: then the machine has no 127.0.0.0/8.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let byte = |n: u32| u8::try_from(1 + n % 250).expect("1..=250");
        (0..250)
            .find_map(|_| {
                // Two tests that run side by side differ in the middle bytes.
                let (process, n) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
                let address = Ipv4Addr::new(127, byte(process / 250), byte(process + n / 250), byte(n));
                is_quiet(address.into()).then_some(address.into())
            })
            .expect("a free address in 127.0.0.0/8")
    }
}

fn is_quiet(address: IpAddr) -> bool {
    [5060, 5061].into_iter().all(|port| {
        let at = SocketAddr::new(address, port);
        TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok()
    })
}

impl Drop for Place {
    fn drop(&mut self) {
        if !std::thread::panicking() && std::env::var_os("GATEHOUSE_KEEP").is_none() {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}
