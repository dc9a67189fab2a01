//! The server's log files, for whoever looks after it. What they are stands in [`crate::observe::log_files`].

use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Int, Or, Text, fields};
use crate::domain::{Error, Result};
use crate::effect::read::Read;
use crate::observe::log_files::{self, Found, Line, LogFile, Wanted};
use crate::wire::json::Array;
use crate::wire::json::shape::{Kind, Slot, shape};

use super::lists::OFFSET;

const SEARCH_CHARS_MAX: usize = 256;
const NAME_LEN_MAX: usize = 255;

fields! {
    /// Which lines of a log file, from the oldest to the latest.
    pub VIEW_QUERY: LogViewQuery {
        limit: Or<Int, u64> = Or(Int(1..=10_000), 1_000),
        /// Lines that fit and are left out before them.
        offset: Or<Int, u64> = Or(Int(OFFSET), 0),
        /// A text that they have in them, in any case.
        search: Text = Text(Chars::UpTo(SEARCH_CHARS_MAX)),
        /// TRACE, DEBUG, INFO, WARN (or WARNING) or ERROR.
        level: Text = Text(Chars::UpTo(16)),
    }
}

pub async fn admin_log_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let folder = ctx.state.config.logging.folder.clone();
    let files = ctx.effect(Read(move || log_files::list(folder.as_ref()))).await?;
    ctx.json(|out| {
        let mut list = Array::new(out);
        files.iter().for_each(|file| LogFileInfo::write(list.item(), file));
    })
}

pub async fn admin_log_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let name = ctx.param("filename").into_owned();
    let is_plain = |c: char| !c.is_control() && !matches!(c, '/' | '\\');
    if name.len() > NAME_LEN_MAX
        || !name.chars().all(is_plain)
        || name.starts_with('.')
        || name.contains("..")
    {
        return Err(Error::invalid("filename", "must be the name of a log file, without a path"));
    }
    let wanted = wanted(ctx)?;
    let (limit, offset) = (wanted.limit, wanted.offset);
    let folder = ctx.state.config.logging.folder.clone();
    let shown = name.clone();
    let found = ctx.effect(Read(move || log_files::view(folder.as_ref(), &name, &wanted))).await?;
    let found = found.map_err(|error| Error::new(503, format!("This log file cannot be read: {error}")))?;
    let found = found.ok_or_else(|| Error::new(404, "Log file not found"))?;
    ctx.json(|out| LogViewResponse::write(out, &shown, &found, (limit, offset)))
}

fn wanted(ctx: &Ctx<'_>) -> Result<Wanted> {
    let search = VIEW_QUERY.search.query(ctx)?.filter(|text| !text.is_empty());
    if search.as_ref().is_some_and(|text| text.chars().count() > SEARCH_CHARS_MAX) {
        return Err(Error::invalid("search", format_args!("must be at most {SEARCH_CHARS_MAX} characters")));
    }
    let level = VIEW_QUERY.level.query(ctx)?.filter(|text| !text.is_empty());
    let level = level.map(|text| {
        log_files::level(&text)
            .ok_or_else(|| Error::invalid("level", "must be TRACE, DEBUG, INFO, WARN or ERROR"))
    });
    Ok(Wanted {
        limit: VIEW_QUERY.limit.query(ctx)?,
        offset: VIEW_QUERY.offset.query(ctx)?,
        search,
        level: level.transpose()?,
    })
}

shape! {
    /// A log file.
    pub LogFileInfo(file: &LogFile) {
        filename: str = &file.name,
        /// In bytes, as it lies there.
        size: u64 = file.len,
        modified: time = file.modified_ms,
        is_zipped: bool = file.is_packed,
    }
}

shape! {
    /// A line of a log file. One that begins no record has time and level of the record before it.
    pub LogLine(line: &Line) {
        timestamp: str = &line.time,
        level: str = line.level,
        message: str = &line.message,
        raw: str = &line.raw,
    }
}

shape! {
    /// Lines of a log file. Of what is very long fewer come than asked for; `offset` plus their number is where it goes on.
    pub LogViewResponse(name: &str, found: &Found, part: (u64, u64)) {
        filename: str = name,
        /// How many there are that fit, of those that were looked at: of a very long file the last 64 MiB.
        total_lines: u64 = found.count,
        lines: (Slot::list(&Kind::Object(LogLine::SHAPE))) = |out: &mut Vec<u8>| {
            let mut list = Array::new(out);
            found.lines.iter().for_each(|line| LogLine::write(list.item(), line));
        },
        limit: u64 = part.0,
        offset: u64 = part.1,
    }
}
