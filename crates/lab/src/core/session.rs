//! INVITE sessions. The messaging server answers the sender itself and calls the recipient itself:
//! two dialogs, two MSRP sessions, one leg each.
//!
//! ```text
//!  A ──INVITE──▶ leg (TakeIn)    200 at once; the whole message is taken in and checked,
//!                leg (Deliver) ──INVITE──▶ B    then delivered in a session of its own
//!
//!  A ──INVITE──▶ leg (Bridge) ◀──▶ leg (Bridge) ──INVITE──▶ B    a chat: answered when B answers
//! ```

use super::group::{GROUP, is_group};
use super::register::Binding;
use super::{Core, Purpose};
use crate::dialog::Dialog;
use crate::file::FileSelector;
use crate::layer::{ClientId, Origin, ServerId};
use crate::msrp_end::{MsrpIncoming, MsrpMessage};
use crate::node::LabOutbox;
use crate::service::Service;
use crate::strict::body::{self, Part};
use crate::strict::msrp::MsrpUri;
use crate::strict::sdp::{MsrpDescription, MsrpMedia};
use crate::strict::{Sdp, SipMessage, SipWriter};
use wire::{Hop, Instant, Transport};

/// One leg: a dialog and an MSRP session with one UE.
#[derive(Debug)]
pub(super) struct Leg {
    service: Service,
    state: State,
    dialog: Option<Dialog>,
    hop: Hop,
    tag: String,
    /// The local MSRP session id.
    msrp: String,
    local_path: String,
    job: Job,
}

#[derive(Debug)]
enum State {
    /// The UE called; no final answer yet.
    Alerted(ServerId, Box<SipMessage>),
    /// The UE called and a 2xx is out.
    Answered(ServerId),
    /// We called.
    Calling(ClientId),
    Open,
}

#[derive(Debug)]
pub(super) enum Job {
    /// Takes one message in.
    TakeIn {
        sender: usize,
        recipient: usize,
        invite: Box<SipMessage>,
        file: Option<FileSelector>,
        done: bool,
    },
    /// Delivers one message.
    Deliver { recipient: usize, contact: String, done: bool },
    /// Carries messages to and from another leg.
    Bridge { other: u64 },
    /// Is in a group.
    Member { group: u64, user: usize },
}

impl Leg {
    pub(super) const fn job(&self) -> &Job {
        &self.job
    }

    pub(super) fn msrp(&self) -> &str {
        &self.msrp
    }

    /// Whether a request inside a dialog is this leg's.
    pub(super) fn owns(&self, request: &SipMessage) -> bool {
        self.dialog.as_ref().is_some_and(|dialog| dialog.owns(request))
    }
}

/// Headers of the sender's INVITE that reach the recipient unchanged (R30).
const CARRIED: [&str; 7] = [
    "Accept-Contact",
    "Conversation-ID",
    "Contribution-ID",
    "Subject",
    "Supported",
    "Session-Expires",
    "Min-SE",
];

impl Core {
    pub(super) fn on_invite(
        &mut self,
        id: ServerId,
        origin: Origin,
        request: &SipMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        let trying = SipWriter::response(request, 100, "").finish();
        self.layer.respond(id, 100, trying, now, out);
        if let Err(status) = self.begin(id, origin, request, now, out) {
            self.respond(id, request, status, now, out);
        }
    }

    fn begin(
        &mut self,
        id: ServerId,
        origin: Origin,
        request: &SipMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) -> Result<(), u16> {
        let sender = self.originator(request).ok_or(403_u16)?;
        if is_group(request.uri()) {
            let (media, _) = read_body(request).map_err(|_| 400_u16)?;
            return self.create_group(id, origin, request, &media, now, out);
        }
        let recipient = self.user_of(request.uri()).ok_or(404_u16)?;
        let bindings = self.alive(recipient, now);
        let binding = bindings.first().ok_or(480_u16)?;
        let (media, first) = read_body(request).map_err(|detail| {
            self.violations.record(now, "R65", format!("INVITE: {detail}"));
            400_u16
        })?;
        self.check_media(&media, "active", now);
        let service = request.first("P-Preferred-Service").and_then(Service::parse);
        let service = service.unwrap_or(Service::Chat);
        let job = match service {
            Service::Large | Service::File => Job::TakeIn {
                sender,
                recipient,
                invite: Box::new(request.clone()),
                file: media.file_selector.as_deref().map(FileSelector::parse),
                done: false,
            },
            Service::Chat | Service::Pager => Job::Bridge { other: 0 },
        };
        let state = State::Alerted(id, Box::new(request.clone()));
        let leg = self.open_leg(service, state, origin.hop, job, media.transport, Some(&media.path));
        match service {
            Service::Large | Service::File => self.answer(leg, &media, now, out),
            Service::Chat | Service::Pager => {
                let other = self.call(
                    sender,
                    recipient,
                    binding,
                    service,
                    request,
                    first,
                    Job::Bridge { other: leg },
                    now,
                    out,
                );
                self.bridge(leg, other);
            }
        }
        Ok(())
    }

