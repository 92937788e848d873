//! Terminal statuses: owed until it is proven that the server has them. And the way out, which waits for that.

use openrtc_runtime::CallId;
use openrtc_runtime::time::Instant;

use super::link::{Link, Report};
use super::{Leaving, LinkId, Notice, Output, Session};
use crate::proto::{JobStatus, UpdateJobStatus};

/// The longest error that a status carries, in bytes.
const ERROR_MAX: usize = 1_024;
/// How many statuses of jobs that nobody promised may wait: the server can cause them at will.
const STRANGERS_MAX: usize = 4_096;
/// RFC 6455: the work is done.
const NORMAL: u16 = 1000;

/// A terminal status whose arrival is not proven.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) status: UpdateJobStatus,
}

/// The status of a job that has begun.
pub(super) fn running(job: &CallId) -> UpdateJobStatus {
    UpdateJobStatus { job_id: job.to_string(), status: JobStatus::Running.into(), error: String::new() }
}

impl Session {
    /// The worker has left its gate: nothing can be taken any more. What is owed is delivered, the sockets are
    /// closed, and [`Output::Left`] follows, after [`Patience::farewell`](super::Patience::farewell) at the latest.
    pub fn leave(&mut self, now: Instant) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Until(now + self.patience.farewell);
            self.standing.availability = openrtc_runtime::Availability::Closed;
            self.standing.in_flight = 0;
            self.has_served = true;
            self.let_go(now);
        }
        self.settle(now);
    }

    /// Owes the server a job's terminal status, on the socket that assigned it if that still stands.
    pub(super) fn owe(&mut self, job: CallId, home: LinkId, status: JobStatus, mut error: String) {
        error.truncate(error.floor_char_boundary(ERROR_MAX));
        let status = UpdateJobStatus { job_id: job.to_string(), status: status.into(), error };
        self.owed.insert(job.clone(), Owed { status });
        let takes = |link: &&mut Link| link.is_registered();
        let home = self.links.iter_mut().filter(takes).find(|link| link.id == home).map(|link| link.id);
        match home.or_else(|| self.ready()) {
            Some(id) => self.report(id, Report::Ended(job)),
            None => drop(self.stranded.insert(job)),
        }
    }

    /// Owes a status for a job that this worker never promised to take.
    pub(super) fn owe_stranger(&mut self, job: CallId, home: LinkId, why: &str) {
        self.counts.assignments_failed += 1;
        if self.owed.len() < self.running.len() + STRANGERS_MAX {
            self.notice(Notice::AssignmentFailed(job.clone(), why.to_owned()));
            self.owe(job, home, JobStatus::Failed, why.to_owned());
        }
    }

    pub(super) fn report(&mut self, id: LinkId, report: Report) {
        if let Some(link) = self.link(id) {
            link.reports.push_back(report);
        }
    }

    /// A socket has come: what waits for one goes out.
    pub(super) fn send_stranded(&mut self) {
        let Some(id) = self.ready() else { return };
        for job in std::mem::take(&mut self.stranded) {
            self.report(id, Report::Ended(job));
        }
    }

    /// A socket is gone: whatever is owed and has no other socket to be proven on goes to the next one.
    pub(super) fn strand(&mut self, link: Link) {
        self.stranded.extend(link.into_unproven());
        self.stranded.retain(|job| self.owed.contains_key(job));
        self.send_stranded();
    }

    /// The socket for what has no socket of its own.
    fn ready(&self) -> Option<LinkId> {
        let registered = || self.links.iter().filter(|link| link.is_registered());
        let ready = registered().find(|link| !link.is_retiring()).or_else(|| registered().next());
        ready.map(|link| link.id)
    }

    /// Leaves, once nothing is owed or time is up.
    pub(super) fn part(&mut self, now: Instant) {
        let Leaving::Until(until) = self.leaving else { return };
        let (tell, overdue) = (self.tell(now), until <= now);
        let settled = |link: &Link| link.is_settled() && !link.teller.is_urgent(&tell);
        let done = self.owed.is_empty() && self.links.iter().filter(|link| link.registered).all(settled);
        if !done && !overdue {
            return;
        }
        for job in std::mem::take(&mut self.owed).into_keys() {
            self.counts.undelivered += 1;
            self.notice(Notice::Undelivered(job));
        }
        self.stranded.clear();
        for link in std::mem::take(&mut self.links) {
            self.counts.unanswered += u64::try_from(link.answers.len()).unwrap_or(u64::MAX);
            self.emit(Output::Close(link.id, link.registered.then_some(NORMAL)));
        }
        self.retry_at = None;
        self.leaving = Leaving::Left;
        self.emit(Output::Left);
    }
}
