//! What a dispatcher does wrong when it is told to, so that a worker can be tried.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// One thing to do wrong. Each is written in words joined by hyphens, as its documentation says.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// How it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

faults! {
    /// `refuse-401`: the upgrade is answered with 401.
    Refuse401 => "refuse-401",
    /// `refuse-404`: the upgrade is answered with 404.
    Refuse404 => "refuse-404",
    /// `refuse-503`: the upgrade is answered with 503.
    Refuse503 => "refuse-503",
    /// `close-after-upgrade`: the socket is closed before anything is said.
    CloseAfterUpgrade => "close-after-upgrade",
    /// `no-register-reply`: the registration is not confirmed.
    NoRegisterReply => "no-register-reply",
    /// `close-after-register`: the socket is closed when the registration is confirmed.
    CloseAfterRegister => "close-after-register",
    /// `empty-worker-id`: the registration is confirmed without an id.
    EmptyWorkerId => "empty-worker-id",
    /// `register-twice`: the registration is confirmed twice.
    RegisterTwice => "register-twice",
    /// `offer-before-register`: an offer comes before the registration is confirmed.
    OfferBeforeRegister => "offer-before-register",
    /// `unknown-message`: a message of a kind that no worker knows follows the registration.
    UnknownMessage => "unknown-message",
    /// `empty-message`: an empty message follows the registration.
    EmptyMessage => "empty-message",
    /// `garbage`: a frame that is no message follows the registration.
    Garbage => "garbage",
    /// `oversized`: a frame of 3 MiB follows the registration.
    Oversized => "oversized",
    /// `blackhole`: from its registration on the socket stays open and silent.
    Blackhole => "blackhole",
    /// `lose-search`: a dispatch is lost in the server's own search, as a real server under load does.
    LoseSearch => "lose-search",
    /// `offer-twice`: an offer is sent twice.
    OfferTwice => "offer-twice",
    /// `close-after-offer`: the socket is closed behind an offer.
    CloseAfterOffer => "close-after-offer",
    /// `close-after-answer`: the socket is closed when a yes has come.
    CloseAfterAnswer => "close-after-answer",
    /// `no-assignment`: a yes is not followed by the assignment.
    NoAssignment => "no-assignment",
    /// `late-assignment`: the assignment comes 12 s after the yes.
    LateAssignment => "late-assignment",
    /// `assign-twice`: an assignment is sent twice.
    AssignTwice => "assign-twice",
    /// `assign-other-token`: an assignment is sent again with another token.
    AssignOtherToken => "assign-other-token",
    /// `assign-without-token`: an assignment has no token.
    AssignWithoutToken => "assign-without-token",
    /// `assign-without-room`: an assignment has no room.
    AssignWithoutRoom => "assign-without-room",
    /// `assign-bad-url`: an assignment has a URL that is none.
    AssignBadUrl => "assign-bad-url",
    /// `assign-unknown`: a job that was never offered is assigned, behind another assignment.
    AssignUnknown => "assign-unknown",
    /// `assign-refused`: a job is assigned although it was refused.
    AssignRefused => "assign-refused",
    /// `terminate-before-assignment`: a termination comes between the yes and the assignment.
    TerminateBeforeAssignment => "terminate-before-assignment",
    /// `terminate-unknown`: a job that the worker does not have is terminated, behind an assignment.
    TerminateUnknown => "terminate-unknown",
    /// `terminate-twice`: a termination is sent twice.
    TerminateTwice => "terminate-twice",
    /// `close-after-assignment`: the socket is closed behind an assignment.
    CloseAfterAssignment => "close-after-assignment",
    /// `go-away`: the worker is told to register elsewhere, behind its registration.
    GoAway => "go-away",
    /// `skew-clock`: the upgrade is answered with 401 and a Date two minutes off.
    SkewClock => "skew-clock",
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSuchFault(String);

impl fmt::Display for NoSuchFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<_> = Fault::ALL.iter().map(|fault| fault.as_str()).collect();
        write!(f, "there is no fault {:?}: use one of {}", self.0, known.join(", "))
    }
}

impl std::error::Error for NoSuchFault {}

impl FromStr for Fault {
    type Err = NoSuchFault;

    fn from_str(text: &str) -> Result<Self, NoSuchFault> {
        let named = Self::ALL.iter().copied().find(|fault| fault.as_str() == text);
        named.ok_or_else(|| NoSuchFault(text.chars().take(40).collect()))
    }
}

/// What is to be done wrong, and how often.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(BTreeMap<Fault, u32>);

impl Faults {
    pub(super) fn set(&mut self, fault: Fault, times: u32) {
        self.0.insert(fault, times);
    }

    /// Whether it is to be done wrong now; that uses up one time.
    pub(super) fn take(&mut self, fault: Fault) -> bool {
        match self.0.get_mut(&fault) {
            Some(times @ 1..) => {
                *times -= 1;
                true
            }
            Some(0) | None => false,
        }
    }
}
