//! Accounts as administrators see and change them.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::lists::{LIMIT, OFFSET, page};
use crate::api::body::check_len;
use crate::api::ctx::{Ctx, Step};
use crate::api::dispatch::whole;
use crate::api::fields::{Chars, Flag, Int, Needed, Or, Text, Word, fields};
use crate::api::identity::rules::default_tier;
use crate::domain::housekeeping::sweep::Sweep;
use crate::domain::identity::custody::{
    DeletionCancel, DeletionDelay, UserNoteSet, UserPurge, UsernameForce, locked_until,
};
use crate::domain::identity::feature::{BadgeGrant, BadgeRevoke, TierSet};
use crate::domain::identity::tier::{self, BadgesResponse, TiersResponse};
use crate::domain::view::{self, existing};
use crate::domain::{Error, Now, Result};
use crate::effect::search::Search;
use crate::id::{UserId, parse_id};
use crate::limits::SWEEP_RECORDS_MAX;
use crate::store::Read;
use crate::store::records::{ArchivedUser, account, badge, tier as tier_code};
use crate::store::tables::{
    DELETION_TIMES, DELETIONS, FORCED_NAMES, TOKENS, USER_NAMES, USER_NOTES, USER_TOKENS, USERS,
};
use crate::wire::json::shape::{Kind, Slot, shape};
use crate::wire::json::{Array, from_wire_time};

const NOTES_CHARS: std::ops::RangeInclusive<usize> = 0..=5_000;
const REASON_CHARS: std::ops::RangeInclusive<usize> = 0..=200;
/// Why somebody has to choose another name when nobody says.
const REASON: &str = "Forced change by admin";
/// How long one slice of a search takes, and how many there are.
const SLICE: Duration = Duration::from_millis(50);
const SLICE_COUNT_MAX: usize = 20;
/// Names until somebody looks at the time.
const NAMES: usize = 1_024;
/// Accounts that one search finds, at most: those behind are found with more letters.
const FOUND_COUNT_MAX: usize = 20_000;
/// Sessions that are looked at for the last log-in.
const SESSION_COUNT_MAX: usize = 1_000;
const DAY_MS: u64 = 86_400_000;

fields! {
    /// Whom to look for.
    pub SEARCH_QUERY: AdminUserSearchQuery {
        /// A part of the name, in any case, or the id.
        q: Needed<Text> = Needed(Text(Chars::UpTo(100))),
        limit: Or<Int, u64> = Or(Int(LIMIT), 20),
        offset: Or<Int, u64> = Or(Int(OFFSET), 0),
    }
}

fields! {
    /// Another tier.
    pub TIER: UserTierUpdateRequest {
        tier: Needed<Word> = Needed(Word(tier_code::WORDS)),
        /// When it ends; then the default one is in force.
        expires_at: Int = Int(0..=u64::MAX),
    }
}

fields! {
    /// The same, and what there is to be said of it.
    pub FEATURES: UserFeaturesUpdateRequest {
        rate_limit_tier: Word = Word(tier_code::WORDS),
        expires_at: Int = Int(0..=u64::MAX),
        notes: Text = Text(Chars::Configured(|_| NOTES_CHARS)),
    }
}

fields! {
    /// What administrators keep in mind about somebody.
    pub NOTES: UserNotesUpdateRequest {
        notes: Needed<Text> = Needed(Text(Chars::Configured(|_| NOTES_CHARS))),
    }
}

fields! {
    /// Why somebody has to choose another name.
    pub FORCE_NAME: ForceUsernameChangeRequest {
        /// Nobody may take the one he has.
        ban_current: Or<Flag, bool> = Or(Flag, false),
        reason: Text = Text(Chars::Configured(|_| REASON_CHARS)),
    }
}

fields! {
    /// When an account is to be deleted.
    pub DELAY_QUERY: DelayDeletionQuery {
        deletion_at: Needed<Int> = Needed(Int(0..=u64::MAX)),
    }
}

