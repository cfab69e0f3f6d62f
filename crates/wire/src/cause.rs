//! Every reason for which something is rejected, dropped or ended: one table.
//!
//! The status code, the Warning text, the metric label, the log field and the operators' table in
//! `docs/causes.md` all come from here; `cargo xtask tidy` checks that the document is complete.

use core::fmt;

/// Whose fault a cause is, which decides how loud it is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The peer sent something we refuse.
    Peer,
    /// Policy or capacity of ours.
    Policy,
    /// The network or another system failed.
    Network,
    /// Nothing is wrong: an ordinary end.
    Normal,
}

macro_rules! causes {
    ($( $(#[$doc:meta])* $name:ident = $label:literal, $status:literal, $fault:ident, $text:literal; )*) => {
        /// Why a message was rejected or dropped, or why a flow, dialog or session ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Cause { $( $(#[$doc])* $name, )* }

        impl Cause {
            /// Every cause, in the order of the table.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )* ];

            /// Metric label and log field: stable, lower case, `[a-z0-9_]`.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $( Self::$name => $label, )* }
            }

            /// The SIP (or, for `msrp_*`, MSRP) status that answers it; `None` where nothing is answered.
            #[must_use]
            pub const fn status(self) -> Option<u16> {
                let status = match self { $( Self::$name => $status, )* };
                if status == 0 { None } else { Some(status) }
            }

            /// What went wrong, for a Warning header, a log line or a person.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $( Self::$name => $text, )* }
            }

            /// Whose fault it is.
            #[must_use]
            pub const fn fault(self) -> Fault {
                match self { $( Self::$name => Fault::$fault, )* }
            }
        }
    };
}

