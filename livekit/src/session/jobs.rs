//! Jobs: offered, promised, running, ended.

use std::collections::BTreeMap;

use openrtc_runtime::CallId;
use openrtc_runtime::time::{Instant, Span};

use super::fate::Fate;
use super::link::{Link, Report};
use super::receive::fault;
use super::{LinkId, Notice, Output, Session};
use crate::proto::{AvailabilityRequest, AvailabilityResponse, JobAssignment, JobStatus, JobTermination};

/// How many offers may wait for their answers, and how many answers may wait on one socket.
const OFFERS_MAX: usize = 4_096;
/// How often one offer may be repeated while it waits.
const ASKS_MAX: usize = 16;
/// How long a refused offer that comes again on the same socket is the same offer: the server's time for one dispatch.
const SAME_OFFER: Span = Span::from_secs(3);
/// The longest text that is taken for a job's id, to answer an offer that cannot be taken, in bytes.
const ID_MAX: usize = 1_024;

/// Tells an offer from an earlier one of the same job, which may still be decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfferNo(u64);

/// An offer that was not answered.
#[derive(Debug)]
pub(super) struct Offered {
    number: OfferNo,
    /// The sockets that wait for the answer, once for each time that they asked.
    pub(super) asks: Vec<LinkId>,
    /// The assignment of a promise that had lapsed: it is there already, and the gate is asked anew.
    late: Option<(LinkId, Box<JobAssignment>)>,
}

/// An offer that was answered with yes and is not assigned.
#[derive(Debug)]
pub(super) struct Promised {
    answer: AvailabilityResponse,
    /// The sockets that asked.
    pub(super) on: Vec<LinkId>,
    /// Whether the yes went out on any of them.
    pub(super) told: bool,
}

/// A job that runs here.
#[derive(Debug)]
pub(super) struct Running {
    /// The socket that assigned it.
    home: LinkId,
    terminated: bool,
}

/// How the agent appears in its room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joining {
    /// Its identity, unique in the room. Empty: `agent-` and the job's id.
    pub identity: String,
    /// Its name.
    pub name: String,
    /// Its metadata. Empty: that of the registration.
    pub metadata: String,
    /// Its attributes, beside those of the registration.
    pub attributes: BTreeMap<String, String>,
}

/// The gate's answer to an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes; the call is reserved.
    Yes(Joining),
    /// No: the server may ask another worker.
    No,
    /// No, and nobody else is to be asked.
    Terminate,
}

/// How a job, or the promise of one, ended at the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It did what it was for.
    Succeeded,
    /// It did not, and why.
    Failed(String),
    /// It never began: its reservation lapsed or was taken back.
    Lapsed,
}

impl Session {
    /// The gate has answered an offer. Returns whether the answer counts: not if the offer was answered or taken back
    /// before.
    pub fn answer(&mut self, now: Instant, job: &CallId, number: OfferNo, answer: Answer) -> bool {
        let counts = waits(&self.offers, job, number);
        if counts {
            self.conclude(now, job, answer);
        }
        self.settle(now);
        counts
    }

    /// A job, or the promise of one, has ended at the gate. The first end of a job counts. Returns whether its terminal
    /// status is on its way, in which case [`Output::Delivered`] follows unless the worker leaves before.
    pub fn ended(&mut self, now: Instant, job: &CallId, end: End) -> bool {
        if self.offers.contains_key(job) {
            self.conclude(now, job, Answer::No);
        }
        if self.void(job) {
            self.counts.lapsed += u64::from(end == End::Lapsed);
            self.fates.note(job.clone(), Fate::Lapsed);
        }
        if let Some(running) = self.running.remove(job) {
            self.fates.note(job.clone(), Fate::Ended);
            let (status, error) = match end {
                End::Succeeded => (JobStatus::Success, String::new()),
                End::Failed(error) => (JobStatus::Failed, error),
                End::Lapsed => (JobStatus::Failed, "the assignment came when the reservation had lapsed".to_owned()),
            };
            self.owe(job.clone(), running.home, status, error);
        }
        self.settle(now);
        self.owed.contains_key(job)
    }

