//! The flows.

use super::Stage;
use super::groups::group_chat;
use super::watching::{fetched_or_refused, subscriptions};
use crate::file::sha256;
use crate::service::Service;
use crate::strict::cpim::Imdn;
use crate::ue::{AnswerPolicy, Command, UeEvent};
use bytes::Bytes;
use wire::Transport;

/// A named script.
#[derive(Clone, Copy)]
pub struct Flow {
    /// As it is shown.
    pub name: &'static str,
    /// What happened, or what went wrong.
    pub run: fn(&mut Stage<'_>) -> Result<String, String>,
}

impl core::fmt::Debug for Flow {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name)
    }
}

/// Every flow, in the order in which they can run one after the other.
pub const ALL: &[Flow] = &[
    Flow { name: "register: AKA over TLS, security agreed on", run: |s| register(s, "alice") },
    Flow { name: "register: Digest over TLS", run: |s| register(s, "bob") },
    Flow { name: "register: Digest over TCP", run: |s| register(s, "carol") },
    Flow { name: "register: Digest over UDP", run: |s| register(s, "dave") },
    Flow { name: "register: refresh on each transport", run: refresh },
    Flow { name: "keep-alive: CRLF ping over TLS", run: ping },
    Flow { name: "keep-alive: rkeep over TLS and UDP", run: rkeep },
    Flow { name: "pager message with IMDN back, TLS to TLS", run: |s| pager(s, "alice", "bob") },
    Flow { name: "pager message with IMDN back, UDP to TCP", run: |s| pager(s, "dave", "carol") },
    Flow { name: "pager message to a number, TCP to UDP", run: pager_to_number },
    Flow { name: "pager message to a recipient list", run: to_many },
    Flow { name: "large message over MSRP", run: |s| large(s, "alice", "bob") },
    Flow { name: "large message over MSRP, UDP to TCP", run: |s| large(s, "dave", "carol") },
    Flow { name: "file of 5 MB over MSRP, TLS to TLS", run: |s| file(s, "alice", "bob", 5 << 20) },
    Flow { name: "1-1 chat both ways", run: |s| chat(s, "alice", "bob") },
    Flow { name: "1-1 chat both ways, TCP to UDP", run: |s| chat(s, "carol", "dave") },
    Flow { name: "1-1 chat refused", run: refused },
    Flow { name: "1-1 chat cancelled while it rings", run: cancelled },
    Flow { name: "group chat: created, joined, one kicked, left", run: group_chat },
    Flow { name: "subscriptions: notified, refreshed, ended", run: subscriptions },
    Flow { name: "subscriptions: fetched once, and refused", run: fetched_or_refused },
    Flow { name: "lost connection, and back over a new one", run: lost_connection },
    Flow { name: "de-registration, and a message to the gone user", run: deregister },
];

/// Registers `who`.
///
/// # Errors
/// What went wrong.
pub fn register(stage: &mut Stage<'_>, who: &str) -> Result<String, String> {
    let who = stage.who(who)?;
    stage.order(who, Command::Register);
    registered(stage, who)
}

fn registered(stage: &mut Stage<'_>, who: usize) -> Result<String, String> {
    let person = stage.person(who);
    let (seconds, identities) = stage.expect(who, "the registration", |e| match e {
        UeEvent::Registered { expires_seconds, identities } => Some((*expires_seconds, identities.clone())),
        _ => None,
    })?;
    require(identities.contains(&person.tel()), || {
        format!("P-Associated-URI {identities:?} lacks {}", person.tel())
    })?;
    let algorithm = person.algorithm.label();
    Ok(format!("{} with {algorithm} for {seconds} s", person.name))
}

/// Registers everybody again.
///
/// # Errors
/// What went wrong.
pub fn refresh(stage: &mut Stage<'_>) -> Result<String, String> {
    for name in ["alice", "bob", "carol", "dave"] {
        register(stage, name)?;
    }
    Ok("alice, bob, carol, dave".to_owned())
}

/// Sends CRLF CRLF and waits for CRLF.
///
/// # Errors
/// What went wrong.
pub fn ping(stage: &mut Stage<'_>) -> Result<String, String> {
    let bob = stage.who("bob")?;
    stage.order(bob, Command::Ping);
    stage.expect(bob, "the pong", |e| matches!(e, UeEvent::Pong).then_some(()))?;
    Ok("bob pinged, the edge ponged".to_owned())
}

/// Sends the keep-alive of figure 5-20, which the edge answers itself (R8).
///
/// # Errors
/// What went wrong.
pub fn rkeep(stage: &mut Stage<'_>) -> Result<String, String> {
    for name in ["alice", "dave"] {
        let who = stage.who(name)?;
        let tag = stage.tag();
        stage.order(who, Command::KeepAlive { tag, seconds: 600 });
        answered(stage, who, tag, 200)?;
    }
    Ok("alice and dave, 600 s".to_owned())
}

