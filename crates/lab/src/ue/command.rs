//! What a script tells a UE, and what the UE tells the script.

use crate::service::Service;
use crate::strict::cpim::Imdn;
use bytes::Bytes;
use wire::Transport;

/// An order. `tag` is chosen by the script and comes back in the events that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Register, or refresh the registration.
    Register,
    /// Take this UE's contact back.
    Deregister,
    /// Take every contact of the identity back (`Contact: *`).
    DeregisterAll,
    /// Send a pager message with CPIM (figure 5-17).
    Message {
        /// Comes back.
        tag: u64,
        /// Whom to, a SIP or tel URI.
        to: String,
        /// The text.
        text: String,
        /// The dispositions asked for, for example `positive-delivery, display`.
        dispositions: String,
    },
    /// Send a pager message to many (figure 5-18).
    MessageToMany {
        /// Comes back.
        tag: u64,
        /// The recipients.
        to: Vec<String>,
        /// The text.
        text: String,
    },
    /// Send the keep-alive of figure 5-20.
    KeepAlive {
        /// Comes back.
        tag: u64,
        /// The value of `rkeep`.
        seconds: u32,
    },
    /// Send CRLF CRLF (RFC 5626 §4.4.1); streams only.
    Ping,
    /// Send a text over MSRP (figure 5-29), then hang up.
    SendLarge {
        /// Comes back.
        tag: u64,
        /// Whom to.
        to: String,
        /// The text.
        text: Bytes,
    },
    /// Send a file over MSRP (figure 5-30), then hang up.
    SendFile {
        /// Comes back.
        tag: u64,
        /// Whom to.
        to: String,
        /// Its name.
        name: String,
        /// Its octets.
        content: Bytes,
    },
    /// Open a 1-1 session (figure 5-49).
    StartChat {
        /// Comes back.
        tag: u64,
        /// Whom to.
        to: String,
        /// The message that the INVITE carries; nothing if empty.
        first: String,
    },
    /// Create a group chat (figure 5-62).
    CreateGroup {
        /// Comes back.
        tag: u64,
        /// The conference factory.
        to: String,
        /// Who else shall be in it.
        members: Vec<String>,
    },
    /// Send REFER in a session (figures 5-65 to 5-75).
    Refer {
        /// The session; comes back.
        tag: u64,
        /// The Refer-To URI, with its method.
        to: String,
    },
    /// Say something in a session.
    Chat {
        /// The session: its own tag if we opened it, that of `Incoming` otherwise.
        tag: u64,
        /// The text.
        text: String,
    },
    /// Give up an INVITE that is not answered yet.
    Cancel {
        /// The session.
        tag: u64,
    },
    /// Leave a session.
    HangUp {
        /// The session.
        tag: u64,
    },
    /// Subscribe to an event (figures 5-82, 5-91, 5-95).
    Subscribe {
        /// Comes back.
        tag: u64,
        /// Whose events: a SIP URI.
        to: String,
        /// The event package.
        event: String,
        /// For so long; 0 asks for the state once.
        seconds: u32,
    },
    /// Refresh a subscription, or end it.
    Resubscribe {
        /// Of the subscription.
        tag: u64,
        /// For so long; 0 ends it.
        seconds: u32,
    },
    /// Break the connection to the edge off, without a word; streams only.
    Disconnect,
    /// How to answer INVITEs from here on.
    Answer(AnswerPolicy),
}

/// How a UE answers INVITEs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerPolicy {
    /// At once.
    #[default]
    Accept,
    /// With this status.
    Refuse(u16),
    /// Never: it rings until it is cancelled.
    Ring,
}

/// Something the script may wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UeEvent {
    /// The registration stands.
    Registered {
        /// For so long.
        expires_seconds: u32,
        /// P-Associated-URI.
        identities: Vec<String>,
    },
    /// The registration is gone, as asked for.
    Deregistered,
    /// REGISTER failed; 0 if the UE itself gave up.
    RegistrationFailed {
        /// The status.
        status: u16,
        /// Why, in words.
        detail: String,
    },
    /// A MESSAGE or REFER was answered; 408 if it was not.
    Answered {
        /// Of the command.
        tag: u64,
        /// The status.
        status: u16,
    },
    /// A pager message came.
    Message {
        /// The sender.
        from: String,
        /// Its imdn.Message-ID.
        message_id: String,
        /// The text.
        text: String,
    },
    /// A disposition notification came.
    Notification {
        /// The message it is about.
        about: String,
        /// What happened to it.
        status: Imdn,
    },
    /// The pong to a ping came.
    Pong,
    /// An INVITE came.
    Incoming {
        /// The session's tag.
        tag: u64,
        /// The caller.
        from: String,
        /// What for.
        service: Service,
    },
    /// The far end rings.
    Ringing {
        /// The session.
        tag: u64,
    },
    /// The session stands and its MSRP connection is bound.
    Established {
        /// The session.
        tag: u64,
        /// What the connection runs over.
        transport: Transport,
    },
    /// The INVITE was refused, or not answered (408).
    Refused {
        /// The session.
        tag: u64,
        /// The status.
        status: u16,
    },
    /// Something was said in a session.
    Chat {
        /// The session.
        tag: u64,
        /// The text.
        text: String,
    },
    /// What we sent over MSRP arrived whole at the next end point.
    Sent {
        /// The session.
        tag: u64,
    },
    /// What we sent over MSRP did not arrive.
    SendFailed {
        /// The session.
        tag: u64,
        /// The MSRP status; 0 if the connection broke.
        status: u16,
    },
    /// A large message or a file came.
    Content {
        /// The session.
        tag: u64,
        /// Which of the two.
        service: Service,
        /// The file's name; empty for a message.
        name: String,
        /// How many octets.
        bytes: u64,
        /// SHA-256 of them.
        sha256: String,
    },
    /// The session is over: the far end's BYE or CANCEL came, or our BYE was answered.
    Ended {
        /// The session.
        tag: u64,
    },
    /// A SUBSCRIBE was granted.
    Subscribed {
        /// Of the subscription.
        tag: u64,
        /// For so long.
        seconds: u32,
    },
    /// A NOTIFY came.
    Notified {
        /// Of the subscription.
        tag: u64,
        /// Whether more will come.
        active: bool,
        /// What it says.
        body: String,
    },
    /// The connection to the edge is gone.
    Disconnected,
}

/// Tags of sessions that came in begin here.
pub const INCOMING_TAGS: u64 = 1 << 32;
