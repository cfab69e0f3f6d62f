//! The conference server: a group is its members' legs, each message goes to all the others
//! (figures 5-62 to 5-90, R53 to R56).

use super::Core;
use super::session::{Job, Leg};
use crate::layer::{Origin, ServerId};
use crate::msrp_end::MsrpMessage;
use crate::node::LabOutbox;
use crate::service::Service;
use crate::strict::body;
use crate::strict::sdp::MsrpMedia;
use crate::strict::{SipMessage, SipWriter, Uri};
use wire::Instant;

/// The conference factory, and the name of the one conference there is.
pub const GROUP: &str = "sip:12500100@as1.gc.rcs.chinamobile.com";

/// Whether a Request-URI is the conference's.
pub(super) fn is_group(uri: &str) -> bool {
    Uri::parse(uri).is_some_and(|uri| format!("sip:{}@{}", uri.user, uri.host) == GROUP)
}

impl Core {
    /// Opens a group with the caller in it and calls everybody of its list.
    pub(super) fn create_group(
        &mut self,
        id: ServerId,
        origin: Origin,
        request: &SipMessage,
        media: &MsrpMedia,
        now: Instant,
        out: &mut LabOutbox,
    ) -> Result<(), u16> {
        let sender = self.originator(request).ok_or(403_u16)?;
        let content_type = request.first("Content-Type").ok_or(400_u16)?;
        let parts = body::parts(content_type, &request.body).map_err(|_| 400_u16)?;
        let list = parts.iter().find(|p| p.disposition.starts_with("recipient-list")).ok_or(400_u16)?;
        self.next_group += 1;
        self.counts.groups += 1;
        let group = self.next_group;
        self.admit(id, origin, request, media, Job::Member { group, user: sender }, now, out);
        for uri in body::recipients(&list.body) {
            self.invite_member(group, sender, &uri, request, now, out);
        }
        Ok(())
    }

    fn invite_member(
        &mut self,
        group: u64,
        inviter: usize,
        uri: &str,
        carried: &SipMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        let Some(user) = self.user_of(uri) else {
            return;
        };
        if let Some(binding) = self.alive(user, now).first() {
            let job = Job::Member { group, user };
            self.call(inviter, user, binding, Service::Chat, carried, None, job, now, out);
        }
    }

    /// REFER of a member: who is to come, and who is to go (figures 5-65, 5-75).
    pub(super) fn on_refer(&mut self, id: ServerId, request: &SipMessage, now: Instant, out: &mut LabOutbox) {
        let member = self.legs.values().find_map(|leg| match leg.job() {
            Job::Member { group, user } if leg.owns(request) => Some((*group, *user)),
            _ => None,
        });
        let target = request.name_addrs("Refer-To").into_iter().next();
        let (Some((group, by)), Some(target)) = (member, target) else {
            self.respond(id, request, 481, now, out);
            return;
        };
        let tag = self.token(8);
        let accepted = SipWriter::response(request, 202, &tag).field("Refer-Sub", "false").finish();
        self.layer.respond(id, 202, accepted, now, out);
        let method = Uri::parse(&target.uri).and_then(|u| u.param("method").map(str::to_owned));
        match method.as_deref() {
            Some("INVITE") => self.invite_member(group, by, &target.uri, request, now, out),
            Some("BYE") => {
                let user = self.user_of(&target.uri);
                let is_they = |leg: &Leg| matches!(leg.job(), Job::Member { group: g, user: u } if *g == group && Some(*u) == user);
                let leg = self.legs.iter().find(|(_, leg)| is_they(leg)).map(|(number, _)| *number);
                if let Some(leg) = leg {
                    self.hang_up_because(leg, Some("SIP;cause=200;text=\"booted\""), now, out);
                }
            }
            _ => self.violations.record(now, "R54", format!("Refer-To {}", target.uri)),
        }
    }

    /// Passes what one member said to all the others.
    pub(super) fn tell_group(
        &mut self,
        group: u64,
        from: u64,
        message: &MsrpMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        self.counts.chat_messages += 1;
        let others = self.legs.iter().filter(|(number, leg)| {
            **number != from && matches!(leg.job(), Job::Member { group: g, .. } if *g == group)
        });
        let sessions: Vec<String> = others.map(|(_, leg)| leg.msrp().to_owned()).collect();
        for session in sessions {
            self.msrp.send(&session, message.clone(), now, out);
        }
    }
}
