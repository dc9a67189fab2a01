//! Rules of automod: list, make, change, delete; violations.
//!
//! What a rule looks for is compiled before it is stored, on the lane of automod: a rule that is there works.

use crate::api::body::Body;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{
    Chars, Flag, Id, Ids, Int, List, Map, Name, Needed, Or, Signed, Word, fields, object,
};
use crate::config::Config;
use crate::domain::moderation::rule::{
    self, AutomodRuleCreate, AutomodRuleDelete, AutomodRuleEdit, LooksFor, NewRule, check_manage, manageable,
};
use crate::domain::moderation::violation::{self, Page};
use crate::domain::{Error, Refusal, Result};
use crate::effect::automod::{Weigh, Weight};
use crate::id::{ChannelId, RoleId, RuleId, ServerId, UserId, ViolationId};
use crate::limits::{
    RULE_ACTION_COUNT_MAX, RULE_CONFIG_LEN_MAX, RULE_ID_COUNT_MAX, RULE_METADATA_LEN_MAX, RULE_NAME_LEN_MAX,
    RULE_REASON_LEN_MAX, TIMEOUT_SECONDS_MAX,
};
use crate::store::records::{AutomodAction, automod_action, automod_rule};
use crate::store::tables::AUTOMOD_RULES;
use crate::text;
use crate::wire::json::Value;

pub const PRIORITY_MAX: i64 = 1_000_000_000;

/// Characters of a name.
pub fn name_range(_: &Config) -> std::ops::RangeInclusive<usize> {
    1..=RULE_NAME_LEN_MAX
}

fields! {
    /// A new rule.
    pub AUTOMOD_RULE_CREATE: AutomodRuleCreateRequest {
        name: Needed<Name> = Needed(Name(Chars::Configured(name_range))),
        rule_type: Needed<Word> = Needed(Word(automod_rule::WORDS)),
        /// What it looks for; which keys there are depends on the type.
        config: Needed<Map> = Needed(Map("")),
        /// What is done about a text that hits it: at least one.
        actions: List = List(RULE_ACTION_COUNT_MAX, "object"),
        /// Whom it is for; empty: everybody.
        applied_roles: Ids = Ids(RULE_ID_COUNT_MAX),
        exempt_roles: Ids = Ids(RULE_ID_COUNT_MAX),
        exempt_channels: Ids = Ids(RULE_ID_COUNT_MAX),
        /// The greatest is looked at first; 0 unless given.
        priority: Signed = Signed(-PRIORITY_MAX..=PRIORITY_MAX),
        /// Whether rules after it are looked at although it was hit.
        check_all: Or<Flag, bool> = Or(Flag, false),
        enabled: Or<Flag, bool> = Or(Flag, true),
    }
}

fields! {
    /// What changes of a rule; the rest stays.
    pub AUTOMOD_RULE_EDIT: AutomodRuleUpdateRequest {
        name: Name = Name(Chars::Configured(name_range)),
        config: Map = Map(""),
        actions: List = List(RULE_ACTION_COUNT_MAX, "object"),
        applied_roles: Ids = Ids(RULE_ID_COUNT_MAX),
        exempt_roles: Ids = Ids(RULE_ID_COUNT_MAX),
        exempt_channels: Ids = Ids(RULE_ID_COUNT_MAX),
        priority: Signed = Signed(-PRIORITY_MAX..=PRIORITY_MAX),
        check_all: Flag = Flag,
        enabled: Flag = Flag,
    }
}

fields! {
    /// A page of violations.
    pub AUTOMOD_VIOLATIONS: AutomodViolationQuery {
        user_id: Id = Id,
        limit: Or<Int, u64> = Or(Int(1..=100), 50),
        /// A violation: only older ones.
        before: Id = Id,
    }
}

/// # Errors
/// 503 while automod is off.
fn require_on(ctx: &Ctx<'_>) -> Result<()> {
    match ctx.state.config.automod.enabled {
        true => Ok(()),
        false => Err(Error::new(503, "Automod is switched off here (automod.enabled)")),
    }
}

