//! Whether a trail is as it was written, and where it is not.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cell::OnceCell;
use core::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::{Signature, VerifyingKey};

use super::line::{Chain, DIGEST, DOMAIN, EVENT, Head, KEY, PREV, SIGNATURE, TIME, TIME_LEN};
use crate::hex;
use crate::membership::KeyId;

/// What is wrong, and with which record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, counted from 1.
    pub line: usize,
    /// The record's number, or the one it should have.
    pub record: u64,
    /// What is wrong there.
    pub kind: FaultKind,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It is not what the record after it followed, or not what was signed.
    Altered,
    /// Records before it are missing; the first of them had this number.
    Missing {
        /// The first missing record's number.
        first: u64,
        /// How many.
        count: u64,
    },
    /// It stands in another place than it was written in.
    Reordered,
    /// The line ends in the middle.
    Truncated,
    /// It is signed by a key that was not given.
    UnknownKey(KeyId),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, record, kind } = self;
        write!(f, "line {line}, record {record}: {kind}")
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered => f.write_str("it was altered"),
            Self::Missing { first, count } => write!(f, "{count} records from {first} on are missing before it"),
            Self::Reordered => f.write_str("it was moved here from another place"),
            Self::Truncated => f.write_str("it is cut short"),
            Self::UnknownKey(key) => write!(f, "it is signed by key {key}, which was not given"),
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// Lines read.
    pub records: usize,
    /// What is wrong, in the order of the lines; empty when nothing is.
    pub faults: Vec<Fault>,
    /// Signatures that hold.
    pub signatures: usize,
    /// The last line up to which a signature vouches for everything before it.
    pub vouched: usize,
    /// Whether the last record closes the trail. One that is not closed is of a worker that still runs, or that ended
    /// without a word; or its end was cut off.
    pub closed: bool,
    /// Where the next record would go.
    pub end: Chain,
}

/// Checks lines as they lie in a file, or in several that follow each other. `start` is what the first line must
/// follow; without it the first line is believed as to where it stands.
#[must_use]
pub fn verify(text: &[u8], start: Option<Chain>, keys: &[VerifyingKey]) -> Findings {
    let mut report = Findings {
        records: 0,
        faults: Vec::new(),
        signatures: 0,
        vouched: 0,
        closed: false,
        end: start.unwrap_or_default(),
    };
    let numbers = OnceCell::new();
    let mut place = start;
    let mut expected = start.unwrap_or_default().records + 1;
    let mut lines = lines(text).map(|raw| (raw, parse(raw)));
    let mut next = lines.next();
    while let Some((raw, parsed)) = next.take() {
        next = lines.next();
        report.records += 1;
        report.closed = false;
        let line = report.records;
        let Some(parsed) = parsed else {
            let kind = if raw.ends_with(b"}\n") { FaultKind::Altered } else { FaultKind::Truncated };
            report.faults.push(Fault { line, record: expected, kind });
            place = None;
            expected += 1;
            continue;
        };
        let head = Head::of(parsed.line);
        let mut records = parsed.seq;
        if let Some(place) = place {
            // Whether the line is as it was written: the one after it tells, or its own signature.
            let intact = || match &next {
                Some((_, after)) => after.as_ref().is_some_and(|after| after.prev == Some(head)),
                None => parsed.is_sealed && parsed.signed.as_ref().is_none_or(|signed| signed.holds(keys) != Ok(false)),
            };
            let elsewhere = |number| numbers.get_or_init(|| all_numbers(text)).contains(&number);
            let fault = judge(line, place, &parsed, intact, elsewhere);
            if fault.is_some_and(|fault| fault.line == line && fault.kind == FaultKind::Altered) {
                records = expected;
            }
            report.faults.extend(fault);
        }
        report.end = Chain { records, head };
        expected = records + 1;
        place = Some(report.end);
        report.closed = parsed.event == b"audit.closed";
        if !parsed.is_sealed {
            report.faults.push(Fault { line, record: records, kind: FaultKind::Altered });
        }
        report.judge_signature(line, &parsed, keys);
    }
    report.faults.dedup();
    report
}

/// The number of the record that a line, newline included, holds; none if it holds no record.
#[must_use]
pub fn number_of(line: &[u8]) -> Option<u64> {
    parse(line).map(|parsed| parsed.seq)
}

