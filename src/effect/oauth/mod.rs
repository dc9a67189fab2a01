//! Other providers that vouch for people: where they are, how they are asked, and who somebody is there.
//!
//! Owns: the way from the code that a provider has given to whom it means (RFC 6749 §4.1.3). Invariants: nothing of
//! what is exchanged is logged; a code, a token and a secret go to the provider they are of and to nobody else. Where
//! a provider is the operator says; those that this program knows are spoken to by TLS at public addresses alone.

mod profile;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

pub use profile::Profile;

use super::http::{self, Answered, Call, ChosenBy};
use super::lane::{Effect, Row};
use crate::config::{Config, OauthProvider};
use crate::limits::KIB;
use crate::store::records::provider;
use crate::wire::json::{Value, parse};

/// Bytes of an answer: the addresses of somebody who has very many.
const ANSWER_LEN_MAX: usize = 64 * KIB;
/// Bytes of the token under which a provider tells who somebody is. Those of Microsoft have some 3,000.
const TOKEN_LEN_MAX: usize = 8 * KIB;

/// A provider that is set up.
#[derive(Clone)]
pub struct Provider {
    /// A [`provider`] code.
    pub code: u8,
    client_id: String,
    client_secret: String,
    auth_url: String,
    token: Place,
    user_info: Place,
    /// Of GitHub, which tells the addresses of somebody apart.
    emails: Option<Place>,
    /// An address counts as confirmed although the provider does not say so.
    trusts_email: bool,
}

/// Where a provider answers.
#[derive(Clone)]
struct Place {
    url: String,
    chosen_by: ChosenBy,
}

impl Place {
    /// The operator has chosen what differs from what this program knows.
    fn new(url: &str, known: &str) -> Place {
        let chosen_by = if url == known { ChosenBy::Others } else { ChosenBy::Operator };
        Place { url: url.to_owned(), chosen_by }
    }

    /// Host and port.
    fn authority(&self) -> &str {
        let rest = self.url.split_once("://").map_or(&*self.url, |(_, rest)| rest);
        rest.split(['/', '?', '#']).next().unwrap_or(rest)
    }
}

/// Where providers are, as this program knows it.
static KNOWN: LazyLock<Config> = LazyLock::new(Config::default);

fn section(config: &Config, code: u8) -> Option<&OauthProvider> {
    match code {
        provider::GOOGLE => Some(&config.oauth_google),
        provider::GITHUB => Some(&config.oauth_github),
        provider::MICROSOFT => Some(&config.oauth_microsoft),
        provider::GITLAB => Some(&config.oauth_gitlab),
        _ => None,
    }
}

impl Provider {
    /// `None` when the operator has not set it up.
    pub fn of(config: &Config, code: u8) -> Option<Provider> {
        let (own, known) = (section(config, code)?, section(&KNOWN, code)?);
        let emails = Place::new(&own.emails_url, &known.emails_url);
        let found = Provider {
            code,
            client_id: own.client_id.clone(),
            client_secret: own.client_secret.clone(),
            auth_url: own.auth_url.clone(),
            token: Place::new(&own.token_url, &known.token_url),
            user_info: Place::new(&own.user_info_url, &known.user_info_url),
            emails: Some(emails).filter(|_| !known.emails_url.is_empty()),
            trusts_email: own.trust_email,
        };
        let places = [&found.auth_url, &found.token.url, &found.user_info.url];
        let parts = places.into_iter().chain([&found.client_id, &found.client_secret]);
        let is_set_up = parts.into_iter().all(|part| !part.is_empty());
        is_set_up.then_some(found)
    }

    /// What it is asked to tell.
    fn scope(&self) -> &'static str {
        match self.code {
            provider::GITHUB => "read:user user:email",
            provider::MICROSOFT => "openid email profile User.Read",
            provider::GITLAB => "read_user",
            _ => "openid email profile",
        }
    }

    /// Where somebody is sent to agree. `challenge`: the sum of the verifier (RFC 7636 §4.3).
    pub fn address(&self, redirect_uri: &str, state: &str, challenge: Option<&str>) -> String {
        let mut url = self.auth_url.clone();
        url.push(if url.contains('?') { '&' } else { '?' });
        let mut fields = vec![
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", redirect_uri),
            ("scope", self.scope()),
            ("state", state),
        ];
        if let Some(challenge) = challenge {
            fields.extend([("code_challenge", challenge), ("code_challenge_method", "S256")]);
        }
        url.push_str(&form(&fields));
        url
    }
}

