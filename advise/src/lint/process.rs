//! A process that some file starts: its command, its environment, and how long it takes to leave.

use std::time::Duration;

use openrtc_core::worker::OnDeadline;
use openrtc_runtime::{Config, ConfigError, FLUSH, VARIABLES};

use super::Options;
use super::yaml::Node;

/// A program whose drain has no end is given this much at least, unless the longest call is stated.
pub(super) const ENDLESS: Duration = Duration::from_hours(1);

/// A variable of an environment.
#[derive(Clone, Debug)]
pub(super) struct Var {
    pub(super) name: String,
    /// `None`: it comes from elsewhere.
    pub(super) value: Option<String>,
    pub(super) line: usize,
}

impl Var {
    /// `NAME=value`.
    pub(super) fn of_pair(pair: &str, line: usize) -> Option<Self> {
        let (name, value) = pair.split_once('=')?;
        Some(Self { name: name.into(), value: Some(value.into()), line })
    }

    /// An entry of a list, with its name and its value under these keys.
    pub(super) fn of_entry(entry: &Node, [name, value]: [&str; 2]) -> Option<Self> {
        let value = entry.text_of(value).map(Into::into);
        Some(Self { name: entry.text_of(name)?.into(), value, line: entry.line })
    }
}

/// A process.
#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    pub(super) image: String,
    /// The words of its command, as far as the file has them.
    pub(super) command: Vec<String>,
    pub(super) command_line: usize,
    pub(super) env: Vec<Var>,
}

/// How long it takes to leave, and how that is known.
#[derive(Clone, Debug)]
pub(super) struct Timing {
    /// How long its drain may take; `None`: as long as its calls.
    pub(super) drain: Option<Duration>,
    /// From SIGTERM to its exit; `None`: as long as its calls.
    pub(super) leave: Option<Duration>,
    /// What says so.
    pub(super) by: String,
    /// Whether it is a worker of this project, by its settings.
    pub(super) is_openrtc: bool,
    /// Whether its health answer says that it drains.
    pub(super) probe_follows_drain: bool,
}

impl Timing {
    /// What there must be between SIGTERM and SIGKILL: more than this.
    pub(super) fn needed(&self, options: &Options) -> Duration {
        self.leave.unwrap_or_else(|| options.longest_call.unwrap_or(ENDLESS))
    }

    /// The same in words.
    pub(super) fn told(&self, options: &Options) -> String {
        match (self.leave, options.longest_call) {
            (Some(leave), _) => format!("{} to leave ({})", say(leave), self.by),
            (None, Some(longest)) => format!("as long as its calls, {} ({})", say(longest), self.by),
            (None, None) => format!("as long as its calls, which are taken to last an hour ({})", self.by),
        }
    }
}

/// Programs that are known: how to tell them, and how long their drain takes.
const PROGRAMS: &[(&str, &[&str], Option<u64>)] = &[
    ("LiveKit's server", &["livekit/livekit-server"], None),
    ("LiveKit's SIP service", &["livekit/sip"], None),
    ("Mattermost's rtcd", &["mattermost/rtcd"], None),
    ("Jitsi Videobridge", &["jitsi/jvb", "jvb:"], Some(86_400)),
];

/// LiveKit's SDK waits so long for the jobs of a worker that drains, in seconds.
const LIVEKIT_AGENTS: u64 = 3_600;

impl Process {
    /// The value of a variable, if the file has it.
    pub(super) fn var(&self, name: &str) -> Option<&Var> {
        self.env.iter().rev().find(|var| var.name == name)
    }

