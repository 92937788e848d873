//! Registration. A worker proves to the registrar that it belongs to the fleet, and takes calls only after the
//! registrar has admitted it.
//!
//! The worker `POST`s a [`Request`] and is answered with an [`Answer`]:
//!
//! | status | meaning | the worker |
//! |---|---|---|
//! | 200 | admitted | takes calls |
//! | 403 | refused; `reason` says why | leaves with [`Exit::REJECTED`](crate::Exit::REJECTED) |
//! | 409 | signed for another epoch than `epoch` | signs again for that one |
//! | anything else, or nothing | not now | stays in standby and asks again later |
//!
//! The worker need not ask for the epoch first: it signs for the epoch that it knows, and a 409 names the current one.
//! The registrar tells the epoch only if the signature is good.

use std::time::Duration;

use openrtc_core::id::{Epoch, WorkerId};
use openrtc_core::membership::SigningKey;
use openrtc_core::worker::Command;
use serde::{Deserialize, Serialize};

use super::shown;
use super::sign::Signer;
use crate::engine::handle::WorkerHandle;
use crate::http::{Backoff, Client, Method, Response, Url};
use crate::log::say;

/// How long to wait at most before asking again.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What a worker sends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Who presents the token.
    pub worker: WorkerId,
    /// The token's text form.
    pub token: String,
}

/// The registrar's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// `registered`, or why not in one word, as
    /// [`MembershipError::word`](openrtc_core::membership::MembershipError::word) has it.
    pub reason: String,
    /// The same for people.
    pub message: String,
    /// The epoch tokens must be for; missing unless the signature held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
}

/// One worker's registration.
pub(crate) struct Registration {
    client: Client,
    url: Url,
    signer: Signer,
    /// The epoch last told; before that, a guess.
    epoch: Epoch,
}

/// What the registrar replied.
enum Reply {
    Admitted,
    Refused(Answer),
    /// Sign again, for this one.
    OtherEpoch(Epoch),
    NotNow(String),
}

impl Registration {
    pub(crate) fn new(client: Client, url: Url, key: SigningKey) -> Self {
        Self { client, url, signer: Signer::new(key), epoch: Epoch::new(1) }
    }

    /// Asks until there is an answer, or the worker leaves without one.
    pub(crate) async fn run(mut self, worker: &WorkerHandle) {
        tokio::select! {
            biased;
            () = worker.drained() => {}
            () = self.persist(worker) => {}
        }
    }

    async fn persist(&mut self, worker: &WorkerHandle) {
        let mut backoff = Backoff::up_to(PAUSE_MAX);
        loop {
            let problem = match self.present(worker).await {
                Reply::Admitted => return self.enter(worker),
                Reply::Refused(answer) => return self.leave(worker, &answer),
                Reply::OtherEpoch(epoch) => format!("the epoch changed to {epoch} while signing for another"),
                Reply::NotNow(problem) => shown(&problem),
            };
            let (url, pause) = (self.url.clone(), backoff.pause());
            say(move || tracing::warn!(%url, ?pause, "not registered yet, in standby: {problem}"));
            backoff.wait().await;
        }
    }

    /// Presents a token for the epoch last told and, if that is over, one for the current epoch.
    async fn present(&mut self, worker: &WorkerHandle) -> Reply {
        match self.present_once(worker).await {
            Reply::OtherEpoch(epoch) => {
                self.epoch = epoch;
                self.present_once(worker).await
            }
            reply @ (Reply::Admitted | Reply::Refused(_) | Reply::NotNow(_)) => reply,
        }
    }

    async fn present_once(&mut self, worker: &WorkerHandle) -> Reply {
        let body = self.request(worker);
        match self.client.ask(Method::POST, &self.url, None, body).await {
            Ok(response) => judge(&response),
            Err(error) => Reply::NotNow(error.to_string()),
        }
    }

    fn request(&mut self, worker: &WorkerHandle) -> String {
        let identity = *worker.identity();
        let token = self.signer.token(identity, self.epoch);
        let request = Request { worker: identity.worker, token };
        serde_json::to_string(&request).expect("names and text are JSON")
    }

    fn enter(&self, worker: &WorkerHandle) {
        let (url, epoch, served) = (self.url.clone(), self.epoch, worker.submit(Command::Serve));
        say(move || match served {
            Ok(_) => tracing::info!(%url, %epoch, "registered"),
            Err(rejection) => tracing::info!(%url, %rejection, "registered, but no longer in standby"),
        });
    }

    fn leave(&self, worker: &WorkerHandle, answer: &Answer) {
        let (message, reason) = (shown(&answer.message), shown(&answer.reason));
        let (url, left) = (self.url.clone(), worker.submit(Command::Reject));
        say(move || match left {
            Ok(_) => tracing::error!("{url} refused this worker: {message} ({reason})"),
            Err(rejection) => tracing::warn!(%rejection, "{url} refused this worker: {message} ({reason})"),
        });
    }
}

/// Reads a response. A status without a registrar's answer comes from a proxy or the like, which must not end a worker.
fn judge(response: &Response) -> Reply {
    let answer = serde_json::from_str::<Answer>(&response.body).ok();
    match (response.status, answer) {
        (200, Some(_)) => Reply::Admitted,
        (403, Some(answer)) => Reply::Refused(answer),
        (409, Some(Answer { epoch: Some(epoch), .. })) => Reply::OtherEpoch(epoch),
        (status, _) => Reply::NotNow(format!("status {status}: {}", response.body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        judge(&Response { status, body: body.into() })
    }

    #[test]
    fn only_a_refusal_in_the_registrars_own_words_ends_a_worker() {
        let refusal = r#"{"reason":"replayed","message":"the token was used before"}"#;
        assert!(matches!(reply(403, refusal), Reply::Refused(answer) if answer.reason == "replayed"));
        for (status, body) in [(403, "<html>Forbidden</html>"), (404, refusal), (500, ""), (409, refusal), (200, "")] {
            assert!(matches!(reply(status, body), Reply::NotNow(_)), "{status} {body}");
        }
    }
}
