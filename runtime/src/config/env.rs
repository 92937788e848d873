//! The `OPENRTC_*` variables: one table, which the documentation is checked against.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;

use openrtc_core::worker::{BadPolicy, Leave};
use openrtc_records::journal::{JournalConfig, Sync};

use super::{Config, ConfigError, Duplicates, SocketMode, Start, parse_count, parse_duration};
use crate::secret::Secret;

/// One environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// The variable's name.
    pub name: &'static str,
    /// What it sets, in a few words.
    pub sets: &'static str,
    /// The value that holds when it is not set, in a few words.
    pub default: &'static str,
    /// Whether the value must not be shown.
    secret: bool,
    set: fn(&mut Config, &str) -> Result<(), String>,
}

const fn variable(
    name: &'static str,
    sets: &'static str,
    default: &'static str,
    set: fn(&mut Config, &str) -> Result<(), String>,
) -> Variable {
    Variable { name, sets, default, secret: false, set }
}

const JOURNAL_MAX_BYTES: &str = "the most bytes its segments may take; what became of the calls of older ones is kept \
                                 beside them, in about 75 bytes a call";

/// Every variable that [`Config::merge_vars`] knows, in the order in which they are set: those about the journal come
/// after `OPENRTC_JOURNAL_DIR`.
pub const VARIABLES: &[Variable] = &[
    variable("OPENRTC_DEPLOYMENT", "the service's name", "default", |config, text| {
        config.deployment = text.into();
        Ok(())
    }),
    variable("OPENRTC_DEPLOYMENT_VERSION", "the version this worker runs", "none: required", |config, text| {
        config.deployment_version = text.into();
        Ok(())
    }),
    variable("OPENRTC_WORKER", "the worker's place in the fleet", "the host's name", |config, text| {
        config.worker = Some(text.into());
        Ok(())
    }),
    variable("OPENRTC_CAPACITY", "the most calls in flight", "1000", |config, text| {
        config.capacity = parse_count(text)?;
        Ok(())
    }),
    variable("OPENRTC_CALL_DESCRIPTORS", "how many descriptors one call takes", "1", |config, text| {
        config.call_descriptors = parse_count(text)?;
        Ok(())
    }),
    variable("OPENRTC_RESERVATION_TTL", "how long an accepted offer waits to be assigned", "10s", |config, text| {
        config.reservation_ttl = parse_duration(text)?;
        Ok(())
    }),
    variable(
        "OPENRTC_DUPLICATES",
        "calls with an id that is in flight: `allow` or `refuse`",
        "allow",
        |config, text| {
            config.duplicates = match text {
                "allow" => Duplicates::Allow,
                "refuse" => Duplicates::Refuse,
                _ => return Err("use `allow` or `refuse`".into()),
            };
            Ok(())
        },
    ),
    variable("OPENRTC_STALL_AFTER", "silence after which a call is flagged, or `none`", "30s", |config, text| {
        config.stall_after[0] = optional_duration(text)?;
        Ok(())
    }),
    variable("OPENRTC_DRAIN_TIMEOUT", "when a drain is overdue, or `none`", "1h", |config, text| {
        config.drain_timeout = optional_duration(text)?;
        Ok(())
    }),
    variable("OPENRTC_ON_DEADLINE", "what happens then: wait, alert or force", "wait", |config, text| {
        config.on_deadline = text.parse().map_err(|error: BadPolicy| error.to_string())?;
        Ok(())
    }),
    variable("OPENRTC_LEAVE", "when it leaves: `when_drained` or `parked`", "when_drained", |config, text| {
        config.leave = match text {
            "when_drained" => Leave::WhenDrained,
            "parked" => Leave::Parked,
            _ => return Err("use `when_drained` or `parked`".into()),
        };
        Ok(())
    }),
    variable("OPENRTC_LAME_DUCK", "how long a worker that leaves goes on declining offers", "1s", |config, text| {
        config.lame_duck = parse_duration(text)?;
        Ok(())
    }),
    variable("OPENRTC_FORCE_GRACE", "how long calls have to end after a force", "2s", |config, text| {
        config.force_grace = parse_duration(text)?;
        Ok(())
    }),
    variable("OPENRTC_PLATFORM_GRACE", "the platform's time from SIGTERM to SIGKILL", "unknown", |config, text| {
        config.platform_grace = Some(parse_duration(text)?);
        Ok(())
    }),
    variable("OPENRTC_EXIT_WATCHDOG", "how long the process may stay after its worker left", "2s", |config, text| {
        config.exit_watchdog = parse_duration(text)?;
        Ok(())
    }),
    variable("OPENRTC_JOURNAL_DIR", "the journal's directory, one per worker", "no journal", |config, text| {
        config.journal = Some(JournalConfig::new(text));
        Ok(())
    }),
    variable("OPENRTC_JOURNAL_SYNC", "when it is forced to disk: `always` or a period", "1s", |config, text| {
        journal(config)?.sync = match text {
            "always" => Sync::Always,
            period => Sync::Every(parse_duration(period)?),
        };
        Ok(())
    }),
    variable("OPENRTC_JOURNAL_MAX_BYTES", JOURNAL_MAX_BYTES, "268435456", |config, text| {
        journal(config)?.total_bytes = text.parse().map_err(|error| format!("{error}; give a number of bytes"))?;
        Ok(())
    }),
    variable("OPENRTC_AUDIT_FILE", "the audit trail's file, continued if it exists", "no trail", |config, text| {
        config.audit_file = Some(text.into());
        Ok(())
    }),
    variable("OPENRTC_AUDIT_MAX_BYTES", "how long that file gets before it is rotated", "67108864", |config, text| {
        config.audit_max_bytes = text.parse().map_err(|error| format!("{error}; give a number of bytes"))?;
        Ok(())
    }),
    variable("OPENRTC_AUDIT_WEBHOOK", "the URL that the trail is sent to as well", "nowhere", |config, text| {
        config.audit_webhook = Some(text.into());
        Ok(())
    }),
    variable(
        "OPENRTC_SIGNING_KEY_FILE",
        "the key that signs the audit trail and membership",
        "no key",
        |config, text| {
            config.signing_key_file = Some(text.into());
            Ok(())
        },
    ),
    Variable {
        secret: true,
        ..variable("OPENRTC_SIGNING_KEY", "the same key as 64 hex digits; prefer the file", "no key", |config, text| {
            config.signing_key = Some(Secret::new(text));
            Ok(())
        })
    },
    variable(
        "OPENRTC_REGISTER_URL",
        "the registrar that must admit the worker first",
        "no registrar",
        |config, text| {
            config.register = Some(text.into());
            Ok(())
        },
    ),
    variable("OPENRTC_COORDINATOR", "the coordinator that the worker dials in to", "no coordinator", |config, text| {
        config.coordinator = Some(text.into());
        Ok(())
    }),
    variable(
        "OPENRTC_TLS_CA_FILE",
        "the authorities (PEM) to trust when asking over HTTPS",
        "the platform's",
        |config, text| {
            config.tls_ca_file = Some(text.into());
            Ok(())
        },
    ),
    variable("OPENRTC_OPS_ADDR", "where the ops endpoints listen", "nowhere", |config, text| {
        config.ops = Some(text.parse().map_err(|error| format!("{error}; write it like 127.0.0.1:9464"))?);
        Ok(())
    }),
    variable("OPENRTC_OPS_SOCKET", "the Unix socket they listen on as well", "nowhere", |config, text| {
        config.ops_socket = Some(text.into());
        Ok(())
    }),
    variable("OPENRTC_OPS_SOCKET_MODE", "whom it lets in: `600` or `660`", "600", |config, text| {
        config.ops_socket_mode = match text {
            "600" | "0600" => SocketMode::Owner,
            "660" | "0660" => SocketMode::Group,
            _ => return Err("use `600` (its owner) or `660` (its group too)".into()),
        };
        Ok(())
    }),
    Variable {
        secret: true,
        ..variable("OPENRTC_OPS_TOKEN", "what orders over TCP must present", "TCP is read-only", |config, text| {
            config.ops_token = Some(Secret::new(text));
            Ok(())
        })
    },
    variable("OPENRTC_OPS_TLS_CERT_FILE", "the ops endpoints' certificate (PEM)", "plain HTTP", |config, text| {
        config.ops_tls_cert_file = Some(text.into());
        Ok(())
    }),
    variable("OPENRTC_OPS_TLS_KEY_FILE", "its key (PEM), not readable by others", "plain HTTP", |config, text| {
        config.ops_tls_key_file = Some(text.into());
        Ok(())
    }),
    variable("OPENRTC_START", "`serving` or `standby`", "serving", |config, text| {
        config.start = match text {
            "serving" => Start::Serving,
            "standby" => Start::Standby,
            _ => return Err("use `serving` or `standby`".into()),
        };
        Ok(())
    }),
];