pub fn automod_rule_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    let snapshot = ctx.snapshot();
    check_manage(ctx.asking(&snapshot), server_id)?;
    require_on(ctx)?;
    ctx.json(|out| rule::write_list(out, snapshot.read(), server_id))
}

pub async fn automod_rule_create(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    check_manage(ctx.asking(&ctx.snapshot()), server_id)?;
    require_on(ctx)?;
    let (mut rule, config) = {
        let body = ctx.body()?;
        read_new(&body, &ctx.state.config)?
    };
    rule.looks_for = weigh(ctx, rule.kind, config).await?;
    let rule_id = ctx.decide(ctx.user_id(), AutomodRuleCreate { server_id, rule: Box::new(rule) }).await?;
    answer(ctx, server_id, rule_id)
}

pub async fn automod_rule_edit(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (server_id, rule_id) = (ctx.path_server()?, ctx.path_rule()?);
    let (kind, stored) = {
        let snapshot = ctx.snapshot();
        let rule = manageable(ctx.asking(&snapshot), server_id, rule_id)?;
        (rule.kind, rule.name.to_string())
    };
    require_on(ctx)?;
    let (mut op, config) = {
        let body = ctx.body()?;
        read_edit(&body, &ctx.state.config, &stored, (server_id, rule_id))?
    };
    if let Some(config) = config {
        op.looks_for = Some(Box::new(weigh(ctx, kind, config).await?));
    }
    ctx.decide(ctx.user_id(), op).await?;
    answer(ctx, server_id, rule_id)
}

/// A new rule, and what it looks for, which is still to be weighed.
///
/// # Errors
/// 400.
pub fn read_new(body: &Body<'_>, config: &Config) -> Result<(NewRule, String)> {
    let form = &AUTOMOD_RULE_CREATE;
    let name = form.name.read(body, config)?;
    let kind = automod_rule::code(form.rule_type.read(body)?).expect("each of these words is a type");
    let config = self::config(form.config.read(body)?)?;
    let actions = actions(form.actions.read(body)?)?;
    let rule = NewRule {
        name,
        kind,
        actions,
        applied_roles: ids(form.applied_roles.read(body)?.unwrap_or_default(), RoleId),
        exempt_roles: ids(form.exempt_roles.read(body)?.unwrap_or_default(), RoleId),
        exempt_channels: ids(form.exempt_channels.read(body)?.unwrap_or_default(), ChannelId),
        priority: form.priority.read(body)?.unwrap_or(0),
        check_all: form.check_all.read(body)?,
        enabled: form.enabled.read(body)?,
        ..NewRule::default()
    };
    Ok((rule, config))
}

/// What changes of a rule that is called `stored`; what it looks for is still to be weighed.
///
/// # Errors
/// 400.
pub fn read_edit(
    body: &Body<'_>,
    config: &Config,
    stored: &str,
    (server_id, rule_id): (ServerId, RuleId),
) -> Result<(AutomodRuleEdit, Option<String>)> {
    let form = &AUTOMOD_RULE_EDIT;
    let name = form.name.read(body, config, Some(stored))?;
    let config = form.config.read(body).map(|value| self::config(object("config", value)?)).transpose()?;
    let actions = match body.value(form.actions.name) {
        None => None,
        Some(_) => Some(actions(form.actions.read(body)?)?),
    };
    let op = AutomodRuleEdit {
        server_id,
        rule_id,
        name,
        looks_for: None,
        actions,
        applied_roles: form.applied_roles.read(body)?.map(|list| ids(list, RoleId)),
        exempt_roles: form.exempt_roles.read(body)?.map(|list| ids(list, RoleId)),
        exempt_channels: form.exempt_channels.read(body)?.map(|list| ids(list, ChannelId)),
        priority: form.priority.read(body)?,
        check_all: form.check_all.read(body)?,
        enabled: form.enabled.read(body)?,
    };
    Ok((op, config))
}

