use super::*;
use crate::api::MsrpPoint;
use core::time::Duration;
use media::command::{Opening, RtpOrder};
use wire::Transport;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/");
const CALL: DialogId = DialogId { slot: 3, generation: 1 };

fn vector(name: &str) -> String {
    String::from_utf8(std::fs::read(format!("{VECTORS}{name}.sip")).unwrap()).unwrap()
}

/// One end-to-end negotiation: what each side sent, what the relay was ordered.
pub(super) struct Stage {
    points: Vec<MsrpPoint>,
    ue_transport: Transport,
    pub(super) ids: MediaIds,
    pub(super) ports: RtpPorts,
    random: Random,
    pub(super) srtp: [config::Srtp; 2],
    pub(super) commands: Vec<MediaCommand>,
}

impl Stage {
    pub(super) fn new(access: &str, core: &str) -> Self {
        let point = |realm, advertised: &str| MsrpPoint {
            realm,
            transport: Transport::Tcp,
            advertised: advertised.parse().unwrap(),
            websocket: false,
            fingerprint: None,
        };
        Self {
            points: vec![point(Realm::Access, access), point(Realm::Core, core)],
            ue_transport: Transport::Udp,
            ids: MediaIds::new(4, 0),
            ports: anchor::rtp::tests::ports(),
            random: Random::from_u64(5),
            srtp: [config::Srtp::Offer, config::Srtp::None],
            commands: Vec::new(),
        }
    }

    /// Gives the access side a TLS listener, and the UE signalling over TLS.
    fn secure(&mut self) {
        let mut point = self.points[0].clone();
        point.transport = Transport::Tls;
        point.advertised.set_port(point.advertised.port() + 1);
        self.points.push(point);
        self.ue_transport = Transport::Tls;
    }

    /// Takes `text` through `negotiation`; gives back the message that goes on.
    pub(super) fn pass(
        &mut self,
        negotiation: &mut Negotiation,
        from: Realm,
        text: &str,
    ) -> Result<String, Cause> {
        let mut index = sip::Index::default();
        let message = sip::parse(text.as_bytes(), &sip::Limits::default(), &mut index).unwrap();
        let mut edits = EditList::new();
        let mut bench = Workbench {
            terms: Terms {
                points: &self.points,
                ue: "182.1.1.203".parse().unwrap(),
                ue_transport: self.ue_transport,
                ue_websocket: false,
                msrp: &config::Msrp::default(),
                policies: &crate::content::Policies::default(),
                content: &[None, None],
                idle_max: Duration::from_secs(600),
                user: None,
                message_bytes_max: u64::MAX,
                rtp: anchor::rtp::tests::terms(self.srtp),
            },
            ids: &mut self.ids,
            ports: &mut self.ports,
            random: &mut self.random,
            now: Instant::from_micros(1),
            edits: &mut edits,
            commands: &mut self.commands,
        };
        match message.is_request() {
            true => negotiation.on_request(message, from, CALL, &mut bench)?,
            false => negotiation.on_response(message, from, CALL, &mut bench)?,
        }
        sip::edit::fit_content_length(message, &mut edits);
        let mut out = Vec::new();
        edits.gather(text.as_bytes(), &mut out).unwrap();
        Ok(String::from_utf8(out).unwrap())
    }

    /// The RTP sessions ordered since the last look, and how many were released.
    pub(super) fn rtp_ordered(&mut self) -> (Vec<RtpOrder>, usize) {
        let mut orders = Vec::new();
        let mut released = 0;
        for command in self.commands.drain(..) {
            match command {
                MediaCommand::Rtp(order) => orders.push(*order),
                MediaCommand::Msrp(_) => unreachable!("no chat is offered here"),
                MediaCommand::Release { .. } => released += 1,
            }
        }
        (orders, released)
    }

    /// The sessions ordered since the last look, with what is released.
    fn ordered(&mut self) -> (Vec<MsrpSession>, usize) {
        let mut sessions = Vec::new();
        let mut released = 0;
        for command in self.commands.drain(..) {
            match command {
                MediaCommand::Msrp(session) => sessions.push(*session),
                MediaCommand::Rtp(_) => unreachable!("no audio is offered here"),
                MediaCommand::Release { .. } => released += 1,
            }
        }
        (sessions, released)
    }
}

