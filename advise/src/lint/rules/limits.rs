//! What cannot be judged is said, not passed over. These codes have no check of their own: reading finds them.

use super::Rule;
use crate::lint::finding::Severity::{Error, Hint, Warning};

const NONE: fn(&crate::lint::scene::Scene) -> Vec<crate::lint::finding::Hit> = |_| Vec::new();

pub(in crate::lint) const UNKNOWN_DRAIN: &str = "ORT-I001";
pub(in crate::lint) const UNREAD: &str = "ORT-I002";
pub(in crate::lint) const NO_REASON: &str = "ORT-I003";
pub(in crate::lint) const UNUSED: &str = "ORT-I004";
pub(in crate::lint) const UNKNOWN_FILE: &str = "ORT-I005";

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: UNKNOWN_DRAIN,
        severity: Hint,
        about: "all files",
        fires: "nothing says how long the drain of what a file starts takes",
        why: "Without that no deadline can be judged.",
        fix: "If it is a worker, give --drain (and --worker NAME if other things are in the file as well).",
        check: NONE,
    },
    Rule {
        code: UNREAD,
        severity: Warning,
        about: "all files",
        fires: "a template that is not rendered, or a file that cannot be read",
        why: "Nothing in it was judged.",
        fix: "Render it first, or mend it.",
        check: NONE,
    },
    Rule {
        code: NO_REASON,
        severity: Error,
        about: "comments",
        fires: "a finding is allowed without a reason, or by a code that does not exist",
        why: "Whoever reads it later cannot judge whether the reason still holds.",
        fix: "Write it like `# openrtc-lint: allow ORT-K014 one pod, and it is drained by hand`.",
        check: NONE,
    },
    Rule {
        code: UNUSED,
        severity: Hint,
        about: "comments",
        fires: "a comment allows what was not found",
        why: "It hides nothing now, and may hide something later.",
        fix: "Remove it.",
        check: NONE,
    },
    Rule {
        code: UNKNOWN_FILE,
        severity: Hint,
        about: "all files",
        fires: "a file of no known kind",
        why: "Nothing in it was judged.",
        fix: "Leave it out, or give it the usual name of its kind.",
        check: NONE,
    },
];
