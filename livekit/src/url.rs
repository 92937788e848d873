//! The address of a LiveKit server.

use std::fmt;

/// Where a LiveKit server is: `ws://` or `wss://`, a host, maybe a port, maybe a path in front of its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    tls: bool,
    host: String,
    port: u16,
    /// Begins with `/` if there is one, and does not end with one.
    path: String,
}

/// A text that is no server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadUrl {
    text: String,
    fault: &'static str,
}

impl fmt::Display for BadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, fault } = self;
        write!(
            f,
            "the LiveKit URL {text:?} {fault}: write it like wss://my-project.livekit.cloud or ws://127.0.0.1:7880"
        )
    }
}

impl std::error::Error for BadUrl {}

impl ServerUrl {
    /// Reads an address. `http` and `https` are taken for `ws` and `wss`, as LiveKit's own libraries do.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let bad = |fault| BadUrl { text: shown(text), fault };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("has no scheme"))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "ws" | "http" => false,
            "wss" | "https" => true,
            _ => return Err(bad("has a scheme that is neither ws, wss, http nor https")),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(bad("has a user name in it"));
        }
        if path.contains(['?', '#']) {
            return Err(bad("has a query or a fragment"));
        }
        let (host, port) = split_port(authority).ok_or_else(|| bad("has a port that is no number"))?;
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
        if host.is_empty() || !host.bytes().all(legal) {
            return Err(bad("has no valid host name"));
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad("has a path with characters that must be escaped"));
        }
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { tls, host: host.to_owned(), port, path: path.trim_end_matches('/').to_owned() })
    }

    /// The address of an endpoint over WebSocket.
    pub(crate) fn socket(&self, endpoint: &str) -> String {
        let scheme = if self.tls { "wss" } else { "ws" };
        format!("{scheme}://{}:{}{}{endpoint}", self.host, self.port, self.path)
    }
}

#[cfg(feature = "worker")]
impl ServerUrl {
    /// The address as requests over HTTP use it, without a `/` at its end unless it has no path.
    pub(crate) fn http(&self) -> Result<openrtc_runtime::http::Url, BadUrl> {
        let scheme = if self.tls { "https" } else { "http" };
        let text = format!("{scheme}://{}:{}{}", self.host, self.port, self.path);
        text.parse().map_err(|_| BadUrl { text: shown(&text), fault: "has no valid host name" })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.socket(""))
    }
}

/// The host, and the port if there is one. The colons of an IPv6 address stand in brackets.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let colon = authority.rfind(':').filter(|colon| !authority[*colon..].contains(']'));
    match colon {
        Some(colon) => Some((&authority[..colon], Some(authority[colon + 1..].parse().ok()?))),
        None => Some((authority, None)),
    }
}

/// A URL as an error shows it: short, and without what may be a password.
fn shown(text: &str) -> String {
    let text: String = text.chars().take(100).collect();
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}://…{}", &text[..scheme], &text[at..]),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_keep_their_path() {
        for (text, socket) in [
            ("ws://127.0.0.1:7880", "ws://127.0.0.1:7880/agent"),
            ("http://localhost", "ws://localhost:80/agent"),
            ("https://a.livekit.cloud/", "wss://a.livekit.cloud:443/agent"),
            ("wss://host/base/path/", "wss://host:443/base/path/agent"),
            ("ws://[::1]:7880", "ws://[::1]:7880/agent"),
        ] {
            assert_eq!(ServerUrl::parse(text).expect(text).socket("/agent"), socket);
        }
    }

    #[test]
    #[cfg(feature = "worker")]
    fn requests_go_to_the_same_place_over_http() {
        for (text, http) in [
            ("ws://127.0.0.1:7880", "http://127.0.0.1:7880/"),
            ("https://a.livekit.cloud/", "https://a.livekit.cloud/"),
            ("wss://host:444/base/path/", "https://host:444/base/path"),
            ("ws://[::1]:7880", "http://[::1]:7880/"),
        ] {
            assert_eq!(ServerUrl::parse(text).expect(text).http().expect(text).as_str(), http);
        }
        let error = ServerUrl::parse("ws://[::1").expect("its characters are legal").http().expect_err("no host");
        assert!(error.to_string().contains("no valid host"), "{error}");
    }

    #[test]
    fn what_is_no_address_is_named_with_the_rule_and_without_a_password() {
        for (text, says) in [
            ("garbage", "no scheme"),
            ("ftp://host", "scheme that is neither"),
            ("ws://", "no valid host"),
            ("ws://ho st", "no valid host"),
            ("ws://host:port", "no number"),
            ("ws://host:99999", "no number"),
            ("ws://host?x=1", "query"),
            ("ws://key:secret@host", "user name"),
        ] {
            let error = ServerUrl::parse(text).expect_err(text).to_string();
            assert!(error.contains(says) && error.contains("wss://"), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