pub(super) fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").unwrap().1
}

/// `name` as the core sent it, had it sent what the vector shows on the UE's side: the figures print
/// one side only. Lengths are put right by the caller's own eyes: SDP lengths differ, so are dropped.
fn from_core(name: &str, ours: &str, core: &str) -> String {
    let (our_ip, our_port) = ours.split_once(':').unwrap();
    let (core_ip, core_port) = core.split_once(':').unwrap();
    let text = vector(name)
        .replace(&format!("IN IP4 {our_ip}"), &format!("IN IP4 {core_ip}"))
        .replace(&format!("m=message {our_port}"), &format!("m=message {core_port}"))
        .replace(&format!("msrp://{ours}"), &format!("msrp://{core}"))
        .replace("s=SBC call", "s=-");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let length = format!("Content-Length: {}", body.len());
    let head: Vec<_> = head
        .split("\r\n")
        .map(|line| if line.starts_with("Content-Length") { &length } else { line })
        .collect();
    format!("{}\r\n\r\n{body}", head.join("\r\n"))
}

/// Vectors ft-01/ft-08: file transfer that the UE offers, answered in the 200.
#[test]
fn a_file_of_the_ue() {
    let mut stage = Stage::new("182.3.1.7:41494", "182.2.1.4:36514");
    let mut negotiation = Negotiation::default();
    let invite = vector("ft-01-invite-file");
    let to_core = stage.pass(&mut negotiation, Realm::Access, &invite).unwrap();
    assert!(
        body(&to_core).contains("c=IN IP4 182.2.1.4\r\n") && body(&to_core).contains("a=setup:active\r\n")
    );
    assert!(!body(&to_core).contains("182.1.1.203"));
    assert_eq!(stage.ordered().0.len(), 0, "nothing can connect before the answer");
    let ok = from_core("ft-08-200-invite-file", "182.3.1.7:41494", "182.1.1.64:7654");
    let to_ue = stage.pass(&mut negotiation, Realm::Core, &ok).unwrap();
    assert_eq!(to_ue, vector("ft-08-200-invite-file"), "byte for byte, lengths included");
    let (sessions, _) = stage.ordered();
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].access.local_path, "msrp://182.3.1.7:41494/hwuHovDNYnuvpx;tcp");
    // A retransmitted 200 is rewritten alike and orders nothing.
    assert_eq!(stage.pass(&mut negotiation, Realm::Core, &ok).unwrap(), to_ue);
    assert_eq!(stage.ordered(), (vec![], 0));
    let now = Instant::from_micros(2);
    negotiation.release(Cause::Bye, now, &mut stage.ids, &mut stage.ports, &mut stage.commands);
    assert_eq!((stage.ordered().1, stage.ids.count()), (1, 0));
}

/// Vectors ft-09/ft-10: the core offers, the UE answers; the session is known before the answer.
#[test]
fn a_file_for_the_ue() {
    let mut stage = Stage::new("182.3.1.7:41492", "182.2.1.4:36516");
    let mut negotiation = Negotiation::default();
    let invite = from_core("ft-09-invite-file-to-ue", "182.3.1.7:41492", "182.1.1.64:7654");
    let to_ue = stage.pass(&mut negotiation, Realm::Core, &invite).unwrap();
    assert_eq!(to_ue, vector("ft-09-invite-file-to-ue"));
    let (reserved, _) = stage.ordered();
    assert_eq!((reserved.len(), reserved[0].access.remote_path.is_some()), (1, false));
    let to_core = stage.pass(&mut negotiation, Realm::Access, &vector("ft-10-200-from-ue")).unwrap();
    // The answer may show another size than the offer (R50).
    assert!(
        body(&to_core).contains("size:20") && body(&to_core).contains("msrp://182.2.1.4:36516/10210;tcp")
    );
    let (sessions, released) = stage.ordered();
    assert_eq!((sessions.len(), released), (1, 0));
    assert_eq!(sessions[0].id, reserved[0].id);
    assert!(matches!(sessions[0].core.opening, Opening::Dial { .. }));
}

