//! Sealed tokens: what the user part of our Path, Record-Route and Contact URIs says to ourselves.
//!
//! ```text
//! text   = base64url(sealed), no padding, canonical       legal in a SIP user part and in a token
//! sealed = key id (1) | nonce (12) | ciphertext | tag (16)
//! plain  = version (1) | kind (1) | node (2) | shard (2) | flow | binding (8) [ | dialog (8) | route ]
//! flow   = 0 | slot (4) | generation (4)                  a stream
//!        | 4 or 6 | socket (2) | port (2) | address       a datagram source
//! ```
//! The core cannot read a token, and nobody can make one: a forged or altered one opens to
//! `Cause::BadFlowToken` and nothing else. Two keys are live, so that a rotation breaks no
//! registration and no dialog: what the old key sealed opens until the next rotation.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use wire::{BindingId, Cause, DialogId, Random, ShardId, SocketId, StreamId};

/// The keys of a node.
#[derive(Debug)]
pub struct TokenKeys {
    current: TokenKey,
    previous: Option<TokenKey>,
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// In Path: where the registered UE is.
    Flow(FlowToken),
    /// In Record-Route and Contact towards the core: which dialog.
    Dialog(DialogToken<'a>),
}

/// The way to a UE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowToken {
    /// The node that holds the flow.
    pub node: u16,
    /// The shard that holds the flow.
    pub shard: ShardId,
    /// The flow.
    pub flow: FlowPath,
    /// The binding that was registered over it.
    pub binding: BindingId,
}

/// The way to a dialog, and to its UE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialogToken<'a> {
    /// The UE's flow when the dialog was made.
    pub flow: FlowToken,
    /// The dialog in the shard's table.
    pub dialog: DialogId,
    /// Routing state for a node that has lost, or never had, the dialog; at most
    /// [`ROUTE_BYTES_MAX`] bytes. Its form belongs to whoever writes it.
    pub route: &'a [u8],
}

/// How bytes reach the UE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowPath {
    /// The connection it opened.
    Stream(StreamId),
    /// The NAT binding its datagrams come from.
    Datagram {
        /// Our socket.
        socket: SocketId,
        /// The source as seen.
        peer: SocketAddr,
    },
}

/// The most routing state a dialog token carries, in bytes.
pub const ROUTE_BYTES_MAX: usize = 192;

/// The most characters `seal` writes.
pub const TOKEN_CHARS_MAX: usize = SEALED_MAX.div_ceil(3) * 4;

/// A buffer that `TokenKeys::open` decrypts in: on the caller's stack, so that opening allocates nothing.
#[derive(Debug)]
pub struct TokenRoom([u8; SEALED_MAX]);

impl Default for TokenRoom {
    fn default() -> Self {
        Self([0; SEALED_MAX])
    }
}

impl TokenKeys {
    /// Starts with one key; `id` tells it from those before and after it.
    #[must_use]
    pub fn new(id: u8, key: &[u8; 32]) -> Self {
        Self { current: TokenKey::new(id, key), previous: None }
    }

    /// Seals with `key` from here on; what the key before it sealed still opens.
    ///
    /// The same id again replaces the current key: what that one sealed is lost.
    pub fn rotate(&mut self, id: u8, key: &[u8; 32]) {
        let before = core::mem::replace(&mut self.current, TokenKey::new(id, key));
        if before.id != id {
            self.previous = Some(before);
        }
    }

    /// Appends the text of `token` to `out`.
    ///
    /// Nonces are 96 random bits: a key that seals 10,000 tokens a second for a day stays far below
    /// the 2^32 messages at which a repeated nonce becomes worth thinking of.
    ///
    /// # Panics
    /// If the routing state is longer than [`ROUTE_BYTES_MAX`].
    pub fn seal(&self, token: &Token<'_>, random: &mut Random, out: &mut Vec<u8>) {
        let mut sealed = [0; SEALED_MAX];
        sealed[0] = self.current.id;
        random.fill(&mut sealed[1..HEAD]);
        let mut plain = Writer { room: &mut sealed[HEAD..], len: 0 };
        write_token(token, &mut plain);
        let plain_end = HEAD + plain.len;
        let nonce = nonce_of(&sealed).expect("the room is longer than a nonce");
        let tag = self
            .current
            .key
            .seal_in_place_separate_tag(nonce, Aad::from([self.current.id]), &mut sealed[HEAD..plain_end])
            .expect("a token is far below the limit of the cipher");
        sealed[plain_end..plain_end + TAG].copy_from_slice(tag.as_ref());
        encode(&sealed[..plain_end + TAG], out);
    }

