//! Upgrades: what a person asks of a host over its ops endpoints, and what it answers.
//!
//! | request | does |
//! |---|---|
//! | `POST /upgrade` | starts the new program, gives it new calls once it is ready, ends the old one after its last |
//! | `POST /upgrade/cancel` | gives new calls back to the old program, while that still drains |
//! | `GET /programs` | the programs, and the last upgrade |
//!
//! Whether an upgrade is in order is for the fleet machine to say. Here is what only a host knows: how many programs
//! may run at once, and whether there is memory for one more.

use std::ffi::OsString;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use openrtc_core::fleet::{Fleet, Misuse, Rejection, Request, Stage};
use openrtc_core::id::{Actor, Version};
use openrtc_core::word::Phase;
use openrtc_runtime::http::server::read_body;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::memory::{self, TooLittle};
use crate::programs::{Programs, Shown};

/// The actor if the request names none.
const NOBODY: Actor = Actor::from_static("ops");

/// What gives orders to a host's programs.
#[derive(Clone, Debug)]
pub(crate) struct Upgrades {
    programs: Programs,
    /// The most programs that may run at once.
    most: usize,
    /// One order at a time: each is judged on what the one before it left.
    turn: Arc<Mutex<()>>,
}

/// The body of an order; every field may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Order {
    actor: Option<Actor>,
    version: Option<String>,
    command: Option<Vec<String>>,
}

/// An order that was taken.
struct Ordered {
    /// Which version is to take new calls.
    version: Option<Version>,
    words: String,
}

/// The body of every answer.
#[derive(Debug, Serialize)]
struct Answer {
    ok: bool,
    message: String,
    /// The version that an order was for: that of the new program, or the one that a cancel goes back to.
    ordered: Option<Version>,
    /// The version that takes new calls; `None` while no program of the version that is to take them runs.
    serving: Option<Version>,
    upgrade: Option<Upgrade>,
    programs: Vec<Shown>,
}

/// The last upgrade.
#[derive(Debug, Serialize)]
struct Upgrade {
    version: Version,
    from: Option<Version>,
    actor: Actor,
    stage: Stage,
    /// Why the new program was not ready, if that is so.
    failure: Option<String>,
    /// Programs that ended by themselves, ever, and took their calls along.
    lost: u64,
}

/// Why an upgrade is refused. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the version {0:?} cannot be used: {1}")]
    Version(String, String),
    #[error("the command is empty: name the program, or leave it out to run the same one again")]
    NoCommand,
    #[error("the host is only starting: wait until it says that it is ready")]
    Starting,
    #[error("the host drains, and ends its programs after the last call: cancel its drain first, or start it anew")]
    Draining,
    #[error("an upgrade to {version} is {}: wait for it, or cancel it", .stage.as_str())]
    UnderWay { version: Version, stage: Stage },
    #[error("new calls are going back from {from} just now: try again in a moment")]
    GoingBack { from: Version },
    #[error("a program of version {0} runs: name another version, or cancel the upgrade to go back to it")]
    Runs(Version),
    #[error(
        "{running} programs run ({}), and {most} may: wait until one has drained, or allow more with --programs",
        names(.versions)
    )]
    TooMany { running: usize, most: usize, versions: Vec<Version> },
    #[error(transparent)]
    Memory(#[from] TooLittle),
    #[error("nothing is to be taken back: {0}")]
    Over(String),
    #[error("{0}")]
    Fleet(Rejection),
}

