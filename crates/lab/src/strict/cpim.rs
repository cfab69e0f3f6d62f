//! CPIM (RFC 3862) with IMDN headers (RFC 5438), as in figures 5-17 and 5-24.

use super::sip::find;

/// One CPIM message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpim {
    /// The CPIM headers, in order.
    pub headers: Vec<(String, String)>,
    /// The headers of the content, in order.
    pub content_headers: Vec<(String, String)>,
    /// The content.
    pub content: Vec<u8>,
}

impl Cpim {
    /// A text with the dispositions asked for, or none.
    #[must_use]
    pub fn text(from: &str, to: &str, message_id: &str, dispositions: &str, text: &[u8]) -> Self {
        let mut headers = vec![
            ("From".to_owned(), format!("<{from}>")),
            ("To".to_owned(), format!("<{to}>")),
            ("NS".to_owned(), "imdn<urn:ietf:params:imdn>".to_owned()),
            ("imdn.Message-ID".to_owned(), message_id.to_owned()),
            ("DateTime".to_owned(), DATE_TIME.to_owned()),
        ];
        if !dispositions.is_empty() {
            headers.push(("imdn.Disposition-Notification".to_owned(), dispositions.to_owned()));
        }
        Self {
            headers,
            content_headers: vec![
                ("Content-Type".to_owned(), "text/plain;charset=UTF-8".to_owned()),
                ("Content-Length".to_owned(), text.len().to_string()),
            ],
            content: text.to_vec(),
        }
    }

    /// A notification that the message `about` was delivered, displayed …
    #[must_use]
    pub fn notification(from: &str, to: &str, message_id: &str, about: &str, status: Imdn) -> Self {
        let (kind, status) = status.elements();
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<imdn xmlns=\"urn:ietf:params:xml:ns:imdn\">\r\n\
             <message-id>{about}</message-id>\r\n<datetime>{DATE_TIME}</datetime>\r\n\
             <{kind}><status><{status}/></status></{kind}>\r\n</imdn>\r\n"
        );
        let mut cpim = Self::text(from, to, message_id, "", xml.as_bytes());
        cpim.content_headers = vec![
            ("Content-Type".to_owned(), "message/imdn+xml".to_owned()),
            ("Content-Disposition".to_owned(), "notification".to_owned()),
            ("Content-Length".to_owned(), xml.len().to_string()),
        ];
        cpim
    }

    /// Reads CPIM headers, content headers and content.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let (headers, rest) = block(body)?;
        let (content_headers, content) = block(rest)?;
        Ok(Self { headers, content_headers, content: content.to_vec() })
    }

    /// Writes it.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for block in [&self.headers, &self.content_headers] {
            for (name, value) in block {
                out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(&self.content);
        out
    }

    /// A CPIM header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        value(&self.headers, name)
    }

    /// The type of the content.
    #[must_use]
    pub fn content_type(&self) -> &str {
        value(&self.content_headers, "Content-Type").unwrap_or_default()
    }

    /// What a notification reports, and about which message.
    #[must_use]
    pub fn as_notification(&self) -> Option<(Imdn, String)> {
        if !self.content_type().starts_with("message/imdn+xml") {
            return None;
        }
        let xml = core::str::from_utf8(&self.content).ok()?;
        let (_, rest) = xml.split_once("<message-id>")?;
        let (about, rest) = rest.split_once("</message-id>")?;
        let status = [Imdn::Delivered, Imdn::Displayed]
            .into_iter()
            .find(|s| rest.contains(&format!("<{}", s.elements().1)))?;
        Some((status, about.to_owned()))
    }

    /// The dispositions the sender asks for.
    #[must_use]
    pub fn asks(&self, disposition: &str) -> bool {
        self.header("imdn.Disposition-Notification")
            .is_some_and(|d| d.split(',').any(|d| d.trim() == disposition))
    }
}

/// What a notification reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Imdn {
    /// The message reached the device.
    Delivered,
    /// The message was shown.
    Displayed,
}

impl Imdn {
    const fn elements(self) -> (&'static str, &'static str) {
        match self {
            Self::Delivered => ("delivery-notification", "delivered"),
            Self::Displayed => ("display-notification", "displayed"),
        }
    }
}

type Headers = Vec<(String, String)>;

fn block(bytes: &[u8]) -> Result<(Headers, &[u8]), String> {
    let end = find(bytes, b"\r\n\r\n").ok_or("a CPIM header block without end")?;
    let text = core::str::from_utf8(bytes.get(..end).unwrap_or_default()).map_err(|_| "CPIM is not UTF-8")?;
    let mut headers = Vec::new();
    for line in text.split("\r\n") {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("CPIM header {line:?}"))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok((headers, bytes.get(end + 4..).unwrap_or_default()))
}

fn value<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
    found.map(|(_, v)| v.as_str())
}

/// The lab reads no clock; nobody looks at this header.
const DATE_TIME: &str = "2014-02-21T11:26:49+08:00";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let text = Cpim::text("sip:a@h", "sip:b@h", "m1", "positive-delivery, display", b"hi");
        let read = Cpim::parse(&text.write()).unwrap();
        assert_eq!(read, text);
        assert!(read.asks("display") && read.asks("positive-delivery") && !read.asks("processing"));
        for status in [Imdn::Delivered, Imdn::Displayed] {
            let note = Cpim::notification("sip:b@h", "sip:a@h", "m2", "m1", status);
            let read = Cpim::parse(&note.write()).unwrap();
            assert_eq!(read.as_notification(), Some((status, "m1".to_owned())));
        }
        assert!(Cpim::parse(b"From: x\r\n\r\nno end").is_err());
    }
}
