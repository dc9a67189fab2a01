//! Voice signalling (§9), without media: who talks where is decided, told, and ends with the session that began it.
//!
//! One core decides, whoever asks: that somebody is in one channel at most, and that a channel is full, are questions
//! about all sessions. Others send it what clients ask, and get back what their sessions are to be told. What changes
//! there is as rare as people who come and go.
//!
//! What needs a media server is answered as without one (D15).

mod callers;

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::connections::ConnectionId;
use super::hub::{Action, Cx, Hub, Mail};
use super::protocol::{Close, Outcome};
use super::session::{SessionId, Slot};
use super::survey::map_len;
use crate::domain::identity::right::{Kind, Right};
use crate::domain::permission::CHANNELS_VIEW;
use crate::domain::voice::channel::{self, BITRATE, Flags, connectable};
use crate::domain::voice::ice::Servers;
use crate::domain::{Audience, Change, EventName, Output, intent};
use crate::id::{ChannelId, ServerId, UserId};
use crate::store::hex;
use crate::store::tables::{MEMBERS, USERS};
use crate::wire::json::{Object, Value};
use callers::{Caller, Callers, Place};

/// The core that decides.
const VOICE_CORE: usize = 0;

/// States that a session is told of when it comes to a server; the others it hears of when they change.
const GREETED_COUNT_MAX: usize = 1_000;

/// Bytes of one, about.
const STATE_LEN: usize = 208;

/// What a core knows of voice.
#[derive(Default)]
pub struct Voice {
    /// On the core that decides.
    callers: Callers,
    /// Sessions of this core with which somebody is in a channel.
    joined: FxHashMap<Slot, ChannelId>,
    /// Who is where, as each core is told it: for those who come later.
    states: FxHashMap<ServerId, BTreeMap<UserId, State>>,
}

/// Where somebody is, and what is told of it.
struct State {
    channel_id: ChannelId,
    payload: Arc<[u8]>,
}

impl Voice {
    /// What is kept for sessions; 0 when there are none.
    pub fn len(&self) -> usize {
        self.callers.len() + self.joined.len() + self.states.len()
    }

    /// People in channels, as the core knows it that decides.
    pub fn caller_count(&self) -> usize {
        self.callers.len()
    }

    /// Whether somebody is in a channel, as each core knows it.
    pub fn is_busy(&self) -> bool {
        !self.states.is_empty()
    }

    /// Whether somebody waits to be looked at.
    pub fn has_work(&self) -> bool {
        self.callers.has_doubtful()
    }

    /// Bytes of the tables.
    pub fn heap_len(&self) -> usize {
        let of_states =
            self.states.values().map(|there| there.len() * (size_of::<(UserId, State)>() + STATE_LEN));
        self.callers.heap_len()
            + map_len::<Slot, ChannelId>(self.joined.capacity())
            + map_len::<ServerId, BTreeMap<UserId, State>>(self.states.capacity())
            + of_states.sum::<usize>()
    }

    /// Keeps where somebody is.
    fn note(&mut self, changed: &Changed) {
        let Changed { user_id, before, now, .. } = changed;
        if let Some(before) = before.filter(|before| now.is_none_or(|now| now.server_id != before.server_id))
            && let Some(there) = self.states.get_mut(&before.server_id)
        {
            there.remove(user_id);
            if there.is_empty() {
                self.states.remove(&before.server_id);
            }
        }
        if let Some(Place { server_id, channel_id }) = *now {
            let state = State { channel_id, payload: changed.state.clone() };
            self.states.entry(server_id).or_default().insert(*user_id, state);
        }
    }
}

/// From core to core.
pub enum Letter {
    /// To the core that decides.
    Ask(Ask),
    /// To the core of a session: with it somebody is in a channel now.
    Joined { user_id: UserId, session: SessionId, place: Place, call: [u8; 16] },
    /// To all.
    Changed(Changed),
}

/// What a session asks, or what has become of it.
#[derive(Clone, Copy)]
pub struct Ask {
    user_id: UserId,
    session: SessionId,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    /// With the flags of op 4, or those that are known.
    Join(ChannelId, Option<Flags>),
    /// That channel, or whichever.
    Leave(Option<ChannelId>),
    /// The session has lost its connection.
    Lost,
    /// It has one again.
    Back,
    /// It is gone.
    Ended,
}