pub fn automod_rule_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (server_id, rule_id) = (ctx.path_server()?, ctx.path_rule()?);
    manageable(ctx.asking(&ctx.snapshot()), server_id, rule_id)?;
    require_on(ctx)?;
    ctx.submit_success(AutomodRuleDelete { server_id, rule_id })
}

pub fn automod_violation_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    let snapshot = ctx.snapshot();
    violation::check_list(ctx.asking(&snapshot), server_id)?;
    require_on(ctx)?;
    let page = Page {
        user_id: AUTOMOD_VIOLATIONS.user_id.query(ctx)?.map(UserId),
        before: AUTOMOD_VIOLATIONS.before.query(ctx)?.map(ViolationId),
        limit: AUTOMOD_VIOLATIONS.limit.query(ctx)? as usize,
    };
    ctx.json(|out| violation::write_list(out, snapshot.read(), server_id, page))
}

fn answer(ctx: &mut Ctx<'_>, server_id: ServerId, rule_id: RuleId) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let rule = snapshot.read().get(AUTOMOD_RULES, (server_id, rule_id)).ok_or(Refusal::RuleNotFound)?;
    ctx.json(|out| rule::AutomodRuleResponse::write(out, server_id, rule_id, rule))
}

// --------------------------------------------------------------------------------------------- body

fn ids<T>(ids: Vec<u64>, id: fn(u64) -> T) -> Vec<T> {
    ids.into_iter().map(id).collect()
}

/// As it was given, spelled our way.
fn config(value: &Value<'_>) -> Result<String> {
    let json = value.to_json();
    if json.len() > RULE_CONFIG_LEN_MAX {
        let problem = format_args!("must be at most {RULE_CONFIG_LEN_MAX} bytes of JSON, not {}", json.len());
        return Err(Error::invalid("config", problem));
    }
    Ok(json)
}

/// Has it read and compiled.
///
/// # Errors
/// 400 when it cannot be.
pub async fn weigh(ctx: &Ctx<'_>, kind: u8, config: String) -> Result<LooksFor> {
    let weighed = ctx.effect(Weigh { kind, config: config.clone() }).await?;
    let Weight { pattern_len, pattern_cost } =
        weighed.map_err(|problem| Error::invalid("config", problem))?;
    Ok(LooksFor { config, pattern_len, pattern_cost })
}

