//! RESUME, slow readers, endings, presence, member lists.

use super::*;

use crate::domain::community::channel::ChannelCreate;
use crate::domain::community::server::ServerEdit;
use crate::domain::permission::CHANNELS_VIEW;
use crate::store::records::{Override, channel_kind};
use crate::store::tables::OVERRIDES;

// ------------------------------------------------------------------------------------------ §4, RESUME

#[test]
fn resume_replays_what_was_missed() {
    let mut bench = Bench::new(|_| {});
    let (_, channel) = bench.server();
    let (peer, id) = bench.ready(1);
    bench.post(channel, "one");
    assert_eq!(bench.names(peer), ["MESSAGE_CREATE"]);
    bench.lose(peer);
    bench.post(channel, "two");
    let peer = bench.open();
    bench.resume(peer, 1, &id, "");
    let frames = bench.frames(peer);
    assert_eq!(frames[0], "{\"op\":0,\"t\":\"RESUMED\",\"s\":0,\"d\":{}}");
    assert!(frames[1].contains("\"s\":2,") && frames[1].contains("one"));
    assert!(frames[2].contains("\"s\":3,") && frames[2].contains("two"));
    // Of its own session, on the ready connection.
    bench.resume(peer, 1, &id, "2");
    let frames = bench.frames(peer);
    assert_eq!(frames[0], "{\"op\":0,\"t\":\"RESUMED\",\"s\":2,\"d\":{}}");
    assert!(frames.len() == 2 && frames[1].contains("\"s\":3,"));
    // Another session on a ready connection: refused, the live one goes on.
    bench.resume(peer, 1, &"0".repeat(32), "1");
    assert_eq!(bench.frames(peer), ["{\"op\":9,\"d\":false}"]);
    bench.post(channel, "three");
    assert!(bench.frames(peer)[0].contains("\"s\":4,"));
}

#[test]
fn resume_is_refused_in_order() {
    let mut bench = Bench::new(|_| {});
    let (first, id) = bench.ready(0);
    let peer = bench.open();
    let good = bench.users[0].2.clone();
    let refused = [
        format!("\"token\":\"{good}\",\"seq\":null"),
        format!("\"session_id\":\"{id}\""),
        format!("\"token\":5,\"session_id\":\"{id}\",\"seq\":1"),
        format!("\"token\":\"1.bad\",\"session_id\":\"{id}\",\"seq\":null"),
        format!("\"token\":\"{good}\",\"session_id\":\"{}\",\"seq\":true", "f".repeat(32)),
        format!("\"token\":\"{good}\",\"session_id\":\"{}\"", id.to_uppercase() + "x"),
        // The session of another user.
        format!("\"token\":\"{}\",\"session_id\":\"{id}\",\"seq\":null", bench.users[1].2.clone()),
    ];
    for d in refused {
        bench.text(peer, &format!("{{\"op\":6,\"d\":{{{d}}}}}"));
        assert_eq!(bench.frames(peer), ["{\"op\":9,\"d\":false}"], "{d}");
    }
    // The rightful owner's session is untouched by all that.
    bench.text(first, "{\"op\":1}");
    assert_eq!(bench.frames(first), ["{\"op\":11}"]);
    for seq in ["null", "true", "\"1\"", "1.5", "[]", "-1", "2", "99999999999"] {
        let mut bench = Bench::new(|_| {});
        let (first, id) = bench.ready(0);
        let peer = bench.open();
        bench.resume(peer, 0, &id, seq);
        assert_eq!(bench.frames(peer), ["close 4007 Invalid seq"], "{seq}");
        // The session is dropped, and the connection that still had it is closed.
        assert_eq!(bench.frames(first), [""; 0]);
        assert_eq!(bench.hubs[0].session_count(), 0);
        bench.text(first, "{\"op\":3,\"d\":{\"status\":\"idle\"}}");
        let peer = bench.open();
        bench.resume(peer, 0, &id, "1");
        assert_eq!(bench.frames(peer), ["{\"op\":9,\"d\":false}"]);
    }
}

