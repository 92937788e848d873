//! The platform: starts processes, signals them, kills them; and the plan's happenings.

use openrtc_core::fleet::Order;
use openrtc_core::id::Actor;
use openrtc_core::time::Span;
use openrtc_core::word::Phase;
use openrtc_core::worker::{Availability, Cause, Command, DrainOrder, EndReason};

use super::queue::Event;
use super::{Bug, Invariant, State, Who, World};
use crate::choice::mix;
use crate::ledger::Fate;
use crate::plan::{Deed, SECOND};

const SIGTERM: Actor = Actor::from_static("SIGTERM");
const PERSON: Actor = Actor::from_static("person");

/// After how long an old worker is stopped by the planted bug that does not wait for it to drain.
pub(super) const TIMED_STOP: u64 = 5 * SECOND;

impl World<'_> {
    /// The run begins: the old version is rolled out.
    pub(super) fn open(&mut self) {
        self.queue.push(0, Event::FleetWake(0));
    }

    pub(super) fn happen(&mut self, deed: Deed) {
        let plan = self.plan;
        self.tell(Who::Plan, || plan.name(deed));
        match deed {
            Deed::Rollout => self.plan_version(1),
            Deed::Rollback => self.order(Order::Rollback),
            Deed::Pause => self.order(Order::Pause),
            Deed::Resume => self.order(Order::Resume),
            Deed::GiveUp(worker) => {
                let worker = self.nodes[worker as usize].id;
                self.order(Order::Force { worker });
            }
            Deed::Drain(worker) => self.api(worker, |world| Command::BeginDrain(world.drain_order(worker, Cause::Api))),
            Deed::Cancel(worker) => self.api(worker, |_| Command::CancelDrain { actor: PERSON }),
            Deed::Force(worker) => self.api(worker, |_| Command::ForceDrain { actor: PERSON }),
            Deed::Extend(worker, by) => self.api(worker, |world| Command::ExtendDrain {
                actor: PERSON,
                deadline: world.nodes[worker as usize].clock(world.now) + Span::from_micros(by),
            }),
            Deed::Sigterm(worker) => self.sigterm(worker),
            Deed::Sigkill(worker) => self.die(worker, Fate::Killed),
            Deed::Restart(worker) => self.restart(worker),
            Deed::CrashMidStep(worker) => self.nodes[worker as usize].crash_armed = true,
            Deed::TornDisk(worker) => self.nodes[worker as usize].torn = true,
            Deed::Partition(worker, span) => self.nodes[worker as usize].cut_until = self.now + span,
            Deed::ClockStep(worker, by) => {
                let node = &mut self.nodes[worker as usize];
                node.offset = node.offset.saturating_add(by);
                self.settle(worker);
            }
            Deed::SlowSink(worker, span) => self.nodes[worker as usize].flush = span,
            Deed::CoordinatorCrash(span) => {
                for coordinator in &mut self.coordinators {
                    coordinator.up = false;
                }
                self.queue.push(self.now + span, Event::CoordinatorBack);
            }
            Deed::SecondCoordinator => self.take_over(),
        }
    }

    fn api(&mut self, worker: u32, command: impl FnOnce(&Self) -> Command) {
        if self.nodes[worker as usize].state == State::Up {
            let command = command(self);
            let _ = self.command(worker, command);
            self.settle(worker);
        }
    }

    fn drain_order(&self, worker: u32, cause: Cause) -> DrainOrder {
        let now = self.nodes[worker as usize].clock(self.now);
        DrainOrder {
            cause,
            actor: if cause == Cause::Signal { SIGTERM } else { PERSON },
            deadline: self.plan.drain_timeout.map(|timeout| now + Span::from_micros(timeout)),
            on_deadline: self.plan.on_deadline,
        }
    }

    pub(super) fn sigterm(&mut self, worker: u32) {
        let node = &mut self.nodes[worker as usize];
        if node.state != State::Up {
            return self.die(worker, Fate::Killed);
        }
        node.signals += 1;
        let (signals, incarnation, live) = (node.signals, node.incarnation, node.live);
        if let Some(grace) = self.plan.grace.filter(|_| signals == 1) {
            self.queue.push(self.now + grace, Event::Kill(worker, incarnation));
        }
        if signals > 1 && self.has(Bug::SecondSignalKills) {
            return self.die(worker, Fate::Lost);
        }
        if live > 0 && self.has(Bug::SignalSwallowed) {
            return;
        }
        if self.has(Bug::SignalKillsCalls) {
            self.cut_calls(worker, EndReason::Disconnected);
        }
        let order = self.drain_order(worker, Cause::Signal);
        let _ = self.command(worker, Command::BeginDrain(order));
        self.settle(worker);
    }

    pub(super) fn grace_over(&mut self, worker: u32, incarnation: u32) {
        if self.running(worker, incarnation).is_some() {
            self.die(worker, Fate::Killed);
        }
    }

    /// The coordinator wants a process ended: it must be one that has nothing to lose.
    pub(super) fn stop(&mut self, worker: u32) {
        let node = &self.nodes[worker as usize];
        let empty = node.live == 0 && node.machine.phase() >= Phase::Draining;
        let given_up =
            self.plan.happenings[..self.next_happening].iter().any(|happening| happening.deed == Deed::GiveUp(worker));
        if node.state == State::Up && !empty && !given_up {
            let what = format!(
                "{} is stopped while it holds {} calls, in phase {}",
                self.name(worker),
                node.live,
                node.machine.phase()
            );
            self.violate(Invariant::KillSafety, Some(worker), what);
        }
        self.sigterm(worker);
    }

    pub(super) fn timed_stop(&mut self, worker: u32, incarnation: u32) {
        if self.running(worker, incarnation).is_some() {
            self.stop(worker);
        }
    }

    /// As many processes of a version as the coordinator wants, those that leave not counted.
    pub(super) fn provision(&mut self, version: usize, wanted: u32) {
        let staying = |node: &&super::Node| {
            node.version == version
                && matches!(node.state, State::Booting | State::Up)
                && node.machine.phase() < Phase::Draining
        };
        let there = self.nodes.iter().filter(staying).count();
        let mut missing = (wanted as usize).saturating_sub(there);
        for state in [State::Absent, State::Gone] {
            for worker in 0..self.plan.workers() {
                let node = &self.nodes[worker as usize];
                if missing > 0 && node.version == version && node.state == state {
                    missing -= 1;
                    self.restart(worker);
                }
            }
        }
    }

    fn restart(&mut self, worker: u32) {
        let (plan, subject, now) = (self.plan, self.subject, self.now);
        let node = &mut self.nodes[worker as usize];
        if matches!(node.state, State::Absent | State::Gone) {
            node.start(plan, subject, now);
            let incarnation = node.incarnation;
            let boot = SECOND / 2 + mix(plan.seed ^ u64::from(worker)) % (2 * SECOND);
            self.queue.push(now + boot, Event::Boot(worker, incarnation));
        }
    }

    pub(super) fn boot(&mut self, worker: u32, incarnation: u32) {
        let node = &mut self.nodes[worker as usize];
        if node.incarnation != incarnation || node.state != State::Booting {
            return;
        }
        node.state = State::Up;
        let eager = self.has(Bug::NoRegistration);
        let _ = self.command(worker, if eager { Command::Serve } else { Command::StandBy });
        self.settle(worker);
        self.beat(worker, incarnation);
    }

    /// Now and then: registers or reports, and looks whether the run is over.
    pub(super) fn beat(&mut self, worker: u32, incarnation: u32) {
        if self.running(worker, incarnation).is_none() {
            return;
        }
        let node = &self.nodes[worker as usize];
        if node.registered {
            self.report(worker);
        } else {
            let at = node.cut_until.max(self.now) + self.latency(u64::from(worker) << 41 ^ self.now);
            self.queue.push(at, Event::Register(worker, incarnation));
        }
        self.queue.push(self.now + self.heartbeat, Event::Heartbeat(worker, incarnation));
        self.settle(worker);
        self.check_timers(worker);
        if self.now >= self.look_again {
            self.look_again = self.now + SECOND;
            self.finished = self.is_finished();
        }
    }

    /// The dispatcher hears whether a worker takes calls.
    pub(super) fn announced(&mut self, worker: u32, incarnation: u32, _open: bool) {
        let node = &self.nodes[worker as usize];
        if node.incarnation != incarnation {
            return;
        }
        // The last word a connection carried counts: announcements of one connection keep their order.
        let open = node.state == State::Up && node.announced == Availability::Open;
        if open && !node.joined {
            let what = format!("{} is offered calls and never joined", self.name(worker));
            self.violate(Invariant::KeepOut, Some(worker), what);
        }
        let version = self.nodes[worker as usize].version;
        self.dispatcher.set_open(worker, version, open);
    }
}