/// Vector chat-03: the SDP is the second part; its length and the outer one are put right, the other
/// part keeps its bytes.
#[test]
fn a_chat_with_a_first_message_for_the_ue() {
    let mut stage = Stage::new("182.3.1.7:40408", "182.2.1.4:36516");
    let mut negotiation = Negotiation::default();
    let printed = vector("chat-03-invite-to-ue");
    let invite = from_core("chat-03-invite-to-ue", "182.3.1.7:40408", "182.1.1.64:7654");
    assert_ne!(invite, printed);
    let to_ue = stage.pass(&mut negotiation, Realm::Core, &invite).unwrap();
    assert_eq!(to_ue, printed);
    let ok = vector("chat-04-200-from-ue");
    let to_core = stage.pass(&mut negotiation, Realm::Access, &ok).unwrap();
    let expected = std::fs::read_to_string(format!("{VECTORS}pairs/term-answer.core.sdp")).unwrap();
    assert_eq!(body(&to_core), expected);
}

/// Vectors fmt-02, chat-01, grp-01, spam-01: whatever stands around the SDP keeps its bytes.
#[test]
fn only_the_sdp_part_changes() {
    for name in [
        "fmt-02-invite-multipart-sdp-list-cpim",
        "chat-01-invite",
        "grp-01-invite-create",
        "spam-01-invite-bare-number",
    ] {
        let mut stage = Stage::new("182.3.1.7:2855", "182.2.1.4:2955");
        let invite = vector(name);
        let to_core = stage.pass(&mut Negotiation::default(), Realm::Access, &invite).unwrap();
        let ours = |line: &str| {
            ["o=", "s=", "c=", "m=", "a=path", "a=setup", "Content-Length"]
                .iter()
                .any(|p| line.starts_with(p))
        };
        let rest =
            |text: &str| text.split("\r\n").filter(|l| !ours(l)).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(rest(&to_core), rest(&invite), "{name}");
        let line_count = |text: &str| text.split("\r\n").count();
        assert_eq!(line_count(&to_core), line_count(&invite), "{name}");
        assert!(to_core.contains("c=IN IP4 182.2.1.4\r\n") || name.starts_with("spam"), "{name}");
        assert!(to_core.contains("a=path:msrp://182.2.1.4:2955/"), "{name}");
    }
}

/// Vectors lm-03, lm-04: printed as in bypass mode (R78), anchored here by default.
#[test]
fn a_large_message_for_the_ue() {
    let mut stage = Stage::new("182.3.1.7:2855", "182.2.1.4:2955");
    let mut negotiation = Negotiation::default();
    let to_ue = stage.pass(&mut negotiation, Realm::Core, &vector("lm-03-invite-to-ue")).unwrap();
    assert!(body(&to_ue).contains("a=path:msrp://182.3.1.7:2855/hwPEbgQaow3e3g;tcp\r\n"));
    assert!(body(&to_ue).contains("a=setup:actpass\r\n") && !body(&to_ue).contains("10.71.174.102"));
    let to_core = stage.pass(&mut negotiation, Realm::Access, &vector("lm-04-200-from-ue")).unwrap();
    assert!(
        body(&to_core).contains("a=path:msrp://182.2.1.4:2955/12120;tcp\r\na=setup:active\r\na=accept-type:")
    );
    assert_eq!(stage.ordered().0.len(), 2, "reserved, agreed");
}

#[test]
fn a_foreign_boundary_makes_bad_sdp() {
    let mut stage = Stage::new("182.3.1.7:2855", "182.2.1.4:2955");
    let got = stage.pass(&mut Negotiation::default(), Realm::Access, &vector("quirks/q02-foreign-boundary"));
    assert_eq!(got.err(), Some(Cause::BadSdp));
}

const OFFER: &str = "v=0\r\no=a 1 2 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
                     m=message 9 TCP/MSRP *\r\na=setup:actpass\r\na=path:msrp://10.0.0.1:9/x;tcp\r\n";

fn message(start: &str, cseq: &str, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    let length = body.len();
    format!("{start}\r\nCSeq: {cseq}\r\n{kind}Content-Length: {length}\r\n\r\n{body}")
}

fn other(path: &str) -> String {
    OFFER.replace("10.0.0.1:9/x", path).replace("message 9", "message 7")
}