/// What each derived record says, without its place in the chain: to be compared with what the journal leads to. With
/// its line, counted from 1.
pub fn bodies(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let parsed = lines(text).zip(1..).filter_map(|(raw, line)| Some((line, parse(raw)?)));
    parsed.filter(|(_, parsed)| !parsed.event.starts_with(b"audit.")).map(|(line, parsed)| (line, parsed.body))
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

fn all_numbers(text: &[u8]) -> BTreeSet<u64> {
    lines(text).filter_map(parse).map(|parsed| parsed.seq).collect()
}

impl Findings {
    fn judge_signature(&mut self, line: usize, parsed: &Parsed<'_>, keys: &[VerifyingKey]) {
        let Some(signed) = parsed.signed.as_ref().filter(|_| !keys.is_empty()) else { return };
        match signed.holds(keys) {
            Ok(true) => {
                self.signatures += 1;
                if self.faults.is_empty() {
                    self.vouched = line;
                }
            }
            Ok(false) => self.faults.push(Fault { line, record: self.end.records, kind: FaultKind::Altered }),
            Err(key) => self.faults.push(Fault { line, record: self.end.records, kind: FaultKind::UnknownKey(key) }),
        }
    }
}

/// The fault, if there is one, between the record that `place` names and this one. `intact`: the record after this one
/// follows it as it is, so this one was not altered after it was written. `elsewhere`: whether some record has this
/// number.
fn judge(
    line: usize,
    place: Chain,
    parsed: &Parsed<'_>,
    intact: impl Fn() -> bool,
    elsewhere: impl Fn(u64) -> bool,
) -> Option<Fault> {
    let (before, expected) = (place.records, place.records + 1);
    let follows = parsed.prev == Some(place.head);
    let kind = match parsed.seq {
        seq if seq == expected && follows => return None,
        // Either this link was altered or the record it links to; the record after this one tells which.
        seq if seq == expected && line > 1 && intact() => {
            return Some(Fault { line: line - 1, record: before, kind: FaultKind::Altered });
        }
        seq if follows || seq == expected => {
            return Some(Fault { line, record: expected, kind: FaultKind::Altered });
        }
        seq if seq > expected && !elsewhere(expected) => FaultKind::Missing { first: expected, count: seq - expected },
        _ => FaultKind::Reordered,
    };
    Some(Fault { line, record: parsed.seq, kind })
}

struct Parsed<'a> {
    /// The line without its newline.
    line: &'a [u8],
    seq: u64,
    event: &'a [u8],
    body: &'a [u8],
    prev: Option<Head>,
    signed: Option<Signed<'a>>,
    /// Whether its digest of itself, if it bears one, is right.
    is_sealed: bool,
}

struct Signed<'a> {
    key: KeyId,
    message: &'a [u8],
    signature: Signature,
}

impl Signed<'_> {
    /// Whether the signature holds; an error names the key that would be needed to tell.
    fn holds(&self, keys: &[VerifyingKey]) -> Result<bool, KeyId> {
        let key = keys.iter().find(|key| KeyId::of(key) == self.key).ok_or(self.key)?;
        Ok(key.verify_strict(&[DOMAIN, self.message].concat(), &self.signature).is_ok())
    }
}

fn parse(raw: &[u8]) -> Option<Parsed<'_>> {
    let line = raw.strip_suffix(b"\n")?;
    let (stated, is_sealed) = without_digest(line.strip_suffix(b"\"}")?);
    let rest = stated.strip_prefix(b"{\"seq\":")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    // No trail is so long that a record could not follow.
    let seq = core::str::from_utf8(&rest[..digits]).ok()?.parse().ok().filter(|seq| *seq < u64::MAX)?;
    let end = find_link(rest)?;
    let body = rest.get(digits..end)?;
    let after = &rest[end + PREV.len()..];
    let prev = hex::read(after.get(..64)?).map(Head);
    let signed = match after.get(64..)? {
        b"" => None,
        tail => Some(parse_signed(stated, tail)?),
    };
    Some(Parsed { line, seq, event: parse_event(body)?, body, prev, signed, is_sealed })
}

/// What a line states before its digest of itself, and whether that is right. A line without one is not judged by it.
fn without_digest(content: &[u8]) -> (&[u8], bool) {
    let Some((stated, tail)) = content.len().checked_sub(DIGEST.len() + 64).map(|at| content.split_at(at)) else {
        return (content, true);
    };
    match tail.strip_prefix(DIGEST) {
        Some(digest) => (stated, hex::read(digest).map(Head) == Some(Head::of(stated))),
        None => (content, true),
    }
}

/// The name after the time, which is always equally long.
fn parse_event(body: &[u8]) -> Option<&[u8]> {
    let rest = body.strip_prefix(TIME)?.get(TIME_LEN..)?.strip_prefix(EVENT)?;
    rest.split(|byte| *byte == b'"').next()
}

/// `stated` is the line up to its signature's end, and `tail` that from after the link on.
fn parse_signed<'a>(stated: &'a [u8], tail: &'a [u8]) -> Option<Signed<'a>> {
    let tail = tail.strip_prefix(KEY)?;
    let (key, tail) = tail.split_at_checked(2 * KeyId::LEN)?;
    let text = tail.strip_prefix(SIGNATURE)?;
    let mut bytes = [0; 64];
    let read = Base64UrlUnpadded::decode(text, &mut bytes).ok()?.len();
    let message = stated.get(..stated.len() - SIGNATURE.len() - text.len())?;
    let key = KeyId::from_bytes(hex::read(key)?);
    (read == 64).then(|| Signed { key, message, signature: Signature::from_bytes(&bytes) })
}

/// Where the link begins: at one place in an unsigned line, further ahead in a signed one.
fn find_link(rest: &[u8]) -> Option<usize> {
    let usual = rest.len().checked_sub(PREV.len() + 64)?;
    if rest[usual..].starts_with(PREV) {
        return Some(usual);
    }
    rest[..usual].windows(PREV.len()).rposition(|window| window == PREV)
}
