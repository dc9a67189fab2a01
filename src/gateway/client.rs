//! What clients send: decoding, the order of checks (§1.2), and each opcode.

use super::allowance::Ask;
use super::connection::State;
use super::connections::ConnectionId;
use super::expiry::LOOK_MS;
use super::hub::{Cx, Hub, Mail};
use super::input::SERVER_EFFORT;
use super::protocol::{Close, Data, Outcome, When, taken_by};
use super::session::{Session, SessionId, Slot};
use super::veil::intents_of;
use crate::config::or_unlimited;
use crate::domain::community::server;
use crate::domain::gate::closure::void_up_to;
use crate::domain::identity::credential::{Verified, require_present, verify};
use crate::domain::media::picture::hex;
use crate::domain::social::presence::PresenceSet;
use crate::domain::social::relationship;
use crate::domain::{Command, EventName, intent, version, view};
use crate::id::{TokenId, UserId};
use crate::store::records::{ArchivedUser, status};
use crate::store::tables::{PRESENCES, SERVERS, TOKENS, USERS};
use crate::store::take_damage;
use crate::text;
use crate::wire::json::{self, Array, Object, Value};
use crate::wire::websocket::is_zlib;

/// A RESUME as far as its own fields can be judged.
#[derive(Clone, Debug)]
pub struct Resume {
    pub token: String,
    pub session_id: SessionId,
    /// `None`: not a number a session could have given out.
    pub seq: Option<u32>,
    pub compress: bool,
}

impl Hub {
    /// One message that is within the client's rate. Steps 2 to 6 of §1.2, then the opcode.
    pub(super) fn on_payload(
        &mut self,
        cx: &Cx<'_>,
        id: ConnectionId,
        bytes: &mut [u8],
        binary: bool,
    ) -> Option<Resume> {
        take_damage();
        let outcome = if binary && is_zlib(bytes) {
            self.dispatch_inflated(cx, id, bytes)
        } else {
            self.dispatch(cx, id, bytes)
        };
        // Not what was found: a login session that cannot be read is not one that has ended.
        let outcome = if take_damage() { Err(&Close::UNKNOWN_ERROR) } else { outcome };
        outcome.unwrap_or_else(|close| {
            self.close(cx, id, close);
            None
        })
    }

    fn dispatch_inflated(&mut self, cx: &Cx<'_>, id: ConnectionId, bytes: &[u8]) -> Outcome {
        let len_max = self.config.websocket.max_decompressed_size as usize;
        let mut inflated = self.compression.inflate(bytes, len_max).map_err(|_| &Close::DECODE_ERROR)?;
        let outcome = self.dispatch(cx, id, &mut inflated);
        self.compression.put_inflated(inflated);
        outcome
    }

    fn dispatch(&mut self, cx: &Cx<'_>, id: ConnectionId, text: &mut [u8]) -> Outcome {
        let message = json::parse(text).map_err(|_| &Close::DECODE_ERROR)?;
        if message.as_object().is_none() {
            return Err(&Close::DECODE_ERROR);
        }
        let code = message.get("op").filter(|op| !op.is_null()).ok_or(&Close::DECODE_ERROR)?;
        let row = code.as_int().and_then(taken_by).ok_or(&Close::UNKNOWN_OPCODE)?;
        let ready = self.connections[id].state == State::Ready;
        match row.when {
            When::InSession if !ready => return Err(&Close::NOT_AUTHENTICATED),
            When::BeforeSession if ready => return Err(&Close::ALREADY_AUTHENTICATED),
            _ => {}
        }
        const NULL: Value<'static> = Value::Null;
        let d = message.get("d").unwrap_or(&NULL);
        match (row.data, d) {
            (Data::Any, _) | (_, Value::Object(_)) => {}
            (Data::ObjectOrNull, Value::Null) => return Ok(None),
            _ => return Err(&Close::DECODE_ERROR),
        }
        self.intake.spend(row.effort);
        (row.handler)(self, cx, id, d)
    }

    // ----------------------------------------------------------------------------------------- op 1, 13