    /// How long it takes to leave, if anything says so.
    pub(super) fn timing(&self, options: &Options) -> Option<Timing> {
        if let Some(settings) = self.settings() {
            let config = settings.config;
            let drain = config.drain_timeout;
            let by = match drain {
                Some(drain) => format!(
                    "OPENRTC_DRAIN_TIMEOUT {}, a force's grace {}, {} to flush",
                    say(drain),
                    say(config.force_grace),
                    say(FLUSH)
                ),
                None => "OPENRTC_DRAIN_TIMEOUT is none".to_owned(),
            };
            let leave = config.time_to_leave();
            return Some(Timing { drain, leave, by, is_openrtc: true, probe_follows_drain: true });
        }
        if let Some(drain) = options.drain {
            let by = "--drain, and 2s to flush".to_owned();
            let leave = Some(drain.saturating_add(FLUSH));
            return Some(Timing { drain: Some(drain), leave, by, is_openrtc: false, probe_follows_drain: true });
        }
        let known = |name: &str, drain: Option<u64>| {
            let drain = drain.map(Duration::from_secs);
            Timing { drain, leave: drain, by: name.to_owned(), is_openrtc: false, probe_follows_drain: false }
        };
        let program = PROGRAMS.iter().find(|(_, images, _)| images.iter().any(|image| self.image.contains(image)));
        if let Some((name, _, drain)) = program {
            return Some(known(name, *drain));
        }
        let is_agent = self.var("LIVEKIT_URL").is_some() && self.var("LIVEKIT_API_KEY").is_some();
        (is_agent && !self.image.contains("livekit/")).then(|| {
            known(
                "an agent of LiveKit's SDK, by its LIVEKIT_URL: it drains for an hour by itself",
                Some(LIVEKIT_AGENTS),
            )
        })
    }

    /// The same of a process with these names: a worker by its settings, or one that the options may name.
    pub(super) fn timing_of(&self, names: &[&str], options: &Options) -> Option<Timing> {
        let workers = &options.workers;
        let is_named = workers.is_empty() || workers.iter().any(|worker| names.contains(&worker.as_str()));
        self.timing(options).filter(|timing| timing.is_openrtc || is_named)
    }

    /// What its environment says, if it is a worker of this project.
    pub(super) fn settings(&self) -> Option<Settings> {
        if !self.env.iter().any(|var| var.name.starts_with("OPENRTC_")) {
            return None;
        }
        let mut settings = Settings { config: Config::default(), bad: Vec::new(), unknown: Vec::new() };
        let known = |name: &str| VARIABLES.iter().position(|variable| variable.name == name);
        let mut vars: Vec<_> = self.env.iter().filter(|var| var.name.starts_with("OPENRTC_")).collect();
        vars.sort_by_key(|var| known(&var.name));
        for var in vars {
            if known(&var.name).is_none() {
                settings.unknown.push(var.clone());
                continue;
            }
            let Some(value) = var.value.as_deref().and_then(literal) else { continue };
            if let Err(error) = settings.config.merge_vars([(&var.name, value)]) {
                settings.bad.push((var.line, error.to_string()));
            }
        }
        Some(settings)
    }
}

/// The settings of a worker of this project.
pub(super) struct Settings {
    pub(super) config: Config,
    /// Values that cannot be read, with their lines.
    pub(super) bad: Vec<(usize, String)>,
    /// Variables that mean nothing.
    pub(super) unknown: Vec<Var>,
}

impl Settings {
    /// What the worker would refuse at start; what the file does not say is taken to be right.
    pub(super) fn refused(&self) -> Option<ConfigError> {
        let mut config = self.config.clone();
        if config.deployment_version.is_empty() {
            config.deployment_version = "unknown".into();
        }
        config.worker.get_or_insert_with(|| "unknown".into());
        if config.register.is_some() && config.signing_key.is_none() && config.signing_key_file.is_none() {
            // The key may be set where this file does not show it.
            config.register = None;
        }
        match config.check().err()? {
            // That this build cannot judge them says nothing of the worker's.
            ConfigError::WithoutHttp(_) | ConfigError::WithoutTls(_) => {
                (config.ops, config.ops_socket, config.register, config.audit_webhook) = (None, None, None, None);
                (config.ops_tls_cert_file, config.ops_tls_key_file, config.tls_ca_file) = (None, None, None);
                config.check().err()
            }
            error => Some(error),
        }
    }

    /// Whether it forces what is left at its deadline.
    pub(super) fn forces(&self) -> bool {
        self.config.on_deadline == OnDeadline::Force
    }
}

