//! `application/reginfo+xml` (RFC 3680 §5), read strictly and no further than we act on it.
//!
//! ```text
//!   <reginfo version="0" state="full">
//!     <registration aor="sip:a@h" id="1" state="active">
//!       <contact id="2" state="terminated" event="deactivated" expires="0"><uri>sip:…</uri></contact>
//! ```
//! Elements of other names are passed over with what is in them. A document that is cut off, or whose tags
//! do not close in order, says nothing.

/// What a NOTIFY of the reg event package says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RegInfo {
    /// Counts the documents of one subscription.
    pub(super) version: u32,
    /// One for each address of record.
    pub(super) registrations: Vec<Registration>,
}

/// One address of record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Registration {
    /// As a URI.
    pub(super) aor: Vec<u8>,
    /// `active`, `init` or `terminated`.
    pub(super) state: Vec<u8>,
    /// Its contacts.
    pub(super) contacts: Vec<Contact>,
}

/// One contact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contact {
    /// Its URI.
    pub(super) uri: Vec<u8>,
    /// `active` or `terminated`.
    pub(super) state: Vec<u8>,
    /// What happened: `registered`, `shortened`, `deactivated`, …
    pub(super) event: Vec<u8>,
    /// How many seconds it has left.
    pub(super) expires: Option<u32>,
}

/// Registrations of a document, and contacts of a registration; more are not looked at.
const MEMBERS_MAX: usize = 64;

/// Elements inside each other.
const DEPTH_MAX: usize = 16;

impl RegInfo {
    /// Reads a document; `None` if it is none.
    pub(super) fn read(xml: &[u8]) -> Option<Self> {
        let mut info = None;
        let mut open: Vec<&[u8]> = Vec::new();
        let mut pieces = Pieces { xml, at: 0 };
        while let Some(piece) = pieces.next()? {
            match piece {
                Piece::Open { name, attributes, empty } => {
                    if open.len() == DEPTH_MAX || (open.is_empty() && info.is_some()) {
                        return None;
                    }
                    take(&mut info, &open, name, attributes)?;
                    if !empty {
                        open.push(name);
                    }
                }
                Piece::Close(name) => {
                    if open.pop() != Some(name) {
                        return None;
                    }
                }
                Piece::Text(text) => {
                    if let (Some(info), [b"reginfo", b"registration", b"contact", b"uri"]) =
                        (&mut info, &open[..])
                        && let Some(contact) = last_contact(info)
                    {
                        contact.uri.extend(unescape(wire::bytes_class::trim(text))?);
                    }
                }
            }
        }
        info.filter(|_| open.is_empty())
    }
}

fn last_contact(info: &mut RegInfo) -> Option<&mut Contact> {
    info.registrations.last_mut()?.contacts.last_mut()
}

/// Takes an element in; `None` if it makes the document no reginfo.
fn take(info: &mut Option<RegInfo>, open: &[&[u8]], name: &[u8], attributes: &[u8]) -> Option<()> {
    match (info, open, name) {
        (info @ None, [], b"reginfo") => {
            let version = number(&attribute(attributes, b"version")??)?;
            *info = Some(RegInfo { version, registrations: Vec::new() });
        }
        (_, [], _) => return None,
        (Some(info), [b"reginfo"], b"registration") => {
            if info.registrations.len() == MEMBERS_MAX {
                return None;
            }
            info.registrations.push(Registration {
                aor: attribute(attributes, b"aor")??,
                state: attribute(attributes, b"state")??,
                contacts: Vec::new(),
            });
        }
        (Some(info), [b"reginfo", b"registration"], b"contact") => {
            let registration = info.registrations.last_mut()?;
            if registration.contacts.len() == MEMBERS_MAX {
                return None;
            }
            registration.contacts.push(Contact {
                uri: Vec::new(),
                state: attribute(attributes, b"state")??,
                event: attribute(attributes, b"event")??,
                expires: attribute(attributes, b"expires")?.and_then(|text| number(&text)),
            });
        }
        _ => {}
    }
    Some(())
}

