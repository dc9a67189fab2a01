//! What clients do, and what they make of what they get.

use super::*;

impl World {
    pub(super) fn send(&mut self, client: usize, text: &str) {
        let mask = self.rng.u32(..).to_le_bytes();
        let socket = &mut self.sockets[self.clients[client].socket];
        let opcode = if self.rng.bool() { 1 } else { 2 };
        socket.to_server.extend(frame(opcode, text.as_bytes(), mask));
    }

    pub(super) fn connect(&mut self, client: usize) {
        let socket = self.sockets.len();
        let core = self.rng.usize(..self.cores.len());
        self.sockets.push(Socket {
            place: None,
            client,
            to_server: Vec::new(),
            to_client: Vec::new(),
            room: if self.clients[client].kind == Kind::Wild { self.rng.usize(300..3_000) } else { 1 << 20 },
            wants_write: false,
            dropped: false,
            shut: false,
        });
        self.clients[client].opened(socket);
        self.clients[client].beat_at = self.now;
        self.clients[client].compress = self.rng.u8(0..4) == 0;
        let ip = std::net::Ipv4Addr::LOCALHOST.into();
        let facts =
            Facts { host: "host".into(), secure: false, ip, version_unknown: false, is_counted: false };
        let id = self.with_hub(core, |hub, cx| hub.open(cx, socket as i32, facts));
        self.register(core, socket, id);
        // Some do not wait for HELLO.
        if self.rng.bool() {
            self.introduce(client);
        }
    }

    /// IDENTIFY or RESUME.
    pub(super) fn introduce(&mut self, index: usize) {
        let client = &self.clients[index];
        let token = self.users[client.user].token.1.clone();
        let (compress, wild) = (client.compress, client.kind == Kind::Wild);
        let resume = client.session.clone().filter(|_| !wild || self.rng.u8(0..5) > 0);
        let text = match resume {
            None => {
                self.clients[index].state = State::Identifying;
                let intents = self.clients[index].intents;
                format!(
                    "{{\"op\":2,\"d\":{{\"token\":\"{token}\",\"intents\":{intents},\"compress\":{compress}}}}}"
                )
            }
            Some((id, seq)) => {
                self.clients[index].state = State::Resuming;
                let seq = match self.rng.u8(0..20) {
                    0 if wild => "null".to_string(),
                    1 if wild => (u64::from(seq) + 100_000).to_string(),
                    2 if wild => "1".to_string(),
                    _ => seq.to_string(),
                };
                let token = if wild && self.rng.u8(0..20) == 0 { "1.wrong".to_string() } else { token };
                format!(
                    "{{\"op\":6,\"d\":{{\"token\":\"{token}\",\"session_id\":\"{id}\",\"seq\":{seq},\"compress\":{compress}}}}}"
                )
            }
        };
        self.send(index, &text);
    }

    pub(super) fn client_step(&mut self, index: usize) {
        let (kind, state) = (self.clients[index].kind, self.clients[index].state);
        if state == State::Offline {
            let due = self.now >= self.clients[index].back_at;
            if due && (self.ending || kind != Kind::Wild || self.rng.u8(0..3) == 0) {
                self.connect(index);
            }
            return;
        }
        if self.now >= self.clients[index].beat_at + 30_000 && (kind != Kind::Wild || self.rng.u8(0..3) > 0) {
            self.clients[index].beat_at = self.now;
            let seq = self.clients[index].session.as_ref().map_or(0, |session| session.1);
            self.send(index, &format!("{{\"op\":1,\"d\":{seq}}}"));
        }
        if kind == Kind::Wild && self.rng.u8(..) == 0 {
            self.clients[index].asleep_until = self.now + self.rng.u64(0..25_000);
        }
        let asleep = self.now < self.clients[index].asleep_until;
        let lazy = kind == Kind::Wild && !self.ending && (asleep || self.rng.u8(0..4) > 0);
        if !lazy {
            self.client_read(index);
        }
        if self.clients[index].state == State::Ready && !self.ending {
            self.client_act(index);
        }
    }

    pub(super) fn client_act(&mut self, index: usize) {
        let kind = self.clients[index].kind;
        let place = &self.places[self.rng.usize(..self.places.len())];
        let (server, channel) = (place.id, place.channels.first().copied().unwrap_or(ChannelId(1)));
        match self.rng.u8(..) {
            0..8 => self.send(index, &format!("{{\"op\":40,\"d\":{{\"channel_id\":\"{channel}\"}}}}")),
            8..10 => self.send(index, &format!("{{\"op\":41,\"d\":{{\"channel_id\":{channel}}}}}")),
            10..13 => {
                self.send(index, &format!("{{\"op\":8,\"d\":{{\"guild_id\":\"{server}\",\"query\":\"\"}}}}"))
            }
            13..18 if kind == Kind::Wild => {
                let name = ["online", "idle", "dnd", "invisible", "offline"][self.rng.usize(..5)];
                self.send(index, &format!("{{\"op\":3,\"d\":{{\"status\":\"{name}\"}}}}"));
            }
            18..24 if kind != Kind::Steady => {
                let away = if kind == Kind::Flapper { 3_000 } else { 40_000 };
                self.leave(index, away);
            }
            24..26 if kind == Kind::Wild => {
                let mask = [1, 2, 3, 4];
                let bytes = frame(8, &1000u16.to_be_bytes(), mask);
                self.sockets[self.clients[index].socket].to_server.extend(bytes);
                self.leave(index, 5_000);
            }
            // Another connection takes the session while this one is still there.
            26..28 if kind == Kind::Wild => {
                let away = self.clients[index].socket;
                self.clients[index].state = State::Offline;
                self.connect(index);
                self.sockets[away].client = usize::MAX;
            }
            _ => {}
        }
    }

