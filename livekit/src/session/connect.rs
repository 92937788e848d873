//! Sockets come and go: connecting, backing off, and registering anew before an old socket is left.

use openrtc_runtime::time::{Instant, Span};

use super::link::Ping;
use super::{Failure, Leaving, Link, LinkId, Loss, Notice, Output, Patience, Session, Stage};

/// Close codes (RFC 6455): the work is done; a message was too big.
const NORMAL: u16 = 1000;
const TOO_BIG: u16 = 1009;

impl Session {
    /// The connection is made, and the server has taken its token.
    pub fn opened(&mut self, now: Instant, id: LinkId) {
        let until = now + self.patience.register;
        if let Some(link) = self.link(id).filter(|link| matches!(link.stage, Stage::Connecting { .. })) {
            link.stage = Stage::Registering { until };
        }
        self.settle(now);
    }

    /// The connection could not be made.
    pub fn failed(&mut self, now: Instant, id: LinkId, failure: Failure) {
        self.lose(now, id, Loss::Failed(failure));
        self.settle(now);
    }

    /// The socket is gone: the server closed it, with a code if there was a close frame, or it broke.
    pub fn closed(&mut self, now: Instant, id: LinkId, code: Option<u16>) {
        self.lose(now, id, Loss::Closed(code));
        self.settle(now);
    }

    /// The server has confirmed the registration.
    pub(super) fn registered(&mut self, now: Instant, id: LinkId, worker_id: String, server: String) {
        let has_run = !self.running.is_empty();
        let next_at = now + self.patience.ping_every;
        let Some(link) = self.link(id) else { return };
        // A second one, or one that answers nothing.
        if link.is_registered() || !link.registered {
            self.counts.ignored += 1;
            return;
        }
        link.stage = Stage::Ready { since: now };
        link.ping = Ping::Idle { next_at };
        link.migrate = has_run;
        self.counts.registrations += 1;
        self.unregistered_since = None;
        self.last_loss = None;
        let retire = now + self.patience.retire;
        for link in &mut self.links {
            if let Stage::Retiring { until: until @ None } = &mut link.stage {
                *until = Some(retire);
            }
        }
        self.send_stranded();
        self.notice(Notice::Registered { worker_id, server });
    }

    /// The server's node is about to go: register elsewhere, then finish here what was begun here.
    pub(super) fn go_away(&mut self, now: Instant, id: LinkId) {
        self.counts.go_aways += 1;
        let stable = self.patience.stable;
        let Some(link) = self.link(id) else { return };
        let Stage::Ready { since } = link.stage else { return };
        link.stage = Stage::Retiring { until: None };
        if now.since(since) >= stable {
            self.attempts = 0;
        }
        // A second socket that retires would be a third to look after.
        let older = self.links.iter().find(|link| link.is_retiring() && link.id != id).map(|link| link.id);
        if let Some(older) = older {
            self.hang_up(now, older, NORMAL);
        }
        self.notice(Notice::GoAway);
        self.retry(now, false);
    }

    /// A frame was larger than this worker takes.
    pub(super) fn too_large(&mut self, now: Instant, id: LinkId, bytes: usize) {
        if self.link(id).is_some() {
            self.emit(Output::Close(id, Some(TOO_BIG)));
            self.lose(now, id, Loss::TooLarge(bytes));
        }
    }

    pub(super) fn flooded(&mut self, now: Instant, id: LinkId) {
        if self.link(id).is_some() {
            self.emit(Output::Close(id, None));
            self.lose(now, id, Loss::Flooded);
        }
    }

    /// Gives up sockets that kept something waiting for too long.
    pub(super) fn drop_overdue(&mut self, now: Instant) {
        let limit = self.patience.ping_limit;
        let overdue = |link: &Link| match (link.stage, link.ping) {
            (Stage::Connecting { until }, _) => (until <= now).then_some(Loss::Failed(Failure::TimedOut)),
            (Stage::Registering { until }, _) => (until <= now).then_some(Loss::NotRegistered),
            (Stage::Ready { .. } | Stage::Retiring { .. }, Ping::Due { since } | Ping::Sent { since, .. }) => {
                (since + limit <= now).then_some(Loss::Silent)
            }
            (Stage::Ready { .. } | Stage::Retiring { .. }, Ping::Idle { .. }) => None,
        };
        let lost: Vec<_> = self.links.iter().filter_map(|link| Some((link.id, overdue(link)?))).collect();
        for (id, loss) in lost {
            self.emit(Output::Close(id, None));
            self.lose(now, id, loss);
        }
    }

