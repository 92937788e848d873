//! `openrtc calls`: what a worker is busy with, and the end of one call.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use futures_util::future::join_all;
use humantime::format_duration;
use openrtc_runtime::Exit;
use serde_json::{Map, Value, json};

use crate::order::Orders;
use crate::{Usage, http, screen};

/// List a worker's calls in flight, oldest first, or end one of them.
///
/// `--end` tells the call's handler to end it; the call is dropped if that has not happened within the worker's force
/// grace. The end is in the journal as operator_hangup. Exits 1 if a worker refused or did not answer.
#[derive(Args, Clone, Debug)]
pub(crate) struct CallsArgs {
    #[command(flatten)]
    orders: Orders,
    /// End the call with this number, as listed.
    #[arg(long, value_name = "NUMBER")]
    end: Option<u64>,
    /// List at most so many calls of each worker.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
}

/// No page has more calls.
const PAGE: u64 = 500;

/// Lists, or ends one.
pub(crate) async fn run(args: CallsArgs) -> anyhow::Result<ExitCode> {
    if let Some(number) = args.end {
        if args.orders.urls.len() > 1 {
            return Err(Usage(anyhow!("a call's number is of one worker: give one URL with --end")).into());
        }
        return args.orders.give(&format!("/calls/{number}/end"), Map::new(), None).await;
    }
    let token = args.orders.access.token()?;
    let token = token.as_deref();
    let workers = join_all(args.orders.urls.iter().map(async |url| (url, list(url, token, args.limit).await))).await;
    let failed = workers.iter().any(|(_, listed)| listed.is_err());
    if args.orders.json {
        let row = |(url, listed): &(&String, anyhow::Result<Listed>)| match listed {
            Ok(Listed { calls, more }) => json!({"url": url, "calls": calls, "more": more}),
            Err(error) => json!({"url": url, "error": format!("{error:#}")}),
        };
        println!("{}", serde_json::to_string_pretty(&workers.iter().map(row).collect::<Vec<_>>())?);
    } else {
        let several = workers.len() > 1;
        for (url, listed) in &workers {
            if several {
                println!("{url}");
            }
            match listed {
                Ok(listed) => print!("{}", listed.table(screen::width())),
                Err(error) => println!("FAILED: {}", screen::plain(&format!("{error:#}"))),
            }
        }
    }
    Ok(if failed { Exit::FAILURE.into() } else { ExitCode::SUCCESS })
}

/// Calls in flight, as the worker says it.
pub(crate) struct Listed {
    pub(crate) calls: Vec<Value>,
    /// Whether there are more.
    more: bool,
}

/// At most `limit` calls of a worker, page by page.
pub(crate) async fn list(url: &str, token: Option<&str>, limit: u64) -> anyhow::Result<Listed> {
    let (mut calls, mut after) = (Vec::new(), 0);
    loop {
        let most = (limit - calls.len() as u64).min(PAGE);
        let response = http::get(url, &format!("/calls?after={after}&limit={most}"), token).await?;
        let page: Value = serde_json::from_str(&response.body).unwrap_or_default();
        match (response.status, page["message"].as_str()) {
            (200, _) => {}
            (_, Some(message)) => bail!("{message}"),
            (404, None) => bail!("it does not list its calls: its build is older than this one"),
            (status, None) => bail!("it answers {status}: is this a worker's ops endpoint?"),
        }
        let listed = page["calls"].as_array().context("its answer lists no calls: is this a worker's ops endpoint?")?;
        calls.extend(listed.iter().cloned());
        match page["next"].as_u64() {
            Some(next) if next > after && (calls.len() as u64) < limit => after = next,
            next => return Ok(Listed { calls, more: next.is_some() }),
        }
    }
}

impl Listed {
    fn table(&self, width: Option<usize>) -> String {
        if self.calls.is_empty() {
            return "no calls in flight\n".into();
        }
        let mut headings = vec!["number", "state", "age", "last progress", "call"];
        let mut rows: Vec<_> = self.calls.iter().map(row).collect();
        if self.calls.iter().any(|call| call["served_by"].is_string()) {
            headings.insert(4, "version");
            for (row, call) in rows.iter_mut().zip(&self.calls) {
                row.insert(4, screen::plain(call["served_by"].as_str().unwrap_or("-")));
            }
        }
        if let Some(width) = width {
            // The id is the one cell that may be long: it gets what the others leave.
            let last = headings.len() - 1;
            let column = |place: usize| rows.iter().map(|row| row[place].len()).max().unwrap_or(0);
            let taken: usize = (0..last).map(|place| column(place).max(headings[place].len()) + 2).sum();
            let left = width.saturating_sub(taken).max(8);
            for row in &mut rows {
                row[last] = screen::cut(&row[last], left);
            }
        }
        let more = if self.more { "there are more: --limit N lists more of them\n" } else { "" };
        screen::table(&headings, &rows) + more
    }
}

fn row(call: &Value) -> Vec<String> {
    let text = |name: &str| screen::plain(call[name].as_str().unwrap_or("?"));
    // Whole seconds: finer than that, nobody reads.
    let time = |name: &str| {
        let millis = call[name].as_u64().unwrap_or(0);
        format_duration(Duration::from_secs(millis / 1_000)).to_string()
    };
    let ago = if call["state"] == "reserved" { "-".into() } else { format!("{} ago", time("silent_ms")) };
    vec![call["number"].to_string(), text("state"), time("age_ms"), ago, text("id")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_listed_on_screens_of_any_width() {
        let id = "a84b4c76e66710@pc33.atlanta.example.com;a-tag-as-SIP-has-them";
        let calls = vec![
            json!({"number": 7, "id": id, "state": "stalled", "age_ms": 3_723_000, "silent_ms": 45_500}),
            json!({"number": 12, "id": "b", "state": "reserved", "age_ms": 900, "silent_ms": 900}),
        ];
        let listed = Listed { calls, more: true };
        let whole = listed.table(None);
        assert!(whole.contains(id) && whole.ends_with("there are more: --limit N lists more of them\n"), "{whole}");
        let expected = "\
number  state     age       last progress  call
7       stalled   1h 2m 3s  45s ago        a84b4c76e66710@p…
12      reserved  0s        -              b
there are more: --limit N lists more of them
";
        assert_eq!(listed.table(Some(60)), expected);
        assert_eq!(Listed { calls: vec![], more: false }.table(Some(60)), "no calls in flight\n");
    }
}