/// Somebody is elsewhere, or switched something.
#[derive(Clone)]
pub struct Changed {
    user_id: UserId,
    /// The session that he is there with now.
    session: Option<SessionId>,
    before: Option<Place>,
    now: Option<Place>,
    /// What is told to those who see where he is now, and to those who only see where he was.
    state: Arc<[u8]>,
    gone: Arc<[u8]>,
    /// Nobody sees it: he goes on there with another session.
    is_silent: bool,
}

// ------------------------------------------------------------------------------------------- clients

impl Hub {
    pub(super) fn voice_connect(&mut self, cx: &Cx<'_>, id: ConnectionId, d: &Value<'_>) -> Outcome {
        let channel_id = d.get("channel_id").and_then(Value::as_id).ok_or(&Close::DECODE_ERROR)?;
        self.ask_voice(cx, self.connections[id].session, What::Join(ChannelId(channel_id), None));
        Ok(None)
    }

    pub(super) fn voice_state(&mut self, cx: &Cx<'_>, id: ConnectionId, d: &Value<'_>) -> Outcome {
        let what = match d.get("channel_id") {
            Some(Value::Null) => What::Leave(None),
            Some(value) => {
                let channel_id = value.as_id().ok_or(&Close::DECODE_ERROR)?;
                What::Join(ChannelId(channel_id), Some(flags(d)))
            }
            None => return Err(&Close::DECODE_ERROR),
        };
        self.ask_voice(cx, self.connections[id].session, what);
        Ok(None)
    }

    /// A channel that is none is ignored (D18).
    pub(super) fn voice_disconnect(&mut self, cx: &Cx<'_>, id: ConnectionId, d: &Value<'_>) -> Outcome {
        let channel_id = d.get("channel_id").and_then(Value::as_id).map(ChannelId);
        self.ask_voice(cx, self.connections[id].session, What::Leave(channel_id));
        Ok(None)
    }

    pub(super) fn voice_candidate(&mut self, _: &Cx<'_>, _: ConnectionId, d: &Value<'_>) -> Outcome {
        d.get("candidate").map(|_| None).ok_or(&Close::DECODE_ERROR)
    }

    pub(super) fn voice_ignored(&mut self, _: &Cx<'_>, _: ConnectionId, _: &Value<'_>) -> Outcome {
        Ok(None)
    }

    pub(super) fn voice_offer(&mut self, _: &Cx<'_>, id: ConnectionId, d: &Value<'_>) -> Outcome {
        let sdp = d.get("sdp").and_then(Value::as_str).ok_or(&Close::DECODE_ERROR)?;
        let channel_id = d.get("channel_id").and_then(Value::as_id);
        let joined = self.voice.joined.get(&self.connections[id].session).map(|channel_id| channel_id.0);
        let (code, message) = match () {
            () if joined.is_none() || joined != channel_id => ("NOT_CONNECTED", "Join this channel first"),
            // RFC 8866 §5: that is how each begins.
            () if !sdp.starts_with("v=0") => ("BAD_SDP", "This is no session description"),
            () => ("NO_MEDIA_SERVER", "No media server is configured"),
        };
        let mut text = b"{\"op\":23,\"d\":".to_vec();
        Object::new(&mut text)
            .str("type", "error")
            .str("code", code)
            .str("message", message)
            .opt_id("channel_id", channel_id);
        text.push(b'}');
        self.send_text(id, &text);
        Ok(None)
    }

    fn ask_voice(&mut self, cx: &Cx<'_>, slot: Slot, what: What) {
        let Some(session) = self.sessions.get(slot) else { return };
        let ask = Ask { user_id: session.user_id, session: session.id, what };
        self.post_voice(cx, VOICE_CORE, Letter::Ask(ask));
    }

    fn post_voice(&mut self, cx: &Cx<'_>, to: usize, letter: Letter) {
        if to == self.cores.own {
            return self.on_voice(cx, letter);
        }
        self.actions.push(Action::Mail { to, mail: Mail::Voice(Box::new(letter)) });
    }

    // ----------------------------------------------------------------------------------- sessions

    /// A session has lost its connection, or has one again.
    pub(super) fn voice_attached(&mut self, cx: &Cx<'_>, slot: Slot, is_attached: bool) {
        if self.voice.joined.contains_key(&slot) {
            self.ask_voice(cx, slot, if is_attached { What::Back } else { What::Lost });
        }
    }

    /// A session is about to end.
    pub(super) fn voice_ended(&mut self, cx: &Cx<'_>, slot: Slot) {
        if self.voice.joined.remove(&slot).is_some() {
            self.ask_voice(cx, slot, What::Ended);
        }
    }

