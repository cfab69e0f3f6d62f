//! STUN as ICE-lite needs it: connectivity checks answered, consent watched (RFC 8489, RFC 8445 §7.3,
//! RFC 7675). The reader is our own, since a media socket needs six attributes of one method.
//!
//! ```text
//!   | type | length | 21 12 a4 42 | transaction id | attributes ... MESSAGE-INTEGRITY | FINGERPRINT |
//!                                                    ^ signed up to here, with the length that ends
//!                                                      after the integrity itself
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// A STUN message in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    bytes: &'a [u8],
    /// What it is.
    pub class: Class,
    /// Echoed by the answer.
    pub transaction: [u8; 12],
    /// `ours:theirs` of the ICE credentials, as the sender sees them from our side.
    pub username: Option<&'a [u8]>,
    /// The far end nominates this pair.
    pub use_candidate: bool,
    /// The role the far end takes and its tie-breaker.
    pub role: Option<Role>,
    /// The address the answer says our request came from.
    pub mapped: Option<SocketAddr>,
    /// The code of an error response.
    pub error_code: Option<u16>,
    /// A comprehension-required attribute that we do not know: the first one.
    pub unknown_required: Option<u16>,
    /// Where MESSAGE-INTEGRITY begins.
    integrity_at: Option<usize>,
}

/// Binding is the only method; its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// To be answered.
    Request,
    /// A keepalive; not answered.
    Indication,
    /// It worked.
    Success,
    /// It did not.
    Error,
}

/// RFC 8445 §5.1.1: who nominates. We are lite, so the far end should be controlling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// With its tie-breaker.
    Controlling(u64),
    /// With its tie-breaker.
    Controlled(u64),
}

impl<'a> Message<'a> {
    /// Reads a binding message with a right FINGERPRINT, which ICE demands (RFC 8445 §7.1.3).
    ///
    /// `None` for anything else. What stands after MESSAGE-INTEGRITY is not looked at (RFC 8489 §14.5).
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, attributes) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let [t0, t1, l0, l1, c0, c1, c2, c3, transaction @ ..] = *header;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if [c0, c1, c2, c3] != COOKIE || length != attributes.len() || length % 4 != 0 {
            return None;
        }
        let class = match u16::from_be_bytes([t0, t1]) {
            0x0001 => Class::Request,
            0x0011 => Class::Indication,
            0x0101 => Class::Success,
            0x0111 => Class::Error,
            _ => return None,
        };
        let mut message = Self {
            bytes,
            class,
            transaction,
            username: None,
            use_candidate: false,
            role: None,
            mapped: None,
            error_code: None,
            unknown_required: None,
            integrity_at: None,
        };
        message.read_attributes().then_some(message)
    }

    /// Whether MESSAGE-INTEGRITY is there and was made with this password.
    #[must_use]
    pub fn is_signed_with(&self, password: &[u8]) -> bool {
        let Some(at) = self.integrity_at else { return false };
        let (Some(signed), Some(tag)) = (self.bytes.get(..at), self.bytes.get(at + 4..at + INTEGRITY_BYTES))
        else {
            return false;
        };
        integrity(signed, password).verify_slice(tag).is_ok()
    }

    /// Whether the first half of the user name is our fragment: the check is meant for us.
    #[must_use]
    pub fn is_for(&self, our_fragment: &[u8]) -> bool {
        let fragment = self.username.and_then(|name| name.split(|b| *b == b':').next());
        fragment == Some(our_fragment) && self.username.is_some_and(|name| name.contains(&b':'))
    }

    /// Walks the attributes; false if they do not fit or the fingerprint is missing or wrong.
    fn read_attributes(&mut self) -> bool {
        let mut at = HEADER_BYTES;
        while let Some([k0, k1, l0, l1]) = self.bytes.get(at..).and_then(|rest| rest.first_chunk()) {
            let kind = u16::from_be_bytes([*k0, *k1]);
            let length = usize::from(u16::from_be_bytes([*l0, *l1]));
            let Some(value) = self.bytes.get(at + 4..at + 4 + length) else { return false };
            if kind == FINGERPRINT {
                return self.has_fingerprint(at, value) && at + FINGERPRINT_BYTES == self.bytes.len();
            }
            if self.integrity_at.is_none() && !self.take(kind, value, at) {
                return false;
            }
            at += 4 + length.next_multiple_of(4);
        }
        false
    }

    /// Takes one attribute; the first of a kind counts (RFC 8489 §14).
    fn take(&mut self, kind: u16, value: &'a [u8], at: usize) -> bool {
        match kind {
            USERNAME => self.username = self.username.or(Some(value)),
            MESSAGE_INTEGRITY if value.len() == 20 => self.integrity_at = Some(at),
            MESSAGE_INTEGRITY => return false,
            USE_CANDIDATE => self.use_candidate = true,
            ICE_CONTROLLING | ICE_CONTROLLED => {
                let Ok(breaker) = value.try_into().map(u64::from_be_bytes) else { return false };
                let role = if kind == ICE_CONTROLLING {
                    Role::Controlling(breaker)
                } else {
                    Role::Controlled(breaker)
                };
                self.role = self.role.or(Some(role));
            }
            XOR_MAPPED_ADDRESS => match xor_address(value, &self.transaction) {
                Some(address) => self.mapped = self.mapped.or(Some(address)),
                None => return false,
            },
            ERROR_CODE => match value {
                [_, _, class, number, ..] => {
                    let code = u16::from(class & 7) * 100 + u16::from(*number);
                    self.error_code = self.error_code.or(Some(code));
                }
                _ => return false,
            },
            PRIORITY | MAPPED_ADDRESS => {}
            0..0x8000 => self.unknown_required = self.unknown_required.or(Some(kind)),
            _ => {}
        }
        true
    }

    fn has_fingerprint(&self, at: usize, value: &[u8]) -> bool {
        self.bytes.get(..at).is_some_and(|signed| value == fingerprint(signed).to_be_bytes())
    }
}

