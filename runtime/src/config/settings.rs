//! A configuration taken apart: each room gets only what it needs, and a secret goes where it is used and nowhere else.

use std::path::PathBuf;
use std::time::Duration;

use openrtc_core::id::{Deployment, Identity, Incarnation, Version, WorkerId};
use openrtc_core::membership::SigningKey;
use openrtc_core::worker::{Limits, OnDeadline};
use openrtc_records::journal::{JournalConfig, Sync};

#[cfg(feature = "http")]
use super::url::{UrlError, parse_url};
use super::{Config, ConfigError, Control, FLUSH, Start};
use crate::secret::Secret;

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
    pub(crate) journal: Option<JournalConfig>,
    /// `None` without a file and without a sink.
    pub(crate) trail: Option<TrailSettings>,
    #[cfg(feature = "http")]
    pub(crate) http: HttpSettings,
}

/// The deadline and policy of a drain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainTerms {
    /// When it is overdue, counted from its beginning; `None`: never.
    pub(crate) timeout: Option<Duration>,
    /// What happens then.
    pub(crate) on_deadline: OnDeadline,
}

/// The audit trail of a worker.
pub(crate) struct TrailSettings {
    /// The directory of the journal that it is derived from.
    pub(crate) journal: PathBuf,
    pub(crate) file: Option<PathBuf>,
    /// When the file is forced to the disk.
    pub(crate) sync: Sync,
    /// What it is signed with.
    pub(crate) key: Option<SigningKey>,
    /// Where it is sent, if there is a file to send from.
    #[cfg(feature = "http")]
    pub(crate) webhook: Option<hyper::Uri>,
}

/// What is served and asked over HTTP.
#[cfg(feature = "http")]
pub(crate) struct HttpSettings {
    pub(crate) ops: Option<OpsSettings>,
    pub(crate) registering: Option<Registering>,
}

/// The ops endpoints.
#[cfg(feature = "http")]
pub(crate) struct OpsSettings {
    pub(crate) addr: std::net::SocketAddr,
    /// What orders from outside loopback must present.
    pub(crate) token: Option<Secret>,
}

/// How the worker gets in.
#[cfg(feature = "http")]
pub(crate) struct Registering {
    pub(crate) url: hyper::Uri,
    /// What it signs its membership with.
    pub(crate) key: SigningKey,
}

impl Config {
    /// Judges every setting and takes the configuration apart. Reads the file of the key and no other, changes nothing.
    /// `has_sinks`: whether somebody wants the audit trail besides what the configuration says.
    pub(crate) fn check(self, has_sinks: bool) -> Result<Settings, ConfigError> {
        #[cfg(feature = "http")]
        let registering = self.registering()?;
        let trail = self.trail(has_sinks)?;
        let (limits, identity) = (self.limits()?, self.identity()?);
        self.check_build()?;
        Ok(Settings {
            limits,
            identity,
            terms: DrainTerms { timeout: self.drain_timeout, on_deadline: self.on_deadline },
            start: if self.register.is_some() { Start::Standby } else { self.start },
            signals: self.signals,
            control: self.control,
            journal: self.journal,
            trail,
            #[cfg(feature = "http")]
            http: HttpSettings { ops: self.ops.map(|addr| OpsSettings { addr, token: self.ops_token }), registering },
        })
    }

    /// Whether all that is set is built in.
    fn check_build(&self) -> Result<(), ConfigError> {
        let http = [
            ("OPENRTC_OPS_ADDR", self.ops.is_some()),
            ("OPENRTC_REGISTER_URL", self.register.is_some()),
            ("OPENRTC_AUDIT_WEBHOOK", self.audit_webhook.is_some()),
        ];
        match http.iter().find(|(_, is_set)| *is_set && !cfg!(feature = "http")) {
            Some((name, _)) => Err(ConfigError::WithoutHttp(name)),
            None => Ok(()),
        }
    }

