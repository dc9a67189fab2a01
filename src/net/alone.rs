//! Commands such as `plexichat bot create` while no server runs: they open the store themselves, and are its log.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::clock::start_clock;
use super::control;
use super::server::{node, store_options};
use crate::api::admin::first;
use crate::api::operator::{Place, carry_out};
use crate::config::{Config, Loaded};
use crate::domain::{Command, Error, Now, Refusal, Reply, Result};
use crate::effect::credentials::Credentials;
use crate::effect::run_alone;
use crate::log::apply::{Applier, Extent, Failure};
use crate::log::entry::{Entry, Place as LogPlace};
use crate::runtime::clock::Turn;
use crate::search;
use crate::store::keyring::{KeyInfo, Keyring};
use crate::store::{Room, Snapshot, Store, WriteError, space_advice};

/// Carries out a request of the operator: by the server that runs on the data folder, or here when none does.
///
/// # Errors
/// Why it was refused, or what to do first.
pub fn operate(loaded: &Loaded, request: &str) -> std::result::Result<String, String> {
    let folder = Path::new(&loaded.config.store.path);
    match control::ask(folder, request)? {
        Some(answer) => answer,
        None => Alone::open(&loaded.config)?.carry_out(request).map_err(|error| error.message.into_owned()),
    }
}

/// Makes the first administrator of a store, if it has none, before anybody is served. Says where his password stands.
///
/// # Errors
/// When it cannot be written down, or he cannot be made.
pub fn first_admin(
    config: &Config,
    store: &Arc<Store>,
    keys: &Arc<Keyring>,
) -> std::result::Result<Option<String>, String> {
    if !config.admin_ui.enabled {
        return Ok(None);
    }
    let alone = Alone::with(config, store.clone(), keys.clone());
    at_once(first::make(&alone)).map_err(|error| {
        let advice = space_advice(Path::new(&config.store.path));
        format!("cannot make the first administrator: {}{advice}", error.message)
    })
}

/// What comes of something that waits for nothing.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => unreachable!("everything is decided at once here"),
    }
}

/// A store that nobody else has open.
struct Alone<'c> {
    config: &'c Config,
    store: Arc<Store>,
    keys: Arc<Keyring>,
    applier: RefCell<Applier>,
    place: Cell<LogPlace>,
}

impl<'c> Alone<'c> {
    fn open(config: &'c Config) -> std::result::Result<Alone<'c>, String> {
        let options = store_options(&config.store, 1);
        if !options.path.join("data.mdb").exists() {
            let folder = options.path.display();
            return Err(format!(
                "there is no store in {folder}: start the server once, or name its folder with --data"
            ));
        }
        let store = Arc::new(Store::open(&options).map_err(|error| error.to_string())?);
        start_clock(&store, config.runtime.any_clock)?;
        let keys = store.unlock(config.messaging.encrypt_messages)?;
        Ok(Alone::with(config, store, keys))
    }

    fn with(config: &'c Config, store: Arc<Store>, keys: Arc<Keyring>) -> Alone<'c> {
        let applier = Applier::new(store.clone(), Arc::default());
        let position = applier.position();
        let epoch = position.epoch.checked_add(1).expect("nobody opens a store 4 billion times");
        let place = LogPlace { partition: position.partition, origin: node(config), epoch, sequence: 0 };
        Alone { config, store, keys, applier: RefCell::new(applier), place: Cell::new(place) }
    }

    fn carry_out(&self, request: &str) -> Result<String> {
        let mut request = request.as_bytes().to_vec();
        at_once(carry_out(self, &mut request))
    }

    fn apply(&self, command: Command) -> Result<Reply> {
        let is_fit = match self.store.room() {
            Room::Plenty => true,
            Room::ForDeletes => command.op.row().marks.frees_room,
            Room::None => false,
        };
        if !is_fit {
            return Err(Refusal::StoreFull.into());
        }
        let place = LogPlace { sequence: self.place.get().sequence + 1, ..self.place.get() };
        let entry = Entry { place, now: self.moment(), commands: vec![command] };
        let applied = self.applier.borrow_mut().apply(&entry, Extent::Whole).map_err(refusal)?;
        self.place.set(place);
        applied.replies.into_iter().next().expect("one command has one reply")
    }
}

fn refusal(failure: Failure) -> Error {
    match failure {
        Failure::Write(WriteError::Full) => Refusal::StoreFull.into(),
        Failure::Write(error) => Error::new(503, format!("The change could not be written to disk: {error}")),
        Failure::Damaged(_) => Refusal::StoreDamaged.into(),
    }
}

impl Place for Alone<'_> {
    fn config(&self) -> &Config {
        self.config
    }

    fn snapshot(&self) -> Rc<Snapshot> {
        Rc::new(self.store.snapshot())
    }

    fn moment(&self) -> Now {
        let now = Turn::now();
        Now { unix_ms: now.unix_ms, steady_ms: now.steady_ms }
    }

    fn decide(&self, command: Command) -> Pin<Box<dyn Future<Output = Result<Reply>> + '_>> {
        Box::pin(std::future::ready(self.apply(command)))
    }

    fn keys(&self) -> &Keyring {
        &self.keys
    }

    fn rotate(&self) -> Pin<Box<dyn Future<Output = Result<KeyInfo>> + '_>> {
        Box::pin(std::future::ready(self.store.rotate(&self.keys).map_err(|why| Error::new(503, why))))
    }

    fn renew_index(&self) -> Result<String> {
        let settings = search::Settings::new(self.config.store.map_size as usize);
        search::build_alone(self.store.clone(), &self.keys, settings).map_err(|error| Error::new(503, error))
    }

    fn credentials(&self, work: Credentials) -> Pin<Box<dyn Future<Output = Result<String>> + '_>> {
        let done = run_alone(work).unwrap_or_else(|error| Err(format!("cannot hash a password: {error}")));
        Box::pin(std::future::ready(done.map_err(|why| Error::new(503, why))))
    }
}
