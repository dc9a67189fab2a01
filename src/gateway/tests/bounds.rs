//! What one tick may do: the rest waits for the next one, and the core does not sleep meanwhile.

use super::*;
use crate::gateway::input::MayRead;
use crate::gateway::protocol::Close;
use crate::limits::UNKNOWN_INPUT_CORE_LEN_MAX;

impl Bench {
    fn tick(&mut self) {
        self.with(0, |hub, cx| hub.tick(cx));
    }

    fn sessions(&self) -> usize {
        self.hubs[0].session_count()
    }

    fn has_work(&self) -> bool {
        self.hubs[0].has_work()
    }
}

#[test]
fn a_mass_disconnect_ends_over_several_ticks() {
    let mut bench = Bench::new(|config| config.websocket.max_connections_per_user = 0);
    bench.server();
    bench.register("dan");
    let peers: Vec<Peer> = (0..40).map(|index| bench.ready(index % 4).0).collect();
    peers.into_iter().for_each(|peer| bench.lose(peer));
    bench.wait(50_000);
    bench.flush(0);
    assert_eq!((bench.sessions(), bench.has_work()), (40, false));
    bench.now += 10_100;
    // A tick ends 20 sessions and places in servers; two of four users are in one.
    for left in [27, 14] {
        bench.tick();
        assert_eq!((bench.sessions(), bench.has_work()), (left, true));
    }
    bench.tick();
    assert_eq!((bench.sessions(), bench.has_work()), (0, false));
    assert_eq!(bench.hubs[0].residue(), 0);
}

#[test]
fn many_who_leave_are_told_over_several_ticks() {
    let mut bench = Bench::new(|_| ());
    let (_, channel) = bench.server();
    bench.join(channel, 2, false);
    let (watcher, _) = bench.ready_as(0, ",\"intents\":32767");
    let (cat, _) = bench.ready(2);
    for _ in 0..2 {
        let (bob, _) = bench.ready(1);
        bench.lose(bob);
    }
    bench.lose(cat);
    bench.frames(watcher);
    bench.now += 10_000;
    // Two looks a tick: at Bob for each time he left, then at Cat.
    bench.tick();
    assert!(bench.has_work());
    assert_eq!(bench.names(watcher), ["PRESENCE_UPDATE"]);
    assert!(bench.has_work());
    bench.tick();
    assert_eq!(bench.names(watcher), ["PRESENCE_UPDATE"]);
    assert!(!bench.has_work());
}

/// However many sessions a user has had, few wait for him, and those are the last ones.
#[test]
fn few_sessions_of_a_user_wait_for_resume() {
    let mut bench = Bench::new(|config| config.websocket.max_connections_per_user = 0);
    bench.server();
    let sessions: Vec<(Peer, String)> = (0..60).map(|_| bench.ready(1)).collect();
    // Every third stays.
    let lost: Vec<&(Peer, String)> =
        sessions.iter().enumerate().filter(|(n, _)| n % 3 != 0).map(|(_, s)| s).collect();
    lost.iter().for_each(|(peer, _)| bench.lose(*peer));
    assert_eq!((bench.sessions(), bench.hubs[0].detached_count()), (30, 10));
    let resumed = |bench: &mut Bench, id: &str| {
        let peer = bench.open();
        bench.resume(peer, 1, id, "1");
        let frames = bench.frames(peer);
        (frames[0].contains("RESUMED"), peer)
    };
    assert!(!resumed(&mut bench, &lost[29].1).0);
    for (_, id) in &lost[30..] {
        let (is_resumed, peer) = resumed(&mut bench, id);
        assert!(is_resumed);
        bench.lose(peer);
    }
    assert_eq!((bench.sessions(), bench.hubs[0].detached_count()), (30, 10));
    // Those with a connection are all still reached, and all end well.
    let user_id = bench.users[1].0;
    assert_eq!(bench.hubs[0].sessions.of_user(user_id).len(), 30);
    sessions.iter().step_by(3).for_each(|(peer, _)| bench.lose(*peer));
    assert_eq!((bench.sessions(), bench.hubs[0].detached_count()), (10, 10));
    bench.wait(61_000);
    assert_eq!((bench.sessions(), bench.hubs[0].residue()), (0, 0));
}

/// What one client asks for at once is done over several turns, in its order, and others are heard in each.
#[test]
fn messages_that_cost_much_are_handled_over_several_turns() {
    let mut bench = Bench::new(|config| config.websocket.max_connections_per_user = 0);
    let (_, channel) = bench.server();
    let watchers: Vec<Peer> = (0..50).map(|_| bench.ready(0).0).collect();
    let (typist, _) = bench.ready(1);
    let (other, _) = bench.ready(1);
    let typing = format!("{{\"op\":40,\"d\":{{\"channel_id\":\"{}\"}}}}", channel.0);
    let beat = masked(0x81, b"{\"op\":1}");
    let beaten = |bench: &mut Bench, peer| {
        let frames = bench.frames(peer).into_iter();
        frames.filter(|frame| frame == "{\"op\":11}").count()
    };
    bench.read_on(0);
    bench.arrives(typist, &masked(0x81, typing.as_bytes()).repeat(100));
    let (mut turns, mut heard) = (1, Vec::new());
    while bench.hubs[0].has_unread(typist.1) {
        assert!(bench.has_work());
        bench.arrives(other, &beat);
        bench.read_on(0);
        heard.push(beaten(&mut bench, other));
        turns += 1;
    }
    // 115 for each, of 375 a turn for one connection.
    assert_eq!(turns, 25);
    assert!(heard.iter().all(|count| *count == 1), "{heard:?}");
    let events = bench.hubs[0].sessions.iter().find(|(_, session)| session.connection == watchers[0].1);
    assert_eq!(events.map(|(_, session)| session.seq), Some(101));
    assert!(!bench.has_work());
}

