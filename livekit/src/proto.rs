//! The messages of LiveKit's agent protocol, by their field numbers.
//!
//! Written by hand with `prost`'s derive and not taken from the crate `livekit-protocol`: that one is 4.7 MB of
//! generated source for the whole of LiveKit, brings in 20 crates at run time and 25 more at build time, changed
//! incompatibly within its last three months, and lags the protocol by weeks. A worker needs the two dozen messages
//! below, and `prost` skips the fields that it does not know, so a server that is newer than this file is understood.
//! Names and numbers are those of `livekit_agent.proto` and `livekit_models.proto`.
#![expect(missing_docs, reason = "LiveKit's own names: its protocol files document them")]
#![expect(clippy::struct_excessive_bools, reason = "LiveKit's own fields")]

use std::collections::BTreeMap;
use std::fmt;

/// From the worker to the server.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WorkerMessage {
    #[prost(oneof = "ToServer", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub message: Option<ToServer>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
#[expect(clippy::large_enum_variant, reason = "a message is read at once, and few are held")]
pub enum ToServer {
    #[prost(message, tag = "1")]
    Register(RegisterWorkerRequest),
    #[prost(message, tag = "2")]
    Availability(AvailabilityResponse),
    #[prost(message, tag = "3")]
    UpdateWorker(UpdateWorkerStatus),
    #[prost(message, tag = "4")]
    UpdateJob(UpdateJobStatus),
    #[prost(message, tag = "5")]
    Ping(WorkerPing),
    #[prost(message, tag = "6")]
    SimulateJob(SimulateJobRequest),
    #[prost(message, tag = "7")]
    MigrateJob(MigrateJobRequest),
}

/// From the server to the worker. A message of a kind that this file does not know decodes as `None`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ServerMessage {
    #[prost(oneof = "ToWorker", tags = "1, 2, 3, 4, 5, 6")]
    pub message: Option<ToWorker>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum ToWorker {
    #[prost(message, tag = "1")]
    Register(RegisterWorkerResponse),
    #[prost(message, tag = "2")]
    Availability(AvailabilityRequest),
    #[prost(message, tag = "3")]
    Assignment(JobAssignment),
    #[prost(message, tag = "4")]
    Pong(WorkerPong),
    #[prost(message, tag = "5")]
    Termination(JobTermination),
    #[prost(message, tag = "6")]
    GoAway(GoAway),
}

