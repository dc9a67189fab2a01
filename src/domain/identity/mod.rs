//! Accounts: who somebody is, how he proves it, what his tier allows.

pub mod account;
pub mod banned_name;
pub mod bot;
pub mod credential;
pub mod custody;
pub mod email_verification;
pub mod feature;
pub mod mail;
pub mod oauth;
pub mod passkey;
pub mod password_reset;
pub mod right;
mod sign_in;
pub mod tier;
pub mod token;
pub mod two_factor;

use super::command::commands;
use super::reply::Admitted;
use crate::id::{ChallengeId, NameBanId, PasskeyId, SignInId, TokenId, UserId};

commands! { Identity:
    4 LoginFailed(account::LoginFailed) => login_failed -> bool, frees_room, system;
    5 TokenCreate(token::TokenCreate) => token_create -> (UserId, TokenId), system;
    6 TokenTouch(token::TokenTouch) => token_touch -> bool, frees_room;
    7 TokenRevoke(token::TokenRevoke) => token_revoke -> (), frees_room;
    8 TokenRevokeAll(token::TokenRevokeAll) => token_revoke_all -> u64, frees_room;
    22 TwoFactorBegin(two_factor::TwoFactorBegin) => begin -> ();
    23 TwoFactorConfirm(two_factor::TwoFactorConfirm) => confirm -> ();
    24 TwoFactorDisable(two_factor::TwoFactorDisable) => disable -> (), frees_room;
    25 TwoFactorUse(two_factor::TwoFactorUse) => spend_proof -> (), frees_room;
    26 TwoFactorFailed(two_factor::TwoFactorFailed) => failed -> bool, frees_room;
    27 ChallengeCreate(two_factor::ChallengeCreate) => challenge_create -> ChallengeId, system;
    28 ChallengePass(two_factor::ChallengePass) => challenge_pass -> (UserId, TokenId), system;
    29 ChallengeFailed(two_factor::ChallengeFailed) => challenge_failed -> bool, frees_room, system;
    300 BotCreate(bot::BotCreate) => create -> (UserId, TokenId), system;
    301 BotTokenRenew(bot::BotTokenRenew) => renew_token -> (UserId, TokenId), frees_room, system;
    302 BotDelete(bot::BotDelete) => delete -> (), frees_room, system;
    320 TierSet(feature::TierSet) => tier_set -> bool, system;
    321 BadgeGrant(feature::BadgeGrant) => badge_grant -> bool, system;
    322 BadgeRevoke(feature::BadgeRevoke) => badge_revoke -> bool, frees_room, system;
    330 MailRequest(mail::MailRequest) => request -> (), system;
    331 MailsDone(mail::MailsDone) => done -> u64, frees_room, system;
    332 PasswordReset(password_reset::PasswordReset) => reset -> (), frees_room, system;
    333 EmailConfirm(email_verification::EmailConfirm) => confirm -> (), system;
    334 Register(account::Register) => register -> (UserId, Option<TokenId>), system;
    335 ProfileEdit(account::ProfileEdit) => profile_edit -> UserId;
    336 AccountDelete(account::AccountDelete) => account_delete -> (), frees_room;
    400 SignInBegin(oauth::SignInBegin) => begin -> SignInId, system;
    401 SignInTake(oauth::SignInTake) => take -> bool, frees_room, system;
    402 SignInEnd(oauth::SignInEnd) => end -> Admitted, system;
    410 PasskeyAdd(passkey::PasskeyAdd) => add -> PasskeyId;
    411 PasskeyRename(passkey::PasskeyRename) => rename -> ();
    412 PasskeyRemove(passkey::PasskeyRemove) => remove -> (), frees_room;
    413 PasskeySignIn(passkey::PasskeySignIn) => sign_in -> (UserId, TokenId), system;
    414 PasskeyPass(passkey::PasskeyPass) => pass -> (UserId, TokenId), system;
    560 UserLock(custody::UserLock) => user_lock -> (), frees_room, system;
    561 UserUnlock(custody::UserUnlock) => user_unlock -> (), frees_room, system;
    562 UserLogOut(custody::UserLogOut) => user_log_out -> u64, frees_room, system;
    563 UsernameForce(custody::UsernameForce) => username_force -> (), frees_room, system;
    564 DeletionCancel(custody::DeletionCancel) => deletion_cancel -> (), frees_room, system;
    565 DeletionDelay(custody::DeletionDelay) => deletion_delay -> (), frees_room, system;
    566 UserPurge(custody::UserPurge) => user_purge -> (), frees_room, system;
    567 UserNoteSet(custody::UserNoteSet) => user_note_set -> (), system;
    568 NameBanCreate(banned_name::NameBanCreate) => name_ban_create -> NameBanId, system;
    569 NameBanRemove(banned_name::NameBanRemove) => name_ban_remove -> (), frees_room, system;
}
