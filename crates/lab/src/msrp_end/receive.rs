//! The receiving half of a session: chunks become messages, and are answered and reported.

use super::session::{Session, token};
use super::{MsrpIncoming, MsrpMessage};
use crate::node::LabOutbox;
use crate::strict::MsrpFrame;
use wire::{Hop, Random, StreamId};

/// A message of which some chunks have come.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    content_type: String,
    body: Vec<u8>,
    total: Option<u64>,
}

impl Session {
    /// Takes in a request that belongs to this session.
    #[allow(clippy::too_many_arguments, reason = "the world of one chunk; all of it is used once")]
    pub(super) fn receive(
        &mut self,
        id: &str,
        stream: StreamId,
        frame: &MsrpFrame,
        bytes_max: usize,
        random: &mut Random,
        out: &mut LabOutbox,
        incoming: &mut Vec<MsrpIncoming>,
    ) {
        match frame.method.as_str() {
            "SEND" => {
                let (status, message) = self.on_send(frame, bytes_max, incoming);
                // RFC 4975 §7.2: "no" silences every answer, "partial" the good ones
                let silent = match frame.first("Failure-Report") {
                    Some("no") => true,
                    Some("partial") => status == 200,
                    _ => false,
                };
                if !silent {
                    out.send(Hop::Stream(stream), &answer(frame, &self.local_path, status).write());
                }
                if let Some(message) = message {
                    if message.success_report {
                        out.send(
                            Hop::Stream(stream),
                            &self.report(frame, message.body.len(), random).write(),
                        );
                    }
                    incoming.push(MsrpIncoming::Received { session: id.to_owned(), message });
                }
            }
            "REPORT" => {
                let status = frame.first("Status").and_then(|s| s.split(' ').nth(1)?.parse().ok());
                incoming.push(match (frame.first("Message-ID"), status) {
                    (Some(message_id), Some(status)) => MsrpIncoming::Reported {
                        session: id.to_owned(),
                        message_id: message_id.to_owned(),
                        status,
                    },
                    _ => broken("RFC 4975 §7.1.2", "a REPORT without Message-ID or Status".to_owned()),
                });
            }
            other => incoming.push(broken("RFC 4975 §7.1", format!("method {other}"))),
        }
    }

    /// Status to answer, and the message if this chunk completes it.
    fn on_send(
        &mut self,
        frame: &MsrpFrame,
        bytes_max: usize,
        incoming: &mut Vec<MsrpIncoming>,
    ) -> (u16, Option<MsrpMessage>) {
        let Some(message_id) = frame.first("Message-ID") else {
            incoming.push(broken("R76", format!("SEND {} without Message-ID", frame.id)));
            return (400, None);
        };
        let Some(body) = &frame.body else {
            return (200, None); // the opener
        };
        let (start, end, total) = frame.byte_range().unwrap_or((1, None, None));
        let assembly = self.assemblies.entry(message_id.to_owned()).or_default();
        let expected = assembly.body.len() as u64 + 1;
        let length = body.len() as u64;
        if start != expected || end.is_some_and(|end| end + 1 < start + length) {
            let detail = format!(
                "{message_id}: Byte-Range {:?} with {length} octets, expected from {expected}",
                frame.first("Byte-Range")
            );
            incoming.push(broken("RFC 4975 §7.1.1", detail));
            self.assemblies.remove(message_id);
            return (400, None);
        }
        if assembly.body.len() + body.len() > bytes_max {
            self.assemblies.remove(message_id);
            return (413, None);
        }
        if let Some(content_type) = frame.first("Content-Type") {
            assembly.content_type = content_type.to_owned();
        }
        assembly.body.extend_from_slice(body);
        assembly.total = total.or(assembly.total);
        match frame.flag {
            b'+' => (200, None),
            b'$' => (200, self.complete(message_id, frame, incoming)),
            _ => {
                self.assemblies.remove(message_id);
                (200, None)
            }
        }
    }

    fn complete(
        &mut self,
        message_id: &str,
        frame: &MsrpFrame,
        incoming: &mut Vec<MsrpIncoming>,
    ) -> Option<MsrpMessage> {
        let assembly = self.assemblies.remove(message_id)?;
        let length = assembly.body.len() as u64;
        if assembly.total.is_some_and(|total| total != length) {
            let detail = format!("{message_id}: {length} octets of {:?}", assembly.total);
            incoming.push(broken("RFC 4975 §7.1.1", detail));
        }
        if assembly.content_type.is_empty() {
            let detail = format!("{message_id}: a body without Content-Type");
            incoming.push(broken("RFC 4975 §7.1.1", detail));
        }
        Some(MsrpMessage {
            message_id: message_id.to_owned(),
            content_type: assembly.content_type,
            body: assembly.body.into(),
            success_report: frame.first("Success-Report") == Some("yes"),
        })
    }

    fn report(&self, frame: &MsrpFrame, length: usize, random: &mut Random) -> MsrpFrame {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        MsrpFrame {
            id: token(random, 16),
            method: "REPORT".to_owned(),
            fields: vec![
                field("To-Path", frame.from_path()),
                field("From-Path", &self.local_path),
                field("Message-ID", frame.first("Message-ID").unwrap_or_default()),
                field("Byte-Range", &format!("1-{length}/{length}")),
                field("Status", "000 200 OK"),
            ],
            flag: b'$',
            ..MsrpFrame::default()
        }
    }
}

/// A response with swapped paths; it carries the Message-ID as the specification's tables ask (R76).
pub(super) fn answer(frame: &MsrpFrame, local_path: &str, status: u16) -> MsrpFrame {
    // RFC 4975 §7.2: a response goes one hop back
    let back = frame.from_path().split(' ').next().unwrap_or_default();
    let mut fields =
        vec![("To-Path".to_owned(), back.to_owned()), ("From-Path".to_owned(), local_path.to_owned())];
    fields.extend(frame.first("Message-ID").map(|m| ("Message-ID".to_owned(), m.to_owned())));
    MsrpFrame { id: frame.id.clone(), status, fields, flag: b'$', ..MsrpFrame::default() }
}

fn broken(rule: &'static str, detail: String) -> MsrpIncoming {
    MsrpIncoming::Broken { rule, detail }
}
