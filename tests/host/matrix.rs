//! The conformance matrix of a host: every case, and what holds it. `cargo test -p e2e --test host the_matrix --
//! --nocapture` prints it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// How far a case is held.
enum Held {
    /// By these tests.
    By(&'static [&'static str]),
    /// By these tests, but for this.
    Partly(&'static [&'static str], &'static str),
    /// It is not, for this reason.
    Not(&'static str),
}

use Held::{By, Not, Partly};

const HOST_UPGRADE: &str = "a host is not replaced under live calls yet";
const PER_CALL: &str = "there is no --per-call yet";

const CASES: &[(&str, Held)] = &[
    ("1 the program is ready too late", By(&[NEVER_READY, REFUSED])),
    ("2 a foreign process owns the port", By(&[FOREIGN])),
    ("3 the program exits 0 before it is ready", By(&[NEVER_READY])),
    ("4 the program daemonises", By(&[NEVER_READY, LEAVES])),
    ("5 ready by a line of its log", Not("ready is a listener; there is no readiness by a line yet")),
    ("6 crash loop", Partly(&[AGAIN], "3 crashes, not 100")),
    ("7 crash with 5 calls", By(&[CRASH, HEADLESS])),
    ("8 the old version crashes while it drains", By(&[CRASHES, DRAINING])),
    ("9 the new version dies after the shift", By(&[CRASHES])),
    ("10 --cancel before the shift, after it, after the end", By(&[CANCEL, STARTS, AT_ONCE])),
    ("11 second upgrade while one drains; limit", By(&[REFUSED, ROW, STARTS])),
    (
        "12 the version that runs; missing binary; no memory",
        Partly(&[REFUSED, "too_little_is_refused_with_the_numbers"], "memory only as a rule"),
    ),
    ("13 HUP is no upgrade", By(&[NO_SIGNAL])),
    (
        "14 TERM three times; TERM to the host's group",
        Partly(&[NO_SIGNAL, INHERITS], "the group by the program's own session"),
    ),
    ("15 Ctrl-C in a terminal", Partly(&[INHERITS], "by the program's own session; not with uv or npm")),
    ("16 host killed: --listen", By(&[KILLED])),
    ("17 host killed: --livekit", Not("the next start ends the program that was left behind, and its jobs with it")),
    ("18 self-upgrade under systemd", Not(HOST_UPGRADE)),
    ("19 the host executes itself anew", Not(HOST_UPGRADE)),
    ("20 the successor fails to start", Not(HOST_UPGRADE)),
    ("21 two host upgrades in one call", Not(HOST_UPGRADE)),
    (
        "22 a grandchild that left the session",
        Partly(&[LEAVES], "before the program is ready; after that it is not followed"),
    ),
    ("23 the program ignores TERM", By(&[STUBBORN])),
    ("24 the program floods, and closes, its output", Partly(&[OUTPUT], "the host's own output is read")),
    ("25 what the host was given is not inherited", By(&[INHERITS])),
    ("26 no terminal, terminal, terminal closed", Partly(&[NO_SIGNAL, INHERITS], "without a real terminal")),
    ("27 bytes right behind a head", By(&[BEHIND])),
    ("28 heads of 8 KiB, byte by byte, 64 KiB", By(&[HEADS])),
    (
        "29 subprotocol, deflate, fragments, 16 MiB",
        Partly(&[BEHIND, "a_websocket_is_a_call_and_its_head_passes_as_it_came"], "1 MB of any bytes"),
    ),
    ("30 close codes; who closed first", By(&[BEHIND, CLOSES])),
    ("31 the caller closes, the program talks on", By(&[BYTES])),
    ("32 the program closes with bytes queued", By(&[BYTES])),
    ("33 resets from either side", By(&[BYTES])),
    ("34 the caller stops reading", By(&[DEAF])),
    ("35 half-open for an hour", Partly(&[SILENT], "by the half-close timer; a dead peer by TCP keep-alive")),
    (
        "36 keep-alive, upgrade, next request",
        By(&["after_an_upgrade_the_next_request_and_the_next_call_go_to_the_new_program"]),
    ),
    (
        "37 webhook to the old, WebSocket to the new",
        Not("there is no affinity yet: the guide says what a program must do"),
    ),
    ("38 forged origin", By(&[FORGED])),
    ("39 signatures with TLS ended here", Not("TLS does not end here yet; behind a proxy --trust-proxy keeps https")),
    ("40 PROXY protocol", Not("not spoken yet")),
    ("41 certificate replaced", Not("TLS does not end here yet")),
    ("42 30,000 calls to one program", Not("calls come from one loopback address, so ports end at about 28,000")),
    ("43 plain user, 600 calls", By(&["six_hundred_calls_at_once_are_all_served"])),
    ("44 500 calls, an upgrade, a full-disk log", Not("not measured yet")),
    (
        "45 connection refused for a moment",
        By(&["a_program_that_refuses_connections_for_a_moment_gets_its_calls_after_it"]),
    ),
    ("46 the program works on after its last call", By(&["a_program_is_left_alone_for_its_settle_time"])),
    ("47 --livekit registers twice, or as another", By(&[OTHER_AGENT, ANSWERS])),
    ("48 --livekit says FULL, or no", By(&[JOBS, ANSWERS])),
    ("49 --livekit assigns late", By(&[LATE])),
    ("50 --livekit behind a company's proxy", Partly(&[PROXY], "not with the Python worker itself")),
    ("51 --per-call ends", Not(PER_CALL)),
    ("52 --per-call with a socket", Not(PER_CALL)),
    ("53 10,000 calls and 200 upgrades leave nothing", Partly(&[ROW, MANY], "500 calls and 3 upgrades")),
];