    fn bridge(&mut self, one: u64, two: u64) {
        for (leg, other) in [(one, two), (two, one)] {
            if let Some(leg) = self.legs.get_mut(&leg) {
                leg.job = Job::Bridge { other };
            }
        }
    }

    /// Opens a leg whose MSRP session waits for the far end to connect (R67).
    fn open_leg(
        &mut self,
        service: Service,
        state: State,
        hop: Hop,
        job: Job,
        transport: Transport,
        remote_path: Option<&str>,
    ) -> u64 {
        let msrp = format!("hw{}", self.msrp.new_session_id());
        let local_path = MsrpUri::write(transport, self.settings.msrp, &msrp);
        self.msrp.listen(&msrp, &local_path, remote_path);
        self.next_leg += 1;
        let leg = Leg { service, state, dialog: None, hop, tag: self.token(8), msrp, local_path, job };
        self.legs.insert(self.next_leg, leg);
        self.next_leg
    }

    /// Opens the leg of somebody who called a group, and answers.
    #[allow(clippy::too_many_arguments, reason = "one INVITE has that many ingredients")]
    pub(super) fn admit(
        &mut self,
        id: ServerId,
        origin: Origin,
        request: &SipMessage,
        media: &MsrpMedia,
        job: Job,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        self.check_media(media, "active", now);
        let state = State::Alerted(id, Box::new(request.clone()));
        let leg = self.open_leg(Service::Chat, state, origin.hop, job, media.transport, Some(&media.path));
        self.answer(leg, media, now, out);
    }

    /// Answers the INVITE of a leg with 200 and a passive end.
    fn answer(&mut self, leg: u64, offer: &MsrpMedia, now: Instant, out: &mut LabOutbox) {
        let contact = self.contact();
        let Some(state) = self.legs.get_mut(&leg) else {
            return;
        };
        let contact = if matches!(state.job, Job::Member { .. }) { focus() } else { contact };
        let State::Alerted(id, request) = core::mem::replace(&mut state.state, State::Open) else {
            return;
        };
        state.state = State::Answered(id);
        state.dialog = Dialog::callee(&request, &state.tag);
        let direction = if state.service == Service::Chat { "sendrecv" } else { "recvonly" };
        let attributes: Vec<String> =
            offer.file_selector.iter().map(|f| format!("file-selector:{f}")).collect();
        let sdp = describe(&state.local_path, "passive", direction, &attributes);
        let bytes = SipWriter::response(&request, 200, &state.tag)
            .fields("Record-Route", request.all("Record-Route"))
            .field("Contact", &contact)
            .field("Server", super::SERVER)
            .field("Supported", "timer")
            .field("Session-Expires", "1800;refresher=uac")
            .finish_with("application/sdp", sdp.as_bytes());
        self.layer.respond(id, 200, bytes, now, out);
    }