    /// What the worker machine is allowed.
    fn limits(&self) -> Result<Limits, ConfigError> {
        let limits = Limits {
            capacity: self.capacity,
            force_grace: self.force_grace.into(),
            reservation_ttl: self.reservation_ttl.into(),
            stall_after: self.stall_after.map(|limit| limit.map(Into::into)),
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
            None => host_name(),
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
        let webhook = self.webhook()?;
        if self.audit_file.is_none() && !has_sinks {
            return Ok(None);
        }
        let journal = self.journal.as_ref().ok_or(ConfigError::TrailWithoutJournal)?;
        Ok(Some(TrailSettings {
            journal: journal.dir.clone(),
            file: self.audit_file.clone(),
            sync: journal.sync,
            key: self.signing_key()?,
            #[cfg(feature = "http")]
            webhook,
        }))
    }

    #[cfg(feature = "http")]
    fn webhook(&self) -> Result<Option<hyper::Uri>, ConfigError> {
        let Some(url) = &self.audit_webhook else { return Ok(None) };
        if self.audit_file.is_none() {
            return Err(ConfigError::WebhookWithoutFile);
        }
        parse_url(url).map(Some).map_err(|error| match error {
            UrlError::Https(url) => ConfigError::WebhookTls(url),
            UrlError::Malformed(_) | UrlError::Credentials => ConfigError::Webhook(error),
        })
    }

    #[cfg(feature = "http")]
    fn registering(&self) -> Result<Option<Registering>, ConfigError> {
        let Some(url) = &self.register else { return Ok(None) };
        let url = parse_url(url).map_err(ConfigError::Register)?;
        let key = self.signing_key()?.ok_or(ConfigError::RegisterWithoutKey)?;
        Ok(Some(Registering { url, key }))
    }

    fn check_drain(&self) -> Result<(), ConfigError> {
        if self.force_grace.is_zero() {
            return Err(ConfigError::Zero("force_grace"));
        }
        let Some(timeout) = self.drain_timeout else {
            return match (self.on_deadline, self.platform_grace) {
                (OnDeadline::Wait, None) => Ok(()),
                (OnDeadline::Wait, Some(grace)) => Err(ConfigError::GraceUnused(grace)),
                (policy @ (OnDeadline::Alert | OnDeadline::Force), _) => Err(ConfigError::DeadlineMissing(policy)),
            };
        };
        if timeout.is_zero() {
            return Err(ConfigError::Zero("drain_timeout"));
        }
        let needed = timeout.saturating_add(self.force_grace).saturating_add(FLUSH);
        match self.platform_grace {
            Some(grace) if grace <= needed => Err(ConfigError::GraceTooShort { needed, grace }),
            Some(_) | None => Ok(()),
        }
    }

    fn check_ops(&self) -> Result<(), ConfigError> {
        if !self.ops_token.as_ref().is_none_or(Secret::is_usable) {
            return Err(ConfigError::OpsToken);
        }
        match self.ops {
            Some(addr) if !addr.ip().is_loopback() && self.ops_token.is_none() => Err(ConfigError::OpsOpen(addr)),
            Some(_) | None => Ok(()),
        }
    }
}

/// The host's name as far as it is a valid one.
fn host_name() -> WorkerId {
    let system = rustix::system::uname();
    let name = system.nodename().to_str().unwrap_or_default();
    WorkerId::new(name).unwrap_or(const { WorkerId::from_static("worker") })
}

#[cfg(all(test, not(feature = "http")))]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_refused_by_name() {
        let url = || Some("http://127.0.0.1:1".to_owned());
        let start = || Config { deployment_version: "v1".into(), ..Config::default() };
        assert!(start().check(false).is_ok());
        for (config, name) in [
            (Config { ops: Some(([127, 0, 0, 1], 0).into()), ..start() }, "OPENRTC_OPS_ADDR"),
            (Config { register: url(), ..start() }, "OPENRTC_REGISTER_URL"),
            (Config { audit_webhook: url(), ..start() }, "OPENRTC_AUDIT_WEBHOOK"),
        ] {
            let error = config.check(false).err().expect("HTTP is not built in").to_string();
            assert!(error.starts_with(name) && error.contains("feature `http`"), "{error}");
        }
    }
}
