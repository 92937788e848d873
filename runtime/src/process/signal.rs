//! Every signal has a rule. Those that ask for something become orders, which each pool of the process hears, also one
//! that is built later.

use std::fs;
use std::io;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use signal_hook::iterator;
use tokio::sync::watch;
use tokio::time::Instant;

use super::terminal;
use crate::log::{Limit, say};

/// Two SIGINTs closer than this are one: a terminal signals the whole process group, and a parent may pass it on.
const PERSON: Duration = Duration::from_millis(500);

/// What a worker does about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// The worker drains, and the drain is final. A repeat changes nothing.
    Drain,
    /// The same. A repeat from the foreground of a terminal forces.
    Interrupt,
    /// Nothing happens, but for a line in the log.
    None,
    /// Nothing happens: the threads block it.
    Block,
    /// The system's default, on purpose.
    Default,
}

/// One signal.
#[derive(Clone, Copy, Debug)]
pub struct SignalRule {
    signal: Signal,
    /// What happens.
    pub rule: Rule,
    /// Why, in a few words.
    pub why: &'static str,
}

impl SignalRule {
    /// The signal's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.signal.as_str()
    }

    /// Its number on this system.
    #[must_use]
    pub fn number(&self) -> i32 {
        self.signal as i32
    }
}

const fn rule(signal: Signal, rule: Rule, why: &'static str) -> SignalRule {
    SignalRule { signal, rule, why }
}

/// The rule of every signal but the real-time ones, which keep their default on purpose: libraries use them.
pub const SIGNALS: &[SignalRule] = &[
    rule(Signal::SIGTERM, Rule::Drain, "the platform will kill the process"),
    rule(Signal::SIGPWR, Rule::Drain, "the power fails, or LXC stops the container"),
    rule(Signal::SIGINT, Rule::Interrupt, "Ctrl-C, or a platform that stops with it"),
    rule(Signal::SIGHUP, Rule::None, "an ssh session that closed, or a log rotator: there is nothing to read again"),
    rule(Signal::SIGUSR1, Rule::None, "log rotators and scripts send it to any daemon"),
    rule(Signal::SIGUSR2, Rule::None, "log rotators and scripts send it to any daemon"),
    rule(Signal::SIGPIPE, Rule::None, "whoever writes gets an error"),
    rule(Signal::SIGALRM, Rule::None, "a timer that some library left behind"),
    rule(Signal::SIGVTALRM, Rule::None, "a timer that some library left behind"),
    rule(Signal::SIGXCPU, Rule::None, "the soft limit of processor time is a warning; the hard one kills"),
    rule(Signal::SIGXFSZ, Rule::None, "whoever writes gets an error, as on a full disk"),
    rule(Signal::SIGIO, Rule::None, "also SIGPOLL: a descriptor that some library left behind"),
    rule(Signal::SIGSTKFLT, Rule::None, "nothing sends it but a person"),
    rule(Signal::SIGTSTP, Rule::None, "Ctrl-Z would silence every call; SIGSTOP still does"),
    rule(Signal::SIGTTIN, Rule::Block, "a read from the terminal in the background gets an error instead"),
    rule(Signal::SIGTTOU, Rule::Block, "a line to the terminal from the background is written"),
    rule(Signal::SIGQUIT, Rule::Default, "ends with a core dump: how a person looks into a process that hangs"),
    rule(Signal::SIGPROF, Rule::Default, "belongs to profilers"),
    rule(Signal::SIGABRT, Rule::Default, "ends: a fault in the program, as are the next six"),
    rule(Signal::SIGBUS, Rule::Default, "ends"),
    rule(Signal::SIGFPE, Rule::Default, "ends"),
    rule(Signal::SIGILL, Rule::Default, "ends"),
    rule(Signal::SIGSEGV, Rule::Default, "ends"),
    rule(Signal::SIGSYS, Rule::Default, "ends"),
    rule(Signal::SIGTRAP, Rule::Default, "ends"),
    rule(Signal::SIGCHLD, Rule::Default, "nothing happens"),
    rule(Signal::SIGCONT, Rule::Default, "goes on after SIGSTOP"),
    rule(Signal::SIGURG, Rule::Default, "nothing happens"),
    rule(Signal::SIGWINCH, Rule::Default, "nothing happens"),
    rule(Signal::SIGKILL, Rule::Default, "ends: no process can change it"),
    rule(Signal::SIGSTOP, Rule::Default, "stops: no process can change it"),
];

/// What signals have asked of the process since it began.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    /// The first signal that asked to drain, and the last; `None` if none has.
    drain: Option<(Ask, Ask)>,
    /// How many have.
    drains: u64,
    /// Whether a person forces.
    force: bool,
}

/// A signal that asks to drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Its name.
    pub(crate) signal: &'static str,
    /// Whether it is the Ctrl-C of a person who sits at the terminal.
    pub(crate) typed: bool,
}

/// What a signal orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Drain(Ask),
    Force,
}

static ASKED: LazyLock<watch::Sender<Asked>> = LazyLock::new(watch::Sender::default);
static INSTALLED: Mutex<bool> = Mutex::new(false);
static WITHOUT_EFFECT: Limit = Limit::new();