    /// Leaves the sockets that the server told the worker to leave, once another one is registered and nothing that was
    /// begun on them is open, or their time is over.
    pub(super) fn retire(&mut self, now: Instant) {
        let open = |id: LinkId| {
            self.offers.values().any(|offer| offer.asks.contains(&id))
                || self.promises.values().any(|promise| promise.on.contains(&id))
        };
        let over = |link: &&Link| match link.stage {
            Stage::Retiring { until: Some(until) } => until <= now || (link.is_settled() && !open(link.id)),
            _ => false,
        };
        let over: Vec<_> = self.links.iter().filter(over).map(|link| link.id).collect();
        for id in over {
            self.hang_up(now, id, NORMAL);
        }
    }

    /// Closes a socket in good order.
    pub(super) fn hang_up(&mut self, now: Instant, id: LinkId, code: u16) {
        self.emit(Output::Close(id, Some(code)));
        self.forget(now, id);
    }

    pub(super) fn connect_if_due(&mut self, now: Instant) {
        if self.retry_at.is_none_or(|at| at > now) {
            return;
        }
        self.retry_at = None;
        self.next_link += 1;
        let id = LinkId(self.next_link);
        self.links.push(Link::new(id, now, &self.patience));
        self.emit(Output::Connect(id));
    }

    pub(super) fn give_up_if_due(&mut self, now: Instant) {
        if self.leaving == Leaving::No && self.give_up_at().is_some_and(|at| at <= now) {
            self.gave_up = true;
            let loss = self.last_loss.clone().unwrap_or(Loss::NotRegistered);
            self.emit(Output::GaveUp(loss));
        }
    }

    /// Forgets a socket that is gone, and plans the next one if none took its place.
    fn lose(&mut self, now: Instant, id: LinkId, loss: Loss) {
        let Some(link) = self.links.iter().find(|link| link.id == id) else { return };
        let stage = link.stage;
        self.counts.losses += 1;
        if let Stage::Ready { since } = stage
            && now.since(since) >= self.patience.stable
        {
            self.attempts = 0;
        }
        let slow = matches!(&loss, Loss::Failed(failure) if failure.is_lasting());
        self.last_loss = Some(loss.clone());
        self.forget(now, id);
        self.notice(Notice::Lost(loss));
        if !matches!(stage, Stage::Retiring { .. }) && (self.leaving == Leaving::No || !self.owed.is_empty()) {
            self.retry(now, slow);
        }
    }

    /// Plans the next attempt. The waits double up to their limit and are spread, so that the workers of a server that
    /// restarts do not all come at once.
    fn retry(&mut self, now: Instant, slow: bool) {
        let Patience { retry_min, retry_max, retry_slow, .. } = self.patience;
        let wait = if slow {
            self.jitter.spread(retry_slow)
        } else if self.attempts == 0 {
            self.jitter.within(retry_min)
        } else {
            let doubled = retry_min.as_micros().saturating_mul(1 << self.attempts.min(20));
            self.jitter.spread(Span::from_micros(doubled.min(retry_max.as_micros())))
        };
        self.attempts = self.attempts.saturating_add(1);
        self.retry_at = Some(now + wait);
        self.notice(Notice::Retrying(wait));
    }

    /// Forgets a socket: answers die with it, statuses go to the next one.
    fn forget(&mut self, now: Instant, id: LinkId) {
        let Some(at) = self.links.iter().position(|link| link.id == id) else { return };
        let link = self.links.remove(at);
        self.counts.unanswered += u64::try_from(link.answers.len()).unwrap_or(u64::MAX);
        self.unask(&link);
        self.strand(link);
        if !self.is_registered() {
            self.unregistered_since.get_or_insert(now);
        }
    }
}
