//! Records as lines of a chain.

use alloc::vec::Vec;
use core::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};

use super::derive::{Draft, EventName, EventResult, Target};
use crate::hex::{self, Hex};
use crate::id::{Actor, Identity, Seq};
use crate::membership::KeyId;
use crate::time::Instant;

/// The beginning of every signed text, so that a signature over a trail is valid for nothing else.
pub(super) const DOMAIN: &[u8] = b"openrtc audit v1\0";

/// The beginning of a line's content: the time, which has a fixed length, and the event.
pub(super) const TIME: &[u8] = b",\"time\":\"";
pub(super) const TIME_LEN: usize = "2025-11-23T08:00:00.000000Z".len();
pub(super) const EVENT: &[u8] = b"\",\"event\":\"";

/// The separators between a line's content and its link, and between a signed line and its signature.
pub(super) const PREV: &[u8] = b",\"prev\":\"";
pub(super) const KEY: &[u8] = b"\",\"key\":\"";
pub(super) const SIGNATURE: &[u8] = b"\",\"signature\":\"";

/// The separator between a closing record and its own digest.
pub(super) const DIGEST: &[u8] = b"\",\"digest\":\"";

/// A line's SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Head(pub [u8; 32]);

impl Head {
    /// What the first record of a trail follows.
    pub const START: Self = Self([0; 32]);

    pub(super) fn of(line: &[u8]) -> Self {
        Self(Sha256::digest(line).into())
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Hex(&self.0), f)
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The end of a trail: where the next record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Records so far.
    pub records: u64,
    /// The last one's hash.
    pub head: Head,
}

impl Default for Chain {
    fn default() -> Self {
        Self { records: 0, head: Head::START }
    }
}

impl Chain {
    /// Appends a record's line, newline included, to `out`.
    pub fn append(&mut self, identity: &Identity, draft: &Draft, out: &mut Vec<u8>) {
        let start = self.open(identity, draft, out);
        out.extend_from_slice(b"\"}");
        self.close(start, out);
    }

    /// Appends the closing record of a trail that nobody signs.
    pub fn close_unsigned(&mut self, identity: &Identity, at: Instant, entry: Seq, out: &mut Vec<u8>) {
        let start = self.open(identity, &self.mark(EventName::AuditClosed, at, entry, "unsigned"), out);
        append_digest(start, out);
        out.extend_from_slice(b"\"}");
        self.close(start, out);
    }

    /// Appends a record that somebody else did this to the trail's file: `renamed`, `truncated` or `written`.
    pub fn disturbed(&mut self, identity: &Identity, at: Instant, entry: Seq, how: &'static str, out: &mut Vec<u8>) {
        let mark = self.mark(EventName::AuditDisturbed, at, entry, how);
        self.append(identity, &Draft { result: EventResult::Failure, ..mark }, out);
    }

    /// Appends a signed record: `AuditCheckpoint`, or `AuditClosed` when nothing follows.
    pub fn sign(
        &mut self,
        identity: &Identity,
        event: EventName,
        at: Instant,
        entry: Seq,
        key: &SigningKey,
        out: &mut Vec<u8>,
    ) {
        let start = self.open(identity, &self.mark(event, at, entry, "signed"), out);
        out.extend_from_slice(KEY);
        push(out, format_args!("{}", KeyId::of(&key.verifying_key())));
        let signature = key.sign(&[DOMAIN, &out[start..]].concat());
        out.extend_from_slice(SIGNATURE);
        out.extend_from_slice(Base64UrlUnpadded::encode_string(&signature.to_bytes()).as_bytes());
        if event == EventName::AuditClosed {
            append_digest(start, out);
        }
        out.extend_from_slice(b"\"}");
        self.close(start, out);
    }

    /// A record about the trail itself.
    fn mark(&self, event: EventName, at: Instant, entry: Seq, reason: &'static str) -> Draft {
        Draft {
            at,
            event,
            entry,
            actor: const { Actor::from_static("runtime") },
            target: Target::Trail,
            result: EventResult::Success,
            reason,
            count: self.records,
        }
    }

    fn open(&mut self, identity: &Identity, draft: &Draft, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        self.records += 1;
        out.extend_from_slice(b"{\"seq\":");
        number(out, self.records);
        body(identity, draft, out);
        out.extend_from_slice(PREV);
        hex::append(&self.head.0, out);
        start
    }

