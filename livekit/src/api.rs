//! The few requests to a LiveKit server that dispatches need, over HTTP.

use std::fmt;
use std::path::Path;

use openrtc_runtime::PemError;
use openrtc_runtime::http::{Client, HttpError, Method, Trust, Url};
use serde_json::{Value, json};

use crate::token::{ApiKey, without};
use crate::url::{BadUrl, ServerUrl};
use crate::worker::now_secs;

/// The largest answer that is taken, in bytes: a list of some ten thousand rooms.
const ANSWER_MAX: usize = 8 * 1024 * 1024;
/// How much of an answer that is not understood is shown, in characters.
const SHOWN_MAX: usize = 200;

/// Requests to a LiveKit server, with an API key.
#[derive(Clone)]
pub struct Api {
    base: Url,
    key: ApiKey,
    client: Client,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("base", &self.base.as_str()).field("key", &self.key).finish_non_exhaustive()
    }
}

/// Why a request has no answer. Whether it was carried out is unknown unless the server refused it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// There is no connection, or no answer within 5 s, or one that is too long.
    #[error("{0}")]
    Unanswered(String),
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

impl From<HttpError> for ApiError {
    fn from(error: HttpError) -> Self {
        Self::Unanswered(error.to_string())
    }
}

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
    /// Requests to the server at `url`, whose certificate is one that the platform trusts. Connects nothing.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn new(url: &str, key: ApiKey) -> Result<Self, BadUrl> {
        let trust = Trust::new(None).expect("there is no file to read");
        Ok(Self { base: ServerUrl::parse(url)?.http()?, key, client: client(&trust) })
    }

    /// Trusts the authorities in this file (PEM), and no others.
    ///
    /// # Errors
    /// If the file cannot be read, or holds no certificates.
    pub fn with_ca_file(self, file: &Path) -> Result<Self, PemError> {
        Ok(Self { client: client(&Trust::new(Some(file))?), ..self })
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

    /// Makes a room that asks for an agent from the beginning. A room that [`Api::create_dispatch`] makes also asks for
    /// one without a name; where nobody serves those, the server searches for 3 s all the same, and it has 50 searches
    /// at a time: so many rooms in a short time are better made in this way.
    ///
    /// Cancellation: the room may have been made.
    pub async fn create_room(&self, room: &str, like: &Dispatched) -> Result<(), ApiError> {
        let mut agent = json!({ "agent_name": like.agent_name, "metadata": like.metadata });
        if !like.deployment.is_empty() {
            agent["deployment"] = json!(like.deployment);
        }
        self.ask("RoomService", "CreateRoom", room, &json!({ "name": room, "agents": [agent] })).await.map(drop)
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
        let token = self.key.room_token(now_secs(), room);
        let mut url = self.base.clone();
        url.set_path(&format!("{}/twirp/livekit.{service}/{method}", url.path().trim_end_matches('/')));
        let response = self.client.ask(Method::POST, &url, Some(token.as_str()), body.to_string()).await?;
        let said = without(&token, &response.body);
        let Ok(answer) = serde_json::from_str(&said) else {
            let said = format!("{:.SHOWN_MAX$}", said.trim());
            return Err(match response.status {
                401 => {
                    let message = format!("{said}: check LIVEKIT_API_KEY and LIVEKIT_API_SECRET");
                    ApiError::Refused { method, code: "unauthenticated".to_owned(), message }
                }
                status => ApiError::Broken { method, fault: format!("HTTP {status}: {said:?}") },
            });
        };
        if response.status == 200 {
            return Ok(answer);
        }
        let (code, message) = (text(&answer, "code", "code"), text(&answer, "msg", "msg"));
        Err(ApiError::Refused { method, code, message })
    }
}

fn client(trust: &Trust) -> Client {
    Client::new(trust).with_answers_up_to(ANSWER_MAX)
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
