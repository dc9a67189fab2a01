//! Service banner, health, versions, status, capabilities.

use super::ctx::{Ctx, Step};
use crate::domain::Result;

pub fn root(ctx: &mut Ctx<'_>) -> Result<Step> {
    ctx.success()
}
pub fn health(ctx: &mut Ctx<'_>) -> Result<Step> {
    ctx.success()
}
pub fn api_root(ctx: &mut Ctx<'_>) -> Result<Step> {
    ctx.success()
}
pub fn version(ctx: &mut Ctx<'_>) -> Result<Step> {
    ctx.success()
}
pub fn version_negotiate(ctx: &mut Ctx<'_>) -> Result<Step> {
    ctx.success()
}
pub fn status(ctx: &mut Ctx<'_>) -> Result<Step> {
    ctx.success()
}
pub fn capabilities(ctx: &mut Ctx<'_>) -> Result<Step> {
    ctx.success()
}
