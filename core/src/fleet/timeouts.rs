//! How long a coordinator waits for its workers.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// How a coordinator follows its workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// How long after its last report, or after it registered, a worker counts as lost. The time begins anew when the
    /// coordinator starts, takes over, or was away itself.
    pub lease_ttl: Span,
    /// How long a report is good for.
    pub report_ttl: Span,
    /// How long an order goes without a sign that it was obeyed before it is sent again.
    pub resend_after: Span,
}

impl Default for Timeouts {
    /// Reports are good for 10 s, leases for 60 s, and orders are sent every 5 s.
    fn default() -> Self {
        Self { lease_ttl: Span::from_secs(60), report_ttl: Span::from_secs(10), resend_after: Span::from_secs(5) }
    }
}

/// Why limits cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTimeouts {
    /// A lease would expire before the report that renews it is stale.
    LeaseShort,
    /// Every report would be stale at once.
    ReportTtlZero,
    /// Orders would be sent without end.
    ResendZero,
}

impl fmt::Display for BadTimeouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeaseShort => "lease_ttl is not above report_ttl: set it to several times that",
            Self::ReportTtlZero => "report_ttl is 0, so every report would be stale at once: set it to 10s or so",
            Self::ResendZero => "resend_after is 0, so orders would be sent without end: set it to 5s or so",
        })
    }
}

impl core::error::Error for BadTimeouts {}

impl Timeouts {
    /// Refuses limits under which no rollout could be done.
    pub fn check(&self) -> Result<(), BadTimeouts> {
        if self.report_ttl == Span::ZERO {
            return Err(BadTimeouts::ReportTtlZero);
        }
        if self.lease_ttl <= self.report_ttl {
            return Err(BadTimeouts::LeaseShort);
        }
        if self.resend_after == Span::ZERO {
            return Err(BadTimeouts::ResendZero);
        }
        Ok(())
    }
}