/// A value as it will be, unless it is put together elsewhere: `${NAME:-default}` is its default.
pub(super) fn literal(text: &str) -> Option<&str> {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        return inner.split_once(":-").map(|(_, default)| default).filter(|default| !default.contains('$'));
    }
    (!text.contains(['$', '%']) && !text.contains("{{")).then_some(text)
}

/// A time in words.
pub(super) fn say(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, _) => format!("{seconds}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (hours, 0, 0) => format!("{hours}h"),
        (0, minutes, rest) => format!("{minutes}m{rest}s"),
        (hours, minutes, 0) => format!("{hours}h{minutes}m"),
        (hours, minutes, rest) => format!("{hours}h{minutes}m{rest}s"),
    }
}

/// The words of a shell's script, if the command is one: `sh -c SCRIPT`.
pub(super) fn script(command: &[String]) -> Option<&str> {
    let shell = command.first()?.rsplit('/').next()?;
    if !["sh", "bash", "ash", "dash"].contains(&shell) {
        return None;
    }
    let flag =
        command.iter().position(|word| word.starts_with('-') && word.ends_with('c') && !word.starts_with("--"))?;
    command.get(flag + 1).map(String::as_str)
}

/// What a script does with the signals for its last command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passes {
    /// It becomes its last command: `exec`, or it waits and passes signals on itself.
    Yes,
    /// It is one simple command, which some shells become and others do not.
    Perhaps,
    /// The shell stays process 1, and the signal stays with it.
    No,
}

/// Whether a script's last command gets the signals.
pub(super) fn passes(script: &str) -> Passes {
    let last = script.trim().trim_end_matches(';').rsplit(['\n', ';', '&', '|']).find(|part| !part.trim().is_empty());
    let last = last.unwrap_or_default().trim();
    if last.starts_with("exec ") || script.contains("trap ") || script.contains("tini") || script.contains("dumb-init")
    {
        Passes::Yes
    } else if script.trim().contains(['\n', ';', '&', '|']) {
        Passes::No
    } else {
        Passes::Perhaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(env: &[(&str, &str)]) -> Process {
        let var = |(name, value): &(&str, &str)| Var { name: (*name).into(), value: Some((*value).into()), line: 1 };
        Process { env: env.iter().map(var).collect(), ..Process::default() }
    }

    #[test]
    fn the_time_to_leave_is_the_workers_own_sum() {
        let options = Options::default();
        let of = |env: &[(&str, &str)]| process(env).timing(&options).expect("a worker").leave;
        let secs = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(of(&[("OPENRTC_CAPACITY", "5")]), secs(3_604), "an hour, 2 s, 2 s");
        assert_eq!(of(&[("OPENRTC_DRAIN_TIMEOUT", "${D:-60s}"), ("OPENRTC_FORCE_GRACE", "10s")]), secs(72));
        assert_eq!(of(&[("OPENRTC_DRAIN_TIMEOUT", "1s"), ("OPENRTC_LAME_DUCK", "30s")]), secs(32));
        assert_eq!(of(&[("OPENRTC_DRAIN_TIMEOUT", "none")]), None);
        assert!(process(&[("PORT", "1")]).timing(&options).is_none());
        let agent = process(&[("LIVEKIT_URL", "x"), ("LIVEKIT_API_KEY", "y")]);
        assert_eq!(agent.timing(&options).and_then(|timing| timing.leave), secs(3_600));
    }

    #[test]
    fn scripts_are_told_from_commands_and_by_their_last_word() {
        let words = |line: &str| super::super::yaml::words(line);
        assert_eq!(script(&words("/bin/sh -ec 'a; exec b'")), Some("a; exec b"));
        assert_eq!(script(&words("python -c 'x'")), None);
        let all = ["a; exec b", "a && b", "python bot.py", "trap 'kill $p' TERM; a & wait", "a\nb\n"].map(passes);
        assert_eq!(all, [Passes::Yes, Passes::No, Passes::Perhaps, Passes::Yes, Passes::No]);
    }
}
