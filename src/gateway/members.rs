//! REQUEST_GUILD_MEMBERS (op 8): member lists in chunks, a slice per turn, so that a large server holds up nobody.
//!
//! A job first collects the ids of those who match, so that `chunk_count` is known, then writes chunk after chunk
//! from the state of that moment: who has left meanwhile is missing in his chunk, never the chunk.
//! A job goes on only while its client has taken everything so far. It costs memory for one chunk, not for the list,
//! and a slow reader slows his own list down instead of being cut off for its length. A session that is detached
//! keeps its jobs until it ends.
//!
//! Bounds: a session with more than [`JOBS_OF_SESSION_MAX`] unanswered requests is closed 4008; a core that has
//! [`JOB_COUNT_MAX`] jobs ignores further requests.

use std::collections::VecDeque;

use super::connections::{ConnectionId, Connections};
use super::hub::{Cx, Hub};
use super::protocol::{Close, Outcome};
use super::session::Slot;
use super::sessions::Sessions;
use crate::domain::community::member::{ChunkMember, find_some};
use crate::domain::social::presence::{Moment, shown_outside};
use crate::domain::{EventName, intent};
use crate::id::{RoleId, ServerId, UserId};
use crate::store::Read;
use crate::store::tables::{MEMBERS, SERVERS};
use crate::wire::json::{Array, Object, Value};

/// Unanswered requests of one session.
const JOBS_OF_SESSION_MAX: usize = 8;
/// Jobs of one core.
const JOB_COUNT_MAX: usize = 1_024;
/// Jobs of one core that have begun and hold a list of ids: 16 bytes per member.
const BEGUN_COUNT_MAX: usize = 32;
/// Member records that one turn looks at: about 5 ms when each is shown.
const RECORDS_PER_TURN: usize = 1_000;
/// Longest `nonce` that is echoed, bytes.
const NONCE_LEN_MAX: usize = 32;
/// Most `user_ids` that one request may name.
const USER_IDS_MAX: usize = 100;

/// A list that is being made.
struct Job {
    slot: Slot,
    server_id: ServerId,
    user_id: UserId,
    presences: bool,
    nonce: Option<Box<str>>,
    limit: usize,
    /// Requested ids without a member.
    not_found: Vec<UserId>,
    stage: Stage,
}

enum Stage {
    /// Lower-case beginning of a name; nothing was looked at.
    Waiting(Box<str>),
    Collecting {
        prefix: Box<str>,
        after: UserId,
        found: Vec<(u64, UserId)>,
    },
    /// In the order of joining. `members` holds the objects of the chunk that is being written.
    Writing {
        found: Vec<(u64, UserId)>,
        at: usize,
        members: Vec<u8>,
    },
}

/// The lists of one core that are being made or wait for it, in the order of asking.
///
/// Invariant: the session of each is there; see [`Jobs::forget`].
#[derive(Default)]
pub(super) struct Jobs {
    queue: VecDeque<Job>,
}

impl Jobs {
    fn push(&mut self, job: Job) -> Outcome {
        if self.count_of(job.slot) >= JOBS_OF_SESSION_MAX {
            return Err(&Close::RATE_LIMITED);
        }
        if self.queue.len() < JOB_COUNT_MAX {
            self.queue.push_back(job);
        }
        Ok(None)
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn count_of(&self, slot: Slot) -> usize {
        self.queue.iter().filter(|job| job.slot == slot).count()
    }

    /// A session has ended: nobody waits for its lists.
    pub fn forget(&mut self, slot: Slot) {
        self.queue.retain(|job| job.slot != slot);
    }

    /// Bytes of the queue, without what the jobs have found so far.
    pub fn heap_len(&self) -> usize {
        self.queue.capacity() * size_of::<Job>()
    }

    /// The first that may go on.
    pub fn runnable(&self, sessions: &Sessions, connections: &Connections) -> Option<usize> {
        let begun = self.queue.iter().filter(|job| !matches!(job.stage, Stage::Waiting(_))).count();
        self.queue.iter().position(|job| {
            let session = &sessions[job.slot];
            let connection = connections.get(session.connection);
            let idle =
                connection.is_some_and(|connection| !connection.blocked) && session.sent == session.seq;
            idle && (begun < BEGUN_COUNT_MAX || !matches!(job.stage, Stage::Waiting(_)))
        })
    }
}

impl Hub {
    /// Everything but a proper request of a member with the intent is ignored (§5.4).
    pub(super) fn request_members(&mut self, cx: &Cx<'_>, id: ConnectionId, d: &Value<'_>) -> Outcome {
        let slot = self.connections[id].session;
        let (user_id, intents) = {
            let session = &self.sessions[slot];
            (session.user_id, session.intents)
        };
        if intents & intent::GUILD_MEMBERS == 0 {
            return Ok(None);
        }
        let Some(job) = parse(cx.read, slot, user_id, d) else { return Ok(None) };
        self.jobs.push(job)
    }

    /// One slice of one job.
    pub(super) fn run_job(&mut self, cx: &Cx<'_>) {
        let Some(index) = self.jobs.runnable(&self.sessions, &self.connections) else { return };
        let mut job = self.jobs.queue.remove(index).expect("it was found there");
        let member = cx.read.contains(MEMBERS, (job.server_id, job.user_id));
        let Some(server) = cx.read.get(SERVERS, job.server_id).filter(|_| member) else { return };
        let everyone = RoleId::from(&server.everyone_role_id);
        let (stage, goes_on) = match std::mem::replace(&mut job.stage, Stage::Waiting("".into())) {
            Stage::Waiting(prefix) => (collect(cx.read, &job, prefix, None, Vec::new()), true),
            Stage::Collecting { prefix, after, found } => {
                (collect(cx.read, &job, prefix, Some(after), found), true)
            }
            Stage::Writing { found, at, members } => {
                self.write_members(cx, &mut job, everyone, found, at, members)
            }
        };
        if goes_on {
            job.stage = stage;
            // In its old place: requests are answered one after the other.
            self.jobs.queue.insert(index, job);
        }
    }

