//! Friendships, requests and blocks.
//!
//! A relationship is stored once per side. Invariant: FRIEND stands on both sides or on none; PENDING_OUTGOING faces
//! PENDING_INCOMING; BLOCKED stands on the blocker's side only and faces nothing, or a BLOCKED of the other.

use rkyv::{Archive, Deserialize, Serialize};

use crate::domain::error::{Error, Refusal, Result};
use crate::domain::event::{Audience, Event, EventName, intent};
use crate::domain::machine::Machine;
use crate::domain::view::{self, PresenceStatus};
use crate::id::UserId;
use crate::limits::RELATIONSHIP_COUNT_MAX;
use crate::store::Read;
use crate::store::records::{ArchivedRelationship, Relationship, relation};
use crate::store::tables::RELATIONSHIPS;
use crate::wire::json::Object;
use crate::wire::json::shape::{Slot, shape};

/// The acting user asks another to be friends; if that one has asked before, they are friends at once.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct FriendRequest {
    pub user_id: UserId,
    pub message: Option<String>,
}

/// The acting user accepts the request of another.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct FriendAccept {
    pub user_id: UserId,
}

/// The acting user unfriends, declines, cancels or unblocks, whatever applies.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct RelationshipRemove {
    pub user_id: UserId,
}

/// The acting user blocks another.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct Block {
    pub user_id: UserId,
}

fn kind(read: Read<'_>, of: UserId, to: UserId) -> Option<u8> {
    read.get(RELATIONSHIPS, (of, to)).map(|relationship| relationship.kind)
}

/// Whether one of the two has blocked the other.
pub fn blocked(read: Read<'_>, a: UserId, b: UserId) -> bool {
    has_blocked(read, a, b) || has_blocked(read, b, a)
}

/// Whether the first has blocked the second.
pub fn has_blocked(read: Read<'_>, of: UserId, to: UserId) -> bool {
    kind(read, of, to) == Some(relation::BLOCKED)
}

/// Whether a user has blocked anybody.
pub fn blocks_any(read: Read<'_>, user_id: UserId) -> bool {
    read.scan(RELATIONSHIPS, user_id).any(|(_, relationship)| relationship.kind == relation::BLOCKED)
}

/// All relationships of a user, as codes of [`relation`], in order of the others' ids; there are at most
/// [`RELATIONSHIP_COUNT_MAX`].
pub fn kinds(read: Read<'_>, user_id: UserId) -> Vec<(UserId, u8)> {
    read.scan(RELATIONSHIPS, user_id).map(|((_, other), relationship)| (other, relationship.kind)).collect()
}

pub fn are_friends(read: Read<'_>, a: UserId, b: UserId) -> bool {
    kind(read, a, b) == Some(relation::FRIEND)
}