#[test]
fn a_dropped_session_closes_the_connection_that_had_it() {
    let mut bench = Bench::new(|config| config.websocket.resume_buffer_events = 3);
    let (_, channel) = bench.server();
    let (first, id) = bench.ready(1);
    (0..10).for_each(|_| bench.post(channel, "x"));
    assert_eq!(bench.frames(first).len(), 10);
    let peer = bench.open();
    bench.resume(peer, 1, &id, "2");
    bench.text(first, "{\"op\":40,\"d\":{\"channel_id\":1}}");
    let mut sent = bench.flush(0);
    sent.sort();
    let sent: Vec<Vec<String>> = sent.iter().map(|(_, bytes)| shown(bytes)).collect();
    assert_eq!(sent, [["close 4009 Session resumed elsewhere"], ["{\"op\":9,\"d\":false}"]]);

    // On its own connection: op 9, and it may identify anew.
    let (peer, id) = bench.ready(1);
    (0..10).for_each(|_| bench.post(channel, "x"));
    bench.frames(peer);
    bench.resume(peer, 1, &id, "2");
    assert_eq!(bench.frames(peer), ["{\"op\":9,\"d\":false}"]);
    let token = bench.users[1].2.clone();
    bench.text(peer, &format!("{{\"op\":2,\"d\":{{\"token\":\"{token}\"}}}}"));
    let frames = bench.frames(peer);
    assert!(frames[0].contains("\"resume_gateway_url\":\"wss://h/gateway\""), "{frames:?}");
}

#[test]
fn taking_over() {
    let mut bench = Bench::new(|_| {});
    let (_, channel) = bench.server();
    let (first, id) = bench.ready(1);
    bench.post(channel, "one");
    let second = bench.open_on(0);
    bench.resume(second, 1, &id, "1");
    bench.post(channel, "two");
    let mut sent = bench.flush(0);
    sent.sort();
    let text = |bytes: &[u8]| shown(bytes).join(" ");
    // What was not sent yet goes to the new connection alone; the close overtakes it.
    assert_eq!(text(&sent[0].1), "close 4009 Session resumed elsewhere");
    assert_eq!(shown(&sent[1].1).len(), 4);
    bench.text(first, "{\"op\":1}");
    bench.lose(first);
    bench.post(channel, "three");
    assert!(bench.frames(second)[0].contains("\"s\":4,"));
    // Out of its window it is gone.
    bench.lose(second);
    bench.wait(60_500);
    assert_eq!((bench.hubs[0].session_count(), bench.hubs[0].residue()), (0, 0));
}

#[test]
fn a_connection_moves_to_the_core_of_its_session_with_all_it_has() {
    let mut bench = Bench::with_cores(2, |_| {});
    let (_, channel) = bench.server();
    let (first, id) = bench.ready(1);
    bench.lose(first);
    bench.post(channel, "one");
    let moved = bench.open_on(1);
    // Before HELLO has gone out, with half a heartbeat behind.
    let token = bench.users[1].2.clone();
    let text = format!("{{\"op\":6,\"d\":{{\"token\":\"{token}\",\"session_id\":\"{id}\",\"seq\":1}}}}");
    let beat = masked(0x81, b"{\"op\":1}");
    bench.bytes(moved, &[masked(0x89, b"p"), masked(0x81, text.as_bytes()), beat[..5].to_vec()].concat());
    assert_eq!(bench.flush(1), []);
    let peer = (0, ConnectionId(0));
    let frames = bench.frames(peer);
    assert_eq!(
        frames[..3],
        [
            "{\"op\":10,\"d\":{\"heartbeat_interval\":45000}}",
            "pong p",
            "{\"op\":0,\"t\":\"RESUMED\",\"s\":1,\"d\":{}}"
        ]
    );
    assert!(frames[3].contains("one"));
    bench.bytes(peer, &beat[5..]);
    assert_eq!(bench.frames(peer), ["{\"op\":11}"]);
    assert_eq!(bench.hubs[1].connection_count(), 0);
}

// --------------------------------------------------------------------------------------- §7, slow readers

