//! URIs and name-addrs, as far as the lab looks into them.

/// A SIP URI taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// `sip`, `sips` or `tel`.
    pub scheme: String,
    /// What stands before `@`; the number of a tel URI.
    pub user: String,
    /// The host without brackets changed; empty for tel.
    pub host: String,
    /// The port, if given.
    pub port: Option<u16>,
    /// With the leading `;`, or empty.
    pub params: String,
}

impl Uri {
    /// Reads `sip:user@host:port;params` or `tel:number;params`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains([' ', '\t', '<', '>', '"']) {
            return None;
        }
        let (scheme, rest) = text.split_once(':')?;
        let scheme = scheme.to_ascii_lowercase();
        let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
        let at = rest.find('@');
        let (user, rest) = match at {
            Some(at) => (rest.get(..at)?, rest.get(at + 1..)?),
            None => ("", rest),
        };
        let end = rest.find(';').unwrap_or(rest.len());
        let (place, params) = rest.split_at(end);
        if scheme == "tel" {
            return Some(Self {
                scheme,
                user: place.to_owned(),
                host: String::new(),
                port: None,
                params: params.to_owned(),
            });
        }
        let (host, port) = split_host_port(place)?;
        (!host.is_empty() && matches!(scheme.as_str(), "sip" | "sips")).then(|| Self {
            scheme,
            user: user.to_owned(),
            host: host.to_ascii_lowercase(),
            port,
            params: params.to_owned(),
        })
    }

    /// `host:port` as it is dialled: 5060 (5061 for sips) when no port is given.
    #[must_use]
    pub fn host_port(&self) -> String {
        let default = if self.scheme == "sips" { 5061 } else { 5060 };
        format!("{}:{}", self.host, self.port.unwrap_or(default))
    }

    /// The value of a URI parameter; `Some("")` for one without value.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        param(&self.params, name)
    }

    /// Scheme, user and host: what names an identity, whatever parameters follow.
    #[must_use]
    pub fn identity(&self) -> String {
        match self.scheme.as_str() {
            "tel" => format!("tel:{}", self.user),
            scheme => format!("{scheme}:{}@{}", self.user, self.host),
        }
    }
}

/// Splits `host:port`, `[v6]:port` or `host`.
#[must_use]
pub fn split_host_port(place: &str) -> Option<(&str, Option<u16>)> {
    let host_end = match place.strip_prefix('[') {
        Some(inside) => inside.find(']')? + 2,
        None => place.find(':').unwrap_or(place.len()),
    };
    let (host, rest) = place.split_at_checked(host_end)?;
    match rest.strip_prefix(':') {
        Some(port) => Some((host, Some(port.parse().ok()?))),
        None => rest.is_empty().then_some((host, None)),
    }
}

/// A parameter of a `;name=value;name` list; `Some("")` for one without value; quotes stay.
#[must_use]
pub fn param<'a>(params: &'a str, name: &str) -> Option<&'a str> {
    split_outside_quotes(params, ';')
        .into_iter()
        .map(|p| p.split_once('=').unwrap_or((p, "")))
        .find(|(n, _)| n.trim().eq_ignore_ascii_case(name))
        .map(|(_, v)| v.trim())
}

/// Splits at `separator` where it stands outside `"…"` and `<…>`; pieces are trimmed, none is empty.
#[must_use]
pub fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut quoted, mut escaped, mut depth) = (0, false, false, 0u32);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => depth += 1,
            '>' if !quoted => depth = depth.saturating_sub(1),
            c if c == separator && !quoted && depth == 0 => {
                pieces.push(text.get(start..at).unwrap_or_default().trim());
                start = at + separator.len_utf8();
            }
            _ => {}
        }
    }
    pieces.push(text.get(start..).unwrap_or_default().trim());
    pieces.retain(|p| !p.is_empty());
    pieces
}

/// `"display" <uri>;params`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// What stands inside `<>`, or before the first `;` if there are none.
    pub uri: String,
    /// What follows, with the leading `;`, or empty.
    pub params: String,
}

impl NameAddr {
    /// Reads one name-addr or addr-spec.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let name_end = match text.strip_prefix('"') {
            Some(inside) => inside.find('"')? + 2,
            None => 0,
        };
        let after_name = text.get(name_end..)?;
        if let Some(open) = after_name.find('<') {
            let inside = after_name.get(open + 1..)?;
            let close = inside.find('>')?;
            return Some(Self {
                uri: inside.get(..close)?.to_owned(),
                params: inside.get(close + 1..)?.trim().to_owned(),
            });
        }
        let end = text.find(';').unwrap_or(text.len());
        let (uri, params) = text.split_at(end);
        (!uri.is_empty()).then(|| Self { uri: uri.trim().to_owned(), params: params.to_owned() })
    }

    /// The `tag` parameter.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.param("tag")
    }

    /// A header parameter; `Some("")` for one without value.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        param(&self.params, name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn uris_of_the_specification() {
        for (text, user, host_port, params) in [
            ("sip:u@h.example", "u", "h.example:5060", ""),
            (
                "sip:user@10.1.2.3:16891;transport=tls;sip.instance=urn:gsma:imei:35",
                "user",
                "10.1.2.3:16891",
                ";transport=tls;sip.instance=urn:gsma:imei:35",
            ),
            ("sips:[2001:db8::1]:5061;lr", "", "[2001:db8::1]:5061", ";lr"),
            ("sips:h", "", "h:5061", ""),
        ] {
            let uri = Uri::parse(text).unwrap();
            assert_eq!(
                (uri.user.as_str(), uri.host_port().as_str(), uri.params.as_str()),
                (user, host_port, params)
            );
        }
        for wrong in ["sip:", "u@h", "sip: u@h", "sip:u@h:port", "http:x", "<sip:u@h>"] {
            assert_eq!(Uri::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Uri::parse("tel:+8613;phone-context=x").unwrap().identity(), "tel:+8613");
    }

    #[test]
    fn name_addrs_and_their_parameters() {
        let n = NameAddr::parse("\"A <b>\" <sip:a@b;lr;x=\"y\">;tag=1;expires=60").unwrap();
        assert_eq!(n.uri, "sip:a@b;lr;x=\"y\"");
        assert_eq!((n.tag(), n.param("expires"), n.param("q")), (Some("1"), Some("60"), None));
        assert_eq!(NameAddr::parse("sip:a@b;tag=2").unwrap().tag(), Some("2"));
        assert_eq!(NameAddr::parse("<sip:a@b"), None);
    }

    #[test]
    fn commas_inside_quotes_and_brackets_do_not_split() {
        assert_eq!(
            split_outside_quotes("<sip:a,b@c>;x=\"1,2\" , <sip:d@e>,", ','),
            ["<sip:a,b@c>;x=\"1,2\"", "<sip:d@e>"]
        );
    }
}
