//! Where the channels of a server stand, changed for many at once.

use rkyv::{Archive, Deserialize, Serialize};

use super::audit::{self, Action, Changes, Target};
use super::channel::{arrange, manageable, order, tell};
use crate::domain::asking::Asking;
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::machine::Machine;
use crate::domain::permission::CHANNELS_MANAGE;
use crate::id::{ChannelId, ServerId, UserId};
use crate::store::Read;
use crate::store::records::{Channel, Server, channel_kind};
use crate::store::tables::{CHANNELS, SERVERS};
use crate::wire::json::Object;

/// Channels whose places an entry of the audit log tells of: a page of such entries is a bounded answer.
const AUDITED_MAX: usize = 100;

/// Gives channels of a server other places. The others keep their order around them.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct ChannelsArrange {
    pub server_id: ServerId,
    /// Each channel once.
    pub places: Vec<Place>,
}

/// Where a channel is to stand; `None` leaves a part as it is.
#[derive(Clone, Copy, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct Place {
    pub channel_id: ChannelId,
    /// Counted from 0 among all channels; behind the last: at the end.
    pub position: Option<u64>,
    pub category_id: Option<Option<ChannelId>>,
}

/// Whether the actor may arrange the channels so.
///
/// # Errors
/// 404 server, and a channel that is none of it; 403 not a member, without permission there or for one of the channels;
/// 400 for what is no category of the server, and for a category in a category.
pub fn check_arrange(asking: Asking<'_>, op: &ChannelsArrange) -> Result<()> {
    asking.server(op.server_id)?.require(CHANNELS_MANAGE)?;
    for place in &op.places {
        let channel = asking.read.get(CHANNELS, place.channel_id);
        channel.filter(|channel| channel.server() == Some(op.server_id)).ok_or(Refusal::ChannelNotFound)?;
        let (_, access) = manageable(asking, place.channel_id)?;
        let Some(Some(category_id)) = place.category_id else { continue };
        if access.channel.kind == channel_kind::CATEGORY {
            return Err(Error::invalid("category_id", "a category cannot stand in a category"));
        }
        let category = asking.read.get(CHANNELS, category_id);
        let category = category.filter(|category| category.kind == channel_kind::CATEGORY);
        if category.and_then(|category| category.server()) != Some(op.server_id) {
            return Err(Error::invalid("category_id", "must be a category of this server"));
        }
    }
    Ok(())
}

/// Replies whether anything changed.
pub(in crate::domain) fn channels_arrange(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &ChannelsArrange,
) -> Result<bool> {
    check_arrange(machine.asking(actor), op)?;
    let (stood, before) = (standing(machine.read(), &op.places), order(machine.read(), op.server_id));
    let mut changed = Vec::new();
    for place in &op.places {
        let Some(category_id) = place.category_id else { continue };
        let channel =
            machine.read().get(CHANNELS, place.channel_id).map(Channel::from).expect("checked above");
        if channel.category_id != category_id {
            machine.tx.put(CHANNELS, place.channel_id, &Channel { category_id, ..channel });
            changed.push(place.channel_id);
        }
    }
    let mut wanted: Vec<(u64, ChannelId)> =
        op.places.iter().filter_map(|place| Some((place.position?, place.channel_id))).collect();
    // From the first place on, so that none of them moves one that was put before it.
    wanted.sort_by_key(|(position, _)| *position);
    let mut after = before.clone();
    after.retain(|(_, id)| wanted.iter().all(|(_, moved)| moved != id));
    for (position, id) in wanted {
        let index = usize::try_from(position).unwrap_or(usize::MAX).min(after.len());
        let entry = before.iter().find(|(_, known)| *known == id).expect("checked above");
        after.insert(index, *entry);
    }
    let moved = arrange(machine, &after);
    changed.extend(moved.iter().map(|(_, id)| *id));
    if changed.is_empty() {
        return Ok(false);
    }
    changed.sort_unstable();
    changed.dedup();
    tell(machine, op.server_id, changed.into_iter());
    let mut changes = Changes::default();
    changes.raw("channels", &stood, &standing(machine.read(), &op.places));
    let name = machine.read().get(SERVERS, op.server_id).map(Server::from).expect("checked above").name;
    let target = Target::server(op.server_id, &name);
    audit::record(machine, op.server_id, actor, Action::ChannelUpdate, target, changes.finish(), None);
    Ok(true)
}

/// Where the channels stand that are asked about, by their ids.
fn standing(read: Read<'_>, places: &[Place]) -> Vec<u8> {
    let mut out = Vec::new();
    {
        let mut object = Object::new(&mut out);
        for place in places.iter().take(AUDITED_MAX) {
            let channel = read.get(CHANNELS, place.channel_id).expect("checked before");
            let mut object = Object::new(object.dynamic_key(&place.channel_id.to_string()));
            object.u64("position", channel.position.to_native());
            object.opt_id("category_id", channel.category_id.as_ref().map(|id| ChannelId::from(id).0));
        }
    }
    out
}