    // ----------------------------------------------------------------------------------- letters

    pub(super) fn on_voice(&mut self, cx: &Cx<'_>, letter: Letter) {
        match letter {
            Letter::Ask(ask) => self.decide_voice(cx, ask),
            Letter::Joined { user_id, session, place, call } => {
                self.tell_joined(cx, user_id, session, place, call);
            }
            Letter::Changed(changed) => self.deliver_voice(cx, &changed),
        }
    }

    fn decide_voice(&mut self, cx: &Cx<'_>, ask: Ask) {
        let Ask { user_id, session, what } = ask;
        let caller = self.voice.callers.get(user_id);
        match what {
            What::Join(channel_id, flags) => self.join_voice(cx, ask, channel_id, flags),
            What::Leave(channel_id) => {
                let is_there = |caller: Caller| channel_id.is_none_or(|id| id == caller.place.channel_id);
                if caller.is_some_and(is_there) {
                    self.leave_voice(cx, user_id);
                }
            }
            What::Lost => {
                let due = cx.steady_ms + self.config.presence.offline_grace_ms;
                self.voice.callers.set_lost(user_id, session, Some(due));
            }
            What::Back => self.voice.callers.set_lost(user_id, session, None),
            What::Ended => {
                if caller.is_some_and(|caller| caller.session == session) {
                    self.leave_voice(cx, user_id);
                }
            }
        }
    }

    /// Op 20 and 4: comes, goes elsewhere, or switches something. What is refused is not answered.
    fn join_voice(&mut self, cx: &Cx<'_>, ask: Ask, channel_id: ChannelId, flags: Option<Flags>) {
        let Ask { user_id, session, .. } = ask;
        let voice = &self.config.voice;
        let is_bot = cx.read.get(USERS, user_id).is_none_or(|user| user.is_bot());
        let kind = if is_bot { Kind::Bot } else { Kind::Person };
        if !voice.enabled || kind.require(Right::VoiceJoin).is_err() {
            return;
        }
        let Ok(access) = connectable(cx.asking(user_id), channel_id) else { return };
        let Some(server_id) = access.channel.server() else { return };
        let place = Place { server_id, channel_id };
        let before = self.voice.callers.get(user_id);
        let is_there = before.is_some_and(|before| before.place == place);
        let count = self.voice.callers.count_of_channel(channel_id) as u64;
        if !is_there && count >= voice.max_participants {
            return;
        }
        let flags = flags.or(before.map(|before| before.flags)).unwrap_or_default();
        let suppress = !access.has(crate::domain::permission::VOICE_SPEAK);
        let by_op_20 = !is_there || matches!(ask.what, What::Join(_, None));
        let caller = match before.filter(|_| is_there) {
            // It was op 4, perhaps of another session of his: that he is there with stays.
            Some(before) if !by_op_20 => Caller { flags, suppress, ..before },
            Some(before) => Caller { session, suppress, lost: None, ..before },
            None => Caller { place, session, call: new_call(cx), flags, suppress, lost: None },
        };
        self.voice.callers.put(user_id, caller);
        if before != Some(caller) {
            self.tell_voice(cx, user_id, before, Some(caller));
        }
        if by_op_20 {
            let (to, _) = self.cores.place_of(session);
            self.post_voice(cx, to, Letter::Joined { user_id, session, place, call: caller.call });
        }
    }

    fn leave_voice(&mut self, cx: &Cx<'_>, user_id: UserId) {
        let before = self.voice.callers.remove(user_id);
        if before.is_some() {
            self.tell_voice(cx, user_id, before, None);
        }
    }

    /// Tells all cores what has changed.
    fn tell_voice(&mut self, cx: &Cx<'_>, user_id: UserId, before: Option<Caller>, now: Option<Caller>) {
        let Some(known) = now.or(before) else { return };
        let Caller { flags, suppress, .. } = known;
        let state = |place: Place, channel_id| {
            Arc::from(channel::state(user_id, place.server_id, channel_id, flags, suppress))
        };
        let was = before.map_or(known.place, |before| before.place);
        let changed = Changed {
            user_id,
            session: now.map(|now| now.session),
            before: before.map(|before| before.place),
            now: now.map(|now| now.place),
            state: state(known.place, now.map(|now| now.place.channel_id)),
            gone: state(was, None),
            is_silent: before.map(shown) == now.map(shown),
        };
        for to in self.cores.others() {
            let letter = Box::new(Letter::Changed(changed.clone()));
            self.actions.push(Action::Mail { to, mail: Mail::Voice(letter) });
        }
        self.deliver_voice(cx, &changed);
    }

