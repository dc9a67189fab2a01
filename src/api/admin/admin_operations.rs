//! What administrators do to the server that runs: its log level, its configuration, who is connected, backups, the
//! index and the keys. None of it is part of the documented API.
//!
//! Each begins as a command, so that whose doing it was stands in the audit log before anything happens. What takes
//! minutes goes on by itself ([`crate::effect::jobs`], or whoever does it anyway), one of a kind at a time.

use std::path::Path;

use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Flag, Id, Int, Needed, Or, Word, fields};
use crate::api::state::State;
use crate::domain::admin::operation::{Deed, Disconnect, DrainSet, Operate};
use crate::domain::housekeeping::reseal::{self, Reseal};
use crate::domain::housekeeping::rewrap;
use crate::domain::{Error, Result};
use crate::effect::backup::back_up;
use crate::effect::disk::Rotate;
use crate::effect::jobs::{Claim, Job, Kind};
use crate::effect::read::Read;
use crate::effect::reload::reload;
use crate::id::{TokenId, UserId};
use crate::observe::log_files::LEVELS;
use crate::observe::{log_level, set_level};
use crate::store::blobs::SHELF_COUNT;
use crate::store::tables::{ADMINS, TOKENS};
use crate::wire::http::basic_date;
use crate::wire::json::Array;
use crate::wire::json::shape::{Kind as Value, Slot, shape};

/// An hour: whoever needs longer begins anew.
const SPREAD_SECONDS_MAX: u64 = 3_600;
const SPREAD_SECONDS: u64 = 60;

fields! {
    /// From which severity on is logged, until the server starts anew.
    pub LOG_LEVEL: LogLevelRequest {
        level: Needed<Word> = Needed(Word(&LEVELS)),
    }
}

fields! {
    /// Whether everybody is sent away.
    pub DRAIN: DrainRequest {
        enabled: Needed<Flag> = Needed(Flag),
        /// Over how long; clients that come back at once would otherwise all come together.
        spread_seconds: Or<Int, u64> = Or(Int(0..=SPREAD_SECONDS_MAX), SPREAD_SECONDS),
    }
}

fields! {
    /// Whose connections are closed: one of both.
    pub DISCONNECT: DisconnectRequest {
        user_id: Id = Id,
        /// A login session, as its user's list of sessions names it.
        session_id: Id = Id,
    }
}

pub fn admin_operation_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let state = ctx.state;
    let jobs: Vec<_> = Kind::ALL.into_iter().filter_map(|kind| Shown::of(state, kind)).collect();
    ctx.json(|out| OperationsResponse::write(out, state, &jobs))
}

pub async fn admin_log_level_set(ctx: &mut Ctx<'_>) -> Result<Step> {
    let level = {
        let body = ctx.body()?;
        LOG_LEVEL.level.read(&body)?.to_string()
    };
    note(ctx, Deed::LogLevelSet, Some(log_level().to_string()), Some(level.clone())).await?;
    set_level(&level);
    tracing::warn!(level, "an administrator has changed what is logged");
    admin_operation_list(ctx)
}

pub async fn admin_configuration_reload(ctx: &mut Ctx<'_>) -> Result<Step> {
    let origin = ctx.state.run.origin.clone();
    let origin = origin.ok_or_else(|| Error::new(503, "This server has no configuration to read again"))?;
    note(ctx, Deed::ConfigurationReload, None, None).await?;
    let reloaded = ctx.effect(Read(move || reload(&origin))).await?;
    let reloaded = reloaded
        .map_err(|problems| Error::new(409, format!("The configuration is left as it is: {problems}")))?;
    ctx.json(|out| ConfigurationReloadResponse::write(out, &reloaded.applied, &reloaded.waiting))
}

pub async fn admin_drain_set(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (is_on, spread) = {
        let body = ctx.body()?;
        (DRAIN.enabled.read(&body)?, DRAIN.spread_seconds.read(&body)?)
    };
    ctx.act(DrainSet { spread_ms: is_on.then_some(spread * 1_000) }).await?;
    ctx.state.run.set_draining(is_on);
    tracing::warn!(is_on, spread, "an administrator sends everybody away, or lets them in again");
    admin_operation_list(ctx)
}

