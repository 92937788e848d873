//! A configuration taken apart: each room gets only what it needs, and a secret goes where it is used and nowhere else.

use std::path::PathBuf;
use std::time::Duration;

use openrtc_core::id::{Deployment, Identity, Incarnation, Version, WorkerId};
use openrtc_core::membership::SigningKey;
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::{BadDeadline, Leave, Limits, OnDeadline, Terms};
use openrtc_records::journal::{JournalConfig, Sync};

#[cfg(feature = "http")]
use super::SocketMode;
#[cfg(feature = "http")]
use super::url::parse_url;
use super::{Config, ConfigError, Control, Duplicates, FLUSH, Start};
use crate::secret::{KeyError, Secret, parse_signing_key, read_signing_key};

/// An audit file that is shorter than this is not worth rotating.
const AUDIT_BYTES_MIN: u64 = 4_096;

/// The longest path of a Unix socket that the system takes, in bytes.
const SOCKET_PATH_MAX: usize = 107;

/// Everything that a pool starts from, checked.
pub(crate) struct Settings {
    /// What the worker machine is allowed.
    pub(crate) limits: Limits,
    /// Who the worker is; its incarnation is numbered when the journal is opened.
    pub(crate) identity: Identity,
    pub(crate) terms: DrainTerms,
    pub(crate) start: Start,
    pub(crate) signals: bool,
    pub(crate) control: Control,
    /// Zero: there is none.
    pub(crate) exit_watchdog: Duration,
    pub(crate) call_descriptors: u32,
    pub(crate) platform_grace: Option<Duration>,
    pub(crate) duplicates: Duplicates,
    pub(crate) journal: Option<JournalConfig>,
    /// What the trail and the worker's membership are signed with; `None` if nothing is signed.
    pub(crate) key: Option<KeySource>,
    /// `None` without a file and without a sink.
    pub(crate) trail: Option<TrailSettings>,
    #[cfg(feature = "http")]
    pub(crate) http: HttpSettings,
}

/// The deadline and policy of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainTerms {
    /// How long after its beginning the drain is overdue. `None`: it never is.
    pub timeout: Option<Duration>,
    /// What happens when it is overdue.
    pub on_deadline: OnDeadline,
}

/// Where a signing key comes from.
pub(crate) enum KeySource {
    File(PathBuf),
    Given(SigningKey),
}

impl KeySource {
    /// The key itself. Reads the file, if it is in one.
    pub(crate) fn read(self) -> Result<SigningKey, KeyError> {
        match self {
            Self::File(path) => read_signing_key(&path),
            Self::Given(key) => Ok(key),
        }
    }
}

/// The audit trail of a worker.
pub(crate) struct TrailSettings {
    /// The directory of the journal that it is derived from.
    pub(crate) journal: PathBuf,
    pub(crate) file: Option<PathBuf>,
    /// How long the file gets, in bytes.
    pub(crate) max_bytes: u64,
    /// When the file is forced to the disk.
    pub(crate) sync: Sync,
    /// Where it is sent, if there is a file to send from.
    #[cfg(feature = "http")]
    pub(crate) webhook: Option<reqwest::Url>,
}

/// What is served and asked over HTTP.
#[cfg(feature = "http")]
pub(crate) struct HttpSettings {
    pub(crate) ops: Option<OpsSettings>,
    /// Where the worker registers. Needs a key.
    pub(crate) register: Option<reqwest::Url>,
    /// The coordinator that it dials in to. Needs a key.
    pub(crate) coordinator: Option<reqwest::Url>,
    /// The authorities that whoever is asked over TLS must be vouched for by. `None`: the platform's.
    pub(crate) ca_file: Option<PathBuf>,
}

/// The ops endpoints.
#[cfg(feature = "http")]
pub(crate) struct OpsSettings {
    pub(crate) addr: Option<std::net::SocketAddr>,
    pub(crate) socket: Option<SocketSettings>,
    /// What orders over TCP must present.
    pub(crate) token: Option<Secret>,
    /// The files of the certificate and its key. `None`: they speak plain HTTP.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
}

