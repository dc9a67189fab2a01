//! The connection task on a real io_uring runtime, driven over loopback.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream as Client};
use std::sync::mpsc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::*;
use crate::api::admit::admit;
use crate::api::cors::CorsLines;
use crate::api::ctx::Awaited;
use crate::api::dispatch::{Dispatched, dispatch};
use crate::api::router::Router;
use crate::api::state::RunState;
use crate::api::testing::Harness;
use crate::api::unsent::Payer;
use crate::api::{Ctx, Step};
use crate::config::{Api, Config, Http, Websocket};
use crate::effect::{Answer, Job};
use crate::limits::MIB;
use crate::net::admission::Admission;
use crate::net::pace::Share;
use crate::net::request::{Begun, begin};

/// What the test double reports of an upgrade: leftover, query, host.
type Seen = (Vec<u8>, String, String);

struct Double {
    harness: Harness,
    upgraded: RefCell<mpsc::Sender<(OwnedFd, Seen)>>,
}

impl Desk for Double {
    fn decide(&self, command: Command) -> Awaited<'_, Reply> {
        self.harness.decide(command)
    }

    fn effect(&self, job: Job) -> Awaited<'_, Answer> {
        self.harness.effect(job)
    }

    fn router(&self) -> &Router {
        &self.harness.router
    }
}

impl Backend for Double {
    fn state(&self) -> &State {
        &self.harness.state
    }

    async fn submit(&self, command: Command) -> Result<Reply> {
        self.harness.apply(&command)
    }

    fn submit_and_forget(&self, command: Command) {
        self.harness.apply(&command).unwrap();
    }

    fn sync(&self) -> u64 {
        0
    }

    fn handled(&self, _: u64, _: &'static str, _: u64) {}

    fn upgrade(&self, fd: OwnedFd, upgrade: Upgrade) {
        let seen = (upgrade.leftover, upgrade.facts.query, upgrade.facts.host);
        self.upgraded.borrow().send((fd, seen)).unwrap();
    }
}

pub(in crate::net) struct Server {
    address: SocketAddr,
    run: std::sync::Arc<RunState>,
    upgraded: mpsc::Receiver<(OwnedFd, Seen)>,
    admission: std::sync::Arc<Admission>,
    pub(in crate::net) store: std::sync::Arc<crate::store::Store>,
    /// Somebody's.
    pub(in crate::net) token: String,
}

fn connections(config: &Config) -> Rc<Connections> {
    let share = Rc::new(Share::unlimited());
    Connections::new(0, 0, &config.http, Admission::new(&config.http), Default::default(), share)
}

/// A server that lives as long as the test process. Time flows ten times as fast for deadlines.
pub(in crate::net) fn server(config: Config) -> Server {
    let (address_out, address) = mpsc::channel();
    let (upgraded_out, upgraded) = mpsc::channel();
    let admission = Admission::new(&config.http);
    let shared = admission.clone();
    std::thread::spawn(move || {
        let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
            .with_entries(256)
            .enable_timer()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let harness = Harness::with_config(config);
            let metrics = harness.state.metrics.clone();
            let share = Rc::new(Share::unlimited());
            let connections = Connections::new(1, 7_000, &harness.state.config.http, shared, metrics, share);
            let backend = Rc::new(Double { harness, upgraded: RefCell::new(upgraded_out) });
            let swept = backend.clone();
            let sweeping = connections.clone();
            monoio::spawn(async move {
                let start = Instant::now();
                loop {
                    monoio::time::sleep(Duration::from_millis(10)).await;
                    sweeping.sweep(swept.state(), start.elapsed().as_millis() as u64 * 10);
                }
            });
            let listener = monoio::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let token = crate::api::testing::fixture::register(&backend.harness, "somebody").token;
            let run = backend.state().run.clone();
            let store = backend.state().store.clone();
            address_out.send((listener.local_addr().unwrap(), run, token, store)).unwrap();
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                monoio::spawn(serve(stream, peer, backend.clone(), connections.clone()));
            }
        });
    });
    let (address, run, token, store) = address.recv().unwrap();
    Server { address, run, upgraded, admission, token, store }
}