fn number(text: &[u8]) -> Option<u32> {
    core::str::from_utf8(text).ok()?.trim().parse().ok()
}

/// The value of an attribute: `Some(None)` if it is not there, `None` if the tag is broken.
fn attribute(attributes: &[u8], name: &[u8]) -> Option<Option<Vec<u8>>> {
    let mut rest = wire::bytes_class::trim(attributes);
    while !rest.is_empty() {
        let equals = memchr::memchr(b'=', rest)?;
        let (key, after) = rest.split_at(equals);
        let after = trim_start(after.get(1..)?);
        let quote = *after.first().filter(|b| matches!(b, b'"' | b'\''))?;
        let end = memchr::memchr(quote, after.get(1..)?)?;
        let value = after.get(1..1 + end)?;
        if local(wire::bytes_class::trim(key)) == name {
            return Some(Some(unescape(value)?));
        }
        rest = trim_start(after.get(end + 2..)?);
    }
    Some(None)
}

fn trim_start(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|b| b.is_ascii_whitespace()).count();
    text.get(blanks..).unwrap_or_default()
}

/// A name without its namespace prefix.
fn local(name: &[u8]) -> &[u8] {
    memchr::memchr(b':', name).and_then(|at| name.get(at + 1..)).unwrap_or(name)
}

/// The characters that `&…;` stand for; `None` for an entity that XML does not know by itself.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest) {
        out.extend_from_slice(rest.get(..at)?);
        let end = memchr::memchr(b';', rest.get(at..)?)?;
        let entity = rest.get(at + 1..at + end)?;
        match entity {
            b"amp" => out.push(b'&'),
            b"lt" => out.push(b'<'),
            b"gt" => out.push(b'>'),
            b"quot" => out.push(b'"'),
            b"apos" => out.push(b'\''),
            [b'#', digits @ ..] => {
                let digits = core::str::from_utf8(digits).ok()?;
                let code = match digits.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => digits.parse().ok()?,
                };
                let mut room = [0; 4];
                out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut room).as_bytes());
            }
            _ => return None,
        }
        rest = rest.get(at + end + 1..)?;
    }
    out.extend_from_slice(rest);
    Some(out)
}

enum Piece<'x> {
    Open { name: &'x [u8], attributes: &'x [u8], empty: bool },
    Close(&'x [u8]),
    Text(&'x [u8]),
}

struct Pieces<'x> {
    xml: &'x [u8],
    at: usize,
}

impl<'x> Pieces<'x> {
    /// The next piece, `Some(None)` at the end, `None` where it is no XML.
    fn next(&mut self) -> Option<Option<Piece<'x>>> {
        loop {
            let rest = self.xml.get(self.at..)?;
            if rest.is_empty() {
                return Some(None);
            }
            if rest.first() != Some(&b'<') {
                let end = memchr::memchr(b'<', rest).unwrap_or(rest.len());
                self.at += end;
                return Some(Some(Piece::Text(rest.get(..end)?)));
            }
            if self.skips(rest)? {
                continue;
            }
            let end = tag_end(rest)?;
            let inside = rest.get(1..end)?;
            self.at += end + 1;
            return Some(Some(match inside.strip_prefix(b"/") {
                Some(name) => Piece::Close(local(wire::bytes_class::trim(name))),
                None => {
                    let empty = inside.last() == Some(&b'/');
                    let inside = if empty { inside.get(..inside.len() - 1)? } else { inside };
                    let name = inside.iter().position(u8::is_ascii_whitespace).unwrap_or(inside.len());
                    let (name, attributes) = inside.split_at(name);
                    Piece::Open { name: local(name), attributes, empty }
                }
            }));
        }
    }

    /// Passes over a declaration or comment; document types are refused, for their entities.
    fn skips(&mut self, rest: &[u8]) -> Option<bool> {
        let end: &[u8] = match rest {
            [b'<', b'?', ..] => b"?>",
            [b'<', b'!', b'-', b'-', ..] => b"-->",
            [b'<', b'!', ..] => return None,
            _ => return Some(false),
        };
        let from = 2;
        let at = memchr::memmem::find(rest.get(from..)?, end)?;
        self.at += from + at + end.len();
        Some(true)
    }
}

