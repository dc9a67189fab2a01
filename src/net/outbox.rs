//! The server's own hand: has the log decide the steps of what changes have left to do, one at a time.
//!
//! What is to do stands in the state (see [`crate::domain::errand`]), so nothing is lost with this task, and a server
//! that starts goes on where another was killed.

use std::rc::Rc;
use std::time::Duration;

use super::core::Core;
use super::http::Backend;
use crate::domain::housekeeping::outbox::{OutboxStep, due_count, plan};
use crate::domain::housekeeping::reseal::{self, Reseal};
use crate::domain::social::presence::visible_status;
use crate::domain::{Command, Refusal};
use crate::id::UserId;
use crate::store::records::status;
use crate::store::tables::PRESENCES;

/// How often it is looked whether something is due: a look-up in the core's snapshot.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// After a step that could not be taken: the log is full, or the disk.
const PATIENCE: Duration = Duration::from_secs(1);
/// What a step may look at: one to two milliseconds of the writer.
const LOOKS_MAX: u64 = 1_200;

/// Runs for as long as its core does.
pub(super) async fn run(core: Rc<Core>) {
    let mut told = false;
    seal_as_wanted(&core).await;
    loop {
        monoio::time::sleep(LOOK_INTERVAL).await;
        let due = due_count(core.state.snapshot().read(), core.state.now_ms());
        core.state.metrics.errands.set(due);
        while let Some(step) = next(&core) {
            match core.submit(Command::new(UserId(0), step.into())).await {
                Ok(_) => told = false,
                Err(error) => {
                    if error == Refusal::StoreDamaged.into() && !std::mem::replace(&mut told, true) {
                        tracing::error!(
                            "what changes have left to do (mentions, clean-up after bans) is not done any more, as a \
                             record among it is damaged: stop the server, see `plexichat verify`, and put the last \
                             sound backup in place with `plexichat restore FOLDER`"
                        );
                    }
                    monoio::time::sleep(PATIENCE).await;
                }
            }
        }
    }
}

/// Begins to have what was written before lie as records are written now, when that has changed between two runs.
async fn seal_as_wanted(core: &Core) {
    let mark = core.state.store.seal_mark(&core.state.keys);
    while reseal::is_due(core.state.snapshot().read(), mark) {
        if core.submit(Command::new(UserId(0), Reseal { mark }.into())).await.is_err() {
            monoio::time::sleep(PATIENCE).await;
        }
    }
}

/// The step that is due by what this core has processed; the answer to the one before came with its snapshot.
fn next(core: &Core) -> Option<OutboxStep> {
    let (state, snapshot) = (&core.state, core.state.snapshot());
    let (read, now_ms) = (snapshot.read(), state.now_ms());
    let rest_timeout_ms = state.config.presence.timeout_ms;
    let is_there = |user_id| {
        let stored = read.get(PRESENCES, user_id);
        visible_status(stored, state.liveness(user_id), now_ms, rest_timeout_ms) != status::OFFLINE
    };
    plan(read, now_ms, LOOKS_MAX, is_there)
}