/// The orders for one pool.
#[derive(Debug)]
pub(crate) struct Orders {
    asked: watch::Receiver<Asked>,
    heard: u64,
    forced: bool,
}

impl Orders {
    /// Listens from now on, and hears what was ordered before.
    pub(crate) fn listen() -> Self {
        Self { asked: ASKED.subscribe(), heard: 0, forced: false }
    }

    /// What is ordered next; of repeats of the first, the last one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Order {
        loop {
            let asked = *self.asked.borrow_and_update();
            if let Some((first, last)) = asked.drain.filter(|_| asked.drains > self.heard) {
                let is_first = self.heard == 0;
                self.heard = if is_first { 1 } else { asked.drains };
                return Order::Drain(if is_first { first } else { last });
            }
            if asked.force && !self.forced {
                self.forced = true;
                return Order::Force;
            }
            // The sender lives as long as the process.
            let _ = self.asked.changed().await;
        }
    }
}

/// Gives every signal its rule, once per process. A signal that somebody else handles or ignores by then, and that asks
/// for nothing here, is left to him.
pub(crate) fn install() -> io::Result<()> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if *installed {
        return mask();
    }
    let taken = taken();
    let is_ours = |of: &&SignalRule| match of.rule {
        Rule::Drain | Rule::Interrupt => true,
        Rule::None => taken & (1 << (of.number() - 1)) == 0,
        Rule::Block | Rule::Default => false,
    };
    let handled = iterator::Signals::new(SIGNALS.iter().filter(is_ours).map(SignalRule::number))?;
    mask()?;
    std::thread::Builder::new().name("openrtc-signals".into()).spawn(move || obey(handled, Person::default()))?;
    *installed = true;
    Ok(())
}

/// Blocks and unblocks for this thread, and for those that it starts from here on.
fn mask() -> io::Result<()> {
    let mut blocked = SigSet::empty();
    let mut unblocked = SigSet::empty();
    for of in SIGNALS {
        match of.rule {
            Rule::Block => blocked.add(of.signal),
            // The process may have inherited a mask from its parent, and would never hear.
            Rule::Drain | Rule::Interrupt => unblocked.add(of.signal),
            Rule::None | Rule::Default => {}
        }
    }
    blocked.thread_block()?;
    unblocked.thread_unblock()?;
    Ok(())
}

/// The signals that are handled or ignored already, a bit for each; none where the system does not tell.
fn taken() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let masks = status.lines().filter_map(|line| line.strip_prefix("SigCgt:").or_else(|| line.strip_prefix("SigIgn:")));
    masks.filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok()).fold(0, |all, mask| all | mask)
}

fn obey(mut signals: iterator::Signals, mut person: Person) {
    for number in signals.forever() {
        let Some(of) = SIGNALS.iter().find(|of| of.signal as i32 == number) else { continue };
        let signal = of.name();
        match of.rule {
            Rule::Drain => ask(Ask { signal, typed: false }),
            Rule::Interrupt => match person.presses(terminal::is_foreground(), Instant::now()) {
                Press::Other => ask(Ask { signal, typed: false }),
                Press::First => ask(Ask { signal, typed: true }),
                Press::Again => {
                    ASKED.send_modify(|asked| asked.force = true);
                }
                Press::Same => {}
            },
            Rule::None | Rule::Block | Rule::Default => {
                if let Some(suppressed) = WITHOUT_EFFECT.pass() {
                    say(move || tracing::info!(signal, suppressed, "the signal has no effect"));
                }
            }
        }
    }
}

fn ask(ask: Ask) {
    ASKED.send_modify(|asked| {
        asked.drain = Some((asked.drain.map_or(ask, |(first, _)| first), ask));
        asked.drains += 1;
    });
}

/// The person at the terminal.
#[derive(Debug, Default)]
struct Person {
    pressed: Option<Instant>,
}

/// What a SIGINT is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Press {
    /// It does not come from the terminal.
    Other,
    /// The first Ctrl-C.
    First,
    /// The one before, heard twice.
    Same,
    /// Another Ctrl-C.
    Again,
}

impl Person {
    /// Judges a SIGINT that comes while the process is in the terminal's foreground, or is not.
    fn presses(&mut self, foreground: bool, now: Instant) -> Press {
        if !foreground {
            return Press::Other;
        }
        match self.pressed.replace(now) {
            None => Press::First,
            Some(before) if now.duration_since(before) < PERSON => Press::Same,
            Some(_) => Press::Again,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_second_press_at_the_terminal_forces() {
        let mut person = Person::default();
        let start = Instant::now();
        let pressed = [
            (false, 0, Press::Other),
            (false, 2_000, Press::Other),
            (true, 4_000, Press::First),
            (true, 4_100, Press::Same),
            (false, 6_000, Press::Other),
            (true, 8_000, Press::Again),
        ];
        for (foreground, millis, is) in pressed {
            assert_eq!(person.presses(foreground, start + Duration::from_millis(millis)), is, "at {millis} ms");
        }
    }

    #[test]
    fn every_signal_has_one_rule() {
        for signal in Signal::iterator() {
            assert_eq!(SIGNALS.iter().filter(|of| of.signal == signal).count(), 1, "{signal}");
        }
    }
}
