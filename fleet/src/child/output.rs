//! What a program writes: always read, cut into lines that have a bound, each with the program's name before it.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openrtc_runtime::log::Output;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest line that is passed on, in bytes; the rest of a longer one is dropped and counted.
const LINE_MAX: usize = 8 << 10;
/// How much is read at a time, in bytes.
const CHUNK: usize = 16 << 10;

/// Reads until the other end is closed, and passes each line on. Never waits for whoever reads `to`.
pub(super) async fn pass_on(mut from: impl AsyncRead + Unpin, mut to: Output, name: String, cut: Arc<AtomicU64>) {
    let mut lines = Lines::new(&name);
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(read) => lines.take(&chunk[..read], &mut to, &cut),
        }
    }
    lines.end(&mut to);
}

/// A line that is not complete yet.
struct Lines {
    prefix: String,
    line: Vec<u8>,
    is_begun: bool,
}

impl Lines {
    fn new(name: &str) -> Self {
        Self { prefix: format!("[{name}] "), line: Vec::new(), is_begun: false }
    }

    fn take(&mut self, mut bytes: &[u8], to: &mut impl Write, cut: &AtomicU64) {
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (part, rest) = end.map_or((bytes, &[][..]), |end| (&bytes[..end], &bytes[end + 1..]));
            self.is_begun = true;
            let fits = part.len().min(LINE_MAX - self.line.len());
            self.line.extend_from_slice(&part[..fits]);
            cut.fetch_add((part.len() - fits) as u64, Ordering::Relaxed);
            if end.is_some() {
                self.end(to);
            }
            bytes = rest;
        }
    }

    fn end(&mut self, to: &mut impl Write) {
        if !std::mem::take(&mut self.is_begun) {
            return;
        }
        let whole = [self.prefix.as_bytes(), &self.line, b"\n"].concat();
        // It cannot fail: what cannot be written is dropped, and counted.
        let _ = to.write_all(&whole);
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> (String, u64) {
        let (mut lines, mut out, cut) = (Lines::new("v1 7"), Vec::new(), AtomicU64::new(0));
        for chunk in chunks {
            lines.take(chunk, &mut out, &cut);
        }
        lines.end(&mut out);
        (String::from_utf8(out).expect("text"), cut.load(Ordering::Relaxed))
    }

    #[test]
    fn lines_are_told_apart_however_they_arrive() {
        assert_eq!(lines(&[b"one\ntw", b"o\n\nthree"]).0, "[v1 7] one\n[v1 7] two\n[v1 7] \n[v1 7] three\n");
        assert_eq!(lines(&[]).0, "");
    }

    #[test]
    fn a_line_without_an_end_costs_no_more_than_its_bound() {
        let long = vec![b'x'; LINE_MAX];
        let (said, cut) = lines(&[&long, &long, b"yy\nnext\n"]);
        assert_eq!(cut, LINE_MAX as u64 + 2);
        assert_eq!(said.len(), "[v1 7] \n[v1 7] next\n".len() + LINE_MAX);
    }
}