    /// Calls a contact; returns the leg.
    #[allow(clippy::too_many_arguments, reason = "one INVITE has that many ingredients")]
    pub(super) fn call(
        &mut self,
        sender: usize,
        recipient: usize,
        binding: &Binding,
        service: Service,
        carried: &SipMessage,
        first: Option<Part>,
        job: Job,
        now: Instant,
        out: &mut LabOutbox,
    ) -> u64 {
        let hop = self.hop_of(binding);
        let (contact, referred) = match job {
            Job::Member { .. } => {
                (focus(), Some(format!("<{}>", self.settings.subscribers[sender].identities[0])))
            }
            _ => (self.contact(), None),
        };
        // an edge turns it into what its UE wants; without one the UE's own transport is the best guess
        let transport = match (self.settings.topology.edge(), binding.origin.transport) {
            (None, Transport::Tls) => Transport::Tls,
            _ => Transport::Tcp,
        };
        let leg = self.open_leg(service, State::Open, hop, job, transport, None);
        let local_path = self.legs.get(&leg).map(|l| l.local_path.clone()).unwrap_or_default();
        let file = sdp_of(carried).and_then(|sdp| sdp.attribute("file-selector").map(str::to_owned));
        let attributes: Vec<String> = file.iter().map(|f| format!("file-selector:{f}")).collect();
        let direction = if service == Service::Chat { "sendrecv" } else { "sendonly" };
        let sdp = describe(&local_path, "actpass", direction, &attributes);
        let (content_type, body) = match first {
            None => ("application/sdp".to_owned(), sdp.into_bytes()),
            // figure 5-51: the message first, then the description
            Some(first) => {
                body::join(&[first, Part::new("application/sdp", sdp.as_bytes())], "ssboundary-1_")
            }
        };
        let bytes = self
            .terminating("INVITE", sender, recipient, binding, Some(service), hop)
            .field("Contact", &contact)
            .maybe("Referred-By", referred.as_deref())
            .fields_of(carried, &CARRIED)
            .finish_with(&content_type, &body);
        let id = self.send(Purpose::Invite { leg }, bytes, hop, now, out);
        if let Some(leg) = self.legs.get_mut(&leg) {
            leg.state = State::Calling(id);
        }
        leg
    }

    pub(super) fn on_invite_response(
        &mut self,
        leg: u64,
        id: ClientId,
        response: &SipMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        match response.status() {
            180 => self.on_leg_rings(leg, now, out),
            status @ 200..300 => {
                if let Err(detail) = self.on_leg_accepted(leg, id, response, now, out) {
                    self.violations.record(now, "R49", format!("{status} to INVITE: {detail}"));
                    self.hang_up(leg, now, out);
                }
            }
            status @ 300.. => self.on_leg_refused(leg, status, now, out),
            _ => {}
        }
    }

    fn on_leg_rings(&mut self, leg: u64, now: Instant, out: &mut LabOutbox) {
        let contact = self.contact();
        let Some(caller) = self.other(leg).and_then(|other| self.legs.get(&other)) else {
            return;
        };
        if let State::Alerted(id, request) = &caller.state {
            let bytes = SipWriter::response(request, 180, &caller.tag)
                .fields("Record-Route", request.all("Record-Route"))
                .field("Contact", &contact)
                .finish();
            self.layer.respond(*id, 180, bytes, now, out);
        }
    }

    fn on_leg_accepted(
        &mut self,
        leg: u64,
        id: ClientId,
        response: &SipMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) -> Result<(), String> {
        let request = self.pending.get(&id).map(|p| p.request.clone()).ok_or("unasked")?;
        let dialog = Dialog::caller(&request, response).ok_or("no To tag or no Contact")?;
        let hop = self.legs.get(&leg).map(|l| l.hop).ok_or("no leg")?;
        let via = self.via(hop);
        self.layer.acknowledge(id, dialog.ack(&via).finish(), hop, out);
        let state = self.legs.get_mut(&leg).ok_or("no leg")?;
        state.dialog = Some(dialog);
        state.state = State::Open;
        let msrp = state.msrp.clone();
        let media = Sdp::parse(&response.body)?.msrp()?;
        self.check_media(&media, "active", now);
        self.msrp.set_remote_path(&msrp, &media.path, now, out);
        if let Some(caller) = self.other(leg) {
            self.counts.chats += 1;
            let offer = self.legs.get(&caller).and_then(|l| match &l.state {
                State::Alerted(_, request) => read_body(request).ok(),
                _ => None,
            });
            match offer {
                Some((offer, _)) => self.answer(caller, &offer, now, out),
                None => self.hang_up(leg, now, out),
            }
        }
        Ok(())
    }

    pub(super) fn on_leg_refused(&mut self, leg: u64, status: u16, now: Instant, out: &mut LabOutbox) {
        let other = self.other(leg);
        if let Some(Leg { job: Job::Deliver { recipient, contact, .. }, .. }) = self.forget(leg, out) {
            self.undelivered(recipient, &contact, status);
        }
        if let Some(caller) = other.and_then(|other| self.forget(other, out))
            && let State::Alerted(id, request) = caller.state
        {
            self.respond(id, &request, status, now, out);
        }
    }

    pub(super) fn on_ack(&mut self, id: ServerId) {
        for leg in self.legs.values_mut() {
            if matches!(leg.state, State::Answered(server) if server == id) {
                leg.state = State::Open;
            }
        }
    }

