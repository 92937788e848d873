//! A worker taken out of service by a person, alone: cordoned, or drained to leave. A rollout neither undoes that nor
//! waits for it, but for the calls of a version that it retires.

use super::command::BadSpec;
use super::decide::Judgement;
use super::{DrainTerms, Event, Fleet, Member, MemberStatus, Misuse, Refused, Rejection, Repeat, VersionState};
use crate::id::{Actor, WorkerId};
use crate::worker::OnDeadline;

impl Fleet {
    pub(super) fn judge_cordon(&self, actor: Actor, worker: WorkerId) -> Judgement {
        let member = self.in_reach(worker)?;
        if member.status == MemberStatus::Cordoned {
            return Err(Repeat::AlreadyCordoned.into());
        }
        Ok(Event::WorkerCordoned { run: member.run(worker), actor })
    }

    pub(super) fn judge_dismissal(&self, actor: Actor, worker: WorkerId, terms: DrainTerms) -> Judgement {
        if terms.on_deadline != OnDeadline::Wait && terms.within.is_none() {
            return Err(BadSpec::DeadlineMissing.into());
        }
        let member = self.in_reach(worker)?;
        if member.status == MemberStatus::Dismissed(terms) {
            return Err(Repeat::AlreadyDismissed.into());
        }
        Ok(Event::WorkerDismissed { run: member.run(worker), actor, terms })
    }

    /// A worker of a retired version would be told to drain again at once.
    pub(super) fn judge_uncordon(&self, actor: Actor, worker: WorkerId) -> Judgement {
        let member = self.in_reach(worker)?;
        if !member.status.is_cordoned() {
            return Err(Repeat::NotCordoned.into());
        }
        if !self.state_of(member.version).is_some_and(VersionState::admits) {
            return Err(Refused::VersionRetired.into());
        }
        Ok(Event::WorkerUncordoned { run: member.run(worker), actor })
    }

    /// A worker that was not sent away for good.
    fn in_reach(&self, worker: WorkerId) -> Result<&Member, Rejection> {
        let member = self.members.get(worker).ok_or(Misuse::NoSuchWorker)?;
        let belongs = member.status == MemberStatus::Member || member.status.is_cordoned();
        if belongs && !member.is_told_to_stop() { Ok(member) } else { Err(Refused::SentAway.into()) }
    }
}
