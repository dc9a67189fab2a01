//! Who somebody is at a provider, in one form for all of them.
//!
//! Invariant: an address is in it when the provider says that it has confirmed it, and only then.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Provider;
use crate::effect::http::{Answered, ChosenBy};
use crate::limits::{EMAIL_LEN_MAX, SUBJECT_LEN_MAX};
use crate::store::records::provider;
use crate::wire::json::{Value, parse};

/// Bytes of a name that are looked at.
const NAME_LEN_MAX: usize = 256;
/// Bytes of what an ID token says.
const CLAIMS_LEN_MAX: usize = 16 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The provider's own id of him. That of a provider which the operator has chosen names it: numbers are given out
    /// anew by each GitLab, and another one must not speak for those whom the one before has known.
    pub subject: String,
    /// Confirmed by the provider.
    pub email: Option<String>,
    /// What he may want to be called.
    pub name: Option<String>,
}

/// What the answers of a provider say.
///
/// # Errors
/// When they do not say who it is.
pub(super) fn read(
    provider: &Provider,
    mut user: Answered,
    emails: Option<Answered>,
    id_token: Option<&str>,
) -> Result<Profile, String> {
    let user = parse(&mut user.body).map_err(|_| "it tells of somebody by no JSON")?;
    let text = |name: &str| user.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let id = user.get(if provider.code == provider::GOOGLE { "sub" } else { "id" });
    let subject = id.and_then(subject).ok_or("it tells of somebody without an id")?;
    let (email, names) = match provider.code {
        provider::GITHUB => (github_email(text("email"), emails)?, ["login", "name"]),
        provider::MICROSOFT => {
            let told = text("mail").or_else(|| text("userPrincipalName"));
            let confirmed = id_token.and_then(microsoft_email);
            let trusted = told.filter(|_| provider.trusts_email).map(str::to_owned);
            (confirmed.or(trusted), ["displayName", "userPrincipalName"])
        }
        provider::GITLAB => {
            let is_confirmed = text("confirmed_at").is_some();
            (text("email").filter(|_| is_confirmed).map(str::to_owned), ["username", "name"])
        }
        _ => {
            let is_confirmed = user.get("email_verified").is_some_and(is_yes);
            (text("email").filter(|_| is_confirmed).map(str::to_owned), ["name", "given_name"])
        }
    };
    let subject = match provider.user_info.chosen_by {
        ChosenBy::Others => subject,
        ChosenBy::Operator => format!("{subject}@{}", provider.user_info.authority()),
    };
    if subject.len() > SUBJECT_LEN_MAX {
        return Err("it tells of somebody by an id that is too long".into());
    }
    let name = names.into_iter().find_map(text).filter(|name| name.len() <= NAME_LEN_MAX);
    Ok(Profile {
        subject,
        email: email.filter(|email| email.len() <= EMAIL_LEN_MAX),
        name: name.map(str::to_owned),
    })
}

/// A number or a text.
fn subject(id: &Value<'_>) -> Option<String> {
    match id {
        Value::Int(number) => Some(number.to_string()),
        Value::Str(text) if !text.is_empty() && !text.contains(char::is_control) => Some((*text).to_owned()),
        _ => None,
    }
}

/// As some providers spell it.
fn is_yes(value: &Value<'_>) -> bool {
    matches!(value, Value::Bool(true) | Value::Str("true" | "1") | Value::Int(1))
}

/// GitHub lists the addresses of somebody and says of each whether it is confirmed. What is on his public page is one
/// of them, and GitHub lets nobody show one that is not: it counts where there is no list to say so.
fn github_email(public: Option<&str>, emails: Option<Answered>) -> Result<Option<String>, String> {
    let Some(mut emails) = emails else { return Ok(None) };
    let emails = parse(&mut emails.body).map_err(|_| "it tells of addresses by no JSON")?;
    let emails = emails.as_array().ok_or("it tells of addresses by no list")?;
    if emails.is_empty() {
        return Ok(public.map(str::to_owned));
    }
    let has = |email: &Value<'_>, name: &str| email.get(name).and_then(Value::as_bool) == Some(true);
    let primary = emails.iter().find(|email| has(email, "primary") && has(email, "verified"));
    Ok(primary.and_then(|email| email.get("email")?.as_str()).map(str::to_owned))
}

