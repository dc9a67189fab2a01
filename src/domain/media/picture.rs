//! Avatars and icons: which picture, if any.

use rkyv::{Archive, Deserialize, Serialize};

use crate::domain::blob;
use crate::domain::community::audit::{self, Action, Changes, Target};
use crate::domain::community::server;
use crate::domain::error::Result;
use crate::domain::identity::account;
use crate::domain::machine::Machine;
use crate::domain::permission::SERVER_MANAGE;
use crate::id::{ServerId, UserId};
use crate::store::hex;
use crate::store::records::{Picture, Server};
use crate::store::tables::{SERVERS, USERS};

/// The acting user's avatar; `None` removes it. Its file is there already.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AvatarSet {
    pub picture: Option<Picture>,
}

/// A server's icon; `None` removes it. Its file is there already.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct IconSet {
    pub server_id: ServerId,
    pub picture: Option<Picture>,
}

/// False when there was none to remove.
pub(in crate::domain) fn avatar_set(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &AvatarSet,
) -> Result<bool> {
    let mut user = account::acting_user(machine, actor)?;
    if user.avatar.is_none() && op.picture.is_none() {
        return Ok(false);
    }
    exchange(machine, &mut user.avatar, op.picture.as_ref());
    machine.tx.put(USERS, actor, &user);
    account::emit_user_update(machine, actor);
    Ok(true)
}

/// False when there was none to remove.
pub(in crate::domain) fn icon_set(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &IconSet,
) -> Result<bool> {
    let standing = machine.asking(actor).server(op.server_id)?;
    standing.require(SERVER_MANAGE)?;
    let mut server = Server::from(standing.server);
    if server.icon.is_none() && op.picture.is_none() {
        return Ok(false);
    }
    let hash = |icon: &Option<Box<Picture>>| icon.as_ref().map(|picture| hex(&picture.hash));
    let old = hash(&server.icon);
    exchange(machine, &mut server.icon, op.picture.as_ref());
    let mut changes = Changes::default();
    changes.text("icon", old.as_deref(), hash(&server.icon).as_deref());
    machine.tx.put(SERVERS, op.server_id, &server);
    server::emit_update(machine, op.server_id);
    let target = Target::server(op.server_id, &server.name);
    audit::record(machine, op.server_id, actor, Action::ServerUpdate, target, changes.finish(), None);
    Ok(true)
}

/// Holds the new one before the one before is let go: they may be the same.
fn exchange(machine: &mut Machine<'_, '_>, place: &mut Option<Box<Picture>>, new: Option<&Picture>) {
    if let Some(new) = new {
        blob::hold(machine, &new.hash);
    }
    let old = std::mem::replace(place, new.cloned().map(Box::new));
    if let Some(old) = old {
        blob::release(machine, &old.hash);
    }
}

/// What names a picture to people and clients: enough of its hash to tell two apart.
pub fn hex(hash: &[u8; 32]) -> String {
    hex::encode(&hash[..16])
}
