//! What people and their scripts read: an error says what is wrong and what to do, and a word has one spelling.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Display;

use serde::Serialize;
use serde_json::{from_value, json, to_value};

use crate::codec::BadBytes;
use crate::fleet::{BadSpec, BadTimeouts, Fleet, Gate, Stage, VersionState};
use crate::id::{BadName, CallId, Epoch, Fault, Seq, Version, WorkerId};
use crate::journal::{Batch, Torn, TornFault};
use crate::machine::Misfit;
use crate::membership::{BadKey, KeyId, Malformed, MembershipError, Part};
use crate::order::Stamp;
use crate::time::{Instant, Span};
use crate::word::{Phase, Refusal, Word};
use crate::worker::{
    BadDeadline, BadLimits, BadPolicy, Cause, Decline, EndReason, Leave, NoSuchClass, OnDeadline, Tally, Worker,
};
use crate::{audit, fleet, worker};

/// Asserts that a text has each of these pieces: the culprit, and the way out where there is one.
fn says(error: impl Display, pieces: &[&str]) {
    let text = error.to_string();
    for piece in pieces {
        assert!(text.contains(piece), "{text:?} does not say {piece:?}");
    }
}

#[test]
fn errors_about_text_name_the_culprit_and_the_way_out() {
    let name = |fault| BadName { kind: "worker id", max: 63, fault };
    says(name(Fault::Byte { at: 3, byte: 0x20 }), &["worker id", "0x20", "offset 3", "printable ASCII"]);
    says(name(Fault::Empty), &["worker id", "empty", "1 to 63"]);
    says(name(Fault::Long { len: 70 }), &["worker id", "70 bytes", "at most 63"]);
    says(BadPolicy, &["`wait`", "`alert`", "`force`"]);
    says(NoSuchClass { index: 7 }, &["class 7", "0 to 3"]);
    says(BadBytes::Malformed, &["do not decode"]);
    says(BadBytes::Trailing { extra: 5 }, &["5 bytes"]);
}

#[test]
fn errors_about_settings_name_the_setting_and_the_way_out() {
    says(BadLimits::CapacityZero, &["capacity is 0", "1 or more"]);
    says(BadLimits::CapacityHuge, &["capacity", &Word::IN_FLIGHT_MAX.to_string()]);
    says(BadTimeouts::LeaseShort, &["lease_ttl", "report_ttl"]);
    says(BadTimeouts::ReportTtlZero, &["report_ttl is 0"]);
    says(BadSpec::WaveZero, &["wave is 0", "1 or more"]);
    says(BadSpec::Surge, &["surge", "fewer workers"]);
    says(BadDeadline::Now, &["deadline is now", "give a time"]);
    says(BadDeadline::TooFar, &["a year", "shorter"]);
}

#[test]
fn an_answer_of_no_says_why() {
    says(Refusal::Closed(Phase::Draining), &["draining", "another one"]);
    says(Refusal::Full, &["full", "another one"]);
    says(worker::Repeat::AlreadyExited, &["left already"]);
    let by = Stamp { epoch: Epoch::new(3), order: Seq::new(9) };
    says(worker::Refused::Overtaken { by }, &["order 3.9"]);
    says(worker::Refused::Admission(Refusal::Full), &["full"]);
    says(worker::Misuse::NotDraining, &["does not drain", "begin a drain"]);
    says(fleet::Repeat::AlreadyPaused, &["paused already"]);
    says(fleet::Refused::Fenced { by: Epoch::new(4) }, &["epoch 4", "ask that one"]);
    says(fleet::Refused::VersionsFull, &["16 versions"]);
    says(fleet::Misuse::BadSpec(BadSpec::WaveZero), &["wave is 0"]);
    says(fleet::Misuse::NoSuchWorker, &["no worker has this name"]);
}