/// What a worker serves: each room, each participant that publishes, or each participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum JobType {
    Room = 0,
    Publisher = 1,
    Participant = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum WorkerStatus {
    Available = 0,
    Full = 1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum JobStatus {
    Pending = 0,
    Running = 1,
    Success = 2,
    Failed = 3,
    Cancelled = 4,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct RegisterWorkerRequest {
    #[prost(enumeration = "JobType", tag = "1")]
    pub r#type: i32,
    #[prost(string, tag = "3")]
    pub version: String,
    #[prost(uint32, tag = "5")]
    pub ping_interval: u32,
    #[prost(string, optional, tag = "6")]
    pub namespace: Option<String>,
    /// Absent: the agent may subscribe, publish, send data and update its metadata.
    #[prost(message, optional, tag = "7")]
    pub allowed_permissions: Option<ParticipantPermission>,
    #[prost(string, tag = "8")]
    pub agent_name: String,
    /// A routing key: only dispatches that carry the same one reach the worker.
    #[prost(string, tag = "9")]
    pub deployment: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct RegisterWorkerResponse {
    #[prost(string, tag = "1")]
    pub worker_id: String,
    #[prost(message, optional, tag = "3")]
    pub server_info: Option<ServerInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ServerInfo {
    #[prost(int32, tag = "1")]
    pub edition: i32,
    #[prost(string, tag = "2")]
    pub version: String,
    #[prost(int32, tag = "3")]
    pub protocol: i32,
    #[prost(string, tag = "4")]
    pub region: String,
    #[prost(string, tag = "5")]
    pub node_id: String,
    #[prost(int32, tag = "7")]
    pub agent_protocol: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct AvailabilityRequest {
    #[prost(message, optional, tag = "1")]
    pub job: Option<Job>,
    #[prost(bool, tag = "2")]
    pub resuming: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct AvailabilityResponse {
    #[prost(string, tag = "1")]
    pub job_id: String,
    #[prost(bool, tag = "2")]
    pub available: bool,
    #[prost(bool, tag = "3")]
    pub supports_resume: bool,
    #[prost(string, tag = "4")]
    pub participant_name: String,
    #[prost(string, tag = "5")]
    pub participant_identity: String,
    #[prost(string, tag = "6")]
    pub participant_metadata: String,
    #[prost(btree_map = "string, string", tag = "7")]
    pub participant_attributes: BTreeMap<String, String>,
    /// A refusal with this set ends the job: the server offers it to nobody else.
    #[prost(bool, tag = "8")]
    pub terminate: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct JobAssignment {
    #[prost(message, optional, tag = "1")]
    pub job: Option<Job>,
    /// Absent: the room is at the worker's own URL.
    #[prost(string, optional, tag = "2")]
    pub url: Option<String>,
    #[prost(string, tag = "3")]
    pub token: String,
}

/// Without the token, which lets its holder into the room.
impl fmt::Debug for JobAssignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, url, token: _ } = self;
        f.debug_struct("JobAssignment").field("job", job).field("url", url).finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct JobTermination {
    #[prost(string, tag = "1")]
    pub job_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct UpdateWorkerStatus {
    /// Absent: as it was.
    #[prost(enumeration = "WorkerStatus", optional, tag = "1")]
    pub status: Option<i32>,
    #[prost(float, tag = "3")]
    pub load: f32,
    #[prost(uint32, tag = "4")]
    pub job_count: u32,
    #[prost(bool, tag = "5")]
    pub draining: bool,
    /// Rises with each status of one registration.
    #[prost(uint64, tag = "6")]
    pub seq: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct UpdateJobStatus {
    #[prost(string, tag = "1")]
    pub job_id: String,
    #[prost(enumeration = "JobStatus", tag = "2")]
    pub status: i32,
    #[prost(string, tag = "3")]
    pub error: String,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct WorkerPing {
    #[prost(int64, tag = "1")]
    pub timestamp: i64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct WorkerPong {
    /// The ping's timestamp.
    #[prost(int64, tag = "1")]
    pub last_timestamp: i64,
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SimulateJobRequest {
    #[prost(enumeration = "JobType", tag = "1")]
    pub r#type: i32,
    #[prost(message, optional, tag = "2")]
    pub room: Option<Room>,
    #[prost(message, optional, tag = "3")]
    pub participant: Option<ParticipantInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct MigrateJobRequest {
    #[prost(string, repeated, tag = "2")]
    pub job_ids: Vec<String>,
}

/// The server's node is about to leave: register elsewhere.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GoAway {
    #[prost(int32, tag = "1")]
    pub reason: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Job {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(enumeration = "JobType", tag = "2")]
    pub r#type: i32,
    #[prost(message, optional, tag = "3")]
    pub room: Option<Room>,
    #[prost(message, optional, tag = "4")]
    pub participant: Option<ParticipantInfo>,
    #[prost(string, tag = "5")]
    pub namespace: String,
    #[prost(string, tag = "6")]
    pub metadata: String,
    #[prost(string, tag = "7")]
    pub agent_name: String,
    #[prost(message, optional, tag = "8")]
    pub state: Option<JobState>,
    #[prost(string, tag = "9")]
    pub dispatch_id: String,
    #[prost(bool, tag = "10")]
    pub enable_recording: bool,
    #[prost(string, tag = "11")]
    pub deployment: String,
    #[prost(btree_map = "string, string", tag = "12")]
    pub attributes: BTreeMap<String, String>,
    #[prost(bool, tag = "13")]
    pub enable_redaction: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct JobState {
    #[prost(enumeration = "JobStatus", tag = "1")]
    pub status: i32,
    #[prost(string, tag = "2")]
    pub error: String,
    #[prost(int64, tag = "3")]
    pub started_at: i64,
    #[prost(int64, tag = "4")]
    pub ended_at: i64,
    #[prost(int64, tag = "5")]
    pub updated_at: i64,
    #[prost(string, tag = "6")]
    pub participant_identity: String,
    #[prost(string, tag = "7")]
    pub worker_id: String,
    #[prost(string, tag = "8")]
    pub agent_id: String,
    #[prost(int32, tag = "9")]
    pub reason: i32,
}

/// Here and below, messages that only whoever joins a room reads are kept as the bytes that they came as.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Room {
    #[prost(string, tag = "1")]
    pub sid: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "8")]
    pub metadata: String,
    #[prost(uint32, tag = "3")]
    pub empty_timeout: u32,
    #[prost(uint32, tag = "4")]
    pub max_participants: u32,
    #[prost(int64, tag = "5")]
    pub creation_time: i64,
    #[prost(bytes = "vec", repeated, tag = "7")]
    pub enabled_codecs: Vec<Vec<u8>>,
    #[prost(uint32, tag = "9")]
    pub num_participants: u32,
    #[prost(bool, tag = "10")]
    pub active_recording: bool,
    #[prost(uint32, tag = "11")]
    pub num_publishers: u32,
    #[prost(bytes = "vec", optional, tag = "13")]
    pub version: Option<Vec<u8>>,
    #[prost(uint32, tag = "14")]
    pub departure_timeout: u32,
    #[prost(int64, tag = "15")]
    pub creation_time_ms: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ParticipantInfo {
    #[prost(string, tag = "1")]
    pub sid: String,
    #[prost(string, tag = "2")]
    pub identity: String,
    #[prost(string, tag = "5")]
    pub metadata: String,
    #[prost(string, tag = "9")]
    pub name: String,
    #[prost(int32, tag = "14")]
    pub kind: i32,
    #[prost(btree_map = "string, string", tag = "15")]
    pub attributes: BTreeMap<String, String>,
    #[prost(int32, tag = "3")]
    pub state: i32,
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub tracks: Vec<Vec<u8>>,
    #[prost(int64, tag = "6")]
    pub joined_at: i64,
    #[prost(uint32, tag = "10")]
    pub version: u32,
    #[prost(message, optional, tag = "11")]
    pub permission: Option<ParticipantPermission>,
    #[prost(string, tag = "12")]
    pub region: String,
    #[prost(bool, tag = "13")]
    pub is_publisher: bool,
    #[prost(int32, tag = "16")]
    pub disconnect_reason: i32,
    #[prost(int64, tag = "17")]
    pub joined_at_ms: i64,
    #[prost(int32, repeated, tag = "18")]
    pub kind_details: Vec<i32>,
    #[prost(bytes = "vec", repeated, tag = "19")]
    pub data_tracks: Vec<Vec<u8>>,
    #[prost(int32, tag = "20")]
    pub client_protocol: i32,
    #[prost(int32, repeated, tag = "21")]
    pub capabilities: Vec<i32>,
}

/// What an agent may do in its room.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ParticipantPermission {
    #[prost(bool, tag = "1")]
    pub can_subscribe: bool,
    #[prost(bool, tag = "2")]
    pub can_publish: bool,
    #[prost(bool, tag = "3")]
    pub can_publish_data: bool,
    #[prost(bool, tag = "7")]
    pub hidden: bool,
    #[prost(bool, tag = "10")]
    pub can_update_metadata: bool,
    #[prost(bool, tag = "8")]
    pub recorder: bool,
    #[prost(int32, repeated, tag = "9")]
    pub can_publish_sources: Vec<i32>,
    #[prost(bool, tag = "11")]
    pub agent: bool,
    #[prost(bool, tag = "12")]
    pub can_subscribe_metrics: bool,
    #[prost(bool, tag = "13")]
    pub can_manage_agent_session: bool,
}