    pub(super) fn on_no_ack(&mut self, id: ServerId, now: Instant, out: &mut LabOutbox) {
        let concerned = |l: &Leg| matches!(l.state, State::Answered(server) if server == id);
        let leg = self.legs.iter().find(|(_, l)| concerned(l)).map(|(leg, _)| *leg);
        // Where a BYE has come the 2xx had arrived, and an ACK that was lost concerns nobody.
        if let Some(leg) = leg {
            self.violations.record(now, "RFC 3261 §13.3.1.4", "no ACK came for a 2xx");
            self.hang_up(leg, now, out);
        }
    }

    pub(super) fn on_cancelled(&mut self, id: ServerId, now: Instant, out: &mut LabOutbox) {
        let concerned = |l: &Leg| matches!(l.state, State::Alerted(server, _) if server == id);
        let Some(leg) = self.legs.iter().find(|(_, l)| concerned(l)).map(|(leg, _)| *leg) else {
            return;
        };
        let other = self.other(leg);
        if let Some(State::Alerted(id, request)) = self.forget(leg, out).map(|l| l.state) {
            self.respond(id, &request, 487, now, out);
        }
        if let Some(other) = other {
            self.hang_up(other, now, out);
        }
    }

    pub(super) fn on_bye(&mut self, id: ServerId, request: &SipMessage, now: Instant, out: &mut LabOutbox) {
        let owns = |l: &Leg| l.dialog.as_ref().is_some_and(|d| d.owns(request));
        let Some(leg) = self.legs.iter().find(|(_, l)| owns(l)).map(|(leg, _)| *leg) else {
            if !self.ended.owns(request, now) {
                self.violations.record(now, "R24", "a BYE for no dialog of ours");
            }
            self.respond(id, request, 481, now, out);
            return;
        };
        self.respond(id, request, 200, now, out);
        self.remember(leg, now);
        let other = self.other(leg);
        if let Some(Leg { job: Job::TakeIn { done: false, .. } | Job::Deliver { done: false, .. }, .. }) =
            self.forget(leg, out)
        {
            self.violations.record(now, "R49", "BYE before the message was through");
        }
        if let Some(other) = other {
            self.hang_up(other, now, out);
        }
    }

    /// Leaves a leg, by BYE or CANCEL, and forgets it.
    fn hang_up(&mut self, leg: u64, now: Instant, out: &mut LabOutbox) {
        self.hang_up_because(leg, None, now, out);
    }

    /// The same, saying why.
    pub(super) fn hang_up_because(
        &mut self,
        leg: u64,
        reason: Option<&str>,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        self.remember(leg, now);
        let Some(mut state) = self.forget(leg, out) else {
            return;
        };
        match (&state.state, state.dialog.as_mut()) {
            (State::Calling(id), _) => self.layer.cancel(*id, now, out),
            (State::Alerted(id, request), _) => self.respond(*id, &request.clone(), 480, now, out),
            (State::Answered(_) | State::Open, Some(dialog)) => {
                let via = self.via(state.hop);
                let bytes = dialog.request("BYE", &via).maybe("Reason", reason).finish();
                self.send(Purpose::Bye, bytes, state.hop, now, out);
            }
            (State::Answered(_) | State::Open, None) => {}
        }
    }

    pub(super) fn on_leg_media(&mut self, incoming: MsrpIncoming, now: Instant, out: &mut LabOutbox) {
        match incoming {
            MsrpIncoming::Received { session, message } => self.on_content(&session, message, now, out),
            MsrpIncoming::Sent { session, .. } => {
                let Some(leg) = self.leg_of(&session) else {
                    return;
                };
                if let Some(Leg { job: Job::Deliver { done, .. }, .. }) = self.legs.get_mut(&leg) {
                    *done = true;
                    self.hang_up(leg, now, out);
                }
            }
            MsrpIncoming::SendFailed { session, message_id, status } => {
                let detail = format!("{message_id} to a UE failed with {status}");
                self.violations.record(now, "R76", detail);
                if let Some(leg) = self.leg_of(&session) {
                    self.hang_up(leg, now, out);
                }
            }
            MsrpIncoming::Bound { .. }
            | MsrpIncoming::Reported { .. }
            | MsrpIncoming::Unbound { .. }
            | MsrpIncoming::Broken { .. } => {}
        }
    }