#[test]
fn slow_consumers_are_closed_and_may_resume() {
    type Change = fn(&mut Config);
    let cases: [(Change, usize, usize); 2] = [
        (|config| config.websocket.send_queue_events = 20, 10, 22),
        (|config| config.websocket.send_queue_bytes = 20_000, 2_000, 14),
    ];
    for (change, len, count) in cases {
        let mut bench = Bench::new(change);
        let (_, channel) = bench.server();
        let (peer, id) = bench.ready(1);
        bench.room = Some(100);
        for _ in 0..count {
            bench.post(channel, &"x".repeat(len));
            assert_eq!(bench.flush(0).iter().filter(|(_, bytes)| bytes.len() > 100).count(), 0);
        }
        bench.flush(0);
        // It has some time to catch up.
        bench.wait(1_900);
        bench.post(channel, "x");
        bench.flush(0);
        assert_eq!(bench.hubs[0].counters.slow_consumer_count, 0, "{len}");
        bench.wait(200);
        bench.post(channel, "x");
        bench.flush(0);
        assert_eq!(bench.hubs[0].counters.slow_consumer_count, 1, "{len}");
        bench.room = None;
        bench.with(0, |hub, _| hub.writable(peer.1));
        let sent = bench.flush(0).into_iter().flat_map(|(_, bytes)| bytes);
        let sent: Vec<u8> = sent.collect();
        assert!(sent.ends_with(b"\x88\x0f\x0f\xa8Slow consumer"), "{len}");
        let again = bench.open();
        bench.resume(again, 1, &id, "1");
        assert_eq!(bench.frames(again).len(), 1 + count + 2, "{len}");
    }
}

/// A client that reads, but never catches up.
#[test]
fn a_client_that_stays_behind_is_closed() {
    let mut bench = Bench::new(|config| config.websocket.send_queue_bytes = 20_000);
    let (_, channel) = bench.server();
    let (peer, _) = bench.ready(1);
    bench.room = Some(0);
    // Much more than one send.
    (0..200).for_each(|_| bench.post(channel, &"x".repeat(5_000)));
    bench.flush(0);
    let mut seconds = 0;
    while bench.hubs[0].counters.slow_consumer_count == 0 {
        bench.wait(1_000);
        seconds += 1;
        bench.room = Some(2_000);
        bench.with(0, |hub, _| hub.writable(peer.1));
        bench.flush(0);
        bench.post(channel, "x");
        bench.flush(0);
        assert!(seconds < 60);
    }
    // Five after the first look.
    assert_eq!(seconds, 6);
}

/// Five hundred events at once, again and again: a client that reads them in time loses nothing.
#[test]
fn a_burst_closes_nobody_who_reads_it_in_time() {
    let mut bench = Bench::new(|config| config.websocket.send_queue_bytes = 100_000);
    let (_, channel) = bench.server();
    let (peer, _) = bench.ready(1);
    for _ in 0..10 {
        bench.room = Some(0);
        (0..600).for_each(|_| bench.post(channel, &"x".repeat(300)));
        bench.flush(0);
        // 100 KB a second.
        for _ in 0..4 {
            bench.wait(1_000);
            bench.room = Some(100_000);
            bench.with(0, |hub, _| hub.writable(peer.1));
            bench.flush(0);
            bench.post(channel, "x");
            bench.flush(0);
        }
        bench.room = None;
        bench.with(0, |hub, _| hub.writable(peer.1));
        bench.flush(0);
        bench.text(peer, "{\"op\":1}");
        bench.flush(0);
    }
    assert_eq!(bench.hubs[0].counters.slow_consumer_count, 0);
    let session = bench.hubs[0].sessions.iter().next().unwrap().1;
    assert_eq!((session.sent, session.seq), (6_041, 6_041));
}

