//! A request's head: found in the bytes, read as far as the front must know it, and passed on as it came but for the
//! headers that say where it comes from.

use std::net::IpAddr;

/// The longest head, in bytes.
pub(crate) const HEAD_MAX: usize = 32 << 10;
/// The most headers.
const HEADERS_MAX: usize = 128;

/// The headers that say where a request comes from, and all that begin with `x-forwarded-`. Whatever a caller writes
/// there is dropped.
const ORIGINS: [&str; 2] = ["forwarded", "x-real-ip"];
/// The headers that are about one connection, and not about what is behind it.
const CONNECTIONS: [&str; 4] = ["connection", "keep-alive", "proxy-connection", "upgrade"];

/// What a request is to the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It becomes a WebSocket: a call.
    Call,
    /// Anything else: one request, one answer.
    Plain,
}

/// Where the program is told that a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From this address: overwritten, never appended.
    Caller(IpAddr),
    /// As the proxy in front says, which is trusted.
    Proxied,
}

/// Why a head cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is none of HTTP/1, or two readers may understand it differently.
    NoHead,
    /// It has too many headers.
    TooLarge,
}

/// What of a head the front has to know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// Whether it asks for nothing but an answer: GET or HEAD.
    pub(crate) is_safe: bool,
    pub(crate) path: String,
    /// The head as the program gets it.
    pub(crate) passed: Vec<u8>,
}

/// Where the head ends in `bytes`, if it does; `from` is where the search may begin.
pub(crate) fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let from = from.saturating_sub(3);
    let found = bytes.get(from..)?.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(from + found + 4)
}

impl Head {
    /// Reads a whole head.
    pub(crate) fn read(bytes: &[u8], origin: Origin) -> Result<Self, Unread> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(bytes).map_err(|error| match error {
            httparse::Error::TooManyHeaders => Unread::TooLarge,
            _ => Unread::NoHead,
        })?;
        // A head that ends earlier for others than for the front would hide a second one.
        if parsed != httparse::Status::Complete(bytes.len()) || is_ambiguous(&*request.headers) {
            return Err(Unread::NoHead);
        }
        Self::of(&request, origin).ok_or(Unread::NoHead)
    }

    fn of(request: &httparse::Request<'_, '_>, origin: Origin) -> Option<Self> {
        let (method, path) = (request.method?, request.path?);
        let has = |name: &str, token: &str| {
            let named = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
            named
                .flat_map(|header| header.value.split(|byte| *byte == b','))
                .any(|value| std::str::from_utf8(value).is_ok_and(|value| value.trim().eq_ignore_ascii_case(token)))
        };
        let is_call = has("connection", "upgrade") && has("upgrade", "websocket");
        let kind = if is_call { Kind::Call } else { Kind::Plain };
        let mut passed = format!("{method} {path} HTTP/1.{}\r\n", request.version?).into_bytes();
        let is_one_of = |header: &httparse::Header<'_>, names: &[&str]| {
            names.iter().any(|name| header.name.eq_ignore_ascii_case(name))
        };
        for header in &*request.headers {
            let is_ours = matches!(origin, Origin::Caller(_)) && is_origin(header.name);
            if is_ours || (kind == Kind::Plain && is_one_of(header, &CONNECTIONS)) {
                continue;
            }
            for part in [header.name.as_bytes(), b": ", header.value, b"\r\n"] {
                passed.extend_from_slice(part);
            }
        }
        if let Origin::Caller(ip) = origin {
            let quoted = if ip.is_ipv6() { format!("\"[{ip}]\"") } else { ip.to_string() };
            let said =
                format!("X-Forwarded-For: {ip}\r\nX-Forwarded-Proto: http\r\nForwarded: for={quoted};proto=http\r\n");
            passed.extend_from_slice(said.as_bytes());
        }
        if kind == Kind::Plain {
            // One request for each connection: the next one may be another version's.
            passed.extend_from_slice(b"Connection: close\r\n");
        }
        passed.extend_from_slice(b"\r\n");
        let is_safe = matches!(method, "GET" | "HEAD");
        let path = path.split('?').next().unwrap_or_default().to_owned();
        Some(Self { kind, is_safe, path, passed })
    }
}

/// Whether a header says where a request comes from. Many programs take an underscore for a hyphen.
fn is_origin(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    ORIGINS.contains(&name.as_str()) || name.starts_with("x-forwarded-")
}

