//! The unit of a host, as systemd reads it, and a host started by what it says.

use std::fs;
use std::process::{Command, Stdio};

use e2e::{TOKEN, openrtc, said};
use rustix::process::Signal;
use tempfile::tempdir;

use super::deploy;

const UNIT: &str = "systemd/openrtc-host.service";

fn value(unit: &str, directive: &str) -> String {
    let found = unit.lines().find_map(|line| line.strip_prefix(directive)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("there is no {directive}")).to_owned()
}

#[test]
fn systemd_has_nothing_to_say_against_the_unit_of_a_host() {
    let root = tempdir().unwrap();
    for (place, text) in [
        ("etc/systemd/system/openrtc-host.service", deploy(UNIT)),
        ("usr/local/bin/openrtc", "#!/bin/sh\n".into()),
        ("opt/agent/current/start", "#!/bin/sh\n".into()),
    ] {
        let place = root.path().join(place);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(&place, text).unwrap();
        let mode = if place.ends_with("openrtc-host.service") { 0o644 } else { 0o755 };
        fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["verify", "--recursive-errors=no", "--man=no", "--root"]).arg(root.path());
    // Where there is no systemd there is nobody to say anything.
    let Ok(output) = analyze.arg("openrtc-host.service").output() else { return };
    assert!(output.status.success() && !said(&output).contains("openrtc-host"), "{}", said(&output));
}

#[test]
fn a_host_started_as_the_unit_says_runs_the_link_and_a_reload_upgrades_it() {
    let (unit, root) = (deploy(UNIT), tempdir().unwrap());
    let agent = |version: &str| {
        let folder = root.path().join(version);
        fs::create_dir_all(&folder).unwrap();
        let start = folder.join("start");
        let program = "import os, socket\nlistener = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n\
                       while True: listener.accept()[0].close()\n";
        fs::write(&start, format!("#!/usr/bin/env python3\n# {version}\n{program}")).unwrap();
        fs::set_permissions(&start, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let link = root.path().join("current");
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(&folder, &link).unwrap();
    };
    agent("v1");
    let here = |text: &str| {
        let place = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
        let text = text.replace("/opt/agent/current", &place("current")).replace("0.0.0.0:8080", "127.0.0.1:0");
        text.replace("/run/openrtc-host", &place("run")).replace("/var/lib/openrtc-host", &place("state"))
    };
    fs::create_dir_all(root.path().join("run")).unwrap();
    let args = |directive: &str| {
        let line = here(&value(&unit, directive));
        let words: Vec<_> = line.split(' ').skip(1).map(str::to_owned).collect();
        words
    };
    let mut command = Command::new(openrtc());
    for line in unit.lines().filter_map(|line| line.strip_prefix("Environment=")) {
        let (name, value) = line.split_once('=').unwrap();
        command.env(name, here(value));
    }
    let log = root.path().join("log");
    let mut host = command
        .args(args("ExecStart"))
        .env("OPENRTC_OPS_TOKEN", TOKEN)
        .stdin(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    while !fs::read_to_string(&log).unwrap().contains("ready: version 1") {
        assert_eq!(host.try_wait().unwrap(), None, "{}", fs::read_to_string(&log).unwrap());
        std::thread::yield_now();
    }
    agent("v2");
    let reload = args("ExecReload");
    let reloaded = e2e::run(&reload.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(reloaded.status.success(), "{}\n{}", said(&reloaded), fs::read_to_string(&log).unwrap());
    e2e::signal(&host, Signal::TERM);
    assert_eq!(host.wait().unwrap().code(), Some(0), "{}", fs::read_to_string(&log).unwrap());
    assert_eq!((value(&unit, "Type"), value(&unit, "KillMode")), ("notify".into(), "mixed".into()));
}
