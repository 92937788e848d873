//! What was found, and what is allowed all the same.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// A hint, or a limit of what can be judged.
    Hint,
    /// It may cut calls.
    Warning,
    /// It cuts calls.
    Error,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hint => "hint",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The file, as it was named.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The rule's code. It never changes.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is there.
    pub found: String,
    /// Why that matters.
    pub why: &'static str,
    /// What to do.
    pub fix: &'static str,
    /// The reason for which it is allowed, if it is.
    pub allowed: Option<String>,
}

/// Where a rule found something, before it is known whether that is allowed.
#[derive(Clone, Debug)]
pub(super) struct Hit {
    pub(super) file: usize,
    pub(super) line: usize,
    pub(super) found: String,
    /// `None`: the rule's own.
    pub(super) severity: Option<Severity>,
}

impl Hit {
    pub(super) fn new(file: usize, line: usize, found: impl Into<String>) -> Self {
        Self { file, line, found: found.into(), severity: None }
    }

    pub(super) fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = Some(severity);
        self
    }
}

/// A comment that allows what a rule finds: `# openrtc-lint: allow ORT-K014 the reason`. It holds for its own line and
/// for the next one that is no comment; `allow-file` holds for the whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    pub(super) code: String,
    pub(super) reason: String,
    /// The comment's line.
    pub(super) at: usize,
    /// The lines that it holds for; `None`: all of them.
    pub(super) lines: Option<[usize; 2]>,
}

const MARK: &str = "openrtc-lint:";

/// Every allowance of a file.
pub(super) fn allowances(text: &str) -> Vec<Allowance> {
    let lines: Vec<_> = text.lines().collect();
    let is_comment = |line: &&str| line.trim_start().starts_with(['#', ';']) || line.trim().is_empty();
    let allowance = |(index, line): (usize, &&str)| {
        let (before, rest) = line.split_once(MARK)?;
        if !before.contains(['#', ';']) {
            return None;
        }
        let (verb, rest) = rest.trim().split_once(' ')?;
        let (code, reason) = rest.trim().split_once(' ').unwrap_or_else(|| (rest.trim(), ""));
        let next = lines[index + 1..].iter().position(|line| !is_comment(line)).map_or(index, |skip| index + 1 + skip);
        let lines = (verb != "allow-file").then_some([index + 1, next + 1]);
        matches!(verb, "allow" | "allow-file").then(|| Allowance {
            code: code.to_owned(),
            reason: reason.trim().to_owned(),
            at: index + 1,
            lines,
        })
    };
    lines.iter().enumerate().filter_map(allowance).collect()
}

impl Allowance {
    pub(super) fn allows(&self, code: &str, line: usize) -> bool {
        self.code == code && !self.reason.is_empty() && self.lines.is_none_or(|lines| lines.contains(&line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_holds_for_its_line_and_the_next_one_that_says_something() {
        let text = "a: 1 # openrtc-lint: allow ORT-X why not\n# openrtc-lint: allow ORT-Y because\n# and\n\nb: 2\n\
                    # openrtc-lint: allow-file ORT-Z always\nurl: openrtc-lint: allow ORT-Q no comment\n";
        let found = allowances(text);
        let allows = |code: &str, line| found.iter().any(|allowance| allowance.allows(code, line));
        assert!(allows("ORT-X", 1) && !allows("ORT-X", 3) && !allows("ORT-Y", 1));
        assert!(allows("ORT-Y", 5) && allows("ORT-Z", 1) && !allows("ORT-Q", 7));
        let bare = &allowances("# openrtc-lint: allow ORT-X\n")[0];
        assert!(!bare.allows("ORT-X", 1), "without a reason nothing is allowed");
    }
}
