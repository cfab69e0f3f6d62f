//! Pager messages: accepted with 202, then sent to each contact of each recipient (figures 5-17 to 5-27).

use super::register::Binding;
use super::{Core, Purpose};
use crate::layer::ServerId;
use crate::node::LabOutbox;
use crate::service::Service;
use crate::strict::body::{self, Part};
use crate::strict::{SipMessage, SipWriter};
use crate::topology::{INITIAL_MAX_FORWARDS, UNKNOWN_HEADER};
use wire::Instant;

/// Headers of the sender's request that reach the recipient unchanged (R30).
const CARRIED: [&str; 6] =
    ["Accept-Contact", "Conversation-ID", "Contribution-ID", "Subject", "Date", "Referred-By"];

impl Core {
    pub(super) fn on_message(
        &mut self,
        id: ServerId,
        request: &SipMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        let Some(sender) = self.originator(request) else {
            self.respond(id, request, 403, now, out);
            return;
        };
        if request.vias().first().is_some_and(|via| via.param("rkeep").is_some()) {
            // R8: without an edge somebody has to answer; with one it must not come here
            let has_edge = self.settings.topology.edge().is_some();
            self.violations.expect(!has_edge, now, "R8", || "a keep-alive was forwarded".to_owned());
            self.respond(id, request, 200, now, out);
            return;
        }
        let wants_list = request.list("Require").contains(&"recipient-list-message");
        let outcome = if wants_list { self.read_list(request) } else { self.read_single(request, now) };
        let (recipients, part) = match outcome {
            Ok(read) => read,
            Err(status) => {
                self.respond(id, request, status, now, out);
                return;
            }
        };
        self.counts.messages += 1;
        self.respond(id, request, 202, now, out);
        for recipient in recipients {
            for binding in self.alive(recipient, now) {
                self.deliver(sender, recipient, &binding, request, &part, now, out);
            }
        }
    }

    fn read_single(&mut self, request: &SipMessage, now: Instant) -> Result<(Vec<usize>, Part), u16> {
        let recipient = self.user_of(request.uri()).ok_or(404_u16)?;
        if self.alive(recipient, now).is_empty() {
            return Err(480);
        }
        let part = Part::new(request.first("Content-Type").ok_or(400_u16)?, &request.body);
        Ok((vec![recipient], part))
    }

    /// The exploder: recipients out of the list, and the part that is for them (RFC 5365).
    fn read_list(&self, request: &SipMessage) -> Result<(Vec<usize>, Part), u16> {
        let content_type = request.first("Content-Type").ok_or(400_u16)?;
        let parts = body::parts(content_type, &request.body).map_err(|_| 400_u16)?;
        let is_list = |p: &&Part| p.disposition.starts_with("recipient-list");
        let list = parts.iter().find(is_list).ok_or(400_u16)?;
        let part = parts.iter().find(|p| !is_list(p)).ok_or(400_u16)?;
        let uris = body::recipients(&list.body);
        let recipients: Vec<usize> = uris.iter().filter_map(|uri| self.user_of(uri)).collect();
        if recipients.is_empty() {
            return Err(404);
        }
        Ok((recipients, part.clone()))
    }

    #[allow(clippy::too_many_arguments, reason = "one MESSAGE has that many ingredients")]
    fn deliver(
        &mut self,
        sender: usize,
        recipient: usize,
        binding: &Binding,
        request: &SipMessage,
        part: &Part,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        self.counts.deliveries += 1;
        let service = request.first("P-Preferred-Service").and_then(Service::parse);
        let hop = self.hop_of(binding);
        let bytes = self
            .terminating("MESSAGE", sender, recipient, binding, service, hop)
            .fields_of(request, &CARRIED)
            .finish_with(&part.content_type, &part.body);
        let purpose = Purpose::Message { user: recipient, contact: binding.uri.clone() };
        self.send(purpose, bytes, hop, now, out);
    }

    /// The head of a request to a UE: Request-URI is its contact, Route its Path (R45).
    pub(super) fn terminating(
        &mut self,
        method: &str,
        sender: usize,
        recipient: usize,
        binding: &Binding,
        service: Option<Service>,
        hop: wire::Hop,
    ) -> SipWriter {
        let via = self.via(hop);
        let (call_id, tag) = (self.token(20), self.token(8));
        let domain = &self.settings.domain;
        let routes: Vec<String> = binding.path.iter().map(|p| format!("<{p}>")).collect();
        let from = &self.settings.subscribers[sender].identities;
        let to = &self.settings.subscribers[recipient].identities;
        let asserted: Vec<String> = from.iter().map(|i| format!("<{i}>")).collect();
        SipWriter::request(method, &binding.uri)
            .field("Via", &via)
            .fields("Route", routes.iter().map(String::as_str))
            .field("Call-ID", &format!("{call_id}@{domain}"))
            .field("From", &format!("<{}>;tag={tag}", from[0]))
            .field("To", &format!("<{}>", to[0]))
            .field("CSeq", &format!("1 {method}"))
            .field("Allow", "INVITE, BYE, ACK, REGISTER, MESSAGE, UPDATE, CANCEL")
            .field("Max-Forwards", &INITIAL_MAX_FORWARDS.to_string())
            .field(UNKNOWN_HEADER.0, UNKNOWN_HEADER.1)
            .field("User-Agent", super::SERVER)
            .field("P-Asserted-Identity", &asserted.join(", "))
            .maybe("P-Asserted-Service", service.map(Service::urn).as_deref())
            // bait: an edge takes it off (R28)
            .maybe("P-Charging-Vector", self.settings.topology.edge().map(|_| "icid-value=\"lab-1\""))
    }

    pub(super) fn undelivered(&mut self, user: usize, contact: &str, status: u16) {
        self.counts.undelivered += 1;
        if matches!(status, 404 | 408 | 410 | 430) {
            self.forget_contact(user, contact);
        }
    }
}

impl SipWriter {
    /// Copies headers of another message.
    #[must_use]
    pub(super) fn fields_of(self, from: &SipMessage, names: &[&str]) -> Self {
        names.iter().fold(self, |out, name| out.fields(name, from.all(name)))
    }
}
