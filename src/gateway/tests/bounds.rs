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
    let peers: Vec<Peer> = (0..40).map(|index| bench.ready(index % 3).0).collect();
    peers.into_iter().for_each(|peer| bench.lose(peer));
    bench.wait(50_000);
    bench.flush(0);
    assert_eq!((bench.sessions(), bench.has_work()), (40, false));
    bench.now += 10_100;
    // A tick ends 20 sessions and places in servers; two of three users are in one.
    for left in [28, 16, 4] {
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
