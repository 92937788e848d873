//! `openrtc run --livekit`: a LiveKit agent worker behind a host, with the dev server as its LiveKit.

use std::io::{Read, Write};
use std::net::TcpStream;

use e2e::{run, said};
use openrtc_livekit::dispatcher::{Asked, Fault, Progress};
use openrtc_livekit::proto::JobStatus;
use openrtc_livekit::{ApiKey, DevServer};
use rustix::process::Signal;
use tokio::runtime::Runtime;

use crate::rig::{Hosted, Rig, is_alive};

/// A LiveKit server, and what it runs on.
struct Livekit {
    server: DevServer,
    _runtime: Runtime,
}

impl Livekit {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let key = ApiKey::new("devkey", "secret");
        let server = runtime.block_on(DevServer::start("127.0.0.1:0".parse().unwrap(), key, 1)).unwrap();
        Self { server, _runtime: runtime }
    }

    /// A host for the test's agent.
    fn rig(&self) -> Rig {
        let rig = Rig::livekit().program(&[env!("CARGO_BIN_EXE_livekit_agent")]);
        let rig = rig.env("LIVEKIT_URL", &self.server.url());
        rig.env("LIVEKIT_API_KEY", "devkey").env("LIVEKIT_API_SECRET", "secret")
    }

    /// Waits until the host gets jobs: not before the server has heard of it.
    fn host(&self, rig: Rig) -> Hosted {
        let host = rig.start();
        host.wait_until(|_| self.server.workers().iter().any(|(_, is_available)| *is_available));
        host
    }

    /// Asks for an agent. Returns the dispatch's id, which is the job's too but for its first letters.
    fn dispatch(&self, room: &str) -> String {
        self.server.dispatch(Asked { room: room.to_owned(), agent_name: "agent".to_owned(), ..Asked::default() })
    }

    fn progress(&self, id: &str) -> Progress {
        self.server.dispatches().into_iter().find(|(known, _)| known == id).unwrap().1.progress
    }
}

/// The id of a room's job, once a version's program has it.
fn assigned(host: &Hosted, version: &str, room: &str) -> String {
    let mut job = String::new();
    host.wait_until(|host| {
        let notes = host.signals();
        let words = notes.iter().map(|line| line.split(' ').collect::<Vec<_>>());
        let mut found =
            words.filter(|words| words.len() > 3 && words[..2] == [version, "assigned"] && words[3] == room);
        found.next().map(|words| words[2].to_owned()).inspect(|id| job.clone_from(id)).is_some()
    });
    job
}

fn noted(host: &Hosted, what: &str) -> bool {
    host.signals().iter().any(|line| line == what)
}

fn order(host: &Hosted, words: &[&str]) -> (Option<i32>, String) {
    let done = run(&[&["upgrade", &host.ops.to_string()], words].concat());
    (done.status.code(), said(&done))
}

/// The statuses with which a job ended, as the server heard them.
fn ends(livekit: &Livekit, job: &str) -> Vec<i32> {
    livekit.server.ends(job).into_iter().map(|(_, status)| status).collect()
}

const SUCCESS: i32 = JobStatus::Success as i32;
const FAILED: i32 = JobStatus::Failed as i32;

#[test]
fn jobs_run_on_over_upgrades_and_the_server_sees_one_worker_that_never_flaps() {
    let livekit = Livekit::start();
    let host = livekit.host(livekit.rig());
    let before = livekit.server.workers();
    let first = livekit.dispatch("long");
    let old = assigned(&host, "v1", "long");
    let url = livekit.server.url();
    assert!(noted(&host, &format!("v1 assigned {old} long {url} true")), "{:?}", host.signals());
    let program = host.program();
    assert_eq!(order(&host, &["--version", "v2"]).0, Some(0));
    livekit.dispatch("second");
    let new = assigned(&host, "v2", "second");
    assert_eq!(order(&host, &["--version", "v3"]).0, Some(0));
    assert!(is_alive(program) && !host.signals().iter().any(|line| line.contains("SIGTERM")));
    assert_eq!(livekit.server.workers(), before, "one worker, which takes jobs, on one socket");
    assert!(livekit.server.delete(&first));
    host.wait_until(|host| noted(host, "v1 SIGTERM"));
    assert!(noted(&host, &format!("v1 terminated {old}")));
    host.wait_until(|host| host.programs().len() == 2);
    host.wait_until(|_| ends(&livekit, &old) == [SUCCESS]);
    assert!(ends(&livekit, &new).is_empty());
    livekit.dispatch("third");
    assigned(&host, "v3", "third");
    assert_eq!(livekit.server.workers(), before);
}

#[test]
fn a_job_goes_to_the_program_that_was_offered_it_however_late_it_is_assigned() {
    let livekit = Livekit::start();
    let host = livekit.host(livekit.rig().env("OPENRTC_RESERVATION_TTL", "30s"));
    livekit.server.break_next(Fault::LateAssignment, 1);
    livekit.dispatch("late");
    host.wait_until(|host| noted(host, "v1 is offered late"));
    assert_eq!(order(&host, &["--version", "v2"]).0, Some(0));
    livekit.dispatch("prompt");
    assigned(&host, "v2", "prompt");
    assigned(&host, "v1", "late");
    assert_eq!(host.programs().len(), 2);
}

#[test]
fn a_companys_proxy_is_not_between_a_program_and_the_host_and_the_program_can_use_it_for_the_rest() {
    let livekit = Livekit::start();
    let proxy = "http://127.0.0.1:9";
    let host = livekit.host(livekit.rig().env("HTTPS_PROXY", proxy));
    assert!(host.running_log().contains("the program gets it as https_proxy"), "{}", host.running_log());
    assert!(noted(&host, &format!("v1 https_proxy {proxy}")) && !noted(&host, &format!("v1 HTTPS_PROXY {proxy}")));
}