#[test]
fn a_stalled_write_is_closed_and_a_replay_is_no_backlog() {
    let mut bench = Bench::new(|config| config.websocket.send_queue_events = 10);
    let (_, channel) = bench.server();
    let (peer, id) = bench.ready(1);
    bench.lose(peer);
    (0..100).for_each(|_| bench.post(channel, "x"));
    let peer = bench.open();
    bench.room = Some(300);
    bench.resume(peer, 1, &id, "1");
    bench.flush(0);
    // Ten live events behind the replay are within the bound, a hundred old ones do not count.
    (0..10).for_each(|_| bench.post(channel, "x"));
    bench.flush(0);
    assert_eq!(bench.hubs[0].counters.slow_consumer_count, 0);
    bench.wait(14_900);
    assert_eq!(bench.hubs[0].counters.slow_consumer_count, 0);
    bench.wait(200);
    assert_eq!(bench.hubs[0].counters.slow_consumer_count, 1);
    bench.flush(0);
    bench.wait(5_100);
    assert_eq!((bench.hubs[0].connection_count(), bench.hubs[0].session_count()), (0, 1));
}

#[test]
fn pings_of_a_client_that_never_reads_stay_bounded() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.open();
    bench.room = Some(0);
    let pings: Vec<u8> = (0..1_000).flat_map(|_| masked(0x89, &[b'x'; 125])).collect();
    for _ in 0..100 {
        bench.bytes(peer, &pings);
        bench.flush(0);
    }
    assert_eq!(bench.hubs[0].counters.slow_consumer_count, 1);
    let mut out = Vec::new();
    bench.hubs[0].fill(peer.1, &mut out, FILL_LEN_MAX);
    assert!(out.len() < 3 << 20 && out.ends_with(b"Slow consumer"), "{}", out.len());
}

// ----------------------------------------------------------------------------------------- endings

#[test]
fn revoked_tokens_end_their_sessions() {
    for (how, want) in [
        (Revocation::LoggedOut, &["close 4004 Logged out"][..]),
        (Revocation::Security, &["SECURITY_LOGOUT", "close 4004 Security logout"]),
        (Revocation::Suspended, &["SECURITY_LOGOUT", "close 4004 Account suspended"]),
    ] {
        let mut bench = Bench::new(|_| {});
        let (peer, id) = bench.ready(0);
        let (user_id, token_id, _) = bench.users[0].clone();
        bench.apply(user_id, TokenRevoke { token_id, how }.into());
        assert_eq!(bench.names(peer), want);
        let peer = bench.open();
        bench.resume(peer, 0, &id, "1");
        assert_eq!(bench.frames(peer), ["{\"op\":9,\"d\":false}"]);
        assert_eq!((bench.hubs[0].session_count(), bench.hubs[0].residue()), (0, 0));
    }
}

/// In one batch: the snapshot lacks the membership already when the session ends, the index still has it.
#[test]
fn a_session_that_ends_in_the_batch_that_ends_its_membership_leaves_nothing() {
    let mut bench = Bench::new(|_| {});
    let (server_id, channel_id) = bench.server();
    bench.ready(1);
    let (user_id, token_id, _) = bench.users[1].clone();
    let message = MessageCreate {
        channel_id,
        content: "x".into(),
        reply_to_id: None,
        embeds: String::new(),
        length_max: 10,
    };
    bench.apply_all(vec![
        Command::new(user_id, TokenRevoke { token_id, how: Revocation::LoggedOut }.into()),
        Command::new(bench.users[0].0, message.into()),
        Command::new(user_id, crate::domain::community::member::MemberLeave { server_id }.into()),
    ]);
    assert_eq!(bench.hubs[0].residue(), 0);
}

#[test]
fn the_oldest_of_too_many_connections_goes_for_good() {
    let mut bench = Bench::new(|config| config.websocket.max_connections_per_user = 2);
    let sessions: Vec<(Peer, String)> = (0..2).map(|_| bench.ready(0)).collect();
    let third = bench.open();
    let token = bench.users[0].2.clone();
    bench.text(third, &format!("{{\"op\":2,\"d\":{{\"token\":\"{token}\"}}}}"));
    let sent = bench.flush(0);
    let of = |peer: Peer| shown(&sent.iter().find(|(id, _)| *id == peer.1).unwrap().1);
    assert_eq!(of(sessions[0].0), ["close 4008 Too many connections"]);
    assert!(of(third)[0].contains("READY"));
    let again = bench.open();
    bench.resume(again, 0, &sessions[0].1, "1");
    assert_eq!(bench.frames(again), ["{\"op\":9,\"d\":false}"]);
}

