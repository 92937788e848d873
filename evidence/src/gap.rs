//! What the records do not tell.

use std::fmt;

use openrtc_core::id::{Incarnation, Seq};
use serde::{Deserialize, Serialize};

/// Something that the records do not tell, and which run it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untold {
    /// The run's place in the certificate's list; none if it is about all of them.
    pub run: Option<usize>,
    /// What they do not tell.
    #[serde(flatten)]
    pub gap: Gap,
}

/// What records do not tell. Files and directories are named as they were given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "gap", rename_all = "snake_case")]
pub enum Gap {
    /// A call was taken over from a run whose records do not say so.
    CameFrom {
        /// Its id.
        call: String,
        /// The worker.
        worker: String,
        /// The run.
        from: Incarnation,
    },
    /// Two records of a run contradict each other.
    Contradicts {
        /// The file or the directory.
        path: String,
        /// How it is wrong.
        problem: String,
    },
    /// A file is damaged, or its end is missing.
    Damaged {
        /// The file.
        path: String,
        /// How it is wrong.
        problem: String,
    },
    /// Entries are not there.
    EntriesMissing {
        /// The journal's directory.
        path: String,
        /// The first that is there again.
        before: Seq,
    },
    /// A newer build wrote some of it.
    Newer {
        /// The file.
        path: String,
    },
    /// There is nothing at all.
    NoJournal {
        /// The directory.
        path: String,
    },
    /// A run is known from the one after it only.
    RunMissing {
        /// The journal's directory.
        path: String,
        /// The run.
        missing: Incarnation,
        /// How many calls were open when it ended.
        open_calls: u32,
    },
    /// As an earlier build worded it.
    Told {
        /// The words.
        text: String,
    },
    /// A call went to a run whose records do not have it.
    WentTo {
        /// Its id.
        call: String,
        /// The worker.
        worker: String,
        /// The run.
        to: Incarnation,
    },
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CameFrom { call, worker, from } => {
                write!(f, "call {call} of {worker} was taken over from run {from}, whose journal does not say so")
            }
            Self::Contradicts { path, problem } | Self::Damaged { path, problem } => write!(f, "{path}: {problem}"),
            Self::EntriesMissing { path, before } => write!(f, "{path}: entries before #{before} are missing"),
            Self::Newer { path } => write!(f, "{path}: it was written by a newer build, at least in part"),
            Self::NoJournal { path } => write!(f, "{path} holds no journal"),
            Self::RunMissing { path, missing, open_calls } => {
                write!(f, "{path}: run {missing} ended without a word with {open_calls} calls open, ")?;
                f.write_str("and its journal is missing")
            }
            Self::Told { text } => f.write_str(text),
            Self::WentTo { call, worker, to } => {
                write!(f, "call {call} of {worker} went to run {to}, whose journal does not have it")
            }
        }
    }
}
