//! Orders to workers over their ops endpoints: given to all at once, then what became of each is told.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use openrtc_core::id::Actor;
use openrtc_runtime::Exit;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use crate::follow::{Known, follow};
use crate::http::{self, Access};
use crate::screen;
use crate::snapshot::Seen;

/// Whom an order goes to, and who gives it.
#[derive(Args, Clone, Debug)]
pub(crate) struct Orders {
    /// The workers' ops endpoints: 127.0.0.1:9464, a URL, or unix:PATH for a Unix socket. With a coordinator, their
    /// names.
    #[arg(required = true, value_name = "WORKER")]
    pub(crate) urls: Vec<String>,
    #[command(flatten)]
    pub(crate) asker: Asker,
    #[command(flatten)]
    pub(crate) access: Access,
    /// Print JSON: one object per worker.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who gives an order.
#[derive(Args, Clone, Debug)]
pub(crate) struct Asker {
    /// Who asks; it is written into the journal. Default: this user's name.
    #[arg(long, value_name = "NAME", value_parser = named)]
    actor: Option<Named>,
}

impl Asker {
    /// The name that the order bears.
    pub(crate) fn name(&self) -> Actor {
        self.actor.clone().map_or_else(user, |named| named.0)
    }
}

/// What a worker made of an order.
struct Told<'a> {
    url: &'a str,
    ok: bool,
    message: String,
    seen: Option<Seen>,
}

/// The longest that is waited for, if anybody waits.
pub(crate) type Patience = Option<Option<Duration>>;

impl Orders {
    /// Gives an order to every worker, prints what each answered, and if `patience` is there, waits until they have
    /// drained, for as long as it says.
    pub(crate) async fn give(
        &self,
        path: &str,
        mut body: Map<String, Value>,
        wait: Patience,
    ) -> anyhow::Result<ExitCode> {
        let token = self.access.token()?;
        let actor = self.asker.name();
        body.insert("actor".into(), actor.as_str().into());
        let body = Value::Object(body).to_string();
        let told = join_all(self.urls.iter().map(|url| send(url, path, token.as_deref(), &body))).await;
        let refused = told.iter().any(|told| !told.ok);
        let code = if refused { Exit::FAILURE } else { Exit::CLEAN };
        let Some(patience) = wait else {
            self.print(&told, None)?;
            return Ok(code.into());
        };
        if !self.json {
            self.print(&told, None)?;
        }
        let ends = self.wait(&told, patience).await;
        if self.json {
            self.print(&told, Some(&ends))?;
        } else {
            let ends = told.iter().zip(&ends).filter_map(|(told, end)| Some((told.url, end.as_ref()?.1.clone())));
            print!("{}", screen::entries(&ends.collect::<Vec<_>>(), screen::width()));
        }
        Ok(ends.iter().flatten().map(|(code, _)| *code).fold(code, worse).into())
    }

    fn print<'a>(&self, told: &[Told<'a>], ends: Option<&[Option<(u8, String)>]>) -> anyhow::Result<()> {
        if self.json {
            let row = |(place, told): (usize, &Told<'_>)| {
                let end = ends.and_then(|ends| ends[place].as_ref()).map(|(_, words)| words);
                let snapshot = told.seen.as_ref().map(Seen::raw);
                json!({"url": told.url, "ok": told.ok, "message": told.message, "snapshot": snapshot, "end": end})
            };
            let rows: Vec<_> = told.iter().enumerate().map(row).collect();
            println!("{}", serde_json::to_string_pretty(&rows)?);
            return Ok(());
        }
        let entry = |told: &Told<'a>| {
            let Told { url, ok, message, seen } = told;
            let failed = if *ok { "" } else { "FAILED: " };
            let state = seen.as_ref().map(|seen| format!(": {}", words(seen))).unwrap_or_default();
            (*url, format!("{failed}{}{state}", screen::plain(message)))
        };
        print!("{}", screen::entries(&told.iter().map(entry).collect::<Vec<_>>(), screen::width()));
        Ok(())
    }

    /// How each worker that took the order ended, as an exit code and in words.
    async fn wait(&self, told: &[Told<'_>], patience: Option<Duration>) -> Vec<Option<(u8, String)>> {
        let taken: Vec<_> = (0..told.len()).filter(|place| told[*place].ok).collect();
        let urls: Vec<_> = taken.iter().map(|place| self.urls[*place].clone()).collect();
        // What nobody bounds may take for as long as calls last.
        let deadline = patience.map(|patience| Instant::now() + patience);
        let mut last: Vec<_> = taken.iter().map(|_| Known::Nothing).collect();
        let mut news = follow(&urls);
        loop {
            let heard = match deadline {
                Some(deadline) => timeout_at(deadline, news.recv()).await.ok().flatten(),
                None => news.recv().await,
            };
            let Some((place, known)) = heard else { break };
            last[place] = known;
            let over = |known: &Known| known.is_final() || known.seen().is_some_and(is_taken_back);
            if last.iter().all(over) {
                break;
            }
        }
        let mut ends = vec![None; told.len()];
        for (place, known) in taken.into_iter().zip(last) {
            ends[place] = Some(end(&known));
        }
        ends
    }
}

