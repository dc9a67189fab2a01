//! A chat server of a few routes, with a thread per connection, that can be told to misbehave.
//!
//! Invariant: everything happens under one lock, so its order of events is trivially right unless a fault is asked for.

#![allow(dead_code, reason = "every test binary uses another part")]

pub mod plain;

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

/// What the server does wrong.
#[derive(Clone, Copy, PartialEq)]
pub enum Fault {
    Nothing,
    /// The tenth post that sessions could see leaves a gap in the numbers of one of them.
    Drops,
    /// The same, and the later numbers of that session close the gap.
    DropsSilently,
    /// One session gets the tenth post twice, with a number each.
    Doubles,
    /// One session gets the tenth post twice, with the same number.
    Repeats,
    /// One session gets the eleventh post before the tenth, with ascending numbers.
    Swaps,
    /// One session gets the tenth post with another word in it.
    Alters,
    /// All sessions get the tenth post, which is refused.
    ShowsRefused,
    /// Answers hold another word than was posted, and the profile of somebody else.
    AltersAnswers,
    /// Two of three posts are refused.
    RefusesMost,
    /// Every third request is answered 429 with a short delay.
    RateLimits,
    /// A resumed session does not get the first event it missed.
    LosesOnResume,
    /// A resumed session gets the last event it has seen once more.
    RepeatsOnResume,
    /// A RESUME is refused (op 9).
    RefusesResume,
    /// When a session does not read, the event after is lost for all.
    LosesWhenSlow,
    /// A post does not reach one of the sessions (plain).
    LosesAPost,
    /// Every post is refused; plain: the connection to post over.
    RefusesPosts,
    /// Sessions are closed with 4008 instead of READY.
    RefusesSessions,
    /// Requests without the secret that lifts limits are refused, but for /health.
    RefusesStrangers,
}

struct Session {
    user: String,
    /// All dispatches: event `s` is at `s - 1`.
    log: Vec<String>,
    stream: Option<TcpStream>,
}

struct State {
    fault: Fault,
    next_id: u64,
    requests: u64,
    sessions: HashMap<String, Session>,
    /// The next event goes to nobody.
    loses_next: bool,
    /// Posts that sessions could see.
    seen_posts: u64,
    /// What the session that is to get it late still lacks.
    held: Option<(String, String)>,
    /// What was posted last.
    contents: Vec<String>,
    /// The server of a channel or an invite.
    homes: HashMap<String, String>,
    /// Who is in which server.
    members: HashSet<(String, String)>,
}

impl State {
    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Sends a post to all sessions of members, and to one of them what the fault makes of it.
    fn publish(&mut self, channel: &str, message: &str) {
        let Some(server) = self.homes.get(channel) else { return };
        let is_member = |session: &Session| self.members.contains(&(server.clone(), session.user.clone()));
        let there = self.sessions.iter().filter(|(_, session)| is_member(session));
        let mut sessions: Vec<String> = there.map(|(id, _)| id.clone()).collect();
        sessions.sort_unstable();
        self.seen_posts += u64::from(!sessions.is_empty());
        let there = |id: &&String| self.sessions[*id].stream.is_some();
        let victim =
            sessions.iter().find(there).or(sessions.first()).cloned().filter(|_| self.seen_posts == 10);
        for id in sessions {
            if Some(&id) != victim.as_ref() {
                self.dispatch(&id, "MESSAGE_CREATE", message);
                if let Some((_, held)) = self.held.take_if(|(late, _)| *late == id) {
                    self.dispatch(&id, "MESSAGE_CREATE", &held);
                }
                continue;
            }
            match self.fault {
                // Its number is used up.
                Fault::Drops => self.sessions.get_mut(&id).expect("it is there").log.push(String::new()),
                Fault::DropsSilently => {}
                Fault::Doubles => (0..2).for_each(|_| self.dispatch(&id, "MESSAGE_CREATE", message)),
                Fault::Repeats => {
                    self.dispatch(&id, "MESSAGE_CREATE", message);
                    let session = &self.sessions[&id];
                    if let (Some(stream), Some(text)) = (&session.stream, session.log.last()) {
                        send_at_once(stream, text.as_bytes());
                    }
                }
                Fault::Swaps => self.held = Some((id, message.to_string())),
                Fault::Alters => self.dispatch(&id, "MESSAGE_CREATE", &altered(message)),
                _ => self.dispatch(&id, "MESSAGE_CREATE", message),
            }
        }
    }

