//! What administrators have done, read back.

use super::lists::{LIMIT, OFFSET, page};
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Int, Or, fields};
use crate::domain::Result;
use crate::domain::admin::act::AdminAuditEntry;
use crate::store::records::ArchivedAdminAudit;
use crate::store::tables::ADMIN_AUDIT;
use crate::wire::http::http_date;
use crate::wire::json::Array;

/// Lines of an export: a few megabytes, some milliseconds.
const EXPORT_LINES_MAX: u64 = 10_000;

fields! {
    /// Which part of the audit log.
    pub AUDIT_QUERY: AdminAuditQuery {
        limit: Or<Int, u64> = Or(Int(LIMIT), 50),
        offset: Or<Int, u64> = Or(Int(OFFSET), 0),
    }
}

fields! {
    /// Which part of it is written out.
    pub EXPORT_QUERY: AdminAuditExportQuery {
        limit: Or<Int, u64> = Or(Int(1..=EXPORT_LINES_MAX), EXPORT_LINES_MAX),
        offset: Or<Int, u64> = Or(Int(OFFSET), 0),
    }
}

pub fn admin_audit_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let part = (AUDIT_QUERY.limit.query(ctx)?, AUDIT_QUERY.offset.query(ctx)?);
    let snapshot = ctx.snapshot();
    let read = snapshot.read();
    ctx.json(|out| {
        let mut list = Array::new(out);
        for (id, entry) in page(read.scan_rev(ADMIN_AUDIT, ()), read.len(ADMIN_AUDIT), part) {
            AdminAuditEntry::write(list.item(), id, entry);
        }
    })
}

pub fn admin_audit_export(ctx: &mut Ctx<'_>) -> Result<Step> {
    let part = (EXPORT_QUERY.limit.query(ctx)?, EXPORT_QUERY.offset.query(ctx)?);
    let snapshot = ctx.snapshot();
    let read = snapshot.read();
    let mut text = "time,administrator,action,target,before,after,address\r\n".to_string();
    let entries = page(read.scan(ADMIN_AUDIT, ()), read.len(ADMIN_AUDIT), part);
    entries.for_each(|(_, entry)| line(&mut text, entry));
    ctx.response.content_type = "text/csv; charset=utf-8";
    let name = "attachment; filename=\"audit-log.csv\"".to_string();
    ctx.response.headers.push(("content-disposition", name));
    ctx.response.body = text.into_bytes();
    Ok(Step::Done)
}

fn line(text: &mut String, entry: &ArchivedAdminAudit) {
    let at = String::from_utf8_lossy(&http_date(entry.at.to_native() / 1_000)).into_owned();
    let cells = [
        Some(at.as_str()),
        Some(entry.admin_name.as_str()),
        Some(entry.action.as_str()),
        entry.target.as_deref(),
        entry.before.as_deref(),
        entry.after.as_deref(),
        Some(entry.ip_address.as_str()),
    ];
    for (index, cell) in cells.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        csv(text, cell.unwrap_or_default());
    }
    *text += "\r\n";
}

/// A cell as RFC 4180 has it. What a table program would take for a formula gets a quote in front, so that a name that
/// somebody has chosen does nothing on the administrator's machine.
pub fn csv(text: &mut String, cell: &str) {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    text.push('"');
    if is_formula {
        text.push('\'');
    }
    *text += &cell.replace('"', "\"\"");
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_do_nothing() {
        for (cell, want) in [
            ("plain", "\"plain\""),
            ("a,\"b\"\r\n", "\"a,\"\"b\"\"\r\n\""),
            ("=1+1", "\"'=1+1\""),
            ("@x", "\"'@x\""),
            ("", "\"\""),
        ] {
            let mut text = String::new();
            csv(&mut text, cell);
            assert_eq!(text, want);
        }
    }
}
