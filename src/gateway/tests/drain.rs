//! Sending people away, and who is taken in meanwhile.

use super::*;
use crate::domain::event::{Change, Output};

const RECONNECT: [&str; 2] = [r#"{"op":7,"d":null}"#, "close 4000 Reconnect"];

impl Bench {
    fn hear(&mut self, change: Change) {
        let outputs = [Output::Change(change)];
        (0..self.hubs.len()).for_each(|core| self.with(core, |hub, cx| hub.apply(cx, &outputs)));
    }

    /// How many of them, all of one core, have heard that and nothing else.
    fn sent_away(&mut self, peers: &[Peer]) -> usize {
        let mut sent = Vec::new();
        (0..3).for_each(|_| sent.extend(self.flush(0)));
        let heard = |id| {
            let bytes = sent.iter().filter(|(to, _)| *to == id).flat_map(|(_, bytes)| bytes.iter().copied());
            shown(&bytes.collect::<Vec<u8>>())
        };
        peers.iter().filter(|(_, id)| heard(*id) == RECONNECT).count()
    }
}

#[test]
fn everybody_is_sent_away_over_the_time_that_is_given() {
    let mut bench = Bench::new(|_| {});
    let peers: Vec<Peer> = (0..10).map(|_| bench.open()).collect();
    bench.hear(Change::DrainBegun { spread_ms: 10_000 });
    bench.wait(100);
    assert_eq!(bench.sent_away(&peers), 1, "rounded down, so the first goes at once");
    bench.wait(4_900);
    assert_eq!(bench.sent_away(&peers), 4);
    bench.hear(Change::DrainOver);
    bench.wait(10_000);
    assert_eq!(bench.sent_away(&peers), 0, "the others stay");
    bench.hear(Change::DrainBegun { spread_ms: 0 });
    bench.wait(300);
    assert_eq!(bench.sent_away(&peers), 5, "two in each tick");
}

#[test]
fn nobody_begins_or_resumes_a_session_meanwhile_and_sessions_wait() {
    let mut bench = Bench::with_cores(2, |_| {});
    let (peer, id) = bench.ready(0);
    bench.hear(Change::DrainBegun { spread_ms: 60_000 });
    let late = bench.open();
    let token = bench.users[1].2.clone();
    bench.text(late, &format!("{{\"op\":2,\"d\":{{\"token\":\"{token}\"}}}}"));
    assert_eq!(bench.frames(late), RECONNECT);
    // On its own core, and by way of another.
    for core in 0..2 {
        let late = bench.open_on(core);
        bench.frames(late);
        bench.resume(late, 0, &id, "1");
        assert_eq!(bench.frames(late), RECONNECT);
    }
    assert_eq!(bench.hubs[0].detached_count(), 0, "it is still there");
    bench.wait(60_000);
    assert_eq!(bench.sent_away(&[peer]), 1);
    assert_eq!(bench.hubs[0].detached_count(), 1);
    bench.hear(Change::DrainOver);
    let back = bench.open();
    bench.resume(back, 0, &id, "1");
    assert!(bench.frames(back)[0].contains("RESUMED"));
}

#[test]
fn who_is_meant_is_sent_away_and_nobody_else() {
    let mut bench = Bench::new(|_| {});
    let (ann, token) = (bench.users[0].0, bench.users[0].1);
    let [one, two] = [bench.ready(0).0, bench.ready(0).0];
    let (other, _) = bench.ready(1);
    bench.hear(Change::Disconnected { user_id: ann, token_id: Some(TokenId(7)) });
    assert_eq!(bench.sent_away(&[one, two, other]), 0);
    bench.hear(Change::Disconnected { user_id: ann, token_id: Some(token) });
    assert_eq!(bench.sent_away(&[one, two, other]), 2);
    bench.hear(Change::Disconnected { user_id: bench.users[1].0, token_id: None });
    assert_eq!(bench.sent_away(&[one, two, other]), 1);
}