pub async fn admin_disconnect(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (user_id, token_id) = {
        let body = ctx.body()?;
        (DISCONNECT.user_id.read(&body)?, DISCONNECT.session_id.read(&body)?)
    };
    let op = match (user_id, token_id) {
        (Some(user_id), None) => Disconnect { user_id: UserId(user_id), token_id: None },
        (None, Some(token_id)) => {
            let snapshot = ctx.snapshot();
            let token = snapshot.read().get(TOKENS, TokenId(token_id));
            // Of one that is not there the command says so.
            let user_id = token.map_or(UserId(0), |token| UserId(token.user_id.0.to_native()));
            if user_id == UserId(0) {
                return Err(crate::domain::Refusal::SessionNotFound.into());
            }
            Disconnect { user_id, token_id: Some(TokenId(token_id)) }
        }
        _ => return Err(Error::bad_request("Name user_id or session_id, one of both")),
    };
    ctx.act(op).await?;
    ctx.success()
}

pub async fn admin_backup_start(ctx: &mut Ctx<'_>) -> Result<Step> {
    let claim = claim(ctx, Kind::Backup)?;
    let config = ctx.state.config.clone();
    let name = basic_date(ctx.now().unix_ms / 1_000);
    note(ctx, Deed::Backup, None, Some(name.clone())).await?;
    let (store, kept) = (ctx.state.store.clone(), config.store.backup_count as usize);
    let work = move || back_up(&store, Path::new(&config.store.backup_folder), &name, kept);
    claim.run(work).map_err(|error| without_thread(&error))?;
    admin_operation_list(ctx)
}

pub async fn admin_verify_start(ctx: &mut Ctx<'_>) -> Result<Step> {
    let claim = claim(ctx, Kind::Verify)?;
    note(ctx, Deed::Verify, None, None).await?;
    let store = ctx.state.store.clone();
    let work = move || {
        let verified = store.verified().map_err(|error| error.to_string())?;
        if verified.is_sound() { Ok(verified.to_string()) } else { Err(format!("damage found\n{verified}")) }
    };
    claim.run(work).map_err(|error| without_thread(&error))?;
    admin_operation_list(ctx)
}

pub async fn admin_reindex_start(ctx: &mut Ctx<'_>) -> Result<Step> {
    if !ctx.state.config.search.enabled {
        return Err(Error::new(503, "Search is switched off (search.enabled), so there is no index"));
    }
    let claim = claim(ctx, Kind::Reindex)?;
    note(ctx, Deed::Reindex, None, None).await?;
    ctx.state.search.renew("an administrator has asked for it");
    claim.keep();
    admin_operation_list(ctx)
}

pub async fn admin_key_rotate(ctx: &mut Ctx<'_>) -> Result<Step> {
    let claim = claim(ctx, Kind::KeyRotation)?;
    note(ctx, Deed::KeyRotate, None, None).await?;
    let rotate = Rotate { store: ctx.state.store.clone(), keys: ctx.state.keys.clone() };
    ctx.effect(rotate).await?.map_err(|why| Error::new(503, why))?;
    claim.keep();
    let mark = ctx.state.store.seal_mark(&ctx.state.keys);
    ctx.decide(UserId(0), Reseal { mark }).await?;
    admin_operation_list(ctx)
}

/// Has it written down whose doing it is.
async fn note(ctx: &Ctx<'_>, deed: Deed, before: Option<String>, after: Option<String>) -> Result<()> {
    ctx.act(Operate { deed, before, after }).await
}

/// # Errors
/// 409 while there is one of its kind.
fn claim(ctx: &Ctx<'_>, kind: Kind) -> Result<Claim> {
    let state = ctx.state;
    settle(state, kind);
    let snapshot = ctx.snapshot();
    let admin = snapshot.read().get(ADMINS, ctx.admin().admin_id);
    let by = admin.map(|admin| admin.username.to_string()).unwrap_or_default();
    let is_idle = left(state, kind).is_none();
    let claim = state.run.jobs.claim(kind, by).filter(|_| is_idle);
    claim.ok_or_else(|| {
        Error::new(409, "There is one under way: GET /admin/operations tells how far it is".to_string())
    })
}

fn without_thread(error: &std::io::Error) -> Error {
    Error::new(503, format!("The system gives no thread for it: {error}"))
}