/// What we know of a pair of ICE agents: our credentials, from our SDP.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// `a=ice-ufrag`.
    pub fragment: &'a [u8],
    /// `a=ice-pwd`.
    pub password: &'a [u8],
}

/// What is to be done with a message from the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `out` holds a success response: send it to where the request came from. The source proved that
    /// it knows our password: it may be latched to, and its consent is fresh (RFC 7675 §5.1).
    Answered {
        /// The far end chose this pair.
        is_nominated: bool,
    },
    /// `out` holds an error response: send it. The source proved nothing.
    Refused {
        /// 400, 401, 420 or 487.
        code: u16,
    },
    /// Nothing to send.
    Ignored,
}

/// Answers a connectivity check as a lite agent (RFC 8445 §7.3).
///
/// `out` is replaced by what is to be sent. An answer is never longer than 100 octets and goes to nobody
/// but the source, so that nothing is amplified.
pub fn answer(datagram: &[u8], source: SocketAddr, ours: Credentials<'_>, out: &mut Vec<u8>) -> Verdict {
    out.clear();
    let Some(message) = Message::read(datagram) else { return Verdict::Ignored };
    if message.class != Class::Request {
        return Verdict::Ignored;
    }
    // RFC 8489 §9.1.3: 400 without credentials, 401 with wrong ones; neither answer is signed.
    let refuse = |code: u16, reason: &str, signed_with: Option<&[u8]>, out: &mut Vec<u8>| {
        write_error(&message, code, reason, signed_with, out);
        Verdict::Refused { code }
    };
    if message.integrity_at.is_none() || message.username.is_none() {
        return refuse(400, "Bad Request", None, out);
    }
    if !message.is_for(ours.fragment) || !message.is_signed_with(ours.password) {
        return refuse(401, "Unauthenticated", None, out);
    }
    if message.unknown_required.is_some() {
        return refuse(420, "Unknown Attribute", Some(ours.password), out);
    }
    // RFC 8445 §7.3.1.1: a lite agent is controlled; one that claims the same must change its mind.
    if matches!(message.role, Some(Role::Controlled(_))) {
        return refuse(487, "Role Conflict", Some(ours.password), out);
    }
    begin(0x0101, &message.transaction, out);
    put_xor_address(source, &message.transaction, out);
    finish(Some(ours.password), out);
    Verdict::Answered { is_nominated: message.use_candidate }
}

/// Writes a binding request as a check or for consent; `username` is `theirs:ours`.
pub fn write_request(
    transaction: [u8; 12],
    username: &[u8],
    their_password: &[u8],
    role: Role,
    priority: u32,
    out: &mut Vec<u8>,
) {
    out.clear();
    begin(0x0001, &transaction, out);
    put(USERNAME, username, out);
    put(PRIORITY, &priority.to_be_bytes(), out);
    let (kind, breaker) = match role {
        Role::Controlling(breaker) => (ICE_CONTROLLING, breaker),
        Role::Controlled(breaker) => (ICE_CONTROLLED, breaker),
    };
    put(kind, &breaker.to_be_bytes(), out);
    finish(Some(their_password), out);
}