#[test]
fn identify_and_resume_limits() {
    let mut bench = Bench::new(|_| {});
    bench.allowed = false;
    let token = bench.users[0].2.clone();
    for (text, want) in [
        (format!("{{\"op\":2,\"d\":{{\"token\":\"{token}\"}}}}"), "close 4008 Rate limited"),
        (format!("{{\"op\":6,\"d\":{{\"token\":\"{token}\"}}}}"), "close 4008 Rate limited"),
        ("{\"op\":2,\"d\":{\"token\":\"x\"}}".to_string(), "close 4004 Authentication failed"),
    ] {
        let peer = bench.open();
        bench.text(peer, &text);
        assert_eq!(bench.frames(peer), [want]);
    }
}

#[test]
fn shutdown_and_unknown_versions() {
    let mut bench = Bench::new(|_| {});
    let (ready, idle) = (bench.ready(0).0, bench.open());
    bench.hubs[0].announce_shutdown();
    bench.with(0, |hub, cx| hub.close_all(cx, &crate::gateway::protocol::Close::SERVER_SHUTDOWN));
    let sent = bench.flush(0);
    for peer in [ready, idle] {
        let frames = shown(&sent.iter().find(|(id, _)| *id == peer.1).unwrap().1);
        assert!(frames[0].contains("\"op\":12,\"d\":{\"state\":\"shutting_down\""), "{frames:?}");
        assert!(frames[0].contains("\"restart_at\":null,\"closing_in_seconds\":2.0"), "{frames:?}");
        assert_eq!(frames[1..], ["{\"op\":7,\"d\":null}", "close 4017 Server shutdown"]);
    }
    let ip = std::net::Ipv4Addr::LOCALHOST.into();
    let facts = Facts { host: "h".into(), secure: false, ip, version_unknown: true, is_counted: false };
    let id = bench.with(0, |hub, cx| hub.open(cx, 9, facts));
    assert_eq!(bench.frames((0, id)), ["close 4012 Invalid API version"]);
}

/// More than one tick tells: nobody is closed who was not told, nor who came later.
#[test]
fn those_who_have_to_go_are_told_before_they_are_closed() {
    let mut bench = Bench::new(|_| {});
    let peers: Vec<Peer> = (0..5).map(|_| bench.open()).collect();
    bench.with(0, |hub, cx| hub.everybody_logged_out(cx, crate::id::TokenId(u64::MAX)));
    let late = bench.open_on(0);
    let mut sent: Vec<Vec<String>> = vec![Vec::new(); 5];
    let mut told_at_once = 0;
    for step in 0..40 {
        for (id, bytes) in bench.flush(0) {
            let place = peers.iter().position(|peer| peer.1 == id);
            place.into_iter().for_each(|place| sent[place].extend(shown(&bytes)));
            assert!(place.is_some() || id != late.1 || !shown(&bytes).concat().contains("Security reset"));
        }
        if step == 0 {
            told_at_once = sent.iter().filter(|frames| !frames.is_empty()).count();
        }
        bench.wait(100);
    }
    assert_eq!(told_at_once, 2);
    for frames in sent {
        assert!(frames[0].contains("\"op\":12,\"d\":{\"state\":\"shutting_down\""), "{frames:?}");
        assert!(frames[0].ends_with("\"closing_in_seconds\":2.000}}"), "{frames:?}");
        assert_eq!(frames[1..], ["close 4004 Security reset"]);
    }
}

#[test]
fn a_counted_address_is_given_back_with_its_socket() {
    let mut bench = Bench::new(|_| {});
    for (address, is_counted) in [("192.0.2.1", true), ("2001:db8::1", true), ("192.0.2.1", false)] {
        let ip = address.parse().unwrap();
        let facts = Facts { host: "h".into(), secure: false, ip, version_unknown: false, is_counted };
        let id = bench.with(0, |hub, cx| hub.open(cx, 9, facts));
        bench.with(0, |hub, cx| hub.lost(cx, id));
        let actions = bench.hubs[0].take_actions();
        let [Action::Shut { fd: 9, counted, .. }] = actions[..] else { panic!("one socket is shut") };
        assert_eq!(counted, is_counted.then_some(ip));
    }
}