/// Friends of a user in order of their ids; there are at most [`RELATIONSHIP_COUNT_MAX`].
pub fn friends(read: Read<'_>, user_id: UserId) -> impl Iterator<Item = UserId> + '_ {
    let all = read.scan(RELATIONSHIPS, user_id);
    all.filter(|(_, relationship)| relationship.kind == relation::FRIEND).map(|((_, other), _)| other)
}

/// `RelationshipResponse` as `user_id` sees `other`.
pub fn write_relationship(out: &mut Vec<u8>, read: Read<'_>, user_id: UserId, other: UserId) -> Result<()> {
    let relationship = read.get(RELATIONSHIPS, (user_id, other)).ok_or(Refusal::RelationshipNotFound)?;
    RelationshipResponse::write(out, other, relationship);
    Ok(())
}

shape! {
    /// How one user stands to another.
    pub RelationshipResponse(other: UserId, relationship: &ArchivedRelationship) {
        user_id: id = other.0,
        status: (Slot::word(relation::WORDS)) = relation::text(relationship.kind),
        created_at: time = relationship.created_at.to_native(),
    }
}

/// What came with a request to become friends, as long as it is one.
fn request_message(relationship: &ArchivedRelationship) -> Option<&str> {
    relationship.message.as_deref().filter(|_| relationship.kind == relation::PENDING_INCOMING)
}

shape! {
    /// One of a user's relationships, with the status of the other as visible to him.
    pub DetailedRelationshipInfo(read: Read<'_>, other: UserId, relationship: &ArchivedRelationship, shown: u8) {
        user_id: id = other.0,
        username: str = view::username(read, other),
        avatar_url: (Slot::str) = view::avatar_url(other),
        status: (Slot::word(relation::WORDS)) = relation::text(relationship.kind),
        presence: (Slot::object(PresenceStatus::SHAPE)) = |out: &mut Vec<u8>| PresenceStatus::write(out, shown),
        message: opt_str = request_message(relationship),
        created_at: time = relationship.created_at.to_native(),
    }
}

/// The other side of a new relationship: somebody else who exists.
///
/// # Errors
/// 400 for oneself, 404 when there is no such user.
pub fn require_other(read: Read<'_>, user_id: UserId, other: UserId) -> Result<()> {
    if user_id == other {
        return Err(Error::invalid("user_id", "must be somebody else"));
    }
    view::existing(read, other).map(|_| ())
}

/// # Errors
/// 400 when that user has no room for one more.
fn require_room(read: Read<'_>, user_id: UserId, whose: &'static str) -> Result<()> {
    let count = read.scan(RELATIONSHIPS, user_id).take(RELATIONSHIP_COUNT_MAX).count();
    if count < RELATIONSHIP_COUNT_MAX {
        return Ok(());
    }
    Err(Error::bad_request(format!("{whose} can have at most {RELATIONSHIP_COUNT_MAX} relationships")))
}

fn put(machine: &mut Machine<'_, '_>, user_id: UserId, other: UserId, kind: u8, message: Option<&str>) {
    assert_ne!(user_id, other, "nobody relates to himself");
    let message = message.map(str::to_string);
    let relationship = Relationship { kind, created_at: machine.unix_ms, message };
    machine.tx.put(RELATIONSHIPS, (user_id, other), &relationship);
    let mut payload = Vec::new();
    {
        let mut object = Object::new(&mut payload);
        object.id("user_id", other.0).str("username", view::username(machine.read(), other));
        object.str("status", relation::text(kind)).time("created_at", machine.unix_ms);
        if kind == relation::PENDING_INCOMING {
            object.opt_str("message", relationship.message.as_deref());
        }
    }
    let audience = Audience::user(user_id);
    let mut event = Event::new(EventName::RelationshipAdd, intent::NONE, audience, payload);
    event.presence_of = (kind == relation::FRIEND).then_some(other);
    machine.emit(event);
}

/// Removes one side and tells it; true when there was one.
fn remove(machine: &mut Machine<'_, '_>, user_id: UserId, other: UserId) -> bool {
    if !machine.tx.delete(RELATIONSHIPS, (user_id, other)) {
        return false;
    }
    let mut payload = Vec::new();
    Object::new(&mut payload).id("user_id", other.0);
    let audience = Audience::user(user_id);
    machine.emit(Event::new(EventName::RelationshipRemove, intent::NONE, audience, payload));
    true
}

/// Removes both sides of whatever stands between a purged account and another; the other is told.
pub(in crate::domain) fn remove_both(machine: &mut Machine<'_, '_>, gone: UserId, other: UserId) {
    machine.tx.delete(RELATIONSHIPS, (gone, other));
    remove(machine, other, gone);
}

fn befriend(machine: &mut Machine<'_, '_>, a: UserId, b: UserId) {
    put(machine, a, b, relation::FRIEND, None);
    put(machine, b, a, relation::FRIEND, None);
}

/// # Errors
/// What `friend_request` refuses; the same on the snapshot and in the log.
pub fn check_request(read: Read<'_>, actor: UserId, other: UserId) -> Result<()> {
    require_other(read, actor, other)?;
    if blocked(read, actor, other) {
        return Err(Refusal::Blocked.into());
    }
    match kind(read, actor, other) {
        Some(relation::FRIEND) => Err(Refusal::AlreadyFriends.into()),
        Some(relation::PENDING_OUTGOING) => Err(Refusal::RequestPending.into()),
        Some(_) => Ok(()),
        None => {
            require_room(read, actor, "You")?;
            require_room(read, other, "This user")
        }
    }
}

pub(in crate::domain) fn friend_request(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &FriendRequest,
) -> Result<()> {
    let read = machine.read();
    check_request(read, actor, op.user_id)?;
    if kind(read, actor, op.user_id) == Some(relation::PENDING_INCOMING) {
        befriend(machine, actor, op.user_id);
        return Ok(());
    }
    put(machine, actor, op.user_id, relation::PENDING_OUTGOING, None);
    put(machine, op.user_id, actor, relation::PENDING_INCOMING, op.message.as_deref());
    Ok(())
}

pub(in crate::domain) fn friend_accept(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &FriendAccept,
) -> Result<()> {
    if kind(machine.read(), actor, op.user_id) != Some(relation::PENDING_INCOMING) {
        return Err(Refusal::RelationshipNotFound.into());
    }
    befriend(machine, actor, op.user_id);
    Ok(())
}

pub(in crate::domain) fn relationship_remove(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &RelationshipRemove,
) -> Result<()> {
    let kind = kind(machine.read(), actor, op.user_id).ok_or(Refusal::RelationshipNotFound)?;
    remove(machine, actor, op.user_id);
    if kind != relation::BLOCKED {
        remove(machine, op.user_id, actor);
    }
    Ok(())
}

/// # Errors
/// What `block` refuses; the same on the snapshot and in the log.
pub fn check_block(read: Read<'_>, actor: UserId, other: UserId) -> Result<()> {
    require_other(read, actor, other)?;
    match kind(read, actor, other) {
        Some(relation::BLOCKED) => Err(Refusal::AlreadyBlocked.into()),
        Some(_) => Ok(()),
        None => require_room(read, actor, "You"),
    }
}

pub(in crate::domain) fn block(machine: &mut Machine<'_, '_>, actor: UserId, op: &Block) -> Result<()> {
    let read = machine.read();
    check_block(read, actor, op.user_id)?;
    let other_side = kind(read, op.user_id, actor);
    if other_side.is_some_and(|kind| kind != relation::BLOCKED) {
        remove(machine, op.user_id, actor);
    }
    put(machine, actor, op.user_id, relation::BLOCKED, None);
    Ok(())
}
