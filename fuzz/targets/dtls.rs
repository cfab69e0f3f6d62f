#![no_main]

use libfuzzer_sys::fuzz_target;
use media::rtp::Dtls;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

static OURS: LazyLock<Option<Arc<Dtls>>> = LazyLock::new(|| {
    let key = rcgen::KeyPair::generate().ok()?;
    let certificate = rcgen::CertificateParams::default().self_signed(&key).ok()?;
    Dtls::new(certificate.der().to_vec(), key.serialize_der(), Instant::now()).map(Arc::new)
});

fuzz_target!(|bytes: &[u8]| media::rtp::handshake_fuzz::session(bytes, OURS.clone()));
