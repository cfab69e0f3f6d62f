//! A strict SDP reader (RFC 4566 §5) and the descriptions the lab offers (RFC 4975 §8).

use core::net::{IpAddr, SocketAddr};
use wire::Transport;

/// One session description: lines in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sdp {
    lines: Vec<(char, String)>,
}

/// What one side says about its MSRP end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MsrpMedia {
    /// From `c=` and `m=`.
    pub address: SocketAddr,
    /// Of the `o=` line.
    pub origin: IpAddr,
    /// TCP or TLS, from the proto of `m=`.
    pub transport: Transport,
    /// The `a=path` value.
    pub path: String,
    /// The `a=setup` value.
    pub setup: String,
    /// The `a=file-selector` value.
    pub file_selector: Option<String>,
}

impl Sdp {
    /// Reads a description.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let text = core::str::from_utf8(body).map_err(|_| "SDP is not UTF-8")?;
        let text = text.strip_suffix("\r\n").unwrap_or(text);
        let mut lines = Vec::new();
        for line in text.split("\r\n") {
            let mut chars = line.chars();
            match (chars.next(), chars.next()) {
                (Some(kind @ 'a'..='z'), Some('=')) if !line.contains('\n') => {
                    lines.push((kind, chars.as_str().to_owned()));
                }
                _ => return Err(format!("SDP line {line:?}")),
            }
        }
        let order: String = lines.iter().map(|(kind, _)| *kind).collect();
        if !order.starts_with("vos") || !order.contains('t') || !order.contains('m') {
            return Err(format!("SDP lines in the order {order}"));
        }
        Ok(Self { lines })
    }

    /// The values of all lines of this kind.
    pub fn all(&self, kind: char) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(move |(k, _)| *k == kind).map(|(_, v)| v.as_str())
    }

    /// The value of the first attribute of this name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.all('a').find_map(|v| match v.split_once(':') {
            Some((n, value)) if n == name => Some(value),
            None if v == name => Some(""),
            _ => None,
        })
    }

    /// The one MSRP stream.
    ///
    /// # Errors
    /// What is missing or contradicts itself, in words.
    pub fn msrp(&self) -> Result<MsrpMedia, String> {
        let mut media = self.all('m');
        let line = media.next().ok_or("no m= line")?;
        if media.next().is_some() {
            return Err("more than one m= line".to_owned());
        }
        let words: Vec<&str> = line.split(' ').collect();
        let (port, transport) = match words[..] {
            ["message", port, "TCP/MSRP", "*"] => (port, Transport::Tcp),
            ["message", port, "TCP/TLS/MSRP", "*"] => (port, Transport::Tls),
            _ => return Err(format!("m={line}")),
        };
        let port: u16 = port.parse().map_err(|_| format!("m={line}"))?;
        let connection = self.all('c').last().ok_or("no c= line")?;
        let address = address_of(connection).ok_or_else(|| format!("c={connection}"))?;
        let origin = self.all('o').next().ok_or("no o= line")?;
        let (_, origin_address) = origin.split_once(" IN ").ok_or_else(|| format!("o={origin}"))?;
        let origin = address_of(&format!("IN {origin_address}")).ok_or_else(|| format!("o={origin}"))?;
        let path = self.attribute("path").ok_or("no a=path")?.to_owned();
        let media = MsrpMedia {
            address: SocketAddr::new(address, port),
            origin,
            transport,
            path,
            setup: self.attribute("setup").unwrap_or("active").to_owned(),
            file_selector: self.attribute("file-selector").map(str::to_owned),
        };
        media.check_path()?;
        Ok(media)
    }
}

impl MsrpMedia {
    /// R66: the nearest URI of the path stands for the same host, port and transport as `c=` and `m=`.
    fn check_path(&self) -> Result<(), String> {
        let nearest = self.path.split(' ').next().unwrap_or_default();
        let uri = super::msrp::MsrpUri::parse(nearest).ok_or_else(|| format!("a=path:{}", self.path))?;
        if uri.address != Some(self.address) || uri.transport != self.transport {
            return Err(format!("a=path:{} does not fit c= and m= ({})", self.path, self.address));
        }
        Ok(())
    }
}