shape! {
    /// An account in a list.
    pub UserSearchResponse(read: Read<'_>, user_id: UserId, user: &ArchivedUser, now: Now, default: u8) {
        id: id = user_id.0,
        username: str = &user.username,
        /// Enough to know it again.
        email: opt_str = masked(&user.email).as_deref(),
        tier: (Slot::word(tier_code::WORDS)) = tier_code::text(tier::in_force(user, now.steady_ms, || default)),
        badges: (Slot::list(&Kind::Text)) = view::badges(read.get(USERS, user_id)),
        created_at: time = user.created_at.to_native(),
        deletion_status: (Slot::word(DELETION_STATES)) = deletion_status(user),
        deletion_at: opt_time = user.deletion_at.as_ref().map(|at| now.offset().shown(at.to_native())),
    }
}

shape! {
    /// Accounts.
    pub UserSearchListResponse(users: &[u8]) {
        users: (Slot::list(&Kind::Object(UserSearchResponse::SHAPE))) = |out: &mut Vec<u8>| out.extend_from_slice(users),
    }
}

shape! {
    /// An account as a whole.
    pub UserDetailsResponse(read: Read<'_>, user_id: UserId, user: &ArchivedUser, now: Now, default: u8) {
        id: id = user_id.0,
        username: str = &user.username,
        email: opt_str = Some(&*user.email).filter(|email| !email.is_empty()),
        tier: (Slot::word(tier_code::WORDS)) = tier_code::text(tier::in_force(user, now.steady_ms, || default)),
        badges: (Slot::list(&Kind::Text)) = view::badges(Some(user)),
        created_at: time = user.created_at.to_native(),
        deletion_status: (Slot::word(DELETION_STATES)) = deletion_status(user),
        deletion_at: opt_time = user.deletion_at.as_ref().map(|at| now.offset().shown(at.to_native())),
        /// Of the sessions that are there.
        last_login: opt_time = last_login(read, user_id).map(|at| now.offset().shown(at)),
        account_locked: bool = lock(read, user_id, now).is_some(),
        locked_until: opt_time = lock(read, user_id, now).flatten().map(|at| now.offset().shown(at)),
        force_username_change: bool = read.contains(FORCED_NAMES, user_id),
    }
}

shape! {
    /// Tier, badges and limits of an account.
    pub UserFeaturesResponse(user_id: UserId, user: &ArchivedUser, now: Now, default: u8) {
        user_id: id = user_id.0,
        rate_limit_tier: (Slot::word(tier_code::WORDS)) = tier_code::text(tier::in_force(user, now.steady_ms, || default)),
        badges: (Slot::list(&Kind::Text)) = view::badges(Some(user)),
        tier_limits: (Slot::object(tier::TierLimits::SHAPE)) = |out: &mut Vec<u8>| {
            tier::TierLimits::write(out, tier::limits(tier::in_force(user, now.steady_ms, || default)));
        },
        expires_at: opt_time = user.tier_until.as_ref().map(|at| at.to_native())
            .filter(|at| *at > now.steady_ms).map(|at| now.offset().shown(at)),
    }
}

shape! {
    /// The badges of an account after a change.
    pub UserBadgeUpdateResponse(user: &ArchivedUser) {
        success: bool = true,
        badges: (Slot::list(&Kind::Text)) = view::badges(Some(user)),
    }
}

shape! {
    /// What administrators keep in mind about somebody.
    pub UserNotesResponse(user_id: UserId, notes: &str) {
        user_id: id = user_id.0,
        notes: str = notes,
    }
}

shape! {
    /// An account that is to be deleted.
    pub ScheduledDeletionResponse(read: Read<'_>, user_id: UserId, due: u64, now: Now) {
        user_id: id = user_id.0,
        username: str = view::username(read, user_id),
        scheduled_at: time = read.get(DELETION_TIMES, user_id)
            .map_or_else(|| now.unix_ms.min(now.offset().shown(due)), |at| at.value.to_native()),
        deletion_at: time = now.offset().shown(due),
        /// Whole ones.
        days_left: u64 = due.saturating_sub(now.steady_ms) / DAY_MS,
    }
}

