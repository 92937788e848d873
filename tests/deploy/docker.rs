//! The image, as Docker would start it.

use tempfile::tempdir;

use super::{args_here, deploy, drains, start};

/// What an instruction of the last stage says.
fn instruction(file: &str, name: &str) -> String {
    let stage = file.rsplit_once("\nFROM ").unwrap().1;
    let line = stage.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).to_owned()
}

/// The words of an instruction in exec form. In shell form a shell would be process 1, and keep SIGTERM.
fn exec(file: &str, name: &str) -> Vec<String> {
    serde_json::from_str(&instruction(file, name)).unwrap_or_else(|_| panic!("{name} is not in exec form"))
}

#[test]
fn the_worker_is_process_1_and_not_root() {
    let file = deploy("docker/Dockerfile");
    let entry = exec(&file, "ENTRYPOINT");
    let [program] = &entry[..] else { panic!("{entry:?}") };
    assert!(instruction(&file, "COPY").ends_with(program.as_str()), "what is started is what is copied");
    let user = instruction(&file, "USER");
    let (user, group) = user.split_once(':').unwrap();
    assert!(user.parse::<u32>().unwrap() > 0 && group.parse::<u32>().unwrap() > 0);
    assert_eq!(instruction(&file, "STOPSIGNAL"), "SIGTERM");

    let root = tempdir().unwrap();
    let journal = root.path().join("journal").to_str().unwrap().to_owned();
    let settings = [("OPENRTC_DEPLOYMENT_VERSION", "v2"), ("OPENRTC_JOURNAL_DIR", &journal)];
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    drains(start(&args_here(exec(&file, "CMD").iter().map(String::as_str)), &settings));
}

#[test]
fn the_image_has_the_user_and_the_journal_that_kubernetes_and_compose_expect() {
    let (file, pod) = (deploy("docker/Dockerfile"), deploy("kubernetes/worker.yaml"));
    let user = instruction(&file, "USER");
    assert!(pod.contains(&format!("runAsUser: {}", user.split_once(':').unwrap().0)));
    for expects in [pod, deploy("compose/compose.yaml")] {
        assert!(expects.contains("/journal") && file.contains(&format!("--chown={user} /image/journal /journal")));
    }
}