    /// Writes members until the chunk is full or the turn's work is done; whether something is left.
    fn write_members(
        &mut self,
        cx: &Cx<'_>,
        job: &mut Job,
        everyone: RoleId,
        found: Vec<(u64, UserId)>,
        mut at: usize,
        mut members: Vec<u8>,
    ) -> (Stage, bool) {
        let chunk_size = self.config.websocket.members_chunk_size.max(1) as usize;
        let chunk_end = (at / chunk_size + 1).saturating_mul(chunk_size).min(found.len());
        let end = chunk_end.min(at + RECORDS_PER_TURN);
        for &(_, user_id) in &found[at..end] {
            let Some(member) = cx.read.get(MEMBERS, (job.server_id, user_id)) else { continue };
            if !members.is_empty() {
                members.push(b',');
            }
            let rest_timeout_ms = self.home.rest_timeout_ms();
            let moment = Moment { now: cx.now(), rest_timeout_ms };
            let live = cx.live.get(user_id);
            let shown = job.presences.then(|| shown_outside(cx.read, job.user_id, user_id, live, moment));
            ChunkMember::write(&mut members, cx.read, job.server_id, everyone, user_id, member, shown);
        }
        at = end;
        if at == chunk_end {
            let index = at.saturating_sub(1) / chunk_size;
            let count = found.len().div_ceil(chunk_size).max(1);
            let payload = chunk(job, &members, index, count);
            members = Vec::new();
            self.deliver_private(job.slot, EventName::GuildMembersChunk, payload.into());
        }
        let goes_on = at < found.len();
        (Stage::Writing { found, at, members }, goes_on)
    }
}

fn collect(
    read: Read<'_>,
    job: &Job,
    prefix: Box<str>,
    after: Option<UserId>,
    mut found: Vec<(u64, UserId)>,
) -> Stage {
    match find_some(read, job.server_id, &prefix, after, RECORDS_PER_TURN, &mut found) {
        Some(after) => Stage::Collecting { prefix, after, found },
        None => {
            found.sort_unstable();
            found.truncate(job.limit);
            found.shrink_to_fit();
            Stage::Writing { found, at: 0, members: Vec::new() }
        }
    }
}

/// `d` of one GUILD_MEMBERS_CHUNK. `members`: objects, separated by commas.
fn chunk(job: &mut Job, members: &[u8], index: usize, count: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(members.len() + 128);
    {
        let mut object = Object::new(&mut out);
        object.id("guild_id", job.server_id.0);
        let list = object.key("members");
        list.push(b'[');
        list.extend_from_slice(members);
        list.push(b']');
        object.u64("chunk_index", index as u64).u64("chunk_count", count as u64);
        {
            // Told once, with the first chunk.
            let mut list = Array::new(object.key("not_found"));
            job.not_found.drain(..).for_each(|user_id| list.id(user_id.0));
        }
        if let Some(nonce) = &job.nonce {
            object.str("nonce", nonce);
        }
    }
    out
}

/// `None` for what is ignored.
fn parse(read: Read<'_>, slot: Slot, user_id: UserId, d: &Value<'_>) -> Option<Job> {
    let given = |key: &str| d.get(key).filter(|value| !value.is_null());
    let server_id = ServerId(d.get("guild_id").and_then(Value::as_id)?);
    let member = read.contains(MEMBERS, (server_id, user_id)) && read.contains(SERVERS, server_id);
    let limit = match given("limit") {
        None => None,
        Some(limit) => usize::try_from(limit.as_int()?).ok().filter(|limit| *limit > 0),
    };
    let nonce = given("nonce").and_then(Value::as_str).filter(|nonce| nonce.len() <= NONCE_LEN_MAX);
    let mut job = Job {
        slot,
        server_id,
        user_id,
        presences: !matches!(d.get("presences"), Some(Value::Bool(false))),
        nonce: nonce.map(Into::into),
        limit: limit.unwrap_or(usize::MAX),
        not_found: Vec::new(),
        stage: Stage::Waiting("".into()),
    };
    match given("user_ids") {
        Some(Value::Array(ids)) if !ids.is_empty() => {
            job.stage = named(read, &mut job.not_found, server_id, ids)?
        }
        None | Some(Value::Array(_)) => {
            let prefix = given("query").map_or(Some(""), Value::as_str)?;
            job.stage = Stage::Waiting(prefix.to_lowercase().into());
        }
        Some(_) => return None,
    }
    member.then_some(job)
}

/// The members among the requested ids; the others go to `not_found`. Values that are no ids are skipped.
fn named(
    read: Read<'_>,
    not_found: &mut Vec<UserId>,
    server_id: ServerId,
    ids: &[Value<'_>],
) -> Option<Stage> {
    if ids.len() > USER_IDS_MAX {
        return None;
    }
    let mut ids: Vec<UserId> = ids.iter().filter_map(Value::as_id).map(UserId).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut found = Vec::new();
    for user_id in ids {
        match read.get(MEMBERS, (server_id, user_id)) {
            Some(member) => found.push((member.joined_at.to_native(), user_id)),
            None => not_found.push(user_id),
        }
    }
    found.sort_unstable();
    Some(Stage::Writing { found, at: 0, members: Vec::new() })
}