fn actions(items: &[Value<'_>]) -> Result<Vec<AutomodAction>> {
    if items.is_empty() {
        return Err(Error::invalid("actions", "at least one is needed"));
    }
    items.iter().map(action).collect()
}

fn action(item: &Value<'_>) -> Result<AutomodAction> {
    let wrong = |problem: String| Err(Error::invalid("actions", problem));
    let item = Body::of(object("actions", item)?);
    let word = item.opt_str("action_type", 0..=usize::MAX)?;
    let Some(kind) = word.and_then(automod_action::code) else {
        return wrong(format!("action_type must be one of {}", automod_action::WORDS.join(", ")));
    };
    let reason =
        item.opt_str("reason", 0..=RULE_REASON_LEN_MAX)?.map(|reason| text::prose(reason).into_owned());
    let metadata = match item.value("metadata") {
        None => "{}".to_string(),
        Some(value) => object("metadata", value)?.to_json(),
    };
    if metadata.len() > RULE_METADATA_LEN_MAX {
        return wrong(format!("metadata must be at most {RULE_METADATA_LEN_MAX} bytes of JSON"));
    }
    Ok(AutomodAction {
        kind,
        duration_seconds: item.opt_int("duration_seconds", 1..=TIMEOUT_SECONDS_MAX)?,
        reason: reason.filter(|reason| !reason.is_empty()),
        notify_user: item.opt_bool("notify_user")?.unwrap_or(true),
        metadata,
    })
}

#[cfg(test)]
mod tests {
    use crate::api::testing::START_MS;
    use crate::api::testing::server_world::{Person, World, server_id, text_of};
    use crate::config::{Automod, Config};
    use crate::store::tables::{AUTOMOD_RULES, AUTOMODS};

    fn two() -> (World, Person, Person, String) {
        let world = World::default();
        let (alice, bob) = (world.user(1, "alice"), world.user(2, "bob"));
        let (server, _) = world.server(&alice, &[&bob]);
        (world, alice, bob, format!("{server}/automod/rules"))
    }

    const RULE: &str = r#"{"name":"no","rule_type":"keyword","config":{"keywords":["badger"]},"actions":[{"action_type":"delete_message","config":{}}]}"#;

    fn with(fields: &str) -> String {
        format!("{},{fields}}}", RULE.strip_suffix('}').unwrap())
    }

    #[test]
    fn a_rule_is_answered_as_it_was_given() {
        let (world, alice, bob, path) = two();
        assert_eq!(world.ok(&alice, "GET", &path, ""), "[]");
        let answer = world.ok(&alice, "POST", &path, RULE);
        let (id, at) = (text_of(&answer, "id"), START_MS / 1_000);
        let want = format!(
            r#"{{"id":"{id}","server_id":"{}","name":"no","rule_type":"keyword","enabled":true,"config":{{"keywords":["badger"]}},"actions":[{{"action_type":"delete_message","duration_seconds":null,"reason":null,"notify_user":true,"metadata":{{}}}}],"applied_roles":[],"exempt_roles":[],"exempt_channels":[],"priority":0,"check_all":false,"created_at":{at},"updated_at":{at},"created_by":"1"}}"#,
            server_id(path.strip_suffix("/automod/rules").unwrap())
        );
        assert_eq!(answer, want);
        assert_eq!(world.ok(&alice, "GET", &path, ""), format!("[{want}]"));
        assert!(world.known().is_empty(), "nobody else is told");
        for request in [("GET", &path, ""), ("POST", &path, RULE)] {
            world.refused(&bob, (request.0, request.1, request.2), 403, "server.automod");
        }
        let gina = world.user(5, "gina");
        world.refused(&gina, ("GET", &path, ""), 403, "not a member");
        world.refused(&alice, ("GET", "/servers/77/automod/rules", ""), 404, "Server not found");
        let server = path.strip_suffix("/automod/rules").unwrap();
        world.role(&alice, server, r#"{"server.automod":true}"#, &[&bob]);
        let full = with(
            r#""applied_roles":["7",8,7],"exempt_roles":null,"exempt_channels":["9"],"priority":-3,"check_all":true,"enabled":false"#,
        );
        let answer = world.ok(&bob, "POST", &path, &full);
        let tail = r#""applied_roles":["7","8"],"exempt_roles":[],"exempt_channels":["9"],"priority":-3,"check_all":true"#;
        assert!(answer.contains(tail) && answer.contains(r#""enabled":false"#), "{answer}");
        assert!(answer.ends_with(r#""created_by":"2"}"#), "{answer}");
    }

    #[test]
    fn the_greatest_priority_is_first() {
        let (world, alice, _, path) = two();
        for priority in [0, 5, -1, 5] {
            world.ok(&alice, "POST", &path, &with(&format!(r#""priority":{priority}"#)));
        }
        let list = world.ok(&alice, "GET", &path, "");
        let parts = list.split("\"priority\":").skip(1).map(|rest| &rest[..rest.find(',').unwrap()]);
        assert_eq!(parts.collect::<Vec<_>>(), ["5", "5", "0", "-1"]);
    }

    #[test]
    fn bodies_are_checked() {
        let (world, alice, bob, path) = two();
        world.refused(&bob, ("POST", &path, "nonsense"), 403, "server.automod");
        let check = |from: &str, to: &str, text: &str| {
            assert!(RULE.contains(from), "{from}");
            world.refused(&alice, ("POST", &path, &RULE.replace(from, to)), 400, text);
        };
        check(r#""name":"no","#, "", "Invalid name: this field is required");
        check(r#""no""#, r#"" ""#, "Invalid name");
        check(r#""no""#, &format!("\"{}\"", "n".repeat(101)), "Invalid name");
        check(r#""keyword""#, r#""astrology""#, "Invalid rule_type: must be one of keyword, regex");
        check(r#"{"keywords":["badger"]}"#, "[]", "Invalid config: must be an object, not a list");
        check(r#"{"keywords":["badger"]}"#, "null", "Invalid config: this field is required");
        check(r#"["badger"]"#, "[]", "Invalid config: keywords must have at least one word");
        check(r#""keyword""#, r#""regex""#, "Invalid config: patterns must have at least one pattern");
        check(r#"[{"action_type":"delete_message","config":{}}]"#, "[]", "Invalid actions: at least one");
        check(
            r#"[{"action_type":"delete_message","config":{}}]"#,
            "[5]",
            "Invalid actions: must be an object",
        );
        check(
            r#""action_type":"delete_message""#,
            r#""type":"delete""#,
            "Invalid actions: action_type must be one of",
        );
        check(
            r#""config":{}}]"#,
            r#""duration_seconds":0}]"#,
            "Invalid duration_seconds: must be 1 to 2419200",
        );
        check(r#""config":{}}]"#, &format!(r#""reason":"{}"}}]"#, "r".repeat(513)), "Invalid reason");
        check(r#""config":{}}]"#, r#""metadata":[]}]"#, "Invalid metadata: must be an object");
        check(r#""config":{}}]"#, r#""notify_user":"yes"}]"#, "Invalid notify_user");
        for (field, text) in [
            (r#""priority":1.5"#, "Invalid priority"),
            (r#""priority":9000000000"#, "Invalid priority: must be -1000000000 to 1000000000"),
            (r#""check_all":1"#, "Invalid check_all"),
            (r#""applied_roles":"7""#, "Invalid applied_roles: must be a list"),
            (r#""exempt_channels":["x"]"#, "Invalid exempt_channels: each must be an ID"),
        ] {
            world.refused(&alice, ("POST", &path, &with(field)), 400, text);
        }
        let patterns = |pattern: &str| {
            RULE.replace("keyword\"", "regex\"")
                .replace(r#""keywords":["badger"]"#, &format!(r#""patterns":[{{"pattern":"{pattern}"}}]"#))
        };
        for (pattern, text) in [
            ("(a", "unclosed group"),
            ("(?=a)", "look-around"),
            ("(a{1,100}){1,100}", "10000 characters and classes"),
        ] {
            world.refused(&alice, ("POST", &path, &patterns(pattern)), 400, text);
        }
        assert_eq!(world.ok(&alice, "GET", &path, ""), "[]");
    }

    #[test]
    fn what_a_server_may_have_is_bounded() {
        let (world, alice, _, path) = two();
        let words: Vec<String> = (0..1_200).map(|n| format!("\"{n}{}\"", "w".repeat(90))).collect();
        let long = RULE.replace(r#""badger""#, &words.join(","));
        for _ in 0..9 {
            world.ok(&alice, "POST", &path, &long);
        }
        world.refused(&alice, ("POST", &path, &long), 400, "at most 1048576 bytes in all");
        let costly = RULE
            .replace("keyword\"", "regex\"")
            .replace(r#""keywords":["badger"]"#, r#""patterns":["a{450}"]"#);
        for _ in 0..4 {
            world.ok(&alice, "POST", &path, &costly);
        }
        world.refused(&alice, ("POST", &path, &costly), 400, "at most 2000 characters and classes");
        for _ in 0..200 - 13 {
            world.ok(&alice, "POST", &path, RULE);
        }
        world.refused(&alice, ("POST", &path, RULE), 400, "at most 200 rules");
    }

    #[test]
    fn changes_leave_the_rest() {
        let (world, alice, bob, path) = two();
        let made = world.ok(&alice, "POST", &path, RULE);
        let rule = format!("{path}/{}", text_of(&made, "id"));
        let version = || {
            let snapshot = world.harness.state.snapshot();
            snapshot.read().scan(AUTOMODS, ()).next().unwrap().1.version.to_native()
        };
        let first = version();
        world.harness.advance(2_000);
        assert_eq!(world.ok(&alice, "PATCH", &rule, r#"{"name":null,"enabled":true}"#), made);
        assert_eq!(version(), first, "nothing has changed");
        let edit = r#"{"name":"other","config":{"keywords":["fox"]},"actions":[{"action_type":"log_only"}],"priority":2,"check_all":true,"enabled":false,"exempt_roles":[4]}"#;
        let changed = world.ok(&alice, "PATCH", &rule, edit);
        for part in [
            r#""name":"other","rule_type":"keyword","enabled":false,"config":{"keywords":["fox"]}"#,
            r#""action_type":"log_only""#,
            r#""exempt_roles":["4"]"#,
            r#""priority":2,"check_all":true"#,
        ] {
            assert!(changed.contains(part), "{part}: {changed}");
        }
        assert!(changed.contains(&format!(r#""updated_at":{}"#, START_MS / 1_000 + 2)), "{changed}");
        assert!(version() > first);
        for (json, text) in [
            (r#"{"config":{"keywords":[]}}"#, "keywords must have at least one"),
            (r#"{"config":[]}"#, "Invalid config: must be an object"),
            (r#"{"actions":[]}"#, "at least one is needed"),
            (r#"{"name":""}"#, "Invalid name"),
        ] {
            world.refused(&alice, ("PATCH", &rule, json), 400, text);
        }
        world.refused(&bob, ("PATCH", &rule, "{}"), 403, "server.automod");
        world.refused(&bob, ("DELETE", &rule, ""), 403, "server.automod");
        world.refused(&alice, ("PATCH", &format!("{path}/77"), "nonsense"), 404, "Rule not found");
        world.refused(&alice, ("PATCH", &format!("{path}/r1"), "{}"), 400, "Invalid rule ID");
        assert_eq!(world.ok(&alice, "DELETE", &rule, ""), r#"{"success":true}"#);
        world.refused(&alice, ("DELETE", &rule, ""), 404, "Rule not found");
        let snapshot = world.harness.state.snapshot();
        assert_eq!(snapshot.read().len(AUTOMOD_RULES), 0);
        let (_, left) = snapshot.read().scan(AUTOMODS, ()).next().unwrap();
        assert_eq!((left.count.to_native(), left.active.to_native(), left.weight.len.to_native()), (0, 0, 0));
    }

    #[test]
    fn new_servers_have_rules_where_the_operator_wants_it() {
        let automod = Automod { default_rules: true, ..Automod::default() };
        let harness = crate::api::testing::Harness::with_config(Config { automod, ..Config::default() });
        let world = World { harness };
        let (alice, bob) = (world.user(1, "alice"), world.user(2, "bob"));
        let (server, channel) = world.server(&alice, &[&bob]);
        let list = world.ok(&alice, "GET", &format!("{server}/automod/rules"), "");
        for part in [r#""name":"Spam""#, r#""name":"Slurs""#, r#""name":"Insults""#, r#""created_by":"1""#] {
            assert!(list.contains(part), "{list}");
        }
        let path = format!("{channel}/messages");
        world.refused(&bob, ("POST", &path, r#"{"content":"you f4gg0t"}"#), 400, "MESSAGE_BLOCKED");
        world.ok(&bob, "POST", &path, r#"{"content":"you friend"}"#);
    }

    #[test]
    fn switched_off_there_are_no_rules() {
        let automod = Automod { enabled: false, ..Automod::default() };
        let harness = crate::api::testing::Harness::with_config(Config { automod, ..Config::default() });
        let world = World { harness };
        let alice = world.user(1, "alice");
        let (server, _) = world.server(&alice, &[]);
        let path = format!("{server}/automod/rules");
        for request in [("GET", path.as_str(), ""), ("POST", &path, RULE)] {
            world.refused(&alice, request, 503, "switched off");
        }
        world.refused(&alice, ("GET", &format!("{server}/automod/violations"), ""), 503, "switched off");
    }
}