    pub(super) fn heartbeat(&mut self, cx: &Cx<'_>, id: ConnectionId, d: &Value<'_>) -> Outcome {
        let connection = &mut self.connections[id];
        connection.beat_ms = cx.ms();
        let slot = connection.session;
        if let Some(session) = self.sessions.get_mut(slot) {
            if let Some(seq) = d.as_int().and_then(|seq| u32::try_from(seq).ok()) {
                session.confirm(seq);
            }
            let (token_id, user_id) = (session.token_id, session.user_id);
            if !still_valid(cx, token_id, user_id) {
                self.end_session(cx, slot);
                return Err(&Close::AUTHENTICATION_FAILED);
            }
        }
        self.send_text(id, b"{\"op\":11}");
        Ok(None)
    }

    pub(super) fn version_check(&mut self, _: &Cx<'_>, id: ConnectionId, d: &Value<'_>) -> Outcome {
        let client = d.get("client_version").and_then(Value::as_str).ok_or(&Close::DECODE_ERROR)?;
        let mut text = Vec::new();
        let compatible = self.negotiate(client, &mut text)?;
        self.send_text(id, &text);
        if compatible { Ok(None) } else { Err(&Close::VERSION_OUTDATED) }
    }

    /// Appends the answer to a version check; whether the client may go on.
    fn negotiate(&self, client: &str, out: &mut Vec<u8>) -> Result<bool, &'static Close> {
        let outcome = version::negotiate(&self.versions, client).map_err(|_| &Close::DECODE_ERROR)?;
        out.extend_from_slice(b"{\"op\":13,\"d\":");
        version::VersionNegotiateResponse::write(out, &outcome);
        out.push(b'}');
        Ok(outcome.compatible())
    }

    // -------------------------------------------------------------------------------------------- op 2

    pub(super) fn identify(&mut self, cx: &Cx<'_>, id: ConnectionId, d: &Value<'_>) -> Outcome {
        if d.as_object().is_some_and(<[_]>::is_empty) {
            return Err(&Close::DECODE_ERROR);
        }
        if let Some(status) = self.maintenance_status(cx) {
            self.send_text(id, status.as_bytes());
            return Err(&Close::SERVER_MAINTENANCE);
        }
        self.take_in(id)?;
        let intents = match d.get("intents") {
            None => intent::DEFAULT,
            Some(Value::Int(bits)) => u16::try_from(*bits).map_err(|_| &Close::INVALID_INTENTS)?,
            Some(_) => return Err(&Close::INVALID_INTENTS),
        };
        let properties = d.get("properties").filter(|value| !value.is_null());
        if properties.is_some_and(|value| value.as_object().is_none()) {
            return Err(&Close::DECODE_ERROR);
        }
        let ip = self.connections[id].ip();
        let token = d.get("token").and_then(Value::as_str).unwrap_or_default();
        let Some(verified) = usable(cx, token) else {
            (cx.allow)(Ask::Failed(ip));
            return Err(&Close::AUTHENTICATION_FAILED);
        };
        // Bad tokens have a count of their own, and take no places from those who are known.
        if !(cx.allow)(Ask::Attempt(ip)) {
            return Err(&Close::RATE_LIMITED);
        }
        let client = properties.and_then(|p| p.get("client_version")).filter(|value| !value.is_null());
        if let Some(client) = client {
            let mut text = Vec::new();
            if !self.negotiate(client.as_str().ok_or(&Close::DECODE_ERROR)?, &mut text)? {
                self.send_text(id, &text);
                return Err(&Close::VERSION_OUTDATED);
            }
        }
        if !(cx.allow)(Ask::Identify(verified.token_id)) {
            return Err(&Close::RATE_LIMITED);
        }
        self.begin_session(
            cx,
            id,
            verified.user_id,
            verified.token_id,
            verified.user,
            intents,
            truthy(d.get("compress")),
        );
        Ok(None)
    }

    #[allow(clippy::too_many_arguments)]
    fn begin_session(
        &mut self,
        cx: &Cx<'_>,
        id: ConnectionId,
        user_id: UserId,
        token_id: TokenId,
        user: &ArchivedUser,
        intents: u16,
        compress: bool,
    ) {
        let session_id = self.cores.new_session_id((cx.random)(), self.sessions.next_slot());
        let intents = intents_of(user, intents);
        let mut session = Session::new(session_id, user_id, token_id, intents, id);
        session.blocks = relationship::blocks_any(cx.read, user_id);
        let slot = self.sessions.begin(session);
        let connection = &mut self.connections[id];
        connection.session = slot;
        connection.state = State::Ready;
        connection.compress = compress && self.config.websocket.compression_enabled;
        let host = &connection.host;
        let url = if self.config.websocket.public_url.is_empty() {
            format!("{}://{}/gateway", if host.secure { "wss" } else { "ws" }, host.text)
        } else {
            self.config.websocket.public_url.clone()
        };
        let mut ready = b"{\"op\":0,\"t\":\"READY\",\"s\":1,\"d\":".to_vec();
        self.write_ready(cx, &mut ready, slot, user, &url);
        ready.push(b'}');
        self.send_text(id, &ready);
        self.counters.dispatch_count += 1;
        self.counters.work.identifies += 1;
        if self.voice.is_busy() {
            for server_id in server::ids_of(cx.read, user_id) {
                self.greet(cx, slot, server_id);
            }
        }
        self.watch_expiry(cx, id, LOOK_MS);
        let session = self.session_ref(slot);
        self.tell_home(cx, user_id, Mail::Up { user_id, session, new: true });
    }

    /// Writes READY's `d` and enters the session into the index of every server it lists.
    fn write_ready(&mut self, cx: &Cx<'_>, out: &mut Vec<u8>, slot: Slot, user: &ArchivedUser, url: &str) {
        let (user_id, session_id, intents) = {
            let session = &self.sessions[slot];
            (session.user_id, session.id, session.intents)
        };
        let mut d = Object::new(out);
        d.u64("v", 10);
        {
            let mut object = d.object("user");
            object
                .id("id", user_id.0)
                .str("username", &user.username)
                .str("discriminator", "0")
                .opt_str("avatar", user.avatar.as_ref().map(|picture| hex(&picture.hash)).as_deref());
            view::write_avatar_url(object.key("avatar_url"), user_id);
            object.bool("bot", user.is_bot());
        }
        {
            let mut guilds = Array::new(d.key("guilds"));
            for server_id in server::ids_of(cx.read, user_id) {
                self.audiences.interest.add(cx.read, server_id, user_id, slot, intents);
                self.intake.spend(SERVER_EFFORT);
                let Some(server) = cx.read.get(SERVERS, server_id) else { continue };
                guilds.object().id("id", server_id.0).str("name", &server.name).bool("unavailable", false);
            }
        }
        d.str("session_id", &session_id.text()).str("resume_gateway_url", url);
        d.object("application").id("id", user_id.0).u64("flags", 0);
        let stored = cx.read.get(PRESENCES, user_id);
        let own = stored.map_or(status::ONLINE, |stored| stored.status);
        // The first connection of a user who left as offline brings him back (§6.5).
        let back = own == status::OFFLINE && !cx.live.is_connected(user_id);
        let own = if back { status::ONLINE } else { own };
        let mut presence = d.object("presence");
        presence.str("status", status::text(own));
        presence.opt_str("custom_status", stored.and_then(|stored| stored.custom_status.as_deref()));
        presence.opt_str("custom_emoji", stored.and_then(|stored| stored.custom_emoji.as_deref()));
    }

    // -------------------------------------------------------------------------------------------- op 6

    pub(super) fn resume(&mut self, cx: &Cx<'_>, id: ConnectionId, d: &Value<'_>) -> Outcome {
        if d.as_object().is_some_and(<[_]>::is_empty) {
            return Err(&Close::DECODE_ERROR);
        }
        if let Some(status) = self.maintenance_status(cx) {
            self.send_text(id, status.as_bytes());
            return Err(&Close::SERVER_MAINTENANCE);
        }
        self.take_in(id)?;
        let connection = &self.connections[id];
        let ready = connection.state == State::Ready;
        let token = d.get("token").and_then(Value::as_str);
        // As in IDENTIFY: bad tokens take no places, and are counted where they are refused.
        let verified = token.and_then(|token| usable(cx, token));
        if verified.is_some() && !(cx.allow)(Ask::Attempt(connection.ip())) {
            return Err(&Close::RATE_LIMITED);
        }
        let session_id = d.get("session_id").and_then(Value::as_str).and_then(SessionId::parse);
        let (Some(token), Some(session_id)) = (token, session_id) else {
            self.refuse_resume(id);
            return Ok(None);
        };
        let seq = match d.get("seq") {
            None => Some(0),
            Some(Value::Int(seq)) => u32::try_from(*seq).ok(),
            Some(_) => None,
        };
        let resume =
            Resume { token: token.to_string(), session_id, seq, compress: truthy(d.get("compress")) };
        let (core, _) = self.cores.place_of(session_id);
        // A live session only resumes itself, and that is here.
        if core != self.cores.own && core < self.cores.count && !ready {
            return Ok(Some(resume));
        }
        self.resume_here(cx, id, &resume, verified);
        Ok(None)
    }

    fn refuse_resume(&mut self, id: ConnectionId) {
        self.send_text(id, b"{\"op\":9,\"d\":false}");
    }

    /// Decides a RESUME that came from another core: this one's snapshot is the one that counts.
    pub(super) fn resume_adopted(&mut self, cx: &Cx<'_>, id: ConnectionId, resume: &Resume) {
        self.resume_here(cx, id, resume, usable(cx, &resume.token));
    }

    /// Decides a RESUME for a session of this core, in the order of §4. `verified`: what its token says.
    fn resume_here(
        &mut self,
        cx: &Cx<'_>,
        id: ConnectionId,
        resume: &Resume,
        verified: Option<Verified<'_>>,
    ) {
        let (core, slot) = self.cores.place_of(resume.session_id);
        let own = self.connections[id].session;
        let session = self.sessions.get(slot).filter(|s| core == self.cores.own && s.id == resume.session_id);
        let rightful = match (&verified, session) {
            (Some(v), Some(session)) => v.user_id == session.user_id && v.token_id == session.token_id,
            _ => false,
        };
        if verified.is_none() {
            (cx.allow)(Ask::Failed(self.connections[id].ip()));
        }
        if !rightful || (own != Slot::NONE && own != slot) {
            return self.refuse_resume(id);
        }
        let session = session.expect("rightful sessions exist");
        let Some(seq) = resume.seq.filter(|seq| *seq <= session.seq) else {
            self.drop_session(cx, id, slot);
            return self.close(cx, id, &Close::INVALID_SEQ);
        };
        let websocket = &self.config.websocket;
        let count_max = or_unlimited(websocket.resume_buffer_events);
        let len_max = or_unlimited(websocket.resume_buffer_bytes);
        if !session.can_replay(&self.sessions.replay, seq, count_max, len_max) {
            self.drop_session(cx, id, slot);
            return self.refuse_resume(id);
        }
        self.attach(cx, id, slot, seq, resume.compress);
    }

    /// Ends the session that connection `id` could not resume. On its own connection an IDENTIFY may follow; another
    /// one that still had it is closed.
    fn drop_session(&mut self, cx: &Cx<'_>, id: ConnectionId, slot: Slot) {
        let attached = self.sessions[slot].connection;
        if attached != id {
            return self.end_and_close(cx, slot, &Close::RESUMED_ELSEWHERE);
        }
        self.end_session(cx, slot);
        let connection = &mut self.connections[id];
        connection.state = State::Connected;
        // The time to identify begins anew.
        connection.opened_ms = cx.ms();
    }

    fn attach(&mut self, cx: &Cx<'_>, id: ConnectionId, slot: Slot, seq: u32, compress: bool) {
        let previous = self.sessions[slot].connection;
        if previous != ConnectionId::NONE && previous != id {
            // The old connection must not take the session down with it: it becomes detached first.
            let close = Close::RESUMED_ELSEWHERE;
            self.close_now(cx, previous, Some(close.code), close.reason);
        }
        let user_id = self.sessions.user_of(slot);
        let connection = &mut self.connections[id];
        let again = connection.session == slot;
        connection.session = slot;
        connection.state = State::Ready;
        // On its own session nothing changes in the middle of a stream.
        if !again {
            connection.compress = compress && self.config.websocket.compression_enabled;
        }
        self.sessions.attach(slot, id);
        self.counters.work.resumes += 1;
        let session = &mut self.sessions[slot];
        session.sent = seq.max(1);
        session.replay_until_or_detached_ms = session.seq;
        if session.sent < session.seq {
            self.outbox.mark_session(slot, session);
        }
        let name = EventName::Resumed.text();
        self.send_text(id, format!("{{\"op\":0,\"t\":\"{name}\",\"s\":{seq},\"d\":{{}}}}").as_bytes());
        self.watch_expiry(cx, id, LOOK_MS);
        if !again {
            let session = self.session_ref(slot);
            self.tell_home(cx, user_id, Mail::Up { user_id, session, new: false });
            self.voice_attached(cx, slot, true);
        }
    }

    // ------------------------------------------------------------------------------------ op 3, 40, 41

    /// What is no presence is ignored (§5.3).
    pub(super) fn presence(&mut self, _: &Cx<'_>, id: ConnectionId, d: &Value<'_>) -> Outcome {
        let slot = self.connections[id].session;
        let user_id = self.sessions.user_of(slot);
        if let Some(op) = presence_set(d) {
            self.actions.push(super::hub::Action::Submit(Command::new(user_id, op.into())));
        }
        Ok(None)
    }

    /// The first session of a user who had stored `offline`.
    pub(super) fn come_back(&mut self, user_id: UserId) {
        let op = PresenceSet {
            status: Some(status::ONLINE),
            custom_status: None,
            custom_emoji: None,
            by_rest: false,
        };
        self.actions.push(super::hub::Action::Submit(Command::new(user_id, op.into())));
    }
}

