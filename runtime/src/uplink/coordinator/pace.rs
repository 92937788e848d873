//! When a worker reports: at once what a coordinator waits for, counts once a second, and in any case every so often.

use std::ops::RangeInclusive;
use std::time::Duration;

use openrtc_core::fleet::Facts;
use tokio::time::Instant;

/// How often counts of calls are reported at most.
const COUNTS: Duration = Duration::from_secs(1);

/// No period that a coordinator may ask for is outside of these.
const PERIODS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(1);

/// When the next report is due.
#[derive(Debug)]
pub(super) struct Pace {
    period: Duration,
    last: Option<Said>,
}

/// The last report.
#[derive(Debug)]
struct Said {
    facts: Facts,
    at: Instant,
    /// When the next one is due of a worker that does not change.
    next: Instant,
}

impl Pace {
    /// Nothing was reported yet, and whoever asks for reports asks for one every so often.
    pub(super) fn every(period: Duration) -> Self {
        Self { period: period.clamp(*PERIODS.start(), *PERIODS.end()), last: None }
    }

    /// A report was sent. `spread`, from 0 to 1, moves the next one up to a fifth of the period either way, so that
    /// workers do not report all at one moment.
    pub(super) fn said(&mut self, facts: Facts, spread: f64) {
        let at = Instant::now();
        self.last = Some(Said { facts, at, next: at + self.period.mul_f64(0.8 + 0.4 * spread) });
    }

    /// When a worker that is like this reports.
    pub(super) fn due(&self, facts: &Facts) -> Instant {
        let Some(said) = &self.last else { return Instant::now() };
        let shown = |facts: &Facts| (facts.phase, facts.sealed, facts.obeyed);
        if shown(facts) != shown(&said.facts) {
            return Instant::now();
        }
        if facts.in_flight == said.facts.in_flight { said.next } else { said.next.min(said.at + COUNTS) }
    }
}

#[cfg(test)]
mod tests {
    use openrtc_core::id::Seq;
    use openrtc_core::order::Stamp;
    use openrtc_core::word::Phase;
    use tokio::time::advance;

    use super::*;

    const FACTS: Facts = Facts {
        seq: Seq::new(3),
        phase: Phase::Serving,
        in_flight: 1,
        capacity: 5,
        available: 4,
        sealed: false,
        obeyed: Stamp::NONE,
    };

    #[tokio::test(start_paused = true)]
    async fn what_is_waited_for_is_said_at_once_counts_once_a_second_and_the_rest_every_so_often() {
        let mut pace = Pace::every(Duration::from_secs(10));
        let begun = Instant::now();
        let due = |pace: &Pace, facts: Facts| (pace.due(&facts) - begun).as_millis();
        assert_eq!(due(&pace, FACTS), 0, "the first one");
        pace.said(FACTS, 1.0);
        assert_eq!(due(&pace, FACTS), 12_000);
        pace.said(FACTS, 0.0);
        assert_eq!(due(&pace, FACTS), 8_000);
        advance(Duration::from_millis(300)).await;
        assert_eq!(due(&pace, Facts { in_flight: 2, ..FACTS }), 1_000);
        assert_eq!(due(&pace, Facts { seq: Seq::new(9), ..FACTS }), 8_000, "a call came and went");
        let obeyed = Stamp { order: Seq::new(1), ..Stamp::NONE };
        for urgent in
            [Facts { phase: Phase::Draining, ..FACTS }, Facts { sealed: true, ..FACTS }, Facts { obeyed, ..FACTS }]
        {
            assert_eq!(due(&pace, urgent), 300, "{urgent:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_coordinator_can_make_a_worker_report_without_end_or_never() {
        for (asked, every) in [(Duration::ZERO, 100), (Duration::MAX, 60_000)] {
            let mut pace = Pace::every(asked);
            pace.said(FACTS, 0.5);
            assert_eq!((pace.due(&FACTS) - Instant::now()).as_millis(), every);
        }
    }
}
