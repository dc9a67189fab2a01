//! The switch of automod: off, and no rule of any server acts; the rules stay.

use rkyv::{Archive, Deserialize, Serialize};

use crate::domain::error::Result;
use crate::domain::machine::Machine;
use crate::domain::noted::Note;
use crate::domain::verdict::{SWITCH_ROW, switch};
use crate::id::UserId;
use crate::store::records::{ArchivedAutomodSwitch, AutomodSwitch};
use crate::store::tables::AUTOMOD_SWITCH;
use crate::wire::json::shape::{Kind, Slot, shape};

/// What stands for no settings.
const EMPTY: &str = "{}";

/// Turns the switch, and keeps what there is to be set for judging by a model; `None` leaves a part as it is.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AutomodSwitchSet {
    pub enabled: Option<bool>,
    /// A JSON object, compact and checked.
    pub ai: Option<String>,
}

pub(in crate::domain) fn automod_switch_set(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &AutomodSwitchSet,
) -> Result<()> {
    let known = switch(machine.read()).map(AutomodSwitch::from);
    let known = known.unwrap_or(AutomodSwitch { enabled: true, ai: EMPTY.to_string() });
    let switch = AutomodSwitch {
        enabled: op.enabled.unwrap_or(known.enabled),
        ai: op.ai.clone().unwrap_or_else(|| known.ai.clone()),
    };
    let word = |is_on: bool| if is_on { "on" } else { "off" };
    machine.note(Note::of("automod").before(word(known.enabled)).after(word(switch.enabled)));
    machine.tx.put(AUTOMOD_SWITCH, SWITCH_ROW, &switch);
    Ok(())
}

shape! {
    /// The switch of automod.
    pub AutomodConfigResponse(known: Option<&ArchivedAutomodSwitch>) {
        enabled: bool = known.is_none_or(|known| known.enabled),
        ai: (Slot::map(&Kind::Any)) = |out: &mut Vec<u8>| {
            out.extend_from_slice(known.map_or(EMPTY, |known| known.ai.as_str()).as_bytes());
        },
    }
}