#[test]
fn each_answer_and_each_end_of_a_job_is_the_programs_own() {
    let livekit = Livekit::start();
    let mut host = livekit.host(livekit.rig());
    for room in ["refuse", "no-answer"] {
        let refused = livekit.dispatch(room);
        host.wait_until(|_| matches!(livekit.progress(&refused), Progress::Lost(_)));
        assert!(noted(&host, &format!("v1 is offered {room}")));
        host.wait_until(|host| host.snapshot()["active_sessions"] == 0);
    }
    livekit.dispatch("short");
    let short = assigned(&host, "v1", "short");
    host.wait_until(|_| ends(&livekit, &short) == [SUCCESS]);
    livekit.dispatch("fail");
    let failed = assigned(&host, "v1", "fail");
    host.wait_until(|_| ends(&livekit, &failed) == [FAILED]);
    // Its socket goes while the job runs: the job's end is heard on the next one.
    let hiccup = livekit.dispatch("hiccup");
    let hiccuped = assigned(&host, "v1", "hiccup");
    host.wait_until(|host| host.signals().iter().filter(|line| *line == "v1 registered").count() == 2);
    livekit.server.delete(&hiccup);
    host.wait_until(|_| ends(&livekit, &hiccuped) == [SUCCESS]);
    livekit.dispatch("long");
    let cut = assigned(&host, "v1", "long");
    livekit.dispatch("crash");
    let crashed = assigned(&host, "v1", "crash");
    host.wait_until(|_| ends(&livekit, &crashed) == [FAILED] && ends(&livekit, &cut) == [FAILED]);
    let lost = host.wait_for_log("the program ended by itself");
    assert!(lost.contains("calls=2"), "{lost}");
    host.wait_until(|host| host.signals().iter().filter(|line| *line == "v1 registered").count() == 3);
    livekit.dispatch("long");
    host.wait_until(|host| host.snapshot()["active_sessions"] == 1);
    assert_eq!(livekit.server.workers().len(), 1, "and the server has not noticed");
}

#[test]
fn a_program_that_tells_of_no_job_is_done_with_it_when_the_server_is() {
    let livekit = Livekit::start();
    let host = livekit.host(livekit.rig().ways("silent"));
    let first = livekit.dispatch("long");
    let job = assigned(&host, "v1", "long");
    livekit.server.delete(&first);
    host.wait_until(|_| ends(&livekit, &job) == [SUCCESS]);
}

#[test]
fn a_forced_drain_ends_the_jobs_that_are_left_and_counts_them_whatever_the_program_says() {
    for ways in ["silent", ""] {
        let livekit = Livekit::start();
        let host = livekit.host(livekit.rig().ways(ways).env("OPENRTC_FORCE_GRACE", "2s"));
        livekit.dispatch("long");
        let cut = assigned(&host, "v1", "long");
        let forced = run(&["drain", &host.ops.to_string(), "--force"]);
        assert_eq!(forced.status.code(), Some(0), "{}", said(&forced));
        host.wait_until(|_| ends(&livekit, &cut) == [FAILED]);
        assert!(noted(&host, &format!("v1 terminated {cut}")));
        let (status, log, _dir) = host.end();
        assert_eq!(status.code(), Some(3), "{ways:?}: {log}");
    }
}

#[test]
fn a_program_that_registers_as_another_agent_or_not_at_all_is_not_ready_and_the_old_one_serves_on() {
    let livekit = Livekit::start();
    let host = livekit.host(livekit.rig().flags(&["--ready-within", "8s"]));
    let agent = env!("CARGO_BIN_EXE_livekit_agent");
    let (code, said) = order(&host, &["--version", "v2", "--", "env", "WAYS=name=other", agent]);
    let told = said.contains(r#"it registers as agent "other""#) && said.contains(r#"is registered as agent "agent""#);
    assert!(code == Some(1) && told, "{said}");
    let (code, said) = order(&host, &["--version", "v3", "--", "sleep", "3600"]);
    assert!(code == Some(1) && said.contains("it has not registered as a worker at ws://127.0.0.1:"), "{said}");
    livekit.dispatch("long");
    assigned(&host, "v1", "long");
    assert_eq!(host.programs().len(), 1);
}

#[test]
fn every_other_request_passes_to_the_server_and_no_stranger_is_taken_for_the_program() {
    let livekit = Livekit::start();
    let mut host = livekit.host(livekit.rig().ways("ask"));
    assert!(noted(&host, "v1 asked: OK"), "{:?}", host.signals());
    let notes = host.signals();
    let proxy = notes.iter().find_map(|line| line.strip_prefix("v1 LIVEKIT_URL ws://")).unwrap().to_owned();
    let ask = |head: String| {
        let mut stream = TcpStream::connect(&proxy).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let socket = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n";
    let forged = ApiKey::new("devkey", "guessed").worker_token(2_000_000_000);
    for token in [String::new(), format!("Authorization: Bearer {}\r\n", &*forged)] {
        let answer = ask(format!("GET /agent HTTP/1.1\r\nHost: {proxy}\r\n{socket}{token}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
    let body = r#"{"room": "long", "agent_name": "agent"}"#;
    let path = "/twirp/livekit.AgentDispatchService/CreateDispatch";
    let head = format!("POST {path} HTTP/1.1\r\nHost: {proxy}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let answer = ask(head);
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("invalid token"), "the server's own no: {answer}");
    host.signal(Signal::TERM);
    let _ = host.wait_for_log("has ended");
}
