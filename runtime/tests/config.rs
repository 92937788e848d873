//! Settings are judged without side effects, whatever they are read from.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use openrtc_runtime::{
    Actor, AgentPool, BadDeadline, CallId, Cause, CommandError, Config, ConfigError, Control, DrainTerms, KeyError,
    Leave, OnDeadline, StartError, Terms,
};
use tempfile::tempdir;

const ALICE: Actor = Actor::from_static("alice");

/// Settings read from any map, as a manifest's would be.
fn read(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let vars: BTreeMap<String, String> =
        vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut config = Config::default();
    config.merge_vars(&vars).map(|_| config)
}

#[test]
fn settings_come_from_any_map_and_what_means_nothing_is_named() {
    let mut config = Config::default();
    let unknown = config.merge_vars([
        ("PATH", "/bin"),
        ("OPENRTC_LEAVE", "parked"),
        ("OPENRTC_CAPACTIY", "7"),
        ("OPENRTC_CAPACITY", "8"),
        ("OPENRTC_CAPACITY", "9"),
    ]);
    assert_eq!(unknown.unwrap(), ["OPENRTC_CAPACTIY"]);
    assert_eq!((config.leave, config.capacity), (Leave::Parked, 9), "the last of two counts");
    // A journal's settings may come before its directory.
    let config = read(&[("OPENRTC_JOURNAL_DIR", "j"), ("OPENRTC_JOURNAL_MAX_BYTES", "4096")]).unwrap();
    assert_eq!(config.journal.unwrap().total_bytes, 4096);
    let binary = [("OPENRTC_WORKER", OsString::from_vec(vec![0xff]))];
    let error = Config::default().merge_vars(binary).unwrap_err().to_string();
    assert!(error.contains("OPENRTC_WORKER") && error.contains("UTF-8"), "{error}");
}