/// Sends a pager message and waits for both notifications.
///
/// # Errors
/// What went wrong.
pub fn pager(stage: &mut Stage<'_>, from: &str, to: &str) -> Result<String, String> {
    let (from, to) = (stage.who(from)?, stage.who(to)?);
    let target = stage.person(to).identity();
    send_and_confirm(stage, from, to, &target)
}

/// As [`pager`], addressed by number.
///
/// # Errors
/// What went wrong.
pub fn pager_to_number(stage: &mut Stage<'_>) -> Result<String, String> {
    let (from, to) = (stage.who("carol")?, stage.who("dave")?);
    let target = stage.person(to).tel();
    send_and_confirm(stage, from, to, &target)
}

fn send_and_confirm(stage: &mut Stage<'_>, from: usize, to: usize, target: &str) -> Result<String, String> {
    let tag = stage.tag();
    let text = format!("Hello, 你好, number {tag}");
    let command = Command::Message {
        tag,
        to: target.to_owned(),
        text: text.clone(),
        dispositions: "positive-delivery, display".to_owned(),
    };
    stage.order(from, command);
    answered(stage, from, tag, 202)?;
    message(stage, to, &text)?;
    for wanted in [Imdn::Delivered, Imdn::Displayed] {
        let about = stage.expect(from, "the notification", |e| match e {
            UeEvent::Notification { about, status } if *status == wanted => Some(about.clone()),
            _ => None,
        })?;
        require(about == format!("m{tag}"), || format!("{wanted:?} about {about}, not m{tag}"))?;
    }
    let (from, to) = (stage.person(from).name, stage.person(to).name);
    Ok(format!("{from} to {to}: 202, delivered, displayed"))
}

/// Sends one message to three.
///
/// # Errors
/// What went wrong.
pub fn to_many(stage: &mut Stage<'_>) -> Result<String, String> {
    let alice = stage.who("alice")?;
    let others = [stage.who("bob")?, stage.who("carol")?, stage.who("dave")?];
    let tag = stage.tag();
    let text = format!("To all of you, number {tag}");
    let command = Command::MessageToMany {
        tag,
        to: others.iter().map(|o| stage.person(*o).identity()).collect(),
        text: text.clone(),
    };
    stage.order(alice, command);
    answered(stage, alice, tag, 202)?;
    for other in others {
        message(stage, other, &text)?;
    }
    Ok("alice to bob, carol and dave".to_owned())
}

/// Sends a text of 100 kB over MSRP.
///
/// # Errors
/// What went wrong.
pub fn large(stage: &mut Stage<'_>, from: &str, to: &str) -> Result<String, String> {
    let (from, to) = (stage.who(from)?, stage.who(to)?);
    let tag = stage.tag();
    let text = Bytes::from(format!("a long story, number {tag}; ").repeat(4_000));
    let command = Command::SendLarge { tag, to: stage.person(to).identity(), text: text.clone() };
    stage.order(from, command);
    let how = content(stage, from, tag, to, Service::Large, &sha256(&text))?;
    Ok(format!("{how}, SHA-256 agrees"))
}

/// Sends a file of `size` octets over MSRP.
///
/// # Errors
/// What went wrong.
pub fn file(stage: &mut Stage<'_>, from: &str, to: &str, size: usize) -> Result<String, String> {
    let (from, to) = (stage.who(from)?, stage.who(to)?);
    let tag = stage.tag();
    let mut octets = vec![0; size];
    wire::Random::from_u64(tag).fill(&mut octets);
    let file = Bytes::from(octets);
    let command = Command::SendFile {
        tag,
        to: stage.person(to).identity(),
        name: "holiday.zip".to_owned(),
        content: file.clone(),
    };
    stage.order(from, command);
    let hash = sha256(&file);
    let how = content(stage, from, tag, to, Service::File, &hash)?;
    Ok(format!("{how}, SHA-256 {}… agrees", hash.get(..16).unwrap_or_default()))
}

