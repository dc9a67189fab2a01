//! How addresses and times are spelled to clients is one choice of the whole process. It reaches what is told, never
//! what is stored: two processes that spell differently and apply the same commands have the same state.

#[path = "support/account.rs"]
mod account;

use plexichat::domain::chat::message::{MessageCreate, MessageEdit};
use plexichat::domain::chat::pin::MessagePin;
use plexichat::domain::community::ban::BanCreate;
use plexichat::domain::community::invite::{InviteCreate, InviteUse};
use plexichat::domain::community::server::{ServerCreate, ServerEdit};
use plexichat::domain::identity::account::ProfileEdit;
use plexichat::domain::{Command, Machine, Now, Op, Output, Reply, view};
use plexichat::id::{ChannelId, UserId};
use plexichat::store::tables::{SERVERS, TABLE_COUNT};
use plexichat::store::{Options, Store, Sync};
use plexichat::wire::json;

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

struct World {
    store: Store,
    told: Vec<String>,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_path_buf();
        let options = Options { path, map_size: 1 << 26, sync: Sync::Interval, readers_max: 8 };
        World { store: Store::open(&options).unwrap(), told: Vec::new(), _folder: folder }
    }

    fn apply(&mut self, actor: UserId, op: impl Into<Op>) -> Reply {
        let mut tx = self.store.begin().unwrap();
        let mut machine = Machine::begin(&mut tx, Now::at(1_767_225_600_123), 0);
        let reply = machine.apply(&Command::new(actor, op.into())).expect("a valid command");
        for output in machine.finish() {
            if let Output::Event(event) = output {
                self.told.push(String::from_utf8(event.payload.to_vec()).unwrap());
            }
        }
        tx.commit().unwrap();
        reply
    }

    fn register(&mut self, name: &str) -> UserId {
        let Reply::Account(user_id, _) = self.apply(UserId(0), account::register(name)) else {
            panic!("an account")
        };
        user_id
    }

    /// Something of most that tells times or addresses; what is stored and what was told.
    fn live(mut self) -> (Vec<Rows>, Vec<String>) {
        let (ada, bob) = (self.register("ada"), self.register("bob"));
        let create = ServerCreate { name: "Place".into(), description: None, server_count_max: 10 };
        let Reply::Server(server_id) = self.apply(ada, create) else { panic!("a server") };
        let channel_id = {
            let snapshot = self.store.snapshot();
            let server = snapshot.read().get(SERVERS, server_id).unwrap();
            ChannelId::from(server.default_channel_id.as_ref().unwrap())
        };
        let code = || "abcdef".to_string();
        self.apply(ada, InviteCreate { channel_id, code: code(), max_age: 60, max_uses: 0, temporary: true });
        self.apply(bob, InviteUse { code: code(), server_count_max: 10 });
        let create = MessageCreate {
            channel_id,
            content: "hi".into(),
            reply_to_id: None,
            embeds: String::new(),
            length_max: 100,
        };
        let Reply::Message(_, message_id) = self.apply(bob, create) else { panic!("a message") };
        self.apply(bob, MessageEdit { channel_id, message_id, content: "ho".into(), length_max: 100 });
        self.apply(ada, MessagePin { channel_id, message_id, pins_max: 50 });
        self.apply(bob, ProfileEdit { username: Some("rob".into()), ..ProfileEdit::default() });
        let (name, description) = (Some("Hall".into()), Some("of fame".into()));
        self.apply(ada, ServerEdit { server_id, name, description, default_channel_id: None });
        self.apply(ada, BanCreate { server_id, user_id: bob, reason: None, delete_message_days: 7 });
        let snapshot = self.store.snapshot();
        let row = |(key, value): (&[u8], &[u8])| (key.to_vec(), value.to_vec());
        let rows = (0..TABLE_COUNT).map(|index| snapshot.read().raw(index).map(row).collect());
        (rows.collect(), self.told)
    }
}

#[test]
fn what_is_stored_does_not_depend_on_how_it_is_spelled() {
    let (stored, told) = World::new().live();
    json::set_time_unit_ms(1);
    view::set_api_prefix("/elsewhere");
    let (stored_again, told_again) = World::new().live();
    assert!(stored == stored_again, "the same commands leave the same state");
    assert_eq!(told.len(), told_again.len());
    let differ = told.iter().zip(&told_again).filter(|(a, b)| a != b).count();
    assert!(differ >= 5, "times and addresses were told: {differ} of {}", told.len());
    assert!(told_again.iter().any(|payload| payload.contains("\"/elsewhere/avatars/users/")));
}
