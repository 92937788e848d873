//! When a program is ready: when a process of its own listens on the port that it was given. A listener of somebody
//! else's on that port, or an answer on it, says nothing about the program.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use openrtc_fleet::child::session::{Process, members, pids};
use openrtc_fleet::child::{Child, Ending};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::stray::strays;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);
/// Where the ports are that the system hands out, if it does not say.
const EPHEMERAL: (u16, u16) = (32_768, 60_999);
/// Ports below are those of well-known services.
const LOWEST: u16 = 10_000;
/// How many ports are tried before there is none.
const TRIES: u32 = 64;

/// Why a program is not ready.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotReady {
    /// It cannot be started.
    #[error("it cannot be started: {0}")]
    NotStarted(String),
    /// It ended before it listened.
    #[error("it ended before it was ready: {0}")]
    Ended(Ending),
    /// Its first process ended and left others behind.
    #[error("it went to the background ({0}): run it in the foreground, so that its end can be seen")]
    WentToBackground(String),
    /// A process of its own listens where nobody would see its end.
    #[error(
        "its process {0} listens, but has left the program's session (setsid, a daemon): run it in the foreground, so \
         that its end can be seen"
    )]
    LeftSession(String),
    /// Another process has its port.
    #[error("port {port} belongs to {owner}, not to it")]
    Foreign {
        /// The port.
        port: u16,
        /// The process that listens there, as far as the system tells.
        owner: String,
    },
    /// A LiveKit worker ended before it had registered, and another one has the port of its health server.
    #[cfg(feature = "livekit")]
    #[error(
        "it ended before it was ready: {ending} (something has port {port}, where livekit-agents opens its health \
         server: have it take the one in PORT, with AgentServer(port=int(os.environ[\"PORT\"])) in Python)"
    )]
    HealthPort {
        /// How it ended.
        ending: Ending,
        /// The port.
        port: u16,
    },
    /// It registers as what the host is not.
    #[cfg(feature = "livekit")]
    #[error("{0}")]
    Refused(String),
    /// It took too long to register.
    #[cfg(feature = "livekit")]
    #[error("it is not ready after {after:?}: it has not registered as a worker at {url} (it is told in LIVEKIT_URL)")]
    Unregistered {
        /// How long it was given.
        after: Duration,
        /// Where it should have.
        url: String,
    },
    /// It took too long.
    #[error("it is not ready after {after:?}: nothing of it listens on port {port} (it is told the port in PORT)")]
    TooLate {
        /// How long it was given.
        after: Duration,
        /// The port.
        port: u16,
    },
}