    // ----------------------------------------------------------------------------------- deliveries

    /// VOICE_STATE_UPDATE to the sessions of this core that see it: one for each.
    fn deliver_voice(&mut self, cx: &Cx<'_>, changed: &Changed) {
        let own = self.sessions.of_user(changed.user_id);
        for slot in &own {
            if changed.session != Some(self.sessions[*slot].id) {
                self.voice.joined.remove(slot);
            }
        }
        self.voice.note(changed);
        if changed.is_silent {
            return;
        }
        let mut told = Vec::new();
        if let Some(now) = changed.now {
            self.collect_viewers(cx, now, &mut told);
        }
        let mut others = Vec::new();
        if let Some(before) = changed.before.filter(|before| Some(*before) != changed.now) {
            self.collect_viewers(cx, before, &mut others);
            told.sort_unstable();
            others.retain(|slot| told.binary_search(slot).is_err());
        }
        // He is told himself, as long as the server is his.
        let place = changed.now.or(changed.before);
        let is_member =
            place.is_some_and(|place| cx.read.contains(MEMBERS, (place.server_id, changed.user_id)));
        let wants = |slot: &Slot| self.sessions[*slot].intents & intent::GUILD_VOICE_STATES != 0;
        let own = own.into_iter().filter(|slot| is_member && wants(slot));
        others.extend(own.filter(|slot| !told.contains(slot) && !others.contains(slot)).collect::<Vec<_>>());
        let name = EventName::VoiceStateUpdate;
        if !told.is_empty() {
            self.deliver_to(&told, name, changed.state.clone());
        }
        if !others.is_empty() {
            self.deliver_to(&others, name, changed.gone.clone());
        }
    }

    /// Tells those who have come to a server, behind its GUILD_CREATE.
    pub(super) fn greet_joiners(&mut self, cx: &Cx<'_>, outputs: &[Output]) {
        if !self.voice.is_busy() {
            return;
        }
        for output in outputs {
            let Output::Change(Change::MemberAdded { server_id, user_id }) = *output else { continue };
            for slot in self.sessions.of_user(user_id) {
                self.greet(cx, slot, server_id);
            }
        }
    }

    /// Tells a session that comes to a server who is in the channels that it sees there: as if they came now.
    pub(super) fn greet(&mut self, cx: &Cx<'_>, slot: Slot, server_id: ServerId) {
        let Some(there) = self.voice.states.get(&server_id) else { return };
        let session = &self.sessions[slot];
        if session.intents & intent::GUILD_VOICE_STATES == 0 {
            return;
        }
        let asking = cx.asking(session.user_id);
        // Most are in few channels: each is looked at once.
        let mut seen: Vec<(ChannelId, bool)> = Vec::new();
        let mut told = Vec::new();
        for state in there.values() {
            let known = seen.iter().find(|(channel_id, _)| *channel_id == state.channel_id).copied();
            let (_, is_seen) = known.unwrap_or_else(|| {
                let access = asking.channel(state.channel_id);
                let found = (state.channel_id, access.is_ok_and(|access| access.has(CHANNELS_VIEW)));
                seen.push(found);
                found
            });
            if is_seen && told.len() < GREETED_COUNT_MAX {
                told.push(state.payload.clone());
            }
        }
        for payload in told {
            self.deliver_private(slot, EventName::VoiceStateUpdate, payload);
        }
    }

    fn collect_viewers(&mut self, cx: &Cx<'_>, place: Place, out: &mut Vec<Slot>) {
        let Place { server_id, channel_id } = place;
        let gate = intent::GUILD_VOICE_STATES;
        self.audiences.collect_viewers(cx, (server_id, channel_id), gate, &self.sessions, out);
    }

