//! multipart/mixed and recipient lists (RFC 5365).

use super::sip::find;

/// One part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its Content-Type.
    pub content_type: String,
    /// Its Content-Disposition, or nothing.
    pub disposition: String,
    /// Its octets.
    pub body: Vec<u8>,
}

impl Part {
    /// A part without disposition.
    #[must_use]
    pub fn new(content_type: &str, body: &[u8]) -> Self {
        Self { content_type: content_type.to_owned(), disposition: String::new(), body: body.to_vec() }
    }
}

/// Splits a body: into its parts if it is multipart/mixed, else into itself.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parts(content_type: &str, body: &[u8]) -> Result<Vec<Part>, String> {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("multipart/mixed") {
        return Ok(vec![Part::new(content_type, body)]);
    }
    let boundary = super::uri::param(content_type.get(media.len()..).unwrap_or_default(), "boundary")
        .ok_or("multipart without boundary")?
        .trim_matches('"');
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // so that the first delimiter, at the very start of the body, looks like the others
    let text = [b"\r\n", body].concat();
    let mut rest = text.as_slice();
    let mut out = Vec::new();
    let first = find(rest, &delimiter).ok_or("the boundary does not occur")?;
    rest = rest.get(first + delimiter.len()..).unwrap_or_default();
    loop {
        if rest.starts_with(b"--") {
            return if out.is_empty() { Err("a multipart without parts".to_owned()) } else { Ok(out) };
        }
        let inside = rest.strip_prefix(b"\r\n").ok_or("no line end after a boundary")?;
        let end = find(inside, &delimiter).ok_or("no closing boundary")?;
        out.push(part(inside.get(..end).unwrap_or_default())?);
        rest = inside.get(end + delimiter.len()..).unwrap_or_default();
    }
}

fn part(bytes: &[u8]) -> Result<Part, String> {
    let end = find(bytes, b"\r\n\r\n").ok_or("a body part without head")?;
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
    let body = bytes.get(end + 4..).unwrap_or_default();
    let header = |name: &str| {
        head.split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.trim().to_owned())
    };
    if let Some(length) = header("Content-Length")
        && length.parse() != Ok(body.len())
    {
        return Err(format!("a body part of {} octets says {length}", body.len()));
    }
    Ok(Part {
        content_type: header("Content-Type").ok_or("a body part without Content-Type")?,
        disposition: header("Content-Disposition").unwrap_or_default(),
        body: body.to_vec(),
    })
}

/// Joins parts; returns Content-Type and body.
#[must_use]
pub fn join(parts: &[Part], boundary: &str) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for part in parts {
        body.extend_from_slice(format!("--{boundary}\r\nContent-Type: {}\r\n", part.content_type).as_bytes());
        if !part.disposition.is_empty() {
            body.extend_from_slice(format!("Content-Disposition: {}\r\n", part.disposition).as_bytes());
        }
        body.extend_from_slice(format!("Content-Length: {}\r\n\r\n", part.body.len()).as_bytes());
        body.extend_from_slice(&part.body);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/mixed;boundary={boundary}"), body)
}

/// The URIs of a resource list, trimmed (figure 5-18 has a leading blank).
#[must_use]
pub fn recipients(xml: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(xml);
    text.split("<entry ")
        .skip(1)
        .filter_map(|entry| entry.split_once("uri=\"")?.1.split_once('"'))
        .map(|(uri, _)| uri.trim().to_owned())
        .collect()
}

/// Writes a resource list.
#[must_use]
pub fn recipient_list(uris: &[String]) -> Part {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<resource-lists \
         xmlns=\"urn:ietf:params:xml:ns:resource-lists\" xmlns:cp=\"urn:ietf:params:xml:ns:capacity\">\r\n<list>\r\n",
    );
    for uri in uris {
        xml.push_str(&format!("<entry uri=\"{uri}\" cp:capacity=\"to\"/>\r\n"));
    }
    xml.push_str("</list>\r\n</resource-lists>\r\n");
    Part {
        disposition: "recipient-list".to_owned(),
        ..Part::new("application/resource-lists+xml", xml.as_bytes())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn joined_parts_come_apart_again() {
        let list = recipient_list(&["sip:b@h".to_owned(), "tel:+86138".to_owned()]);
        let all = [list, Part::new("message/cpim", b"--x\r\n\r\n--BX\r\n"), Part::new("text/plain", b"")];
        let (content_type, body) = join(&all, "BY");
        let read = parts(&content_type, &body).unwrap();
        assert_eq!(read, all);
        assert_eq!(recipients(&read[0].body), ["sip:b@h", "tel:+86138"]);
        assert_eq!(parts("text/plain", b"x").unwrap(), [Part::new("text/plain", b"x")]);
    }

    #[test]
    fn a_damaged_multipart_is_seen() {
        let (content_type, body) = join(&[Part::new("text/plain", b"hello")], "BY");
        let body = String::from_utf8(body).unwrap();
        for (from, to) in
            [("--BY--", ""), ("Length: 5", "Length: 6"), ("--BY\r\n", "--BZ\r\n"), ("Content-Type", "X")]
        {
            assert!(parts(&content_type, body.replacen(from, to, 1).as_bytes()).is_err(), "{to}");
        }
        assert!(parts("multipart/mixed", body.as_bytes()).is_err());
    }
}
