//! What a run is a run of: the machines alone or the runtime's shell around them, sound or with a bug planted.

use core::fmt;
use core::str::FromStr;

use crate::bug::Bug;

/// What runs in a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// How much of the production code takes part.
    pub level: Level,
    /// The rule that is broken, if one is.
    pub bug: Option<Bug>,
}

/// How much of a worker is production code. Equal plans give equal journals at both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// 0: core's worker machine, with a model of the shell.
    #[default]
    Machine,
    /// 1: the runtime's gate and shell too, on simulated ports. The machine runs beside them, and every entry they
    /// journal must be the one it decides.
    Shell,
}

impl Subject {
    /// Nothing is broken.
    #[must_use]
    pub const fn sound(level: Level) -> Self {
        Self { level, bug: None }
    }

    /// One rule is broken, at the lowest level at which that can show.
    #[must_use]
    pub const fn with(bug: Bug) -> Self {
        Self { level: bug.level(), bug: Some(bug) }
    }

    /// The options that name it on the command line.
    #[must_use]
    pub fn options(self) -> String {
        let level = match self.level {
            Level::Machine => String::new(),
            Level::Shell => format!(" --level {}", self.level),
        };
        let bug = self.bug.map(|bug| format!(" --bug {bug}")).unwrap_or_default();
        level + &bug
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Machine => "0",
            Self::Shell => "1",
        })
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "0" => Ok(Self::Machine),
            "1" => Ok(Self::Shell),
            _ => Err("level 0 runs the machines, level 1 the runtime's shell around them".to_owned()),
        }
    }
}
