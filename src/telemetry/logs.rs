//! Logs: one line a call, on stderr; text for people, JSON for machines.
//!
//! A line has a sentence and fields; a field's unit is in its name. ERROR asks an operator to
//! act, WARN reports something degraded, INFO the start and end of the process and each call, DEBUG
//! decisions during a call. No line holds a body, a token or a text of upstream's.
//!
//! Lines are written by a thread of their own, up to [`PAUSE`] later: a reader of stderr that is slow
//! or stuck delays no call, and calls that end together are written together.

use std::{
    io::{self, BufWriter, IsTerminal, Write},
    sync::OnceLock,
    time::Duration,
};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, LevelFilter, ParseError},
    fmt,
    layer::SubscriberExt,
    registry::Registry,
    reload,
    util::SubscriberInitExt,
};

use super::panics;

/// Targets whose lines may hold what a caller or upstream sent: HTTP libraries print headers and
/// bodies at their lower levels, and h2 and rustls warn of what callers do. They are off whatever the
/// filter says; failed handshakes have lines of our own.
const NEVER: &str = "h2=error,hyper=info,hyper_util=info,reqwest=info,rustls=off,tonic=info,\
                     tower=info,axum=info";

/// Lines that wait to be written. More are dropped, and counted.
const MAX_WAITING: usize = 8192;
/// How long lines are collected before they are written together.
const PAUSE: Duration = Duration::from_millis(5);
/// Bytes that are written at once.
const CHUNK: usize = 64 * 1024;

/// The lines that were dropped.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// The filter at work, to be changed while the process runs.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people, coloured on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct Logs {
    /// An env-filter directive. Default `info`.
    pub filter: String,
    /// Default: text if stderr is a terminal, else JSON.
    pub format: Format,
}

/// Keeps the log going. Dropped, the lines that wait are written.
#[must_use]
#[derive(Debug)]
pub struct Logging {
    _worker: Option<WorkerGuard>,
}

/// Rests after each flush, so that the next lines are written together.
struct Collecting<W>(W);

/// The filter cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InvalidFilter {
    /// It is no env-filter.
    #[error("{0}")]
    Syntax(#[from] ParseError),
    /// A word that is no level. `EnvFilter` would read it as a target, show that target's lines
    /// and hide all others: a typing mistake would silence the log.
    #[error(
        "a word alone must be off, error, warn, info, debug or trace; a target needs a level, \
         as in chartbrew_gateway=debug"
    )]
    NoLevel,
}

/// The filter cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum NotChanged {
    /// It is no env-filter.
    #[error("this is no filter: {0}")]
    Invalid(#[from] InvalidFilter),
    /// The log was set up by the program that uses the library, as in tests.
    #[error("the log was not set up here")]
    NotOurs,
}

/// What is logged now.
#[must_use]
pub fn filter() -> Option<String> {
    FILTER.get()?.with_current(ToString::to_string).ok()
}

/// Changes what is logged from now on.
///
/// # Errors
/// If it is no env-filter, or the log was not set up by [`Logs::init`].
pub fn set_filter(filter: &str) -> Result<(), NotChanged> {
    let filter = parse(filter)?;
    let handle = FILTER.get().ok_or(NotChanged::NotOurs)?;
    handle.reload(filter).map_err(|_| NotChanged::NotOurs)
}

/// How many lines were dropped because stderr did not take them.
pub(super) fn dropped() -> usize {
    DROPPED.get().map_or(0, ErrorCounter::dropped_lines)
}

fn parse(filter: &str) -> Result<EnvFilter, InvalidFilter> {
    for directive in filter.split(',').map(str::trim) {
        let is_word = !directive.is_empty() && !directive.contains(['=', '[']);
        if is_word && directive.parse::<LevelFilter>().is_err() {
            return Err(InvalidFilter::NoLevel);
        }
    }
    Ok(EnvFilter::try_new(filter)?)
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: Format::of_stderr(),
        }
    }
}

impl Format {
    /// Text for a person at a terminal, JSON for whatever else reads stderr.
    #[must_use]
    pub fn of_stderr() -> Self {
        match std::io::stderr().is_terminal() {
            true => Self::Text,
            false => Self::Json,
        }
    }
}

impl Logs {
    /// Reads the filter without putting it to work.
    ///
    /// # Errors
    /// If it is no env-filter.
    pub fn check(&self) -> Result<(), InvalidFilter> {
        parse(&self.filter).map(drop)
    }

    /// Starts to log, panics too. Does nothing if the process logs already. What it returns is to be
    /// kept for as long as there may be something to log.
    ///
    /// # Errors
    /// If the filter is no env-filter.
    pub fn init(&self) -> Result<Logging, InvalidFilter> {
        let (filter, handle) = reload::Layer::new(parse(&self.filter)?);
        let (writer, worker) = NonBlockingBuilder::default()
            .buffered_lines_limit(MAX_WAITING)
            .thread_name("log")
            .finish(Collecting(BufWriter::with_capacity(CHUNK, io::stderr())));
        let dropped = writer.error_counter();
        let layer = self.lines(writer, filter)?;
        // A test may have set up its own subscriber.
        if Registry::default().with(layer).try_init().is_err() {
            return Ok(Logging { _worker: None });
        }
        panics::log_them();
        drop(FILTER.set(handle));
        drop(DROPPED.set(dropped));
        Ok(Logging {
            _worker: Some(worker),
        })
    }

    /// The layer that writes the lines.
    ///
    /// # Errors
    /// If the filter is no env-filter.
    pub fn layer<W>(&self, writer: W) -> Result<impl Layer<Registry> + use<W>, InvalidFilter>
    where
        W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
    {
        self.lines(writer, parse(&self.filter)?)
    }

    fn lines<W, F>(
        &self,
        writer: W,
        asked: F,
    ) -> Result<impl Layer<Registry> + use<W, F>, InvalidFilter>
    where
        W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
        F: tracing_subscriber::layer::Filter<Registry> + Send + Sync + 'static,
    {
        let allowed = EnvFilter::try_new(format!("trace,{NEVER}"))?;
        let lines = fmt::layer().with_writer(writer);
        let lines = match self.format {
            Format::Text => lines
                .with_ansi(std::io::stderr().is_terminal())
                .with_target(false)
                .boxed(),
            Format::Json => lines.json().flatten_event(true).boxed(),
        };
        Ok(lines.with_filter(asked.and(allowed)))
    }
}

impl<W: Write> Write for Collecting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        std::thread::sleep(PAUSE);
        Ok(())
    }
}
