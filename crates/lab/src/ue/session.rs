//! INVITE sessions with MSRP: figures 5-29 to 5-58.

use super::command::AnswerPolicy;
use super::message::WANTED;
use super::{Purpose, Ue, UeEvent};
use crate::dialog::Dialog;
use crate::file::{FileSelector, sha256};
use crate::layer::{ClientId, ServerId};
use crate::msrp_end::{MsrpIncoming, MsrpMessage};
use crate::node::LabOutbox;
use crate::service::Service;
use crate::strict::body::{self, Part};
use crate::strict::msrp::MsrpUri;
use crate::strict::sdp::{MsrpDescription, MsrpMedia};
use crate::strict::{Cpim, Sdp, SipMessage, SipWriter};
use bytes::Bytes;
use core::net::SocketAddr;
use wire::{Instant, Realm, Transport};

/// One INVITE session of a UE.
#[derive(Debug)]
pub(super) struct Session {
    service: Service,
    state: State,
    dialog: Option<Dialog>,
    /// The local MSRP session id.
    msrp: String,
    local_path: String,
    remote: Option<MsrpMedia>,
    to_send: Option<MsrpMessage>,
    file: Option<FileSelector>,
    /// In a group nobody asks for notifications (R46).
    is_group: bool,
    sent: bool,
    reported: bool,
}

#[derive(Debug)]
enum State {
    Calling(ClientId),
    Alerted(ServerId, Box<SipMessage>),
    /// A 2xx is out, its ACK is not here yet.
    Answered(ServerId),
    Open,
}

impl Ue {
    pub(super) fn send_large(&mut self, tag: u64, to: &str, text: &Bytes, now: Instant, out: &mut LabOutbox) {
        let cpim = Cpim::text(&self.settings.identity, to, &format!("m{tag}"), "", text);
        let message = MsrpMessage {
            message_id: format!("m{tag}"),
            content_type: "message/cpim".to_owned(),
            body: cpim.write().into(),
            success_report: true,
        };
        self.call(tag, to, Service::Large, Some(message), None, Vec::new(), now, out);
    }

    pub(super) fn send_file(
        &mut self,
        tag: u64,
        to: &str,
        name: &str,
        content: Bytes,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        const TYPE: &str = "application/octet-stream";
        let file = FileSelector::of(name, TYPE, &content);
        let message = MsrpMessage {
            message_id: format!("f{tag}"),
            content_type: TYPE.to_owned(),
            body: content,
            success_report: false,
        };
        self.call(tag, to, Service::File, Some(message), Some(file), Vec::new(), now, out);
    }

    pub(super) fn start_chat(&mut self, tag: u64, to: &str, first: &str, now: Instant, out: &mut LabOutbox) {
        let identity = self.settings.identity.clone();
        let cpim =
            (!first.is_empty()).then(|| Cpim::text(&identity, to, &format!("m{tag}"), "", first.as_bytes()));
        let parts = cpim.iter().map(|cpim| Part::new("message/cpim", &cpim.write())).collect();
        self.call(tag, to, Service::Chat, None, None, parts, now, out);
    }

    pub(super) fn create_group(
        &mut self,
        tag: u64,
        to: &str,
        members: &[String],
        now: Instant,
        out: &mut LabOutbox,
    ) {
        let list = vec![body::recipient_list(members)];
        self.call(tag, to, Service::Chat, None, None, list, now, out);
        if let Some(session) = self.sessions.get_mut(&tag) {
            session.is_group = true;
        }
    }

    pub(super) fn refer(&mut self, tag: u64, to: &str, now: Instant, out: &mut LabOutbox) {
        let via = self.via();
        let contact = format!("<{}>", self.contact_uri());
        let Some(dialog) = self.sessions.get_mut(&tag).and_then(|s| s.dialog.as_mut()) else {
            self.events.push_back(UeEvent::Answered { tag, status: 481 });
            return;
        };
        let bytes = dialog
            .request("REFER", &via)
            .field("Contact", &contact)
            .field("Refer-To", &format!("<{to}>"))
            .field("Refer-Sub", "false")
            .finish();
        self.send(Purpose::Refer { tag }, bytes, now, out);
    }

