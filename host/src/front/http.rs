//! The front for HTTP: a request that becomes a WebSocket is a call, any other one is forwarded, and the platform's
//! health check is answered. Only heads are read; what follows passes as it is.

use std::future::ready;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use openrtc_runtime::{Availability, Listening, WorkerView};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::hangup::Hangup;
use super::head::{self, HEAD_MAX, Head, Origin, Unread};
use super::{Leg, Reached, Unserved, reach};
use crate::program::Served;
use crate::programs::{Programs, Slot};
use crate::relay::{Early, Side, relay};

/// How long a request's head may take to arrive.
pub(crate) const HEAD: Duration = Duration::from_secs(10);
/// The longest head of an answer, in bytes.
const ANSWER_MAX: usize = 64 << 10;
/// What a head gets that is too long, or has too many headers.
const TOO_LARGE: &str = "431 Request Header Fields Too Large";
/// How long a caller who has its answer may take to hang up.
const PARTING: Duration = Duration::from_millis(300);

/// How the front speaks HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The path of the platform's health check; `None`: the program answers everything.
    pub(crate) health: Option<String>,
    /// The proxies in front, which say where a request comes from.
    pub(crate) proxies: Vec<IpAddr>,
    /// How long an exchange of which one direction is closed may be silent in the other.
    pub(crate) half_open: Duration,
}

/// A request whose head was read.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) head: Head,
    /// What came behind the head.
    rest: Vec<u8>,
}

impl Request {
    /// Reads a request's head. `None`: there is none to answer, or it was answered.
    pub(crate) async fn read(caller: &mut TcpStream, from: SocketAddr, settings: &Settings) -> Option<Self> {
        let trusted = settings.proxies.contains(&from.ip().to_canonical());
        let origin = if trusted { Origin::Proxied } else { Origin::Caller(from.ip().to_canonical()) };
        match timeout(HEAD, read_head(caller, HEAD_MAX)).await {
            Ok(Ok((bytes, Some(end)))) => match Head::read(&bytes[..end], origin) {
                Ok(head) => return Some(Self { head, rest: bytes[end..].to_vec() }),
                Err(Unread::NoHead) => answer(caller, "400 Bad Request", "this is no HTTP/1 request\n").await,
                Err(Unread::TooLarge) => answer(caller, TOO_LARGE, "the head has too many headers\n").await,
            },
            Ok(Ok((_, None))) => answer(caller, TOO_LARGE, "the head is too long\n").await,
            Ok(Err(_)) => {}
            Err(_) => answer(caller, "408 Request Timeout", "the head took too long\n").await,
        }
        None
    }

    /// What the program gets of it at first.
    fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.head.passed;
        bytes.extend_from_slice(&self.rest);
        bytes
    }
}

/// Reads until a head ends; where it does, or that it does not within `most` bytes.
pub(crate) async fn read_head(stream: &mut TcpStream, most: usize) -> io::Result<(Vec<u8>, Option<usize>)> {
    let mut bytes = Vec::with_capacity(1_024);
    loop {
        let before = bytes.len();
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = head::end(&bytes, before);
        if end.is_some() || bytes.len() > most {
            return Ok((bytes, end.filter(|end| *end <= most)));
        }
    }
}

/// Answers or forwards a request that is no call. `listening` keeps the host up until a program has it.
pub(crate) async fn serve(
    mut caller: TcpStream,
    request: Request,
    programs: &Programs,
    worker: &WorkerView,
    listening: Listening,
    settings: &Settings,
) {
    if request.head.is_safe && settings.health.as_deref() == Some(request.head.path.as_str()) {
        return match worker.availability() {
            Availability::Open => answer(&mut caller, "200 OK", "takes calls\n").await,
            other => answer(&mut caller, "503 Service Unavailable", &format!("takes no calls: {other:?}\n")).await,
        };
    }
    let reached = reach(programs, Served::Request).await;
    drop(listening);
    match reached {
        Ok((slot, program)) => {
            let early = Early { to_program: request.into_bytes(), to_caller: Vec::new() };
            // Once the program has closed, it has answered: what the caller still says is for nobody.
            relay(&caller, &program, early, settings.half_open, |_, _| {}, ready(true)).await;
            drop((program, slot));
            // The caller's own affair if it is gone.
            let _ = timeout(PARTING, part(&mut caller)).await;
        }
        Err(unserved) => refuse(&mut caller, &unserved.to_string()).await,
    }
}