/// Waits until what `from` sends under `tag` has reached `to` whole, and both have hung up.
fn content(
    stage: &mut Stage<'_>,
    from: usize,
    tag: u64,
    to: usize,
    wanted: Service,
    hash: &str,
) -> Result<String, String> {
    let sent_over = established(stage, from, tag)?;
    stage.expect(from, "the last 200 of MSRP", |e| (*e == UeEvent::Sent { tag }).then_some(()))?;
    stage.expect(from, "the end of the session", |e| (*e == UeEvent::Ended { tag }).then_some(()))?;
    let incoming = incoming(stage, to, wanted)?;
    let came_over = established(stage, to, incoming)?;
    let (bytes, seen) = stage.expect(to, "the content", |e| match e {
        UeEvent::Content { tag, bytes, sha256, .. } if *tag == incoming => Some((*bytes, sha256.clone())),
        _ => None,
    })?;
    require(seen == hash, || format!("SHA-256 {seen}, sent {hash}"))?;
    stage.expect(to, "the end of the session", |e| (*e == UeEvent::Ended { tag: incoming }).then_some(()))?;
    Ok(format!("{bytes} octets over {sent_over} and {came_over}"))
}

/// What the MSRP connection of a session runs over: TLS for a UE that asks for it (UM-01 `psMedia`).
pub(super) fn established(stage: &mut Stage<'_>, who: usize, session: u64) -> Result<Transport, String> {
    let transport = stage.expect(who, "the MSRP connection", |e| match e {
        UeEvent::Established { tag, transport } if *tag == session => Some(*transport),
        _ => None,
    })?;
    let person = stage.person(who);
    require(transport == person.media_transport(), || format!("media of {} over {transport}", person.name))?;
    Ok(transport)
}

pub(super) fn incoming(stage: &mut Stage<'_>, who: usize, wanted: Service) -> Result<u64, String> {
    stage.expect(who, "the INVITE", |e| match e {
        UeEvent::Incoming { tag, service, .. } if *service == wanted => Some(*tag),
        _ => None,
    })
}

/// Opens a session with a first message in the INVITE, talks both ways, hangs up.
///
/// # Errors
/// What went wrong.
pub fn chat(stage: &mut Stage<'_>, from: &str, to: &str) -> Result<String, String> {
    let (from, to) = (stage.who(from)?, stage.who(to)?);
    let tag = stage.tag();
    let first = format!("knock knock {tag}");
    let command = Command::StartChat { tag, to: stage.person(to).identity(), first: first.clone() };
    stage.order(from, command);
    let incoming = incoming(stage, to, Service::Chat)?;
    heard(stage, to, incoming, &first)?;
    // no ringing is waited for: a 180 may be lost on UDP for good (RFC 3261 §13.3.1.1)
    for (who, tag) in [(from, tag), (to, incoming)] {
        established(stage, who, tag)?;
    }
    for round in 0..3 {
        for (who, tag, other, other_tag) in [(from, tag, to, incoming), (to, incoming, from, tag)] {
            let text = format!("line {round} of {}", stage.person(who).name);
            let command = Command::Chat { tag, text: text.clone() };
            stage.order(who, command);
            heard(stage, other, other_tag, &text)?;
            stage.expect(who, "the notification over MSRP", |e| match e {
                UeEvent::Notification { status: Imdn::Delivered, .. } => Some(()),
                _ => None,
            })?;
        }
    }
    stage.order(from, Command::HangUp { tag });
    stage.expect(from, "the answer to BYE", |e| (*e == UeEvent::Ended { tag }).then_some(()))?;
    stage.expect(to, "the BYE", |e| (*e == UeEvent::Ended { tag: incoming }).then_some(()))?;
    Ok("6 lines and 6 notifications over MSRP, then BYE".to_owned())
}

/// Calls somebody who refuses.
///
/// # Errors
/// What went wrong.
pub fn refused(stage: &mut Stage<'_>) -> Result<String, String> {
    let (alice, carol) = (stage.who("alice")?, stage.who("carol")?);
    stage.order(carol, Command::Answer(AnswerPolicy::Refuse(486)));
    let tag = start_chat(stage, alice, carol);
    let refused = stage.expect(alice, "486", |e| match e {
        UeEvent::Refused { tag: t, status } if *t == tag => Some(*status),
        _ => None,
    });
    stage.order(carol, Command::Answer(AnswerPolicy::Accept));
    let status = refused?;
    require(status == 486, || format!("{status} instead of 486"))?;
    Ok("carol is busy: 486".to_owned())
}

/// Calls somebody who lets it ring, and gives up.
///
/// # Errors
/// What went wrong.
pub fn cancelled(stage: &mut Stage<'_>) -> Result<String, String> {
    let (bob, dave) = (stage.who("bob")?, stage.who("dave")?);
    stage.order(dave, Command::Answer(AnswerPolicy::Ring));
    let tag = start_chat(stage, bob, dave);
    let outcome = ring_and_cancel(stage, bob, dave, tag);
    stage.order(dave, Command::Answer(AnswerPolicy::Accept));
    outcome?;
    Ok("487 for bob, dave stops ringing".to_owned())
}