    fn on_content(&mut self, session: &str, message: MsrpMessage, now: Instant, out: &mut LabOutbox) {
        let Some(leg) = self.leg_of(session) else {
            return;
        };
        let Some(state) = self.legs.get_mut(&leg) else {
            return;
        };
        match &mut state.job {
            Job::Bridge { other } => {
                let other = *other;
                self.counts.chat_messages += 1;
                if let Some(other) = self.legs.get(&other) {
                    let msrp = other.msrp.clone();
                    self.msrp.send(&msrp, message, now, out);
                }
            }
            Job::TakeIn { sender, recipient, invite, file, done } => {
                *done = true;
                let (sender, recipient, invite, service) =
                    (*sender, *recipient, invite.clone(), state.service);
                if let Some(detail) = file.as_ref().and_then(|f| f.contradiction(&message.body)) {
                    self.violations.record(now, "R74", detail);
                }
                self.counts.contents += 1;
                self.counts.content_bytes += message.body.len() as u64;
                for binding in self.alive(recipient, now) {
                    self.forward(sender, recipient, &binding, service, &invite, message.clone(), now, out);
                }
            }
            Job::Member { group, .. } => {
                let group = *group;
                self.tell_group(group, leg, &message, now, out);
            }
            Job::Deliver { .. } => {
                let detail = format!("{} on a session that only delivers", message.message_id);
                self.violations.record(now, "R49", detail);
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one INVITE has that many ingredients")]
    fn forward(
        &mut self,
        sender: usize,
        recipient: usize,
        binding: &Binding,
        service: Service,
        invite: &SipMessage,
        message: MsrpMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        let job = Job::Deliver { recipient, contact: binding.uri.clone(), done: false };
        let leg = self.call(sender, recipient, binding, service, invite, None, job, now, out);
        let Some(state) = self.legs.get_mut(&leg) else {
            return;
        };
        let msrp = state.msrp.clone();
        let message = MsrpMessage { success_report: false, ..message };
        self.msrp.send(&msrp, message, now, out);
    }

    pub(super) fn contact(&self) -> String {
        format!("<sip:im@{}>", self.settings.sip)
    }

    fn other(&self, leg: u64) -> Option<u64> {
        match self.legs.get(&leg)?.job {
            Job::Bridge { other } if other != 0 => Some(other),
            _ => None,
        }
    }

    fn leg_of(&self, msrp: &str) -> Option<u64> {
        self.legs.iter().find(|(_, l)| l.msrp == msrp).map(|(leg, _)| *leg)
    }

    /// The far end may hang up at the same moment.
    fn remember(&mut self, leg: u64, now: Instant) {
        if let Some(dialog) = self.legs.get(&leg).and_then(|leg| leg.dialog.clone()) {
            self.ended.push(dialog, now);
        }
    }

    fn forget(&mut self, leg: u64, out: &mut LabOutbox) -> Option<Leg> {
        let leg = self.legs.remove(&leg)?;
        self.msrp.close(&leg.msrp, out);
        Some(leg)
    }
}

/// A conference is its own target (figure 5-63).
fn focus() -> String {
    format!("<{GROUP}>;isfocus")
}

fn read_body(request: &SipMessage) -> Result<(MsrpMedia, Option<Part>), String> {
    let content_type = request.first("Content-Type").unwrap_or_default();
    let mut media = None;
    let mut first = None;
    for part in body::parts(content_type, &request.body)? {
        match part.content_type.to_ascii_lowercase().as_str() {
            "application/sdp" => media = Some(Sdp::parse(&part.body)?.msrp()?),
            "message/cpim" => first = Some(part),
            "application/resource-lists+xml" => {}
            other => return Err(format!("a body part of {other}")),
        }
    }
    Ok((media.ok_or("no SDP")?, first))
}

fn sdp_of(request: &SipMessage) -> Option<Sdp> {
    let parts = body::parts(request.first("Content-Type")?, &request.body).ok()?;
    let part = parts.iter().find(|p| p.content_type.eq_ignore_ascii_case("application/sdp"))?;
    Sdp::parse(&part.body).ok()
}

fn describe(local_path: &str, setup: &str, direction: &str, attributes: &[String]) -> String {
    let uri = MsrpUri::parse(local_path);
    let (transport, address) =
        uri.and_then(|uri| Some((uri.transport, uri.address?))).expect("our own path has an address");
    MsrpDescription {
        username: "-",
        session: 33_554_432,
        address,
        transport,
        path: local_path,
        setup,
        direction,
        attributes,
    }
    .write()
}