    #[allow(clippy::too_many_arguments, reason = "one INVITE has that many ingredients")]
    fn call(
        &mut self,
        tag: u64,
        to: &str,
        service: Service,
        to_send: Option<MsrpMessage>,
        file: Option<FileSelector>,
        more: Vec<Part>,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        let mut session = self.new_session(service, self.settings.msrp_transport);
        let direction = if service == Service::Chat { "sendrecv" } else { "sendonly" };
        let sdp = self.describe(&session, direction, file.as_ref());
        let to_many = more.iter().any(|part| part.disposition == "recipient-list");
        let (content_type, body) = match more.is_empty() {
            true => ("application/sdp".to_owned(), sdp.into_bytes()),
            false => {
                let mut parts = vec![Part::new("application/sdp", sdp.as_bytes())];
                parts.extend(more);
                body::join(&parts, &format!("by{}", self.token(8)))
            }
        };
        let via = self.via();
        let bytes = self
            .initial("INVITE", to, &via, service)
            .maybe("Require", to_many.then_some("recipient-list-invite"))
            .field("Supported", "timer")
            .field("Session-Expires", "1800")
            .field("Min-SE", "90")
            .finish_with(&content_type, &body);
        session.to_send = to_send;
        session.file = file;
        session.state = State::Calling(self.send(Purpose::Invite { tag }, bytes, now, out));
        self.sessions.insert(tag, session);
    }

    pub(super) fn on_invite_response(
        &mut self,
        tag: u64,
        id: ClientId,
        response: &SipMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        match response.status() {
            180 => self.events.push_back(UeEvent::Ringing { tag }),
            status @ 200..300 => {
                if let Err(detail) = self.on_accepted(tag, id, response, now, out) {
                    self.violations.record(now, "R49", format!("{status} to INVITE: {detail}"));
                    self.hang_up(tag, now, out);
                }
            }
            status @ 300.. => self.refused(tag, status, out),
            _ => {}
        }
    }

    fn on_accepted(
        &mut self,
        tag: u64,
        id: ClientId,
        response: &SipMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) -> Result<(), String> {
        let request = self.pending.get(&id).map(|p| p.request.clone()).ok_or("unasked")?;
        let dialog = Dialog::caller(&request, response).ok_or("no To tag or no Contact")?;
        let via = self.via();
        let hop = self.hop();
        self.layer.acknowledge(id, dialog.ack(&via).finish(), hop, out);
        let session = self.sessions.get_mut(&tag).ok_or("no session")?;
        session.dialog = Some(dialog);
        session.state = State::Open;
        let media = Sdp::parse(&response.body)?.msrp()?;
        self.check_media(&media, &["passive", "actpass"], now);
        self.connect(tag, &media, now, out);
        Ok(())
    }

    /// The active side opens the connection (R67) and sends what it has.
    fn connect(&mut self, tag: u64, media: &MsrpMedia, now: Instant, out: &mut LabOutbox) {
        let Some(session) = self.sessions.get_mut(&tag) else {
            return;
        };
        session.remote = Some(media.clone());
        let (msrp, local) = (&session.msrp, &session.local_path);
        self.msrp.dial(msrp, local, &media.path, Realm::Access, now, out);
        if let Some(message) = session.to_send.take() {
            self.msrp.send(msrp, message, now, out);
        }
    }

    pub(super) fn refused(&mut self, tag: u64, status: u16, out: &mut LabOutbox) {
        self.forget(tag, out);
        self.events.push_back(UeEvent::Refused { tag, status });
    }