impl Server {
    pub(in crate::net) fn client(&self) -> Client {
        let client = Client::connect(self.address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client
    }

    /// Sends the parts with pauses, then reads to the end of the stream.
    pub(in crate::net) fn talk(&self, parts: &[&str]) -> String {
        let mut client = self.client();
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                std::thread::sleep(Duration::from_millis(20));
            }
            client.write_all(part.as_bytes()).unwrap();
        }
        read_all(&mut client)
    }

    /// Until no connection is left.
    pub(in crate::net) fn drained(&self) -> bool {
        (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            self.admission.count() == 0
        })
    }
}

pub(in crate::net) fn read_all(client: &mut Client) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    text
}

/// Reads one answer with a body of known length, or without one for HEAD.
pub(in crate::net) fn read_answer(client: &mut Client, has_body: bool) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let len = head
        .split("content-length:")
        .nth(1)
        .map_or(0, |rest| rest.split("\r\n").next().unwrap().trim().parse().unwrap());
    let mut body = vec![0; if has_body { len } else { 0 }];
    client.read_exact(&mut body).unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

pub(in crate::net) fn statuses(text: &str) -> Vec<u16> {
    text.split("HTTP/1.1 ").skip(1).map(|part| part[..3].parse().unwrap()).collect()
}

pub(in crate::net) const GET: &str = "GET /health HTTP/1.1\r\nHost: h\r\n\r\n";
pub(in crate::net) const LAST: &str = "GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const NEGOTIATE: &str =
    "POST /api/v1/version/negotiate HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n";
