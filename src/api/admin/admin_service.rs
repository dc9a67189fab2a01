//! What administrators do to the server as a whole.

use crate::api::body::check_len;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Flag, Int, Needed, Text, fields};
use crate::domain::Result;
use crate::domain::gate::closure::{
    EverybodyLogOut, MaintenanceNotice, MaintenanceResponse, MaintenanceSet, maintenance,
};

const MESSAGE_CHARS: std::ops::RangeInclusive<usize> = 0..=500;
/// A year.
const SECONDS_MAX: u64 = 31_536_000;

fields! {
    /// Whether there is maintenance, and what users are told.
    pub MAINTENANCE: MaintenanceUpdateRequest {
        enabled: Needed<Flag> = Needed(Flag),
        message: Text = Text(Chars::Configured(|_| MESSAGE_CHARS)),
        estimated_downtime_seconds: Int = Int(0..=SECONDS_MAX),
    }
}

pub fn admin_maintenance_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let snapshot = ctx.snapshot();
    ctx.json(|out| MaintenanceResponse::write(out, maintenance(snapshot.read())))
}

pub async fn admin_maintenance_set(ctx: &mut Ctx<'_>) -> Result<Step> {
    let notice = {
        let body = ctx.body()?;
        let is_on = MAINTENANCE.enabled.read(&body)?;
        let message = MAINTENANCE.message.read(&body)?;
        check_len("message", message.unwrap_or_default(), MESSAGE_CHARS)?;
        let estimated_seconds = MAINTENANCE.estimated_downtime_seconds.read(&body)?;
        is_on.then(|| MaintenanceNotice { message: message.map(str::to_string), estimated_seconds })
    };
    ctx.act(MaintenanceSet { notice }).await?;
    admin_maintenance_get(ctx)
}

pub async fn admin_everybody_log_out(ctx: &mut Ctx<'_>) -> Result<Step> {
    ctx.act(EverybodyLogOut {}).await?;
    ctx.success()
}
