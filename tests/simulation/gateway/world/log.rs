//! Commands, as the log takes them and as the world thinks of them.

use super::*;

impl World {
    /// One command as a batch of its own, at once.
    pub(super) fn apply(&mut self, actor: UserId, op: Op) -> Result<Reply> {
        self.commit(&[Command::new(actor, op)]).pop().unwrap()
    }

    pub(super) fn commit(&mut self, commands: &[Command]) -> Vec<Result<Reply>> {
        let store = self.store.clone();
        let mut tx = store.begin().unwrap();
        let mut machine = Machine::begin(&mut tx, Now::at(START_MS + self.now), 0);
        let replies = commands.iter().map(|command| machine.apply(command)).collect();
        let outputs = machine.finish();
        tx.commit().unwrap();
        self.hand_out(outputs);
        replies
    }

    pub(super) fn hand_out(&mut self, outputs: Vec<Output>) {
        let outputs = Arc::new(outputs);
        for core in &mut self.cores {
            core.deliveries.push_back((outputs.clone(), self.store.snapshot()));
        }
    }

    /// Takes commands as the log does: isolated ones alone. One change of a membership per batch keeps the model
    /// simple; `member_added_and_removed_in_one_batch` has the rest.
    pub(super) fn take_batch(&mut self) {
        let mut batch = Vec::new();
        let count_max = self.rng.usize(1..6);
        while let Some(next) = self.queue.front() {
            let moves = |op: &Op| {
                matches!(
                    op,
                    Op::Community(community::Op::MemberLeave(_))
                        | Op::Community(community::Op::MemberKick(_))
                        | Op::Community(community::Op::InviteUse(_))
                        | Op::Community(community::Op::MemberExpire(_))
                )
            };
            let full = batch.len() >= count_max
                || (next.op.row().marks.isolated && !batch.is_empty())
                || (moves(&next.op) && batch.iter().any(|command: &Command| moves(&command.op)));
            if full {
                break;
            }
            batch.push(self.queue.pop_front().unwrap());
            if batch.last().unwrap().op.row().marks.isolated {
                break;
            }
        }
        if batch.is_empty() {
            return;
        }
        for (command, reply) in batch.iter().zip(self.commit(&batch)) {
            self.learn(command, reply);
        }
    }

    pub(super) fn learn(&mut self, command: &Command, reply: Result<Reply>) {
        let Ok(reply) = reply else { return };
        match (&command.op, reply) {
            (Op::Community(community::Op::ChannelCreate(op)), Reply::Channel(id)) => {
                if let Some(place) = self.places.iter_mut().find(|place| place.id == op.server_id) {
                    place.channels.push(id);
                }
            }
            (Op::Community(community::Op::ChannelDelete(op)), _) => {
                for place in &mut self.places {
                    place.channels.retain(|id| *id != op.channel_id);
                }
            }
            (Op::Community(community::Op::ServerDelete(op)), _) => {
                let index = self.places.iter().position(|place| place.id == op.server_id).unwrap();
                let owner = self.places.remove(index).owner;
                self.make_server(owner);
            }
            (Op::Identity(identity::Op::TokenRevoke(_)), _) => {
                let token = self.new_token();
                let user_id = command.actor;
                let op = TokenCreate { user_id, name: 0, phc: Secret("phc".into()), token: token.0 };
                let Ok(Reply::Token(_, id)) = self.apply(UserId(0), op.into()) else { panic!("no login") };
                let user = self.users.iter_mut().find(|user| user.id == user_id).unwrap();
                user.token = (id, format!("{id}.{}", token.1));
            }
            _ => {}
        }
    }

