//! What ends at a time of its own: tokens, and memberships that were to last as long as a session.

use super::*;
use crate::domain::community::member::MemberExpire;
use crate::domain::identity::token::TokenTouch;

#[test]
fn a_session_ends_when_its_token_does() {
    // Before the first look at the connection, and after some.
    for life_ms in [2_000, 19_900, 50_000, 200_000] {
        let mut bench = Bench::new(|config| config.websocket.ping_timeout_ms = 0);
        bench.register_for("dan", life_ms);
        let (peer, id) = bench.ready(3);
        let beat = |bench: &mut Bench, ms: u64| {
            bench.wait(ms);
            bench.text(peer, "{\"op\":1}");
            bench.frames(peer)
        };
        // Registered and identified in the same moment.
        (0..(life_ms - 1_000) / 40_000).for_each(|_| drop(beat(&mut bench, 40_000)));
        beat(&mut bench, (life_ms - 1_000) % 40_000);
        bench.wait(900);
        assert_eq!(bench.hubs[0].session_count(), 1, "{life_ms}");
        bench.wait(200);
        assert_eq!(bench.hubs[0].session_count(), 0, "{life_ms}");
        let frames = bench.frames(peer);
        assert_eq!(frames.last().map(String::as_str), Some("close 4004 Authentication failed"), "{life_ms}");
        let peer = bench.open();
        bench.resume(peer, 3, &id, "1");
        assert_eq!(bench.frames(peer), ["{\"op\":9,\"d\":false}"]);
    }
}

#[test]
fn a_resumed_session_and_one_whose_token_was_renewed_end_with_it_too() {
    let mut bench = Bench::new(|_| {});
    bench.register_for("dan", 10_000);
    let (peer, id) = bench.ready(3);
    bench.lose(peer);
    let peer = bench.open();
    bench.resume(peer, 3, &id, "1");
    bench.wait(5_000);
    let (user_id, token_id, _) = bench.users[3].clone();
    let op = TokenTouch { token_id, life_ms: 10_000, threshold_ms: 10_000 };
    bench.apply(user_id, op.into());
    bench.wait(9_900);
    assert_eq!(bench.hubs[0].session_count(), 1);
    bench.wait(300);
    assert_eq!(bench.hubs[0].session_count(), 0);
}

/// The server was down when the last session would have ended.
#[test]
fn temporary_memberships_end_after_a_start() {
    let mut bench = Bench::new(|_| {});
    let (server_id, channel) = bench.server();
    for user in 2..7 {
        bench.register(&format!("dan{user}"));
        bench.join(channel, user, user != 6);
    }
    // Nobody has had a session since the start; one comes back in time.
    bench.ready(3);
    bench.wait(100);
    // Somebody joins after the start, and has no session yet.
    bench.register("new");
    bench.join(channel, 7, true);
    bench.wait(60_800);
    bench.flush(0);
    assert!(bench.submitted.is_empty());
    bench.wait(1_000);
    bench.flush(0);
    let expire = |user: usize, bench: &Bench| {
        Command::new(UserId(0), MemberExpire { server_id, user_id: bench.users[user].0 }.into())
    };
    let want: Vec<Command> = [2, 4, 5].into_iter().map(|user| expire(user, &bench)).collect();
    assert_eq!(bench.submitted, want);
    for command in std::mem::take(&mut bench.submitted) {
        bench.apply_all(vec![command]);
    }
    bench.wait(1_000);
    bench.flush(0);
    assert!(bench.submitted.is_empty(), "{:?}", bench.submitted);
}