/// A question to a provider: whom it means by a code.
pub struct Inquiry {
    pub provider: Provider,
    pub code: String,
    /// Where it has led back to.
    pub redirect_uri: String,
    pub verifier: Option<String>,
    /// For all of it.
    pub within: Duration,
}

/// Why a provider has not said who somebody is.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// It does not accept the code.
    Code,
    /// It does not accept this server: what it calls that.
    Us(String),
    /// It gives no answer, or none that can be used.
    Away(String),
}

impl Effect for Inquiry {
    type Answer = Result<Profile, Refused>;
    const LANE: &'static Row = &http::LANE;

    fn run(self) -> Self::Answer {
        let until = Instant::now() + self.within;
        let mut granted = self.grant(until)?;
        let granted = Granted::read(&mut granted)?;
        let user = get(&self.provider.user_info, &granted.token, until)?;
        let emails = match &self.provider.emails {
            Some(place) => Some(get(place, &granted.token, until)?),
            None => None,
        };
        profile::read(&self.provider, user, emails, granted.id_token.as_deref()).map_err(Refused::Away)
    }
}

impl Inquiry {
    /// Exchanges the code for a token.
    fn grant(&self, until: Instant) -> Result<Answered, Refused> {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", &*self.code),
            ("redirect_uri", &*self.redirect_uri),
            ("client_id", &*self.provider.client_id),
            ("client_secret", &*self.provider.client_secret),
        ];
        if let Some(verifier) = &self.verifier {
            fields.push(("code_verifier", verifier));
        }
        let body = Some(("application/x-www-form-urlencoded", form(&fields).into_bytes()));
        call(&self.provider.token, Vec::new(), body, until)
    }
}

/// What a code was exchanged for.
struct Granted {
    token: String,
    /// Of providers that speak OpenID Connect.
    id_token: Option<String>,
}