/// What one connection costs in a turn, and what those cost that are behind.
#[test]
fn a_connection_has_a_part_of_a_turn_and_those_behind_a_half() {
    let mut bench = Bench::new(|_| {});
    let peers: Vec<Peer> = (0..40).map(|_| bench.open()).collect();
    let pings = masked(0x89, b"").repeat(400);
    bench.read_on(0);
    for peer in &peers {
        let before = bench.hubs[0].effort();
        bench.arrives(*peer, &pings);
        let spent = bench.hubs[0].effort() - before;
        // Six messages of 65.
        assert_eq!(spent, 390);
        assert_eq!(bench.hubs[0].may_read(peer.1, before), MayRead::Later);
    }
    let mut answered = 6 * 40;
    for _ in 0..100 {
        bench.read_on(0);
        let spent = bench.hubs[0].effort();
        assert_eq!(spent, 3_120);
        answered += 48;
        let pongs: usize = bench.flush(0).iter().map(|(_, bytes)| bytes.len() / 2).sum();
        assert_eq!(pongs, if answered == 288 { answered } else { 48 });
        // Who is not behind is heard.
        assert!(!bench.hubs[0].is_spent());
    }
}

/// Of a client that sends on after our close frame so much is read as was under way, and no more.
#[test]
fn little_is_read_of_who_was_sent_away() {
    for (pieces, frame) in [(false, masked(0x89, b"")), (true, masked(0x00, b"")), (true, vec![0x00])] {
        let mut bench = Bench::new(|config| config.websocket.rate_limit_per_minute = 120);
        let peer = bench.open();
        if pieces {
            bench.bytes(peer, &masked(0x01, b""));
        }
        let flood = frame.repeat((16 << 10) / frame.len());
        let reads = (0..100).take_while(|_| {
            let may_read = bench.hubs[0].may_read(peer.1, 0) != MayRead::Never;
            if may_read {
                bench.bytes(peer, &flood);
            }
            may_read
        });
        // The first one has its end.
        assert_eq!(reads.count(), 1 + (128 << 10) / flood.len() + 1, "{frame:?}");
        let messages = bench.hubs[0].counters.work.messages;
        bench.bytes(peer, &flood);
        assert_eq!(bench.hubs[0].counters.work.messages, messages);
        let frames = bench.frames(peer);
        assert!(frames.last().is_some_and(|last| last.starts_with("close ")), "{frames:?}");
        bench.wait(5_100);
        assert_eq!(bench.hubs[0].connection_count(), 0);
    }
}

#[test]
fn what_waits_of_a_connection_is_gone_when_it_is_closed() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.open();
    bench.read_on(0);
    bench.arrives(peer, &masked(0x89, b"x").repeat(1_000)[..6_000]);
    assert!(bench.hubs[0].has_unread(peer.1));
    bench.with(0, |hub, cx| hub.close(cx, peer.1, &Close::SERVER_SHUTDOWN));
    assert!(!bench.hubs[0].has_unread(peer.1));
    let answered = bench.frames(peer);
    assert!(answered.len() < 10 && answered.last().is_some_and(|last| last.starts_with("close 4017")));
    // The answer to our close frame is understood, whatever was cut off before it.
    bench.bytes(peer, &masked(0x88, &4_017u16.to_be_bytes()));
    assert!(bench.frames(peer).is_empty());
    assert_eq!(bench.half_closed, 1);
    bench.read_on(0);
    assert!(!bench.has_work());
}

/// Nobody knows who they are: what they hold together is bounded, and those with little stay.
#[test]
fn parts_of_messages_from_nobody_known_are_bounded_together() {
    let mut bench = Bench::new(|_| {});
    let message = masked(0x81, &[b'x'; 65_536]);
    let (known, _) = bench.ready(0);
    bench.bytes(known, &message[..60_000]);
    let small = bench.open();
    bench.bytes(small, &message[..100]);
    let peers: Vec<Peer> = (0..700).map(|_| bench.open()).collect();
    for peer in &peers {
        bench.bytes(*peer, &message[..60_000]);
    }
    bench.read_on(0);
    let held = |bench: &Bench| -> usize {
        let connections = bench.hubs[0].connections.iter();
        connections.map(|(_, connection)| connection.unknown_len()).sum()
    };
    let len = held(&bench);
    assert!((1..=UNKNOWN_INPUT_CORE_LEN_MAX).contains(&len), "{len}");
    let open = |bench: &Bench, peer: &Peer| !bench.hubs[0].connections[peer.1].state.is_closing();
    let left = peers.iter().filter(|peer| open(&bench, peer)).count();
    assert!((130..=280).contains(&left), "{left}");
    assert!(open(&bench, &small) && open(&bench, &known));
    // The rest of theirs makes a message.
    bench.bytes(known, &message[60_000..]);
    assert_eq!(bench.frames(known), [CLOSED_4002]);
    // Those who end give back what they had, also when they end by themselves.
    peers.into_iter().for_each(|peer| bench.lose(peer));
    assert!(held(&bench) < 1_000);
}
