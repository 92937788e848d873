//! The files in `deploy/` as their platforms read them, each with a real worker started by what it says.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{Caller, Worker, http, openrtc, said};
use openrtc_runtime::{Config, FLUSH, parse_duration};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

const ANY_PORT: &str = "127.0.0.1:0";

fn deploy(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file)).unwrap()
}

/// A file's settings on a machine of their own: every address a free port on loopback, every directory below `root`.
fn here(settings: Vec<(String, String)>, root: &Path) -> Vec<(String, String)> {
    let value_here = |value: String| match value {
        addr if addr.parse::<SocketAddr>().is_ok() => ANY_PORT.into(),
        path if path.starts_with('/') => root.join(path.trim_start_matches('/')).to_str().unwrap().into(),
        other => other,
    };
    settings.into_iter().map(|(name, value)| (name, value_here(value))).collect()
}

/// A worker started with exactly these arguments and this environment.
fn start(args: &[String], settings: &[(String, String)]) -> Worker {
    assert_eq!(args[0], "worker");
    let mut command = Command::new(openrtc());
    // `--json` is how the test learns the ports.
    command.env_clear().args(args).arg("--json");
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Worker::spawn(command, &settings)
}

/// Takes a call, is told to stop, lets the call end and leaves.
fn drains(worker: Worker) {
    let mut call = Caller::call(worker.calls, "call");
    worker.signal(Signal::TERM);
    worker.wait_until(|snapshot| snapshot["draining"] == true);
    call.talk(1);
    call.hang_up();
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

mod systemd {
    use super::*;

    const UNIT: &str = "systemd/openrtc-worker@.service";

    /// The values of a directive, with the instance's name put in.
    fn values(unit: &str, directive: &str) -> Vec<String> {
        let lines = unit.lines().filter_map(|line| line.strip_prefix(directive)?.strip_prefix('='));
        lines.map(|value| value.replace("%i", "v2").replace("%H", "host")).collect()
    }

    fn pairs<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
        let lines = lines.filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split_once('=').unwrap()).map(|(name, value)| (name.into(), value.into())).collect()
    }

    /// The unit and an environment file, installed below a root with a program in the program's place.
    fn installed() -> TempDir {
        let root = tempdir().unwrap();
        for (place, text) in [
            ("etc/systemd/system/openrtc-worker@.service", deploy(UNIT)),
            ("usr/local/bin/openrtc", "#!/bin/sh\n".into()),
        ] {
            let place = root.path().join(place);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(&place, text).unwrap();
            let mode = if place.ends_with("openrtc") { 0o755 } else { 0o644 };
            fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        }
        root
    }

    /// What `systemd-analyze` has to say against the installed unit; `None` where there is no systemd.
    fn verify(root: &Path) -> Option<String> {
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(["verify", "--recursive-errors=no", "--man=no", "--root"]).arg(root);
        let output = analyze.arg("openrtc-worker@v2.service").output().ok()?;
        Some(
            if output.status.success() { String::new() } else { said(&output) }
                + &String::from_utf8_lossy(&output.stderr),
        )
    }

    #[test]
    fn systemd_has_nothing_to_say_against_the_unit_and_does_against_a_broken_one() {
        let root = installed();
        let Some(problems) = verify(root.path()) else { return };
        assert!(!problems.contains("openrtc-worker"), "{problems}");
        let unit = root.path().join("etc/systemd/system/openrtc-worker@.service");
        let broken = deploy(UNIT).replace("Type=notify", "Type=notified").replace("KillMode=", "KilMode=");
        fs::write(unit, broken).unwrap();
        let problems = verify(root.path()).unwrap();
        assert!(problems.contains("notified") && problems.contains("KilMode"), "{problems}");
    }

    #[test]
    fn a_worker_started_as_the_unit_says_is_ready_then_drains() {
        let (unit, root) = (deploy(UNIT), tempdir().unwrap());
        let file = deploy("systemd/example.env");
        let lines = values(&unit, "Environment");
        let mut settings = pairs(lines.iter().map(String::as_str).chain(file.lines()));
        settings = here(settings, root.path());
        let known: BTreeMap<_, _> = settings.iter().cloned().collect();
        assert_eq!(known["OPENRTC_OPS_ADDR"], ANY_PORT);
        assert_eq!(values(&unit, "StateDirectory"), ["openrtc/v2"]);
        assert_eq!(values(&unit, "RuntimeDirectory"), ["openrtc/v2"]);
        let orders = PathBuf::from(&known["OPENRTC_OPS_SOCKET"]);
        assert!(orders.ends_with("run/openrtc/v2/ops.sock"), "in what RuntimeDirectory makes");
        fs::create_dir_all(orders.parent().unwrap()).unwrap();
        assert!(known["OPENRTC_JOURNAL_DIR"].ends_with("/var/lib/openrtc/v2"), "what StateDirectory makes");

        let exec = values(&unit, "ExecStart").remove(0);
        let args = exec.strip_prefix("/usr/local/bin/openrtc ").expect("the program").split(' ');
        let expand = |arg: &str| match arg.strip_prefix("${").and_then(|name| name.strip_suffix('}')) {
            Some(name) => known[name].clone(),
            None => arg.to_owned(),
        };
        let args: Vec<_> = args.map(expand).collect();
        let socket_path = root.path().join("notify");
        let socket = UnixDatagram::bind(&socket_path).unwrap();
        settings.push(("NOTIFY_SOCKET".into(), socket_path.to_str().unwrap().into()));
        let worker = start(&args, &settings);
        assert_eq!(values(&unit, "Type"), ["notify"]);
        let mut heard = [0; 512];
        let mut ready = false;
        while !ready {
            let length = socket.recv(&mut heard).unwrap();
            ready = String::from_utf8_lossy(&heard[..length]).contains("READY=1");
        }
        assert_eq!(worker.snapshot()["worker"], "host-v2");
        drains(worker);
        let made: Vec<_> = fs::read_dir(root.path().join("var/lib/openrtc/v2")).unwrap().collect();
        assert!(!made.is_empty(), "the journal is where the unit says");
    }

    #[test]
    fn two_versions_share_no_address_and_no_exit_on_purpose_is_repeated() {
        let unit = deploy(UNIT);
        assert!(!unit.contains("_ADDR="), "an address in the unit is one that all versions would share");
        assert_eq!(values(&unit, "EnvironmentFile"), ["/etc/openrtc/v2.env"]);
        assert_eq!(values(&unit, "RestartPreventExitStatus"), ["2 3 4"]);
        assert_eq!(values(&unit, "KillMode"), ["mixed"]);
        let silence = parse_duration(&values(&unit, "TimeoutStopSec")[0]).unwrap();
        let every = std::time::Duration::from_secs(10);
        assert!(silence >= 3 * every, "the worker asks for more time every {every:?}");
    }
}

