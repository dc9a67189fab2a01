//! What administrators make of reports and tickets, and of files by their hash: random commands in their name, and what
//! becomes of them.

use std::collections::BTreeMap;

use plexichat::domain::contact::blocked::{HashBlock, HashUnblock};
use plexichat::domain::contact::review::{HashReportReview, MessageReportReview, UserReportReview, Verdict};
use plexichat::domain::contact::tally::{
    HASH_REPORT_QUEUE, MESSAGE_REPORT_QUEUE, Queue, TICKET_QUEUE, USER_REPORT_QUEUE,
};
use plexichat::domain::contact::ticket::{TicketNoteAdd, TicketStatusSet};
use plexichat::domain::{Op, Reply, contact};
use plexichat::id::{ReportId, TicketId};
use plexichat::store::records::{
    HashReport, MessageReport, Review, Ticket, UserReport, hash_status, report_status, ticket_status,
};
use plexichat::store::tables::TICKET_NOTES;
use plexichat::store::{Key, Read, Record, hex};

use super::generate::Generator;
use super::model::*;

/// A state, and when and in which words it was decided on.
type Decided = (u8, Option<(u64, Option<String>)>);

/// What is not here is as it came.
#[derive(Clone, Debug, Default)]
pub struct Reviews {
    message_reports: BTreeMap<u64, Decided>,
    user_reports: BTreeMap<u64, Decided>,
    hash_reports: BTreeMap<u64, Decided>,
    /// A state, and since when it is done with.
    tickets: BTreeMap<u64, (u8, Option<u64>)>,
    /// By ticket and note.
    notes: BTreeMap<(u64, u64), String>,
}

impl Generator<'_> {
    pub fn review_op(&mut self, model: &Model) -> Op {
        let heard = &model.heard;
        let ticket_id = TicketId(self.id(heard.tickets.keys().copied()));
        let notes = self.maybe(40, |g| g.text());
        match self.random.u8(..8) {
            0 => {
                let report_id = ReportId(self.id(heard.message_reports.keys().copied()));
                MessageReportReview { report_id, verdict: self.decision(notes) }.into()
            }
            1 => {
                let report_id = ReportId(self.id(heard.user_reports.keys().copied()));
                UserReportReview { report_id, verdict: self.decision(notes) }.into()
            }
            2..5 => {
                let report_id = ReportId(self.id(model.files.reports.keys().copied()));
                let status = self.random.u8(hash_status::BLOCKED..=hash_status::CLEARED);
                HashReportReview { report_id, status, action: "block".into(), notes }.into()
            }
            5 => TicketStatusSet {
                ticket_id,
                status: self.random.u8(ticket_status::OPEN..=ticket_status::CLOSED),
            }
            .into(),
            6 => TicketNoteAdd { ticket_id, content: self.text() }.into(),
            _ => {
                let hash_value = hex::encode(&[self.random.u8(..12); 32]);
                match self.random.bool() {
                    true => HashBlock { hash_value, reason: self.name() }.into(),
                    false => HashUnblock { hash_value }.into(),
                }
            }
        }
    }

    fn decision(&mut self, notes: Option<String>) -> Verdict {
        let status = self.random.u8(report_status::REVIEWED..=report_status::DISMISSED);
        Verdict { status, action: "review".into(), notes }
    }
}

impl Model {
    pub fn judge_review(&self, op: &contact::Op) -> Result<Want, Refused> {
        let heard = &self.heard;
        match op {
            contact::Op::MessageReportReview(op) => {
                some(heard.message_reports.get(&op.report_id.0), MISSING)?;
            }
            contact::Op::UserReportReview(op) => {
                some(heard.user_reports.get(&op.report_id.0), MISSING)?;
            }
            contact::Op::HashReportReview(op) => {
                some(self.files.reports.get(&op.report_id.0), MISSING)?;
            }
            contact::Op::TicketStatusSet(op) => {
                some(heard.tickets.get(&op.ticket_id.0), MISSING)?;
            }
            contact::Op::TicketNoteAdd(op) => {
                some(heard.tickets.get(&op.ticket_id.0), MISSING)?;
                return Ok(Want::Any);
            }
            contact::Op::HashBlock(_) => {}
            contact::Op::HashUnblock(op) => {
                return Ok(Want::Changed(self.files.blocked.contains_key(&op.hash_value)));
            }
            op => unreachable!("{op:?} is tried in tests/contract"),
        }
        Ok(Want::Done)
    }