const AGAIN: &str = "a_program_that_crashes_in_a_call_again_and_again_is_started_again_and_again";
const ANSWERS: &str = "each_answer_and_each_end_of_a_job_is_the_programs_own";
const JOBS: &str = "jobs_run_on_over_upgrades_and_the_server_sees_one_worker_that_never_flaps";
const OTHER_AGENT: &str =
    "a_program_that_registers_as_another_agent_or_not_at_all_is_not_ready_and_the_old_one_serves_on";
const AT_ONCE: &str = "after_a_cancel_the_next_upgrade_is_possible_at_once_and_the_cancelled_versions_calls_run_on";
const BEHIND: &str = "what_comes_right_behind_a_head_is_delivered_both_ways_and_then_every_byte";
const CLOSES: &str = "who_sent_the_first_close_frame_hung_up_whoever_closes_the_connection";
const BYTES: &str = "bytes_half_closes_and_resets_pass_as_they_are_and_each_call_ends_as_it_did";
const CANCEL: &str = "a_cancel_gives_new_calls_back_while_the_old_program_drains_and_not_after_it_has_ended";
const CRASH: &str = "a_crash_ends_its_calls_as_the_programs_fault_by_name_and_the_program_starts_again";
const CRASHES: &str = "a_new_program_that_crashes_gives_its_calls_back_and_an_old_one_that_crashes_loses_its_own";
const DEAF: &str = "a_caller_that_stops_reading_stops_its_program_and_nobody_else";
const FOREIGN: &str = "a_listener_of_somebody_else_on_the_programs_port_does_not_make_it_ready";
const FORGED: &str = "a_stranger_cannot_say_where_a_request_comes_from_and_a_trusted_proxy_can";
const HEADS: &str = "a_head_of_8_kib_and_one_in_single_bytes_pass_and_one_of_64_kib_is_refused";
const INHERITS: &str = "a_program_inherits_nothing_of_what_the_host_was_given";
const KILLED: &str = "a_killed_host_loses_its_calls_and_the_next_one_names_them_and_ends_the_program_left_behind";
const LATE: &str = "a_job_goes_to_the_program_that_was_offered_it_however_late_it_is_assigned";
const PROXY: &str = "a_companys_proxy_is_not_between_a_program_and_the_host_and_the_program_can_use_it_for_the_rest";
const MANY: &str = "many_calls_leave_no_descriptor_behind";
const LEAVES: &str =
    "a_program_whose_listener_leaves_its_session_is_given_up_at_once_by_name_and_nothing_of_it_is_left";
const HEADLESS: &str =
    "a_program_whose_first_process_died_serves_on_and_its_calls_end_as_they_do_until_the_rest_dies_too";
const DRAINING: &str = "the_crash_of_a_program_that_drains_is_told_with_its_calls_and_so_is_one_while_the_host_drains";
const NEVER_READY: &str = "a_program_that_is_never_ready_is_given_up_with_the_reason_and_nothing_of_it_is_left";
const NO_SIGNAL: &str = "a_program_with_calls_gets_no_signal_and_one_sigterm_after_its_last_call";
const OUTPUT: &str = "whatever_a_program_writes_its_calls_go_on";
const REFUSED: &str = "an_upgrade_that_cannot_be_done_is_refused_with_the_reason_and_changes_nothing";
const ROW: &str = "upgrades_in_a_row_lose_no_frame_and_leave_nothing_behind";
const SILENT: &str = "a_call_that_one_side_closed_and_that_stays_silent_ends";
const STARTS: &str = "while_a_new_program_starts_another_upgrade_waits_and_a_cancel_ends_it_untouched_by_a_call";
const STUBBORN: &str = "a_program_that_ignores_sigterm_is_killed_with_all_it_started";

#[test]
fn the_matrix() {
    let tests = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("host"))
        + &sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src"));
    let mut table = String::new();
    let missing = |name: &&&str| !tests.contains(&format!("fn {name}("));
    for (case, held) in CASES {
        let (word, names, but) = match held {
            By(names) => ("held", *names, ""),
            Partly(names, but) => ("partly", *names, *but),
            Not(why) => ("no", &[][..], *why),
        };
        let missing: Vec<_> = names.iter().filter(missing).collect();
        assert!(missing.is_empty(), "{case}: there is no test {missing:?}");
        writeln!(table, "{word:<7}{case:<56}{but}").expect("a string takes everything");
    }
    println!("{table}");
    let numbers: Vec<_> = CASES.iter().map(|(case, _)| case.split(' ').next().unwrap_or_default()).collect();
    let expected: Vec<_> = (1..=53).map(|number| number.to_string()).collect();
    assert_eq!(numbers, expected, "each case once");
}

/// Every file of Rust below a folder.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("the sources").flatten().map(|entry| entry.path());
    entries
        .map(|path| match path.extension() {
            _ if path.is_dir() => sources(&path),
            Some(extension) if extension == "rs" => fs::read_to_string(path).expect("text"),
            _ => String::new(),
        })
        .collect()
}