fn write_error(
    request: &Message<'_>,
    code: u16,
    reason: &str,
    signed_with: Option<&[u8]>,
    out: &mut Vec<u8>,
) {
    begin(0x0111, &request.transaction, out);
    let mut value = vec![0, 0, (code / 100) as u8, (code % 100) as u8];
    value.extend_from_slice(reason.as_bytes());
    put(ERROR_CODE, &value, out);
    if let Some(kind) = request.unknown_required.filter(|_| code == 420) {
        put(UNKNOWN_ATTRIBUTES, &kind.to_be_bytes(), out);
    }
    finish(signed_with, out);
}

fn begin(kind: u16, transaction: &[u8; 12], out: &mut Vec<u8>) {
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&COOKIE);
    out.extend_from_slice(transaction);
}

fn put(kind: u16, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Signs if asked to, adds the fingerprint, and sets the length.
fn finish(signed_with: Option<&[u8]>, out: &mut Vec<u8>) {
    if let Some(password) = signed_with {
        let tag = integrity(out, password).finalize().into_bytes();
        put(MESSAGE_INTEGRITY, &tag, out);
    }
    let length = (out.len() - HEADER_BYTES + FINGERPRINT_BYTES) as u16;
    out[2..4].copy_from_slice(&length.to_be_bytes());
    let sum = fingerprint(out);
    put(FINGERPRINT, &sum.to_be_bytes(), out);
}

/// HMAC-SHA1 over what stands before MESSAGE-INTEGRITY, with a length that ends just after it.
fn integrity(signed: &[u8], password: &[u8]) -> Hmac<Sha1> {
    let length = (signed.len().saturating_sub(HEADER_BYTES) + INTEGRITY_BYTES) as u16;
    let mac = <Hmac<Sha1> as KeyInit>::new_from_slice(password).expect("HMAC takes keys of any length");
    mac.chain_update(signed.get(..2).unwrap_or_default())
        .chain_update(length.to_be_bytes())
        .chain_update(signed.get(4..).unwrap_or_default())
}

/// CRC-32 of RFC 8489 §14.7. The length field already counts the fingerprint.
fn fingerprint(signed: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in signed {
        crc = crc >> 8 ^ CRC[usize::from(crc as u8 ^ byte)];
    }
    !crc ^ 0x5354_554e
}

const CRC: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

fn xor_address(value: &[u8], transaction: &[u8; 12]) -> Option<SocketAddr> {
    let (&[0, family, p0, p1], address) = value.split_first_chunk()? else { return None };
    let port = u16::from_be_bytes([p0 ^ COOKIE[0], p1 ^ COOKIE[1]]);
    let ip = match family {
        1 => {
            let octets: [u8; 4] = address.try_into().ok()?;
            IpAddr::V4(Ipv4Addr::from_bits(u32::from_be_bytes(octets) ^ u32::from_be_bytes(COOKIE)))
        }
        2 => {
            let octets: [u8; 16] = address.try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from_bits(u128::from_be_bytes(octets) ^ mask(transaction)))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn put_xor_address(address: SocketAddr, transaction: &[u8; 12], out: &mut Vec<u8>) {
    let port = (address.port() ^ u16::from_be_bytes([COOKIE[0], COOKIE[1]])).to_be_bytes();
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            let octets = (ip.to_bits() ^ u32::from_be_bytes(COOKIE)).to_be_bytes();
            put(XOR_MAPPED_ADDRESS, &[&[0, 1][..], &port, &octets].concat(), out);
        }
        IpAddr::V6(ip) => {
            let octets = (ip.to_bits() ^ mask(transaction)).to_be_bytes();
            put(XOR_MAPPED_ADDRESS, &[&[0, 2][..], &port, &octets].concat(), out);
        }
    }
}

/// What an IPv6 address is XORed with: the cookie and the transaction id.
fn mask(transaction: &[u8; 12]) -> u128 {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&COOKIE);
    mask[4..].copy_from_slice(transaction);
    u128::from_be_bytes(mask)
}

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER_BYTES: usize = 20;
const INTEGRITY_BYTES: usize = 24;
const FINGERPRINT_BYTES: usize = 8;

