//! How wide the screen is, and lines that fit on it.

use std::io::{IsTerminal, stdout};

/// How many columns there are; `None` if nobody looks at a screen.
pub(crate) fn width() -> Option<usize> {
    let out = stdout();
    let columns = if out.is_terminal() { rustix::termios::tcgetwinsize(&out).ok()?.ws_col } else { 0 };
    (columns > 0).then_some(columns.into())
}

/// Rows below headings, each column as wide as it must be.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<_> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
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

/// Whether every line is on the screen whole. Where nobody looks at one, there is room for all.
pub(crate) fn fits(text: &str, width: Option<usize>) -> bool {
    width.is_none_or(|width| text.lines().all(|line| line.chars().count() <= width))
}

/// What there is to say of several things: a line for each where all lines fit, and else a block for each, its words
/// below its name.
pub(crate) fn entries(entries: &[(&str, String)], width: Option<usize>) -> String {
    let longest = entries.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines = entries.iter().map(|(name, words)| format!("{name:<longest$}  {words}\n")).collect::<Vec<_>>().concat();
    match width.filter(|_| !fits(&lines, width)) {
        Some(width) => {
            let block = |(name, words): &(&str, String)| format!("{name}\n{}", wrap(words, width));
            entries.iter().map(block).collect::<Vec<_>>().concat()
        }
        None => lines,
    }
}

/// Words in lines of at most so many columns, two of them empty at the beginning.
fn wrap(words: &str, width: usize) -> String {
    let (mut text, mut column) = (String::new(), 0);
    for word in words.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            text.push('\n');
            column = 0;
        }
        let space = if column == 0 { "  " } else { " " };
        text += space;
        text += word;
        column += space.len() + length;
    }
    text.push('\n');
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
    fn a_column_is_as_wide_as_it_must_be() {
        let rows = [vec!["w1:1".into(), "3 of 9".into(), "Grüße".into()], vec!["w22:1".into(), "0".into(), "a".into()]];
        let expected = "URL    calls   notes\nw1:1   3 of 9  Grüße\nw22:1  0       a\n";
        assert_eq!(table(&["URL", "calls", "notes"], &rows), expected);
        assert!(fits(expected, None) && fits(expected, Some(20)) && !fits(expected, Some(19)));
    }

    #[test]
    fn entries_are_lines_where_all_fit_and_blocks_where_one_does_not() {
        let told = [("w1:1", "draining, 3 of 9 calls".into()), ("w22:1", "done".into())];
        let lines = "w1:1   draining, 3 of 9 calls\nw22:1  done\n";
        assert_eq!((entries(&told, None), entries(&told, Some(29))), (lines.into(), lines.into()));
        let blocks = "w1:1\n  draining, 3 of 9\n  calls\nw22:1\n  done\n";
        assert_eq!(entries(&told, Some(20)), blocks);
    }

    #[test]
    fn what_is_too_long_is_cut_and_what_moves_the_cursor_is_not_shown() {
        assert_eq!((cut("Grüße", 5), cut("Grüße", 4)), ("Grüße".into(), "Grü…".into()));
        assert_eq!(plain("a\u{1b}[2Jb\n"), "a?[2Jb?");
    }
}
