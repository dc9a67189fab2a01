//! What is let go on a core thread and ended by another one.
//!
//! Who closes the last descriptor of a file that has no name gives its blocks back to the disk, and waits for what is
//! still being written of it: up to 90 ms were seen while many upload. A core thread waits for nothing.

use std::any::Any;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

const NAME: &str = "closer";

/// As many wait here as there are open files, at most.
static CLOSER: OnceLock<Sender<Box<dyn Any + Send>>> = OnceLock::new();

/// Starts the thread, before any is pinned; `begin` is what it does first. Without it everything ends where it is let go.
///
/// # Errors
/// When the system gives no thread.
pub fn start(begin: fn()) -> io::Result<()> {
    let (closer, ended) = channel::<Box<dyn Any + Send>>();
    if CLOSER.set(closer).is_ok() {
        thread::Builder::new().name(NAME.into()).spawn(move || {
            begin();
            ended.into_iter().for_each(drop);
        })?;
    }
    Ok(())
}

/// Something that may be let go anywhere.
#[derive(Debug)]
pub struct EndedElsewhere<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> EndedElsewhere<T> {
    pub fn new(value: T) -> EndedElsewhere<T> {
        EndedElsewhere(Some(value))
    }
}

impl<T: Send + 'static> Deref for EndedElsewhere<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is there until it is let go")
    }
}

impl<T: Send + 'static> DerefMut for EndedElsewhere<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("it is there until it is let go")
    }
}

impl<T: Send + 'static> Drop for EndedElsewhere<T> {
    fn drop(&mut self) {
        if let (Some(value), Some(closer)) = (self.0.take(), CLOSER.get()) {
            // Who does not take it any more gives it back, and it ends here.
            let _ = closer.send(Box::new(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells which thread has ended it.
    struct Tells(std::sync::mpsc::Sender<Option<String>>);

    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().name().map(String::from));
        }
    }

    #[test]
    fn what_is_let_go_here_ends_elsewhere() {
        start(|| ()).unwrap();
        start(|| ()).unwrap();
        let (tell, told) = channel();
        for _ in 0..2 {
            drop(EndedElsewhere::new(Tells(tell.clone())));
            assert_eq!(told.recv().unwrap().as_deref(), Some(NAME));
        }
    }
}