    /// Reads what a token says; `room` holds the plain bytes that the answer borrows.
    ///
    /// # Errors
    /// `Cause::BadFlowToken` for anything that no live key sealed, whatever is wrong with it.
    pub fn open<'r>(&self, text: &[u8], room: &'r mut TokenRoom) -> Result<Token<'r>, Cause> {
        let sealed = decode(text, &mut room.0).ok_or(Cause::BadFlowToken)?;
        let id = *sealed.first().ok_or(Cause::BadFlowToken)?;
        let key = self.key(id).ok_or(Cause::BadFlowToken)?;
        let nonce = nonce_of(sealed).ok_or(Cause::BadFlowToken)?;
        let plain = key
            .open_in_place(nonce, Aad::from([id]), &mut sealed[HEAD..])
            .map_err(|_| Cause::BadFlowToken)?;
        read_token(&mut Reader(plain)).ok_or(Cause::BadFlowToken)
    }

    fn key(&self, id: u8) -> Option<&LessSafeKey> {
        if self.current.id == id {
            return Some(&self.current.key);
        }
        let previous = self.previous.as_ref().filter(|k| k.id == id)?;
        Some(&previous.key)
    }
}

#[derive(Debug)]
struct TokenKey {
    id: u8,
    key: LessSafeKey,
}

impl TokenKey {
    fn new(id: u8, key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).expect("the key has 32 bytes");
        Self { id, key: LessSafeKey::new(key) }
    }
}

/// Key id and nonce.
const HEAD: usize = 1 + NONCE_LEN;
const TAG: usize = 16;
/// Version, kind, node, shard, the longest flow, binding, dialog.
const PLAIN_MAX: usize = 6 + 21 + 8 + 8 + ROUTE_BYTES_MAX;
const SEALED_MAX: usize = HEAD + PLAIN_MAX + TAG;

const VERSION: u8 = 1;
const KIND_FLOW: u8 = 1;
const KIND_DIALOG: u8 = 2;

fn nonce_of(sealed: &[u8]) -> Option<Nonce> {
    let bytes = sealed.get(1..HEAD)?;
    Nonce::try_assume_unique_for_key(bytes).ok()
}

// The plain bytes.

fn write_token(token: &Token<'_>, to: &mut Writer<'_>) {
    let (kind, flow) = match token {
        Token::Flow(flow) => (KIND_FLOW, flow),
        Token::Dialog(dialog) => (KIND_DIALOG, &dialog.flow),
    };
    to.put(&[VERSION, kind]);
    to.put(&flow.node.to_be_bytes());
    to.put(&flow.shard.0.to_be_bytes());
    write_flow(flow.flow, to);
    to.put(&flow.binding.slot.to_be_bytes());
    to.put(&flow.binding.generation.to_be_bytes());
    if let Token::Dialog(dialog) = token {
        assert!(dialog.route.len() <= ROUTE_BYTES_MAX, "routing state is capped");
        to.put(&dialog.dialog.slot.to_be_bytes());
        to.put(&dialog.dialog.generation.to_be_bytes());
        to.put(dialog.route);
    }
}

fn write_flow(flow: FlowPath, to: &mut Writer<'_>) {
    match flow {
        FlowPath::Stream(stream) => {
            to.put(&[0]);
            to.put(&stream.slot.to_be_bytes());
            to.put(&stream.generation.to_be_bytes());
        }
        FlowPath::Datagram { socket, peer } => {
            to.put(&[if peer.is_ipv4() { 4 } else { 6 }]);
            to.put(&socket.0.to_be_bytes());
            to.put(&peer.port().to_be_bytes());
            match peer.ip() {
                IpAddr::V4(ip) => to.put(&ip.octets()),
                IpAddr::V6(ip) => to.put(&ip.octets()),
            }
        }
    }
}