/// R70: offer in the 200, answer in the ACK; a repeated ACK orders nothing.
#[test]
fn an_invite_without_offer() {
    for (inviter, invitee) in [(Realm::Access, Realm::Core), (Realm::Core, Realm::Access)] {
        let mut stage = Stage::new("192.0.2.7:2855", "192.0.2.8:2955");
        let mut negotiation = Negotiation::default();
        let invite = message("INVITE sip:a@b SIP/2.0", "1 INVITE", "");
        assert_eq!(stage.pass(&mut negotiation, inviter, &invite).unwrap(), invite);
        let ok = message("SIP/2.0 200 OK", "1 INVITE", OFFER);
        let passed = stage.pass(&mut negotiation, invitee, &ok).unwrap();
        assert!(!passed.contains("10.0.0.1"), "{passed}");
        let (reserved, _) = stage.ordered();
        assert_eq!(reserved.len(), usize::from(invitee == Realm::Core));
        let ack = message("ACK sip:a@b SIP/2.0", "1 ACK", &other("10.0.0.2:7/y"));
        for repeated in [false, true] {
            let passed = stage.pass(&mut negotiation, inviter, &ack).unwrap();
            assert!(!passed.contains("10.0.0.2"), "{passed}");
            assert_eq!(stage.ordered().0.len(), usize::from(!repeated));
        }
        assert_eq!(stage.ids.count(), 1);
    }
}

/// Quirk q17: the ACK names no type for its body; it is an answer all the same.
#[test]
fn an_ack_without_content_type_is_read_as_sdp() {
    let mut stage = Stage::new("192.0.2.7:2855", "192.0.2.8:2955");
    let mut negotiation = Negotiation::default();
    let invite = message("INVITE sip:a@b SIP/2.0", "1 INVITE", "");
    stage.pass(&mut negotiation, Realm::Core, &invite).unwrap();
    let ok = message("SIP/2.0 200 OK", "1 INVITE", OFFER);
    stage.pass(&mut negotiation, Realm::Access, &ok).unwrap();
    let ack = message("ACK sip:a@b SIP/2.0", "1 ACK", &other("10.0.0.2:7/y"));
    let ack = ack.replace("Content-Type: application/sdp\r\n", "");
    let passed = stage.pass(&mut negotiation, Realm::Core, &ack).unwrap();
    assert!(!passed.contains("10.0.0.2"), "{passed}");
    assert_eq!(stage.ordered().0.len(), 1);
}

/// A later offer changes the session once it is answered; refused, it changes nothing.
#[test]
fn a_new_offer_in_the_dialog() {
    let mut stage = Stage::new("192.0.2.7:2855", "192.0.2.8:2955");
    let mut negotiation = Negotiation::default();
    let invite = message("INVITE sip:a@b SIP/2.0", "1 INVITE", OFFER);
    let ok = message("SIP/2.0 200 OK", "1 INVITE", &other("10.0.0.2:7/y"));
    stage.pass(&mut negotiation, Realm::Access, &invite).unwrap();
    stage.pass(&mut negotiation, Realm::Core, &ok).unwrap();
    let (first, _) = stage.ordered();
    let update = message("UPDATE sip:a@b SIP/2.0", "2 UPDATE", &other("10.0.0.2:7/z"));
    stage.pass(&mut negotiation, Realm::Core, &update).unwrap();
    negotiation.on_refused(Instant::from_micros(2), &mut stage.ids, &mut stage.ports);
    assert_eq!(stage.ordered(), (vec![], 0));
    assert_eq!(negotiation.sessions(), first.as_slice());
    stage.pass(&mut negotiation, Realm::Core, &update).unwrap();
    let ok = message("SIP/2.0 200 OK", "2 UPDATE", OFFER);
    stage.pass(&mut negotiation, Realm::Access, &ok).unwrap();
    let (second, released) = stage.ordered();
    assert_eq!((second.len(), released, second[0].id), (1, 0, first[0].id));
    assert_eq!(second[0].core.remote_path.as_deref(), Some(&b"msrp://10.0.0.2:7/z;tcp"[..]));
    // Offered again with the medium switched off: released with the answer.
    let off = |body: &str| body.replace("message 9", "message 0").replace("message 7", "message 0");
    let invite = message("INVITE sip:a@b SIP/2.0", "3 INVITE", &off(OFFER));
    stage.pass(&mut negotiation, Realm::Access, &invite).unwrap();
    assert_eq!(stage.ordered(), (vec![], 0));
    let ok = message("SIP/2.0 200 OK", "3 INVITE", &off(&other("10.0.0.2:7/z")));
    stage.pass(&mut negotiation, Realm::Core, &ok).unwrap();
    assert_eq!((stage.ordered(), stage.ids.count()), ((vec![], 1), 0));
}