    pub(super) fn offered(&mut self, now: Instant, on: LinkId, request: AvailabilityRequest) {
        let id = request.job.as_ref().map(|job| job.id.clone()).unwrap_or_default();
        if id.is_empty() || id.len() > ID_MAX {
            self.counts.ignored += 1;
            return;
        }
        self.counts.offers += 1;
        let Ok(job) = CallId::new(&id) else { return self.say(now, on, no(&id, false)) };
        let leaving = self.leaving != super::Leaving::No;
        if self.is_taken(&job) {
            self.counts.repeated_offers += 1;
            self.say(now, on, no(&id, false));
        } else if let Some(offer) = self.offers.get_mut(&job) {
            self.counts.repeated_offers += 1;
            offer.asks.push(on);
            if offer.asks.len() > ASKS_MAX {
                self.flooded(now, on);
            }
        } else if let Some(promise) = self.promises.get_mut(&job) {
            self.counts.repeated_offers += 1;
            if !promise.on.contains(&on) {
                promise.on.push(on);
            }
            let answer = promise.answer.clone();
            self.say(now, on, answer);
        } else if leaving || self.is_refused(now, &job, on) || self.offers.len() >= OFFERS_MAX {
            self.say(now, on, no(&id, false));
        } else {
            self.ask_gate(now, job, request, vec![on], None);
        }
    }

    pub(super) fn assigned(&mut self, now: Instant, on: LinkId, assignment: JobAssignment) {
        let id = assignment.job.as_ref().map(|job| job.id.clone()).unwrap_or_default();
        let Ok(job) = CallId::new(&id) else {
            self.counts.assignments_failed += 1;
            return;
        };
        if self.is_taken(&job) {
            self.counts.repeated_assignments += 1;
        } else if self.promises.remove(&job).is_some() {
            match fault(&assignment) {
                None => self.begin(on, job, Box::new(assignment)),
                Some(fault) => {
                    self.fates.note(job.clone(), Fate::Ended);
                    self.emit(Output::Withdrawn(job.clone()));
                    self.owe_stranger(job, on, fault);
                }
            }
        } else if self.offers.contains_key(&job) {
            self.withdraw_offer(now, &job);
            self.refuse_assignment(job, on, "it was assigned before it was answered");
        } else {
            self.assigned_anew(now, on, job, assignment);
        }
    }

    /// An assignment that no promise waits for.
    fn assigned_anew(&mut self, now: Instant, on: LinkId, job: CallId, assignment: JobAssignment) {
        match (self.fates.get(&job), fault(&assignment)) {
            // `assigned` has seen to it.
            (Some(Fate::Ended), _) => {}
            (Some(Fate::Cancelled), _) => self.refuse_assignment(job, on, "it was ended before it was assigned"),
            (Some(Fate::Lapsed), Some(fault)) => self.refuse_assignment(job, on, fault),
            // Promised once, so it is taken if the gate has room: as a new call, since the old reservation is gone.
            (Some(Fate::Lapsed), None) if self.leaving == super::Leaving::No => {
                let request = AvailabilityRequest { job: assignment.job.clone(), resuming: false };
                self.ask_gate(now, job, request, Vec::new(), Some((on, Box::new(assignment))));
            }
            (Some(Fate::Lapsed), None) => self.refuse_assignment(job, on, "the worker has left"),
            (Some(Fate::Refused { .. }), _) => self.refuse_assignment(job, on, "this worker refused the offer"),
            (None, _) => self.refuse_assignment(job, on, "unknown assignment: this worker had no such offer"),
        }
    }

