//! The host that a URL names, and whether it is this machine.

use std::net::IpAddr;

use reqwest::Url;

/// The host as the system knows it: an IPv6 address without its brackets. Empty if the URL has none.
pub(crate) fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_matches(['[', ']'])
}

/// Whether a URL names this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = host(url);
    match host.parse::<IpAddr>() {
        Ok(addr) => addr.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}
