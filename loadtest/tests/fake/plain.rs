//! A server of one room: a text that begins with P goes to every connection as it is, but not to publishers.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use tungstenite::protocol::frame::coding::{Data, OpCode};

use super::{Fault, accept, read_head, receive, send};

#[derive(Default)]
struct Room {
    receivers: Vec<TcpStream>,
    posts: u64,
}

/// Starts it; gives its base URL. It runs until the test process ends.
pub fn start(fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let room = Arc::new(Mutex::new(Room::default()));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let room = Arc::clone(&room);
            thread::spawn(move || serve(stream, fault, &room));
        }
    });
    base
}

fn serve(mut stream: TcpStream, fault: Fault, room: &Mutex<Room>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut input = Vec::new();
    loop {
        let head = read_head(&mut stream, &mut input)?;
        let publisher = head.starts_with("GET /pub ");
        if !head.to_ascii_lowercase().contains("sec-websocket-key") {
            // Whoever is unknown here gets what is public.
            let status =
                if head.contains("Authorization") || !head.starts_with("GET / ") { 400 } else { 200 };
            write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\n{{}}").ok()?;
            continue;
        }
        if publisher && fault == Fault::RefusesPosts {
            return write!(stream, "HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n").ok();
        }
        accept(&mut stream, &head)?;
        if !publisher {
            room.lock().unwrap().receivers.push(stream.try_clone().ok()?);
        }
        return talk(stream, input, fault, room);
    }
}

fn talk(mut stream: TcpStream, mut input: Vec<u8>, fault: Fault, room: &Mutex<Room>) -> Option<()> {
    loop {
        let (opcode, text) = receive(&mut stream, &mut input)?;
        match opcode {
            8 => return None,
            1 if text.first() == Some(&b'P') => publish(&text, fault, &mut room.lock().unwrap()),
            _ => {}
        }
    }
}

fn publish(text: &[u8], fault: Fault, room: &mut Room) {
    room.posts += 1;
    // The first receiver misses the twentieth post.
    let lost = usize::from(fault == Fault::LosesAPost && room.posts == 20);
    for receiver in &mut room.receivers[lost..] {
        send(receiver, OpCode::Data(Data::Text), text);
    }
    // Or gets it again, or another one in its place.
    let again = match fault {
        Fault::Doubles => text.to_vec(),
        Fault::Alters => String::from_utf8_lossy(text).replace(" the quick", " the quack").into_bytes(),
        _ => return,
    };
    if room.posts == 20 {
        send(&mut room.receivers[0], OpCode::Data(Data::Text), &again);
    }
}
