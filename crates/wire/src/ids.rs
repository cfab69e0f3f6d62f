//! Ids. A slot is reused, so every id of a slot carries a generation: a stale id finds nothing.

use core::fmt;

/// What a table of reused slots needs to know of the ids it gives out.
pub trait SlotId: Copy + Eq {
    /// Makes the id.
    fn new(slot: u32, generation: u32) -> Self;
    /// Place in the owner's table.
    fn slot(self) -> u32;
    /// How often that place had been used before.
    fn generation(self) -> u32;
}

macro_rules! slot_id {
    ($(#[$doc:meta])* $name:ident, $letter:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name {
            /// Place in the owner's table.
            pub slot: u32,
            /// How often that place had been used before.
            pub generation: u32,
        }

        impl SlotId for $name {
            fn new(slot: u32, generation: u32) -> Self {
                Self { slot, generation }
            }
            fn slot(self) -> u32 {
                self.slot
            }
            fn generation(self) -> u32 {
                self.generation
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "{}.{}"), self.slot, self.generation)
            }
        }
    };
}

slot_id!(
    /// One stream connection (TCP or TLS), given out by the shell that owns the socket.
    StreamId, "s"
);
slot_id!(
    /// One media session (MSRP or RTP), given out by the edge that anchors it.
    MediaId, "m"
);
slot_id!(
    /// One registration binding of the edge.
    BindingId, "b"
);
slot_id!(
    /// One dialog of the edge.
    DialogId, "d"
);
slot_id!(
    /// One subscription of the edge's own.
    WatchId, "w"
);
slot_id!(
    /// One request on its way through the edge, with its two transactions.
    ExchangeId, "x"
);

/// One datagram socket of the shell; of one that is bound to a wildcard, with one of its local addresses.
///
/// The lower byte is the socket, the upper one the shell's number of the local address; 0 leaves that to
/// the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u16);

impl SocketId {
    /// The same socket at a local address.
    #[must_use]
    pub const fn at(self, local: u8) -> Self {
        Self(self.0 & 0xff | (local as u16) << 8)
    }

    /// The socket, whatever the address.
    #[must_use]
    pub const fn bare(self) -> Self {
        Self(self.0 & 0xff)
    }

    /// The number of the local address; 0 for none.
    #[must_use]
    pub const fn local(self) -> u8 {
        (self.0 >> 8) as u8
    }
}

/// One shard: one pinned thread with its own sockets, edge and relays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);
