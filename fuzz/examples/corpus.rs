//! Writes the seeds of the corpus: `cargo run --manifest-path fuzz/Cargo.toml --example corpus`.

use std::fs;
use std::io;
use std::path::Path;

use openrtc_core::id::{Actor, CallId, CallNo, Deployment, Epoch, Identity, Incarnation, Version, WorkerId};
use openrtc_core::journal::{FORMAT, MAGIC, Opening, write_entry, write_opening};
use openrtc_core::machine::Machine;
use openrtc_core::membership::{Claims, SigningKey, sign_membership};
use openrtc_core::time::Instant;
use openrtc_core::worker::{Cause, Class, Command, Decline, DrainOrder, EndReason, Entry, Limits, OnDeadline, Worker};
use sim::choice::mix;

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, name, bytes) in [journals(), lives(), rollouts(), tokens(), trails()].concat() {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

type Seed = (&'static str, &'static str, Vec<u8>);

fn journals() -> Vec<Seed> {
    let (start, entries) = rollout();
    let segment = |state: &Worker, entries: &[Entry]| {
        let mut bytes = Vec::new();
        write_opening(opening(state.clone()), &mut bytes);
        entries.iter().for_each(|entry| write_entry(entry, &mut bytes));
        bytes
    };
    let (first, second) = entries.split_at(entries.len() / 2);
    let mut half = start.clone();
    first.iter().for_each(|entry| half.apply(entry));
    let whole = segment(&start, &entries);
    let huge = [&MAGIC[..], &u32::MAX.to_le_bytes(), &[FORMAT, 0, 0, 0, 0, 7]].concat();
    vec![
        ("journal", "opening", segment(&start, &[])),
        ("journal", "rollout", whole.clone()),
        ("journal", "rotated", segment(&half, second)),
        ("journal", "torn", whole[..whole.len() - 5].to_vec()),
        ("journal", "twice", [&whole[..], &whole[MAGIC.len()..]].concat()),
        ("journal", "huge-claim", huge),
    ]
}

fn opening(state: Worker) -> Opening {
    Opening { identity: identity(), predecessor: None, state }
}

const fn identity() -> Identity {
    Identity {
        deployment: Deployment::from_static("voice"),
        version: Version::from_static("v1"),
        worker: WorkerId::from_static("voice-0"),
        incarnation: Incarnation::new(1),
    }
}

/// A worker's whole life, and every event but a few in it.
fn rollout() -> (Worker, Vec<Entry>) {
    let actor = Actor::from_static("alice");
    let call = |number| CallNo::new(number);
    let offer = |id| (CallId::from_static(id), Class(0));
    let drain = |cause, secs, on_deadline| {
        Command::BeginDrain(DrainOrder { cause, actor, deadline: Some(at(secs)), on_deadline })
    };
    let ((first, class), (second, _)) = (offer("first"), offer("second"));
    let script = [
        (0, Command::StandBy),
        (1, Command::Serve),
        (2, Command::Admit { id: first, class }),
        (3, Command::Reserve { id: second, class }),
        (4, Command::Assign { call: call(4) }),
        (5, Command::Reserve { id: second, class }),
        (15, Command::Wake),
        (20, Command::Progress { call: call(3) }),
        (34, Command::Wake),
        (35, Command::CountDeclines { reason: Decline::Full, count: 3 }),
        (40, drain(Cause::Api, 60, OnDeadline::Alert)),
        (41, Command::CancelDrain { actor }),
        (42, drain(Cause::Api, 45, OnDeadline::Alert)),
        (45, Command::Wake),
        (46, Command::ExtendDrain { actor, deadline: at(60) }),
        (47, drain(Cause::Signal, 49, OnDeadline::Force)),
        (49, Command::Wake),
        (50, Command::End { call: call(3), reason: EndReason::DrainForced }),
        (50, Command::End { call: call(4), reason: EndReason::CallerHangup }),
        (50, Command::Wake),
        (50, Command::Close),
    ];
    let start = Worker::new(Limits::default()).expect("defaults work");
    let (mut worker, mut entries) = (start.clone(), Vec::new());
    for (secs, command) in script {
        entries.push(worker.step(at(secs), command).expect("the script is sound"));
    }
    (start, entries)
}

const fn at(secs: u64) -> Instant {
    Instant::from_micros(secs * 1_000_000)
}

/// Lives in the bytes of `fuzz::worker`: limits, then pace, kind, which, how for each step.
fn lives() -> Vec<Seed> {
    const SERVE: [u8; 4] = [1, 0, 0, 0];
    const ADMIT: [u8; 4] = [1, 2, 0, 0];
    const RESERVE: [u8; 4] = [1, 3, 0, 0];
    const ASSIGN: [u8; 4] = [1, 4, 0, 0];
    const HANG_UP: [u8; 4] = [1, 5, 0, 0];
    const DRAIN: [u8; 4] = [1, 8, 0, 0];
    const SIGTERM: [u8; 4] = [1, 8, 5, 21];
    const CANCEL: [u8; 4] = [1, 9, 0, 0];
    const FORCE: [u8; 4] = [1, 11, 0, 0];
    const CLOSE: [u8; 4] = [1, 12, 0, 0];
    const WAKE: [u8; 4] = [150, 14, 0, 0];
    let life = |name, steps: &[[u8; 4]]| ("worker", name, [&[1, 2, 3, 4][..], steps.as_flattened()].concat());
    vec![
        life("drained", &[SERVE, ADMIT, DRAIN, HANG_UP, WAKE, CLOSE]),
        life("reserved-before", &[SERVE, RESERVE, DRAIN, ASSIGN, HANG_UP, WAKE, CLOSE]),
        life("lapsed-and-stalled", &[SERVE, RESERVE, WAKE, ADMIT, WAKE, [9, 6, 0, 0], HANG_UP]),
        life("sealed", &[SERVE, ADMIT, DRAIN, SIGTERM, SIGTERM, WAKE, WAKE, WAKE]),
        life("cancelled", &[SERVE, ADMIT, DRAIN, CANCEL, RESERVE, DRAIN, FORCE, WAKE]),
        life("declined", &[SERVE, ADMIT, ADMIT, ADMIT, [1, 7, 3, 1], [230, 7, 255, 62], [1, 7, 255, 62]]),
        life("rejected", &[[1, 1, 0, 0], [1, 13, 0, 0]]),
    ]
}

/// Tokens in both forms, whole and not; then changes to the one that `fuzz::token` lets in: where, and which bits.
/// Choices of every kind: none at all, the same over and over, and some that look like chance.
fn rollouts() -> Vec<Seed> {
    let mixed = |round: u64| (0..400).flat_map(|n| mix(round << 32 | n).to_le_bytes()).collect();
    vec![
        ("rollout", "first-choices", vec![]),
        ("rollout", "highest-choices", vec![0xff; 600]),
        ("rollout", "counted", (0..=255).cycle().take(900).collect()),
        ("rollout", "mixed-1", mixed(1)),
        ("rollout", "mixed-2", mixed(2)),
        ("rollout", "mixed-3", mixed(3)),
    ]
}

fn tokens() -> Vec<Seed> {
    let claims = Claims { identity: identity(), epoch: Epoch::new(1), issued_at: at(1) };
    let token = sign_membership(&SigningKey::from_bytes(&[1; 32]), &claims);
    let bytes = token.to_bytes();
    let (format, key, name, claim, signature) = ([0, 2], [1, 1], [10, 0x20], [30, 1], [60, 1]);
    let (high_s, longer, shorter) = ([109, 0x10], [255, 1], [200, 0]);
    let public = SigningKey::from_bytes(&[1; 32]).verifying_key();
    vec![
        ("token", "whole", bytes.clone()),
        ("token", "short", bytes[..bytes.len() - 1].to_vec()),
        ("token", "text", token.to_text().into_bytes()),
        ("token", "public-key", public.as_bytes().to_vec()),
        ("token", "changed-claims", [key, name, claim].concat()),
        ("token", "changed-signature", [signature, high_s].concat()),
        ("token", "changed-length", [format, longer, shorter].concat()),
        ("token", "unchanged", [claim, claim].concat()),
    ]
}

/// A whole trail and one torn; then deeds done to the trail of `fuzz::audit`: what, where (two bytes), with which byte.
fn trails() -> Vec<Seed> {
    let text = fuzz::audit::trail(&SigningKey::from_bytes(&[7; 32]));
    let torn = text[..text.len() - 30].to_vec();
    let (flip, unflip) = ([3, 100, 1, 1], [3, 100, 1, 1]);
    vec![
        ("audit", "whole", text),
        ("audit", "torn", torn),
        ("audit", "cut", vec![0, 0, 2, 0]),
        ("audit", "altered", flip.to_vec()),
        ("audit", "unchanged", [flip, unflip].concat()),
        ("audit", "line-dropped", vec![4, 2, 0, 0]),
        ("audit", "lines-moved", vec![5, 1, 0, 3, 5, 0, 0, 5]),
        ("audit", "line-split", vec![1, 50, 0, b'\n']),
    ]
}
