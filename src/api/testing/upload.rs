//! Bodies taken in pieces.

use crate::api::ctx::{Ctx, Step};
use crate::domain::{Error, Result};

pub fn upload(_: &mut Ctx<'_>) -> Result<Step> {
    Ok(take(0, 0, 0))
}

fn take(len: usize, count: usize, longest: usize) -> Step {
    Step::Receive(Box::new(move |ctx, piece| match piece {
        Some(piece) => Ok(take(len + piece.len(), count + 1, longest.max(piece.capacity()))),
        None => ctx.json(|out| {
            out.extend_from_slice(format!("[{len},{count},{longest}]").as_bytes());
        }),
    }))
}

pub fn refusal(_: &mut Ctx<'_>) -> Result<Step> {
    Ok(Step::Receive(Box::new(|_, _| Err(Error::bad_request("No such file")))))
}