impl Config {
    /// Sets what `vars` says: names and values as the environment has them, or from any map. Returns the names that
    /// begin with `OPENRTC_` and mean nothing, most likely because they are misspelt. Of two values for one name the
    /// last counts. Only the form of each value is judged; [`Config::check`] judges them together.
    ///
    /// # Errors
    /// At the first value that cannot be read. The settings before it in [`VARIABLES`] are set then.
    pub fn merge_vars<N, V>(&mut self, vars: impl IntoIterator<Item = (N, V)>) -> Result<Vec<String>, ConfigError>
    where
        N: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let mut given = BTreeMap::new();
        for (name, value) in vars {
            if let Some(name) = name.as_ref().to_str().filter(|name| name.starts_with("OPENRTC_")) {
                given.insert(name.to_owned(), value.as_ref().to_owned());
            }
        }
        for variable in VARIABLES {
            if let Some(value) = given.remove(variable.name) {
                variable.set(self, &value)?;
            }
        }
        Ok(given.into_keys().collect())
    }

    /// Sets what the process's environment says, and logs a warning for each `OPENRTC_` variable that means nothing.
    pub fn merge_env(&mut self) -> Result<(), ConfigError> {
        for name in self.merge_vars(env::vars_os())? {
            tracing::warn!(name, "unknown OPENRTC_ variable: it has no effect (misspelt?)");
        }
        Ok(())
    }
}

