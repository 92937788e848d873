//! How wide the screen is, and lines that fit on it.

use std::fmt::Write as _;
use std::io::{IsTerminal, stdout};

/// How many columns there are; `None` if nobody looks at a screen.
pub(crate) fn width() -> Option<usize> {
    let out = stdout();
    let columns = if out.is_terminal() { rustix::termios::tcgetwinsize(&out).ok()?.ws_col } else { 0 };
    (columns > 0).then_some(columns.into())
}

/// Rows below headings, each column as wide as it must be. Where that is too wide, each row becomes a block: the first
/// cell, and the others below it, what a heading would say before those that are only a number.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>], width: Option<usize>) -> String {
    let cell_widths = |row: &Vec<String>| row.iter().map(|cell| cell.chars().count()).collect::<Vec<_>>();
    let mut widths: Vec<_> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(cell_widths(row)) {
            *width = cell.max(*width);
        }
    }
    let whole: usize = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
    if width.is_some_and(|width| whole > width) {
        return rows.iter().map(|row| block(headings, row)).collect();
    }
    let line = |cells: Vec<&str>| {
        let padded: Vec<_> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(headings.to_vec());
    for row in rows {
        text += &line(row.iter().map(String::as_str).collect());
    }
    text
}

fn block(headings: &[&str], row: &[String]) -> String {
    let mut text = String::new();
    for (place, (heading, cell)) in headings.iter().zip(row).enumerate() {
        match place {
            0 => text += cell,
            _ if cell.is_empty() => continue,
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(text, "  {heading:<8} {cell}");
            }
        }
        text.push('\n');
    }
    text
}

/// A text cut to so many columns, with a mark where it was cut.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.into();
    }
    text.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

/// A text from elsewhere without what would move a terminal's cursor.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|found| if found.is_control() { '?' } else { found }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_the_screen_or_becomes_blocks() {
        let rows = [
            vec!["w1:1".into(), "3 of 9".into(), "api by alice".into()],
            vec!["w22:1".into(), "0".into(), String::new()],
        ];
        let headings = ["URL", "calls", "notes"];
        let expected = "URL    calls   notes\nw1:1   3 of 9  api by alice\nw22:1  0\n";
        assert_eq!(table(&headings, &rows, None), expected);
        assert_eq!(table(&headings, &rows, Some(27)), expected);
        let narrow = "w1:1\n  calls    3 of 9\n  notes    api by alice\nw22:1\n  calls    0\n";
        assert_eq!(table(&headings, &rows, Some(26)), narrow);
    }

    #[test]
    fn what_is_too_long_is_cut_and_what_moves_the_cursor_is_not_shown() {
        assert_eq!((cut("Grüße", 5), cut("Grüße", 4)), ("Grüße".into(), "Grü…".into()));
        assert_eq!(plain("a\u{1b}[2Jb\n"), "a?[2Jb?");
    }
}
