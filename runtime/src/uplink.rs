//! The worker's side of a registrar or coordinator.

pub(crate) mod coordinator;
pub mod register;
mod sign;

/// How much of the other side's text is logged, in characters.
const SHOWN_MAX: usize = 200;

/// Foreign text on one line, not too long.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_shown_on_one_bounded_line() {
        assert_eq!(shown("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(shown(&"x".repeat(10_000)).len(), SHOWN_MAX);
    }
}