shape! {
    /// Accounts that are to be deleted, the next one first.
    pub ScheduledDeletionListResponse(deletions: &[u8]) {
        deletions: (Slot::list(&Kind::Object(ScheduledDeletionResponse::SHAPE))) =
            |out: &mut Vec<u8>| out.extend_from_slice(deletions),
    }
}

const DELETION_STATES: &[&str] = &["active", "frozen", "deleted"];

fn deletion_status(user: &ArchivedUser) -> &'static str {
    match (user.state, user.deletion_at.is_some()) {
        (account::PURGED, _) => "deleted",
        (_, true) => "frozen",
        (_, false) => "active",
    }
}

/// `a***@example.org`; a bot has none.
fn masked(email: &str) -> Option<String> {
    let (name, domain) = email.split_once('@')?;
    let first = name.chars().next().map(String::from).unwrap_or_default();
    Some(format!("{first}***@{domain}"))
}

fn last_login(read: Read<'_>, user_id: UserId) -> Option<u64> {
    let sessions = read.scan(USER_TOKENS, user_id).take(SESSION_COUNT_MAX);
    let begun =
        sessions.filter_map(|((_, id), _)| read.get(TOKENS, id)).map(|token| token.created_at.to_native());
    begun.max()
}

/// The lock of an account, unless its time is over.
fn lock(read: Read<'_>, user_id: UserId, now: Now) -> Option<Option<u64>> {
    locked_until(read, user_id).filter(|until| until.is_none_or(|until| until > now.steady_ms))
}

/// The account that the path names.
///
/// # Errors
/// 400 when that is no id, 404 when there is none, or it was deleted.
pub fn named<'r>(ctx: &Ctx<'_>, read: Read<'r>) -> Result<(UserId, &'r ArchivedUser)> {
    let user_id = ctx.path_user()?;
    Ok((user_id, existing(read, user_id)?))
}

/// A moment in a request, as milliseconds from now on.
///
/// # Errors
/// 400 when it is not ahead.
pub fn ahead(ctx: &Ctx<'_>, name: &str, at: u64) -> Result<u64> {
    let unix_ms = from_wire_time(at);
    match unix_ms.checked_sub(ctx.now().unix_ms).filter(|left| *left > 0) {
        Some(left) => Ok(left),
        None => Err(Error::invalid(name, "must lie ahead")),
    }
}

// ------------------------------------------------------------------------------------------- looking

pub async fn admin_user_search(ctx: &mut Ctx<'_>) -> Result<Step> {
    let query = SEARCH_QUERY.q.query(ctx)?.trim().to_ascii_lowercase();
    let part = (SEARCH_QUERY.limit.query(ctx)?, SEARCH_QUERY.offset.query(ctx)?);
    let mut found = if query.is_empty() { Vec::new() } else { named_like(ctx, &query).await? };
    let snapshot = ctx.snapshot();
    let read = snapshot.read();
    let by_id = parse_id(&query).map(UserId).filter(|id| existing(read, *id).is_ok());
    found.extend(by_id);
    found.sort_unstable();
    found.dedup();
    let (now, default) = (ctx.now(), default_tier(&ctx.state.config));
    let mut users = Vec::new();
    {
        let mut list = Array::new(&mut users);
        let count = found.len() as u64;
        for user_id in page(found.into_iter(), count, part) {
            if let Some(user) = read.get(USERS, user_id) {
                UserSearchResponse::write(list.item(), read, user_id, user, now, default);
            }
        }
    }
    ctx.json(|out| UserSearchListResponse::write(out, &users))
}

/// Accounts whose name has a text in it: all names are gone through, in slices on the lane.
async fn named_like(ctx: &Ctx<'_>, query: &str) -> Result<Vec<UserId>> {
    let (mut found, mut after) = (Vec::new(), String::new());
    for _ in 0..SLICE_COUNT_MAX {
        let (store, query) = (ctx.state.store.clone(), query.to_string());
        let slice = move || {
            let snapshot = store.snapshot();
            whole(|| Ok(look_through(snapshot.read(), &query, &after)))
        };
        let (more, next): (Vec<UserId>, Option<String>) = ctx.effect(Search(slice)).await??;
        found.extend(more);
        match next.filter(|_| found.len() < FOUND_COUNT_MAX) {
            Some(next) => after = next,
            None => break,
        }
    }
    found.truncate(FOUND_COUNT_MAX);
    Ok(found)
}