    fn close(&mut self, start: usize, out: &mut Vec<u8>) {
        self.head = Head::of(&out[start..]);
        out.push(b'\n');
    }
}

/// No record follows a closing one and tells by its link whether it was altered, so it bears a digest of itself.
fn append_digest(start: usize, out: &mut Vec<u8>) {
    let digest = Head::of(&out[start..]);
    out.extend_from_slice(DIGEST);
    hex::append(&digest.0, out);
}

/// Appends what a record says, without its place in a chain: all that a journal can be compared with.
pub fn body(identity: &Identity, draft: &Draft, out: &mut Vec<u8>) {
    let Draft { at, event, entry, actor, target, result, reason, count } = draft;
    out.extend_from_slice(TIME);
    rfc3339(out, *at);
    text(out, EVENT, event.as_str());
    text(out, b"\",\"deployment\":\"", identity.deployment.as_str());
    text(out, b"\",\"version\":\"", identity.version.as_str());
    text(out, b"\",\"worker\":\"", identity.worker.as_str());
    out.extend_from_slice(b"\",\"incarnation\":");
    number(out, identity.incarnation.get());
    out.extend_from_slice(b",\"entry\":");
    number(out, entry.get());
    text(out, b",\"actor\":\"", actor.as_str());
    match target {
        Target::Call(id) => text(out, b"\",\"target\":\"call:", id.as_str()),
        Target::Trail => text(out, b"\",\"target\":\"", "trail"),
        Target::Worker => text(out, b"\",\"target\":\"", "worker"),
    }
    text(out, b"\",\"result\":\"", result.as_str());
    text(out, b"\",\"reason\":\"", reason);
    out.extend_from_slice(b"\",\"count\":");
    number(out, *count);
}

/// Names are printable ASCII, so only these two need an escape in JSON.
fn text(out: &mut Vec<u8>, key: &[u8], value: &str) {
    out.extend_from_slice(key);
    for byte in value.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
}

fn number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [b'0'; 20];
    let mut rest = number;
    let mut first = digits.len();
    while rest > 0 || first == digits.len() {
        first -= 1;
        digits[first] = digit(rest % 10);
        rest /= 10;
    }
    out.extend_from_slice(&digits[first..]);
}

fn padded<const WIDTH: usize>(out: &mut Vec<u8>, number: u64, end: u8) {
    let mut digits = [b'0'; WIDTH];
    let mut rest = number;
    for place in digits.iter_mut().rev() {
        *place = digit(rest % 10);
        rest /= 10;
    }
    out.extend_from_slice(&digits);
    out.push(end);
}

fn digit(value: u64) -> u8 {
    b"0123456789"[usize::try_from(value % 10).unwrap_or_default()]
}

/// UTC with microseconds. The date is H. Hinnant's `civil_from_days` for days since 1970.
fn rfc3339(out: &mut Vec<u8>, at: Instant) {
    let (seconds, micros) = (at.as_micros() / 1_000_000, at.as_micros() % 1_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    padded::<4>(out, year, b'-');
    padded::<2>(out, month, b'-');
    padded::<2>(out, day, b'T');
    padded::<2>(out, second / 3_600, b':');
    padded::<2>(out, second / 60 % 60, b':');
    padded::<2>(out, second % 60, b'.');
    padded::<6>(out, micros, b'Z');
}

fn push(out: &mut Vec<u8>, arguments: fmt::Arguments<'_>) {
    struct Bytes<'a>(&'a mut Vec<u8>);

    impl fmt::Write for Bytes<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }

    // Writing to memory cannot fail.
    let _ = fmt::write(&mut Bytes(out), arguments);
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn written(at: Instant) -> Vec<u8> {
        let mut out = Vec::new();
        rfc3339(&mut out, at);
        out
    }

    #[test]
    fn six_hundred_years_of_days_are_those_of_the_calendar() {
        let mut day = 0;
        for year in 1970..2570 {
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let lengths = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(lengths) {
                for date in 1..=length {
                    let text = written(Instant::from_micros(day * 86_400_000_000));
                    assert_eq!(text, format!("{year}-{month:02}-{date:02}T00:00:00.000000Z").as_bytes());
                    day += 1;
                }
            }
        }
    }

    #[test]
    fn a_time_of_day_is_written_to_the_microsecond() {
        let at = Instant::from_micros(((23 * 60 + 59) * 60 + 58) * 1_000_000 + 7);
        assert_eq!(written(at), b"1970-01-01T23:59:58.000007Z");
    }
}