causes! {
    // framing and parsing
    /// The start line is neither a request nor a response line.
    BadStartLine = "bad_start_line", 400, Peer, "malformed start line";
    /// The protocol version is not SIP/2.0.
    BadVersion = "bad_version", 505, Peer, "SIP version not supported";
    /// A header line has no colon or no name.
    BadHeaderLine = "bad_header_line", 400, Peer, "malformed header line";
    /// More header fields than `limits.headers_max`.
    TooManyHeaders = "too_many_headers", 400, Peer, "too many header fields";
    /// The head is longer than `limits.head_bytes_max`.
    HeadTooLong = "head_too_long", 513, Peer, "message head too large";
    /// The body is longer than `limits.body_bytes_max`.
    BodyTooLong = "body_too_long", 413, Peer, "message body too large";
    /// Content-Length is not a number, stands twice with two values, or is missing on a stream.
    BadContentLength = "bad_content_length", 400, Peer, "missing or malformed Content-Length";
    /// The datagram ends before the body that Content-Length announces (RFC 3261 §18.3).
    Truncated = "truncated", 400, Peer, "body shorter than Content-Length";
    /// What came is not SIP.
    NotSip = "not_sip", 0, Peer, "not a SIP message";
    /// A message did not complete within `limits.message_timeout`.
    MessageTimeout = "message_timeout", 408, Peer, "message incomplete for too long";
    // mandatory fields and validation
    /// The Request-URI cannot be read.
    BadRequestUri = "bad_request_uri", 400, Peer, "malformed Request-URI";
    /// The Request-URI has a scheme that is not served.
    BadUriScheme = "bad_uri_scheme", 416, Peer, "unsupported URI scheme";
    /// Via is missing or malformed.
    BadVia = "bad_via", 400, Peer, "missing or malformed Via";
    /// From is missing or malformed.
    BadFrom = "bad_from", 400, Peer, "missing or malformed From";
    /// To is missing or malformed.
    BadTo = "bad_to", 400, Peer, "missing or malformed To";
    /// Call-ID is missing or malformed.
    BadCallId = "bad_call_id", 400, Peer, "missing or malformed Call-ID";
    /// CSeq is missing, malformed, or names another method.
    BadCseq = "bad_cseq", 400, Peer, "missing or malformed CSeq";
    /// Max-Forwards is malformed.
    BadMaxForwards = "bad_max_forwards", 400, Peer, "malformed Max-Forwards";
    /// Max-Forwards is used up.
    TooManyHops = "too_many_hops", 483, Peer, "too many hops";
    /// Contact is malformed or missing where it cannot be filled.
    BadContact = "bad_contact", 400, Peer, "missing or malformed Contact";
    /// A field that must stand once stands twice.
    DuplicateHeader = "duplicate_header", 400, Peer, "header field occurs twice";
    /// An optional field is present with an empty value (R34).
    EmptyHeader = "empty_header", 400, Peer, "header field is empty";
    /// A field is written as RFC 3261's grammar does not allow, and the checks of syntax are strict.
    BadSyntax = "bad_syntax", 400, Peer, "malformed header field";
    /// A field that this method must have is missing (R33).
    MissingHeader = "missing_header", 400, Peer, "mandatory header field missing";
    /// Require or Proxy-Require names an option we do not know.
    BadExtension = "bad_extension", 420, Peer, "unsupported extension required";
    /// The method is unknown and policy does not pass it.
    MethodNotAllowed = "method_not_allowed", 405, Peer, "method not allowed";
    // bodies (R36..R41)
    /// Two parts of one type (R36).
    DuplicateBodyPart = "duplicate_body_part", 400, Peer, "two body parts of the same type";
    /// multipart without a usable boundary (R37).
    MissingBoundary = "missing_boundary", 400, Peer, "multipart without boundary";
    /// A boundary on something that is not multipart/mixed (R38).
    UnexpectedBoundary = "unexpected_boundary", 400, Peer, "boundary on a type other than multipart/mixed";
    /// The type is not in the list (R39).
    UnsupportedMediaType = "unsupported_media_type", 400, Peer, "unsupported Content-Type";
    /// A body without Content-Type (R40).
    MissingContentType = "missing_content_type", 400, Peer, "body without Content-Type";
    /// A CPIM header repeated in its block (R41).
    DuplicateCpimHeader = "duplicate_cpim_header", 400, Peer, "CPIM header occurs twice";
    /// The multipart body cannot be split.
    BadMultipart = "bad_multipart", 400, Peer, "malformed multipart body";
    /// The SDP cannot be read.
    BadSdp = "bad_sdp", 400, Peer, "malformed session description";
    /// No media of the offer can be served.
    NotAcceptableMedia = "not_acceptable_media", 488, Peer, "no acceptable media in the offer";
    /// The file of the offer has a name that `content_policies` blocks; in MSRP also that of a message.
    FileBlocked = "file_blocked", 403, Policy, "file name not allowed";
    /// A media type that `content_policies` does not allow, in an offer of a file or in a message.
    ContentTypeRefused = "content_type_refused", 415, Policy, "content type not allowed in this service";
    /// The file of the offer is larger than `content_policies` allows.
    FileTooLarge = "file_too_large", 488, Policy, "file larger than this service allows";
    /// The end that describes itself accepts no type that `content_policies` allows to the other.
    NoCommonType = "no_common_type", 488, Policy, "no content type both accepted and allowed";
    // admission and policy
    /// The source address is on the blacklist (R10).
    Blacklisted = "blacklisted", 403, Policy, "source address is barred";
    /// Not a registered flow (R9).
    NotRegistered = "not_registered", 403, Policy, "flow is not registered";
    /// An identity that does not belong to the flow (R9, R27).
    IdentityMismatch = "identity_mismatch", 403, Policy, "identity does not belong to this registration";
    /// The UE's Route leads elsewhere than its Service-Route.
    RouteMismatch = "route_mismatch", 403, Policy, "route set does not match the registration";
    /// Above a rate limit.
    RateLimited = "rate_limited", 503, Policy, "rate limit exceeded";
    /// The shard is overloaded (R13).
    Overloaded = "overloaded", 503, Policy, "overloaded";
    /// The node is draining.
    Draining = "draining", 503, Policy, "draining for maintenance";
    /// Shut off by an emergency order (R12).
    ShutOff = "shut_off", 403, Policy, "service shut off by order";
    /// A header rule of the operator refuses the request, with the status and reason it names.
    HeaderRule = "header_rule", 403, Policy, "refused by a header rule";
    /// Security agreement failed (R18, RFC 3329).
    SecurityAgreement = "security_agreement", 494, Policy, "security agreement required";
    /// A table of ours is full.
    TableFull = "table_full", 503, Policy, "capacity limit reached";
    /// No free pair of RTP ports in `realm.*.media_ports_*`, or the system does not give us one (R71).
    NoMediaPorts = "no_media_ports", 503, Policy, "no media port available";
    /// Too many connections from one source or in all.
    TooManyConnections = "too_many_connections", 0, Policy, "connection limit reached";
    /// Waiting for a response of a client that must authenticate first took too long.
    RegistrationTimeout = "registration_timeout", 408, Policy, "registration not completed in time";
    // routing, dialogs, transactions
    /// The UE's flow is gone (RFC 5626 §5.3).
    FlowGone = "flow_gone", 430, Network, "flow failed";
    /// A flow token that we did not make, or that is too old.
    BadFlowToken = "bad_flow_token", 403, Peer, "flow token invalid";
    /// The user is not registered here.
    UnknownTarget = "unknown_target", 404, Network, "target is not registered here";
    /// In-dialog request without a dialog.
    UnknownDialog = "unknown_dialog", 481, Peer, "dialog does not exist";
    /// CANCEL, PRACK or the like without its transaction.
    UnknownTransaction = "unknown_transaction", 481, Peer, "transaction does not exist";
    /// A response that belongs to no transaction.
    StrayResponse = "stray_response", 0, Peer, "response matches no transaction";
    /// An ACK that belongs to nothing.
    StrayAck = "stray_ack", 0, Peer, "ACK matches no dialog";
    /// The request came back to us.
    LoopDetected = "loop_detected", 482, Peer, "loop detected";
    /// No core next hop is usable.
    NoNextHop = "no_next_hop", 503, Network, "no core next hop available";
    /// The next hop did not answer in time.
    NextHopTimeout = "next_hop_timeout", 408, Network, "next hop did not answer";
    /// Sending to the next hop failed.
    NextHopFailed = "next_hop_failed", 503, Network, "next hop unreachable";
    /// Who should have served the request answered 503, and so did whoever else was asked (RFC 3261 §16.7
    /// point 6); or a UE did.
    FarEndUnavailable = "far_end_unavailable", 500, Network, "far end is out of service";
    /// The core redirected the request to where it may not go.
    Redirected = "redirected", 500, Network, "request redirected by the core";
    /// Something of ours went wrong; the message is in the log.
    Internal = "internal", 500, Policy, "internal error";
    // flows
    /// The idle timer of a connection ran out (R4).
    FlowIdle = "flow_idle", 0, Normal, "connection idle";
    /// A TLS handshake or record failed.
    TlsFailed = "tls_failed", 0, Peer, "TLS failed";
    /// The TLS handshake took too long.
    HandshakeTimeout = "handshake_timeout", 0, Peer, "TLS handshake not completed in time";
    /// The peer does not read and its queue is full.
    PeerNotReading = "peer_not_reading", 0, Peer, "peer does not read";
    /// The peer closed the connection.
    PeerClosed = "peer_closed", 0, Normal, "peer closed the connection";
    /// The stream carries bytes that cannot be framed any further.
    Unframeable = "unframeable", 0, Peer, "stream can no longer be framed";
    // ends of registrations, dialogs, sessions
    /// The user de-registered.
    Deregistered = "deregistered", 0, Normal, "de-registered";
    /// The network ended the registration (RFC 3680, TS 24.229 §5.2.3).
    NetworkDeregistered = "network_deregistered", 0, Normal, "registration ended by the network";
    /// The registration ran out.
    RegistrationExpired = "registration_expired", 0, Normal, "registration expired";
    /// The dialog ended with BYE.
    Bye = "bye", 0, Normal, "dialog ended by BYE";
    /// The INVITE was cancelled.
    Cancelled = "cancelled", 487, Normal, "request cancelled";
    /// The INVITE was refused.
    InviteRefused = "invite_refused", 0, Normal, "INVITE refused by the far side";
    /// The session was not refreshed (RFC 4028).
    SessionTimeout = "session_timeout", 0, Network, "session timer expired";
    /// Nothing came from either end of a call for `media.inactivity_seconds`.
    MediaInactive = "media_inactive", 0, Network, "no media for too long";
    // MSRP
    /// Malformed MSRP request.
    MsrpBadRequest = "msrp_bad_request", 400, Peer, "malformed MSRP request";
    /// No session has this To-Path (R76).
    MsrpUnknownSession = "msrp_unknown_session", 481, Peer, "no such MSRP session";
    /// The session is bound to another connection (R77).
    MsrpAlreadyBound = "msrp_already_bound", 506, Peer, "session is bound to another connection";
    /// The connection comes from an address that was not signalled (R77).
    MsrpWrongSource = "msrp_wrong_source", 481, Peer, "connection from an address that was not signalled";
    /// The connection shows no certificate that was announced in SDP (RFC 8122).
    MsrpBadCertificate = "msrp_bad_certificate", 403, Peer, "certificate does not match the announced fingerprint";
    /// Credentials of a client that asks for a relay are wrong, or it may not ask here (RFC 4976).
    MsrpAuthRefused = "msrp_auth_refused", 403, Peer, "not authorised to use the relay";
    /// The peer of the session is gone or cannot be reached.
    MsrpPeerGone = "msrp_peer_gone", 408, Network, "MSRP peer unreachable";
    /// The MSRP head is too long.
    MsrpHeadTooLong = "msrp_head_too_long", 400, Peer, "MSRP head too large";
    /// A chunk made no progress for too long.
    MsrpChunkTimeout = "msrp_chunk_timeout", 408, Peer, "MSRP chunk made no progress";
    /// Two sessions would have the same pair of paths.
    MsrpSessionCollision = "msrp_session_collision", 500, Policy, "MSRP session paths collide";
    /// The MSRP session was idle for too long.
    MsrpIdle = "msrp_idle", 0, Normal, "MSRP session idle";
    /// The MSRP session was open for as long as one may be (`msrp.session_seconds_max`).
    MsrpExpired = "msrp_expired", 0, Policy, "MSRP session open for too long";
    /// A connection that bound no session in time.
    MsrpUnbound = "msrp_unbound", 0, Peer, "MSRP connection bound no session in time";
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unique_stable_words() {
        let mut labels: Vec<_> = Cause::ALL.iter().map(|c| c.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Cause::ALL.len());
        for label in labels {
            assert!(
                label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{label}"
            );
            assert_ne!(label, "other");
        }
    }

    /// R80.
    #[test]
    fn statuses_are_final_failures_and_texts_fit_a_quoted_string() {
        for cause in Cause::ALL {
            assert!(cause.status().is_none_or(|s| (400..700).contains(&s)), "{cause}");
            assert!(
                cause.text().bytes().all(|b| (32..127).contains(&b) && b != b'"' && b != b'\\'),
                "{cause}"
            );
        }
    }
}