impl Granted {
    fn read(answered: &mut Answered) -> Result<Granted, Refused> {
        let status = answered.status;
        let Ok(answer) = parse(&mut answered.body) else {
            return Err(match status {
                400 | 401 | 403 => Refused::Code,
                _ => Refused::Away(format!("its token address answers with status {status} and no JSON")),
            });
        };
        if let Some(error) = answer.get("error") {
            return Err(refusal(status, error.as_str().unwrap_or_default()));
        }
        // It goes into a header.
        let is_token = |token: &&str| {
            (1..=TOKEN_LEN_MAX).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let token = answer.get("access_token").and_then(Value::as_str).filter(is_token);
        match token {
            Some(token) if status == 200 => Ok(Granted {
                token: token.to_owned(),
                id_token: answer.get("id_token").and_then(Value::as_str).map(str::to_owned),
            }),
            _ if matches!(status, 400 | 401 | 403) => Err(Refused::Code),
            _ => Err(Refused::Away(format!("its token address answers with status {status} and no token"))),
        }
    }
}

/// What an error of RFC 6749 §5.2, or one of GitHub's own, is for whoever signs in.
fn refusal(status: u16, error: &str) -> Refused {
    match error {
        "invalid_client"
        | "unauthorized_client"
        | "incorrect_client_credentials"
        | "unsupported_grant_type" => Refused::Us(error.to_owned()),
        "server_error" | "temporarily_unavailable" | "slow_down" => Refused::Away(error.to_owned()),
        _ if status >= 500 || status == 429 => Refused::Away(format!("it answers with status {status}")),
        _ => Refused::Code,
    }
}

/// Asks with a token.
fn get(place: &Place, token: &str, until: Instant) -> Result<Answered, Refused> {
    let answered = call(place, vec![("authorization", format!("Bearer {token}"))], None, until)?;
    if answered.status == 200 {
        return Ok(answered);
    }
    Err(Refused::Away(format!("{} answers with status {}", place.authority(), answered.status)))
}

fn call(
    place: &Place,
    mut headers: Vec<(&'static str, String)>,
    body: Option<(&'static str, Vec<u8>)>,
    until: Instant,
) -> Result<Answered, Refused> {
    let within = until.saturating_duration_since(Instant::now());
    if within.is_zero() {
        return Err(Refused::Away(http::Failure::Late.to_string()));
    }
    headers.push(("accept", "application/json".into()));
    let call = Call {
        url: place.url.clone(),
        chosen_by: place.chosen_by,
        headers,
        body,
        len_max: ANSWER_LEN_MAX,
        within,
    };
    call.run().map_err(|failure| Refused::Away(failure.to_string()))
}

/// Fields as a query or a form has them.
fn form(fields: &[(&str, &str)]) -> String {
    let pair =
        |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    fields.iter().map(pair).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let mut config = Config::default();
        config.oauth_google.client_id = "a client".into();
        config.oauth_google.client_secret = "s".into();
        config
    }

    #[test]
    fn a_provider_is_set_up_or_there_is_none() {
        for code in [provider::GITHUB, provider::MICROSOFT, provider::GITLAB, 0, 77] {
            assert!(Provider::of(&config(), code).is_none(), "{code}");
        }
        let without = |change: fn(&mut OauthProvider)| {
            let mut config = config();
            change(&mut config.oauth_google);
            Provider::of(&config, provider::GOOGLE).is_none()
        };
        assert!(!without(|_| ()));
        assert!(without(|google| google.client_secret.clear()));
        assert!(without(|google| google.client_id.clear()));
        assert!(without(|google| google.token_url.clear()));
    }

    #[test]
    fn what_the_operator_has_not_chosen_is_public() {
        let google = Provider::of(&config(), provider::GOOGLE).unwrap();
        assert_eq!(google.token.chosen_by, ChosenBy::Others);
        let mut own = config();
        own.oauth_google.token_url = "http://127.0.0.1:7/token".into();
        let own = Provider::of(&own, provider::GOOGLE).unwrap();
        assert_eq!((own.token.chosen_by, own.token.authority()), (ChosenBy::Operator, "127.0.0.1:7"));
        assert_eq!(own.user_info.chosen_by, ChosenBy::Others);
    }

    #[test]
    fn an_address_says_what_is_asked_for() {
        let google = Provider::of(&config(), provider::GOOGLE).unwrap();
        let url = google.address("http://localhost:5000/cb?a=b&c", "1.x", Some("sum"));
        let want = "https://accounts.google.com/o/oauth2/v2/auth?response_type=code&client_id=a%20client\
                    &redirect_uri=http%3A%2F%2Flocalhost%3A5000%2Fcb%3Fa%3Db%26c&scope=openid%20email%20profile\
                    &state=1%2Ex&code_challenge=sum&code_challenge_method=S256";
        assert_eq!(url, want);
        let other = Provider { auth_url: "https://x.example/auth?tenant=1".into(), ..google };
        let url = other.address("r", "s", None);
        assert!(url.starts_with("https://x.example/auth?tenant=1&response_type=code&"), "{url}");
        assert!(!url.contains("challenge"), "{url}");
    }

    #[test]
    fn refusals_are_told_apart() {
        let check = |status: u16, body: &str, want: Option<Refused>| {
            let mut answered = Answered { status, body: body.into() };
            match (Granted::read(&mut answered), want) {
                (Ok(granted), None) => assert_eq!(granted.token, "t", "{body}"),
                (Err(Refused::Away(_)), Some(Refused::Away(_))) => {}
                (got, want) => assert_eq!(got.err(), want, "{status} {body}"),
            }
        };
        let away = || Some(Refused::Away(String::new()));
        check(200, r#"{"access_token":"t","token_type":"bearer"}"#, None);
        check(400, r#"{"error":"invalid_grant"}"#, Some(Refused::Code));
        check(200, r#"{"error":"bad_verification_code"}"#, Some(Refused::Code));
        check(401, r#"{"error":"invalid_client"}"#, Some(Refused::Us("invalid_client".into())));
        let github = "incorrect_client_credentials";
        check(200, &format!(r#"{{"error":"{github}"}}"#), Some(Refused::Us(github.into())));
        check(400, "<html>", Some(Refused::Code));
        check(400, r#"{"access_token":"t"}"#, Some(Refused::Code));
        check(502, "<html>", away());
        check(503, r#"{"error":"x"}"#, away());
        check(200, r#"{"error":"temporarily_unavailable"}"#, away());
        check(302, "", away());
        check(200, r#"{"token":"t"}"#, away());
        check(200, r#"{"access_token":"a\r\nb: c"}"#, away());
        check(200, r#"{"access_token":""}"#, away());
    }
}
