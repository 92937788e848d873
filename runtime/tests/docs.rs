//! The documentation says what the code does.

use openrtc_runtime::VARIABLES;

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
