//! Reports of files by their hash: who counts, and which files are blocked by it.

use std::collections::{BTreeMap, BTreeSet};

use plexichat::domain::Op;
use plexichat::domain::contact::hash_report::HashReportCreate;
use plexichat::id::{MessageId, ReportId, UserId};
use plexichat::store::records::{BlockedHash, HashReport};
use plexichat::store::tables::{
    BLOB_LOOKS, BLOCKED_HASHES, BLOCKED_LOOKS, HASH_COUNTS, HASH_PENDING_COUNTS, HASH_REPORTS,
};
use plexichat::store::{Read, hex};

use super::generate::Generator;
use super::model::*;
use super::uploads::look_of;

/// A report as it must be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    reporter: u64,
    /// For whom it counts.
    pub person: u64,
    pub hash: String,
    pub reason: String,
    at: u64,
    /// Who is silenced when the file is blocked.
    pub uploader: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub struct Files {
    pub reports: BTreeMap<u64, Report>,
    /// By person, as long as he is there.
    pub waiting: BTreeMap<u64, u64>,
    /// By hash: how many have reported it since it was decided on.
    pub counts: BTreeMap<String, u64>,
    /// By hash: why, since when, and whether an administrator did it.
    pub blocked: BTreeMap<String, (String, u64, bool)>,
}

impl Files {
    /// Who blocks it again gives another reason.
    pub fn block(&mut self, hash: &str, reason: &str, at: u64, by_admin: bool) {
        let since = self.blocked.get(hash).map_or(at, |known| known.1);
        self.blocked.insert(hash.to_string(), (reason.to_string(), since, by_admin));
    }
}

impl Generator<'_> {
    pub fn hash_command(&mut self, model: &Model) -> (u64, Op) {
        let op = HashReportCreate {
            // Some are those of files that there are.
            hash_value: hex::encode(&[self.random.u8(..12); 32]),
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
        reports.find(|(_, report)| report.person == person && report.hash == hash).map(|(id, _)| *id)
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
        let report = Report {
            reporter: actor,
            person,
            hash: op.hash_value.clone(),
            reason: op.reason.clone(),
            at: self.unix_ms,
            uploader: op.uploader_id.filter(|_| op.block_uploader).map(|id| id.0),
        };
        assert!(self.files.reports.insert(id.0, report).is_none());
        *self.files.waiting.entry(person).or_default() += 1;
        let count = self.files.counts.entry(op.hash_value.clone()).or_default();
        *count += 1;
        let is_enough = op.threshold > 0 && *count >= op.threshold;
        if is_enough && !self.files.blocked.contains_key(&op.hash_value) {
            self.files.block(&op.hash_value, &op.reason, self.unix_ms, false);
        }
    }

    pub fn forget_waiting_reports(&mut self, user: u64) {
        self.files.waiting.remove(&user);
    }

    pub fn compare_hashes(&self, read: Read<'_>) {
        let stored = read.scan(HASH_REPORTS, ()).map(|(id, record)| {
            let record = HashReport::from(record);
            let report = Report {
                reporter: record.reporter_id.0,
                person: record.person_id.0,
                hash: record.hash_value,
                reason: record.reason,
                at: record.reported_at,
                uploader: record.uploader_id.filter(|_| record.block_uploader).map(|id| id.0),
            };
            (id.0, report)
        });
        assert!(stored.eq(self.files.reports.clone()), "reports of files");
        let stored = read.scan(HASH_PENDING_COUNTS, ()).map(|(user, meta)| (user.0, meta.value.to_native()));
        assert!(stored.eq(self.files.waiting.clone()), "reports of each that wait");
        let stored = read.scan(HASH_COUNTS, ()).map(|(hash, meta)| (hash, meta.value.to_native()));
        assert_eq!(stored.collect::<BTreeMap<_, _>>(), self.files.counts, "people by file");
        let mut looks = BTreeSet::new();
        let stored = read.scan(BLOCKED_HASHES, ()).map(|(hash, record)| {
            let BlockedHash { reason, blocked_at, blocked_by, look, order } = BlockedHash::from(record);
            if let Some(look) = look {
                let [number, ..]: [u8; 32] = hex::decode(&hash).unwrap();
                assert_eq!(Some(look), look_of(number), "what it looks like");
                looks.insert((look, order));
            }
            (hash, (reason, blocked_at, blocked_by.is_some()))
        });
        assert!(stored.eq(self.files.blocked.clone()), "blocked files");
        assert!(read.scan(BLOCKED_LOOKS, ()).keys().eq(looks), "what blocked pictures look like");
        for (hash, meta) in read.scan(BLOB_LOOKS, ()) {
            assert_eq!(look_of(hash[0]), Some(meta.value.to_native()), "what a picture looks like");
        }
    }
}
