//! The rules on the way of a message through the edge: the last look before it is sent.

use super::{Passed, Passing};
use crate::api::Outbox;
use crate::exchange::{Exchange, Incoming, Target};
use crate::shard::Edge;
use wire::{Cause, Realm};

impl Edge {
    /// Takes a request that is ready to be sent through the operator's rules.
    ///
    /// # Errors
    /// `HeaderRule` if one refuses it, `HeadTooLong` if it is too large to be looked at.
    pub(crate) fn apply_rules(
        &mut self,
        request: &Incoming<'_>,
        target: &Target,
        start: usize,
        out: &mut Outbox,
    ) -> Result<(), Cause> {
        if self.rules.is_empty() {
            return Ok(());
        }
        let origin = request.origin;
        let point = if origin.realm == Realm::Access { origin.point } else { target.point };
        let passing =
            Passing { from: origin.realm, source: origin.source.ip(), access_point: self.points.name(point) };
        match self.rules.pass(&passing, &self.derived.limits, &mut out.bytes, start) {
            Passed::Unchanged | Passed::Changed => Ok(()),
            Passed::Unreadable => Err(Cause::HeadTooLong),
            Passed::Rejected(rejection) => {
                self.rejection = Some(rejection);
                Err(Cause::HeaderRule)
            }
        }
    }

    /// The same for a response; false if it is too large to be looked at.
    pub(crate) fn apply_rules_to_response(&mut self, x: &Exchange, start: usize, out: &mut Outbox) -> bool {
        if self.rules.is_empty() {
            return true;
        }
        let point = if x.requester.realm == Realm::Access { x.requester.point } else { x.target.point };
        let passing = Passing {
            from: x.target.realm,
            source: x.target.peer.ip(),
            access_point: self.points.name(point),
        };
        let passed = self.rules.pass(&passing, &self.derived.limits, &mut out.bytes, start);
        matches!(passed, Passed::Unchanged | Passed::Changed)
    }
}
