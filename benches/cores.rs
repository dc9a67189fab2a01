//! Two cores against one, without a client or a kernel in the way: the same work on one pinned thread and on two.
//!
//! Fan-out: one thread with all sessions, or two with half of them each; every event reaches the second through the
//! rings between cores, as ephemeral events do. Requests: `GET /users/@me` from the bytes of the head to those of the
//! answer, over one store and one limiter. Prints rates and the factor; the machine must be quiet.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use plexichat::domain::Output;
use plexichat::gateway::{Action, Liveboard, Mail};
use plexichat::runtime::cpu;
use plexichat::runtime::mailbox::{Endpoint, mesh};
use plexichat::runtime::shared_map::{Writer, shared_map};
use world::gateway::{Gateway, Shape, Stock, message};
use world::service::{Service, Shared};

#[allow(dead_code, reason = "each bench uses its part")]
mod world;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events that one turn delivers.
const EVENTS_PER_TURN: usize = 4;

fn main() {
    let cores = cpu::available().expect("the kernel says which cores there are");
    let test = world::is_test();
    if cores.len() < 2 {
        println!("one core only: nothing to compare");
        return;
    }
    let (sessions, events, requests) = if test { (40, 8, 50) } else { (20_000, 1_000, 500_000) };
    let message = message();
    report("fan-out", "deliveries", sessions * events as u64, |count| {
        fan_out(&cores[..count], sessions, events, &message)
    });
    let world = world::World::new(1_000.min(requests as usize), 0);
    report("GET /users/@me", "requests", requests, |count| serve(&cores[..count], &world, requests));
}

/// The best of five each, in turn, so that a slower moment meets both.
fn report(name: &str, unit: &str, work: u64, run: impl Fn(usize) -> Duration) {
    let rounds: Vec<[Duration; 2]> = (0..5).map(|_| [run(1), run(2)]).collect();
    let best = [0, 1].map(|index| rounds.iter().map(|round| round[index]).min().expect("five rounds"));
    let rate = best.map(|time| work as f64 / time.as_secs_f64() / 1e6);
    println!(
        "{name}: {:.2} M {unit}/s on one core, {:.2} M on two, factor {:.2}",
        rate[0],
        rate[1],
        rate[1] / rate[0]
    );
}

/// Time from the common start to the end of the last.
fn race(cores: &[usize], work: impl Fn(usize, &Barrier) + Sync) -> Duration {
    let start = Barrier::new(cores.len() + 1);
    thread::scope(|scope| {
        for (index, &core) in cores.iter().enumerate() {
            let (work, start) = (&work, &start);
            scope.spawn(move || {
                cpu::pin(core).expect("the core is available");
                work(index, start);
            });
        }
        start.wait();
        Instant::now()
    })
    .elapsed()
}

/// What one core is made of, until its thread takes it.
type Parts = std::sync::Mutex<Option<(Writer, Endpoint<Mail>)>>;

fn fan_out(cores: &[usize], sessions: u64, events: usize, message: &Output) -> Duration {
    let stock = Arc::new(Stock::new(Shape::one(sessions)));
    let count = cores.len();
    let (writers, readers): (Vec<_>, Vec<_>) = (0..count).map(|_| shared_map(1)).unzip();
    let live: Vec<_> = (0..count).map(|_| std::sync::Mutex::new(Some(Liveboard(readers.clone())))).collect();
    let endpoints = mesh(count, 1_024).expect("there are descriptors");
    let parts: Vec<Parts> = writers.into_iter().zip(endpoints).map(|parts| Some(parts).into()).collect();
    let Output::Event(event) = message else { unreachable!("a message makes an event") };
    let event = Arc::new(event.clone());
    race(cores, |index, start| {
        let (writer, mut mailbox) = parts[index].lock().expect("nobody panics").take().expect("once");
        let live = live[index].lock().expect("nobody panics").take().expect("once");
        let mut gateway = Gateway::on_core(index, count, writer, live, stock.clone(), |_| ());
        // Each core has the users whose home it is.
        (1..=sessions).filter(|user| *user as usize % count == index).for_each(|user| gateway.identify(user));
        drop(gateway.hub.take_actions());
        let before = gateway.hub.counters.dispatch_count;
        start.wait();
        let mut done = 0;
        while done < events {
            if index == 0 {
                let turn = EVENTS_PER_TURN.min(events - done);
                (0..turn).for_each(|_| gateway.with_cx(|cx, hub| hub.broadcast(cx, event.clone())));
                for action in gateway.hub.take_actions() {
                    let Action::Mail { to, mail } = action else { continue };
                    assert!(mailbox.send_or_queue(to, mail).is_ok(), "the backlog is unbounded");
                }
                done += turn;
            } else {
                done += mailbox.drain(|_, mail| gateway.with_cx(|cx, hub| hub.on_mail(cx, mail)));
            }
            mailbox.flush();
            gateway.flush();
        }
        while mailbox.flush() > 0 {}
        assert_eq!(gateway.hub.counters.dispatch_count - before, (events * gateway.ids.len()) as u64);
    })
}

fn serve(cores: &[usize], world: &world::World, requests: u64) -> Duration {
    let shared = Shared::new();
    race(cores, |index, start| {
        // At the same moment the cores serve different users.
        let mut service = Service::new(&shared, world, index * world.users.len() / cores.len());
        start.wait();
        (0..requests / cores.len() as u64).for_each(|_| service.me());
    })
}