    fn dispatch(&mut self, session_id: &str, t: &str, d: &str) {
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let s = session.log.len() + 1;
        session.log.push(format!(r#"{{"op":0,"t":"{t}","s":{s},"d":{d}}}"#));
        let Some(stream) = &session.stream else { return };
        if !send_at_once(stream, session.log[s - 1].as_bytes()) {
            // Gone, or so slow that it has to resume.
            session.stream = None;
            self.loses_next = self.fault == Fault::LosesWhenSlow;
        }
    }
}

fn altered(text: &str) -> String {
    text.replace(" the quick", " the quack")
}

/// Starts it; gives its base URL. It runs until the test process ends.
pub fn start(fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let state = Arc::new(Mutex::new(State {
        fault,
        next_id: 1000,
        requests: 0,
        sessions: HashMap::new(),
        loses_next: false,
        seen_posts: 0,
        held: None,
        contents: Vec::new(),
        homes: HashMap::new(),
        members: HashSet::new(),
    }));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = Arc::clone(&state);
            thread::spawn(move || serve(stream, &state));
        }
    });
    base
}

/// One connection: requests until the peer leaves or upgrades.
fn serve(mut stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut input = Vec::new();
    loop {
        let head = read_head(&mut stream, &mut input)?;
        if head.starts_with("GET /gateway ") {
            return gateway(stream, &head, input, state);
        }
        let len: usize = header(&head, "content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
        while input.len() < len {
            read_more(&mut stream, &mut input)?;
        }
        let body = String::from_utf8_lossy(&input[..len]).into_owned();
        input.drain(..len);
        let token = header(&head, "authorization").unwrap_or_default();
        let who = token.trim_start_matches("Bearer ").trim_end_matches(".secret").to_string();
        let mut words = head.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let mut state = state.lock().unwrap();
        let is_stranger = header(&head, "x-ratelimit-bypass").is_none();
        let (status, answer) = match path {
            "/health" => (200, "{}".into()),
            _ if is_stranger && state.fault == Fault::RefusesStrangers => (403, "{}".into()),
            _ => answer(&mut state, method, path, &body, &who),
        };
        drop(state);
        let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
        stream.write_all(text.as_bytes()).ok()?;
    }
}

fn answer(state: &mut State, method: &str, path: &str, body: &str, who: &str) -> (u16, String) {
    state.requests += 1;
    if state.fault == Fault::RateLimits && state.requests.is_multiple_of(3) {
        return (429, r#"{"error":{"code":429,"retry_after":0.02},"retry_after":0.02}"#.into());
    }
    let id = state.id();
    let path = path.strip_prefix("/api/v1").unwrap_or("");
    let parts: Vec<&str> = path.split(['/', '?']).skip(1).collect();
    let answer = match (method, &parts[..]) {
        ("POST", ["auth", "register"]) => {
            format!(r#"{{"status":"success","user":{{"id":"{id}"}},"token":"{id}.secret"}}"#)
        }
        ("POST", ["servers"]) => {
            let channel = id + 500_000;
            state.homes.insert(channel.to_string(), id.to_string());
            state.members.insert((id.to_string(), who.to_string()));
            format!(r#"{{"id":"{id}","default_channel_id":"{channel}"}}"#)
        }
        ("POST", ["servers", server, "channels"]) => {
            state.homes.insert(id.to_string(), server.to_string());
            format!(r#"{{"id":"{id}"}}"#)
        }
        ("POST", ["channels", "invites", code]) => {
            state.members.insert((state.homes[*code].clone(), who.to_string()));
            r#"{"success":true}"#.into()
        }
        ("POST", ["channels", channel, "invites"]) => {
            state.homes.insert(format!("c{id}"), state.homes[*channel].clone());
            format!(r#"{{"code":"c{id}"}}"#)
        }
        ("POST", ["channels", _, "messages"]) if state.fault == Fault::RefusesPosts => {
            return (403, r#"{"error":{"code":403,"message":"no"}}"#.into());
        }
        ("POST", ["channels", channel, "messages"]) => {
            let content = body.split('"').nth(3).unwrap_or("");
            let message = format!(r#"{{"id":"{id}","channel_id":"{channel}","content":"{content}"}}"#);
            let refused = state.fault == Fault::RefusesMost && !state.requests.is_multiple_of(3);
            if !refused && !std::mem::take(&mut state.loses_next) {
                state.publish(channel, &message);
            }
            if refused || (state.fault == Fault::ShowsRefused && state.seen_posts == 10) {
                return (403, r#"{"error":{"code":403,"message":"no"}}"#.into());
            }
            state.contents.truncate(49);
            state.contents.insert(0, content.to_string());
            message
        }
        ("GET", ["channels", _, "messages", query]) => history(query, &state.contents),
        ("GET", ["users", "@me"]) => format!(r#"{{"id":"{who}"}}"#),
        ("POST", ["auth", "login"]) if !body.contains(r#""password":"Load-Test-Passw0rd!""#) => {
            return (401, r#"{"error":{"code":401,"message":"no"}}"#.into());
        }
        ("POST" | "PUT" | "DELETE", _) => r#"{"success":true}"#.into(),
        _ => return (404, r#"{"error":{"code":404,"message":"no"}}"#.into()),
    };
    if state.fault == Fault::AltersAnswers {
        let other = if parts == ["users", "@me"] { r#"{"id":"1"}"#.into() } else { altered(&answer) };
        return (200, other);
    }
    (200, answer)
}

/// A page of a channel that has 130 messages with ids 1 to 130, oldest first; without `after` what was posted last.
fn history(query: &str, contents: &[String]) -> String {
    let after: Option<u64> = query.split("after=").nth(1).and_then(|n| n.parse().ok());
    let ids = after.map_or(0..contents.len() as u64, |after| after + 1..131.min(after + 101));
    let content = |id: u64| contents.get(id as usize % contents.len().max(1)).map_or("", String::as_str);
    let message = |id| format!(r#"{{"author":{{"id":"7"}},"content":"{}","id":"{id}"}}"#, content(id));
    let page: Vec<String> = ids.map(message).collect();
    format!("[{}]", page.join(","))
}

/// One gateway connection.
fn gateway(mut stream: TcpStream, head: &str, mut input: Vec<u8>, state: &Mutex<State>) -> Option<()> {
    accept(&mut stream, head)?;
    // Only for a client that never reads again: one that is held up for a while is no fault of the tool.
    stream.set_write_timeout(Some(Duration::from_secs(20))).ok()?;
    send(&mut stream, OpCode::Data(Data::Text), br#"{"op":10,"d":{"heartbeat_interval":300}}"#);
    loop {
        let (opcode, text) = receive(&mut stream, &mut input)?;
        if opcode == 8 {
            return None;
        }
        let text = String::from_utf8(text).ok()?;
        let mut state = state.lock().unwrap();
        if text.starts_with(r#"{"op":1,"#) {
            send_at_once(&stream, br#"{"op":11}"#);
        } else if text.starts_with(r#"{"op":2,"#) {
            if state.fault == Fault::RefusesSessions {
                let close = tungstenite::protocol::frame::coding::Control::Close;
                send(&mut stream, OpCode::Control(close), b"\x0f\xa8Rate limited");
                return None;
            }
            let session_id = format!("{:032x}", state.id());
            let token = text.split(r#""token":""#).nth(1)?.split('.').next()?.to_string();
            let session = Session { user: token, log: Vec::new(), stream: stream.try_clone().ok() };
            state.sessions.insert(session_id.clone(), session);
            state.dispatch(&session_id, "READY", &format!(r#"{{"v":10,"session_id":"{session_id}"}}"#));
        } else if text.starts_with(r#"{"op":6,"#) {
            let session_id = text.split(r#""session_id":""#).nth(1)?.split('"').next()?;
            let seq: usize = text.split(r#""seq":"#).nth(1)?.trim_end_matches('}').parse().ok()?;
            let fault = state.fault;
            if fault == Fault::RefusesResume {
                send(&mut stream, OpCode::Data(Data::Text), br#"{"op":9,"d":false}"#);
                continue;
            }
            let session = state.sessions.get_mut(session_id)?;
            let resumed = format!(r#"{{"op":0,"t":"RESUMED","s":{seq},"d":{{}}}}"#);
            send(&mut stream, OpCode::Data(Data::Text), resumed.as_bytes());
            let from = match fault {
                Fault::LosesOnResume => seq + 1,
                Fault::RepeatsOnResume => seq - 1,
                _ => seq,
            };
            for event in session.log.iter().skip(from).filter(|event| !event.is_empty()) {
                send(&mut stream, OpCode::Data(Data::Text), event.as_bytes());
            }
            session.stream = stream.try_clone().ok();
        }
    }
}

/// Answers an upgrade.
fn accept(stream: &mut TcpStream, head: &str) -> Option<()> {
    let key = derive_accept_key(header(head, "sec-websocket-key")?.as_bytes());
    let upgrade = format!(
        "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {key}\r\n\r\n"
    );
    stream.write_all(upgrade.as_bytes()).ok()
}

/// The head of a request, taken from the input.
fn read_head(stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(i) = input.windows(4).position(|w| w == b"\r\n\r\n") {
            let head: Vec<u8> = input.drain(..i + 4).collect();
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
        read_more(stream, input)?;
    }
}

fn frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    FrameHeader { opcode, ..FrameHeader::default() }.format(payload.len() as u64, &mut frame).unwrap();
    frame.extend_from_slice(payload);
    frame
}

/// Waits until the peer has room. False when it has left or does not read; the connection has ended then, as what
/// follows half a frame would be taken for its other half.
fn send(stream: &mut TcpStream, opcode: OpCode, payload: &[u8]) -> bool {
    let sent = stream.write_all(&frame(opcode, payload)).is_ok();
    if !sent {
        let _ = stream.shutdown(Shutdown::Both);
    }
    sent
}

/// The same without waiting: whether a peer reads is told by the room in its socket, not by a time.
fn send_at_once(stream: &TcpStream, payload: &[u8]) -> bool {
    let frame = frame(OpCode::Data(Data::Text), payload);
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the frame and the stream are ours for the call.
    let taken = unsafe { libc::send(stream.as_raw_fd(), frame.as_ptr().cast(), frame.len(), flags) };
    let sent = usize::try_from(taken).is_ok_and(|taken| taken == frame.len());
    if !sent {
        let _ = stream.shutdown(Shutdown::Both);
    }
    sent
}

/// One masked frame shorter than 64 KiB.
fn receive(stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    loop {
        let short = input.get(1).map(|b| usize::from(b & 0x7f));
        let sized = match short {
            Some(126) => input.get(2..4).map(|b| (4, usize::from(u16::from_be_bytes([b[0], b[1]])))),
            Some(n) => Some((2, n)),
            None => None,
        };
        if let Some((start, len)) = sized.filter(|(start, len)| input.len() >= start + 4 + len) {
            let mask: [u8; 4] = input[start..start + 4].try_into().unwrap();
            let masked = &input[start + 4..start + 4 + len];
            let payload = masked.iter().enumerate().map(|(i, b)| b ^ mask[i & 3]).collect();
            let opcode = input[0] & 15;
            input.drain(..start + 4 + len);
            return Some((opcode, payload));
        }
        read_more(stream, input)?;
    }
}

fn read_more(stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 4096];
    let n = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
    input.extend_from_slice(&chunk[..n]);
    Some(())
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
