//! What one tick may do: the rest waits for the next one, and the core does not sleep meanwhile.

use super::*;

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
    let mut bench = Bench::new(|config| config.websocket_max_connections_per_user = 0);
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
    let mut bench = Bench::new(|config| config.websocket_max_connections_per_user = 0);
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
    assert_eq!(bench.hubs[0].slots_of(user_id).len(), 30);
    sessions.iter().step_by(3).for_each(|(peer, _)| bench.lose(*peer));
    assert_eq!((bench.sessions(), bench.hubs[0].detached_count()), (10, 10));
    bench.wait(61_000);
    assert_eq!((bench.sessions(), bench.hubs[0].residue()), (0, 0));
}

/// What one client asks for at once is done over several turns, in its order, and others are heard in each.
#[test]
fn messages_that_cost_much_are_handled_over_several_turns() {
    let mut bench = Bench::new(|config| config.websocket_max_connections_per_user = 0);
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
    // 115 for each, of 6,000 a turn. The two take turns.
    assert!((2..=4).contains(&turns), "{turns}");
    assert!(heard.windows(2).all(|two| two.iter().sum::<usize>() > 0), "{heard:?}");
    assert_eq!(heard.iter().sum::<usize>() + beaten(&mut bench, other), turns - 1);
    let events = bench.hubs[0].sessions.iter().find(|(_, session)| session.connection == watchers[0].1);
    assert_eq!(events.map(|(_, session)| session.seq), Some(101));
    assert!(!bench.has_work());
}