fn names(versions: &[Version]) -> String {
    versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Upgrades {
    pub(crate) fn new(programs: Programs, most: usize) -> Self {
        Self { programs, most, turn: Arc::default() }
    }

    /// The endpoints. Whoever serves them knows who may give orders.
    pub(crate) fn routes(self) -> Router {
        Router::new()
            .route("/upgrade", post(upgrade))
            .route("/upgrade/cancel", post(cancel))
            .route("/programs", get(show))
            .with_state(self)
    }

    /// Begins an upgrade: to `version`, or the next one; by `command`, or the one that runs.
    async fn begin(&self, order: Order) -> Result<Ordered, Refused> {
        let _turn = self.turn.lock().await;
        let version = match order.version {
            Some(name) => Version::new(&name).map_err(|error| Refused::Version(name.clone(), error.to_string()))?,
            None => self.next_version(),
        };
        let command = order.command.map(|command| command.into_iter().map(OsString::from).collect::<Vec<_>>());
        if command.as_ref().is_some_and(Vec::is_empty) {
            return Err(Refused::NoCommand);
        }
        self.judge(version).await?;
        self.programs.plan_next(version, command);
        let request = Request::RollOut(self.programs.spec(version));
        let actor = order.actor.unwrap_or(NOBODY);
        self.programs.fleet().request(actor, request).map_err(Refused::Fleet)?;
        tracing::warn!(%version, %actor, "upgrade: the new program is started");
        Ok(Ordered { version: Some(version), words: format!("upgrade to {version}: its program is started") })
    }

    /// Whether a program more may be started now.
    async fn judge(&self, version: Version) -> Result<(), Refused> {
        match self.programs.host_phase() {
            None | Some(Phase::Starting) => return Err(Refused::Starting),
            Some(Phase::Standby | Phase::Serving) => {}
            Some(Phase::Draining | Phase::Drained | Phase::Exited) => return Err(Refused::Draining),
        }
        self.programs.fleet().view(is_free)?;
        let shown = self.programs.shown();
        if shown.iter().any(|program| program.version == version) {
            return Err(Refused::Runs(version));
        }
        if shown.len() >= self.most {
            let versions = shown.iter().map(|program| program.version).collect();
            return Err(Refused::TooMany { running: shown.len(), most: self.most, versions });
        }
        let current = self.programs.fleet().view(Fleet::current);
        let like = shown.iter().find(|program| Some(program.version) == current);
        if let Some(pid) = like.map(|program| program.pid) {
            // It looks at every process there is: not on a thread that calls need.
            spawn_blocking(move || memory::check(pid)).await.unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    /// A name that no version had: a number, one above those that are numbers.
    fn next_version(&self) -> Version {
        let highest = self.programs.versions().iter().filter_map(|version| version.as_str().parse::<u64>().ok()).max();
        let next = highest.unwrap_or(0).max(self.programs.versions().len() as u64) + 1;
        Version::new(&next.to_string()).expect("a number makes a name")
    }

    async fn cancel(&self, order: Order) -> Result<Ordered, Refused> {
        let _turn = self.turn.lock().await;
        let actor = order.actor.unwrap_or(NOBODY);
        let version = self.programs.fleet().view(|fleet| fleet.rollout().and_then(|rollout| rollout.blue));
        let ordered = |words: &str| Ok(Ordered { version, words: words.to_owned() });
        match self.programs.fleet().request(actor, Request::Rollback) {
            Ok(_) => {
                tracing::warn!(%actor, "the upgrade is taken back");
                ordered("new calls go back to the old program; those of the new one run to their end")
            }
            Err(rejection) if rejection.is_repeat() => ordered("the upgrade is being taken back already"),
            Err(rejection @ (Rejection::Refused(_) | Rejection::Misuse(Misuse::NoRollout))) => {
                Err(Refused::Over(rejection.to_string()))
            }
            Err(rejection) => Err(Refused::Fleet(rejection)),
        }
    }

    fn answer(&self, status: StatusCode, ordered: Option<Version>, message: String) -> Response {
        let rollout = self.programs.fleet().view(|fleet| fleet.rollout().copied());
        let upgrade = rollout.map(|rollout| Upgrade {
            version: rollout.green(),
            from: rollout.blue,
            actor: rollout.actor,
            stage: rollout.stage,
            failure: self.programs.failure(rollout.green()),
            lost: self.programs.crashes(),
        });
        let (serving, programs) = (self.programs.serving(), self.programs.shown());
        (status, Json(Answer { ok: status.is_success(), message, ordered, serving, upgrade, programs })).into_response()
    }

    fn answer_to(&self, done: Result<Ordered, Refused>) -> Response {
        match done {
            Ok(Ordered { version, words }) => self.answer(StatusCode::OK, version, words),
            Err(refused) => self.answer(StatusCode::CONFLICT, None, refused.to_string()),
        }
    }
}

/// Whether the next upgrade may begin. While an old program drains it may, whether the last upgrade was taken back or
/// not: a long call keeps nobody from it.
fn is_free(fleet: &Fleet) -> Result<(), Refused> {
    let Some(rollout) = fleet.rollout().filter(|rollout| !rollout.stage.is_over()) else { return Ok(()) };
    let has_all = rollout.target().is_some_and(|target| fleet.weight(target) == 100);
    match rollout.stage {
        Stage::Draining => Ok(()),
        Stage::RollingBack if has_all => Ok(()),
        Stage::RollingBack => Err(Refused::GoingBack { from: rollout.green() }),
        stage => Err(Refused::UnderWay { version: rollout.green(), stage }),
    }
}

async fn upgrade(State(upgrades): State<Upgrades>, body: Bytes) -> Response {
    match read_body(&body) {
        Ok(order) => upgrades.answer_to(upgrades.begin(order).await),
        Err(problem) => upgrades.answer(StatusCode::BAD_REQUEST, None, problem),
    }
}

async fn cancel(State(upgrades): State<Upgrades>, body: Bytes) -> Response {
    match read_body(&body) {
        Ok(order) => upgrades.answer_to(upgrades.cancel(order).await),
        Err(problem) => upgrades.answer(StatusCode::BAD_REQUEST, None, problem),
    }
}

async fn show(State(upgrades): State<Upgrades>) -> Response {
    upgrades.answer(StatusCode::OK, None, "as it is now".into())
}