mod kubernetes {
    use super::*;

    /// The worker's pod.
    fn pod(manifest: &str) -> Value {
        let manifest: Value = serde_saphyr::from_str(manifest).unwrap();
        assert_eq!((&manifest["apiVersion"], &manifest["kind"]), (&"apps/v1".into(), &"Deployment".into()));
        let (spec, template) = (&manifest["spec"], &manifest["spec"]["template"]);
        assert_eq!(spec["selector"]["matchLabels"], template["metadata"]["labels"], "it selects its own pods");
        template["spec"].clone()
    }

    /// The environment, with what the cluster fills in made up.
    fn settings(container: &Value) -> Vec<(String, String)> {
        let value = |variable: &Value| match (&variable["value"], &variable["valueFrom"]) {
            (Value::String(value), Value::Null) => value.clone(),
            (Value::Null, from) if from["fieldRef"]["fieldPath"] == "metadata.name" => "voice-agent-v2-abcde".into(),
            (Value::Null, from) if from["secretKeyRef"]["name"].is_string() => "0123456789abcdef".into(),
            _ => panic!("neither a text nor a reference: {variable}"),
        };
        let env = container["env"].as_array().unwrap();
        env.iter().map(|variable| (variable["name"].as_str().unwrap().into(), value(variable))).collect()
    }