    /// Hides or shows a channel by an override, as an isolated change does.
    pub(super) fn change_override(&mut self) {
        let place = &self.places[self.rng.usize(..self.places.len())];
        let Some(&channel_id) = place.channels.get(self.rng.usize(..4)) else { return };
        let target = match self.rng.u8(0..3) {
            0 => (0, place.everyone.0),
            1 => (0, place.role.map_or(1, |role| role.0)),
            _ => (1, self.users[self.rng.usize(..6)].id.0),
        };
        let server_id = place.id;
        let store = self.store.clone();
        let mut tx = store.begin().unwrap();
        let key = (channel_id, target.0, target.1);
        match self.rng.u8(0..3) {
            0 => tx.put(OVERRIDES, key, &Override { allow: 0, deny: CHANNELS_VIEW }),
            1 => tx.put(OVERRIDES, key, &Override { allow: CHANNELS_VIEW, deny: 0 }),
            _ => {
                tx.delete(OVERRIDES, key);
            }
        }
        tx.commit().unwrap();
        self.hand_out(vec![Output::Change(Change::PermissionsChanged { server_id })]);
    }

    pub(super) fn random_command(&mut self) {
        let rng = &mut self.rng;
        let user = rng.usize(..6);
        let other = self.users[rng.usize(..6)].id;
        let place = &self.places[rng.usize(..self.places.len())];
        let owner = self.users[place.owner].id;
        let server_id = place.id;
        let channel_id = place.channels.get(rng.usize(..place.channels.len().max(1))).copied();
        let grants = |bits: u64| -> Vec<Grant> {
            let names = NAMES.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 != 0);
            names.map(|(_, name)| Grant { name: name.to_string(), allowed: true }).collect()
        };
        let mut actor = self.users[user].id;
        let op: Op = match rng.u8(0..100) {
            0..60 => {
                let Some(channel_id) = channel_id else { return };
                let len_max = if rng.u8(..) == 0 { 2_000 } else { 40 };
                let content = "x".repeat(rng.usize(1..len_max));
                let reply_to_id = None;
                MessageCreate { channel_id, content, reply_to_id, embeds: String::new(), length_max: 4_000 }
                    .into()
            }
            60..67 => InviteUse { code: place.invite.clone(), server_count_max: 100 }.into(),
            67..70 => MemberLeave { server_id }.into(),
            70..73 => {
                actor = owner;
                MemberKick { server_id, user_id: other }.into()
            }
            73..77 => {
                actor = owner;
                let bits = if rng.bool() { EVERYONE_DEFAULT } else { EVERYONE_DEFAULT & !CHANNELS_VIEW };
                RoleEdit {
                    server_id,
                    role_id: place.everyone,
                    name: None,
                    color: None,
                    permissions: Some(grants(bits)),
                    hoist: None,
                    mentionable: None,
                    position: None,
                }
                .into()
            }
            77..83 => {
                actor = owner;
                let Some(role_id) = place.role else { return };
                if rng.bool() {
                    MemberRoleAdd { server_id, user_id: other, role_id }.into()
                } else {
                    MemberRoleRemove { server_id, user_id: other, role_id }.into()
                }
            }
            83..86 => {
                actor = owner;
                ChannelCreate {
                    server_id,
                    name: "more".into(),
                    kind: channel_kind::TEXT,
                    topic: None,
                    category_id: None,
                    nsfw: false,
                    slowmode_seconds: 0,
                    read_receipts_enabled: true,
                }
                .into()
            }
            86..88 => {
                actor = owner;
                let Some(channel_id) = channel_id.filter(|_| place.channels.len() > 1) else { return };
                ChannelDelete { channel_id }.into()
            }
            88 if rng.u8(0..4) == 0 => {
                actor = owner;
                ServerDelete { server_id }.into()
            }
            88..92 => FriendRequest { user_id: other, message: None }.into(),
            92..95 => FriendAccept { user_id: other }.into(),
            95..97 => RelationshipRemove { user_id: other }.into(),
            97 => {
                let user = &self.users[rng.usize(3..6)];
                actor = user.id;
                let how = if rng.bool() { Revocation::LoggedOut } else { Revocation::Security };
                TokenRevoke { token_id: user.token.0, how }.into()
            }
            _ => return self.change_override(),
        };
        // A second revocation of the same token would be refused; the first has not been applied yet.
        let twice = matches!(op, Op::Identity(identity::Op::TokenRevoke(_)))
            && self.queue.iter().any(|c| matches!(c.op, Op::Identity(identity::Op::TokenRevoke(_))));
        if !twice {
            self.queue.push_back(Command::new(actor, op));
        }
    }
}
