//! The terminal: its keys, its size, and its state before and after.
//!
//! It is restored on every way out: a key, an error, a signal, a panic.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::board::{Board, Key, News};
use crate::driver::clock;

/// How late a reading or a signal may be noticed.
const PERIOD: Duration = Duration::from_millis(100);

/// Time from a signal to the end; a terminal that is gone never answers the thread that reads its keys.
const GRACE: Duration = Duration::from_millis(500);

/// The signal that has asked for the end; 0 is none.
static SIGNALLED: AtomicI32 = AtomicI32::new(0);

/// Draws until a key or a signal ends it; returns the signal.
pub(super) fn run(mut board: Board, feed: &Receiver<News>) -> io::Result<Option<i32>> {
    catch_signals()?;
    thread::Builder::new().spawn(end_by_signal)?;
    let mut terminal = ratatui::try_init()?;
    let outcome = draw(&mut terminal, &mut board, feed);
    ratatui::try_restore()?;
    outcome
}

fn draw(terminal: &mut DefaultTerminal, board: &mut Board, feed: &Receiver<News>) -> io::Result<Option<i32>> {
    let mut is_new = true;
    loop {
        match SIGNALLED.load(Relaxed) {
            0 => {}
            signal => return Ok(Some(signal)),
        }
        if board.tick(clock::now()) || is_new {
            terminal.draw(|frame| board.draw(frame))?;
        }
        is_new = match feed.try_recv() {
            Ok(news) => {
                board.hear(news);
                true
            }
            Err(TryRecvError::Empty) => false,
            Err(TryRecvError::Disconnected) => return Err(io::Error::other("the reading thread has ended")),
        };
        if !event::poll(if is_new { Duration::ZERO } else { PERIOD })? {
            continue;
        }
        is_new = true;
        match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                if let Some(key) = meaning(key)
                    && board.press(key)
                {
                    return Ok(None);
                }
            }
            _ => {}
        }
    }
}

/// Ends the process after a signal if reading keys does not: crossterm reads a terminal that has hung up for ever.
#[expect(clippy::disallowed_methods, reason = "main waits for a terminal that is gone, and never returns")]
fn end_by_signal() {
    loop {
        thread::sleep(PERIOD);
        let signal = SIGNALLED.load(Relaxed);
        if signal != 0 {
            thread::sleep(GRACE);
            // The terminal may be gone.
            let _ = ratatui::try_restore();
            std::process::exit(signal.saturating_add(128));
        }
    }
}

fn meaning(key: KeyEvent) -> Option<Key> {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c' | 'd') if is_control => Key::Quit,
        KeyCode::Char(_) if is_control => return None,
        KeyCode::Char(letter) => Key::Letter(letter),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    })
}

extern "C" fn note(signal: libc::c_int) {
    SIGNALLED.store(signal, Relaxed);
}

fn catch_signals() -> io::Result<()> {
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        // SAFETY: the handler only stores to an atomic variable.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}
