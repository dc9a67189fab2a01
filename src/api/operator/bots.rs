//! Bots: made, listed, given another token, deleted.

use super::{LISTED_COUNT_MAX, Place, date, table, user};
use crate::api::authenticate::{BOT_SECRET_LEN, hash_secret, new_secret};
use crate::api::body::Body;
use crate::api::fields::{Chars, Needed, Text, fields};
use crate::api::identity::rules::{check_username, default_tier};
use crate::domain::identity::bot::{BotCreate, BotDelete, BotTokenRenew, living, require_room};
use crate::domain::identity::credential::{Secret, bot_token, require_present};
use crate::domain::time::Offset;
use crate::domain::{Result, view};
use crate::id::UserId;
use crate::store::Read;
use crate::store::tables::{BOTS, TOKENS, USER_TOKENS, USERS};

fields! {
    /// A new bot.
    pub BOT_CREATE: BotCreateRequest {
        name: Needed<Text> = Needed(Text(Chars::Any)),
        /// The name or the id of who answers for it.
        owner: Needed<Text> = Needed(Text(Chars::Any)),
    }
}

fields! {
    /// Whose bots.
    pub BOT_LIST: BotListRequest {
        /// The name or the id of one owner.
        owner: Text = Text(Chars::Any),
    }
}

fields! {
    /// Which bot.
    pub BOT: BotRequest {
        /// Its name or its id.
        name: Needed<Text> = Needed(Text(Chars::Any)),
    }
}

pub async fn create(place: &dyn Place, body: &Body<'_>) -> Result<String> {
    let name = BOT_CREATE.name.read(body)?;
    let owner = BOT_CREATE.owner.read(body)?;
    check_username(&place.config().authentication_accounts, name)?;
    let count_max = place.config().authentication_accounts.max_bots_per_user;
    let (owner_id, owner) = place.look(|read| {
        let owner_id = user(read, owner)?;
        require_room(read, owner_id, count_max)?;
        Ok((owner_id, view::username(read, owner_id).to_string()))
    })?;
    let secret = new_secret::<BOT_SECRET_LEN>();
    let op = BotCreate {
        owner_id,
        username: name.to_string(),
        secret_hash: Secret(hash_secret(&secret)),
        tier: default_tier(place.config()),
        count_max,
    };
    let (bot_id, token_id) = place.submit(op).await?;
    let token = bot_token(token_id, &secret);
    Ok(format!("{name} is bot {bot_id} of {owner}. Its token, which is shown only now:\n{token}\n"))
}

pub async fn list(place: &dyn Place, body: &Body<'_>) -> Result<String> {
    let owner = BOT_LIST.owner.read(body)?;
    let offset = place.moment().offset();
    place.look(|read| {
        let owner_id = owner.map(|owner| user(read, owner)).transpose()?;
        let bots = match owner_id {
            Some(owner_id) => read.scan(BOTS, owner_id),
            None => read.scan(BOTS, ()),
        };
        let rows =
            bots.take(LISTED_COUNT_MAX).map(|((owner_id, bot_id), _)| row(read, owner_id, bot_id, offset));
        let rows: Vec<[String; 5]> = rows.collect();
        Ok(table(["ID", "NAME", "OWNER", "STATE", "LAST USED"], &rows, "There are no bots."))
    })
}

fn row(read: Read<'_>, owner_id: UserId, bot_id: UserId, offset: Offset) -> [String; 5] {
    let usable = read.get(USERS, bot_id).is_some_and(|bot| require_present(read, bot).is_ok());
    let token = read.scan(USER_TOKENS, bot_id).next().and_then(|((_, id), _)| read.get(TOKENS, id));
    let used = token.filter(|token| token.last_activity != token.created_at);
    [
        bot_id.to_string(),
        view::username(read, bot_id).to_string(),
        view::username(read, owner_id).to_string(),
        if usable { "active" } else { "rests with its owner" }.to_string(),
        used.map_or("never".to_string(), |token| date(offset.shown(token.last_activity.to_native()))),
    ]
}