/// An address of Microsoft is what whoever runs a directory has typed, and anybody may run one: taken at its word, it
/// lets him in to the account of whoever has that address. Microsoft says that it is one of a domain which that
/// directory has shown to be its own, or that it was confirmed, by the claim `xms_edov` of the ID token, for
/// applications that ask for it. The token comes from Microsoft itself, by TLS: its signature need not be looked at
/// (OpenID Connect Core §3.1.3.7).
fn microsoft_email(id_token: &str) -> Option<String> {
    let claims = id_token.split('.').nth(1).filter(|claims| claims.len() <= CLAIMS_LEN_MAX)?;
    let mut claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims = parse(&mut claims).ok()?;
    let is_confirmed = claims.get("xms_edov").is_some_and(is_yes);
    claims.get("email").filter(|_| is_confirmed)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, OauthProvider};

    fn config() -> Config {
        let mut config = Config::default();
        let set_up = |section: &mut OauthProvider| {
            (section.client_id, section.client_secret) = ("id".into(), "secret".into());
        };
        set_up(&mut config.oauth_google);
        set_up(&mut config.oauth_github);
        set_up(&mut config.oauth_gitlab);
        set_up(&mut config.oauth_microsoft);
        config
    }

    fn told(
        config: &Config,
        code: u8,
        user: &str,
        emails: &str,
        id_token: Option<&str>,
    ) -> Result<Profile, String> {
        let provider = Provider::of(config, code).unwrap();
        let answered = |body: &str| Answered { status: 200, body: body.into() };
        let emails = provider.emails.is_some().then(|| answered(emails));
        read(&provider, answered(user), emails, id_token)
    }

    fn check(code: u8, user: &str, emails: &str, want: (&str, Option<&str>, Option<&str>)) {
        let got = told(&config(), code, user, emails, None).unwrap();
        assert_eq!((&*got.subject, got.email.as_deref(), got.name.as_deref()), want, "{user} {emails}");
    }

    #[test]
    fn google() {
        let user = |verified: &str| {
            format!(r#"{{"sub":"g-1","email":"a@x.example","email_verified":{verified},"name":"Ada L"}}"#)
        };
        for yes in ["true", "\"true\""] {
            check(provider::GOOGLE, &user(yes), "", ("g-1", Some("a@x.example"), Some("Ada L")));
        }
        for no in ["false", "null", "\"false\"", "\"\""] {
            check(provider::GOOGLE, &user(no), "", ("g-1", None, Some("Ada L")));
        }
        check(provider::GOOGLE, r#"{"sub":"g-1","email":"a@x.example"}"#, "", ("g-1", None, None));
    }

    #[test]
    fn github() {
        let user = r#"{"id":4711,"login":"ada-hub","email":"public@x.example","name":"Ada"}"#;
        let want = |email| ("4711", email, Some("ada-hub"));
        let email = |email: &str, primary: bool, verified: bool| {
            format!(r#"{{"email":"{email}","primary":{primary},"verified":{verified}}}"#)
        };
        let list =
            format!("[{},{}]", email("second@x.example", false, true), email("first@x.example", true, true));
        check(provider::GITHUB, user, &list, want(Some("first@x.example")));
        let list = format!(
            "[{},{}]",
            email("second@x.example", false, true),
            email("public@x.example", true, false)
        );
        check(provider::GITHUB, user, &list, want(None));
        check(provider::GITHUB, user, "[]", want(Some("public@x.example")));
        check(provider::GITHUB, r#"{"id":4711,"login":"ada-hub","email":null}"#, "[]", want(None));
        assert!(told(&config(), provider::GITHUB, user, r#"{"message":"x"}"#, None).is_err());
    }

    #[test]
    fn gitlab() {
        let user = |confirmed: &str| {
            format!(
                r#"{{"id":7,"username":"ada","name":"Ada L","email":"a@x.example","confirmed_at":{confirmed}}}"#
            )
        };
        check(provider::GITLAB, &user("\"2024-01-01\""), "", ("7", Some("a@x.example"), Some("ada")));
        check(provider::GITLAB, &user("null"), "", ("7", None, Some("ada")));
        let mut own = config();
        own.oauth_gitlab.user_info_url = "https://git.example:8443/api/v4/user".into();
        let got = told(&own, provider::GITLAB, &user("null"), "", None).unwrap();
        assert_eq!(got.subject, "7@git.example:8443", "the 7 of another GitLab is another one");
    }

    #[test]
    fn microsoft() {
        let user = r#"{"id":"6f","mail":"ceo@victim.example","userPrincipalName":"x@y.example","displayName":"Ada"}"#;
        let email = |config: &Config, claims: Option<&str>| {
            let token = claims.map(|claims| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims)));
            let got = told(config, provider::MICROSOFT, user, "", token.as_deref()).unwrap();
            assert_eq!((&*got.subject, got.name.as_deref()), ("6f", Some("Ada")));
            got.email
        };
        let plain = config();
        assert_eq!(email(&plain, None), None, "whoever runs a directory types what he likes");
        assert_eq!(email(&plain, Some(r#"{"email":"a@x.example"}"#)), None);
        assert_eq!(email(&plain, Some(r#"{"email":"a@x.example","xms_edov":false}"#)), None);
        for yes in ["true", "\"1\"", "1"] {
            let claims = format!(r#"{{"email":"a@x.example","xms_edov":{yes}}}"#);
            assert_eq!(email(&plain, Some(&claims)).as_deref(), Some("a@x.example"));
        }
        let mut trusting = config();
        trusting.oauth_microsoft.trust_email = true;
        assert_eq!(email(&trusting, None).as_deref(), Some("ceo@victim.example"));
    }

    #[test]
    fn nobody_is_somebody() {
        for user in [
            "{}",
            "[]",
            "<html>",
            r#"{"sub":""}"#,
            r#"{"sub":null}"#,
            r#"{"sub":{}}"#,
            r#"{"sub":true}"#,
            &format!(r#"{{"sub":"{}"}}"#, "x".repeat(256)),
        ] {
            assert!(told(&config(), provider::GOOGLE, user, "", None).is_err(), "{user}");
        }
    }
}
