//! The requests of callers, in the JSON of LiveKit's Twirp services; and the switches for faults.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::http::{Answer, json_of, problem};
use super::{Core, State, is_joined};
use crate::dispatcher::{Asked, Dispatch, Progress};

/// Answers a request. Whoever asks has the key; `grants` says for what.
pub(super) fn answer(core: &Core, path: &str, grants: &Value, body: &Value) -> Answer {
    let room = field(body, "room");
    let may_admin = grants["roomAdmin"] == true && grants["room"] == room;
    let (allowed, reply) = match path {
        "/twirp/livekit.AgentDispatchService/CreateDispatch" => {
            (may_admin, Ok(core.with(|state, now| create_dispatch(state, now, body))))
        }
        "/twirp/livekit.AgentDispatchService/ListDispatch" => (may_admin, Ok(core.with(|state, _| list(state, room)))),
        "/twirp/livekit.AgentDispatchService/DeleteDispatch" if may_admin => {
            (true, core.with(|state, _| delete(state, body)))
        }
        "/twirp/livekit.RoomService/ListParticipants" => {
            (may_admin, Ok(core.with(|state, _| json!({ "participants": agents(state, room) }))))
        }
        "/twirp/livekit.RoomService/CreateRoom" if grants["roomCreate"] == true => {
            (true, Ok(core.with(|state, now| create_room(state, now, body))))
        }
        "/twirp/livekit.RoomService/DeleteRoom" if grants["roomCreate"] == true => {
            (true, Ok(core.with(|state, _| delete_room(state, room))))
        }
        "/twirp/livekit.RoomService/ListRooms" => (grants["roomList"] == true, Ok(core.with(|state, _| rooms(state)))),
        "/dev/faults" => (true, core.with(|state, _| set_fault(state, body))),
        "/dev/go-away" => (
            true,
            Ok(core.with(|state, now| {
                state.go_away(now);
                json!({})
            })),
        ),
        "/dev/dispatches" => (true, Ok(core.with(|state, _| ledger(state)))),
        _ if path.ends_with("Dispatch") || path.ends_with("Room") => (false, Ok(Value::Null)),
        _ => return problem(StatusCode::NOT_FOUND, "bad_route", "there is no such service or method"),
    };
    match (allowed, reply) {
        (false, _) => problem(StatusCode::UNAUTHORIZED, "unauthenticated", "permissions denied"),
        (true, Ok(reply)) => json_of(StatusCode::OK, &reply),
        (true, Err((status, kind, message))) => problem(status, kind, &message),
    }
}

type Problem = (StatusCode, &'static str, String);

/// A field by its name in snake case; callers may write it in camel case.
fn field<'a>(body: &'a Value, name: &str) -> &'a str {
    let mut camel = String::new();
    let mut raise = false;
    for letter in name.chars() {
        match letter {
            '_' => raise = true,
            letter if std::mem::take(&mut raise) => camel.extend(letter.to_uppercase()),
            letter => camel.push(letter),
        }
    }
    body[name].as_str().or_else(|| body[camel.as_str()].as_str()).unwrap_or_default()
}

fn asked(room: &str, body: &Value) -> Asked {
    let text = |name| field(body, name).to_owned();
    Asked {
        room: room.to_owned(),
        agent_name: text("agent_name"),
        metadata: text("metadata"),
        deployment: text("deployment"),
        ..Asked::default()
    }
}

/// A dispatch makes its room, and the room a dispatch of its own, for workers without a name.
fn create_dispatch(state: &mut State, now: super::Instant, body: &Value) -> Value {
    let room = field(body, "room");
    if state.rooms.insert(room.to_owned()) {
        unnamed(state, now, room);
    }
    let id = state.dispatcher.dispatch(now, asked(room, body));
    let made = state.dispatcher.dispatches().find(|(known, _)| *known == id);
    made.map_or(Value::Null, |(id, dispatch)| shown(id, dispatch))
}

fn create_room(state: &mut State, now: super::Instant, body: &Value) -> Value {
    let name = field(body, "name");
    if state.rooms.insert(name.to_owned()) {
        match body["agents"].as_array() {
            Some(agents) if !agents.is_empty() => {
                for agent in agents {
                    state.dispatcher.dispatch(now, asked(name, agent));
                }
            }
            _ => unnamed(state, now, name),
        }
    }
    json!({ "name": name })
}

/// The dispatch of a room that asks for no agent by name, if somebody serves those.
fn unnamed(state: &mut State, now: super::Instant, room: &str) {
    let asked = Asked { room: room.to_owned(), ..Asked::default() };
    if state.dispatcher.serves(&asked) {
        state.dispatcher.dispatch(now, asked);
    }
}