/// Whether two readers may disagree on how long the body is: it is given twice.
fn is_ambiguous(headers: &[httparse::Header<'_>]) -> bool {
    let count = |name: &str| headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).count();
    count("content-length") + count("transfer-encoding") > 1
}

/// What a request's whole head says under a name; the first, if there are several.
#[cfg(feature = "livekit")]
pub(crate) fn header(bytes: &[u8], name: &str) -> Option<String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    request.parse(bytes).ok()?;
    let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    String::from_utf8(found.value.to_vec()).ok()
}

/// The status of an answer's whole head; `None` if it is none.
pub(crate) fn status(bytes: &[u8]) -> Option<u16> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    if !response.parse(bytes).ok()?.is_complete() {
        return None;
    }
    response.code
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const CALLER: Origin = Origin::Caller(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));

    fn passed(head: &str, origin: Origin) -> (Kind, String) {
        let head = Head::read(head.as_bytes(), origin).expect("a head");
        (head.kind, String::from_utf8(head.passed).expect("text"))
    }

    #[test]
    fn a_websocket_is_a_call_and_its_head_passes_as_it_came() {
        let head = "GET /ws/a%20b?x=1&y HTTP/1.1\r\nHost: bot.example\r\nUpgrade: WebSocket\r\nConnection: keep-alive, \
                    Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\nsec-websocket-protocol:  a, b\r\n\
                    X-Forwarded-For: 10.0.0.1\r\nFORWARDED: for=10.0.0.1;proto=https\r\n\r\n";
        let (kind, passed) = passed(head, CALLER);
        assert_eq!(kind, Kind::Call);
        assert_eq!(
            passed,
            "GET /ws/a%20b?x=1&y HTTP/1.1\r\nHost: bot.example\r\nUpgrade: WebSocket\r\nConnection: keep-alive, \
             Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\nsec-websocket-protocol: a, b\r\n\
             X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nForwarded: for=192.0.2.7;proto=http\r\n\r\n"
        );
    }

    #[test]
    fn no_spelling_of_an_origin_passes() {
        let forged =
            "X_Forwarded_For: 6.6.6.6\r\nx-forwarded_proto: https\r\nX-Forwarded-Port: 443\r\nX-Real_IP: 6.6.6.6\r\n";
        let (_, passed) = passed(&format!("GET / HTTP/1.1\r\n{forged}\r\n"), CALLER);
        assert!(!passed.contains("6.6.6.6") && !passed.contains("443") && !passed.contains("https"), "{passed}");
    }

    #[test]
    fn what_two_readers_may_take_for_two_requests_is_refused() {
        for head in [
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\ncontent-length: 4\r\n\r\n",
            "GET / HTTP/1.1\n\nGET /admin HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(Head::read(head.as_bytes(), CALLER), Err(Unread::NoHead), "{head:?}");
        }
    }

    #[test]
    fn a_plain_request_is_the_only_one_of_its_connection() {
        let head = "POST /hook HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\
                    Upgrade: h2c\r\nContent-Length: 3\r\n\r\n";
        let (kind, passed) = passed(head, Origin::Proxied);
        assert_eq!(kind, Kind::Plain);
        assert_eq!(passed, "POST /hook HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\n");
    }

    #[test]
    fn a_proxy_that_is_trusted_says_where_a_request_comes_from() {
        let head = "GET / HTTP/1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n";
        let (_, passed) = passed(head, Origin::Proxied);
        assert!(passed.contains("X-Forwarded-Proto: https") && passed.contains("192.0.2.9"), "{passed}");
        assert!(!passed.contains("Forwarded: for"), "{passed}");
    }

    #[test]
    fn what_is_no_head_is_found_and_an_end_is_found_where_it_is() {
        for head in
            ["PRI * HTTP/2.0\r\n\r\n", "\u{16}\u{3}\u{1}\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/1.1\r\nA\r\n\r\n"]
        {
            assert_eq!(Head::read(head.as_bytes(), CALLER), Err(Unread::NoHead), "{head:?}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(Head::read(many.as_bytes(), CALLER), Err(Unread::TooLarge));
        let bytes = b"GET / HTTP/1.1\r\n\r\nrest";
        let found: Vec<_> = (0..=bytes.len()).map(|len| end(&bytes[..len], len.saturating_sub(1))).collect();
        assert_eq!(found.iter().position(Option::is_some), Some(18));
        assert_eq!(end(bytes, 0), Some(18));
        assert_eq!(status(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), Some(101));
        assert_eq!(status(b"HTTP/1.1 \r\n\r\n"), None);
    }
}