/// Each early dialog of a fork has its own sessions; what was reserved goes to the first.
#[test]
fn forks_have_their_own_sessions() {
    let mut stage = Stage::new("192.0.2.7:2855", "192.0.2.8:2955");
    let mut invited = Negotiation::default();
    let invite = message("INVITE sip:a@b SIP/2.0", "1 INVITE", OFFER);
    stage.pass(&mut invited, Realm::Core, &invite).unwrap();
    let (reserved, _) = stage.ordered();
    let (mut one, mut two) = (invited.fork(), invited.fork());
    for (dialog, path) in [(&mut one, "10.0.0.2:7/y"), (&mut two, "10.0.0.3:7/y")] {
        let ringing = message("SIP/2.0 183 Session Progress", "1 INVITE", &other(path));
        stage.pass(dialog, Realm::Access, &ringing).unwrap();
    }
    let (ordered, _) = stage.ordered();
    assert_eq!(ordered[0].id, reserved[0].id);
    assert_ne!(ordered[1].id, ordered[0].id);
    assert!(one.on_ended(ordered[0].id) && !one.on_ended(ordered[0].id));
}

#[test]
fn a_full_table_leaves_no_id_behind() {
    let mut stage = Stage::new("192.0.2.7:2855", "192.0.2.8:2955");
    stage.ids.set_count_max(1);
    let medium = OFFER.split_once("m=").unwrap().1;
    let two = format!("{OFFER}m={medium}");
    let invite = message("INVITE sip:a@b SIP/2.0", "1 INVITE", &two);
    let got = stage.pass(&mut Negotiation::default(), Realm::Core, &invite);
    assert_eq!((got.err(), stage.ids.count(), stage.commands.len()), (Some(Cause::TableFull), 0, 0));
}

#[test]
fn a_body_that_cannot_be_anchored_is_taken_off() {
    let ok = message("SIP/2.0 200 OK", "1 INVITE", "v=0\r\nrubbish\r\n");
    let mut index = sip::Index::default();
    let read = sip::parse(ok.as_bytes(), &sip::Limits::default(), &mut index).unwrap();
    let mut edits = EditList::new();
    strip_body(read, &mut edits);
    sip::edit::fit_content_length(read, &mut edits);
    let mut out = Vec::new();
    edits.gather(ok.as_bytes(), &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    );
}

/// A UE whose signalling is secured, but which chose plain media, is not moved to TLS by a later offer.
#[test]
fn media_stay_on_the_transport_the_ue_chose() {
    let mut stage = Stage::new("192.0.2.7:2855", "192.0.2.8:2955");
    stage.secure();
    let mut negotiation = Negotiation::default();
    let invite = message("INVITE sip:a@b SIP/2.0", "1 INVITE", OFFER);
    stage.pass(&mut negotiation, Realm::Access, &invite).unwrap();
    let ok = message("SIP/2.0 200 OK", "1 INVITE", &other("10.0.0.2:7/y"));
    stage.pass(&mut negotiation, Realm::Core, &ok).unwrap();
    let update = message("UPDATE sip:a@b SIP/2.0", "2 UPDATE", &other("10.0.0.2:7/z"));
    let passed = stage.pass(&mut negotiation, Realm::Core, &update).unwrap();
    assert!(passed.contains("a=path:msrp://192.0.2.7:2855/z;tcp"), "{passed}");
    // A first offer to the same UE is for TLS.
    let first = stage.pass(&mut Negotiation::default(), Realm::Core, &update).unwrap();
    assert!(first.contains("a=path:msrps://192.0.2.7:2856/z;tcp"), "{first}");
}
