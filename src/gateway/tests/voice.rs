//! Voice signalling on two cores: what those who see a channel are told, and when somebody is put out.

use super::*;
use crate::domain::community::channel::{ChannelCreate, ChannelDelete};
use crate::domain::community::member::MemberKick;
use crate::domain::community::role::RoleEdit;
use crate::domain::community::server::ServerDelete;
use crate::store::records::{Grant, channel_kind};

/// Ann's server with Bob in it, and channels of this kind.
fn channels<const N: usize>(bench: &mut Bench, kind: u8) -> (ServerId, [ChannelId; N]) {
    let (server_id, _) = bench.server();
    let ann = bench.users[0].0;
    let make = |n: usize| ChannelCreate {
        server_id,
        name: format!("v{n}"),
        kind,
        topic: None,
        category_id: None,
        nsfw: false,
        slowmode_seconds: 0,
        read_receipts_enabled: true,
    };
    let ids = std::array::from_fn(|n| {
        let Reply::Channel(id) = bench.apply(ann, make(n).into()) else { panic!("no channel") };
        id
    });
    (server_id, ids)
}

/// A session of a user on a core, with everything before it read.
fn ready_on(bench: &mut Bench, core: usize, user: usize) -> (Peer, String) {
    let peer = bench.open_on(core);
    let token = bench.users[user].2.clone();
    bench.text(peer, &format!(r#"{{"op":2,"d":{{"token":"{token}"}}}}"#));
    let frames = bench.frames(peer);
    let id = frames[1].split("\"session_id\":\"").nth(1).unwrap()[..32].to_string();
    (peer, id)
}

/// What of voice each connection was sent: who is where, with what is switched; `server` for the other event.
fn heard<const N: usize>(bench: &mut Bench, peers: [Peer; N]) -> [Vec<String>; N] {
    let mut bytes: [Vec<u8>; N] = std::array::from_fn(|_| Vec::new());
    for _ in 0..4 {
        for core in 0..bench.hubs.len() {
            for (id, some) in bench.flush(core) {
                if let Some(index) = peers.iter().position(|peer| *peer == (core, id)) {
                    bytes[index].extend(some);
                }
            }
        }
    }
    bytes.map(|bytes| shown(&bytes).iter().filter_map(|text| told(text)).collect())
}

fn told(text: &str) -> Option<String> {
    let value = |key: &str| {
        let rest = text.split(&format!("\"{key}\":")).nth(1).unwrap_or("-");
        rest.split([',', '}']).next().unwrap().trim_matches('"').to_string()
    };
    if text.contains("\"t\":\"VOICE_SERVER_UPDATE\"") {
        return Some(format!("server {}", value("channel_id")));
    }
    if !text.contains("\"t\":\"VOICE_STATE_UPDATE\"") {
        return None;
    }
    let flags = ["self_mute", "self_deaf", "self_video", "self_stream", "suppress"];
    let on: String =
        flags.into_iter().filter(|name| value(name) == "true").map(|name| format!(" {name}")).collect();
    Some(format!("{} in {}{on}", value("user_id"), value("channel_id")))
}

fn op(bench: &mut Bench, peer: Peer, code: u8, d: &str) {
    bench.text(peer, &format!(r#"{{"op":{code},"d":{d}}}"#));
}

fn join(bench: &mut Bench, peer: Peer, channel_id: ChannelId) {
    op(bench, peer, 20, &format!(r#"{{"channel_id":"{channel_id}"}}"#));
}

/// Takes `channels.view` from everybody but the owner, or gives it back.
fn hide(bench: &mut Bench, server_id: ServerId, names: &[&str]) {
    let everyone = bench.snapshot.read().get(SERVERS, server_id).unwrap().everyone_role_id.0.to_native();
    let grants = names.iter().map(|name| Grant { name: (*name).to_string(), allowed: true }).collect();
    let op = RoleEdit {
        server_id,
        role_id: crate::id::RoleId(everyone),
        name: None,
        color: None,
        permissions: Some(grants),
        hoist: None,
        mentionable: None,
        position: None,
    };
    bench.apply(bench.users[0].0, op.into());
}

const NONE: [&str; 0] = [];

#[test]
fn joining_moving_and_leaving_is_told_once() {
    let mut bench = Bench::with_cores(2, |_| {});
    let (_, [one, two]) = channels(&mut bench, channel_kind::VOICE);
    let (ann, _) = ready_on(&mut bench, 0, 0);
    let (bob, _) = ready_on(&mut bench, 1, 1);
    let (cat, _) = ready_on(&mut bench, 1, 2);
    let bob_id = bench.users[1].0;
    let peers = [ann, bob, cat];
    join(&mut bench, bob, one);
    let there = format!("{bob_id} in {one}");
    assert_eq!(heard(&mut bench, peers), [vec![there.clone()], vec![there, format!("server {one}")], vec![]]);
    // Again: where to connect, and nothing else.
    join(&mut bench, bob, one);
    assert_eq!(heard(&mut bench, peers), [vec![], vec![format!("server {one}")], vec![]]);
    op(&mut bench, bob, 4, &format!(r#"{{"channel_id":{},"self_deaf":true,"self_video":true}}"#, one.0));
    let deaf = format!("{bob_id} in {one} self_mute self_deaf self_video");
    assert_eq!(heard(&mut bench, peers), [vec![deaf.clone()], vec![deaf], vec![]]);
    // The same is no change.
    op(&mut bench, bob, 4, &format!(r#"{{"channel_id":"{one}","self_deaf":true,"self_video":true}}"#));
    assert_eq!(heard(&mut bench, peers), [NONE; 3]);
    join(&mut bench, bob, two);
    let moved = format!("{bob_id} in {two} self_mute self_deaf self_video");
    assert_eq!(heard(&mut bench, peers), [vec![moved.clone()], vec![moved, format!("server {two}")], vec![]]);
    // A leave of where he is no more is too late.
    op(&mut bench, bob, 21, &format!(r#"{{"channel_id":"{one}"}}"#));
    assert_eq!(heard(&mut bench, peers), [NONE; 3]);
    op(&mut bench, bob, 21, "{}");
    let left = format!("{bob_id} in null self_mute self_deaf self_video");
    assert_eq!(heard(&mut bench, peers), [vec![left.clone()], vec![left], vec![]]);
    op(&mut bench, bob, 4, &format!(r#"{{"channel_id":"{one}","self_mute":true}}"#));
    assert_eq!(heard(&mut bench, [bob])[0].len(), 2, "op 4 joins too");
    op(&mut bench, bob, 4, r#"{"channel_id":null}"#);
    assert_eq!(heard(&mut bench, [bob])[0], [format!("{bob_id} in null self_mute")]);
    assert!(bench.hubs.iter().all(|hub| hub.voice.len() == 0));
}

#[test]
fn who_comes_later_is_told_who_is_there() {
    let mut bench = Bench::with_cores(2, |_| {});
    let (server_id, [one, two]) = channels(&mut bench, channel_kind::VOICE);
    let (ann_id, bob_id) = (bench.users[0].0, bench.users[1].0);
    let (ann, _) = ready_on(&mut bench, 0, 0);
    let (bob, _) = ready_on(&mut bench, 1, 1);
    join(&mut bench, ann, one);
    join(&mut bench, bob, two);
    op(&mut bench, bob, 4, &format!(r#"{{"channel_id":"{two}","self_mute":true}}"#));
    heard(&mut bench, [ann, bob]);
    let there = [format!("{ann_id} in {one}"), format!("{bob_id} in {two} self_mute")];
    for core in [0, 1] {
        let later = bench.open_on(core);
        let token = bench.users[1].2.clone();
        bench.text(later, &format!(r#"{{"op":2,"d":{{"token":"{token}"}}}}"#));
        assert_eq!(heard(&mut bench, [later, ann, bob]), [there.to_vec(), vec![], vec![]]);
        // Who does not ask for it is not told.
        let without = bench.open_on(core);
        bench.text(without, &format!(r#"{{"op":2,"d":{{"token":"{token}","intents":1}}}}"#));
        assert_eq!(heard(&mut bench, [without]), [NONE; 1]);
    }
    // Who joins the server is told what he sees there, and a stranger nothing.
    let (cat, _) = ready_on(&mut bench, 1, 2);
    assert_eq!(heard(&mut bench, [cat]), [NONE; 1]);
    let first = bench.snapshot.read().get(SERVERS, server_id).unwrap();
    let first = first.default_channel_id.as_ref().map(ChannelId::from).unwrap();
    bench.join(first, 2, false);
    assert_eq!(heard(&mut bench, [cat]), [there.to_vec()]);
    // What nobody but its owner sees is not told.
    hide(&mut bench, server_id, &["voice.connect"]);
    heard(&mut bench, [ann, bob, cat]);
    let later = bench.open_on(0);
    let token = bench.users[2].2.clone();
    bench.text(later, &format!(r#"{{"op":2,"d":{{"token":"{token}"}}}}"#));
    assert_eq!(heard(&mut bench, [later]), [NONE; 1]);
    // Who has left is no longer told of.
    op(&mut bench, ann, 21, "{}");
    heard(&mut bench, [ann]);
    let later = bench.open_on(1);
    let token = bench.users[0].2.clone();
    bench.text(later, &format!(r#"{{"op":2,"d":{{"token":"{token}"}}}}"#));
    assert_eq!(heard(&mut bench, [later]), [NONE; 1]);
    assert!(bench.hubs.iter().all(|hub| hub.voice.len() == 0));
}

#[test]
fn many_are_put_out_in_pieces() {
    let mut bench = Bench::with_cores(2, |_| {});
    let (server_id, [one]) = channels(&mut bench, channel_kind::VOICE);
    let (ann, _) = ready_on(&mut bench, 0, 0);
    let first = bench.snapshot.read().get(SERVERS, server_id).unwrap();
    let first = first.default_channel_id.as_ref().map(ChannelId::from).unwrap();
    bench.join(first, 2, false);
    let others = [1, 2].map(|user| ready_on(&mut bench, 1, user).0);
    for peer in [ann, others[0], others[1]] {
        join(&mut bench, peer, one);
    }
    heard(&mut bench, [ann, others[0], others[1]]);
    // Three are looked at, two at once.
    hide(&mut bench, server_id, &["voice.connect", "voice.speak"]);
    assert!(bench.hubs[0].has_work());
    bench.wait(1);
    assert!(!bench.hubs[0].voice.has_work());
    let mut told = heard(&mut bench, [ann])[0].clone();
    told.sort_unstable();
    let left = |user: usize| format!("{} in null", bench.users[user].0);
    assert_eq!(told, [left(1), left(2)]);
}

#[test]
fn what_cannot_be_joined_is_not_answered() {
    let mut bench = Bench::with_cores(2, |config| config.voice.max_participants = 1);
    let (server_id, [one]) = channels(&mut bench, channel_kind::VOICE);
    let text = bench
        .snapshot
        .read()
        .get(SERVERS, server_id)
        .unwrap()
        .default_channel_id
        .as_ref()
        .map(ChannelId::from);
    let (ann, _) = ready_on(&mut bench, 0, 0);
    let (bob, _) = ready_on(&mut bench, 1, 1);
    let (cat, _) = ready_on(&mut bench, 1, 2);
    join(&mut bench, cat, one);
    join(&mut bench, bob, text.unwrap());
    join(&mut bench, bob, ChannelId(9));
    assert_eq!(heard(&mut bench, [ann, bob, cat]), [NONE; 3], "a stranger, a text channel, none at all");
    join(&mut bench, ann, one);
    heard(&mut bench, [ann, bob]);
    join(&mut bench, bob, one);
    assert_eq!(heard(&mut bench, [ann, bob]), [NONE; 2], "it is full");
    op(&mut bench, ann, 21, "{}");
    hide(&mut bench, server_id, &["channels.view"]);
    heard(&mut bench, [ann, bob]);
    join(&mut bench, bob, one);
    assert_eq!(heard(&mut bench, [ann, bob]), [NONE; 2], "without voice.connect");
    hide(&mut bench, server_id, &["channels.view", "voice.connect"]);
    join(&mut bench, bob, one);
    let bob_id = bench.users[1].0;
    assert_eq!(heard(&mut bench, [ann])[0], [format!("{bob_id} in {one} suppress")], "he may not be heard");
    for bad in ["{}", r#"{"channel_id":null}"#, r#"{"channel_id":"abc"}"#, r#"{"channel_id":[]}"#] {
        let (peer, _) = ready_on(&mut bench, 0, 0);
        op(&mut bench, peer, 20, bad);
        assert_eq!(bench.frames(peer), [CLOSED_4002], "{bad}");
    }
}

#[test]
fn who_may_not_be_there_any_more_is_put_out() {
    let mut bench = Bench::with_cores(2, |_| {});
    let (server_id, [one, two]) = channels(&mut bench, channel_kind::STAGE);
    let (ann_id, bob_id) = (bench.users[0].0, bench.users[1].0);
    let (ann, _) = ready_on(&mut bench, 0, 0);
    let (bob, _) = ready_on(&mut bench, 1, 1);
    let left = format!("{bob_id} in null");
    let enter = |bench: &mut Bench, channel_id| {
        join(bench, bob, channel_id);
        assert_eq!(heard(bench, [ann, bob])[0].len(), 1);
    };
    enter(&mut bench, one);
    bench.apply(ann_id, ChannelDelete { channel_id: one }.into());
    assert_eq!(heard(&mut bench, [ann, bob]), [[left.clone()], [left.clone()]]);
    enter(&mut bench, two);
    hide(&mut bench, server_id, &["voice.connect", "voice.speak"]);
    assert_eq!(
        heard(&mut bench, [ann, bob]),
        [[left.clone()], [left.clone()]],
        "he does not see it any more"
    );
    hide(&mut bench, server_id, &["channels.view", "voice.connect", "voice.speak"]);
    enter(&mut bench, two);
    hide(&mut bench, server_id, &["channels.view", "voice.connect"]);
    let silent = format!("{bob_id} in {two} suppress");
    assert_eq!(heard(&mut bench, [ann, bob]), [[silent.clone()], [silent]]);
    bench.apply(ann_id, MemberKick { server_id, user_id: bob_id }.into());
    let gone = format!("{bob_id} in null suppress");
    assert_eq!(heard(&mut bench, [ann, bob]), [vec![gone], vec![]], "the server is not his any more");
    assert!(bench.hubs.iter().all(|hub| hub.voice.len() == 0));
    let first = bench
        .snapshot
        .read()
        .get(SERVERS, server_id)
        .unwrap()
        .default_channel_id
        .as_ref()
        .map(ChannelId::from);
    let code = "again".to_string();
    let op = InviteCreate {
        channel_id: first.unwrap(),
        code: code.clone(),
        max_age: 0,
        max_uses: 0,
        temporary: false,
    };
    bench.apply(ann_id, op.into());
    bench.apply(bob_id, InviteUse { code, server_count_max: 9 }.into());
    enter(&mut bench, two);
    bench.apply(ann_id, ServerDelete { server_id }.into());
    assert_eq!(heard(&mut bench, [ann, bob]), [NONE; 2], "nothing of a server follows its end");
    assert!(bench.hubs.iter().all(|hub| hub.voice.len() == 0));
}

#[test]
fn a_call_ends_with_the_session_that_it_was_begun_with() {
    let mut bench = Bench::with_cores(2, |_| {});
    let (_, [one]) = channels(&mut bench, channel_kind::VOICE);
    let bob_id = bench.users[1].0;
    let (ann, _) = ready_on(&mut bench, 0, 0);
    let (bob, id) = ready_on(&mut bench, 1, 1);
    join(&mut bench, bob, one);
    heard(&mut bench, [ann, bob]);
    // Back in time: nobody notices.
    bench.lose(bob);
    heard(&mut bench, [ann]);
    bench.wait(9_000);
    let again = bench.open_on(1);
    bench.resume(again, 1, &id, "");
    heard(&mut bench, [again]);
    bench.wait(5_000);
    assert_eq!(heard(&mut bench, [ann]), [NONE; 1]);
    // Too late.
    bench.lose(again);
    heard(&mut bench, [ann]);
    bench.wait(9_900);
    assert_eq!(heard(&mut bench, [ann]), [NONE; 1]);
    bench.wait(200);
    let left = format!("{bob_id} in null");
    assert_eq!(heard(&mut bench, [ann]), [[left.clone()]]);
    // Of two sessions the one that joined last counts.
    let (first, _) = ready_on(&mut bench, 1, 1);
    let (second, _) = ready_on(&mut bench, 0, 1);
    join(&mut bench, first, one);
    heard(&mut bench, [ann, first, second]);
    join(&mut bench, second, one);
    let server = format!("server {one}");
    assert_eq!(heard(&mut bench, [ann, first, second]), [vec![], vec![], vec![server]]);
    bench.lose(first);
    heard(&mut bench, [ann]);
    bench.wait(11_000);
    assert_eq!(heard(&mut bench, [ann]), [NONE; 1]);
    // A login that is revoked ends it at once.
    let token_id = bench.users[1].1;
    bench.apply(bob_id, TokenRevoke { token_id, how: Revocation::Security }.into());
    assert_eq!(heard(&mut bench, [ann]), [[left]]);
    bench.wait(61_000);
    heard(&mut bench, [ann]);
    assert!(bench.hubs.iter().all(|hub| hub.voice.len() == 0));
}

#[test]
fn what_needs_a_media_server_is_told_that_there_is_none() {
    let mut bench = Bench::with_cores(2, |_| {});
    let (_, [one]) = channels(&mut bench, channel_kind::VOICE);
    let (bob, _) = ready_on(&mut bench, 1, 1);
    let answer = |bench: &mut Bench, d: &str| {
        op(bench, bob, 22, d);
        let frames = bench.frames(bob);
        let text = frames.first().expect("an answer");
        assert!(text.starts_with(r#"{"op":23,"d":{"type":"error","code":""#), "{text}");
        text.split('"').nth(11).unwrap().to_string()
    };
    let offer = |sdp: &str| format!(r#"{{"channel_id":"{one}","sdp":"{sdp}"}}"#);
    assert_eq!(answer(&mut bench, &offer("v=0")), "NOT_CONNECTED");
    join(&mut bench, bob, one);
    heard(&mut bench, [bob]);
    assert_eq!(answer(&mut bench, &offer("v=0")), "NO_MEDIA_SERVER");
    assert_eq!(answer(&mut bench, &offer("hello")), "BAD_SDP");
    assert_eq!(answer(&mut bench, r#"{"channel_id":"7","sdp":"v=0"}"#), "NOT_CONNECTED");
    op(&mut bench, bob, 24, r#"{"channel_id":"7","candidate":""}"#);
    op(&mut bench, bob, 25, r#"{"speaking":true}"#);
    op(&mut bench, bob, 26, "null");
    assert_eq!(bench.frames(bob), NONE);
    op(&mut bench, bob, 24, r#"{"channel_id":"7"}"#);
    assert_eq!(bench.frames(bob), [CLOSED_4002]);
}