/// Whom a slice finds, and after which name the next one goes on.
fn look_through(read: Read<'_>, query: &str, after: &str) -> (Vec<UserId>, Option<String>) {
    let until = Instant::now() + SLICE;
    let names = match after {
        "" => read.scan(USER_NAMES, ()),
        after => read.scan_after(USER_NAMES, (), format!("{after}\0").as_str()),
    };
    let mut found = Vec::new();
    let stopped = names.enumerate().try_for_each(|(count, (name, user))| {
        if name.contains(query) {
            found.push(UserId::from(&user.id));
        }
        let is_over = (count + 1).is_multiple_of(NAMES) && Instant::now() >= until;
        if is_over || found.len() == FOUND_COUNT_MAX {
            ControlFlow::Break(name)
        } else {
            ControlFlow::Continue(())
        }
    });
    (found, stopped.break_value().map(|name| name.to_string()))
}

pub fn admin_user_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let (user_id, user) = named(ctx, snapshot.read())?;
    let (now, default) = (ctx.now(), default_tier(&ctx.state.config));
    ctx.json(|out| UserDetailsResponse::write(out, snapshot.read(), user_id, user, now, default))
}

pub fn admin_deletion_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (snapshot, now) = (ctx.snapshot(), ctx.now());
    let read = snapshot.read();
    let mut deletions = Vec::new();
    {
        let mut list = Array::new(&mut deletions);
        for (due, user_id) in read.scan(DELETIONS, ()).keys().take(*LIMIT.end() as usize) {
            if read.get(USERS, user_id).is_some_and(|user| !user.is_bot()) {
                ScheduledDeletionResponse::write(list.item(), read, user_id, due, now);
            }
        }
    }
    ctx.json(|out| ScheduledDeletionListResponse::write(out, &deletions))
}

pub fn admin_user_features_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let (user_id, user) = named(ctx, snapshot.read())?;
    let (now, default) = (ctx.now(), default_tier(&ctx.state.config));
    ctx.json(|out| UserFeaturesResponse::write(out, user_id, user, now, default))
}

pub fn admin_user_notes_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let (user_id, _) = named(ctx, snapshot.read())?;
    let notes = snapshot.read().get(USER_NOTES, user_id).map_or("", |notes| notes.text.as_str());
    ctx.json(|out| UserNotesResponse::write(out, user_id, notes))
}

pub fn admin_tier_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let default = default_tier(&ctx.state.config);
    ctx.json(|out| TiersResponse::write(out, default))
}

pub fn admin_badge_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    ctx.json(BadgesResponse::write)
}

// ------------------------------------------------------------------------------------------- changing

pub async fn admin_user_tier_set(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (word, expires_at) = {
        let body = ctx.body()?;
        (TIER.tier.read(&body)?, TIER.expires_at.read(&body)?)
    };
    set_tier(ctx, word, expires_at).await?;
    admin_user_features_get(ctx)
}

async fn set_tier(ctx: &Ctx<'_>, word: &str, expires_at: Option<u64>) -> Result<()> {
    let (user_id, _) = named(ctx, ctx.snapshot().read())?;
    let life_ms = expires_at.map(|at| ahead(ctx, "expires_at", at)).transpose()?;
    let tier = tier_code::code(word).expect("it is one of the words");
    ctx.act(TierSet { user_id, tier, life_ms }).await.map(drop)
}