fn ring_and_cancel(stage: &mut Stage<'_>, caller: usize, callee: usize, tag: u64) -> Result<(), String> {
    let incoming = incoming(stage, callee, Service::Chat)?;
    // no ringing is waited for here either; CANCEL needs a provisional answer, and the edge's 100 is one
    stage.order(caller, Command::Cancel { tag });
    let status = stage.expect(caller, "487", |e| match e {
        UeEvent::Refused { tag: t, status } if *t == tag => Some(*status),
        _ => None,
    })?;
    require(status == 487, || format!("{status} instead of 487"))?;
    stage.expect(callee, "the CANCEL", |e| (*e == UeEvent::Ended { tag: incoming }).then_some(()))
}

fn start_chat(stage: &mut Stage<'_>, from: usize, to: usize) -> u64 {
    let tag = stage.tag();
    let command = Command::StartChat { tag, to: stage.person(to).identity(), first: String::new() };
    stage.order(from, command);
    tag
}

/// Breaks a connection off: messages find nobody until the UE comes back over another one (R7).
///
/// # Errors
/// What went wrong.
pub fn lost_connection(stage: &mut Stage<'_>) -> Result<String, String> {
    let (alice, carol) = (stage.who("alice")?, stage.who("carol")?);
    stage.order(carol, Command::Disconnect);
    stage.expect(carol, "the end", |e| matches!(e, UeEvent::Disconnected).then_some(()))?;
    // The sender hears 202 from the messaging server as long as that has a contact: until the first
    // delivery comes back with 430.
    let mut accepted = 0;
    loop {
        let tag = stage.tag();
        let command = Command::Message {
            tag,
            to: stage.person(carol).identity(),
            text: "are you still there?".to_owned(),
            dispositions: String::new(),
        };
        stage.order(alice, command);
        match answer(stage, alice, tag)? {
            480 => break,
            202 if accepted < TRIES_MAX => accepted += 1,
            status => return Err(format!("{status} for message {} to a lost UE", accepted + 1)),
        }
    }
    stage.order(carol, Command::Register);
    registered(stage, carol)?;
    let target = stage.person(carol).identity();
    send_and_confirm(stage, alice, carol, &target)?;
    Ok(format!("carol gone: {accepted} accepted, then 480; back and reachable"))
}

/// How many messages may be accepted before the core hears that the flow is gone.
const TRIES_MAX: u32 = 100;

/// Takes registrations back; who is gone gets no message.
///
/// # Errors
/// What went wrong.
pub fn deregister(stage: &mut Stage<'_>) -> Result<String, String> {
    let (alice, bob, dave) = (stage.who("alice")?, stage.who("bob")?, stage.who("dave")?);
    for (who, command) in [(bob, Command::Deregister), (dave, Command::DeregisterAll)] {
        stage.order(who, command);
        stage.expect(who, "the de-registration", |e| matches!(e, UeEvent::Deregistered).then_some(()))?;
    }
    let mut statuses = Vec::new();
    for gone in [bob, dave] {
        let tag = stage.tag();
        let command = Command::Message {
            tag,
            to: stage.person(gone).identity(),
            text: "are you there?".to_owned(),
            dispositions: String::new(),
        };
        stage.order(alice, command);
        let status = answer(stage, alice, tag)?;
        require(matches!(status, 404 | 430 | 480), || format!("{status} for a message to a gone user"))?;
        statuses.push(status.to_string());
    }
    Ok(format!("bob and dave are gone; messages to them: {}", statuses.join(", ")))
}

pub(super) fn answered(stage: &mut Stage<'_>, who: usize, tag: u64, wanted: u16) -> Result<(), String> {
    let status = answer(stage, who, tag)?;
    require(status == wanted, || format!("{status} instead of {wanted}"))
}

fn answer(stage: &mut Stage<'_>, who: usize, tag: u64) -> Result<u16, String> {
    stage.expect(who, "the answer to MESSAGE", |e| match e {
        UeEvent::Answered { tag: t, status } if *t == tag => Some(*status),
        _ => None,
    })
}

fn message(stage: &mut Stage<'_>, who: usize, wanted: &str) -> Result<(), String> {
    stage.expect(who, "the message", |e| match e {
        UeEvent::Message { text, .. } if text == wanted => Some(()),
        _ => None,
    })
}

pub(super) fn heard(stage: &mut Stage<'_>, who: usize, session: u64, wanted: &str) -> Result<(), String> {
    stage.expect(who, "the line", |e| match e {
        UeEvent::Chat { tag, text } if *tag == session && text == wanted => Some(()),
        _ => None,
    })
}

pub(super) fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
