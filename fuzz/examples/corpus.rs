//! Writes the seeds of the corpus: `cargo run --manifest-path fuzz/Cargo.toml --example corpus`.

use std::fs;
use std::io;
use std::path::Path;

use openrtc_core::id::{
    Actor, CallId, CallNo, Deployment, DigestKey, Epoch, IdLog, Identity, Incarnation, Seq, Version, WorkerId,
};
use openrtc_core::journal::{Batch, FORMAT, MAGIC, Opening, Run, write_batch, write_opening};
use openrtc_core::machine::Machine;
use openrtc_core::membership::{Claims, SigningKey, sign_membership};
use openrtc_core::order::{Order, Stamp, Wish};
use openrtc_core::time::Instant;
use openrtc_core::worker::{
    Cause, Class, Command, Decline, DrainOrder, EndReason, Entry, Limits, OnDeadline, Origin, Terms, Worker,
};
use sim::choice::mix;

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, name, bytes) in
        [certificates(), journals(), lives(), rollouts(), sessions(), tokens(), trails()].concat()
    {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

type Seed = (&'static str, &'static str, Vec<u8>);

/// A certificate whole and cut; then changes to that of `fuzz::certificate`: what, where (two bytes), with which byte.
fn certificates() -> Vec<Seed> {
    let issued = fuzz::certificate::ISSUED.as_bytes();
    let (body, seal) = fuzz::certificate::ISSUED.split_once('\n').expect("two lines");
    vec![
        ("certificate", "issued", issued.to_vec()),
        ("certificate", "cut", issued[..issued.len() - 40].to_vec()),
        ("certificate", "body", body.as_bytes().to_vec()),
        ("certificate", "seal", seal.as_bytes().to_vec()),
        ("certificate", "unchanged", [[3, 100, 0, 1], [3, 100, 0, 1]].concat()),
        ("certificate", "altered", vec![3, 200, 0, 1]),
        ("certificate", "shorter", vec![0, 0, 5, 0]),
        ("certificate", "longer", vec![4, 255, 0, 255, 1, 50, 0, b'\n']),
    ]
}

/// Segments of the current format. Those named `format-1` were written by the builds that wrote it, and stay.
fn journals() -> Vec<Seed> {
    let (start, entries) = rollout();
    let (first, second) = entries.split_at(entries.len() / 2);
    let mut half = start.clone();
    first.iter().for_each(|entry| half.apply(entry));
    let (opening, whole, rotated) = (segment(&start, &[]), segment(&start, &entries), segment(&half, second));
    let header = MAGIC.len() + 1;
    let headed = |format: u8, frames: &[u8]| [&MAGIC[..], &[format], frames].concat();
    let frame = |kind: u8, payload: &[u8]| {
        let len = u8::try_from(payload.len()).expect("small");
        [&[len, 0, 0, 0, kind][..], &[0; 8], payload].concat()
    };
    let with = |frames: &[u8]| fuzz::journal::repaired(&[&opening[..], frames].concat());
    vec![
        ("journal", "opening", opening.clone()),
        ("journal", "rollout", whole.clone()),
        ("journal", "rotated", rotated),
        ("journal", "torn", whole[..whole.len() - 5].to_vec()),
        ("journal", "twice", [&whole[..], &whole[header..]].concat()),
        ("journal", "huge-claim", headed(FORMAT, &[0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0, 0, 7])),
        ("journal", "format-3", headed(FORMAT + 1, &whole[header..])),
        ("journal", "unknown-kinds", with(&[frame(99, b"anything"), frame(0, b""), frame(255, b"x")].concat())),
        ("journal", "unknown-event", with(&frame(3, &[1, 0, 0, 99]))),
        ("journal", "other-machine", with(&frame(5, &[1, 0, 0, 0]))),
        ("journal", "ids", with(&[frame(2, b"\x01one"), frame(2, b"\x01two"), frame(2, b"\x02far")].concat())),
        ("journal", "id-not-text", with(&frame(2, b"\x01\xff\xfe"))),
        ("journal", "id-behind-another-entry", with(&frame(3, b"\x01\0\0\0call"))),
    ]
}

fn segment(state: &Worker, entries: &[Entry]) -> Vec<u8> {
    let (mut bytes, about) = (Vec::new(), Run { identity: identity(), predecessor: None });
    let (mut open, mut begun) = (IdLog::default(), IdLog::default());
    for (call, id) in CALLS {
        let call = CallNo::new(call);
        match state.calls().get(call) {
            Some(_) => open.push(call, id.as_str()),
            None if call > CallNo::new(state.word().seq().get()) => begun.push(call, id.as_str()),
            None => {}
        }
    }
    write_opening(&Opening { about, state: state.clone() }, &open, &mut bytes);
    write_batch::<Worker>(&Batch { entries: entries.to_vec(), ids: begun }, &mut bytes);
    bytes
}

/// The calls of [`rollout`].
const CALLS: [(u64, CallId); 4] = [
    (1, CallId::from_static("taken over")),
    (4, CallId::from_static("first")),
    (5, CallId::from_static("second")),
    (7, CallId::from_static("second")),
];

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
    let class = Class::default();
    let id = |nth: usize| CALLS[nth].1.digest(DigestKey::default());
    let drain = |cause, secs, on_deadline| {
        let terms = Terms::new(Some(at(secs)), on_deadline).expect("there is a deadline");
        Command::BeginDrain(DrainOrder { cause, actor, terms })
    };
    let obey = |order, wish| {
        Command::Obey(Order { stamp: Stamp { epoch: Epoch::new(1), order: Seq::new(order) }, actor, wish })
    };
    let origin = Origin { run: Incarnation::new(1), call: call(9), given: true };
    let script = [
        (0, Command::TakeOver { id: id(0), class, origin }),
        (0, Command::StandBy),
        (1, obey(1, Wish::Serve)),
        (2, Command::Admit { id: id(1), class }),
        (3, Command::Reserve { id: id(2), class }),
        (4, Command::Assign { call: call(5) }),
        (5, Command::Reserve { id: id(3), class }),
        (6, Command::HandOver { call: call(1), to: Incarnation::new(3) }),
        (15, Command::Wake),
        (20, Command::Progress { call: call(4) }),
        (34, Command::Wake),
        (35, Command::CountDeclines { reason: Decline::Full, count: 3 }),
        (40, drain(Cause::Api, 60, OnDeadline::Alert)),
        (41, obey(2, Wish::CancelDrain)),
        (42, drain(Cause::Api, 45, OnDeadline::Alert)),
        (45, Command::Wake),
        (46, Command::ExtendDrain { actor, deadline: at(60) }),
        (47, drain(Cause::Signal, 49, OnDeadline::Force)),
        (48, obey(3, Wish::Join)),
        (49, Command::Wake),
        (50, Command::End { call: call(4), reason: EndReason::DrainForced }),
        (50, Command::End { call: call(5), reason: EndReason::CallerHangup }),
        (50, Command::Wake),
        (50, Command::Wake),
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
    const LEAVE: [u8; 4] = [1, 12, 0, 0];
    const WAKE: [u8; 4] = [150, 14, 0, 0];
    const WITHDRAW: [u8; 4] = [1, 16, 0, 2];
    const HAND_OVER: [u8; 4] = [1, 17, 0, 2];
    const TAKE_OVER: [u8; 4] = [1, 18, 3, 4];
    const ORDER: fn(u8) -> [u8; 4] = |wish| [1, 19, 0, wish];
    let under = |name, limits: [u8; 4], steps: &[[u8; 4]]| ("worker", name, [&limits, steps.as_flattened()].concat());
    let life = |name, steps: &[[u8; 4]]| under(name, [1, 2, 3, 4], steps);
    let parked = |name, steps: &[[u8; 4]]| under(name, [9, 26, 3, 4], steps);
    vec![
        life("drained", &[SERVE, ADMIT, DRAIN, HANG_UP, WAKE, LEAVE]),
        life("reserved-before", &[SERVE, RESERVE, DRAIN, ASSIGN, HANG_UP, WAKE, LEAVE]),
        life("lapsed-and-stalled", &[SERVE, RESERVE, WAKE, ADMIT, WAKE, [9, 6, 0, 0], HANG_UP]),
        life("sealed", &[SERVE, ADMIT, DRAIN, SIGTERM, SIGTERM, WAKE, WAKE, WAKE]),
        life("cancelled", &[SERVE, ADMIT, DRAIN, CANCEL, RESERVE, DRAIN, FORCE, WAKE]),
        life("declined", &[SERVE, ADMIT, ADMIT, ADMIT, [1, 7, 3, 1], [230, 7, 255, 62], [1, 7, 255, 62]]),
        life("rejected", &[[1, 1, 0, 0], [1, 13, 0, 0]]),
        life("withdrawn", &[SERVE, RESERVE, WITHDRAW, RESERVE, HANG_UP, ASSIGN, WITHDRAW, HAND_OVER, HAND_OVER]),
        life("taken-over", &[TAKE_OVER, TAKE_OVER, SERVE, TAKE_OVER, ADMIT, DRAIN, HAND_OVER, HANG_UP, WAKE, WAKE]),
        parked("parked", &[SERVE, DRAIN, WAKE, WAKE, CANCEL, ADMIT, DRAIN, HANG_UP, WAKE, SIGTERM, WAKE, WAKE]),
        parked(
            "ordered",
            &[ORDER(0), ORDER(1), ADMIT, ORDER(19), ORDER(4), ORDER(2), [1, 19, 230, 4], ORDER(5), ORDER(7), ORDER(6)],
        ),
        parked("overtaken", &[[1, 19, 250, 1], [1, 19, 200, 2], [1, 19, 220, 2], ORDER(2), WAKE, ORDER(6), ORDER(0)]),
        life("expired", &[SERVE, RESERVE, [150, 20, 0, 5], ADMIT, [150, 20, 0, 6], DRAIN, FORCE, [240, 20, 0, 1]]),
    ]
}

/// Lives of a LiveKit session: its capacity and seed, then two bytes for each step of `fuzz::livekit`.
fn sessions() -> Vec<Seed> {
    const OPEN: [u8; 2] = [8, 0];
    const CONFIRM: [u8; 2] = [5, 0];
    const OFFER: [u8; 2] = [1, 1];
    const ASSIGN: [u8; 2] = [2, 1];
    const END: [u8; 2] = [12, 0];
    const PONG: [u8; 2] = [7, 0];
    const SECOND: [u8; 2] = [10, 32];
    const LONG: [u8; 2] = [10, 120];
    const CUT: [u8; 2] = [9, 0];
    const DRAIN: [u8; 2] = [11, 3];
    const GO_AWAY: [u8; 2] = [6, 0];
    let life = |name, steps: &[[u8; 2]]| ("livekit", name, [&[3, 7][..], steps.as_flattened()].concat());
    vec![
        life("job", &[OPEN, CONFIRM, OFFER, ASSIGN, SECOND, END, PONG, DRAIN]),
        life("drain", &[OPEN, CONFIRM, OFFER, DRAIN, ASSIGN, OFFER, END, PONG]),
        life("outage", &[OPEN, CONFIRM, OFFER, ASSIGN, CUT, END, SECOND, OPEN, CONFIRM, PONG]),
        life("go-away", &[OPEN, CONFIRM, OFFER, GO_AWAY, SECOND, OPEN, CONFIRM, [2, 65], END, PONG, [7, 64]]),
        life("lapsed", &[OPEN, CONFIRM, OFFER, LONG, ASSIGN, SECOND, END]),
        life("undecided", &[OPEN, CONFIRM, [11, 6], OFFER, [13, 0], ASSIGN, [1, 2], SECOND, [13, 1], [1, 3], LONG]),
        life("terminated", &[OPEN, CONFIRM, OFFER, [4, 1], ASSIGN, [1, 2], [2, 2], [4, 2], END]),
        life("flawed", &[OPEN, CONFIRM, OFFER, [3, 1], [1, 2], [19, 2], [1, 3], [35, 3], [51, 4], [0, 2], [0x7a, 0]]),
        life("silent", &[OPEN, CONFIRM, [14, 0], OFFER, LONG, LONG, OPEN, CONFIRM, [15, 0], [15, 3]]),
    ]
}

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

/// Tokens in both forms, whole and not; then changes to the one that `fuzz::token` lets in: where, and which bits.
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
