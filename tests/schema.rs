//! The OpenAPI document, judged by tools that know nothing of how it is made: `openapi-spec-validator` reads it, and
//! `schemathesis` calls every operation with what it allows and what it forbids, and compares the answers with it.
//!
//! Both come from PyPI (`pip install openapi-spec-validator schemathesis`); `.ci/run` installs them.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::{Server, User, json};

/// Set where the tools must be there.
const REQUIRED: &str = "PLEXICHAT_SCHEMA_TOOLS";

/// What ends the login that asks. They are called last, by somebody of their own.
const ENDS_LOGIN: &[&str] =
    &["logout", "refresh", "session_delete", "session_revoke_all", "me_edit", "me_delete"];

/// Paths with some half of the operations.
const HALF: &str = "^/api/v1/(auth|channels|servers|users)";

/// Not asked of it:
/// - that whatever the document allows is accepted: that a name is taken or a category is of another server is a 400
///   that no schema can tell;
/// - text that is normalised before it is measured may be longer than the document says, so texts are ASCII.
const CHOICES: &[&str] = &[
    "--phases=examples,coverage,fuzzing",
    "--max-examples=20",
    "--seed=1",
    "--generation-deterministic",
    "--generation-codec=ascii",
    "--exclude-checks=positive_data_acceptance",
    "--suppress-health-check=all",
    "--continue-on-failure",
    "--warnings=off",
    "--no-color",
];

fn run(program: &str, args: &[&str], folder: &Path) -> Option<Output> {
    match Command::new(program).args(args).current_dir(folder).output() {
        Ok(output) => Some(output),
        Err(error) => {
            // Where nobody reads what is printed, a test that does not run must not pass.
            assert!(std::env::var_os(REQUIRED).is_none(), "{program}: {error}");
            println!(
                "skipped: {program} is not there ({error}); pip install openapi-spec-validator schemathesis"
            );
            None
        }
    }
}

fn assert_success(output: &Output) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
}

#[test]
fn the_document_is_valid() {
    let folder = support::temporary_folder();
    let server = Server::start(&[]);
    let document = server.http().get("/openapi.json", None);
    std::fs::write(folder.path().join("openapi.json"), document.text()).unwrap();
    if let Some(output) = run("openapi-spec-validator", &["--schema", "3.1", "openapi.json"], folder.path()) {
        assert_success(&output);
    }
}

#[test]
fn every_operation_answers_as_the_document_says() {
    let folder = support::temporary_folder();
    let server = Server::start(&[]);
    let ada = server.register("ada");
    std::fs::write(folder.path().join("schemathesis.toml"), places(&server, &ada)).unwrap();
    let part = |choice: &str| {
        let excluded = ENDS_LOGIN.iter().map(|id| format!("--exclude-operation-id={id}"));
        excluded.chain([format!("--{choice}-path-regex={HALF}")]).collect::<Vec<_>>()
    };
    // Side by side, as what takes the time is one thread of Python each.
    std::thread::scope(|scope| {
        for choice in ["include", "exclude"] {
            let (server, ada, folder, part) = (&server, &ada, folder.path(), part(choice));
            scope.spawn(move || call_all(server, ada, &part, folder));
        }
        for id in ENDS_LOGIN {
            let somebody = server.register(&format!("calls_{id}"));
            call_all(&server, &somebody, &[format!("--include-operation-id={id}")], folder.path());
        }
    });
    assert_eq!(server.http().get("/health/live", None).status, 200);
}

/// Calls the operations that are chosen, if there is something to call them with.
fn call_all(server: &Server, user: &User, chosen: &[String], folder: &Path) {
    let base = format!("http://{}", server.address());
    let document = format!("{base}/openapi.json");
    let token = format!("Authorization: Bearer {}", user.token);
    let mut args =
        vec!["--config-file=schemathesis.toml", "run", &document, "--url", &base, "--header", &token];
    args.extend(CHOICES.iter().copied().chain(chosen.iter().map(String::as_str)));
    let Some(output) = run("schemathesis", &args, folder) else { return };
    assert_success(&output);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("generated"), "nothing was called:\n{text}");
}

/// Something real of each kind, so that calls reach more than a 404.
fn places(server: &Server, ada: &User) -> String {
    let mut http = server.http();
    let token = Some(ada.token.as_str());
    let place = http.post("/api/v1/servers", token, &json!({"name": "Engine"})).want(200);
    let server_id = place["id"].as_str().unwrap();
    let channels = http.get(&format!("/api/v1/servers/{server_id}/channels"), token).want(200);
    let channel_id = channels[0]["id"].as_str().unwrap();
    let messages = format!("/api/v1/channels/{channel_id}/messages");
    let message = http.post(&messages, token, &json!({"content": "Hello"})).want(200);
    let message_id = message["id"].as_str().unwrap();
    let bob = server.register("bob");
    format!(
        "[parameters]\n\
         \"path.server_id\" = \"{server_id}\"\n\
         \"path.channel_id\" = \"{channel_id}\"\n\
         \"path.message_id\" = \"{message_id}\"\n\
         \"path.user_id\" = \"{}\"\n\
         \n\
         # Its neighbour `…/settings/{{key}}` answers GET and DELETE of a setting with that key.\n\
         [[operations]]\n\
         include-path = \"/api/v1/users/@me/settings/bulk\"\n\
         checks.allow_header_conformance.enabled = false\n\
         \n\
         # Its neighbour `…/users/{{user_id}}` answers GET: `@me` is no id.\n\
         [[operations]]\n\
         include-path = \"/api/v1/avatars/users/@me\"\n\
         checks.unsupported_method.enabled = false\n\
\n\
         # What the others are tried on stays.\n\
         [[operations]]\n\
         include-method = \"DELETE\"\n\
         include-path-regex = \"/(servers/.server_id.|channels/.channel_id.|messages/.message_id.)$\"\n\
         parameters.\"path.server_id\" = \"1\"\n\
         parameters.\"path.channel_id\" = \"1\"\n\
         parameters.\"path.message_id\" = \"1\"\n",
        bob.id
    )
}