    pub(super) fn terminated(&mut self, now: Instant, termination: &JobTermination) {
        let Ok(job) = CallId::new(&termination.job_id) else {
            self.counts.unknown_jobs += 1;
            return;
        };
        if let Some(running) = self.running.get_mut(&job) {
            if !std::mem::replace(&mut running.terminated, true) {
                self.counts.terminated += 1;
                self.emit(Output::Terminated(job));
            }
        } else if self.void(&job) {
            self.counts.terminated += 1;
            self.fates.note(job.clone(), Fate::Cancelled);
            self.emit(Output::Withdrawn(job));
        } else if self.offers.contains_key(&job) {
            self.counts.terminated += 1;
            // One that is assigned already has its end with that.
            let is_late = self.is_late(&job);
            self.withdraw_offer(now, &job);
            if !is_late {
                self.fates.note(job, Fate::Cancelled);
            }
        } else if !self.owed.contains_key(&job) {
            self.counts.unknown_jobs += 1;
        }
    }

    /// Refuses the offers whose time is over. A yes that comes later does not count.
    pub(super) fn refuse_overdue(&mut self, now: Instant) {
        while let Some((at, number, job)) =
            self.answer_by.pop_front_if(|(at, number, job)| *at <= now || !waits(&self.offers, job, *number))
        {
            if at <= now && waits(&self.offers, &job, number) {
                self.withdraw_offer(now, &job);
                self.notice(Notice::DecidedTooLate(job));
            }
        }
    }

    /// A socket is gone, and the offers on it with it: an answer on another socket would answer nothing. What was
    /// promised stays promised, if the server can know of it.
    pub(super) fn unask(&mut self, link: &Link) {
        let mut off = Vec::new();
        for (job, offer) in &mut self.offers {
            let before = offer.asks.len();
            offer.asks.retain(|on| *on != link.id);
            self.counts.unanswered += u64::try_from(before - offer.asks.len()).unwrap_or(u64::MAX);
            if offer.asks.is_empty() && offer.late.is_none() {
                off.push(job.clone());
            }
        }
        for (job, promise) in &mut self.promises {
            promise.on.retain(|on| *on != link.id);
            if promise.on.is_empty() && !promise.told {
                off.push(job.clone());
            }
        }
        for job in off {
            self.offers.remove(&job);
            self.promises.remove(&job);
            self.emit(Output::Withdrawn(job));
        }
    }

    /// The worker has left: offers are refused, promises are void, and what still runs was cut.
    pub(super) fn let_go(&mut self, now: Instant) {
        let offers: Vec<_> = self.offers.keys().cloned().collect();
        for job in offers {
            self.withdraw_offer(now, &job);
        }
        let promises: Vec<_> = self.promises.keys().cloned().collect();
        for job in promises {
            self.void(&job);
            self.fates.note(job.clone(), Fate::Lapsed);
            self.emit(Output::Withdrawn(job));
        }
        for (job, running) in std::mem::take(&mut self.running) {
            self.fates.note(job.clone(), Fate::Ended);
            self.owe(job, running.home, JobStatus::Failed, "the worker has left".to_owned());
        }
    }

    fn ask_gate(
        &mut self,
        now: Instant,
        job: CallId,
        request: AvailabilityRequest,
        asks: Vec<LinkId>,
        late: Option<(LinkId, Box<JobAssignment>)>,
    ) {
        self.offer_count += 1;
        let number = OfferNo(self.offer_count);
        self.offers.insert(job.clone(), Offered { number, asks, late });
        self.answer_by.push_back((now + self.patience.answer, number, job.clone()));
        self.emit(Output::Offered(job, number, Box::new(request)));
    }

    /// Takes a promise back, also where it still waits to be sent. Returns whether there was one.
    fn void(&mut self, job: &CallId) -> bool {
        let stood = self.promises.remove(job).is_some();
        self.links.iter_mut().for_each(|link| link.take_back(job));
        stood
    }

    /// Refuses an offer on the gate's behalf, and tells the gate.
    fn withdraw_offer(&mut self, now: Instant, job: &CallId) {
        self.conclude(now, job, Answer::No);
        self.emit(Output::Withdrawn(job.clone()));
    }