#[test]
fn an_entry_that_does_not_fit_says_what_would() {
    says(Misfit::<Refusal>::Backwards { last: Instant::from_micros(70) }, &["70 µs"]);
    says(Misfit::<Refusal>::Sequence { expected: Seq::new(8) }, &["#8"]);
    says(Misfit::Rejected(Refusal::Full), &["the worker is full"]);
    let torn = |fault| Torn { offset: 17, lost: 4, fault };
    says(torn(TornFault::Checksum), &["byte 17", "checksum", "4 bytes"]);
    says(torn(TornFault::Huge(u32::MAX)), &["4294967295 bytes"]);
    says(torn(TornFault::Format(9)), &["format 9 is of a newer build"]);
    says(torn(TornFault::Format(0)), &["there is no format 0"]);
    says(torn(TornFault::Misfit(Misfit::Observed)), &["observation"]);
    let kind = audit::FaultKind::Missing { first: 5, count: 2 };
    says(audit::Fault { line: 4, record: 7, kind }, &["line 4", "record 7", "2 records from 5 on"]);
}

#[test]
fn a_refused_token_says_why_to_people_and_to_programs() {
    let key = KeyId::from_bytes([0xab; 8]);
    let version = Version::from_static("v7");
    let malformed = Malformed { at: 12, part: Part::Version };
    for (error, word, pieces) in [
        (MembershipError::UnknownKey(key), "unknown_key", &["abababababababab", "current key"][..]),
        (MembershipError::BadSignature, "bad_signature", &["altered or forged"]),
        (MembershipError::WrongWorker(WorkerId::from_static("w-1")), "wrong_worker", &["worker w-1"]),
        (MembershipError::VersionNotAllowed(version), "version_not_allowed", &["version v7", "manifest"]),
        (MembershipError::Expired(Span::from_secs(3)), "expired", &["expired 3s ago", "sign a new one"]),
        (MembershipError::Replayed, "replayed", &["used before"]),
        (MembershipError::Malformed(malformed), "malformed", &["byte 12", "Version"]),
    ] {
        assert_eq!(error.word(), word);
        says(error, pieces);
    }
    says(BadKey::Weak, &["small order", "new key pair"]);
    says(BadKey::SameId(key), &["abababababababab"]);
    assert_eq!(format!("{key:?}"), "abababababababab");
}

/// What a file holds for a word is what people read.
#[test]
fn a_word_has_one_spelling() {
    fn same<T: Serialize>(value: T, word: &'static str) {
        assert_eq!(to_value(value).unwrap(), json!(word));
    }
    for phase in Phase::ALL {
        same(phase, phase.as_str());
    }
    for policy in OnDeadline::ALL {
        same(policy, policy.as_str());
    }
    for reason in EndReason::ALL {
        same(reason, reason.as_str());
    }
    for reason in Decline::ALL {
        same(reason, reason.as_str());
    }
    for cause in [Cause::Api, Cause::Signal, Cause::Coordinator, Cause::Fence] {
        same(cause, cause.as_str());
    }
    for leave in [Leave::WhenDrained, Leave::Parked] {
        same(leave, leave.as_str());
    }
    for stage in [Stage::Planned, Stage::Shifting, Stage::RollingBack, Stage::Completed] {
        same(stage, stage.as_str());
    }
    for state in [VersionState::Inactive, VersionState::Ramping, VersionState::Current, VersionState::Drained] {
        same(state, state.as_str());
    }
    assert_eq!(Gate::ALL.map(Gate::as_str), ["error_rate", "webhook", "person"]);
    assert_eq!((Phase::Serving.to_string(), EndReason::Failed.to_string()), ("serving".into(), "failed".into()));
    assert_eq!(format!("{:?}", Word::START.enter(Phase::Serving)), "serving 0 in flight #1");
}

#[test]
fn whoever_reads_another_thing_than_it_expects_says_what_it_expected() {
    let told = |error: serde_json::Error| error.to_string();
    says(told(from_value::<CallId>(json!(7)).unwrap_err()), &["a call id of 1 to 255 bytes"]);
    let mut tally = to_value(Tally::default()).unwrap();
    tally["ended"] = json!("many");
    says(told(from_value::<Tally>(tally).unwrap_err()), &["at most 10 counts"]);
    let mut fleet = to_value(Fleet::new(fleet::Timeouts::default()).unwrap()).unwrap();
    fleet["annex"] = json!("none");
    says(told(from_value::<Fleet>(fleet).unwrap_err()), &["the parts of an annex"]);
    let shown: String = format!("{:?}", Batch::<Worker>::default());
    says(shown, &["Batch", "entries", "ids"]);
}