/// A port that nobody has now, and that the system gives to no connection meanwhile.
pub(crate) fn free_port() -> io::Result<u16> {
    let (low, high) = ephemeral();
    for _ in 0..TRIES {
        let port = LOWEST + u16::try_from(getrandom::u32()? % u32::from(u16::MAX - LOWEST)).unwrap_or_default();
        if (low..=high).contains(&port) {
            continue;
        }
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no free port was found for the program"))
}

fn ephemeral() -> (u16, u16) {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut bounds = range.split_whitespace().map(str::parse);
    match (bounds.next(), bounds.next()) {
        (Some(Ok(low)), Some(Ok(high))) => (low, high),
        _ => EPHEMERAL,
    }
}

/// Waits until the program listens on `port`, and returns where it is reached.
pub(crate) async fn listening(child: &Child, port: u16, within: Duration) -> Result<SocketAddr, NotReady> {
    let deadline = Instant::now() + within;
    loop {
        // First: what listens then was left behind by a process that has gone.
        if child.is_ending() {
            return Err(ended(child, port).await);
        }
        let session = child.pid();
        // It looks at every process there is: not on a thread that calls need.
        let looked = spawn_blocking(move || look(session, port)).await;
        match looked.unwrap_or(Look::Nobody) {
            Look::Own(addr) => return Ok(addr),
            Look::Foreign(owner) => return Err(foreign(child, port, owner).await),
            Look::Nobody => {}
        }
        tokio::select! {
            biased;
            _ = child.left() => continue,
            () = sleep(LOOK) => {}
        }
        if Instant::now() >= deadline {
            return Err(NotReady::TooLate { after: within, port });
        }
    }
}

/// Whether a process of the program listens on `port`.
pub(crate) async fn listens(child: &Child, port: u16) -> bool {
    let session = child.pid();
    spawn_blocking(move || matches!(look(session, port), Look::Own(_))).await.unwrap_or(true)
}

/// Why a program whose first process is gone is not ready.
async fn ended(child: &Child, port: u16) -> NotReady {
    let ending = child.left().await;
    let child = child.clone();
    let looked = spawn_blocking(move || [members(child.pid()), strays(&child, &told(port))].concat()).await;
    let left: Vec<_> = looked.unwrap_or_default().iter().map(ToString::to_string).collect();
    if left.is_empty() { NotReady::Ended(ending) } else { NotReady::WentToBackground(left.join(", ")) }
}

/// The variable that names the port.
fn told(port: u16) -> String {
    format!("PORT={port}")
}

/// Whose the port is, if not the program's session's: a daemon that it started, or a stranger.
async fn foreign(child: &Child, port: u16, owner: String) -> NotReady {
    let child = child.clone();
    let left = spawn_blocking(move || strays(&child, &told(port))).await.unwrap_or_default();
    match left.iter().find(|process| process.to_string() == owner) {
        Some(process) => NotReady::LeftSession(process.to_string()),
        None => NotReady::Foreign { port, owner },
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Look {
    Nobody,
    Own(SocketAddr),
    Foreign(String),
}

/// Who listens on a port: the session's own processes, or somebody else.
fn look(session: i32, port: u16) -> Look {
    let Some(found) = listeners(port) else { return connects(port) };
    if found.is_empty() {
        return Look::Nobody;
    }
    let own = members(session);
    let readable = own.iter().filter_map(|process| sockets(process.pid)).collect::<Vec<_>>();
    if readable.is_empty() {
        // Not allowed to look: what answers has to do.
        return connects(port);
    }
    let mine = found.iter().filter(|(_, inode)| readable.iter().any(|sockets| sockets.contains(inode)));
    // The address that every program has is preferred to the one of the newer protocol.
    match mine.map(|(ip, _)| *ip).min() {
        Some(ip) => Look::Own(SocketAddr::new(ip, port)),
        None => Look::Foreign(owner(found[0].1)),
    }
}

/// Where a program that cannot be looked at answers.
fn connects(port: u16) -> Look {
    let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let answers = loopback.into_iter().map(|ip| SocketAddr::new(ip, port)).find(|addr| {
        // Loopback answers at once, or not at all.
        TcpStream::connect_timeout(addr, LOOK).is_ok()
    });
    answers.map_or(Look::Nobody, Look::Own)
}

/// The listening sockets on a port by the loopback address that reaches them; `None` where the system does not tell.
fn listeners(port: u16) -> Option<Vec<(IpAddr, u64)>> {
    let four = fs::read_to_string("/proc/net/tcp").ok()?;
    // A system without the newer protocol has no such file.
    let six = fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    Some(four.lines().chain(six.lines()).filter_map(|line| listener(line, port)).collect())
}

/// Reads a line of `/proc/net/tcp` or `/proc/net/tcp6`.
fn listener(line: &str, port: u16) -> Option<(IpAddr, u64)> {
    const LISTENS: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (ip, at) = fields.get(1)?.split_once(':')?;
    if u16::from_str_radix(at, 16) != Ok(port) || *fields.get(3)? != LISTENS {
        return None;
    }
    let inode = fields.get(9)?.parse().ok()?;
    let reached: IpAddr = match ip {
        // Everywhere, in either protocol, and 127.0.0.1, in either notation.
        "00000000" | "0100007F" | "00000000000000000000000000000000" | "0000000000000000FFFF00000100007F" => {
            Ipv4Addr::LOCALHOST.into()
        }
        "00000000000000000000000001000000" => Ipv6Addr::LOCALHOST.into(),
        _ => return None,
    };
    Some((reached, inode))
}

/// The sockets that a process has open; `None` if one may not look.
fn sockets(pid: i32) -> Option<Vec<u64>> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let links = open.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    Some(links.filter_map(|link| inode(&link)).collect())
}

fn inode(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Whose a socket is, in words.
fn owner(socket: u64) -> String {
    let found = pids().find(|pid| sockets(*pid).is_some_and(|sockets| sockets.contains(&socket)));
    found.and_then(Process::of).map_or_else(|| "a process of another user".to_owned(), |process| process.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernels_table_tells_where_a_listener_is_reached() {
        let row = |ip: &str, state: &str| {
            format!("  0: {ip}:1F90 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000  0 4711 1 0")
        };
        let four = IpAddr::from(Ipv4Addr::LOCALHOST);
        for (ip, reached) in [
            ("00000000", Some(four)),
            ("0100007F", Some(four)),
            ("00000000000000000000000000000000", Some(four)),
            ("00000000000000000000000001000000", Some(Ipv6Addr::LOCALHOST.into())),
            ("0200A8C0", None),
        ] {
            assert_eq!(listener(&row(ip, "0A"), 8_080), reached.map(|ip| (ip, 4711)), "{ip}");
        }
        assert_eq!(listener(&row("0100007F", "01"), 8_080), None, "a connection");
        assert_eq!(listener(&row("0100007F", "0A"), 8_081), None, "another port");
        assert_eq!(listener("  sl  local_address rem_address", 8_080), None);
    }

    #[test]
    fn a_listener_of_this_process_is_not_another_sessions() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let me = Process::of(std::process::id().cast_signed()).expect("it runs");
        assert_eq!(look(me.session, addr.port()), Look::Own(addr));
        drop(listener);
        assert_eq!(look(me.session, addr.port()), Look::Nobody);
    }

    #[test]
    fn the_ports_given_out_are_none_that_the_system_hands_out() {
        let (low, high) = ephemeral();
        for _ in 0..16 {
            let port = free_port().expect("a port");
            assert!(port >= LOWEST && !(low..=high).contains(&port), "{port}");
        }
    }
}
