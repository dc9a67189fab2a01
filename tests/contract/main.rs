//! The contract, checked on the real program over real sockets.

#[path = "../support/mod.rs"]
mod support;

use support::Server;

#[test]
fn smoke() {
    let server = Server::start(&[]);
    let user = server.register("ada");
    let me = server.http().get("/api/v1/users/@me", Some(&user.token)).want(200);
    assert_eq!(me["username"], "ada");
    let mut socket = server.gateway();
    assert_eq!(socket.identify(&user.token)["user"]["id"], *user.id);
    assert!(server.stop().success());
}
