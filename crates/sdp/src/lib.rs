//! SDP (RFC 8866): a line-preserving reader, and an editor that changes only what it is told to.
//!
//! ```text
//! bytes ──Sdp::parse──▶ lines (spans) ──Section / Media──▶ typed views
//!                                            │
//!                    Editor ◀────────────────┘ spans, shifted by where the SDP stands in the message
//!                       └──▶ wire::EditList ──gather──▶ new bytes, all other lines as they came (R68)
//! ```
//! The reader tolerates what terminals send: bare LF, an empty `s=`, a last line without CRLF, blank
//! lines at the end, `a=accept-type` without its `s`.

pub mod edit;
pub mod path;
mod read;
mod rtp;
mod view;

pub use edit::Editor;
pub use path::{Path, PathUri};
pub use read::{Limits, Line, Sdp, SdpError};
pub use rtp::{Encoding, IceSecrets, Profile, Security};
pub use view::{
    Attribute, Connection, Direction, Media, MediaLine, Origin, Section, Setup, Text, address_type,
};

/// The body of the fuzz target, an ordinary function so that a crash becomes a test.
#[doc(hidden)]
pub mod fuzz {
    use crate::{Editor, Sdp, Setup};
    use core::net::{IpAddr, Ipv6Addr};
    use wire::EditList;

    /// Reads `bytes` as SDP, looks through every view and makes every edit; the result must read again.
    ///
    /// # Panics
    /// If an edited description cannot be gathered or read again.
    pub fn sdp(bytes: &[u8]) {
        let Ok(sdp) = Sdp::parse(bytes) else { return };
        let address = IpAddr::V6(Ipv6Addr::LOCALHOST);
        let mut edits = EditList::new();
        let mut editor = Editor::new(&mut edits, 0);
        editor.session(&sdp, b"-", b"SBC call", address);
        for media in sdp.media() {
            let section = media.section();
            let _ = (section.direction(), section.attributes().count(), media.accept_types().count());
            let _ = (media.file_selector(), media.crypto().count(), media.rtcp(), media.connection());
            let _ = (media.profile(), media.rtcp_target(), media.fingerprints().count(), media.ice());
            let _ = media.encoding();
            editor.port(&media, 2855);
            editor.proto(&media, b"TCP/TLS/MSRP");
            editor.setup(&media, Setup::Passive);
            if let Some(uri) = media.path().and_then(|path| path.first()) {
                editor.path(&uri, b"msrps", b"[::1]:2855", b"tcp");
            }
        }
        let mut out = Vec::new();
        edits.gather(bytes, &mut out).expect("each edit covers a field of its own");
        let again = Sdp::parse_within(&out, &crate::Limits::UNLIMITED).expect("an edited description reads");
        assert_eq!(again.media().count(), sdp.media().count());
    }
}
