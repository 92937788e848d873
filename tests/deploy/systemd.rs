//! The unit, as systemd reads it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use e2e::said;
use openrtc_runtime::{VARIABLES, parse_duration};
use tempfile::{TempDir, tempdir};

use super::{ANY_PORT, deploy, drains, here, start};

const UNIT: &str = "systemd/openrtc-worker@.service";

/// The values of a directive, with the instance's name put in.
fn values(unit: &str, directive: &str) -> Vec<String> {
    let lines = unit.lines().filter_map(|line| line.strip_prefix(directive)?.strip_prefix('='));
    lines.map(|value| value.replace("%i", "green")).collect()
}

fn pairs<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    let lines = lines.filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once('=').unwrap()).map(|(name, value)| (name.into(), value.into())).collect()
}

/// The unit and an environment file, installed below a root with a program in the program's place.
fn installed() -> TempDir {
    let root = tempdir().unwrap();
    for (place, text) in
        [("etc/systemd/system/openrtc-worker@.service", deploy(UNIT)), ("usr/local/bin/openrtc", "#!/bin/sh\n".into())]
    {
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
    let output = analyze.arg("openrtc-worker@green.service").output().ok()?;
    Some(if output.status.success() { String::new() } else { said(&output) } + &String::from_utf8_lossy(&output.stderr))
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
    assert_eq!(values(&unit, "StateDirectory"), ["openrtc/green"]);
    assert_eq!(values(&unit, "RuntimeDirectory"), ["openrtc/green"]);
    let orders = Path::new(&known["OPENRTC_OPS_SOCKET"]);
    assert!(orders.ends_with("run/openrtc/green/ops.sock"), "in what RuntimeDirectory makes");
    fs::create_dir_all(orders.parent().unwrap()).unwrap();
    assert!(known["OPENRTC_JOURNAL_DIR"].ends_with("/var/lib/openrtc/green"), "what StateDirectory makes");

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
    let snapshot = worker.snapshot();
    assert_eq!((&snapshot["worker"], &snapshot["deployment_version"]), (&"green".into(), &"v2".into()));
    drains(worker);
    let made: Vec<_> = fs::read_dir(root.path().join("var/lib/openrtc/green")).unwrap().collect();
    assert!(!made.is_empty(), "the journal is where the unit says");
}

#[test]
fn two_versions_share_no_address_and_no_exit_on_purpose_is_repeated() {
    let unit = deploy(UNIT);
    assert!(!unit.contains("_ADDR="), "an address in the unit is one that all versions would share");
    assert_eq!(values(&unit, "EnvironmentFile"), ["/etc/openrtc/green.env"]);
    assert!(!unit.contains("DEPLOYMENT_VERSION="), "an instance is not one version for ever");
    assert_eq!(values(&unit, "RestartPreventExitStatus"), ["2 3 4"]);
    assert_eq!(values(&unit, "KillMode"), ["mixed"]);
    let silence = parse_duration(&values(&unit, "TimeoutStopSec")[0]).unwrap();
    let every = std::time::Duration::from_secs(10);
    assert!(silence >= 3 * every, "the worker asks for more time every {every:?}");
}

/// The score in the unit's comment is what systemd says.
#[test]
fn the_sandbox_is_as_tight_as_the_unit_says() {
    let root = installed();
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--no-pager", "--root"]).arg(root.path());
    let Ok(output) = analyze.arg("openrtc-worker@green.service").output() else { return };
    let said = String::from_utf8_lossy(&output.stdout);
    let overall =
        said.lines().find_map(|line| line.split_once("exposure level for ")).unwrap_or_else(|| panic!("{said}"));
    let score: f64 = overall.1.split_whitespace().nth(1).unwrap().parse().unwrap();
    let unit = deploy(UNIT);
    let claimed = unit.split_once("--offline=true` says ").unwrap().1.split(',').next().unwrap();
    assert!(score <= claimed.parse().unwrap(), "{score} is worse than {claimed}: {said}");
}

#[test]
fn a_full_worker_has_descriptors_to_spare_and_the_log_goes_where_the_units_does() {
    let unit = deploy(UNIT);
    let limit: u32 = values(&unit, "LimitNOFILE")[0].parse().unwrap();
    let capacity = VARIABLES.iter().find(|variable| variable.name == "OPENRTC_CAPACITY").unwrap().default;
    assert!(limit >= 8 * capacity.parse::<u32>().unwrap(), "{limit} descriptors for {capacity} calls");
    assert!(values(&unit, "StandardError").is_empty(), "the journal takes it");
}