#[test]
fn a_check_reads_opens_and_creates_nothing() {
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (journal, trail, key) = (path("journal"), path("trail.jsonl"), path("worker.key"));
    let mut vars = vec![
        ("OPENRTC_DEPLOYMENT_VERSION", "v1"),
        ("OPENRTC_JOURNAL_DIR", &journal),
        ("OPENRTC_AUDIT_FILE", &trail),
        ("OPENRTC_SIGNING_KEY_FILE", &key),
    ];
    // A key that is not there is no fault of the settings; reading it is a step of its own.
    let config = read(&vars).unwrap();
    config.check().unwrap();
    assert!(matches!(config.signing_key(), Err(KeyError::Io { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

    // Nor is anything there when a pool fails to start for it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let started = AgentPool::builder().config(config).signals(false).control(Control::Shared).build();
    assert!(matches!(started, Err(StartError::Key(KeyError::Io { .. }))), "{started:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

    for (name, value, says) in [
        ("OPENRTC_CAPACITY", "0", "capacity is 0"),
        ("OPENRTC_SIGNING_KEY", "a7", "keep one"),
        ("OPENRTC_DEPLOYMENT", "a b", "without spaces"),
        ("OPENRTC_ON_DEADLINE", "force", ""),
    ] {
        vars.push((name, value));
        let judged = read(&vars).unwrap().check();
        vars.pop();
        match judged {
            Ok(()) => assert_eq!(says, "", "{name} is fine"),
            Err(error) => assert!(!says.is_empty() && error.to_string().contains(says), "{error}"),
        }
    }
    let error = read(&[("OPENRTC_DEPLOYMENT_VERSION", "v1"), ("OPENRTC_AUDIT_FILE", &trail)]).unwrap().check();
    assert!(matches!(error, Err(ConfigError::TrailWithoutJournal)), "{error:?}");
}

#[cfg(feature = "tls")]
#[test]
fn a_coordinator_is_one_that_nobody_on_the_way_can_pose_as() {
    let check = |more: &[(&str, &str)]| {
        let vars = [("OPENRTC_DEPLOYMENT_VERSION", "v1"), ("OPENRTC_SIGNING_KEY_FILE", "key")];
        let checked = read(&[&vars[..], more].concat()).unwrap().check();
        checked.err().map(|error| error.to_string()).unwrap_or_default()
    };
    for (url, says) in [
        ("http://127.0.0.1:9600", ""),
        ("http://localhost:9600/prefix/", ""),
        ("http://[::1]:9600", ""),
        ("https://coordinator.example", ""),
        ("http://10.0.0.1:9600", "must be an https:// URL"),
        ("http://localhost.example", "must be an https:// URL"),
        ("ws://127.0.0.1:9600", "is not a URL like"),
        ("https://me:hunter2@coordinator.example", "leave out everything up to the @"),
    ] {
        let error = check(&[("OPENRTC_COORDINATOR", url)]);
        assert!(error.contains(says) && (error.is_empty() == says.is_empty()), "{url}: {error:?}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let both = [("OPENRTC_COORDINATOR", "http://127.0.0.1:1"), ("OPENRTC_REGISTER_URL", "http://127.0.0.1:1/register")];
    assert!(check(&both).contains("keep one"));
    let keyless = read(&[("OPENRTC_DEPLOYMENT_VERSION", "v1"), both[0]]).unwrap().check();
    assert!(matches!(keyless, Err(ConfigError::RegisterWithoutKey)), "{keyless:?}");
}

#[test]
fn a_pool_that_cannot_start_says_whether_the_settings_are_to_blame() {
    let outside = AgentPool::builder().deployment_version("v1").build();
    assert!(matches!(outside, Err(StartError::NoRuntime)), "{outside:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let builder = || AgentPool::builder().deployment_version("v1").signals(false).control(Control::Shared);
    let settings = builder().capacity(0).build();
    assert!(matches!(settings, Err(StartError::Config(ConfigError::Limits(_)))), "{settings:?}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let journal = builder().journal_dir(file.path().to_owned()).build();
    assert!(matches!(journal, Err(StartError::Journal(_))), "{journal:?}");
    let sink = builder().audit_sink(|_: &[u8]| Ok(())).build();
    assert!(matches!(sink, Err(StartError::Config(ConfigError::TrailWithoutJournal))), "{sink:?}");
    #[cfg(feature = "http")]
    {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let ops = builder().ops(taken.local_addr().unwrap()).build();
        assert!(matches!(ops, Err(StartError::Ops { .. })), "{ops:?}");
    }
}

/// No argument makes the library panic, also the largest.
#[tokio::test(start_paused = true)]
async fn the_longest_durations_there_are_mean_never() {
    let (most, a_year) = (Duration::MAX, Duration::from(Terms::LONGEST));
    let builder = || AgentPool::builder().deployment_version("v1").control(Control::Shared);
    for slip in [builder().drain_timeout(most), builder().force_grace(most), builder().lame_duck(most)] {
        assert!(matches!(slip.build(), Err(StartError::Config(ConfigError::Long(_)))));
    }
    let builder = builder().drain_timeout(a_year).force_grace(a_year).lame_duck(a_year);
    let pool = builder.reservation_ttl(most).stall_after(Some(most)).capacity(2).build().unwrap();
    let call = pool.admit(CallId::from_static("call")).unwrap();
    let reservation = pool.reserve(CallId::from_static("reserved")).unwrap();
    call.progress();
    pool.begin_drain(ALICE).unwrap();
    assert_eq!(pool.extend_drain(ALICE, most), Err(CommandError::BadDeadline(BadDeadline::TooFar)));
    let terms = DrainTerms { timeout: Some(most), on_deadline: OnDeadline::Force };
    assert_eq!(pool.begin_drain_with(Cause::Api, ALICE, terms), Err(CommandError::BadDeadline(BadDeadline::TooFar)));
    tokio::time::sleep(Duration::from_hours(24)).await;
    pool.force_drain(ALICE).unwrap();
    call.cancelled().await;
    drop((call, reservation));
    pool.drained().await;
}