/// How much there is left to do of what is not done by a thread of the job: of the whole in percent, and in words.
fn left(state: &State, kind: Kind) -> Option<(Option<u64>, String)> {
    let snapshot = state.snapshot();
    let read = snapshot.read();
    match kind {
        Kind::Backup | Kind::Verify => None,
        Kind::Reindex => {
            let left = state.config.search.enabled.then(|| state.search.left())??;
            let all = state.search.message_count().max(left).max(1);
            Some((Some(100 * (all - left) / all), format!("{left} messages are left")))
        }
        Kind::KeyRotation => {
            let table = reseal::progress(read).map(|table| (None, format!("records: {table}")));
            let shelf = || {
                let shelf = u64::from(rewrap::next_shelf(read, state.keys.newest_of_several()?)?);
                let percent = 100 * shelf / u64::from(SHELF_COUNT);
                Some((Some(percent), format!("files: {shelf} of {SHELF_COUNT} shelves")))
            };
            table.or_else(shelf)
        }
    }
}

/// Notes that something has ended that is done by others.
fn settle(state: &State, kind: Kind) {
    let is_theirs = matches!(kind, Kind::Reindex | Kind::KeyRotation);
    if is_theirs && left(state, kind).is_none() {
        state.run.jobs.end(kind, Ok("Done.".to_string()));
    }
}

/// A job as it is told.
pub struct Shown {
    kind: Kind,
    /// `None`: it was begun before the server started.
    job: Option<Job>,
    left: Option<(Option<u64>, String)>,
}

impl Shown {
    fn of(state: &State, kind: Kind) -> Option<Shown> {
        settle(state, kind);
        let (job, left) = (state.run.jobs.get(kind), left(state, kind));
        (job.is_some() || left.is_some()).then_some(Shown { kind, job, left })
    }

    fn ended(&self) -> Option<&(u64, std::result::Result<String, String>)> {
        // What goes on of itself may have begun anew.
        self.job.as_ref().and_then(|job| job.ended.as_ref()).filter(|_| self.left.is_none())
    }

    fn state(&self) -> &'static str {
        match self.ended() {
            None => "running",
            Some((_, Ok(_))) => "done",
            Some((_, Err(_))) => "failed",
        }
    }

    fn said(&self) -> Option<&str> {
        match self.ended() {
            Some((_, Ok(said) | Err(said))) => Some(said.trim_end()),
            None => self.left.as_ref().map(|(_, said)| said.as_str()),
        }
    }
}

shape! {
    /// What was asked of the server, and how it runs.
    pub OperationsResponse(state: &State, jobs: &[Shown]) {
        log_level: (Slot::word(&LEVELS)) = log_level(),
        /// Everybody is sent away, and nobody taken in.
        draining: bool = state.run.is_draining(),
        /// Of the gateway.
        connections: u64 = connections(state),
        jobs: (Slot::list(&Value::Object(OperationJob::SHAPE))) = |out: &mut Vec<u8>| {
            let mut list = Array::new(out);
            jobs.iter().for_each(|job| OperationJob::write(list.item(), job));
        },
    }
}

shape! {
    /// The last of a kind that was begun.
    pub OperationJob(shown: &Shown) {
        kind: (Slot::word(Kind::WORDS)) = shown.kind.text(),
        state: (Slot::word(&["running", "done", "failed"])) = shown.state(),
        /// Null for one that was begun before the server started.
        started_at: opt_time = shown.job.as_ref().map(|job| job.started_ms),
        started_by: opt_str = shown.job.as_ref().map(|job| job.by.as_str()),
        ended_at: opt_time = shown.ended().map(|(at, _)| *at),
        /// In percent, where that is known.
        progress: opt_u64 = shown.left.as_ref().and_then(|(percent, _)| *percent),
        /// How far it is, or what it came to.
        message: opt_str = shown.said(),
    }
}

shape! {
    /// What became of options that have changed.
    pub ConfigurationReloadResponse(applied: &[&str], waiting: &[&str]) {
        /// In force now.
        applied: (Slot::list(&Value::Text)) = |out: &mut Vec<u8>| texts(out, applied),
        /// In force after the next start.
        restart_needed: (Slot::list(&Value::Text)) = |out: &mut Vec<u8>| texts(out, waiting),
    }
}

fn texts(out: &mut Vec<u8>, texts: &[&str]) {
    let mut list = Array::new(out);
    texts.iter().for_each(|text| list.str(text));
}

fn connections(state: &State) -> u64 {
    state.registry.cores.iter().map(|core| core.gateway_connections.value()).sum()
}