    pub(super) fn on_invite(
        &mut self,
        id: ServerId,
        request: &SipMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        let (media, first) = match self.read_offer(request) {
            Ok(read) => read,
            Err(detail) => {
                self.violations.record(now, "R65", format!("INVITE: {detail}"));
                self.respond(id, request, 400, now, out);
                return;
            }
        };
        self.check_media(&media, &["actpass", "passive"], now);
        let service = request.first("P-Asserted-Service").and_then(Service::parse);
        let service = service.unwrap_or(Service::Chat);
        let tag = self.next_incoming_tag;
        self.next_incoming_tag += 1;
        self.events.push_back(UeEvent::Incoming {
            tag,
            from: request.from().map(|n| n.uri).unwrap_or_default(),
            service,
        });
        if let Some(cpim) = first {
            let text = String::from_utf8_lossy(&cpim.content).into_owned();
            self.events.push_back(UeEvent::Chat { tag, text });
        }
        if let AnswerPolicy::Refuse(status) = self.settings.answer {
            self.respond(id, request, status, now, out);
            return;
        }
        let mut session = self.new_session(service, media.transport);
        session.file = media.file_selector.as_deref().map(FileSelector::parse);
        session.is_group = request.has("Referred-By");
        session.remote = Some(media);
        session.state = State::Alerted(id, Box::new(request.clone()));
        self.sessions.insert(tag, session);
        let ringing_tag = self.dialog_tag(tag);
        if service == Service::Chat {
            let bytes = SipWriter::response(request, 180, &ringing_tag)
                .fields("Record-Route", request.all("Record-Route"))
                .field("Contact", &format!("<{}>", self.contact_uri()))
                .finish();
            self.layer.respond(id, 180, bytes, now, out);
        }
        if self.settings.answer == AnswerPolicy::Accept {
            self.answer(tag, now, out);
        }
    }

    fn answer(&mut self, tag: u64, now: Instant, out: &mut LabOutbox) {
        let local_tag = self.dialog_tag(tag);
        let Some(session) = self.sessions.get(&tag) else {
            return;
        };
        let State::Alerted(id, request) = &session.state else {
            return;
        };
        let (id, request) = (*id, request.clone());
        let direction = if session.service == Service::Chat { "sendrecv" } else { "recvonly" };
        let sdp = self.describe(session, direction, session.file.as_ref());
        let bytes = SipWriter::response(&request, 200, &local_tag)
            .fields("Record-Route", request.all("Record-Route"))
            .field("Contact", &format!("<{}>", self.contact_uri()))
            .field("Server", super::message::USER_AGENT)
            .finish_with("application/sdp", sdp.as_bytes());
        let dialog = Dialog::callee(&request, &local_tag);
        if let Some(session) = self.sessions.get_mut(&tag) {
            session.dialog = dialog;
            session.state = State::Answered(id);
        }
        self.layer.respond(id, 200, bytes, now, out);
    }

    pub(super) fn on_ack(&mut self, id: ServerId, now: Instant, out: &mut LabOutbox) {
        let Some(tag) = self.session_of(id) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(&tag) else {
            return;
        };
        session.state = State::Open;
        if let Some(media) = session.remote.clone() {
            self.connect(tag, &media, now, out);
        }
    }

    pub(super) fn on_no_ack(&mut self, id: ServerId, now: Instant, out: &mut LabOutbox) {
        if let Some(tag) = self.session_of(id) {
            self.violations.record(now, "RFC 3261 §13.3.1.4", "no ACK came for a 2xx");
            self.hang_up(tag, now, out);
        }
    }

    pub(super) fn on_cancelled(&mut self, id: ServerId, now: Instant, out: &mut LabOutbox) {
        let Some(tag) = self.session_of(id) else {
            return;
        };
        if let Some(Session { state: State::Alerted(id, request), .. }) = self.sessions.remove(&tag) {
            self.respond(id, &request, 487, now, out);
            self.events.push_back(UeEvent::Ended { tag });
        }
    }

    pub(super) fn on_bye(&mut self, id: ServerId, request: &SipMessage, now: Instant, out: &mut LabOutbox) {
        let owner = |(tag, s): (&u64, &Session)| s.dialog.as_ref().filter(|d| d.owns(request)).map(|_| *tag);
        let tag = self.sessions.iter().find_map(owner);
        let status = if tag.is_some() { 200 } else { 481 };
        self.respond(id, request, status, now, out);
        match tag {
            Some(tag) => {
                self.remember(tag, now);
                self.forget(tag, out);
                self.events.push_back(UeEvent::Ended { tag });
            }
            None if self.ended.owns(request, now) => {}
            None => self.violations.record(now, "R24", "a BYE for no dialog of ours"),
        }
    }

    pub(super) fn cancel(&mut self, tag: u64, now: Instant, out: &mut LabOutbox) {
        if let Some(Session { state: State::Calling(id), .. }) = self.sessions.get(&tag) {
            self.layer.cancel(*id, now, out);
        }
    }

