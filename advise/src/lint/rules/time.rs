//! Times as programs write them.

/// Seconds of a time such as `1h30m`, `90s`, `500ms`, `5min 20s`, `2d`; a bare number has no unit, and is `None`.
pub(in crate::lint) fn seconds(text: &str) -> Option<u64> {
    let (mut total, mut rest, mut is_there) = (0.0, text.trim(), false);
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|char: char| char.is_ascii_digit() || char.is_whitespace()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let factor = match unit {
            "us" | "usec" => 1e-6,
            "ms" | "msec" => 1e-3,
            "s" | "sec" | "second" | "seconds" => 1.0,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hour" | "hours" => 3_600.0,
            "d" | "day" | "days" => 86_400.0,
            "w" | "week" | "weeks" => 604_800.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        (rest, is_there) = (after.trim_start(), true);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` stops at both ends")]
    is_there.then_some(total as u64)
}

/// The same, where a bare number counts in this many milliseconds.
pub(in crate::lint) fn seconds_or(text: &str, bare_ms: u64) -> Option<u64> {
    text.trim().parse::<u64>().map_or_else(|_| seconds(text), |number| Some(number.saturating_mul(bare_ms) / 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_every_program_are_read() {
        let all = ["1h30m", "90s", "500ms", "5min 20s", "2d", "1m 5s"].map(seconds);
        assert_eq!(all, [5_400, 90, 0, 320, 172_800, 65].map(Some));
        assert_eq!(["", "90", "soon", "5x", "infinity", "-5s"].map(seconds), [None; 6]);
        assert_eq!((seconds_or("90", 1_000), seconds_or("90", 1), seconds_or("2m", 1)), (Some(90), Some(0), Some(120)));
    }
}