pub async fn token(place: &dyn Place, body: &Body<'_>) -> Result<String> {
    let (bot_id, name) = bot(place, body)?;
    let secret = new_secret::<BOT_SECRET_LEN>();
    let op = BotTokenRenew { bot_id, secret_hash: Secret(hash_secret(&secret)) };
    let (_, token_id) = place.submit(op).await?;
    let token = bot_token(token_id, &secret);
    Ok(format!("The token that {name} had is void. The new one, which is shown only now:\n{token}\n"))
}

pub async fn delete(place: &dyn Place, body: &Body<'_>) -> Result<String> {
    let (bot_id, name) = bot(place, body)?;
    place.submit(BotDelete { bot_id }).await?;
    Ok(format!("{name} is deleted. What it wrote stays.\n"))
}

/// The bot that is meant, and its name.
fn bot(place: &dyn Place, body: &Body<'_>) -> Result<(UserId, String)> {
    let name = BOT.name.read(body)?;
    place.look(|read| {
        let bot_id = user(read, name)?;
        living(read, bot_id)?;
        Ok((bot_id, view::username(read, bot_id).to_string()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::ask;
    use crate::api::testing::Harness;
    use crate::api::testing::fixture::{Account, PASSWORD, login, register, text_at};
    use crate::config::{AuthenticationAccounts, Config};
    use crate::domain::housekeeping::sweep::Sweep;
    use crate::domain::{Change, Command, Output, Reply, Revocation};
    use crate::id::UserId;
    use crate::store::tables::{BOTS, TOKENS, USERS};

    const DAY_MS: u64 = 86_400_000;

    fn create(harness: &Harness, name: &str, owner: &str) -> Account {
        let said =
            ask(harness, &format!(r#"{{"do":"bot_create","name":"{name}","owner":"{owner}"}}"#)).unwrap();
        let token = said.lines().last().unwrap().to_string();
        let id = said.split(' ').nth(3).unwrap().parse().unwrap();
        Account { id, token }
    }

    fn me(harness: &Harness, token: &str) -> (u16, String) {
        harness.request("GET", "/users/@me", Some(token), None)
    }

    fn ended(harness: &Harness, user_id: u64) -> Vec<Revocation> {
        let outputs = std::mem::take(&mut *harness.outputs.borrow_mut());
        let changes = outputs.iter().filter_map(|output| match output {
            Output::Change(Change::TokenRevoked { user_id: whose, how, .. }) if whose.0 == user_id => {
                Some(*how)
            }
            _ => None,
        });
        changes.collect()
    }

    fn sweep(harness: &Harness) {
        let command = Command::new(UserId(0), Sweep { records_max: 3 }.into());
        while harness.apply(&command) != Ok(Reply::Count(0)) {}
    }

    #[test]
    fn a_bot_is_known_by_its_token_alone() {
        let harness = Harness::default();
        let ada = register(&harness, "ada");
        let bot = create(&harness, "rosie", "ADA");
        let (id, secret) = bot.token.strip_prefix("bot.").unwrap().split_once('.').unwrap();
        assert_eq!(secret.len(), 64);
        let (status, text) = me(&harness, &bot.token);
        assert_eq!((status, text_at(&text, &["id"])), (200, bot.id.to_string()));
        assert_eq!((text_at(&text, &["email"]), text_at(&text, &["badges"])), ("null".into(), "[]".into()));
        // Neither is one of the other kind.
        for wrong in [format!("{id}.{secret}"), format!("bot.{}", ada.token), format!("{}x", bot.token)] {
            assert_eq!(me(&harness, &wrong).0, 401, "{wrong}");
        }
        for (name, password) in [("rosie", PASSWORD), ("rosie", ""), ("rosie", "!")] {
            assert_eq!(login(&harness, name, password).0, 401);
        }
        // Years later too, also without having been used.
        harness.advance(10_000 * DAY_MS);
        assert_eq!(me(&harness, &bot.token).0, 200);
        assert_eq!(me(&harness, &ada.token).0, 401);
    }

    #[test]
    fn who_may_have_one_and_how_many() {
        let config = Config {
            authentication_accounts: AuthenticationAccounts {
                max_bots_per_user: 2,
                ..AuthenticationAccounts::default()
            },
            ..Config::default()
        };
        let harness = Harness::with_config(config);
        let ada = register(&harness, "ada");
        let refused = |name: &str, owner: &str, want: &str| {
            let error = ask(&harness, &format!(r#"{{"do":"bot_create","name":"{name}","owner":"{owner}"}}"#));
            let error = error.unwrap_err();
            assert!(error.contains(want), "{name} of {owner}: {error}");
        };
        refused("rosie", "nobody", "There is no account nobody");
        refused("ro sie", "ada", "only letters, digits and _");
        refused("bot", "ada", "this name is reserved");
        refused("ADA", "ada", "Username is already taken");
        create(&harness, "rosie", "ada");
        refused("second", "rosie", "A bot cannot have bots");
        create(&harness, "second", &ada.id.to_string());
        refused("third", "ada", "already has 2 bots");
        assert_eq!(
            ask(&harness, r#"{"do":"bot_delete","name":"rosie"}"#).unwrap(),
            "rosie is deleted. What it wrote stays.\n"
        );
        create(&harness, "third", "ada");
        let list = ask(&harness, r#"{"do":"bot_list","owner":"ada"}"#).unwrap();
        let names: Vec<&str> = list.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
        assert_eq!(names, ["NAME", "second", "third"]);
        register(&harness, "grace");
        assert_eq!(ask(&harness, r#"{"do":"bot_list","owner":"grace"}"#).unwrap(), "There are no bots.\n");
    }

    #[test]
    fn a_new_token_voids_the_one_before() {
        let harness = Harness::default();
        register(&harness, "ada");
        let bot = create(&harness, "rosie", "ada");
        ended(&harness, bot.id);
        let said = ask(&harness, r#"{"do":"bot_token","name":"rosie"}"#).unwrap();
        assert_eq!(ended(&harness, bot.id), [Revocation::Security]);
        assert_eq!(me(&harness, &bot.token).0, 401);
        assert_eq!(me(&harness, said.lines().last().unwrap()).0, 200);
        assert_eq!(harness.state.snapshot().read().len(TOKENS), 2);
        for (request, want) in [
            (r#"{"do":"bot_token","name":"ada"}"#, "This account is no bot"),
            (r#"{"do":"bot_delete","name":"ada"}"#, "This account is no bot"),
            (r#"{"do":"bot_delete","name":"nobody"}"#, "There is no account nobody"),
        ] {
            assert_eq!(ask(&harness, request).unwrap_err(), want);
        }
    }

    #[test]
    fn what_a_bot_was_goes_and_what_it_wrote_stays() {
        let harness = Harness::default();
        register(&harness, "ada");
        let bot = create(&harness, "rosie", "ada");
        ask(&harness, r#"{"do":"bot_delete","name":"rosie"}"#).unwrap();
        assert_eq!(ended(&harness, bot.id), [Revocation::Security]);
        assert_eq!(me(&harness, &bot.token).0, 401);
        assert_eq!(
            ask(&harness, r#"{"do":"bot_token","name":"rosie"}"#).unwrap_err(),
            "This bot has been deleted"
        );
        sweep(&harness);
        let snapshot = harness.state.snapshot();
        let user = snapshot.read().get(USERS, UserId(bot.id)).unwrap();
        assert!(user.username.starts_with("deleted_") && !user.is_bot());
        assert_eq!(snapshot.read().len(BOTS), 0);
        create(&harness, "rosie", "ada");
    }

    #[test]
    fn bots_rest_and_end_with_their_owner() {
        let harness = Harness::default();
        let ada = register(&harness, "ada");
        let bot = create(&harness, "rosie", "ada");
        ended(&harness, bot.id);
        let body = format!(r#"{{"password":"{PASSWORD}"}}"#);
        assert_eq!(harness.request("DELETE", "/users/@me", Some(&ada.token), Some(&body)).0, 200);
        assert_eq!(ended(&harness, bot.id), [Revocation::Security], "its connections end");
        let (status, text) = me(&harness, &bot.token);
        assert_eq!((status, text_at(&text, &["error", "reason"])), (403, "frozen".into()));
        assert!(ask(&harness, r#"{"do":"bot_list"}"#).unwrap().contains("rests with its owner"));
        let more = ask(&harness, r#"{"do":"bot_create","name":"second","owner":"ada"}"#).unwrap_err();
        assert_eq!(more, "Account is scheduled for deletion");
        harness.advance(31 * DAY_MS);
        sweep(&harness);
        assert_eq!(me(&harness, &bot.token).0, 401);
        let snapshot = harness.state.snapshot();
        assert!(snapshot.read().get(USERS, UserId(bot.id)).unwrap().username.starts_with("deleted_"));
        assert_eq!(snapshot.read().len(TOKENS) + snapshot.read().len(BOTS), 0);
    }

    #[test]
    fn a_bot_does_what_bots_may() {
        let harness = Harness::default();
        register(&harness, "ada");
        let bot = create(&harness, "rosie", "ada");
        let check = |method: &str, path: &str, body: Option<&str>, want: &str| {
            let (status, text) = harness.request(method, path, Some(&bot.token), body);
            let named = text_at(&text, &["error", "message"]);
            assert_eq!((status, named.rsplit(' ').next().unwrap()), (403, want), "{method} {path}: {text}");
        };
        check("POST", "/servers", Some(r#"{"name":"own"}"#), "servers.create");
        check("GET", "/users/@me/notes", None, "conversations.create");
        check("POST", "/users/@me/channels", Some("{}"), "conversations.create");
        check("PATCH", "/users/@me", Some(r#"{"username":"x"}"#), "account.edit_profile");
        check("DELETE", "/users/@me", Some(r#"{"password":"x"}"#), "account.delete");
        check("POST", "/auth/2fa/enable", Some(r#"{"password":"x"}"#), "account.edit_profile");
        check("POST", "/channels/7/invites", None, "conversations.invite");
        check("POST", "/auth/refresh", None, "this");
        assert_eq!(harness.request("POST", "/channels/invites/none", Some(&bot.token), None).0, 404);
    }

    #[test]
    fn the_token_of_a_bot_is_no_session() {
        let harness = Harness::default();
        register(&harness, "ada");
        let bot = create(&harness, "rosie", "ada");
        let ask = |method: &str, path: &str, body: Option<&str>| {
            ended(&harness, bot.id);
            let answer = harness.request(method, path, Some(&bot.token), body);
            (answer, ended(&harness, bot.id))
        };
        assert_eq!(ask("GET", "/auth/sessions", None).0, (200, "[]".into()));
        let own = bot.token.split('.').nth(1).unwrap();
        assert_eq!(ask("DELETE", &format!("/auth/sessions/{own}"), None).0.0, 404);
        let none = (200, r#"{"success":true,"revoked_count":0}"#.to_string());
        assert_eq!(ask("POST", "/auth/sessions/revoke-all", None), (none.clone(), vec![]));
        let all = Some(r#"{"except_current":false}"#);
        assert_eq!(ask("POST", "/auth/sessions/revoke-all", all), (none, vec![Revocation::LoggedOut]));
        let (answer, ended) = ask("POST", "/auth/logout", None);
        assert_eq!((answer.0, ended), (200, vec![Revocation::LoggedOut]));
        assert_eq!(me(&harness, &bot.token).0, 200, "its connections ended, and nothing else");
    }
}