// ------------------------------------------------------------------------------------ presence, typing

#[test]
fn offline_as_stored_status_ends_with_the_next_first_session() {
    let mut bench = Bench::new(|_| {});
    let (peer, _) = bench.ready(0);
    bench.text(peer, "{\"op\":3,\"d\":{\"status\":\"offline\"}}");
    bench.flush(0);
    let command = bench.submitted.pop().unwrap();
    bench.apply(command.actor, command.op);
    // A second session changes nothing.
    let second = bench.open();
    let token = bench.users[0].2.clone();
    let identify = format!("{{\"op\":2,\"d\":{{\"token\":\"{token}\"}}}}");
    bench.text(second, &identify);
    assert!(bench.frames(second)[0].contains("\"presence\":{\"status\":\"offline\""));
    assert!(bench.submitted.is_empty());
    // Back within the grace, but first again.
    bench.lose(peer);
    bench.lose(second);
    let third = bench.open();
    bench.text(third, &identify);
    assert!(bench.frames(third)[0].contains("\"presence\":{\"status\":\"online\""));
    assert_eq!(bench.submitted.len(), 1);
}

#[test]
fn typing_stops_with_the_connection() {
    let mut bench = Bench::new(|_| {});
    let (_, channel) = bench.server();
    let ((ann, _), (bob, _)) = (bench.ready(0), bench.ready(1));
    bench.text(ann, &format!("{{\"op\":40,\"d\":{{\"channel_id\":{channel}}}}}"));
    bench.lose(ann);
    assert_eq!(bench.names(bob), ["TYPING_START", "TYPING_STOP"]);
    assert_eq!(bench.hubs[0].typing.len(), 0);
}

// ------------------------------------------------------------------------------------------- op 8

#[test]
fn member_lists() {
    let mut bench = Bench::new(|config| config.websocket.members_chunk_size = 2);
    let (server, channel) = bench.server();
    bench.join(channel, 2, false);
    let (ann, _) = bench.ready_as(0, ",\"intents\":2");
    let ids: Vec<UserId> = bench.users.iter().map(|user| user.0).collect();
    let mut ask = |d: &str| {
        bench.text(ann, &format!("{{\"op\":8,\"d\":{{\"guild_id\":\"{server}\"{d}}}}}"));
        bench.wait(1_000);
        let frames = bench.frames(ann);
        // Further chunks wait until the first has gone out.
        let more = (0..5).flat_map(|_| {
            bench.wait(100);
            bench.frames(ann)
        });
        frames.into_iter().chain(more).collect::<Vec<_>>()
    };
    let names = |text: &String| {
        text.split("\"username\":\"").skip(1).map(|rest| rest[..3].to_string()).collect::<Vec<_>>()
    };
    let all = ask("");
    assert_eq!(all.iter().map(names).collect::<Vec<_>>(), [vec!["ann", "bob"], vec!["cat"]]);
    assert!(all[0].contains("\"chunk_index\":0,\"chunk_count\":2,\"not_found\":[]}"), "{all:?}");
    assert!(all[1].contains("\"chunk_index\":1,\"chunk_count\":2"));
    assert!(
        all[0].contains("\"presence\":{\"status\":\"online\"}")
            && all[1].contains("{\"status\":\"offline\"}")
    );
    assert_eq!(ask(",\"query\":\"B\",\"nonce\":\"n1\"").iter().map(names).collect::<Vec<_>>(), [["bob"]]);
    let none = ask(",\"query\":\"zzz\",\"nonce\":\"n1\"");
    assert!(
        none[0].contains(
            "\"members\":[],\"chunk_index\":0,\"chunk_count\":1,\"not_found\":[],\"nonce\":\"n1\"}"
        ),
        "{none:?}"
    );
    assert_eq!(ask(",\"limit\":1,\"presences\":false").iter().map(names).collect::<Vec<_>>(), [["ann"]]);
    assert!(!ask(",\"limit\":0,\"presences\":false")[0].contains("presence"));
    let some =
        ask(&format!(",\"user_ids\":[\"{}\",{},5,\"x\"],\"nonce\":\"{}\"", ids[2], ids[0], "n".repeat(33)));
    assert_eq!(some.iter().map(names).collect::<Vec<_>>(), [["ann", "cat"]]);
    assert!(some[0].contains("\"not_found\":[\"5\"]}"), "{some:?}");
    for ignored in [",\"query\":5", ",\"user_ids\":\"x\"", ",\"limit\":\"x\""] {
        assert_eq!(ask(ignored).len(), 0, "{ignored}");
    }
    let many = vec!["1"; 101].join(",");
    assert_eq!(ask(&format!(",\"user_ids\":[{many}]")).len(), 0);
}

