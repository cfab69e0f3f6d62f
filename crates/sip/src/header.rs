//! The header fields we know by number.

use core::fmt;
use wire::NameTable;

macro_rules! headers {
    ($( $name:ident = $text:literal, )* ; $( $short:literal => $long:ident, )*) => {
        /// A header field name; compact forms have the number of the long form.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum HeaderId {
            $( #[doc = concat!("`", $text, "`.")] $name, )*
            /// Any other name; it stays in the message.
            Unknown,
        }

        impl HeaderId {
            /// Every field we know, in the order of their numbers.
            pub const KNOWN: &'static [Self] = &[ $( Self::$name, )* ];

            /// How many numbers there are, `Unknown` included.
            pub const COUNT: usize = Self::KNOWN.len() + 1;
        }

        /// What the numbers of `NAMES` mean: the long names in order, then the compact forms.
        const IDS: &[HeaderId] = &[ $( HeaderId::$name, )* $( HeaderId::$long, )* ];

        static NAMES: NameTable = NameTable::new(&[ $( $text, )* $( $short, )* ]);

        impl HeaderId {
            /// The canonical long name; empty for `Unknown`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$name => $text, )* Self::Unknown => "" }
            }
        }
    };
}

headers! {
    Via = "Via",
    From = "From",
    To = "To",
    CallId = "Call-ID",
    CSeq = "CSeq",
    Contact = "Contact",
    MaxForwards = "Max-Forwards",
    Route = "Route",
    RecordRoute = "Record-Route",
    Path = "Path",
    ServiceRoute = "Service-Route",
    ContentLength = "Content-Length",
    ContentType = "Content-Type",
    ContentDisposition = "Content-Disposition",
    ContentEncoding = "Content-Encoding",
    ContentLanguage = "Content-Language",
    Expires = "Expires",
    MinExpires = "Min-Expires",
    Authorization = "Authorization",
    WwwAuthenticate = "WWW-Authenticate",
    ProxyAuthenticate = "Proxy-Authenticate",
    ProxyAuthorization = "Proxy-Authorization",
    AuthenticationInfo = "Authentication-Info",
    Require = "Require",
    ProxyRequire = "Proxy-Require",
    Supported = "Supported",
    Unsupported = "Unsupported",
    Allow = "Allow",
    AllowEvents = "Allow-Events",
    Event = "Event",
    SubscriptionState = "Subscription-State",
    ReferTo = "Refer-To",
    ReferredBy = "Referred-By",
    ReferSub = "Refer-Sub",
    Reason = "Reason",
    Warning = "Warning",
    RetryAfter = "Retry-After",
    SecurityClient = "Security-Client",
    SecurityServer = "Security-Server",
    SecurityVerify = "Security-Verify",
    SessionExpires = "Session-Expires",
    MinSe = "Min-SE",
    PAssertedIdentity = "P-Asserted-Identity",
    PPreferredIdentity = "P-Preferred-Identity",
    PAssertedService = "P-Asserted-Service",
    PPreferredService = "P-Preferred-Service",
    PAssociatedUri = "P-Associated-URI",
    PVisitedNetworkId = "P-Visited-Network-ID",
    PAccessNetworkInfo = "P-Access-Network-Info",
    PChargingVector = "P-Charging-Vector",
    PChargingFunctionAddresses = "P-Charging-Function-Addresses",
    PCalledPartyId = "P-Called-Party-ID",
    PEarlyMedia = "P-Early-Media",
    AcceptContact = "Accept-Contact",
    RejectContact = "Reject-Contact",
    RequestDisposition = "Request-Disposition",
    Privacy = "Privacy",
    HistoryInfo = "History-Info",
    Diversion = "Diversion",
    UserAgent = "User-Agent",
    Server = "Server",
    Date = "Date",
    Timestamp = "Timestamp",
    Subject = "Subject",
    Priority = "Priority",
    Accept = "Accept",
    AcceptEncoding = "Accept-Encoding",
    AcceptLanguage = "Accept-Language",
    AcceptResourcePriority = "Accept-Resource-Priority",
    ResourcePriority = "Resource-Priority",
    MimeVersion = "MIME-Version",
    Replaces = "Replaces",
    Join = "Join",
    TargetDialog = "Target-Dialog",
    RAck = "RAck",
    RSeq = "RSeq",
    ConversationId = "Conversation-ID",
    ContributionId = "Contribution-ID",
    Organization = "Organization",
    ReplyTo = "Reply-To",
    InReplyTo = "In-Reply-To",
    CallInfo = "Call-Info",
    AlertInfo = "Alert-Info",
    ErrorInfo = "Error-Info",
    SipEtag = "SIP-ETag",
    SipIfMatch = "SIP-If-Match",
    FeatureCaps = "Feature-Caps",
    Identity = "Identity",
    IdentityInfo = "Identity-Info",
    Geolocation = "Geolocation",
    SessionId = "Session-ID",
    MaxBreadth = "Max-Breadth",
    FlowTimer = "Flow-Timer",
    RecvInfo = "Recv-Info",
    InfoPackage = "Info-Package",
    ;
    "a" => AcceptContact,
    "b" => ReferredBy,
    "c" => ContentType,
    "d" => RequestDisposition,
    "e" => ContentEncoding,
    "f" => From,
    "i" => CallId,
    "j" => RejectContact,
    "k" => Supported,
    "l" => ContentLength,
    "m" => Contact,
    "n" => IdentityInfo,
    "o" => Event,
    "r" => ReferTo,
    "s" => Subject,
    "t" => To,
    "u" => AllowEvents,
    "v" => Via,
    "x" => SessionExpires,
    "y" => Identity,
}