fn read_token<'r>(from: &mut Reader<'r>) -> Option<Token<'r>> {
    let [version, kind] = from.take()?;
    if version != VERSION {
        return None;
    }
    let flow = FlowToken {
        node: u16::from_be_bytes(from.take()?),
        shard: ShardId(u16::from_be_bytes(from.take()?)),
        flow: read_flow(from)?,
        binding: BindingId {
            slot: u32::from_be_bytes(from.take()?),
            generation: u32::from_be_bytes(from.take()?),
        },
    };
    match kind {
        KIND_FLOW if from.0.is_empty() => Some(Token::Flow(flow)),
        KIND_DIALOG => Some(Token::Dialog(DialogToken {
            flow,
            dialog: DialogId {
                slot: u32::from_be_bytes(from.take()?),
                generation: u32::from_be_bytes(from.take()?),
            },
            route: from.0,
        })),
        _ => None,
    }
}

fn read_flow(from: &mut Reader<'_>) -> Option<FlowPath> {
    let [family] = from.take()?;
    if family == 0 {
        return Some(FlowPath::Stream(StreamId {
            slot: u32::from_be_bytes(from.take()?),
            generation: u32::from_be_bytes(from.take()?),
        }));
    }
    let socket = SocketId(u16::from_be_bytes(from.take()?));
    let port = u16::from_be_bytes(from.take()?);
    let ip = match family {
        4 => IpAddr::V4(Ipv4Addr::from(from.take::<4>()?)),
        6 => IpAddr::V6(Ipv6Addr::from(from.take::<16>()?)),
        _ => return None,
    };
    Some(FlowPath::Datagram { socket, peer: SocketAddr::new(ip, port) })
}

struct Writer<'a> {
    room: &'a mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        self.room[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }
}

// The text: base64url (RFC 4648 §5) without padding. Written here because it must be canonical:
// one text for one token, or a flipped padding bit would still open.

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let mut table = [u8::MAX; 256];
    let mut i = 0;
    while i < LETTERS.len() {
        table[LETTERS[i] as usize] = i as u8;
        i += 1;
    }
    table
}

pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for group in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for i in 0..=group.len() {
            out.push(LETTERS[(bits >> (18 - 6 * i)) as usize & 63]);
        }
    }
}