/// The Unix socket of the ops endpoints.
#[cfg(feature = "http")]
pub(crate) struct SocketSettings {
    pub(crate) path: PathBuf,
    pub(crate) mode: SocketMode,
}

#[cfg(feature = "http")]
impl SocketMode {
    /// As the system writes it.
    pub(crate) const fn bits(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Group => 0o660,
        }
    }
}

impl Config {
    /// Judges every setting, without side effects: nothing is read, opened, created or sent. For a program that checks
    /// settings and starts no worker; [`AgentPoolBuilder::build`](crate::AgentPoolBuilder::build) checks them as well.
    ///
    /// A signing key's file is not read here: [`Config::signing_key`] does that, as a step of its own.
    ///
    /// ```
    /// use openrtc_runtime::Config;
    ///
    /// let mut config = Config::default();
    /// let unknown = config.merge_vars([("OPENRTC_DEPLOYMENT_VERSION", "v2.0.0"), ("OPENRTC_CAPACTIY", "50")])?;
    /// assert_eq!(unknown, ["OPENRTC_CAPACTIY"]);
    /// config.check()?;
    ///
    /// config.merge_vars([("OPENRTC_CAPACITY", "0")])?;
    /// assert!(config.check().unwrap_err().to_string().contains("capacity is 0"));
    /// # Ok::<(), openrtc_runtime::ConfigError>(())
    /// ```
    pub fn check(&self) -> Result<(), ConfigError> {
        self.settings(false).map(drop)
    }

    /// From SIGTERM to the exit at most: the drain, the grace of a force, and [`FLUSH`]. `None`: as long as calls last.
    #[must_use]
    pub fn time_to_leave(&self) -> Option<Duration> {
        let drain = self.drain_timeout?;
        Some(drain.saturating_add(self.force_grace).max(self.lame_duck).saturating_add(FLUSH))
    }

    /// The key to sign with, from its file or as given. Reads the file.
    pub fn signing_key(&self) -> Result<Option<SigningKey>, KeyError> {
        self.key_source()?.map(KeySource::read).transpose()
    }

    /// Judges every setting and takes the configuration apart. Reads and changes nothing. `has_sinks`: whether somebody
    /// wants the audit trail besides what the configuration says.
    pub(crate) fn settings(&self, has_sinks: bool) -> Result<Settings, ConfigError> {
        self.check_build()?;
        let trail = self.trail(has_sinks)?;
        let is_admitted = match (&self.register, &self.coordinator) {
            (Some(_), Some(_)) => return Err(ConfigError::RegisterAndCoordinator),
            (register, coordinator) => register.is_some() || coordinator.is_some(),
        };
        let key = if trail.is_some() || is_admitted { self.key_source()? } else { None };
        if is_admitted && key.is_none() {
            return Err(ConfigError::RegisterWithoutKey);
        }
        let (limits, identity) = (self.limits()?, self.identity()?);
        Ok(Settings {
            limits,
            identity,
            terms: DrainTerms { timeout: self.drain_timeout, on_deadline: self.on_deadline },
            start: if is_admitted { Start::Standby } else { self.start },
            signals: self.signals,
            control: self.control,
            // Who shares his runtime controls its end as well.
            exit_watchdog: if self.control == Control::OwnThread { self.exit_watchdog } else { Duration::ZERO },
            call_descriptors: self.call_descriptors,
            platform_grace: self.platform_grace,
            duplicates: self.duplicates,
            journal: self.journal.clone(),
            key,
            trail,
            #[cfg(feature = "http")]
            http: HttpSettings {
                ops: self.ops_settings(),
                register: self.register_url()?,
                coordinator: self.coordinator_url()?,
                ca_file: self.tls_ca_file.clone(),
            },
        })
    }

    fn key_source(&self) -> Result<Option<KeySource>, KeyError> {
        match (&self.signing_key_file, &self.signing_key) {
            (None, None) => Ok(None),
            (Some(file), None) => Ok(Some(KeySource::File(file.clone()))),
            (None, Some(digits)) => parse_signing_key(digits).map(|key| Some(KeySource::Given(key))),
            (Some(_), Some(_)) => Err(KeyError::Two),
        }
    }

