//! What we hold for the RTP media of a dialog: ids, ports, keys, as the relay was last told.
//!
//! All of it stays the same from one offer to the next, so that what is repeated is written like the first
//! time, and a key never starts anew on a stream that goes on.

use super::crypto::{self, Shape, Theirs};
use super::{Offered, RtpTerms, Said};
use crate::negotiation::MediaIds;
use crate::rtp_ports::{Family, RtpPort, RtpPorts};
use ::rtp::srtp::{MasterKey, Suite};
use media::command::RtpOrder;
use smallvec::SmallVec;
use wire::{Cause, DialogId, Instant, MediaId, Random, Realm};

/// One RTP medium of a dialog.
#[derive(Clone, Debug)]
pub struct Leg {
    /// Its session.
    pub id: MediaId,
    ports: [RtpPort; 2],
    ends: [End; 2],
    /// As the relay was last told.
    pub ordered: Option<Box<RtpOrder>>,
    /// The relay says that nobody sends any more.
    pub is_silent: bool,
}

/// Our own end towards one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Keys with which we send, one for each suite that was ever named.
    keys: SmallVec<[MasterKey; 1]>,
    /// Our ICE credentials.
    pub ice: Option<OwnIce>,
    /// What was agreed with this side last.
    shape: Option<Shape>,
    /// Whether RTCP is multiplexed here.
    pub is_muxed: bool,
}

/// Our ICE credentials towards one side.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnIce {
    /// `a=ice-ufrag`.
    pub fragment: Vec<u8>,
    /// `a=ice-pwd`; never printed.
    pub password: Vec<u8>,
    /// Those of the peer for which they were drawn.
    peer: Box<[u8]>,
}

impl core::fmt::Debug for OwnIce {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "OwnIce({}, secret)", self.fragment.escape_ascii())
    }
}

/// The RTP media of a dialog by the index of their `m=` lines.
#[derive(Debug, Default)]
pub struct Legs(SmallVec<[Option<Box<Leg>>; 1]>);

/// Where legs are made.
#[derive(Debug)]
pub struct Desk<'a> {
    /// Those of the dialog.
    pub legs: &'a mut Legs,
    /// Where ids come from.
    pub ids: &'a mut MediaIds,
    /// Where ports come from.
    pub ports: &'a mut RtpPorts,
    /// Where keys come from.
    pub random: &'a mut Random,
    /// Whose media they are.
    pub call: DialogId,
    /// The time.
    pub now: Instant,
}

impl Leg {
    /// Our port towards a side.
    #[must_use]
    pub const fn port(&self, realm: Realm) -> RtpPort {
        self.ports[realm as usize]
    }

    /// Our end towards a side.
    #[must_use]
    pub const fn end(&self, realm: Realm) -> &End {
        &self.ends[realm as usize]
    }
}

impl End {
    /// Our key of a suite, if it was drawn.
    pub(super) fn key(&self, suite: Suite) -> Option<&MasterKey> {
        self.keys.iter().find(|key| key.suite() == suite)
    }

    pub(super) fn draw(&mut self, suite: Suite, random: &mut Random) {
        if self.key(suite).is_none() {
            self.keys.push(MasterKey::random(suite, random));
        }
    }

    /// What this side is offered: what was agreed with it before, else what its policy says.
    pub(super) fn shape_for(&self, terms: &RtpTerms<'_>, to: Realm) -> Option<Shape> {
        self.shape.or_else(|| Shape::first(terms, to))
    }
}

impl Legs {
    /// Those that there are.
    pub fn iter(&self) -> impl Iterator<Item = &Leg> {
        self.0.iter().flatten().map(|leg| &**leg)
    }

    /// The leg of a session.
    pub fn find_mut(&mut self, id: MediaId) -> Option<&mut Leg> {
        self.0.iter_mut().flatten().map(|leg| &mut **leg).find(|leg| leg.id == id)
    }

    /// Whether the relay was told of any.
    #[must_use]
    pub fn are_ordered(&self) -> bool {
        self.iter().any(|leg| leg.ordered.is_some())
    }