    pub fn take_review(&mut self, op: &contact::Op, reply: &Reply) {
        let at = self.unix_ms;
        let reviews = &mut self.reviews;
        match op {
            contact::Op::MessageReportReview(MessageReportReview { report_id, verdict }) => {
                let decided = (verdict.status, Some((at, verdict.notes.clone())));
                reviews.message_reports.insert(report_id.0, decided);
            }
            contact::Op::UserReportReview(UserReportReview { report_id, verdict }) => {
                let decided = (verdict.status, Some((at, verdict.notes.clone())));
                reviews.user_reports.insert(report_id.0, decided);
            }
            contact::Op::HashReportReview(op) => {
                let before =
                    reviews.hash_reports.get(&op.report_id.0).map_or(hash_status::PENDING, |old| old.0);
                reviews.hash_reports.insert(op.report_id.0, (op.status, Some((at, op.notes.clone()))));
                self.decide_on_file(op, before);
            }
            contact::Op::TicketStatusSet(op) => {
                let is_done = |status| [ticket_status::RESOLVED, ticket_status::CLOSED].contains(&status);
                let since = reviews.tickets.get(&op.ticket_id.0).and_then(|known| known.1).unwrap_or(at);
                reviews.tickets.insert(op.ticket_id.0, (op.status, is_done(op.status).then_some(since)));
            }
            contact::Op::TicketNoteAdd(op) => {
                let Reply::Count(id) = reply else { panic!("{reply:?} to {op:?}") };
                reviews.notes.insert((op.ticket_id.0, *id), op.content.clone());
            }
            contact::Op::HashBlock(op) => self.files.block(&op.hash_value, &op.reason, at, true),
            contact::Op::HashUnblock(op) => {
                self.files.blocked.remove(&op.hash_value);
                self.files.counts.entry(op.hash_value.clone()).and_modify(|count| *count = 0);
            }
            op => unreachable!("judge has refused {op:?}"),
        }
    }

    fn decide_on_file(&mut self, op: &HashReportReview, before: u8) {
        let at = self.unix_ms;
        let report = self.files.reports[&op.report_id.0].clone();
        if op.status == hash_status::BLOCKED {
            self.files.block(&report.hash, &report.reason, at, true);
            if let Some(uploader) = report.uploader.filter(|id| self.existing(*id).is_ok()) {
                self.custody.silenced.insert(uploader, None);
            }
        } else {
            let is_automatic = self.files.blocked.get(&report.hash).is_some_and(|known| !known.2);
            if before == hash_status::BLOCKED || is_automatic {
                self.files.blocked.remove(&report.hash);
            }
        }
        self.files.counts.insert(report.hash, 0);
        if before == hash_status::PENDING {
            self.files.waiting.entry(report.person).and_modify(|count| *count -= 1);
        }
    }

    pub fn compare_reviews(&self, read: Read<'_>) {
        let all = &self.reviews;
        let made = |review: Option<Box<Review>>| review.map(|review| (review.at, review.notes));
        compare(
            read,
            &MESSAGE_REPORT_QUEUE,
            |id| id.0,
            &all.message_reports,
            |record| {
                let MessageReport { status, review, .. } = MessageReport::from(record);
                (status, made(review))
            },
        );
        compare(
            read,
            &USER_REPORT_QUEUE,
            |id| id.0,
            &all.user_reports,
            |record| {
                let UserReport { status, review, .. } = UserReport::from(record);
                (status, made(review))
            },
        );
        compare(
            read,
            &HASH_REPORT_QUEUE,
            |id| id.0,
            &all.hash_reports,
            |record| {
                let HashReport { status, review, .. } = HashReport::from(record);
                (status, made(review))
            },
        );
        compare(
            read,
            &TICKET_QUEUE,
            |id| id.0,
            &all.tickets,
            |record| {
                let Ticket { status, resolved_at, .. } = Ticket::from(record);
                (status, resolved_at)
            },
        );
        let stored = read.scan(TICKET_NOTES, ());
        let stored = stored.map(|((ticket, id), note)| ((ticket.0, id), note.content.to_string()));
        assert!(stored.eq(all.notes.clone()), "notes on tickets");
    }
}

/// Holds each record of a queue against what was decided on it, and what is counted against what is there.
fn compare<K: Key<Owned = K>, V: Record, D: Clone + Default + PartialEq + std::fmt::Debug>(
    read: Read<'_>,
    queue: &Queue<K, V>,
    number: fn(K) -> u64,
    decided: &BTreeMap<u64, (u8, D)>,
    of: impl Fn(&V::Archived) -> (u8, D),
) {
    let mut counts = [0; 8];
    for (id, record) in read.scan(queue.records, ()) {
        let (id, got) = (number(id), of(record));
        assert_eq!(got, decided.get(&id).cloned().unwrap_or_default(), "what became of {id}");
        counts[usize::from(got.0)] += 1;
    }
    for (status, count) in (0..).zip(counts) {
        assert_eq!(queue.count(read, status), count, "in state {status}");
        assert_eq!(queue.in_state(read, status).count() as u64, count, "in state {status}");
    }
    assert_eq!(queue.total(read), counts.iter().sum::<u64>());
}