/// The login session of a token, and its account, when both may be used.
fn usable<'a>(cx: &Cx<'a>, token: &str) -> Option<Verified<'a>> {
    verify(cx.read, token, cx.steady_ms, void_up_to(cx.read))
        .ok()
        .filter(|verified| require_present(cx.read, verified.user).is_ok())
}

/// Whether a login session and its account still hold.
pub(super) fn still_valid(cx: &Cx<'_>, token_id: TokenId, user_id: UserId) -> bool {
    let token = cx.read.get(TOKENS, token_id);
    let user = cx.read.get(USERS, user_id);
    let is_void = |user: &ArchivedUser| !user.is_bot() && token_id <= void_up_to(cx.read);
    token.is_some_and(|token| token.expires_at.to_native() > cx.steady_ms)
        && !user.is_some_and(is_void)
        && user.is_some_and(|user| require_present(cx.read, user).is_ok())
}

/// JSON's idea of yes: not false, null, 0, "" or empty.
fn truthy(value: Option<&Value<'_>>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false) | Value::Int(0)) => false,
        Some(Value::Float(number)) => *number != 0.0,
        Some(Value::Str(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(members)) => !members.is_empty(),
        Some(_) => true,
    }
}

/// `d` of op 3; `None` when it breaks a rule.
fn presence_set(d: &Value<'_>) -> Option<PresenceSet> {
    let status = match d.get("status") {
        None => None,
        Some(value) => Some(value.as_str().and_then(status::code)?),
    };
    let custom_status = text_change(d.get("custom_status"), 128)?;
    let custom_emoji = text_change(d.get("custom_emoji"), 64)?;
    Some(PresenceSet { status, custom_status, custom_emoji, by_rest: false })
}

/// A custom text of op 3, as [`PresenceSet`] takes it: absent keeps, blank and null clear. `None` when it breaks the
/// rule.
fn text_change(value: Option<&Value<'_>>, chars_max: usize) -> Option<Option<Option<String>>> {
    match value {
        None => Some(None),
        Some(Value::Null) => Some(Some(None)),
        Some(Value::Str(text)) => {
            let line = text::line(text);
            let fits = line.chars().count() <= chars_max;
            fits.then(|| Some((!line.is_empty()).then(|| line.into_owned())))
        }
        Some(_) => None,
    }
}