/// Decodes into `room` and returns the filled part.
pub(crate) fn decode<'r>(text: &[u8], room: &'r mut [u8]) -> Option<&'r mut [u8]> {
    let mut len = 0;
    for group in text.chunks(4) {
        if group.len() == 1 {
            return None;
        }
        let mut bits = 0u32;
        for i in 0..4 {
            let value = match group.get(i) {
                Some(&letter) => VALUES[letter as usize],
                None => 0,
            };
            if value == u8::MAX {
                return None;
            }
            bits = bits << 6 | u32::from(value);
        }
        let [_, three @ ..] = bits.to_be_bytes();
        let (whole, rest) = three.split_at(group.len() - 1);
        if rest.iter().any(|&b| b != 0) {
            return None; // not canonical
        }
        room.get_mut(len..len + whole.len())?.copy_from_slice(whole);
        len += whole.len();
    }
    room.get_mut(..len)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flow(flow: FlowPath) -> FlowToken {
        FlowToken { node: 7, shard: ShardId(3), flow, binding: BindingId { slot: 70_000, generation: 2 } }
    }

    fn stream() -> FlowPath {
        FlowPath::Stream(StreamId { slot: 12, generation: 9 })
    }

    fn datagram(peer: &str) -> FlowPath {
        FlowPath::Datagram { socket: SocketId(1), peer: peer.parse().unwrap() }
    }

    fn dialog(route: &[u8]) -> Token<'_> {
        Token::Dialog(DialogToken {
            flow: flow(stream()),
            dialog: DialogId { slot: 1, generation: u32::MAX },
            route,
        })
    }

    fn sealed(keys: &TokenKeys, token: &Token<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        keys.seal(token, &mut Random::from_u64(1), &mut out);
        out
    }

    fn opens_to(keys: &TokenKeys, text: &[u8], token: &Token<'_>) {
        assert_eq!(keys.open(text, &mut TokenRoom::default()).as_ref(), Ok(token));
    }

    fn refused(keys: &TokenKeys, text: &[u8]) {
        assert_eq!(keys.open(text, &mut TokenRoom::default()), Err(Cause::BadFlowToken));
    }

    #[test]
    fn every_kind_of_token_comes_back_and_stays_short() {
        let keys = TokenKeys::new(1, &[5; 32]);
        for (token, chars_max) in [
            (Token::Flow(flow(stream())), 70),
            (Token::Flow(flow(datagram("192.0.2.9:16891"))), 70),
            (Token::Flow(flow(datagram("[2001:db8::9]:16891"))), 86),
            (dialog(b""), 80),
            (dialog(&[0xa5; ROUTE_BYTES_MAX]), TOKEN_CHARS_MAX),
        ] {
            let text = sealed(&keys, &token);
            assert!(text.len() <= chars_max, "{} characters", text.len());
            assert!(wire::bytes_class::all(&text, wire::bytes_class::TOKEN), "token characters only");
            opens_to(&keys, &text, &token);
        }
    }

    #[test]
    fn the_key_before_the_last_still_opens_and_the_one_before_that_does_not() {
        let token = Token::Flow(flow(stream()));
        let mut keys = TokenKeys::new(1, &[1; 32]);
        let first = sealed(&keys, &token);
        keys.rotate(2, &[2; 32]);
        let second = sealed(&keys, &token);
        opens_to(&keys, &first, &token);
        opens_to(&keys, &second, &token);
        keys.rotate(3, &[3; 32]);
        refused(&keys, &first);
        opens_to(&keys, &second, &token);
    }

    #[test]
    fn an_unknown_key_id_and_a_stranger_with_our_key_id_are_refused() {
        let keys = TokenKeys::new(1, &[1; 32]);
        let token = dialog(b"");
        refused(&keys, &sealed(&TokenKeys::new(9, &[1; 32]), &token));
        refused(&keys, &sealed(&TokenKeys::new(1, &[2; 32]), &token));
    }

    #[test]
    fn no_prefix_and_no_extension_of_a_token_opens() {
        let keys = TokenKeys::new(1, &[1; 32]);
        let mut text = sealed(&keys, &Token::Flow(flow(stream())));
        for end in 0..text.len() {
            refused(&keys, &text[..end]);
        }
        text.push(b'A');
        refused(&keys, &text);
        refused(&keys, &[b'A'; TOKEN_CHARS_MAX + 8]);
    }

    #[test]
    fn sealing_the_same_twice_gives_two_texts() {
        let keys = TokenKeys::new(1, &[1; 32]);
        let mut random = Random::from_u64(1);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        keys.seal(&dialog(b""), &mut random, &mut a);
        keys.seal(&dialog(b""), &mut random, &mut b);
        assert_ne!(a, b);
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_refused(seed: u64, at: prop::sample::Index, bit in 0u8..8) {
            let keys = TokenKeys::new(1, &[1; 32]);
            let mut text = Vec::new();
            keys.seal(&dialog(b"route"), &mut Random::from_u64(seed), &mut text);
            let at = at.index(text.len());
            text[at] ^= 1 << bit;
            refused(&keys, &text);
        }

        #[test]
        fn hostile_text_never_panics(text: Vec<u8>) {
            refused(&TokenKeys::new(1, &[1; 32]), &text);
        }

        #[test]
        fn base64url_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..SEALED_MAX)) {
            let mut text = Vec::new();
            encode(&bytes, &mut text);
            let mut room = [0; SEALED_MAX];
            prop_assert_eq!(decode(&text, &mut room), Some(&mut bytes.clone()[..]));
        }
    }
}
