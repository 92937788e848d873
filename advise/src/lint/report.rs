//! Findings and rules as text, as Markdown and as SARIF.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Finding, Rule, Severity, rules};

impl Finding {
    /// The finding as a person reads it.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { path, line, code, severity, found, why, fix, allowed } = self;
        if let Some(reason) = allowed {
            return format!("{path}:{line}: allowed {code}: {found}\n    reason: {reason}\n");
        }
        let severity = severity.as_str();
        format!("{path}:{line}: {severity} {code}: {found}\n    why: {why}\n    fix: {fix}\n")
    }
}

/// All rules as the table of `docs/lint.md`.
#[must_use]
pub fn catalogue() -> String {
    let mut text = String::from("| code | | in | finds | why | fix |\n|---|---|---|---|---|---|\n");
    for rule in rules() {
        let Rule { code, severity, about, fires, why, fix, .. } = rule;
        let _ = writeln!(text, "| {code} | {} | {about} | {fires} | {why} | {fix} |", severity.as_str());
    }
    text
}

/// Findings as SARIF 2.1.0, which code review tools read.
#[must_use]
pub fn sarif(findings: &[Finding]) -> Value {
    let level = |severity: Severity| if severity == Severity::Hint { "note" } else { severity.as_str() };
    let rules: Vec<_> = rules()
        .map(|rule| {
            json!({
                "id": rule.code,
                "shortDescription": {"text": rule.fires},
                "fullDescription": {"text": rule.why},
                "help": {"text": rule.fix},
                "defaultConfiguration": {"level": level(rule.severity)},
            })
        })
        .collect();
    let results: Vec<_> = findings
        .iter()
        .map(|finding| {
            let mut result = json!({
                "ruleId": finding.code,
                "level": level(finding.severity),
                "message": {"text": format!("{}. {} {}", finding.found, finding.why, finding.fix)},
                "locations": [{"physicalLocation": {
                    "artifactLocation": {"uri": finding.path.replace('\\', "/")},
                    "region": {"startLine": finding.line},
                }}],
            });
            if let Some(reason) = &finding.allowed {
                result["suppressions"] = json!([{"kind": "inSource", "justification": reason}]);
            }
            result
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": {"name": "openrtc lint", "rules": rules}}, "results": results}],
    })
}
