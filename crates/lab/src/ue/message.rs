//! Pager messages, notifications, keep-alives: figures 5-17 to 5-27.

use super::{Purpose, Ue, UeEvent};
use crate::layer::ServerId;
use crate::node::LabOutbox;
use crate::service::Service;
use crate::strict::body::{self, Part};
use crate::strict::cpim::Imdn;
use crate::strict::{Cpim, SipMessage, SipWriter};
use crate::topology::UNKNOWN_HEADER;
use wire::Instant;

pub(super) const USER_AGENT: &str = "RCS/1.3.0(And)";

impl Ue {
    pub(super) fn send_message(
        &mut self,
        tag: u64,
        to: &str,
        text: &str,
        dispositions: &str,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        let cpim = Cpim::text(&self.settings.identity, to, &format!("m{tag}"), dispositions, text.as_bytes());
        let via = self.via();
        let bytes =
            self.initial("MESSAGE", to, &via, Service::Pager).finish_with("message/cpim", &cpim.write());
        self.send(Purpose::Message { tag }, bytes, now, out);
    }

    pub(super) fn send_to_many(
        &mut self,
        tag: u64,
        to: &[String],
        text: &str,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        const ANONYMOUS: &str = "sip:anonymous@anonymous.invalid";
        let cpim = Cpim::text(ANONYMOUS, ANONYMOUS, &format!("m{tag}"), "", text.as_bytes());
        let parts = [body::recipient_list(to), Part::new("message/cpim", &cpim.write())];
        let (content_type, body) = body::join(&parts, &format!("by{}", self.token(8)));
        let via = self.via();
        let first = to.first().map_or("", String::as_str);
        let bytes = self
            .initial("MESSAGE", first, &via, Service::Pager)
            .field("Require", "recipient-list-message")
            .finish_with(&content_type, &body);
        self.send(Purpose::Message { tag }, bytes, now, out);
    }

    pub(super) fn send_keep_alive(&mut self, tag: u64, seconds: u32, now: Instant, out: &mut LabOutbox) {
        let cpim = Cpim::text(&self.settings.identity, &self.settings.identity, &format!("m{tag}"), "", b"");
        let via = self.via_with(&format!(";rkeep={seconds}"));
        let to = self.settings.identity.clone();
        let bytes =
            self.initial("MESSAGE", &to, &via, Service::Pager).finish_with("message/cpim", &cpim.write());
        self.send(Purpose::Message { tag }, bytes, now, out);
    }

    pub(super) fn on_message(
        &mut self,
        id: ServerId,
        request: &SipMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        let content_type = request.first("Content-Type").unwrap_or_default().to_ascii_lowercase();
        let cpim = match Cpim::parse(&request.body) {
            Ok(cpim) if content_type.starts_with("message/cpim") => cpim,
            _ => {
                let detail = format!("a MESSAGE of {content_type:?} that is no CPIM");
                self.violations.record(now, "R30", detail);
                self.respond(id, request, 400, now, out);
                return;
            }
        };
        self.respond(id, request, 200, now, out);
        let from = request.from().map(|n| n.uri).unwrap_or_default();
        if let Some((status, about)) = cpim.as_notification() {
            self.events.push_back(UeEvent::Notification { about, status });
            return;
        }
        for (disposition, status) in WANTED {
            if self.settings.notifies && cpim.asks(disposition) {
                self.send_notification(&from, &cpim, status, now, out);
            }
        }
        self.events.push_back(UeEvent::Message {
            from,
            message_id: cpim.header("imdn.Message-ID").unwrap_or_default().to_owned(),
            text: String::from_utf8_lossy(&cpim.content).into_owned(),
        });
    }

    fn send_notification(&mut self, to: &str, about: &Cpim, status: Imdn, now: Instant, out: &mut LabOutbox) {
        let note = self.notification(to, about, status);
        let via = self.via();
        let bytes =
            self.initial("MESSAGE", to, &via, Service::Pager).finish_with("message/cpim", &note.write());
        self.send(Purpose::Notification, bytes, now, out);
    }

    pub(super) fn notification(&mut self, to: &str, about: &Cpim, status: Imdn) -> Cpim {
        let message_id = format!("n{}", self.token(8));
        let about = about.header("imdn.Message-ID").unwrap_or_default();
        Cpim::notification(&self.settings.identity, to, &message_id, about, status)
    }

    /// The head of a request outside any dialog.
    pub(super) fn initial(&mut self, method: &str, to: &str, via: &str, service: Service) -> SipWriter {
        let (call_id, tag, ids) = (self.token(20), self.token(8), self.token(12));
        let contact = format!("<{}>;{}", self.contact_uri(), service.feature_tag());
        let routes = self.routes();
        let s = &self.settings;
        // an app leaves its identity to the edge: R27 holds with and without the header
        let preferred = s.imei.as_ref().map(|_| format!("<{}>", s.identity));
        SipWriter::request(method, to)
            .field("Via", via)
            .fields("Route", routes.iter().map(String::as_str))
            .field("Call-ID", &call_id)
            .field("From", &format!("<{}>;tag={tag}", s.identity))
            .field("To", &format!("<{to}>"))
            .field("CSeq", &format!("1 {method}"))
            .field("Allow", super::register::ALLOW)
            .field("Contact", &contact)
            .field("Max-Forwards", "70")
            .field("Accept-Contact", &service.accept_contact())
            .field("User-Agent", USER_AGENT)
            .field("P-Preferred-Service", &service.urn())
            .maybe("P-Preferred-Identity", preferred.as_deref())
            .field("Conversation-ID", &format!("u{ids}"))
            .field("Contribution-ID", &format!("c{ids}"))
            .field(UNKNOWN_HEADER.0, UNKNOWN_HEADER.1)
    }

    pub(super) fn respond(
        &mut self,
        id: ServerId,
        request: &SipMessage,
        status: u16,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        let tag = self.token(8);
        let bytes = SipWriter::response(request, status, &tag).field("Server", USER_AGENT).finish();
        self.layer.respond(id, status, bytes, now, out);
    }

    /// A native UE writes the Route that TS 24.229 §5.1.2A.1 asks for: the edge, then the
    /// Service-Route. The figures of an app show none.
    fn routes(&self) -> Vec<String> {
        let s = &self.settings;
        if s.imei.is_none() {
            return Vec::new();
        }
        let edge = format!("<sip:{};transport={};lr>", s.edge, s.transport.label());
        core::iter::once(edge).chain(self.registration.service_route.iter().cloned()).collect()
    }
}

pub(super) const WANTED: [(&str, Imdn); 2] =
    [("positive-delivery", Imdn::Delivered), ("display", Imdn::Displayed)];
