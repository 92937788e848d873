//! The few requests to a LiveKit server that dispatches need, over HTTP.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::session::Failure;
use crate::token::ApiKey;
use crate::url::ServerUrl;
use crate::worker::{SetupError, Stream, now_secs, reach, tls};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is taken, in bytes.
const ANSWER_MAX: usize = 8 * 1024 * 1024;

/// Requests to a LiveKit server, with an API key.
#[derive(Clone)]
pub struct Api {
    url: ServerUrl,
    key: ApiKey,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("url", &self.url).field("key", &self.key).finish_non_exhaustive()
    }
}

/// Why a request has no answer. Whether it was carried out is unknown unless the server refused it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// There is no connection.
    #[error(transparent)]
    Unreachable(#[from] Failure),
    /// The server refused.
    #[error("LiveKit refuses {method}: {code}: {message}")]
    Refused {
        /// What was asked for.
        method: &'static str,
        /// Twirp's code, such as `not_found`.
        code: String,
        /// What the server says.
        message: String,
    },
    /// The answer is none.
    #[error("LiveKit's answer to {method} is not understood: {fault}")]
    Broken {
        /// What was asked for.
        method: &'static str,
        /// What is wrong.
        fault: String,
    },
}

impl std::error::Error for Failure {}

/// A dispatch, as the server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dispatched {
    /// The dispatch's id.
    pub id: String,
    /// The room that asked.
    pub room: String,
    /// The agent that it asked for.
    pub agent_name: String,
    /// What it hands to the worker.
    pub metadata: String,
    /// Its routing key.
    pub deployment: String,
}

impl Api {
    /// Requests to the server at `url`. Connects nothing.
    ///
    /// # Errors
    /// If the URL is none, or the system trusts no certificate.
    pub fn new(url: &str, key: ApiKey) -> Result<Self, SetupError> {
        let url = ServerUrl::parse(url)?;
        let tls = url.is_tls().then(tls).transpose().map_err(SetupError::Tls)?;
        Ok(Self { url, key, tls })
    }

    /// Asks for an agent in a room, which is made if it is not there. An answer does not say that one comes.
    ///
    /// Cancellation: the dispatch may have been made.
    pub async fn create_dispatch(&self, room: &str, like: &Dispatched) -> Result<Dispatched, ApiError> {
        let mut body = json!({ "room": room, "agent_name": like.agent_name, "metadata": like.metadata });
        if !like.deployment.is_empty() {
            body["deployment"] = json!(like.deployment);
        }
        let answer = self.ask("AgentDispatchService", "CreateDispatch", room, &body).await?;
        Ok(dispatched(&answer))
    }

    /// The dispatches of a room.
    pub async fn list_dispatches(&self, room: &str) -> Result<Vec<Dispatched>, ApiError> {
        let answer = self.ask("AgentDispatchService", "ListDispatch", room, &json!({ "room": room })).await?;
        Ok(list(&answer, "agent_dispatches", "agentDispatches").iter().map(dispatched).collect())
    }

    /// Takes a dispatch back; its agent, if there is one, is told to leave. Returns whether there was one.
    pub async fn delete_dispatch(&self, room: &str, id: &str) -> Result<bool, ApiError> {
        let body = json!({ "dispatch_id": id, "room": room });
        match self.ask("AgentDispatchService", "DeleteDispatch", room, &body).await {
            Ok(answer) => Ok(!dispatched(&answer).id.is_empty()),
            Err(ApiError::Refused { code, .. }) if code == "not_found" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The names of all rooms.
    pub async fn list_rooms(&self) -> Result<Vec<String>, ApiError> {
        let answer = self.ask("RoomService", "ListRooms", "", &json!({})).await?;
        Ok(list(&answer, "rooms", "rooms").iter().map(|room| text(room, "name", "name")).collect())
    }

    /// How many participants of a room are agents.
    pub async fn agents(&self, room: &str) -> Result<usize, ApiError> {
        let answer = self.ask("RoomService", "ListParticipants", room, &json!({ "room": room })).await?;
        let is_agent = |participant: &&Value| participant["kind"] == "AGENT" || participant["kind"] == 4;
        Ok(list(&answer, "participants", "participants").iter().filter(is_agent).count())
    }

    /// Ends a room.
    pub async fn delete_room(&self, room: &str) -> Result<(), ApiError> {
        self.ask("RoomService", "DeleteRoom", room, &json!({ "room": room })).await.map(drop)
    }

    async fn ask(
        &self,
        service: &'static str,
        method: &'static str,
        room: &str,
        body: &Value,
    ) -> Result<Value, ApiError> {
        let answered = timeout(PATIENCE, self.exchange(service, method, room, body)).await;
        let (status, answer) = answered.map_err(|_| Failure::TimedOut)??;
        let broken = |fault: String| ApiError::Broken { method, fault };
        let answer: Value =
            serde_json::from_slice(&answer).map_err(|error| broken(format!("HTTP {status}, {error}")))?;
        if status == StatusCode::OK {
            return Ok(answer);
        }
        let (code, message) = (text(&answer, "code", "code"), text(&answer, "msg", "msg"));
        Err(ApiError::Refused { method, code, message })
    }

    async fn exchange(
        &self,
        service: &str,
        method: &'static str,
        room: &str,
        body: &Value,
    ) -> Result<(StatusCode, Bytes), ApiError> {
        let broken = |error: &dyn fmt::Display| ApiError::Broken { method, fault: error.to_string() };
        let stream: Box<dyn Stream> = reach(&self.url, self.tls.as_ref()).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        let token = self.key.room_token(now_secs(), room);
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {}", token.as_str())).map_err(|error| broken(&error))?;
        bearer.set_sensitive(true);
        let request = Request::post(self.url.path_of(&format!("/twirp/livekit.{service}/{method}")))
            .header(HOST, self.url.authority())
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, bearer)
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|error| broken(&error))?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
            let status = response.status();
            let body =
                Limited::new(response.into_body(), ANSWER_MAX).collect().await.map_err(|error| broken(&error))?;
            Ok((status, body.to_bytes()))
        };
        tokio::select! {
            biased;
            answer = answer => answer,
            ended = connection => Err(broken(&format!("the connection ended: {ended:?}"))),
        }
    }
}

fn dispatched(shown: &Value) -> Dispatched {
    Dispatched {
        id: text(shown, "id", "id"),
        room: text(shown, "room", "room"),
        agent_name: text(shown, "agent_name", "agentName"),
        metadata: text(shown, "metadata", "metadata"),
        deployment: text(shown, "deployment", "deployment"),
    }
}

/// A field that servers write in snake case, and may write in camel case.
fn text(value: &Value, snake: &str, camel: &str) -> String {
    value[snake].as_str().or_else(|| value[camel].as_str()).unwrap_or_default().to_owned()
}

fn list<'a>(value: &'a Value, snake: &str, camel: &str) -> &'a [Value] {
    let list = value[snake].as_array().or_else(|| value[camel].as_array());
    list.map(Vec::as_slice).unwrap_or_default()
}

impl Dispatched {
    /// What asks for an agent by name.
    #[must_use]
    pub fn of_agent(agent_name: &str) -> Self {
        let empty = String::new;
        Self { id: empty(), room: empty(), agent_name: agent_name.to_owned(), metadata: empty(), deployment: empty() }
    }
}
