//! Tiers and badges: random commands, what they must be answered, and what becomes of them.

use plexichat::domain::identity::feature::{BadgeGrant, BadgeRevoke, TierSet};
use plexichat::domain::{Op, identity};
use plexichat::id::UserId;
use plexichat::store::Read;
use plexichat::store::records::{User as Record, account, badge, tier};
use plexichat::store::tables::USERS;

use super::generate::Generator;
use super::model::*;

/// Tier of an account, until when, and its badges.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    pub tier: u8,
    pub until: Option<u64>,
    pub badges: Vec<u8>,
}

impl Generator<'_> {
    pub fn feature_command(&mut self, model: &Model) -> (u64, Op) {
        let user_id = UserId(self.user(model));
        let badge = self.random.u8(badge::ALPHA_TESTER..=badge::PARTNER + 1);
        let op: Op = match self.random.u32(..3) {
            0 => {
                let life_ms = self.maybe(40, |g| g.random.u64(..90_000));
                TierSet { user_id, tier: self.random.u8(..=tier::STAFF + 1), life_ms }.into()
            }
            1 => BadgeGrant { user_id, badge }.into(),
            _ => BadgeRevoke { user_id, badge }.into(),
        };
        (self.system(model), op)
    }
}

impl Model {
    /// `None` when it is no command of these.
    pub fn judge_features(&self, actor: u64, op: &identity::Op) -> Option<Result<Want, Refused>> {
        let system = || unless(actor != 0, FORBIDDEN);
        let judge = || match op {
            identity::Op::TierSet(op) => {
                system()?;
                unless(op.tier > tier::STAFF, BAD)?;
                let features = &self.existing(op.user_id.0)?.features;
                let until = op.life_ms.map(|life_ms| self.at + life_ms);
                Ok(Want::Changed((features.tier, features.until) != (op.tier, until)))
            }
            identity::Op::BadgeGrant(op) => {
                system()?;
                unless(op.badge > badge::PARTNER, BAD)?;
                Ok(Want::Changed(!self.existing(op.user_id.0)?.features.badges.contains(&op.badge)))
            }
            identity::Op::BadgeRevoke(op) => {
                system()?;
                Ok(Want::Changed(self.existing(op.user_id.0)?.features.badges.contains(&op.badge)))
            }
            _ => Err(&[] as Refused),
        };
        Some(judge()).filter(|verdict| *verdict != Err(&[]))
    }

    /// Makes the change; false when it is no command of these.
    pub fn take_features(&mut self, op: &identity::Op) -> bool {
        let at = self.at;
        match op {
            identity::Op::TierSet(op) => {
                let features = &mut self.user(op.user_id.0).features;
                (features.tier, features.until) = (op.tier, op.life_ms.map(|life_ms| at + life_ms));
            }
            identity::Op::BadgeGrant(op) => {
                let badges = &mut self.user(op.user_id.0).features.badges;
                if !badges.contains(&op.badge) {
                    badges.push(op.badge);
                }
            }
            identity::Op::BadgeRevoke(op) => {
                self.user(op.user_id.0).features.badges.retain(|badge| *badge != op.badge);
            }
            _ => return false,
        }
        true
    }

    pub fn compare_features(&self, read: Read<'_>) {
        for (id, user) in self.users.iter().filter(|(_, user)| user.state != account::PURGED) {
            let Record { tier, tier_until, badges, .. } =
                Record::from(read.get(USERS, UserId(*id)).expect("the user is stored"));
            let stored = Features { tier, until: tier_until.map(|until| *until), badges };
            assert_eq!(stored, user.features, "tier and badges of {id}");
        }
    }
}