fn list(state: &State, room: &str) -> Value {
    let of_room = state.dispatcher.dispatches().filter(|(_, dispatch)| dispatch.asked.room == room);
    let standing = of_room.filter(|(_, dispatch)| dispatch.progress != Progress::Deleted);
    json!({ "agent_dispatches": standing.map(|(id, dispatch)| shown(id, dispatch)).collect::<Vec<_>>() })
}

fn delete(state: &mut State, body: &Value) -> Result<Value, Problem> {
    let (id, room) = (field(body, "dispatch_id"), field(body, "room"));
    let found = state.dispatcher.dispatches().find(|(known, dispatch)| {
        *known == id && dispatch.asked.room == room && dispatch.progress != Progress::Deleted
    });
    let Some(gone) = found.map(|(id, dispatch)| shown(id, dispatch)) else {
        return Err((StatusCode::NOT_FOUND, "not_found", "could not find agent dispatch".to_owned()));
    };
    state.dispatcher.delete(id);
    Ok(gone)
}

fn delete_room(state: &mut State, room: &str) -> Value {
    state.rooms.remove(room);
    let of_room = state.dispatcher.dispatches().filter(|(_, dispatch)| dispatch.asked.room == room);
    let ids: Vec<_> = of_room.map(|(id, _)| id.to_owned()).collect();
    for id in ids {
        state.dispatcher.delete(&id);
    }
    json!({})
}

fn rooms(state: &State) -> Value {
    json!({ "rooms": state.rooms.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>() })
}

fn agents(state: &State, room: &str) -> Vec<Value> {
    let of_room = state.dispatcher.dispatches().filter(|(_, dispatch)| dispatch.asked.room == room);
    let joined = of_room.filter(|(_, dispatch)| is_joined(state, dispatch));
    let shown = joined.map(|(_, dispatch)| {
        let yes = dispatch.answers.iter().find(|(_, answer)| answer.available);
        let identity = yes.map(|(_, answer)| answer.participant_identity.as_str()).unwrap_or_default();
        json!({ "identity": identity, "state": "ACTIVE", "kind": "AGENT" })
    });
    shown.collect()
}

/// A dispatch as LiveKit shows it: with its job once that is assigned, and never why it is lost.
fn shown(id: &str, dispatch: &Dispatch) -> Value {
    let job = &dispatch.job;
    let assigned = matches!(dispatch.progress, Progress::Assigned(_));
    let state = json!({ "status": "JS_RUNNING" });
    let jobs: Vec<_> =
        assigned.then(|| json!({ "id": job.id, "dispatch_id": id, "state": state })).into_iter().collect();
    json!({
        "id": id,
        "agent_name": dispatch.asked.agent_name,
        "room": dispatch.asked.room,
        "metadata": dispatch.asked.metadata,
        "deployment": dispatch.asked.deployment,
        "state": { "jobs": jobs, "created_at": (dispatch.at.as_micros() * 1_000).to_string() },
    })
}

fn set_fault(state: &mut State, body: &Value) -> Result<Value, Problem> {
    let fault = field(body, "fault").parse().map_err(|error: crate::dispatcher::NoSuchFault| {
        (StatusCode::BAD_REQUEST, "invalid_argument", error.to_string())
    })?;
    let times = body["times"].as_u64().and_then(|times| u32::try_from(times).ok()).unwrap_or(1);
    state.dispatcher.break_next(fault, times);
    Ok(json!({}))
}

/// What the dispatcher saw of each dispatch: who was asked, who answered what, and what was lost, and why.
fn ledger(state: &State) -> Value {
    let entry = |(id, dispatch): (&str, &Dispatch)| {
        let progress = match &dispatch.progress {
            Progress::Offered { to, .. } => json!({ "offered": to.0 }),
            Progress::Assigned(to) => json!({ "assigned": to.0 }),
            Progress::Terminated => json!("terminated"),
            Progress::Lost(why) => json!({ "lost": why.as_str() }),
            Progress::Deleted => json!("deleted"),
        };
        let answers = dispatch.answers.iter().map(|(peer, answer)| json!({ "by": peer.0, "yes": answer.available }));
        let ends = state
            .dispatcher
            .statuses()
            .terminal(&dispatch.job.id)
            .map(|(peer, status)| json!({ "by": peer.0, "status": status }));
        json!({
            "id": id,
            "room": dispatch.asked.room,
            "job": dispatch.job.id,
            "progress": progress,
            "answers": answers.collect::<Vec<_>>(),
            "ends": ends.collect::<Vec<_>>(),
        })
    };
    json!({ "dispatches": state.dispatcher.dispatches().map(entry).collect::<Vec<_>>() })
}
