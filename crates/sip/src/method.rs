//! SIP methods.

use core::fmt;
use wire::NameTable;

macro_rules! methods {
    ($( $name:ident = $text:literal, )*) => {
        /// A SIP method. Those we do not know are `Other`; their text stays in the message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Method {
            $( #[doc = concat!("`", $text, "`.")] $name, )*
            /// Any other method.
            Other,
        }

        impl Method {
            /// Every method we know, in the order of their numbers.
            pub const KNOWN: &'static [Self] = &[ $( Self::$name, )* ];
        }

        static NAMES: NameTable = NameTable::new(&[ $( $text, )* ]);
    };
}

methods! {
    Invite = "INVITE",
    Ack = "ACK",
    Bye = "BYE",
    Cancel = "CANCEL",
    Register = "REGISTER",
    Options = "OPTIONS",
    Message = "MESSAGE",
    Subscribe = "SUBSCRIBE",
    Notify = "NOTIFY",
    Refer = "REFER",
    Publish = "PUBLISH",
    Prack = "PRACK",
    Update = "UPDATE",
    Info = "INFO",
}

impl Method {
    /// The method of this name; case-sensitive (RFC 3261 §7.1: `invite` is another method).
    #[inline]
    #[must_use]
    pub fn from_bytes(name: &[u8]) -> Self {
        let Some(number) = NAMES.find(name) else {
            return Self::Other;
        };
        let method = Self::KNOWN[number as usize];
        if method.as_str().as_bytes() == name { method } else { Self::Other }
    }

    /// Its name; `OTHER` for the unknown.
    #[inline]
    #[must_use]
    pub fn as_str(self) -> &'static str {
        NAMES.name(self as u8).unwrap_or("OTHER")
    }

    /// Whether a 2xx to it may create a dialog (RFC 3261 §12.1, RFC 3515, RFC 6665).
    #[must_use]
    pub const fn creates_dialog(self) -> bool {
        matches!(self, Self::Invite | Self::Subscribe | Self::Refer)
    }

    /// Whether its Contact is the remote target of the dialog (RFC 3261 §12.2, RFC 3311, RFC 6665).
    #[must_use]
    pub const fn refreshes_target(self) -> bool {
        matches!(self, Self::Invite | Self::Update | Self::Subscribe | Self::Notify | Self::Refer)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_case_matters() {
        for &method in Method::KNOWN {
            assert_eq!(Method::from_bytes(method.as_str().as_bytes()), method);
        }
        for other in ["invite", "Invite", "", "INVITES", "OTHER", "!interesting-Method0123456789_*+`.%"] {
            assert_eq!(Method::from_bytes(other.as_bytes()), Method::Other, "{other}");
        }
    }
}
