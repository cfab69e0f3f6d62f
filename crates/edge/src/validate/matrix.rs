//! The tables of mandatory fields (requirements §10, R33) as data: which request, from which side, what it must bear.
//!
//! A field that the tables call conditional or optional is not in here. What is in here and nothing
//! works without is judged before, whatever the settings say.

use sip::{HeaderId, Message, Method};
use wire::Realm;

/// The columns of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// REGISTER.
    Register,
    /// A pager message.
    Message,
    /// A report about one: it bears none of the fields of a message.
    Imdn,
    /// INVITE for a large message, a file, a picture, a voice message, a card, a video.
    InviteLarge,
    /// INVITE for a chat.
    InviteChat,
    /// INVITE of a conference to a UE.
    InviteGroup,
    /// INVITE of a call.
    Call,
    /// INVITE of a call with a list of invitees.
    CallGroup,
    /// INVITE inside a dialog.
    InviteInside,
    /// REFER of messaging.
    Refer,
    /// REFER of a call.
    CallRefer,
    /// SUBSCRIBE.
    Subscribe,
    /// NOTIFY.
    Notify,
    /// OPTIONS.
    Options,
    /// Anything else.
    Other,
}

impl Kind {
    /// Which column a request belongs to.
    #[must_use]
    pub fn of(message: Message<'_>, from: Realm) -> Self {
        let inside = message.to().is_ok_and(|to| to.tag().is_some());
        match message.method() {
            Method::Register => Self::Register,
            Method::Message if holds(message, b"message/imdn+xml") => Self::Imdn,
            Method::Message => Self::Message,
            Method::Invite if inside => Self::InviteInside,
            Method::Invite if !is_messaging(message) => match holds(message, b"resource-lists+xml") {
                true => Self::CallGroup,
                false => Self::Call,
            },
            // R50: the file selector is what makes it a transfer.
            Method::Invite if holds(message, b"a=file-selector") => Self::InviteLarge,
            Method::Invite if from == Realm::Core && is_focus(message) => Self::InviteGroup,
            Method::Invite => Self::InviteChat,
            Method::Refer if is_messaging(message) => Self::Refer,
            Method::Refer => Self::CallRefer,
            Method::Subscribe => Self::Subscribe,
            Method::Notify => Self::Notify,
            Method::Options => Self::Options,
            _ => Self::Other,
        }
    }

    /// The fields that the tables want, beyond those that every request must have.
    #[must_use]
    pub const fn mandatory(self, from: Realm) -> &'static [HeaderId] {
        use HeaderId::{
            AcceptContact, Contact, ContentType, ContributionId, ConversationId, Event, PAssertedIdentity,
            PAssertedService, PPreferredService, ReferTo, ReferredBy, Route, SubscriptionState, UserAgent,
        };
        match (self, from) {
            (Self::Register | Self::InviteInside | Self::CallRefer, _) => &[Contact],
            (Self::Message, Realm::Access) => {
                &[AcceptContact, UserAgent, PPreferredService, ConversationId, ContributionId, ContentType]
            }
            (Self::Message, Realm::Core) => &[
                AcceptContact,
                UserAgent,
                PAssertedIdentity,
                PAssertedService,
                ConversationId,
                ContributionId,
                ContentType,
            ],
            (Self::InviteLarge, Realm::Access) => &[
                Contact,
                AcceptContact,
                UserAgent,
                PPreferredService,
                ConversationId,
                ContributionId,
                ContentType,
                Route,
            ],
            (Self::InviteChat, Realm::Access) => &[
                Contact,
                AcceptContact,
                UserAgent,
                PPreferredService,
                ConversationId,
                ContributionId,
                ContentType,
            ],
            (Self::InviteLarge, Realm::Core) => &[
                Contact,
                AcceptContact,
                UserAgent,
                PAssertedIdentity,
                PAssertedService,
                ConversationId,
                ContributionId,
                ContentType,
            ],
            (Self::InviteChat, Realm::Core) => &[
                Contact,
                AcceptContact,
                UserAgent,
                PAssertedService,
                ConversationId,
                ContributionId,
                ContentType,
            ],
            (Self::InviteGroup, _) => &[
                Contact,
                AcceptContact,
                PAssertedService,
                ConversationId,
                ContributionId,
                ContentType,
                ReferredBy,
            ],
            (Self::Call, _) => &[ContentType],
            // The identity is the edge's to assert, R29.
            (Self::CallGroup, Realm::Access) => &[Contact, UserAgent, ContentType],
            (Self::CallGroup, Realm::Core) => &[Contact, AcceptContact, PAssertedIdentity, ContentType],
            (Self::Refer, _) => &[Contact, AcceptContact, ConversationId, ContributionId, ReferTo],
            (Self::Subscribe, _) => &[Contact, AcceptContact, Event],
            (Self::Notify, Realm::Core) => {
                &[Contact, AcceptContact, UserAgent, ContentType, Event, SubscriptionState]
            }
            (Self::Notify, Realm::Access) => &[Contact, Event, SubscriptionState],
            (Self::Options, _) => &[Contact, AcceptContact],
            (Self::Imdn | Self::Other, _) => &[],
        }
    }
}

/// Messaging requests name a service; calls (section 6 of the source) name none.
fn is_messaging(message: Message<'_>) -> bool {
    message.has(HeaderId::AcceptContact)
        || message.has(HeaderId::PPreferredService)
        || message.has(HeaderId::PAssertedService)
}

fn is_focus(message: Message<'_>) -> bool {
    message.name_addrs(HeaderId::Contact).flatten().any(|contact| contact.params.has(b"isfocus"))
}

fn holds(message: Message<'_>, text: &[u8]) -> bool {
    memchr::memmem::find(message.body(), text).is_some()
}