    /// The leg of the medium with this index.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<&Leg> {
        self.0.get(index)?.as_deref()
    }

    pub(crate) fn at_mut(&mut self, index: usize) -> Option<&mut Leg> {
        self.0.get_mut(index)?.as_deref_mut()
    }

    /// Takes out those that `keep` does not want.
    pub(crate) fn take_out(&mut self, mut keep: impl FnMut(usize, &Leg) -> bool) -> Vec<Leg> {
        let places = self.0.iter_mut().enumerate();
        places.filter_map(|(index, place)| place.take_if(|leg| !keep(index, leg)).map(|leg| *leg)).collect()
    }

    fn put(&mut self, index: usize, leg: Leg) -> &mut Leg {
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index].insert(Box::new(leg))
    }
}

impl Desk<'_> {
    /// The leg of the medium with this index.
    #[must_use]
    pub fn leg(&self, index: usize) -> Option<&Leg> {
        self.legs.at(index)
    }

    /// The leg of a medium, with ports on both sides; made if it is new.
    pub(super) fn enter(&mut self, index: usize, families: [Family; 2]) -> Result<&Leg, Cause> {
        if self.legs.at(index).is_none() {
            let id = self.ids.insert(self.call).ok_or(Cause::TableFull)?;
            let ports = self.ports.reserve(id, families, self.now);
            let ports = ports.inspect_err(|_| {
                self.ids.remove(id);
            })?;
            self.legs
                .put(index, Leg { id, ports, ends: Default::default(), ordered: None, is_silent: false });
        }
        self.legs.at(index).ok_or(Cause::Internal)
    }

    /// The leg of a medium that is answered. The first fork has it already; another one gets ports of its
    /// own towards the offerer `by`, and shares the one that the answerers were all told.
    pub(super) fn enter_fork(
        &mut self,
        index: usize,
        offered: &Offered,
        by: Realm,
        family: Family,
    ) -> Result<&Leg, Cause> {
        if self.legs.at(index).is_none() {
            let id = self.ids.insert(self.call).ok_or(Cause::TableFull)?;
            let ports = self.ports.share(id, offered.leg, by, family, self.now);
            let ports = ports.inspect_err(|_| {
                self.ids.remove(id);
            })?;
            let mut ends = <[End; 2]>::default();
            ends[by.other() as usize] = offered.end.clone();
            self.legs.put(index, Leg { id, ports, ends, ordered: None, is_silent: false });
        }
        self.legs.at(index).ok_or(Cause::Internal)
    }

    /// Draws what an offer of this shape needs.
    pub(super) fn prepare(&mut self, index: usize, to: Realm, shape: &Shape, terms: &RtpTerms<'_>) {
        if let Some(leg) = self.legs.at_mut(index) {
            crypto::draw(shape, &mut leg.ends[to as usize], terms, self.random);
        }
    }

    /// Draws what the answer to `said` needs.
    pub(super) fn answer_with(&mut self, index: usize, by: Realm, said: &Said) {
        let Some(leg) = self.legs.at_mut(index) else { return };
        if let Theirs::Sdes { key, .. } = &said.theirs {
            leg.ends[by as usize].draw(key.suite(), self.random);
        }
        self.meet_ice(index, by, said.ice.as_deref());
    }

    /// Has credentials ready for a side that offers ICE; new ones when it starts anew, none when it stops.
    pub(super) fn meet_ice(&mut self, index: usize, by: Realm, peer: Option<&[u8]>) {
        let Some(leg) = self.legs.at_mut(index) else { return };
        let own = &mut leg.ends[by as usize].ice;
        match peer {
            None => *own = None,
            Some(peer) if own.as_ref().is_some_and(|own| *own.peer == *peer) => {}
            Some(peer) => {
                *own = Some(OwnIce {
                    fragment: ice_chars(8, self.random),
                    password: ice_chars(24, self.random),
                    peer: peer.into(),
                });
            }
        }
    }

    /// Notes what was agreed with a side.
    pub(super) fn settle(&mut self, index: usize, realm: Realm, shape: Shape, is_muxed: bool) {
        if let Some(leg) = self.legs.at_mut(index) {
            let end = &mut leg.ends[realm as usize];
            end.shape = Some(shape);
            end.is_muxed = is_muxed;
        }
    }
}

/// Characters of RFC 8839 §5.4, six bits each: 24 of them are 144 bits, where 128 are asked for.
fn ice_chars(count: usize, random: &mut Random) -> Vec<u8> {
    const CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..count).map(|_| CHARS[random.below(64) as usize]).collect()
}