impl Variable {
    fn set(&self, config: &mut Config, value: &OsStr) -> Result<(), ConfigError> {
        let refused = |shown: &str, problem: String| {
            let value = if self.secret { "…" } else { shown }.to_owned();
            ConfigError::Variable { name: self.name, value, problem }
        };
        let text = value.to_str().ok_or_else(|| refused("…", "it is not valid UTF-8".into()))?;
        (self.set)(config, text).map_err(|problem| refused(text, problem))
    }
}

fn journal(config: &mut Config) -> Result<&mut JournalConfig, String> {
    config.journal.as_mut().ok_or_else(|| "set OPENRTC_JOURNAL_DIR too: there is no journal without it".into())
}

fn optional_duration(text: &str) -> Result<Option<std::time::Duration>, String> {
    match text {
        "none" => Ok(None),
        text => parse_duration(text).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_set(name: &str, value: &str) -> Result<Config, String> {
        let mut config = Config::default();
        let unknown = config.merge_vars([(name, value)]).map_err(|error| error.to_string())?;
        assert_eq!(unknown, [""; 0], "a known variable");
        Ok(config)
    }

    #[test]
    fn a_bad_value_is_named_with_its_variable() {
        let error = try_set("OPENRTC_DRAIN_TIMEOUT", "soon").expect_err("not a duration");
        assert!(error.starts_with("OPENRTC_DRAIN_TIMEOUT=\"soon\":"), "{error}");
    }

    #[test]
    fn a_secret_is_never_shown() {
        let error =
            try_set("OPENRTC_OPS_TOKEN", "hunter2").expect("judged with the rest").check().expect_err("too short");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        let config = try_set("OPENRTC_OPS_TOKEN", "0123456789abcdef").expect("long enough");
        assert!(!format!("{config:?}").contains("0123456789abcdef"));
    }

    #[test]
    fn journal_settings_need_a_journal() {
        let error = try_set("OPENRTC_JOURNAL_SYNC", "always").expect_err("no directory");
        assert!(error.contains("OPENRTC_JOURNAL_DIR"), "{error}");
    }

    #[test]
    fn none_is_written_out() {
        assert_eq!(try_set("OPENRTC_DRAIN_TIMEOUT", "none").expect("valid").drain_timeout, None);
    }
}