const VERSION: &str = r#"{"client_version":"a.1.0-49"}"#;
const UPGRADE: &str = "GET /gateway?v=10 HTTP/1.1\r\nHost: chat.example\r\nUser-Agent: test/1\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[test]
fn keeps_a_connection_open() {
    let server = server(Config::default());
    let mut client = server.client();
    let mut ids = Vec::new();
    for _ in 0..3 {
        client.write_all(GET.as_bytes()).unwrap();
        let answer = read_answer(&mut client, true);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(!answer.contains("connection:"), "{answer}");
        ids.push(answer.split("x-request-id: ").nth(1).unwrap().split("\r\n").next().unwrap().to_string());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
    client.write_all(b"HEAD /health HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let answer = read_answer(&mut client, false);
    assert!(answer.contains("content-length: 41\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    client.write_all(b"GET /health HTTP/1.0\r\n\r\n").unwrap();
    let rest = read_all(&mut client);
    assert!(rest.contains("connection: close\r\n") && rest.ends_with('}'), "{rest}");
    drop(client);
    assert!(server.drained());
}

#[test]
fn answers_pipelined_requests_in_order() {
    let server = server(Config::default());
    let many = format!(
        "{GET}GET /nope HTTP/1.1\r\nHost: h\r\n\r\n{NEGOTIATE}Content-Length: {}\r\n\r\n{VERSION}",
        VERSION.len()
    );
    let text = server.talk(&[&many.repeat(300), LAST]);
    let statuses = statuses(&text);
    assert_eq!(statuses.len(), 901);
    assert_eq!(statuses[..6], [200, 404, 200, 200, 404, 200]);
    assert_eq!(statuses[900], 200);
    // Cut anywhere, the same.
    let three = format!("{many}{LAST}");
    let parts: Vec<String> =
        three.as_bytes().chunks(37).map(|part| String::from_utf8_lossy(part).into()).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let text = server.talk(&parts);
    assert_eq!(self::statuses(&text), [200, 404, 200, 200]);
}

#[test]
fn reads_bodies_of_all_kinds() {
    let server = server(Config::default());
    let (front, back) = VERSION.split_at(9);
    let chunked = format!("{NEGOTIATE}Transfer-Encoding: chunked\r\n\r\n9\r\n{front}\r\n");
    let end = format!("{:x}\r\n{back}\r\n0\r\n\r\n{LAST}", back.len());
    let text = server.talk(&[&chunked, &end]);
    assert_eq!(statuses(&text), [200, 200], "{text}");
    assert!(text.contains("\"compatible\":true"), "{text}");
    let sized = format!("{NEGOTIATE}Content-Length: {}\r\n\r\n{front}", VERSION.len());
    let text = server.talk(&[GET, &sized, back, LAST]);
    assert_eq!(statuses(&text), [200, 200, 200], "{text}");
    // Whole in one read, with the next request behind it.
    let text = server.talk(&[&format!("{chunked}{end}")]);
    assert_eq!(statuses(&text), [200, 200], "{text}");
    let expecting = format!("{NEGOTIATE}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n", VERSION.len());
    let mut client = server.client();
    client.write_all(expecting.as_bytes()).unwrap();
    assert_eq!(read_answer(&mut client, false), "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(VERSION.as_bytes()).unwrap();
    assert!(read_answer(&mut client, true).starts_with("HTTP/1.1 200 "));
}

#[test]
fn refuses_what_is_too_large_and_shows_it() {
    let config = Config { api: Api { max_body_size: 1024, ..Api::default() }, ..Config::default() };
    let server = server(config);
    let check = |request: String, want: u16| {
        let text = server.talk(&[&request]);
        assert_eq!(statuses(&text), [want], "{text}");
        assert!(text.contains("connection: close\r\n") && text.contains("{\"error\":{\"code\":"), "{text}");
    };
    // The client goes on sending: it still sees the answer.
    check(format!("{NEGOTIATE}Content-Length: 100000\r\n\r\n{}", "x".repeat(100_000)), 413);
    check(format!("{NEGOTIATE}Expect: 100-continue\r\nContent-Length: 1025\r\n\r\n"), 413);
    check(format!("{NEGOTIATE}Content-Length: 1025\r\n\r\n{}", "x".repeat(1025)), 413);
    check(format!("{NEGOTIATE}Transfer-Encoding: chunked\r\n\r\n401\r\n{}", "x".repeat(1025)), 413);
    let pipelined = "POST /api/v1/channels/1/messages HTTP/1.1\r\nHost: h\r\n";
    check(format!("{pipelined}Content-Length: 1025\r\n\r\n{}", "x".repeat(1025)), 413);
    // Behind another request of the burst: its announced length must not overflow the sum with the head's.
    let first = format!("{pipelined}Content-Length: 2\r\nContent-Type: application/json\r\n\r\n{{}}");
    let text = server.talk(&[&format!("{first}{pipelined}Content-Length: {}\r\n\r\nx", u64::MAX)]);
    assert_eq!(statuses(&text).last(), Some(&413), "{text}");
    check(format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(20_000)), 431);
    check(format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(9_000)), 414);
    assert!(server.drained());
}

/// Whoever is refused by his head is told so before he sends a body.
#[test]
fn refuses_by_the_head_and_reads_no_body() {
    let server = server(Config::default());
    let check = |line: &str, headers: &str, want: u16, stays: bool| {
        let mut client = server.client();
        client.write_all(format!("{line} HTTP/1.1\r\nHost: h\r\n{headers}\r\n").as_bytes()).unwrap();
        let answer = read_answer(&mut client, true);
        assert_eq!(statuses(&answer), [want], "{line}: {answer}");
        assert_eq!(!answer.contains("connection: close\r\n"), stays, "{line}: {answer}");
        if stays {
            // The body comes after all, slowly, and the next request behind it.
            client.write_all(b"{").unwrap();
            std::thread::sleep(Duration::from_millis(20));
            client.write_all(format!("}}{LAST}").as_bytes()).unwrap();
        }
        let rest = statuses(&read_all(&mut client));
        assert_eq!(rest, if stays { vec![200] } else { vec![] }, "{line}");
    };
    check("POST /nope", "Content-Length: 2\r\n", 404, true);
    check("POST /health", "Content-Length: 2\r\n", 405, true);
    check("POST /api/v1/servers", "Content-Length: 2\r\n", 401, true);
    check("POST /api/v1/servers", "Content-Length: 2\r\nExpect: 100-continue\r\n", 401, false);
    check("POST /api/v1/servers", "Content-Length: 65537\r\n", 413, false);
    check("POST /api/v1/channels/1/messages", "Content-Length: 900000\r\n", 401, false);
    check("POST /api/v1/servers", "Transfer-Encoding: chunked\r\n", 401, false);
    let packed = "Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n";
    check("POST /api/v1/version/negotiate", packed, 415, true);
    assert!(server.drained());
}

#[test]
fn refuses_shapes_that_smuggle() {
    let server = server(Config::default());
    for (headers, want) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", 400),
        ("Content-Length: +5\r\n\r\nabcde", 400),
        ("Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
        ("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        ("Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        ("X : y\r\n\r\n", 400),
        ("X: y\n\r\n", 400),
    ] {
        let text = server.talk(&[&format!("{NEGOTIATE}{headers}{GET}")]);
        assert_eq!(statuses(&text), [want], "{headers}: {text}");
    }
    assert_eq!(statuses(&server.talk(&["\x16\x03\x01\x02"])), [400]);
    assert_eq!(statuses(&server.talk(&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])).len(), 1);
    assert_eq!(statuses(&server.talk(&[GET, "GET / HTTP/3.0\r\nHost: h\r\n\r\n"])), [200, 505]);
}

#[test]
fn half_open_clients_get_their_answers() {
    let server = server(Config::default());
    let mut client = server.client();
    client.write_all(format!("{GET}{GET}GET /hea").as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(statuses(&read_all(&mut client)), [200, 200]);
    assert!(server.drained());
}

#[test]
fn slow_clients_are_ended() {
    let config = Config {
        http: Http {
            header_timeout_ms: 2_000,
            body_timeout_ms: 2_000,
            idle_timeout_ms: 1_000,
            ..Http::default()
        },
        ..Config::default()
    };
    let server = server(config);
    assert_eq!(server.talk(&[]), "", "an idle connection closes without a word");
    assert_eq!(statuses(&server.talk(&[GET])), [200]);
    let started = Instant::now();
    let text = server.talk(&["GET /hea"]);
    assert_eq!(statuses(&text), [408], "{text}");
    assert!(text.contains("connection: close\r\n") && text.contains("\"code\":408"), "{text}");
    assert!(started.elapsed() >= Duration::from_millis(200), "never early");
    assert_eq!(statuses(&server.talk(&[GET, "GET /hea"])), [200, 408]);
    let text = server.talk(&[&format!("{NEGOTIATE}Content-Length: 20\r\n\r\nabc")]);
    assert_eq!(statuses(&text), [408], "{text}");
    // One byte now and then does not help.
    let mut client = server.client();
    let dripped = (0..2_000).find(|_| {
        std::thread::sleep(Duration::from_millis(10));
        client.write_all(b"G").is_err()
    });
    assert!(dripped.is_some());
    drop(client);
    assert!(server.drained());
}

#[test]
fn clients_that_do_not_read_are_ended() {
    let config = Config { http: Http { body_timeout_ms: 2_000, ..Http::default() }, ..Config::default() };
    let server = server(config);
    let mut client = server.client();
    client.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    // The answers to 8 MiB of requests fill every socket buffer on the way.
    let many = GET.repeat(1_000);
    let stalled = (0..2_000).find(|_| client.write_all(many.as_bytes()).is_err());
    assert!(stalled.is_some(), "the server must not take requests for ever");
    assert!(server.drained());
}

#[test]
fn hands_gateway_sockets_over() {
    let server = server(Config::default());
    let mut client = server.client();
    client.write_all(format!("{GET}{UPGRADE}\r\nframes").as_bytes()).unwrap();
    assert!(read_answer(&mut client, true).starts_with("HTTP/1.1 200 "));
    let answer = read_answer(&mut client, false);
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
    let (fd, seen) = server.upgraded.recv_timeout(Duration::from_secs(5)).unwrap();
    let want = (b"frames".to_vec(), "v=10".into(), "chat.example".into());
    assert_eq!(seen, want);
    // The socket is alive in both directions, and nobody else holds it.
    let mut other = Client::from(fd);
    other.write_all(b"hello").unwrap();
    let mut five = [0; 5];
    client.read_exact(&mut five).unwrap();
    assert_eq!(&five, b"hello");
    client.write_all(b"world").unwrap();
    other.read_exact(&mut five).unwrap();
    assert_eq!(&five, b"world");
    drop(other);
    assert_eq!(read_all(&mut client), "");
}

#[test]
fn refuses_other_upgrades() {
    let config = Config {
        websocket: Websocket { allowed_origins: vec!["https://a.b".into()], ..Websocket::default() },
        ..Config::default()
    };
    let server = server(config);
    let check = |from: &str, to: &str, want: u16| {
        let text = server.talk(&[&format!("{}\r\n", UPGRADE.replacen(from, to, 1))]);
        assert_eq!(statuses(&text), [want], "{to}: {text}");
        assert!(text.contains("{\"error\":{"), "{text}");
    };
    check("/gateway", "/gateway/x", 403);
    check("/gateway", "/health", 403);
    check("Host", "Origin: https://evil.example\r\nHost", 403);
    check("Version: 13", "Version: 8", 426);
    check("ZQ==", "", 400);
    check("GET", "POST", 400);
    let plain = server.talk(&["GET /gateway HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"]);
    assert_eq!(statuses(&plain), [426]);
    let mut client = server.client();
    client.write_all(format!("{UPGRADE}Origin: https://a.b\r\n\r\n").as_bytes()).unwrap();
    assert!(read_answer(&mut client, false).starts_with("HTTP/1.1 101 "));
}

#[test]
fn turns_connections_away() {
    let config =
        Config { http: Http { connections_per_address_max: 2, ..Http::default() }, ..Config::default() };
    let server = server(config);
    let held = [server.client(), server.client()];
    while server.admission.count() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let text = server.talk(&[GET]);
    assert_eq!(statuses(&text), [429], "{text}");
    assert!(text.contains("retry-after: 1\r\n"), "{text}");
    drop(held);
    assert!(server.drained());
    assert_eq!(statuses(&server.talk(&[LAST])), [200]);
}

#[test]
fn a_shutdown_ends_connections_with_their_next_answer() {
    let server = server(Config::default());
    let mut client = server.client();
    client.write_all(GET.as_bytes()).unwrap();
    assert!(read_answer(&mut client, true).starts_with("HTTP/1.1 200 "));
    // Until the server waits for the next request.
    std::thread::sleep(Duration::from_millis(100));
    server.run.begin_shutdown();
    client.write_all(format!("{GET}{GET}").as_bytes()).unwrap();
    let text = read_all(&mut client);
    assert_eq!(statuses(&text), [503], "{text}");
    assert!(text.contains("connection: close\r\n"), "{text}");
    assert_eq!(statuses(&server.talk(&[&format!("{UPGRADE}\r\n")])), [503]);
    assert!(server.drained());
}

/// Every open connection holds one task: what it keeps over a wait is memory times 100,000.
#[test]
fn the_task_of_a_connection_is_small() {
    fn size_of_future<F: Future>(
        _: impl Fn(TcpStream, SocketAddr, Rc<Double>, Rc<Connections>) -> F,
    ) -> usize {
        size_of::<F>()
    }
    let size = size_of_future(serve::<Double>);
    assert!(size <= 1_200, "{size} bytes");
}

#[test]
fn steps_of_a_handler_are_carried_out_after_earlier_answers() {
    let mut runtime =
        monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().with_entries(64).build().unwrap();
    runtime.block_on(async {
        let listener = monoio::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = Client::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let config = Config::default();
        let connections = connections(&config);
        let registration = connections.register(stream.as_raw_fd());
        let mut socket = Socket::new(registration, stream, [127, 0, 0, 1].into());
        socket.output = b"earlier".to_vec();
        let (upgraded, _keep) = mpsc::channel();
        let backend = Double { harness: Harness::with_config(config), upgraded: RefCell::new(upgraded) };

        let context = || {
            let slots = Box::leak(Box::new(header_slots()));
            let head = parse_head(GET.as_bytes(), slots).unwrap().unwrap();
            let request = Request { head, body: &mut [], ip: [127, 0, 0, 1].into(), id: 1 };
            let Dispatched::Handler(mut ctx, _) =
                dispatch(backend.state(), &backend, backend.router(), request)
            else {
                panic!("the route is there");
            };
            ctx.response.body.clear();
            ctx
        };
        async fn both(ctx: &mut Ctx<'_>) -> Result<Step> {
            let phc = ctx.hash("p".into()).await?;
            let matches = ctx.verify("p".into(), Some(phc)).await?;
            ctx.response.body.push(b'0' + u8::from(matches));
            Ok(Step::Done)
        }
        let step = Step::task(|ctx| Box::pin(both(ctx)));
        let mut ctx = context();
        socket.perform(&backend, &mut ctx, step).await.unwrap().unwrap();
        assert_eq!(ctx.response.body, b"1");
        let mut earlier = [0; 7];
        client.read_exact(&mut earlier).unwrap();
        assert_eq!(&earlier, b"earlier");

        async fn refused(ctx: &mut Ctx<'_>) -> Result<Step> {
            ctx.hash("p".into()).await?;
            Err(Refusal::Busy.into())
        }
        let step = Step::task(|ctx| Box::pin(refused(ctx)));
        let refused = socket.perform(&backend, &mut context(), step).await.unwrap();
        assert_eq!(refused.unwrap_err().status, 503);
        assert_eq!(connections.count(), 1);
        drop(socket);
        assert_eq!(connections.count(), 0);
    });
}

#[test]
fn use_of_a_session_is_noted_beside_the_answer() {
    let harness = Harness::default();
    let account = crate::api::testing::fixture::register(&harness, "alice");
    let backend = Double { harness, upgraded: RefCell::new(mpsc::channel().0) };
    let text = format!(
        "GET /api/v1/users/@me HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\r\n",
        account.token
    );
    let ask = || {
        let mut slots = header_slots();
        let head = parse_head(text.as_bytes(), &mut slots).unwrap().unwrap();
        let request = Request { head, body: &mut [], ip: [127, 0, 0, 1].into(), id: 1 };
        let admission = admit(backend.state(), backend.router(), &request);
        let begun = begin(&backend, request, admission, 0);
        assert!(matches!(begun, Begun::Stepped(_, Ok(Step::Done))), "it answers at once");
        let token_id = crate::id::TokenId::parse(account.token.split_once('.').unwrap().0).unwrap();
        let snapshot = backend.harness.state.snapshot();
        let stored = snapshot.read().get(crate::store::tables::TOKENS, token_id).unwrap();
        stored.last_activity.to_native()
    };
    let first = ask();
    backend.harness.advance(59_999);
    assert_eq!(ask(), first);
    backend.harness.advance(1);
    assert_eq!(ask(), first + 60_000);
}

#[test]
fn answers_are_counted_as_his_who_asked_last_however_short() {
    let mut runtime =
        monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().with_entries(64).build().unwrap();
    runtime.block_on(async {
        let listener = monoio::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let config = Config::default();
        let connections = connections(&config);
        let registration = connections.register(stream.as_raw_fd());
        let mut socket = Socket::new(registration, stream, [127, 0, 0, 1].into());
        let state = Harness::with_config(config).state;
        let payer = |last| Payer::new(None, [192, 0, 2, last].into());
        let answer = |payer| Response { payer, body: b"{}".to_vec(), ..Response::default() };
        let form = Form::last(1, CorsLines::default());
        // Such as many short ones may come to.
        socket.output = vec![b'x'; 12 * MIB];
        assert!(socket.append(&state, &mut answer(Some(payer(1))), &form).is_none());
        assert!(socket.append(&state, &mut answer(None), &form).is_none());
        let mut flush = Box::pin(socket.flush(&state));
        poll_fn(|task| {
            assert!(flush.as_mut().poll(task).is_pending(), "nobody reads");
            Poll::Ready(())
        })
        .await;
        let status = |payer| state.unsent.refusal(payer).map(|error| error.status);
        assert_eq!((status(payer(1)), status(payer(2))), (Some(429), None));
        drop(client);
        assert!(flush.await.is_err());
        assert_eq!(status(payer(1)), None);
    });
}