    /// What is wrong with the order of the pod's deadlines.
    fn ladder(pod: &Value) -> Result<(), String> {
        let container = &pod["containers"][0];
        if !container["lifecycle"]["preStop"].is_null() {
            return Err("preStop takes its time from the drain".into());
        }
        let known: BTreeMap<_, _> = settings(container).into_iter().collect();
        let time = |name: &str| known.get(name).map(|text| parse_duration(text)).transpose();
        let grace = pod["terminationGracePeriodSeconds"].as_u64().map(std::time::Duration::from_secs);
        let told = time("OPENRTC_PLATFORM_GRACE")?;
        if grace.is_none() || told != grace {
            return Err(format!("the worker is told {told:?}, the platform gives {grace:?}"));
        }
        let drain = time("OPENRTC_DRAIN_TIMEOUT")?.ok_or("no drain timeout")?;
        let force = time("OPENRTC_FORCE_GRACE")?.unwrap_or_else(|| Config::default().force_grace);
        let needed = drain + force + FLUSH;
        if Some(needed) >= grace { Err(format!("{needed:?} do not fit into {grace:?}")) } else { Ok(()) }
    }

    #[test]
    fn the_deadlines_are_in_order_and_a_broken_order_is_found() {
        let manifest = deploy("kubernetes/worker.yaml");
        ladder(&pod(&manifest)).unwrap();
        for (from, to, says) in [
            ("Seconds: 7260", "Seconds: 7261", "is told"),
            ("value: 7260s", "value: 7259s", "is told"),
            ("value: 2h", "value: 121m", "do not fit"),
            (
                "          livenessProbe:",
                "          lifecycle: {preStop: {sleep: {seconds: 5}}}\n          livenessProbe:",
                "preStop",
            ),
        ] {
            assert!(manifest.contains(from), "{from}");
            let problem = ladder(&pod(&manifest.replace(from, to))).unwrap_err();
            assert!(problem.contains(says), "{problem:?} should say {says:?}");
        }
    }

    #[test]
    fn a_worker_started_as_the_manifest_says_answers_its_probes_then_drains() {
        let pod = pod(&deploy("kubernetes/worker.yaml"));
        let container = &pod["containers"][0];
        let root = tempdir().unwrap();
        let settings = settings(container);
        let args: Vec<String> =
            container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap().into()).collect();
        let mounted = container["volumeMounts"][0]["mountPath"].as_str().unwrap();
        assert!(settings.contains(&("OPENRTC_JOURNAL_DIR".into(), mounted.into())), "the journal is on the volume");
        assert_eq!(container["volumeMounts"][0]["name"], pod["volumes"][0]["name"]);
        let ports: BTreeMap<_, _> = container["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|port| (port["name"].as_str().unwrap(), port["containerPort"].as_u64().unwrap()))
            .collect();
        let ops = settings.iter().find(|(name, _)| name == "OPENRTC_OPS_ADDR").unwrap();
        assert_eq!(ops.1, format!("0.0.0.0:{}", ports["ops"]));
        assert_eq!(args, ["worker", "--listen", &format!("0.0.0.0:{}", ports["calls"])]);

        let args: Vec<_> = here(args.into_iter().map(|arg| (String::new(), arg)).collect(), root.path());
        let args: Vec<_> = args.into_iter().map(|(_, arg)| arg).collect();
        let worker = start(&args, &here(settings, root.path()));
        for (probe, says) in [("livenessProbe", "live\n"), ("readinessProbe", "ready\n")] {
            let get = &container[probe]["httpGet"];
            assert_eq!(get["port"], "ops", "{probe}");
            assert_eq!(http(worker.ops, "GET", get["path"].as_str().unwrap(), ""), says, "{probe}");
        }
        assert_ne!(container["livenessProbe"]["httpGet"]["path"], container["readinessProbe"]["httpGet"]["path"]);
        drains(worker);
        let journal: PathBuf = root.path().join(mounted.trim_start_matches('/'));
        assert!(fs::read_dir(journal).unwrap().count() > 1, "the journal is on the volume");
    }
}
