//! Redirections (3xx) by the core: passed on, followed within the pool, or refused.

use super::place_of;
use crate::api::Outbox;
use crate::exchange::{Cancel, Exchange};
use crate::headers;
use crate::hops::{Place, host_of_uri};
use crate::shard::Edge;
use config::Redirects;
use sip::{HeaderId, Message};
use wire::{Cause, Instant};

/// What the UE must do itself, such as calling an emergency number elsewhere (TS 24.229 §5.1.6.8).
const ALTERNATIVE_SERVICE: u16 = 380;
/// Names another proxy for this one request: never a UE's business.
const USE_PROXY: u16 = 305;

impl Edge {
    pub(super) fn on_redirect(
        &mut self,
        x: &mut Exchange,
        message: Message<'_>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let status = message.status();
        let policy = self.config.core.redirects;
        if status == ALTERNATIVE_SERVICE || x.finished {
            self.relay(x, message, now, out);
            return;
        }
        if policy == Redirects::Follow && self.follow_redirect(x, message, now, out) {
            return;
        }
        if policy != Redirects::Refuse && status != USE_PROXY {
            self.relay(x, message, now, out);
            return;
        }
        if self.answers_barred(x, 500, now, out) {
            return;
        }
        let (cause, origin) = (Cause::Redirected, x.requester);
        self.note_reject(cause, &origin, x.echo.call_id(), out);
        let warning = self.warning(cause.into(), &origin);
        self.answer(x, cause.status().unwrap_or(500), &warning, now, out);
    }

    /// Sends the request where a Contact leads to an untried member of its pool; whether there is one.
    ///
    /// 305 names a proxy and leaves the Request-URI alone (RFC 3261 §21.3.4); the others name the target.
    fn follow_redirect(
        &mut self,
        x: &mut Exchange,
        message: Message<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        if !x.retryable || x.finished || !matches!(x.cancel, Cancel::No) {
            return false;
        }
        let contacts = message.name_addrs(HeaderId::Contact).flatten();
        let found = contacts.filter(|c| !c.star).find_map(|contact| {
            let place = self.member_of_uri(x, contact.uri, now)?;
            Some((contact.uri.to_vec(), place))
        });
        let Some((uri, place)) = found.filter(|(_, place)| *place != place_of(x)) else { return false };
        let Some(target) = self.core_target(place.1, place.0) else { return false };
        if message.status() != USE_PROXY && !retarget(&mut x.request, &uri) {
            return false;
        }
        self.hops.goes_to(&mut x.tried, place);
        self.send_again(x, target, now, out)
    }

    fn member_of_uri(&self, x: &Exchange, uri: &[u8], now: Instant) -> Option<Place> {
        let query = host_of_uri(uri)?;
        let literal = query.literal().map(|(peer, transport)| {
            let known = self.hops.transport_of(peer).filter(|_| query.transport().is_none());
            (peer, known.unwrap_or(transport))
        });
        let named = || self.hops.best_of(&query, now);
        literal.or_else(named).filter(|place| {
            let way = self.core_target(place.1, place.0).is_some();
            way && self.hops.may_follow_to(&x.tried, *place)
        })
    }
}

/// Puts another Request-URI into a request (RFC 3261 §8.1.3.4); false if it would not be one.
fn retarget(request: &mut Vec<u8>, uri: &[u8]) -> bool {
    let Some(start) = memchr::memchr(b' ', request).map(|at| at + 1) else { return false };
    let Some(end) = memchr::memchr(b' ', &request[start..]).map(|at| start + at) else { return false };
    let mut text = Vec::with_capacity(uri.len());
    headers::push_as_request_uri(uri, &mut text);
    let legal = !text.is_empty() && text.iter().all(|b| b.is_ascii_graphic());
    if legal {
        request.splice(start..end, text);
    }
    legal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_gets_another_uri_and_stays_whole() {
        let mut request = b"INVITE sip:a@h SIP/2.0\r\nVia: x\r\n\r\n".to_vec();
        assert!(retarget(&mut request, b"sip:b@[2001:db8::1]:5070?Subject=x"));
        assert_eq!(request, b"INVITE sip:b@[2001:db8::1]:5070 SIP/2.0\r\nVia: x\r\n\r\n");
        assert!(!retarget(&mut request, b"sip:\x01"));
        assert!(!retarget(&mut Vec::new(), b"sip:a"));
    }
}
