//! Reports of files by their hash: who counts, and which files are blocked by it.

use std::collections::BTreeMap;

use plexichat::domain::Op;
use plexichat::domain::contact::hash_report::HashReportCreate;
use plexichat::id::{MessageId, ReportId, UserId};
use plexichat::store::Read;
use plexichat::store::records::{BlockedHash, HashReport, hash_status};
use plexichat::store::tables::{BLOCKED_HASHES, HASH_COUNTS, HASH_PENDING_COUNTS, HASH_REPORTS};

use super::generate::Generator;
use super::model::*;

/// A report as it must be kept: whose, for whom it counts, of what, in whose words, when.
type Report = (u64, u64, String, String, u64);

#[derive(Clone, Debug, Default)]
pub struct Files {
    reports: BTreeMap<u64, Report>,
    /// By person, as long as he is there.
    waiting: BTreeMap<u64, u64>,
    /// By hash: why, and since when.
    blocked: BTreeMap<String, (String, u64)>,
}

impl Generator<'_> {
    pub fn hash_command(&mut self, model: &Model) -> (u64, Op) {
        let op = HashReportCreate {
            hash_value: format!("{:064x}", self.random.u8(..12)),
            phash_value: self.maybe(30, |g| g.name()),
            reason: self.name(),
            details: self.maybe(30, |g| g.text()),
            uploader_id: self.maybe(50, |g| UserId(g.user(model))),
            message_id: self.maybe(30, |g| MessageId(g.junk())),
            attachment_url: None,
            block_uploader: self.random.bool(),
            threshold: self.random.u64(..5),
            waiting_max: self.random.u64(1..12),
        };
        (self.actor(model), op.into())
    }
}

impl Model {
    fn person(&self, actor: u64) -> u64 {
        self.users.get(&actor).and_then(|user| user.owner).unwrap_or(actor)
    }

    fn report_of(&self, person: u64, hash: &str) -> Option<u64> {
        let mut reports = self.files.reports.iter();
        reports.find(|(_, report)| report.1 == person && report.2 == hash).map(|(id, _)| *id)
    }

    pub fn judge_hash_report(&self, actor: u64, op: &HashReportCreate) -> Result<Want, Refused> {
        self.existing(actor)?;
        let person = self.person(actor);
        if let Some(known) = self.report_of(person, &op.hash_value) {
            return Ok(Want::KnownReport(known));
        }
        let waiting = self.files.waiting.get(&person).copied().unwrap_or_default();
        unless(waiting >= op.waiting_max, BAD)?;
        Ok(Want::Report)
    }

    pub fn take_hash_report(&mut self, actor: u64, op: &HashReportCreate, id: ReportId) {
        let person = self.person(actor);
        if self.report_of(person, &op.hash_value).is_some() {
            return;
        }
        let report = (actor, person, op.hash_value.clone(), op.reason.clone(), self.unix_ms);
        assert!(self.files.reports.insert(id.0, report).is_none());
        *self.files.waiting.entry(person).or_default() += 1;
        let count = self.files.reports.values().filter(|report| report.2 == op.hash_value).count() as u64;
        if op.threshold > 0 && count >= op.threshold {
            let why = (op.reason.clone(), self.unix_ms);
            self.files.blocked.entry(op.hash_value.clone()).or_insert(why);
        }
    }

    pub fn forget_waiting_reports(&mut self, user: u64) {
        self.files.waiting.remove(&user);
    }

    pub fn compare_hashes(&self, read: Read<'_>) {
        let stored = read.scan(HASH_REPORTS, ()).map(|(id, record)| {
            let record = HashReport::from(record);
            assert_eq!((record.status, record.review), (hash_status::PENDING, None));
            let (reporter, person) = (record.reporter_id.0, record.person_id.0);
            (id.0, (reporter, person, record.hash_value, record.reason, record.reported_at))
        });
        assert!(stored.eq(self.files.reports.clone()), "reports of files");
        let stored = read.scan(HASH_PENDING_COUNTS, ()).map(|(user, meta)| (user.0, meta.value.to_native()));
        assert!(stored.eq(self.files.waiting.clone()), "reports of each that wait");
        let mut counts = BTreeMap::new();
        self.files.reports.values().for_each(|report| *counts.entry(report.2.clone()).or_insert(0) += 1);
        let stored = read.scan(HASH_COUNTS, ()).map(|(hash, meta)| (hash, meta.value.to_native()));
        assert!(stored.eq(counts), "people by file");
        let stored = read.scan(BLOCKED_HASHES, ()).map(|(hash, record)| {
            let BlockedHash { reason, blocked_at, blocked_by, .. } = BlockedHash::from(record);
            assert_eq!(blocked_by, None);
            (hash, (reason, blocked_at))
        });
        assert!(stored.eq(self.files.blocked.clone()), "blocked files");
    }
}