    pub(super) fn hang_up(&mut self, tag: u64, now: Instant, out: &mut LabOutbox) {
        let via = self.via();
        let Some(dialog) = self.sessions.get_mut(&tag).and_then(|s| s.dialog.as_mut()) else {
            self.cancel(tag, now, out);
            return;
        };
        let bytes = dialog.request("BYE", &via).finish();
        self.remember(tag, now);
        self.forget(tag, out);
        self.send(Purpose::Bye { tag }, bytes, now, out);
    }

    pub(super) fn say(&mut self, tag: u64, text: &str, now: Instant, out: &mut LabOutbox) {
        let message_id = format!("c{}", self.token(10));
        let identity = self.settings.identity.clone();
        let is_group = self.sessions.get(&tag).is_some_and(|session| session.is_group);
        let wanted = if is_group { "" } else { "positive-delivery" };
        let cpim = Cpim::text(&identity, &identity, &message_id, wanted, text.as_bytes());
        self.send_cpim(tag, message_id, &cpim, now, out);
    }

    fn send_cpim(&mut self, tag: u64, message_id: String, cpim: &Cpim, now: Instant, out: &mut LabOutbox) {
        let Some(session) = self.sessions.get(&tag) else {
            self.events.push_back(UeEvent::SendFailed { tag, status: 481 });
            return;
        };
        let message = MsrpMessage {
            message_id,
            content_type: "message/cpim".to_owned(),
            body: cpim.write().into(),
            success_report: false,
        };
        self.msrp.send(&session.msrp, message, now, out);
    }

    pub(super) fn on_session_media(&mut self, incoming: MsrpIncoming, now: Instant, out: &mut LabOutbox) {
        let id = match &incoming {
            MsrpIncoming::Bound { session }
            | MsrpIncoming::Received { session, .. }
            | MsrpIncoming::Sent { session, .. }
            | MsrpIncoming::SendFailed { session, .. }
            | MsrpIncoming::Reported { session, .. }
            | MsrpIncoming::Unbound { session } => session,
            MsrpIncoming::Broken { .. } => return,
        };
        let Some((&tag, session)) = self.sessions.iter_mut().find(|(_, s)| s.msrp == *id) else {
            return;
        };
        match incoming {
            MsrpIncoming::Bound { .. } => {
                let remote = session.remote.as_ref();
                let transport = remote.map_or(Transport::Tcp, |media| media.transport);
                self.events.push_back(UeEvent::Established { tag, transport });
            }
            MsrpIncoming::Received { message, .. } => self.on_content(tag, &message, now, out),
            MsrpIncoming::Sent { .. } => {
                session.sent = true;
                self.events.push_back(UeEvent::Sent { tag });
                self.hang_up_when_done(tag, now, out);
            }
            MsrpIncoming::Reported { status: 200, .. } => {
                session.reported = true;
                self.hang_up_when_done(tag, now, out);
            }
            MsrpIncoming::Reported { status, .. } | MsrpIncoming::SendFailed { status, .. } => {
                self.events.push_back(UeEvent::SendFailed { tag, status });
            }
            MsrpIncoming::Unbound { .. } | MsrpIncoming::Broken { .. } => {}
        }
    }

    /// One-message sessions end when the message is through: answered, and reported if that was asked.
    fn hang_up_when_done(&mut self, tag: u64, now: Instant, out: &mut LabOutbox) {
        let Some(session) = self.sessions.get(&tag) else {
            return;
        };
        let done = match session.service {
            Service::Large => session.sent && session.reported,
            Service::File => session.sent,
            Service::Chat | Service::Pager => false,
        };
        if done {
            self.hang_up(tag, now, out);
        }
    }

    fn on_content(&mut self, tag: u64, message: &MsrpMessage, now: Instant, out: &mut LabOutbox) {
        let Some(session) = self.sessions.get(&tag) else {
            return;
        };
        if session.service == Service::Chat {
            self.on_chat(tag, message, now, out);
            return;
        }
        let file = session.file.clone().unwrap_or_default();
        if let Some(detail) = file.contradiction(&message.body) {
            self.violations.record(now, "R74", detail);
        }
        let content = match session.service {
            Service::File => message.body.to_vec(),
            _ => Cpim::parse(&message.body).map(|c| c.content).unwrap_or_default(),
        };
        self.events.push_back(UeEvent::Content {
            tag,
            service: session.service,
            name: file.name,
            bytes: content.len() as u64,
            sha256: sha256(&content),
        });
    }

