//! The messaging services, by their communication service identifiers.

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Pager mode: the message is in the MESSAGE.
    Pager,
    /// A message too large for that, over MSRP (figure 5-29).
    Large,
    /// A file over MSRP (figure 5-30).
    File,
    /// A 1-1 session (figure 5-49).
    Chat,
}

impl Service {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Pager => "msg",
            Self::Large => "largemsg",
            Self::File => "filetransfer",
            Self::Chat => "session",
        }
    }

    /// The value of P-Preferred-Service and P-Asserted-Service.
    #[must_use]
    pub fn urn(self) -> String {
        format!("urn:urn-7:3gpp-service.ims.icsi.oma.cpm.{}", self.suffix())
    }

    /// The feature tag of Contact and Accept-Contact.
    #[must_use]
    pub fn feature_tag(self) -> String {
        format!("+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.{}\"", self.suffix())
    }

    /// The value of Accept-Contact.
    #[must_use]
    pub fn accept_contact(self) -> String {
        format!("*;{}", self.feature_tag())
    }

    /// Reads an urn or a feature tag.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once("cpm.")?;
        let suffix = rest.trim_end_matches('"');
        [Self::Pager, Self::Large, Self::File, Self::Chat].into_iter().find(|s| s.suffix() == suffix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_read_back() {
        for service in [Service::Pager, Service::Large, Service::File, Service::Chat] {
            assert_eq!(Service::parse(&service.urn()), Some(service));
            assert_eq!(Service::parse(&service.accept_contact()), Some(service));
        }
        assert_eq!(Service::parse("urn:urn-7:3gpp-service.ims.icsi.mmtel"), None);
    }
}