#[test]
fn member_lists_are_for_members_with_the_intent() {
    let mut bench = Bench::new(|_| {});
    let (server, _) = bench.server();
    let ask = format!("{{\"op\":8,\"d\":{{\"guild_id\":{server}}}}}");
    for (user, intents, want) in [(0, 65_535, 1), (0, 65_533, 0), (2, 65_535, 0)] {
        let (peer, _) = bench.ready_as(user, &format!(",\"intents\":{intents}"));
        bench.text(peer, &ask);
        bench.wait(500);
        assert_eq!(bench.names(peer).len(), want);
        bench.lose(peer);
    }
    // Too many unanswered requests, and none is left behind by a session that ends.
    let (peer, id) = bench.ready_as(0, ",\"intents\":2");
    for _ in 0..9 {
        bench.text(peer, &ask);
    }
    assert_eq!(bench.frames(peer), ["close 4008 Rate limited"]);
    assert!(!bench.hubs[0].has_work());
    // The answers come when it is back.
    let peer = bench.open();
    bench.resume(peer, 0, &id, "1");
    assert_eq!(bench.names(peer), ["RESUMED"]);
    assert!(bench.hubs[0].has_work());
    for _ in 0..8 {
        bench.wait(300);
        assert!(bench.names(peer).len() <= 3);
    }
    bench.lose(peer);
    bench.wait(61_000);
    assert_eq!(bench.hubs[0].residue(), 0);
}

#[test]
fn temporary_memberships_end_with_the_last_session() {
    let mut bench = Bench::new(|_| {});
    let (server_id, channel) = bench.server();
    bench.join(channel, 2, true);
    let ((first, _), (second, _)) = (bench.ready(2), bench.ready(2));
    bench.ready(1);
    bench.lose(first);
    bench.wait(61_000);
    bench.flush(0);
    assert!(bench.submitted.is_empty());
    bench.lose(second);
    bench.wait(61_000);
    bench.flush(0);
    let user_id = bench.users[2].0;
    let op = crate::domain::community::member::MemberExpire { server_id, user_id };
    assert_eq!(bench.submitted, [Command::new(UserId(0), op.into())]);
}

// ------------------------------------------------------------------------------------ portions of a flush

#[test]
fn a_wide_event_goes_out_in_portions_and_answers_go_first() {
    let mut bench = Bench::new(|_| {});
    let (_, channel) = bench.server();
    let peers: Vec<Peer> = (0..5).map(|_| bench.ready(1).0).collect();
    for &peer in &peers {
        bench.frames(peer);
    }
    bench.post(channel, "wide");
    // The last in the queue has asked something meanwhile: its answer does not wait for the others' dispatches.
    bench.text(peers[4], "{\"op\":1}");
    let portion = |bench: &mut Bench| {
        let mut ids = Vec::new();
        bench.with(0, |hub, cx| hub.take_dirty(cx, 2, &mut ids));
        for &id in &ids {
            let mut out = Vec::new();
            assert_eq!(bench.hubs[0].fill(id, &mut out, FILL_LEN_MAX), Filled::All);
            assert!(!out.is_empty(), "listed for nothing");
        }
        ids
    };
    let id = |index: usize| peers[index].1;
    assert_eq!(portion(&mut bench), [id(4), id(0), id(1)]);
    assert!(bench.hubs[0].has_work());
    assert_eq!(portion(&mut bench), [id(2), id(3)]);
    // Its dispatch went with the answer: nothing is left for it.
    assert_eq!(portion(&mut bench), []);
    assert!(!bench.hubs[0].has_work());
}

