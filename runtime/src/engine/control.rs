//! The control loop: takes what passed the gate, journals it, then performs what it obliges to. The only loop there is,
//! for every machine, in production and in the simulator.

use openrtc_core::journal::{Batch, Journaled};
use openrtc_core::time::Span;

use super::intake::Intake;
use super::ports::Ports;

/// While entries flow the loop runs this often, so an entry is stamped at most this late.
pub const TICK: Span = Span::from_millis(1);

/// Runs until the machine is over, and returns it. `record` is the state that the intake started from; it is folded one
/// journaled entry at a time, so it is always the state that the journal tells.
pub async fn run<M: Journaled>(intake: &impl Intake<M>, mut record: M, ports: &mut impl Ports<M>) -> M {
    let _attendance = intake.attend();
    let mut batch = Batch::default();
    while !record.is_over() {
        // Deadlines before entries: what the last hang-up leads to is journaled together with it.
        intake.wake(ports.now(), &record);
        batch.clear();
        intake.take(ports.now(), &mut batch);
        let flowing = !batch.is_empty();
        if flowing {
            settle(&batch, &mut record, ports).await;
            // And after them: a call is flagged only by a record that lacks nothing.
            if record.is_over() || intake.wake(ports.now(), &record) {
                continue;
            }
        }
        let now = ports.now();
        let sleeps = !flowing && intake.may_sleep();
        // A deadline that is still due could not be acted on: a call is just ending, and it depends on how.
        let deadline = intake.deadline(&record).map(|due| if due <= now { now + TICK } else { due });
        let tick = (!sleeps).then_some(now + TICK);
        ports.next(deadline.into_iter().chain(tick).min(), intake.work()).await;
    }
    record
}

/// Goes on where an earlier process ended: first performs what its journal owes, then runs. `record` is the state that
/// the journal tells, and that the intake starts from.
pub async fn resume<M: Journaled>(intake: &impl Intake<M>, record: M, ports: &mut impl Ports<M>) -> M {
    let mut owed = Vec::new();
    record.obligations(&mut |effect| owed.push(effect));
    for effect in owed {
        ports.perform(effect).await;
    }
    run(intake, record, ports).await
}

/// Journals entries, folds them into the record, and performs their effects.
async fn settle<M: Journaled>(batch: &Batch<M>, record: &mut M, ports: &mut impl Ports<M>) {
    // A failed append shows in the journal's health; calls and drain go on.
    let _ = ports.append(record, batch).await;
    let mut effects = Vec::new();
    for entry in &batch.entries {
        record.apply(entry);
        record.react(entry, &mut |effect| effects.push(effect));
    }
    ports.publish(record.head().seq, record);
    for effect in effects {
        ports.perform(effect).await;
    }
}

#[cfg(all(test, not(openrtc_loom)))]
mod tests {
    use std::future::Future;
    use std::io;

    use openrtc_core::id::{Actor, CallId, DigestKey, Seq};
    use openrtc_core::time::Instant;
    use openrtc_core::worker::{Cause, Class, Command, DrainOrder, Effect, EndReason, Limits, Terms, Worker};

    use super::*;
    use crate::engine::gate::Gate;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Step {
        /// The journal is given entries up to here, and has them a while later.
        Append(Seq),
        Appended(Seq),
        Published(Seq),
        Performed,
    }

    /// A world that notes what is asked of it, in order, and whose journal takes its time.
    #[derive(Default)]
    struct World(Vec<Step>);

    impl Ports<Worker> for World {
        fn now(&self) -> Instant {
            Instant::EPOCH
        }

        async fn next(&mut self, _: Option<Instant>, _: impl Future<Output = ()>) {
            tokio::task::yield_now().await;
        }

        async fn append(&mut self, _: &Worker, batch: &Batch<Worker>) -> io::Result<()> {
            let last = batch.entries.last().map(|entry| entry.seq).unwrap_or_default();
            self.0.push(Step::Append(last));
            tokio::task::yield_now().await;
            self.0.push(Step::Appended(last));
            Ok(())
        }

        fn publish(&mut self, settled: Seq, _: &Worker) {
            self.0.push(Step::Published(settled));
        }

        async fn perform(&mut self, _: Effect) {
            self.0.push(Step::Performed);
        }
    }

    #[tokio::test]
    async fn nothing_is_published_before_the_journal_has_it_and_nothing_done_before_that() {
        let start = Worker::new(Limits::default()).expect("limits are valid");
        let gate = Gate::new(&start, DigestKey::default());
        gate.submit(Instant::EPOCH, Command::Serve).expect("it has just started");
        let call = gate.admit(&const { CallId::from_static("call") }, Class::default()).expect("it serves");
        let calling = async {
            tokio::task::yield_now().await;
            let order = DrainOrder { cause: Cause::Api, actor: Actor::from_static("alice"), terms: Terms::PATIENT };
            gate.submit(Instant::EPOCH, Command::BeginDrain(order)).expect("it serves");
            tokio::task::yield_now().await;
            gate.end(call, EndReason::CallerHangup).expect("it was held");
        };
        let mut world = World::default();
        let (left, ()) = tokio::join!(run(&gate, start, &mut world), calling);
        assert!(left.outcome().is_some());
        let mut steps = world.0.as_slice();
        let mut batches = 0;
        while let [Step::Append(given), Step::Appended(written), Step::Published(told), rest @ ..] = steps {
            assert!(given == written && written == told, "{:?}", world.0);
            let effects = rest.iter().take_while(|step| **step == Step::Performed).count();
            (steps, batches) = (&rest[effects..], batches + 1);
        }
        assert_eq!((steps, batches > 1), (&[][..], true), "{:?}", world.0);
    }
}