const MAPPED_ADDRESS: u16 = 0x0001;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLED: u16 = 0x8029;
const ICE_CONTROLLING: u16 = 0x802a;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::srtp::tests::hex;

    const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";
    const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";
    const RESPONSE_V4: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96";
    const RESPONSE_V6: &str = "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c";

    const OURS: Credentials<'_> = Credentials { fragment: b"evtj", password: PASSWORD };

    fn source() -> SocketAddr {
        "192.0.2.1:32853".parse().unwrap()
    }

    #[test]
    fn rfc_5769_request() {
        let bytes = hex(REQUEST);
        let message = Message::read(&bytes).unwrap();
        assert_eq!(message.class, Class::Request);
        assert_eq!(message.username, Some(&b"evtj:h6vY"[..]));
        assert_eq!(message.role, Some(Role::Controlled(0x932f_f9b1_5126_3b36)));
        assert!(message.is_signed_with(PASSWORD) && !message.is_signed_with(b"another"));
        assert!(message.is_for(b"evtj") && !message.is_for(b"h6vY") && !message.is_for(b"evt"));
    }

    #[test]
    fn rfc_5769_responses() {
        for (text, address) in
            [(RESPONSE_V4, "192.0.2.1:32853"), (RESPONSE_V6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
        {
            let bytes = hex(text);
            let message = Message::read(&bytes).unwrap();
            assert_eq!((message.class, message.mapped), (Class::Success, Some(address.parse().unwrap())));
            assert!(message.is_signed_with(PASSWORD));
        }
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let bytes = hex(REQUEST);
        for bit in 0..bytes.len() * 8 {
            let mut bent = bytes.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Message::read(&bent), None, "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(Message::read(&bytes[..len]), None, "cut at {len}");
        }
    }

    fn check(role: Role, username: &[u8], password: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_request([7; 12], username, password, role, 1, &mut out);
        out
    }

    #[test]
    fn checks_are_answered() {
        let mut out = Vec::new();
        for text in ["192.0.2.1:32853", "[2001:db8::1]:9"] {
            let source: SocketAddr = text.parse().unwrap();
            let request = check(Role::Controlling(1), b"evtj:h6vY", PASSWORD);
            assert_eq!(answer(&request, source, OURS, &mut out), Verdict::Answered { is_nominated: false });
            let reply = Message::read(&out).unwrap();
            assert_eq!(
                (reply.class, reply.mapped, reply.transaction),
                (Class::Success, Some(source), [7; 12])
            );
            assert!(reply.is_signed_with(PASSWORD));
        }
        // With USE-CANDIDATE the pair is nominated.
        let mut request = Vec::new();
        begin(0x0001, &[7; 12], &mut request);
        put(USERNAME, b"evtj:h6vY", &mut request);
        put(USE_CANDIDATE, b"", &mut request);
        finish(Some(PASSWORD), &mut request);
        assert_eq!(answer(&request, source(), OURS, &mut out), Verdict::Answered { is_nominated: true });
    }

    #[test]
    fn what_is_refused() {
        let mut out = Vec::new();
        let mut verdict = |request: &[u8]| {
            let verdict = answer(request, source(), OURS, &mut out);
            let code = Message::read(&out).and_then(|reply| reply.error_code);
            assert!(out.len() <= 100);
            (verdict, code)
        };
        let refused = |code| (Verdict::Refused { code }, Some(code));
        assert_eq!(verdict(&hex(REQUEST)), refused(487), "its sender claims to be controlled, as we are");
        assert_eq!(verdict(&check(Role::Controlling(1), b"evtj:h6vY", b"wrong")), refused(401));
        assert_eq!(verdict(&check(Role::Controlling(1), b"other:h6vY", PASSWORD)), refused(401));
        assert_eq!(verdict(&check(Role::Controlling(1), b"evtj", PASSWORD)), refused(401));
        let mut bare = Vec::new();
        begin(0x0001, &[7; 12], &mut bare);
        put(USERNAME, b"evtj:h6vY", &mut bare);
        finish(None, &mut bare);
        assert_eq!(verdict(&bare), refused(400));
        let mut strange = Vec::new();
        begin(0x0001, &[7; 12], &mut strange);
        put(USERNAME, b"evtj:h6vY", &mut strange);
        put(0x7777, b"?", &mut strange);
        finish(Some(PASSWORD), &mut strange);
        assert_eq!(verdict(&strange), refused(420));
        assert_eq!(verdict(&hex(RESPONSE_V4)), (Verdict::Ignored, None));
        assert_eq!(verdict(b"no STUN at all"), (Verdict::Ignored, None));
    }

    #[test]
    fn what_stands_after_the_integrity_counts_for_nothing() {
        let mut request = Vec::new();
        begin(0x0001, &[7; 12], &mut request);
        put(USERNAME, b"evtj:h6vY", &mut request);
        let tag = integrity(&request, PASSWORD).finalize().into_bytes();
        put(MESSAGE_INTEGRITY, &tag, &mut request);
        put(USE_CANDIDATE, b"", &mut request);
        finish(None, &mut request);
        let message = Message::read(&request).unwrap();
        assert!(message.is_signed_with(PASSWORD) && !message.use_candidate);
    }
}