/// Events in a row to the same sessions are handed out together; what a client sees is as if each came alone.
#[test]
fn a_batch_arrives_in_its_order() {
    let mut bench = Bench::new(|_| {});
    let (server_id, channel) = bench.server();
    let op = ChannelCreate {
        server_id,
        name: "other".into(),
        kind: channel_kind::TEXT,
        topic: None,
        category_id: None,
        nsfw: false,
        slowmode_seconds: 0,
        read_receipts_enabled: false,
    };
    let Reply::Channel(other) = bench.apply(bench.users[0].0, op.into()) else { panic!("no channel") };
    // Not for Bob's eyes: an override (1) of a member.
    let mut tx = bench.store.begin().unwrap();
    let deny = Override { allow: 0, deny: CHANNELS_VIEW };
    tx.put(OVERRIDES, (other, 1, bench.users[1].0.0), &deny);
    tx.commit().unwrap();
    bench.snapshot = bench.store.snapshot();
    let (ann, _) = bench.ready(0);
    let (bob, session) = bench.ready(1);
    let post = |channel_id, content: &str| {
        let (content, embeds) = (content.to_string(), String::new());
        MessageCreate { channel_id, content, reply_to_id: None, embeds, length_max: 100 }.into()
    };
    let ops: Vec<Op> = vec![
        post(channel, "a1"),
        post(channel, "a2"),
        post(other, "b1"),
        post(channel, "a3"),
        ServerEdit { server_id, name: Some("new".into()), description: None, default_channel_id: None }
            .into(),
        post(channel, "a4"),
        post(channel, "a5"),
        post(channel, "a6"),
    ];
    let author = bench.users[0].0;
    bench.apply_all(ops.into_iter().map(|op| Command::new(author, op)).collect());
    let seen = |frames: Vec<String>| -> Vec<String> {
        let short = |text: String| {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            let content = value["d"]["content"].as_str().or(value["t"].as_str()).unwrap().to_string();
            format!("{} {content}", value["s"])
        };
        frames.into_iter().map(short).collect()
    };
    assert_eq!(bench.hubs[0].counters.work.events, 8);
    let sent = bench.flush(0);
    let of = |peer: Peer| -> Vec<u8> {
        sent.iter().filter(|(id, _)| *id == peer.1).flat_map(|(_, bytes)| bytes.clone()).collect()
    };
    let for_ann = ["2 a1", "3 a2", "4 b1", "5 a3", "6 GUILD_UPDATE", "7 a4", "8 a5", "9 a6"];
    let for_bob = ["2 a1", "3 a2", "4 a3", "5 GUILD_UPDATE", "6 a4", "7 a5", "8 a6"];
    assert_eq!(seen(shown(&of(ann))), for_ann);
    assert_eq!(seen(shown(&of(bob))), for_bob);
    bench.lose(bob);
    let bob = bench.open();
    bench.resume(bob, 1, &session, "3");
    // RESUMED comes first.
    assert_eq!(seen(bench.frames(bob))[1..], for_bob[2..]);
}

/// A token is as old as the steady clock says, for the count of attempts as well.
#[test]
fn a_resume_is_judged_by_the_steady_clock() {
    const HOUR_MS: u64 = 3_600_000;
    for (wall_ahead_ms, life_ms, want) in [
        // Still good, whatever the wall says: its attempt counts.
        (2 * HOUR_MS as i64, HOUR_MS, "close 4008 Rate limited"),
        // Over, though the wall has not noticed: no attempt.
        (-2 * HOUR_MS as i64, 20_000, r#"{"op":9,"d":false}"#),
    ] {
        let mut bench = Bench::new(|_| {});
        bench.register_for("dan", life_ms);
        let (peer, id) = bench.ready(3);
        bench.lose(peer);
        bench.wait(30_000);
        bench.wall_ahead_ms = wall_ahead_ms;
        bench.allowed = false;
        let peer = bench.open();
        bench.resume(peer, 3, &id, "1");
        assert_eq!(bench.frames(peer), [want], "{wall_ahead_ms}");
    }
}