pub async fn admin_user_features_set(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (word, expires_at, notes) = {
        let body = ctx.body()?;
        let notes = FEATURES.notes.read(&body)?;
        check_len("notes", notes.unwrap_or_default(), NOTES_CHARS)?;
        let word = FEATURES.rate_limit_tier.read(&body)?;
        (word, FEATURES.expires_at.read(&body)?, notes.map(str::to_string))
    };
    let (user_id, now_has) = {
        let snapshot = ctx.snapshot();
        let (user_id, user) = named(ctx, snapshot.read())?;
        let default = default_tier(&ctx.state.config);
        (user_id, tier_code::text(tier::in_force(user, ctx.now_ms(), || default)))
    };
    if word.is_some() || expires_at.is_some() {
        set_tier(ctx, word.unwrap_or(now_has), expires_at).await?;
    }
    if let Some(notes) = notes {
        ctx.act(UserNoteSet { user_id, notes }).await?;
    }
    admin_user_features_get(ctx)
}

/// The badge that the path names.
fn path_badge(ctx: &Ctx<'_>) -> Result<u8> {
    let words = || Error::invalid("badge", format_args!("must be one of {}", badge::WORDS.join(", ")));
    badge::code(&ctx.param("badge")).ok_or_else(words)
}

fn answer_badges(ctx: &mut Ctx<'_>) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let (_, user) = named(ctx, snapshot.read())?;
    ctx.json(|out| UserBadgeUpdateResponse::write(out, user))
}

pub async fn admin_badge_grant(ctx: &mut Ctx<'_>) -> Result<Step> {
    let badge = path_badge(ctx)?;
    let (user_id, _) = named(ctx, ctx.snapshot().read())?;
    ctx.act(BadgeGrant { user_id, badge }).await?;
    answer_badges(ctx)
}

pub async fn admin_badge_revoke(ctx: &mut Ctx<'_>) -> Result<Step> {
    let badge = path_badge(ctx)?;
    let (user_id, _) = named(ctx, ctx.snapshot().read())?;
    ctx.act(BadgeRevoke { user_id, badge }).await?;
    answer_badges(ctx)
}

pub async fn admin_user_notes_set(ctx: &mut Ctx<'_>) -> Result<Step> {
    let notes = {
        let body = ctx.body()?;
        let notes = NOTES.notes.read(&body)?;
        check_len("notes", notes, NOTES_CHARS)?;
        notes.to_string()
    };
    let (user_id, _) = named(ctx, ctx.snapshot().read())?;
    ctx.act(UserNoteSet { user_id, notes }).await?;
    ctx.success()
}

pub async fn admin_username_force(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (ban_current, reason) = {
        let body = ctx.body()?;
        let reason = FORCE_NAME.reason.read(&body)?.filter(|reason| !reason.trim().is_empty());
        check_len("reason", reason.unwrap_or_default(), REASON_CHARS)?;
        (FORCE_NAME.ban_current.read(&body)?, reason.unwrap_or(REASON).to_string())
    };
    let (user_id, _) = named(ctx, ctx.snapshot().read())?;
    ctx.act(UsernameForce { user_id, reason, ban_current }).await?;
    ctx.success()
}

pub async fn admin_deletion_cancel(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (user_id, _) = named(ctx, ctx.snapshot().read())?;
    ctx.act(DeletionCancel { user_id }).await?;
    ctx.success()
}

pub async fn admin_deletion_delay(ctx: &mut Ctx<'_>) -> Result<Step> {
    let in_ms = ahead(ctx, "deletion_at", DELAY_QUERY.deletion_at.query(ctx)?)?;
    let (user_id, _) = named(ctx, ctx.snapshot().read())?;
    ctx.act(DeletionDelay { user_id, in_ms }).await?;
    ctx.success()
}

pub async fn admin_user_purge(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (user_id, _) = named(ctx, ctx.snapshot().read())?;
    ctx.act(UserPurge { user_id }).await?;
    // What goes in steps begins now: of most accounts that is all of it.
    ctx.decide(UserId(0), Sweep { records_max: SWEEP_RECORDS_MAX }).await?;
    ctx.success()
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn addresses_are_masked() {
        for (email, want) in [
            ("ada@example.org", Some("a***@example.org")),
            ("\u{e9}mile@example.org", Some("\u{e9}***@example.org")),
            ("", None),
        ] {
            assert_eq!(masked(email).as_deref(), want);
        }
    }
}