impl HeaderId {
    /// The field with this name, long or compact, in any case.
    #[inline]
    #[must_use]
    pub fn from_bytes(name: &[u8]) -> Self {
        NAMES.find(name).map_or(Self::Unknown, |number| IDS[number as usize])
    }

    /// Whether one line of it may hold several values parted by commas (RFC 3261 §7.3.1).
    ///
    /// The challenges and credentials also hold commas, but between the parameters of one value.
    #[must_use]
    pub const fn is_list(self) -> bool {
        matches!(
            self,
            Self::Via
                | Self::Contact
                | Self::Route
                | Self::RecordRoute
                | Self::Path
                | Self::ServiceRoute
                | Self::ContentEncoding
                | Self::ContentLanguage
                | Self::Require
                | Self::ProxyRequire
                | Self::Supported
                | Self::Unsupported
                | Self::Allow
                | Self::AllowEvents
                | Self::Reason
                | Self::Warning
                | Self::SecurityClient
                | Self::SecurityServer
                | Self::SecurityVerify
                | Self::PAssertedIdentity
                | Self::PPreferredIdentity
                | Self::PAssertedService
                | Self::PPreferredService
                | Self::PAssociatedUri
                | Self::PVisitedNetworkId
                | Self::PAccessNetworkInfo
                | Self::PEarlyMedia
                | Self::AcceptContact
                | Self::RejectContact
                | Self::RequestDisposition
                | Self::HistoryInfo
                | Self::Diversion
                | Self::Accept
                | Self::AcceptEncoding
                | Self::AcceptLanguage
                | Self::AcceptResourcePriority
                | Self::ResourcePriority
                | Self::InReplyTo
                | Self::CallInfo
                | Self::AlertInfo
                | Self::ErrorInfo
                | Self::FeatureCaps
                | Self::Geolocation
                | Self::RecvInfo
        )
    }
}

impl fmt::Display for HeaderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_read_back_in_any_case() {
        for &id in HeaderId::KNOWN {
            assert_eq!(HeaderId::from_bytes(id.name().as_bytes()), id);
            assert_eq!(HeaderId::from_bytes(id.name().to_ascii_uppercase().as_bytes()), id);
            assert_eq!(HeaderId::from_bytes(id.name().to_ascii_lowercase().as_bytes()), id);
        }
        assert_eq!(HeaderId::KNOWN.len(), HeaderId::Unknown as usize);
    }

    #[test]
    fn compact_forms_mean_the_long_form() {
        for (short, id) in [
            ("v", HeaderId::Via),
            ("V", HeaderId::Via),
            ("l", HeaderId::ContentLength),
            ("i", HeaderId::CallId),
            ("m", HeaderId::Contact),
            ("x", HeaderId::SessionExpires),
            ("z", HeaderId::Unknown),
            ("sMin-SE", HeaderId::Unknown),
            ("App_Type", HeaderId::Unknown),
            ("", HeaderId::Unknown),
        ] {
            assert_eq!(HeaderId::from_bytes(short.as_bytes()), id, "{short}");
        }
    }
}
