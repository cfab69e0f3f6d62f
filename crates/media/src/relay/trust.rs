//! Whether a connection is of the peer that signalled: its certificate (RFC 8122).

use super::MsrpRelay;
use super::conn::Conn;
use crate::command::MsrpSide;
use wire::MediaId;

impl MsrpRelay {
    /// Whether the connection showed a certificate that the peer of its side announced, if it announced any.
    ///
    /// A session over TLS is also never bound over plain TCP, or who listens on the wire could take it.
    pub(super) fn shows_certificate(&self, conn: &Conn, session: MediaId) -> bool {
        let Some(session) = self.sessions.of(session) else { return false };
        is_shown(conn, session.spec.side(conn.realm))
    }
}

const SECURE: &[u8] = b"msrps:";

fn is_shown(conn: &Conn, side: &MsrpSide) -> bool {
    if !conn.secure && side.local_path.get(..SECURE.len()).is_some_and(|s| s.eq_ignore_ascii_case(SECURE)) {
        return false;
    }
    if side.fingerprints.is_empty() {
        return true;
    }
    conn.certificate.as_deref().is_some_and(|shown| shown.is_among(&side.fingerprints))
}
