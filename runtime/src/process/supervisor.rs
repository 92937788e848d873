//! Who kills the process when it takes too long to drain, and after what time, unless the settings say.

use std::env;

/// Somebody who starts and stops processes, by the variable that he sets for them.
struct Supervisor {
    variable: &'static str,
    name: &'static str,
    /// What sets the time from his stop signal to SIGKILL.
    setting: &'static str,
    /// What it is by default.
    default: &'static str,
}

const fn supervisor(
    variable: &'static str,
    name: &'static str,
    setting: &'static str,
    default: &'static str,
) -> Supervisor {
    Supervisor { variable, name, setting, default }
}

const SUPERVISORS: [Supervisor; 6] = [
    supervisor("SUPERVISOR_ENABLED", "supervisord", "stopwaitsecs", "10 s"),
    supervisor("KUBERNETES_SERVICE_HOST", "Kubernetes", "terminationGracePeriodSeconds", "30 s"),
    supervisor("NOMAD_ALLOC_ID", "Nomad", "kill_timeout", "5 s"),
    supervisor("ECS_CONTAINER_METADATA_URI_V4", "ECS", "stopTimeout", "30 s"),
    supervisor("FLY_ALLOC_ID", "Fly", "kill_timeout", "5 s"),
    // Only without `Type=notify`: with it the worker asks for more time itself.
    supervisor("INVOCATION_ID", "systemd", "TimeoutStopSec", "90 s"),
];

/// Warns if nothing says how long the supervisor waits.
pub(crate) fn warn_of_unknown_grace() {
    #[expect(clippy::disallowed_methods, reason = "the supervisors' variables, which are no settings of ours")]
    let warning = unknown_grace(|name| env::var_os(name).is_some(), std::process::id());
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
}

fn unknown_grace(is_set: impl Fn(&str) -> bool, pid: u32) -> Option<String> {
    if is_set("NOTIFY_SOCKET") {
        return None;
    }
    let by = SUPERVISORS.iter().find(|by| is_set(by.variable));
    let (name, setting, default) = match by {
        Some(Supervisor { name, setting, default, .. }) => (*name, *setting, *default),
        None if pid == 1 => ("whoever stops this container", "`docker stop --time`, say", "10 s"),
        None => return None,
    };
    Some(format!(
        "{name} kills a worker that drains for longer than it waits ({setting}, by default {default}), and how long \
         that is was not said: set OPENRTC_PLATFORM_GRACE to it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_whose_grace_is_unknown_is_named_with_its_setting() {
        let warns = |set: &[&str], pid| unknown_grace(|name| set.contains(&name), pid).unwrap_or_default();
        assert!(warns(&["SUPERVISOR_ENABLED"], 7).contains("supervisord kills"));
        assert!(warns(&["INVOCATION_ID", "KUBERNETES_SERVICE_HOST"], 7).contains("terminationGracePeriodSeconds"));
        assert!(warns(&["INVOCATION_ID"], 7).contains("TimeoutStopSec"));
        assert_eq!(warns(&["INVOCATION_ID", "NOTIFY_SOCKET"], 7), "", "it asks for time itself");
        assert!(warns(&[], 1).contains("container"));
        assert_eq!(warns(&[], 7), "");
    }
}