    /// VOICE_SERVER_UPDATE to the session that asked; and that it is the one.
    fn tell_joined(
        &mut self,
        cx: &Cx<'_>,
        user_id: UserId,
        session: SessionId,
        place: Place,
        call: [u8; 16],
    ) {
        let (_, slot) = self.cores.place_of(session);
        let Some(there) = self.sessions.get(slot).filter(|there| there.id == session) else {
            // It has ended meanwhile.
            let ask = Ask { user_id, session, what: What::Ended };
            return self.post_voice(cx, VOICE_CORE, Letter::Ask(ask));
        };
        let is_detached = there.connection == ConnectionId::NONE;
        self.voice.joined.insert(slot, place.channel_id);
        let config = self.config.clone();
        let voice = &config.voice;
        let servers = Servers::new(
            (&voice.stun_urls, &voice.turn_urls),
            (&voice.turn_secret, voice.turn_ttl),
            (&voice.turn_username, &voice.turn_credential),
        );
        let mut payload = Vec::with_capacity(512);
        {
            let mut d = Object::new(&mut payload);
            // Without a media server there is none to tell.
            d.null("endpoint").str("token", &hex::encode(&(cx.random)()));
            servers.write(d.key("ice_servers"), user_id, cx.unix_ms);
            d.str("session_id", &hex::encode(&call)).id("channel_id", place.channel_id.0);
            d.id("user_id", user_id.0).u64("bitrate", BITRATE);
        }
        self.deliver_private(slot, EventName::VoiceServerUpdate, payload.into());
        if is_detached {
            self.ask_voice(cx, slot, What::Lost);
        }
    }

    // ----------------------------------------------------------------------------------- the log

    /// After a batch, on the core that decides: who may not be where he is any more goes.
    pub(super) fn follow_voice(&mut self, cx: &Cx<'_>, outputs: &[Output]) {
        if self.voice.callers.is_empty() {
            return;
        }
        for output in outputs {
            match output {
                Output::Change(Change::MemberRemoved { server_id, user_id }) => {
                    let caller = self.voice.callers.get(*user_id);
                    if caller.is_some_and(|caller| caller.place.server_id == *server_id) {
                        self.leave_voice(cx, *user_id);
                    }
                }
                Output::Change(Change::ServerRemoved { server_id }) => {
                    let there = self.voice.callers.of_server(*server_id);
                    there.into_iter().for_each(|user_id| self.leave_voice(cx, user_id));
                }
                Output::Change(Change::PermissionsChanged { server_id }) => {
                    self.voice.callers.doubt_server(*server_id);
                }
                Output::Change(Change::MemberRolesChanged { user_id, .. }) => self.look_again(cx, *user_id),
                Output::Event(event) if event.name == EventName::ChannelDelete => {
                    let Audience::Channel { channel_id, .. } = &event.audience else { continue };
                    let there = self.voice.callers.of_channel(*channel_id);
                    there.into_iter().for_each(|user_id| self.leave_voice(cx, user_id));
                }
                _ => {}
            }
        }
        self.look_at_doubtful(cx);
    }

    /// Looks again at some of those whose rights may have changed.
    pub(super) fn look_at_doubtful(&mut self, cx: &Cx<'_>) {
        for user_id in self.voice.callers.take_doubtful() {
            self.look_again(cx, user_id);
        }
    }

    /// Rights have changed: he goes when he does not see the channel any more, and may have been silenced.
    fn look_again(&mut self, cx: &Cx<'_>, user_id: UserId) {
        let Some(caller) = self.voice.callers.get(user_id) else { return };
        match channel::may_speak(cx.asking(user_id), caller.place.channel_id) {
            None => self.leave_voice(cx, user_id),
            Some(may_speak) if may_speak == caller.suppress => {
                let now = Caller { suppress: !may_speak, ..caller };
                self.voice.callers.put(user_id, now);
                self.tell_voice(cx, user_id, Some(caller), Some(now));
            }
            Some(_) => {}
        }
    }

    /// Those go whose session was not resumed in time.
    pub(super) fn end_lost_calls(&mut self, cx: &Cx<'_>) {
        while let Some(user_id) = self.voice.callers.next_gone(cx.steady_ms) {
            self.leave_voice(cx, user_id);
        }
    }
}

/// What others see of somebody.
fn shown(caller: Caller) -> (Place, Flags, bool) {
    (caller.place, caller.flags, caller.suppress)
}

/// Names a stay; nobody else knows it.
fn new_call(cx: &Cx<'_>) -> [u8; 16] {
    let mut call = [0; 16];
    call[..12].copy_from_slice(&(cx.random)());
    call[12..].copy_from_slice(&(cx.random)()[..4]);
    call
}

/// Op 4: what is not there is off.
fn flags(d: &Value<'_>) -> Flags {
    let is_on = |name: &str| d.get(name).and_then(Value::as_bool).unwrap_or_default();
    let deaf = is_on("self_deaf");
    Flags { mute: is_on("self_mute") || deaf, deaf, video: is_on("self_video"), stream: is_on("self_stream") }
}