    /// Whether all that is set is built in.
    fn check_build(&self) -> Result<(), ConfigError> {
        let http = [
            ("OPENRTC_OPS_ADDR", self.ops.is_some()),
            ("OPENRTC_OPS_SOCKET", self.ops_socket.is_some()),
            ("OPENRTC_REGISTER_URL", self.register.is_some()),
            ("OPENRTC_COORDINATOR", self.coordinator.is_some()),
            ("OPENRTC_AUDIT_WEBHOOK", self.audit_webhook.is_some()),
        ];
        let tls = [
            ("OPENRTC_OPS_TLS_CERT_FILE", self.ops_tls_cert_file.is_some()),
            ("OPENRTC_OPS_TLS_KEY_FILE", self.ops_tls_key_file.is_some()),
            ("OPENRTC_TLS_CA_FILE", self.tls_ca_file.is_some()),
        ];
        let without = |settings: &[(&'static str, bool)], built_in: bool| {
            settings.iter().find(|(_, is_set)| *is_set && !built_in).map(|(name, _)| *name)
        };
        if let Some(name) = without(&http, cfg!(feature = "http")) {
            return Err(ConfigError::WithoutHttp(name));
        }
        without(&tls, cfg!(feature = "tls")).map_or(Ok(()), |name| Err(ConfigError::WithoutTls(name)))
    }

    /// What the worker machine is allowed.
    fn limits(&self) -> Result<Limits, ConfigError> {
        let limits = Limits {
            capacity: self.capacity,
            force_grace: self.force_grace.into(),
            reservation_ttl: self.reservation_ttl.into(),
            stall_after: self.stall_after.map(|limit| limit.map(Into::into)),
            lame_duck: self.lame_duck.into(),
            // Whoever coordinates it says when it leaves.
            leave: if self.coordinator.is_some() { Leave::Parked } else { self.leave },
        };
        limits.check()?;
        self.check_drain()?;
        self.check_ops()?;
        match self.journal.as_ref().map(|journal| journal.sync) {
            Some(Sync::Every(Duration::ZERO)) => Err(ConfigError::Zero("the journal's sync period")),
            Some(Sync::Always | Sync::Every(_)) | None => Ok(limits),
        }
    }

    /// Who the worker is; its incarnation is numbered when the journal is opened.
    fn identity(&self) -> Result<Identity, ConfigError> {
        let worker = match &self.worker {
            Some(worker) => WorkerId::new(worker)?,
            None => host_name()?,
        };
        Ok(Identity {
            deployment: Deployment::new(&self.deployment)?,
            version: Version::new(&self.deployment_version)?,
            worker,
            incarnation: Incarnation::new(0),
        })
    }

    fn trail(&self, has_sinks: bool) -> Result<Option<TrailSettings>, ConfigError> {
        #[cfg(feature = "http")]
        let webhook = self.webhook_url()?;
        if self.audit_file.is_none() && !has_sinks {
            return Ok(None);
        }
        let journal = self.journal.as_ref().ok_or(ConfigError::TrailWithoutJournal)?;
        if self.audit_max_bytes < AUDIT_BYTES_MIN {
            return Err(ConfigError::AuditBytes { given: self.audit_max_bytes, least: AUDIT_BYTES_MIN });
        }
        Ok(Some(TrailSettings {
            journal: journal.dir.clone(),
            file: self.audit_file.clone(),
            max_bytes: self.audit_max_bytes,
            sync: journal.sync,
            #[cfg(feature = "http")]
            webhook,
        }))
    }

    #[cfg(feature = "http")]
    fn ops_settings(&self) -> Option<OpsSettings> {
        let (addr, mode) = (self.ops, self.ops_socket_mode);
        let socket = self.ops_socket.clone().map(|path| SocketSettings { path, mode });
        (addr.is_some() || socket.is_some()).then(|| OpsSettings {
            addr,
            socket,
            token: self.ops_token.clone(),
            #[cfg(feature = "tls")]
            tls: self.ops_tls_cert_file.clone().zip(self.ops_tls_key_file.clone()),
        })
    }

    #[cfg(feature = "http")]
    fn webhook_url(&self) -> Result<Option<reqwest::Url>, ConfigError> {
        let Some(url) = &self.audit_webhook else { return Ok(None) };
        if self.audit_file.is_none() {
            return Err(ConfigError::WebhookWithoutFile);
        }
        parse_url(url).map(Some).map_err(ConfigError::Webhook)
    }

    fn check_drain(&self) -> Result<(), ConfigError> {
        if self.force_grace.is_zero() {
            return Err(ConfigError::Zero("force_grace"));
        }
        for (name, time) in [("force_grace", self.force_grace), ("lame_duck", self.lame_duck)] {
            if Span::from(time) > Terms::LONGEST {
                return Err(ConfigError::Long(name));
            }
        }
        match self.drain_timeout.map(|timeout| Terms::due(Instant::EPOCH, timeout.into())).transpose() {
            Ok(_) => {}
            Err(BadDeadline::Now) => return Err(ConfigError::Zero("drain_timeout")),
            Err(BadDeadline::TooFar) => return Err(ConfigError::Long("drain_timeout")),
        }
        match (self.on_deadline, self.platform_grace, self.time_to_leave()) {
            (OnDeadline::Wait, None, _) | (OnDeadline::Alert | OnDeadline::Force, None, Some(_)) => Ok(()),
            (policy @ (OnDeadline::Wait | OnDeadline::Alert), Some(grace), _) => {
                Err(ConfigError::GraceNeedsForce { policy, grace })
            }
            (policy @ (OnDeadline::Alert | OnDeadline::Force), _, None) => Err(ConfigError::DeadlineMissing(policy)),
            (OnDeadline::Force, Some(grace), Some(needed)) => {
                if grace <= needed {
                    Err(ConfigError::GraceTooShort { needed, grace })
                } else {
                    Ok(())
                }
            }
        }
    }

    fn check_ops(&self) -> Result<(), ConfigError> {
        if !self.ops_token.as_ref().is_none_or(Secret::is_usable) {
            return Err(ConfigError::OpsToken);
        }
        match (&self.ops_tls_cert_file, &self.ops_tls_key_file) {
            (Some(_), Some(_)) if self.ops.is_none() => return Err(ConfigError::OpsTlsUnused),
            (Some(_), Some(_)) | (None, None) => {}
            (Some(_), None) => return Err(ConfigError::OpsTlsHalf("OPENRTC_OPS_TLS_KEY_FILE")),
            (None, Some(_)) => return Err(ConfigError::OpsTlsHalf("OPENRTC_OPS_TLS_CERT_FILE")),
        }
        match &self.ops_socket {
            Some(path) if path.as_os_str().len() > SOCKET_PATH_MAX => Err(ConfigError::OpsSocket(path.clone())),
            Some(_) | None => Ok(()),
        }
    }
}

fn host_name() -> Result<WorkerId, ConfigError> {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy();
    WorkerId::new(&name).map_err(|error| ConfigError::HostName { name: name.into_owned(), error })
}

#[cfg(all(test, not(feature = "http")))]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_refused_by_name() {
        let url = || Some("http://127.0.0.1:1".to_owned());
        let start = || Config { deployment_version: "v1".into(), ..Config::default() };
        assert!(start().check().is_ok());
        for (config, name) in [
            (Config { ops: Some(([127, 0, 0, 1], 0).into()), ..start() }, "OPENRTC_OPS_ADDR"),
            (Config { register: url(), ..start() }, "OPENRTC_REGISTER_URL"),
            (Config { coordinator: url(), ..start() }, "OPENRTC_COORDINATOR"),
            (Config { audit_webhook: url(), ..start() }, "OPENRTC_AUDIT_WEBHOOK"),
        ] {
            let error = config.check().expect_err("HTTP is not built in").to_string();
            assert!(error.starts_with(name) && error.contains("feature `http`"), "{error}");
        }
    }
}
