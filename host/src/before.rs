//! What the host before this one left in the journal of its fleet. Its programs have ended, so its fleet has too: what
//! was under way is told, and a new fleet begins.

use openrtc_core::fleet::Fleet;
use openrtc_core::id::Version;
use openrtc_core::journal::Office;
use openrtc_fleet::shell::Running;
use openrtc_runtime::journal::{JournalConfig, JournalError};
use openrtc_runtime::{AgentPool, Identity};

/// Where it is, in the directory of the host's own journal.
const NAME: &str = "fleet";

/// Keeps the journal of the host's fleet beside the host's own, and tells what the host before left there. `version` is
/// the one that this host starts.
pub(crate) fn keep(
    running: Running,
    mut journal: JournalConfig,
    pool: &AgentPool,
    version: Version,
) -> Result<Running, JournalError> {
    let Identity { deployment, worker: coordinator, incarnation, .. } = *pool.identity();
    journal.dir.push(NAME);
    let (running, found) = running.journaled(journal, Office { deployment, coordinator, incarnation })?;
    if let Some(fleet) = found.and_then(|found| found.fleet) {
        tell(&fleet, version);
    }
    Ok(running)
}

fn tell(fleet: &Fleet, version: Version) {
    let upgrade = fleet.rollout().filter(|rollout| !rollout.stage.is_over());
    if let Some((upgrade, from)) = upgrade.and_then(|upgrade| Some((upgrade, upgrade.blue?))) {
        let (to, stage, actor) = (upgrade.green(), upgrade.stage.as_str(), upgrade.actor);
        tracing::warn!(%from, %to, stage, %actor, "the host before this one ended in the middle of this upgrade");
    }
    for (_, program) in fleet.members().iter() {
        let version = program.version;
        tracing::warn!(%version, "the host before this one did not see the end of its program");
    }
    if let Some(served) = fleet.current().filter(|served| *served != version) {
        tracing::warn!(%version, %served, "the host before this one gave new calls to another version");
    }
}