    /// Answers an offer.
    fn conclude(&mut self, now: Instant, job: &CallId, answer: Answer) {
        let Some(offer) = self.offers.remove(job) else { return };
        match (answer, offer.late) {
            (Answer::Yes(_), Some((home, assignment))) => self.begin(home, job.clone(), assignment),
            (Answer::No | Answer::Terminate, Some((home, _))) => {
                let why = "its reservation had lapsed, and the worker takes no more calls";
                self.refuse_assignment(job.clone(), home, why);
            }
            (Answer::Yes(joining), None) => {
                let answer = self.yes(job, joining);
                let promise = Promised { answer: answer.clone(), on: offer.asks.clone(), told: false };
                self.promises.insert(job.clone(), promise);
                for on in offer.asks {
                    self.say(now, on, answer.clone());
                }
            }
            (answer, None) => {
                for on in offer.asks {
                    self.fates.note(job.clone(), Fate::Refused { on, at: now });
                    self.say(now, on, no(job.as_str(), answer == Answer::Terminate));
                }
            }
        }
    }

    fn begin(&mut self, home: LinkId, job: CallId, assignment: Box<JobAssignment>) {
        self.counts.assigned += 1;
        self.running.insert(job.clone(), Running { home, terminated: false });
        self.report(home, Report::Running(job.clone()));
        self.emit(Output::Assigned(job, assignment));
    }

    fn refuse_assignment(&mut self, job: CallId, on: LinkId, why: &str) {
        self.fates.note(job.clone(), Fate::Ended);
        self.owe_stranger(job, on, why);
    }

    /// Puts an answer on a socket's queue.
    fn say(&mut self, now: Instant, on: LinkId, answer: AvailabilityResponse) {
        let Some(link) = self.link(on) else { return };
        link.answers.push_back(answer);
        if link.answers.len() > OFFERS_MAX {
            self.flooded(now, on);
        }
    }

    /// Whether a job is assigned here, or was: a second assignment would be another end of the same job.
    fn is_taken(&self, job: &CallId) -> bool {
        let ended = self.fates.get(job) == Some(Fate::Ended);
        ended || self.running.contains_key(job) || self.owed.contains_key(job) || self.is_late(job)
    }

    /// Whether the gate is asked about a job that is assigned already.
    fn is_late(&self, job: &CallId) -> bool {
        self.offers.get(job).is_some_and(|offer| offer.late.is_some())
    }

    fn is_refused(&self, now: Instant, job: &CallId, link: LinkId) -> bool {
        let same = |fate| matches!(fate, Fate::Refused { on, at } if on == link && now.since(at) < SAME_OFFER);
        self.fates.get(job).is_some_and(same)
    }

    fn yes(&self, job: &CallId, joining: Joining) -> AvailabilityResponse {
        let registration = &self.registration;
        let mut attributes = registration.attributes.clone();
        if !registration.agent_name.is_empty() {
            attributes.insert("lk.agent.name".to_owned(), registration.agent_name.clone());
        }
        attributes.extend(joining.attributes);
        let or = |given: String, default: &dyn Fn() -> String| if given.is_empty() { default() } else { given };
        AvailabilityResponse {
            job_id: job.to_string(),
            available: true,
            supports_resume: false,
            participant_name: joining.name,
            participant_identity: or(joining.identity, &|| format!("agent-{job}")),
            participant_metadata: or(joining.metadata, &|| registration.metadata.clone()),
            participant_attributes: attributes,
            terminate: false,
        }
    }
}

fn waits(offers: &BTreeMap<CallId, Offered>, job: &CallId, number: OfferNo) -> bool {
    offers.get(job).is_some_and(|offer| offer.number == number)
}

pub(super) fn no(job: &str, terminate: bool) -> AvailabilityResponse {
    AvailabilityResponse { job_id: job.to_owned(), terminate, ..AvailabilityResponse::default() }
}
