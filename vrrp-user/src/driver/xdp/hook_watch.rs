//! Questions of the engine whether the program is still attached, and the first one there.
//!
//! Enters: the hooks of interfaces, and the engine's questions. Leaves: answers in atomics, which the engine reads
//! without waiting. Absent: attaching it again.
//!
//! The kernel answers under the lock of all interfaces of the machine (RTNL), and takes that lock again when the last
//! descriptor of a link is closed. Any process that removes many interfaces, also in another network namespace, holds
//! it for up to seconds. So hooks are queried and closed on an ordinary thread, which starts with the first hook.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{Builder, Thread, park};

use super::hook::Hook;

const STACK: usize = 128 * 1024;

/// Whether the program gets the frames of one interface, as the kernel has said last.
#[derive(Debug)]
pub struct Attachment {
    is_asked: AtomicBool,
    is_detached: AtomicBool,
    thread: Thread,
}

impl Attachment {
    /// The latest answer of the kernel, false until there is one. Has the kernel queried again; never waits for it.
    pub fn is_detached(&self) -> bool {
        if !self.is_asked.swap(true, Release) {
            self.thread.unpark();
        }
        self.is_detached.load(Acquire)
    }
}

/// The thread that queries and closes hooks.
#[derive(Debug, Default)]
pub struct HookWatch {
    thread: Option<(Thread, Sender<Change>)>,
}

/// The hook of an interface from now on.
type Change = (u32, Option<(Query, Arc<Attachment>)>);

/// Whether the program is attached, with none of others before it.
type Query = Box<dyn Fn() -> bool + Send>;

impl HookWatch {
    /// Watches this hook of the interface instead of an earlier one; `None`: none.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn set(&mut self, ifindex: u32, hook: Option<Hook>) -> io::Result<Option<Arc<Attachment>>> {
        let query =
            |hook: Hook| Box::new(move || hook.is_attached() && hook.preceded_by().is_none()) as Query;
        self.set_query(ifindex, hook.map(query))
    }

    fn set_query(&mut self, ifindex: u32, query: Option<Query>) -> io::Result<Option<Arc<Attachment>>> {
        if self.thread.is_none() && query.is_none() {
            return Ok(None);
        }
        let (thread, changes) = match &self.thread {
            Some(running) => running,
            None => self.thread.insert(start()?),
        };
        let watched = query.map(|query| {
            let (is_asked, is_detached) = (AtomicBool::new(false), AtomicBool::new(false));
            (query, Arc::new(Attachment { is_asked, is_detached, thread: thread.clone() }))
        });
        let attachment = watched.as_ref().map(|(_, attachment)| Arc::clone(attachment));
        changes.send((ifindex, watched)).map_err(|_| io::ErrorKind::BrokenPipe)?;
        thread.unpark();
        Ok(attachment)
    }
}

impl Drop for HookWatch {
    fn drop(&mut self) {
        if let Some((thread, changes)) = self.thread.take() {
            drop(changes);
            thread.unpark();
        }
    }
}

fn start() -> io::Result<(Thread, Sender<Change>)> {
    let (sender, changes) = channel();
    let thread = Builder::new().name("hooks".to_owned()).stack_size(STACK).spawn(move || watch(&changes))?;
    Ok((thread.thread().clone(), sender))
}

fn watch(changes: &Receiver<Change>) {
    let mut hooks = HashMap::new();
    loop {
        loop {
            match changes.try_recv() {
                Ok((ifindex, Some(watched))) => drop(hooks.insert(ifindex, watched)),
                Ok((ifindex, None)) => drop(hooks.remove(&ifindex)),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        for (query, attachment) in hooks.values() {
            // A question that comes meanwhile is another one.
            if attachment.is_asked.swap(false, Acquire) {
                attachment.is_detached.store(!query(), Release);
            }
        }
        park();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::driver::clock;

    const LIMIT: Duration = Duration::from_secs(10);

    fn until(what: &str, mut is_so: impl FnMut() -> bool) {
        let end = clock::now() + LIMIT;
        while !is_so() {
            assert!(clock::now() < end, "{what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_kernel_that_does_not_answer_keeps_no_caller_waiting() {
        let (mut watch, lock) = (HookWatch::default(), Arc::new(Mutex::new(false)));
        let held = lock.lock().unwrap();
        let kernel = Arc::clone(&lock);
        let query = move || *kernel.lock().unwrap();
        let attachment = watch.set_query(7, Some(Box::new(query))).unwrap().unwrap();
        assert!(!attachment.is_detached(), "not known yet");
        let begun = clock::now();
        assert!(!(0..1000).any(|_| attachment.is_detached()));
        watch.set_query(8, None).unwrap();
        assert!(clock::now().since(begun) < LIMIT);
        drop(held);
        until("the answer", || attachment.is_detached.load(Acquire));
    }

    #[test]
    fn each_question_gets_a_new_answer() {
        let (mut watch, state) = (HookWatch::default(), Arc::new(AtomicBool::new(true)));
        let kernel = Arc::clone(&state);
        let attachment = watch.set_query(7, Some(Box::new(move || kernel.load(Acquire)))).unwrap().unwrap();
        for is_attached in [true, false, true, false] {
            state.store(is_attached, Release);
            until("the answer", || attachment.is_detached() != is_attached);
        }
    }

    #[test]
    fn a_hook_is_closed_by_the_thread_that_queries_it() {
        struct Closed(Sender<Option<String>>);
        impl Drop for Closed {
            fn drop(&mut self) {
                self.0.send(std::thread::current().name().map(str::to_owned)).unwrap();
            }
        }
        let (mut watch, (sender, closed)) = (HookWatch::default(), channel());
        let hook = || {
            let closed = Closed(sender.clone());
            let query: Query = Box::new(move || {
                let _open = &closed;
                true
            });
            query
        };
        let first = watch.set_query(7, Some(hook())).unwrap().unwrap();
        watch.set_query(7, Some(hook())).unwrap();
        assert_eq!(closed.recv_timeout(LIMIT).unwrap().as_deref(), Some("hooks"));
        drop(first);
        watch.set_query(7, None).unwrap();
        assert_eq!(closed.recv_timeout(LIMIT).unwrap().as_deref(), Some("hooks"));
        watch.set_query(7, Some(hook())).unwrap();
        drop(watch);
        assert_eq!(closed.recv_timeout(LIMIT).unwrap().as_deref(), Some("hooks"));
    }
}