    pub(super) fn leave(&mut self, index: usize, away_max: u64) {
        let client = &mut self.clients[index];
        self.sockets[client.socket].dropped = true;
        client.state = State::Offline;
        client.back_at = self.now + self.rng.u64(0..=away_max);
    }

    pub(super) fn client_read(&mut self, index: usize) {
        let socket = &mut self.sockets[self.clients[index].socket];
        let len = if self.rng.bool() || self.ending { usize::MAX } else { self.rng.usize(..3_000) };
        let bytes: Vec<u8> = socket.to_client.drain(..len.min(socket.to_client.len())).collect();
        socket.room += bytes.len();
        let ended = socket.shut && socket.to_client.is_empty();
        self.clients[index].receive(&bytes);
        while let Some(frame) = self.clients[index].next_frame() {
            match frame {
                Frame::Text(text) => self.client_receive(index, text),
                Frame::Ping => {
                    let pong = frame_pong();
                    self.sockets[self.clients[index].socket].to_server.extend(pong);
                }
                Frame::Close(code, reason) => {
                    self.check_close(index, code, &reason);
                    return self.leave(index, 2_000);
                }
            }
        }
        if ended {
            assert!(self.clients[index].kind == Kind::Wild, "closed without a close frame");
            self.leave(index, 2_000);
        }
    }

    pub(super) fn check_close(&mut self, index: usize, code: Option<u16>, reason: &str) {
        *self.counts.entry(format!("close {code:?} {reason}")).or_default() += 1;
        let client = &mut self.clients[index];
        let known = matches!(
            (code, reason),
            (Some(4004), "Logged out" | "Security logout")
                | (Some(4007), "Invalid seq")
                | (Some(4008), "Slow consumer" | "Too many connections")
                | (Some(4009), "Session timed out" | "Session resumed elsewhere")
                | (Some(1011), _)
        );
        // IDENTIFY may have been on its way when the token ended.
        let late = (code, reason) == (Some(4004), "Authentication failed") && client.kind == Kind::Wild;
        assert!(known || late, "closed {code:?} {reason}");
        assert!(client.kind == Kind::Wild, "{:?} closed {code:?} {reason}", client.kind);
        if !matches!(reason, "Slow consumer" | "Session timed out") && code != Some(1011) {
            client.session = None;
        }
    }

    pub(super) fn client_receive(&mut self, index: usize, mut text: String) {
        let raw = text.clone();
        // SAFETY: the parser leaves valid text, and it is not looked at afterwards.
        let message = json::parse(unsafe { text.as_bytes_mut() }).unwrap();
        let op = message.get("op").and_then(Value::as_int).unwrap();
        let what = message.get("t").and_then(Value::as_str).map_or(format!("op {op}"), str::to_string);
        *self.counts.entry(what).or_default() += 1;
        let client = &mut self.clients[index];
        assert!(client.greeted || op == 10, "HELLO comes first: {raw}");
        match op {
            10 => {
                assert!(!std::mem::replace(&mut client.greeted, true));
                if client.state == State::Opening {
                    self.introduce(index);
                }
                return;
            }
            11 => return,
            9 => {
                let small = self.config.websocket.resume_buffer_events < 1_000;
                assert!(client.kind == Kind::Wild || small, "{:?} could not resume", client.kind);
                assert_eq!(client.state, State::Resuming);
                client.session = None;
                return self.introduce(index);
            }
            0 => {}
            op => panic!("unexpected op {op}: {raw}"),
        }
        let seq = message.get("s").and_then(Value::as_int).unwrap() as u32;
        let name = message.get("t").and_then(Value::as_str).unwrap();
        let d = &raw[raw.find(",\"d\":").unwrap() + 5..raw.len() - 1];
        match name {
            "READY" => {
                assert_eq!((client.state, seq), (State::Identifying, 1));
                let id = message.get("d").unwrap().get("session_id").and_then(Value::as_str).unwrap();
                assert!(self.sessions.contains_key(&id[8..]));
                client.session = Some((id.to_string(), 1));
                client.state = State::Ready;
            }
            "RESUMED" => {
                assert_eq!(client.state, State::Resuming);
                // From here on everything behind the number it gave comes again.
                client.session.as_mut().unwrap().1 = seq.max(1);
                client.state = State::Ready;
            }
            _ => {
                assert_eq!(client.state, State::Ready, "{raw}");
                let (id, last) = client.session.as_mut().unwrap();
                assert_eq!(seq, *last + 1, "{raw}");
                *last = seq;
                let session = self.sessions.get_mut(&id[8..]).unwrap();
                session.receive(seq as usize, name, d);
                if name == "PRESENCE_UPDATE" {
                    self.check_told(d);
                }
            }
        }
    }
}
