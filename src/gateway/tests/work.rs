//! What the gateway counts of its own work and size.

use super::*;

#[test]
fn work_is_counted_until_it_is_taken() {
    let mut bench = Bench::new(|_| {});
    let (server_id, channel) = bench.server();
    let (ann, _) = bench.ready(0);
    let (bob, id) = bench.ready(1);
    let counted = std::mem::take(&mut bench.hubs[0].counters.work);
    assert_eq!((counted.opened, counted.closed, counted.identifies, counted.resumes), (2, 0, 2, 0));
    assert_eq!(counted.messages, 2);
    bench.post(channel, "one");
    bench.text(bob, "{\"op\":1}");
    bench.lose(bob);
    let bob = bench.open();
    bench.resume(bob, 1, &id, "1");
    assert_eq!((bench.hubs[0].session_count(), bench.hubs[0].detached_count()), (2, 0));
    let counted = std::mem::take(&mut bench.hubs[0].counters.work);
    assert_eq!((counted.opened, counted.closed, counted.identifies, counted.resumes), (1, 1, 0, 1));
    assert_eq!((counted.messages, counted.events), (2, 1));
    let largest = counted.largest;
    assert_eq!((largest.name, largest.server_id, largest.recipients), ("MESSAGE_CREATE", server_id.0, 2));
    assert_eq!(bench.hubs[0].counters.work.events, 0);
    // Ann has had it; what Bob has missed is a frame of a dispatch, RESUMED before it is none.
    assert_eq!(std::mem::take(&mut bench.hubs[0].counters.frame_count), 1);
    assert_eq!(bench.frames(bob).len(), 2);
    assert_eq!(bench.hubs[0].counters.frame_count, 1);
    bench.lose(ann);
    assert_eq!((bench.hubs[0].session_count(), bench.hubs[0].detached_count()), (2, 1));
}

#[test]
fn connections_closed_for_their_rate_are_counted() {
    let mut bench = Bench::new(|_| {});
    let (peer, _) = bench.ready(0);
    bench.lose(peer);
    bench.allowed = false;
    let peer = bench.open();
    let token = bench.users[0].2.clone();
    bench.text(peer, &format!("{{\"op\":2,\"d\":{{\"token\":\"{token}\"}}}}"));
    assert_eq!(bench.frames(peer), ["close 4008 Rate limited"]);
    assert_eq!(bench.hubs[0].counters.work.rate_limited, 1);
}

#[test]
fn an_event_without_a_recipient_is_no_work() {
    let mut bench = Bench::new(|_| {});
    let (_, channel) = bench.server();
    bench.post(channel, "nobody is here");
    assert_eq!(bench.hubs[0].counters.work.events, 0);
    assert_eq!(bench.hubs[0].counters.work.largest.name, "");
}

#[test]
fn state_grows_with_sessions_and_with_what_they_hold() {
    let mut bench = Bench::new(|config| config.websocket.max_connections_per_user = 0);
    let (_, channel) = bench.server();
    let empty = bench.hubs[0].state_len();
    (0..50).for_each(|_| drop(bench.ready(1)));
    // The second look sees the rest of the sessions.
    bench.hubs[0].state_len();
    let ready = bench.hubs[0].state_len();
    let each =
        size_of::<crate::gateway::session::Session>() + size_of::<crate::gateway::connection::Connection>();
    assert!(ready >= empty + 50 * each, "{empty} {ready}");
    let replay = bench.hubs[0].replay_len();
    (0..1_000).for_each(|_| bench.post(channel, "x"));
    let grown = (0..10).map(|_| bench.hubs[0].state_len()).last().unwrap();
    // A session keeps at least a byte per event; how many, the configuration bounds.
    let kept = crate::config::or_unlimited(bench.hubs[0].config.websocket.resume_buffer_events).min(1_000);
    assert!(grown >= ready + 50 * kept, "{ready} {grown} {kept}");
    assert!(bench.hubs[0].replay_len() > replay + 1_000 * 100);
}