fn address_of(connection: &str) -> Option<IpAddr> {
    let words: Vec<&str> = connection.split(' ').collect();
    match words[..] {
        ["IN", "IP4", address] => address.parse().ok().filter(IpAddr::is_ipv4),
        ["IN", "IP6", address] => address.parse().ok().filter(IpAddr::is_ipv6),
        _ => None,
    }
}

/// What goes into a description of one MSRP stream.
#[derive(Clone, Debug)]
pub struct MsrpDescription<'a> {
    /// User name of `o=`.
    pub username: &'a str,
    /// Session id of `o=`.
    pub session: u64,
    /// Where the stream is to go, as we claim.
    pub address: SocketAddr,
    /// TCP or TLS.
    pub transport: Transport,
    /// The `a=path` value.
    pub path: &'a str,
    /// The `a=setup` value.
    pub setup: &'a str,
    /// `sendrecv`, `sendonly`, `recvonly`.
    pub direction: &'a str,
    /// Further attribute lines, without `a=`.
    pub attributes: &'a [String],
}

impl MsrpDescription<'_> {
    /// Writes it, line by line as in figure 5-30.
    #[must_use]
    pub fn write(&self) -> String {
        let family = if self.address.is_ipv4() { "IP4" } else { "IP6" };
        let proto = match self.transport {
            Transport::Tls => "TCP/TLS/MSRP",
            Transport::Tcp | Transport::Udp => "TCP/MSRP",
        };
        let ip = self.address.ip();
        let mut out = format!(
            "v=0\r\no={} {} {} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
             m=message {} {proto} *\r\na=path:{}\r\na=setup:{}\r\na=accept-types:message/cpim text/plain application/octet-stream\r\na={}\r\n",
            self.username,
            self.session,
            self.session + 1,
            self.address.port(),
            self.path,
            self.setup,
            self.direction,
        );
        for attribute in self.attributes {
            out.push_str("a=");
            out.push_str(attribute);
            out.push_str("\r\n");
        }
        out
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn description() -> String {
        MsrpDescription {
            username: "-",
            session: 155,
            address: "10.66.139.77:22100".parse().unwrap(),
            transport: Transport::Tcp,
            path: "msrp://10.66.139.77:22100/22100;tcp",
            setup: "active",
            direction: "sendonly",
            attributes: &["file-selector:name:\"l.rar\" type:application/octet-stream size:10".to_owned()],
        }
        .write()
    }

    #[test]
    fn what_is_written_reads_back() {
        let media = Sdp::parse(description().as_bytes()).unwrap().msrp().unwrap();
        assert_eq!(media.address.to_string(), "10.66.139.77:22100");
        assert_eq!((media.setup.as_str(), media.transport), ("active", Transport::Tcp));
        assert!(media.file_selector.unwrap().ends_with("size:10"));
    }

    #[test]
    fn a_half_rewritten_description_is_seen() {
        for (from, to) in [
            ("c=IN IP4 10.66.139.77", "c=IN IP4 192.0.2.1"),
            ("m=message 22100", "m=message 22101"),
            ("a=path:msrp:", "a=path:msrps:"),
            ("TCP/MSRP", "TCP/TLS/MSRP"),
            ("c=IN IP4", "c=IN IP6"),
            ("m=message", "m=audio"),
        ] {
            let text = description().replacen(from, to, 1);
            assert!(Sdp::parse(text.as_bytes()).unwrap().msrp().is_err(), "{to}");
        }
        for (from, to) in [("s=-\r\n", ""), ("s=-\r\n", "s=-\n"), ("t=0 0", "t 0 0")] {
            let text = description().replacen(from, to, 1);
            assert!(Sdp::parse(text.as_bytes()).is_err(), "{to:?}");
        }
    }
}