/// Where the `>` of a tag stands: one inside quotes does not count.
fn tag_end(tag: &[u8]) -> Option<usize> {
    let mut quote = None;
    tag.iter().position(|&b| {
        match (quote, b) {
            (None, b'"' | b'\'') => quote = Some(b),
            (Some(open), b) if open == b => quote = None,
            (None, b'>') => return true,
            _ => {}
        }
        false
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"<?xml version="1.0"?>
<!-- of RFC 3680 §6 -->
<r:reginfo xmlns:r="urn:ietf:params:xml:ns:reginfo" version="7" state='partial'>
  <r:registration aor="sip:joe&amp;co@example.com" id="as9" state="active">
    <contact id="76" state="terminated" event="deactivated" expires = "36001" duration-registered="7322" q="0.8">
      <uri> sip:joe@pc887.example.com;x=&quot;1&quot; </uri><unknown-param name="+sip.instance">"&lt;urn:1>"</unknown-param>
    </contact>
    <contact id="77" state="active" event="registered"><uri>sip:b@h</uri></contact>
  </r:registration>
  <registration aor="tel:+1" id="b" state="terminated"/>
</r:reginfo>
"#;

    #[test]
    fn a_document_says_who_is_registered() {
        let info = RegInfo::read(DOCUMENT.as_bytes()).unwrap();
        assert_eq!((info.version, info.registrations.len()), (7, 2));
        let [first, second] = &info.registrations[..] else { panic!() };
        assert_eq!((&first.aor[..], &first.state[..]), (&b"sip:joe&co@example.com"[..], &b"active"[..]));
        assert_eq!((&second.aor[..], &second.state[..]), (&b"tel:+1"[..], &b"terminated"[..]));
        let contact = &first.contacts[0];
        assert_eq!(contact.uri, b"sip:joe@pc887.example.com;x=\"1\"");
        assert_eq!((&contact.state[..], &contact.event[..]), (&b"terminated"[..], &b"deactivated"[..]));
        assert_eq!((contact.expires, first.contacts[1].expires), (Some(36_001), None));
    }

    #[test]
    fn what_is_no_reginfo_says_nothing() {
        for text in [
            "",
            "hello",
            "<reginfo version=\"1\">",
            "<reginfo/>",
            "<reginfo version=\"x\"/>",
            "<a version=\"1\"/>",
            "<reginfo version=\"1\"></a>",
            "<reginfo version=\"1\"/><reginfo version=\"2\"/>",
            "<reginfo version=\"1\"><registration state=\"active\"/></reginfo>",
            "<reginfo version=\"1\"><registration aor=\"&x;\" state=\"active\"/></reginfo>",
            "<!DOCTYPE a [<!ENTITY x \"y\">]><reginfo version=\"1\"/>",
            "<reginfo version=\"1\"><!-- </reginfo>",
        ] {
            assert_eq!(RegInfo::read(text.as_bytes()), None, "{text}");
        }
        assert!(RegInfo::read(b"<reginfo version=\"1\" state=\"full\"/>").is_some());
        let deep = "<a>".repeat(40);
        assert_eq!(RegInfo::read(format!("<reginfo version=\"1\">{deep}").as_bytes()), None);
    }

    #[test]
    fn no_prefix_of_a_document_is_one_and_hostile_bytes_do_no_harm() {
        let bytes = DOCUMENT.trim_end().as_bytes();
        for end in 0..bytes.len() {
            assert_eq!(RegInfo::read(&bytes[..end]), None, "{end}");
        }
        for at in 0..bytes.len() {
            for byte in [b'<', b'>', b'"', b'&', b'/', 0, 0xff] {
                let mut broken = bytes.to_vec();
                broken[at] = byte;
                let _ = RegInfo::read(&broken);
            }
        }
    }
}