/// The worst of two exit codes: something failed, then calls were dropped, then all is well.
fn worse(one: u8, other: u8) -> u8 {
    let rank = |code| match code {
        Exit::CLEAN => 0,
        Exit::FORCED => 1,
        _ => 2,
    };
    if rank(other) > rank(one) { other } else { one }
}

fn is_taken_back(seen: &Seen) -> bool {
    !matches!(seen.phase(), "draining" | "drained" | "exited")
}

fn end(known: &Known) -> (u8, String) {
    match known {
        Known::Last(seen) if seen.dropped() > 0 => {
            (Exit::FORCED, format!("{} calls were dropped by force", seen.dropped()))
        }
        Known::Last(seen) if seen.has_left() => (Exit::CLEAN, "drained, and has left".into()),
        Known::Last(_) => (Exit::CLEAN, "drained".into()),
        Known::Now(seen) if is_taken_back(seen) => (Exit::FAILURE, "FAILED: the drain was taken back".into()),
        Known::Now(seen) => (Exit::FAILURE, format!("FAILED: not drained in time: {}", words(seen))),
        Known::Nothing => (Exit::FAILURE, "FAILED: it did not say how it is in time".into()),
        Known::Gone(seen, error) => {
            let last = seen.as_ref().map(|seen| format!(", last seen {}", words(seen))).unwrap_or_default();
            (Exit::FAILURE, format!("FAILED: it vanished{last} ({error}); its journal says what became of its calls"))
        }
    }
}

/// A worker in one line.
pub(crate) fn words(seen: &Seen) -> String {
    let what = [format!("{}, {} calls", seen.phase(), seen.calls())];
    screen::plain(&what.into_iter().chain(seen.notes()).collect::<Vec<_>>().join(", "))
}

async fn send<'a>(url: &'a str, path: &str, token: Option<&str>, body: &str) -> Told<'a> {
    let failed = |message: String| Told { url, ok: false, message, seen: None };
    let response = match http::post(url, path, token, body.to_owned()).await {
        Ok(response) => response,
        Err(error) => return failed(format!("{error:#}")),
    };
    let answer: Value = serde_json::from_str(&response.body).unwrap_or_default();
    match (answer["ok"].as_bool(), answer["message"].as_str()) {
        (Some(ok), Some(message)) => {
            Told { url, ok, message: message.into(), seen: Seen::of(answer["snapshot"].clone()) }
        }
        _ if response.status == 404 => failed("it does not know this order: its build is older than this one".into()),
        _ => failed(format!("it answers {}: is this a worker's ops endpoint?", response.status)),
    }
}

/// A person's name as one that an order can bear.
#[derive(Clone, Debug)]
struct Named(Actor);

fn named(text: &str) -> Result<Named, String> {
    Ok(Named(introduced(text).ok_or("give a name with a letter or a digit in it")?))
}

/// The name that an order bears for `text`; says so if it is another one.
fn introduced(text: &str) -> Option<Actor> {
    let actor = actor(text)?;
    if actor.as_str() != text {
        eprintln!("openrtc: {text:?} goes by the name {actor} here");
    }
    Some(actor)
}

/// Whatever an actor's name may not hold becomes a dash, and what is too long is cut: nobody is refused for a name.
fn actor(text: &str) -> Option<Actor> {
    let mut name = String::new();
    for found in text.chars() {
        let fits = found.is_ascii_graphic();
        if fits && name.len() < Actor::LEN_MAX {
            name.push(found);
        } else if !fits && !name.is_empty() && !name.ends_with('-') && name.len() < Actor::LEN_MAX {
            name.push('-');
        }
    }
    Actor::new(name.trim_end_matches('-')).ok()
}

/// This user's name; an order is not refused for lack of one.
#[expect(clippy::disallowed_methods, reason = "a name for the journal, not a setting")]
fn user() -> Actor {
    let name = std::env::var("USER").unwrap_or_default();
    introduced(&name).unwrap_or(const { Actor::from_static("openrtc-cli") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_refused_for_a_name() {
        let long = "a".repeat(60);
        for (name, goes_by) in [
            ("alice", "alice"),
            ("Alice Smith", "Alice-Smith"),
            ("José  Müller", "Jos-M-ller"),
            (" bob ", "bob"),
            (long.as_str(), &long[..39]),
        ] {
            assert_eq!(actor(name).expect("a name").as_str(), goes_by, "{name}");
        }
        for name in ["", " ", "é"] {
            assert_eq!(actor(name), None, "{name:?}");
        }
    }

    #[test]
    fn of_several_workers_the_worst_decides() {
        let codes = [Exit::CLEAN, Exit::FORCED, Exit::FAILURE];
        for (one, other) in codes.into_iter().flat_map(|one| codes.map(|other| (one, other))) {
            let expected = [Exit::FAILURE, Exit::FORCED].into_iter().find(|code| [one, other].contains(code));
            assert_eq!(worse(one, other), expected.unwrap_or(Exit::CLEAN));
        }
    }
}