/// Asks a program for a call. `None`: it said no, or nothing by then. The caller hears every answer but a yes.
pub(crate) async fn ask(
    mut caller: TcpStream,
    request: Request,
    programs: &Programs,
    half_open: Duration,
    by: Instant,
) -> Option<Leg> {
    let asked = async {
        let (slot, mut program) = reach(programs, Served::Call).await?;
        let broken = |error| Unserved::NotConnected { version: slot.version.to_string(), addr: slot.addr, error };
        let mut hangup = Hangup::default();
        hangup.saw(Side::Caller, &request.rest);
        // Nothing behind the head before the yes: for a program that says no, it would be another request.
        program.write_all(&request.head.passed).await.map_err(broken)?;
        let (answer, end) = read_head(&mut program, ANSWER_MAX).await.map_err(broken)?;
        let yes = end.filter(|end| head::status(&answer[..*end]) == Some(101));
        hangup.saw(Side::Program, yes.map_or(&[], |end| &answer[end..]));
        let early = Early { to_program: request.rest, to_caller: answer };
        Ok::<_, Unserved>((Reached { slot, program, early, hangup: Some(hangup.into()) }, yes.is_some()))
    };
    match timeout_at(by, asked).await {
        Ok(Ok((reached, true))) => Some(Leg { caller, program: Ok(reached) }),
        Ok(Ok((Reached { slot, program, early, .. }, false))) => {
            // For as long as the answer takes: the offer is not held for it.
            tokio::spawn(decline(caller, program, slot.decline(), early.to_caller, half_open));
            None
        }
        Ok(Err(unserved)) => {
            refuse(&mut caller, &unserved.to_string()).await;
            Some(Leg { caller, program: Err(unserved) })
        }
        Err(_) => {
            answer(&mut caller, "504 Gateway Timeout", "the program did not answer in time\n").await;
            None
        }
    }
}

/// Passes on an answer that is no yes, to its end. Nothing that the caller says from here on reaches the program: it
/// would pass for a request that the front has read.
async fn decline(mut caller: TcpStream, mut program: TcpStream, slot: Slot, answer: Vec<u8>, half_open: Duration) {
    let passed = async {
        program.shutdown().await?;
        caller.write_all(&answer).await?;
        tokio::io::copy(&mut program, &mut caller).await?;
        caller.shutdown().await
    };
    // The caller's own affair if it is gone.
    let _ = timeout(half_open, passed).await;
    drop(slot);
}

/// Says that no program takes the request, and that another try may do better.
pub(crate) async fn refuse(caller: &mut TcpStream, why: &str) {
    answer(caller, "503 Service Unavailable", &format!("{why}\n")).await;
}

/// The host's own answer, after which the connection is closed.
pub(crate) async fn answer(caller: &mut TcpStream, status: &str, body: &str) {
    let retry = if matches!(&status[..3], "503" | "504") { "Retry-After: 1\r\n" } else { "" };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n{retry}");
    let whole = format!("{head}Connection: close\r\n\r\n{body}");
    let said = async {
        caller.write_all(whole.as_bytes()).await?;
        part(caller).await
    };
    let _ = timeout(PARTING, said).await;
}

/// Closes a connection on which all is said. Closing with something unread would reset it, and could take the answer
/// with it.
async fn part(caller: &mut TcpStream) -> io::Result<()> {
    caller.shutdown().await?;
    let mut unread = [0; 4_096];
    while caller.read(&mut unread).await? > 0 {}
    Ok(())
}
