//! The documentation says what the code does.

use openrtc_runtime::VARIABLES;
use openrtc_runtime::process::SIGNALS;

#[test]
fn every_variable_is_documented_as_it_is() {
    let documented: Vec<_> =
        include_str!("../../docs/configuration.md").lines().filter(|line| line.starts_with("| `OPENRTC_")).collect();
    let actual: Vec<_> = VARIABLES
        .iter()
        .map(|variable| format!("| `{}` | {} | {} |", variable.name, variable.sets, variable.default))
        .collect();
    assert_eq!(documented, actual);
}

#[test]
fn every_signal_is_documented_as_it_is() {
    let documented: Vec<_> =
        include_str!("../../docs/signals.md").lines().filter(|line| line.starts_with("| `SIG")).collect();
    let actual: Vec<_> = SIGNALS
        .iter()
        .map(|of| format!("| `{}` | {} | {} |", of.name(), format!("{:?}", of.rule).to_lowercase(), of.why))
        .collect();
    assert_eq!(documented, actual);
}