    fn on_chat(&mut self, tag: u64, message: &MsrpMessage, now: Instant, out: &mut LabOutbox) {
        let cpim = match Cpim::parse(&message.body) {
            Ok(cpim) => cpim,
            Err(detail) => {
                self.violations.record(now, "R74", detail);
                return;
            }
        };
        if let Some((status, about)) = cpim.as_notification() {
            self.events.push_back(UeEvent::Notification { about, status });
            return;
        }
        // R46: notifications travel over MSRP while there is a session
        for (disposition, status) in WANTED {
            if self.settings.notifies && cpim.asks(disposition) {
                let identity = self.settings.identity.clone();
                let note = self.notification(&identity, &cpim, status);
                let message_id = format!("n{}", self.token(10));
                self.send_cpim(tag, message_id, &note, now, out);
            }
        }
        let text = String::from_utf8_lossy(&cpim.content).into_owned();
        self.events.push_back(UeEvent::Chat { tag, text });
    }

    fn read_offer(&self, request: &SipMessage) -> Result<(MsrpMedia, Option<Cpim>), String> {
        let content_type = request.first("Content-Type").unwrap_or_default();
        let mut media = None;
        let mut first = None;
        for part in body::parts(content_type, &request.body)? {
            match part.content_type.to_ascii_lowercase().as_str() {
                "application/sdp" => media = Some(Sdp::parse(&part.body)?.msrp()?),
                "message/cpim" => first = Some(Cpim::parse(&part.body)?),
                other => return Err(format!("a body part of {other}")),
            }
        }
        Ok((media.ok_or("no SDP")?, first))
    }

    fn new_session(&mut self, service: Service, transport: Transport) -> Session {
        let msrp = self.msrp.new_session_id();
        let port = 20_000 + (self.random.below(10_000) as u16);
        let address = SocketAddr::new(self.settings.claimed.ip(), port);
        Session {
            service,
            state: State::Open,
            dialog: None,
            local_path: MsrpUri::write(transport, address, &msrp),
            msrp,
            remote: None,
            to_send: None,
            file: None,
            is_group: false,
            sent: false,
            reported: false,
        }
    }

    fn describe(&self, session: &Session, direction: &str, file: Option<&FileSelector>) -> String {
        let uri = MsrpUri::parse(&session.local_path);
        let (transport, address) = uri
            .and_then(|uri| Some((uri.transport, uri.address?)))
            .unwrap_or((Transport::Tcp, self.settings.claimed));
        let mut attributes = Vec::new();
        if let Some(file) = file {
            attributes.push(format!("file-selector:{}", file.write()));
            attributes.push(format!("file-transfer-id:{}", session.msrp));
        }
        MsrpDescription {
            username: "Spider-Phone",
            session: 155,
            address,
            transport,
            path: &session.local_path,
            setup: "active",
            direction,
            attributes: &attributes,
        }
        .write()
    }

    fn session_of(&self, id: ServerId) -> Option<u64> {
        let owns = |s: &Session| match &s.state {
            State::Alerted(server, _) | State::Answered(server) => *server == id,
            State::Calling(_) | State::Open => false,
        };
        self.sessions.iter().find(|(_, s)| owns(s)).map(|(tag, _)| *tag)
    }

    /// The tag of the dialog that an INVITE to us opens: 180 and 200 must agree (RFC 3261 §12.1.1).
    fn dialog_tag(&self, tag: u64) -> String {
        format!("ue{tag:x}{}", self.sessions.get(&tag).map_or("", |s| s.msrp.as_str()))
    }

    /// The far end may hang up at the same moment.
    fn remember(&mut self, tag: u64, now: Instant) {
        if let Some(dialog) = self.sessions.get(&tag).and_then(|s| s.dialog.clone()) {
            self.ended.push(dialog, now);
        }
    }

    fn forget(&mut self, tag: u64, out: &mut LabOutbox) {
        if let Some(session) = self.sessions.remove(&tag) {
            self.msrp.close(&session.msrp, out);
        }
    }
}
