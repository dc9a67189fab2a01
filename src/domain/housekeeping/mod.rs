//! What may be done later, and is done by the server itself.

pub mod outbox;
pub mod reseal;
pub mod rewrap;
pub mod sweep;

use super::command::commands;

commands! { Housekeeping:
    120 Sweep(sweep::Sweep) => sweep -> u64, isolated, frees_room, system;
    121 OutboxStep(outbox::OutboxStep) => outbox_step -> u64, system;
    470 Reseal(reseal::Reseal) => reseal -> (), system;
    471 FilesRewrapped(rewrap::FilesRewrapped) => files_rewrapped -> (), system;
}
