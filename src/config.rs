//! Every setting once: flag, environment variable, default, meaning.
//!
//! clap reads them as text, so that [`Config::read`] can report all mistakes at once, each by the
//! name of its variable. What it makes is split into the Settings of the rooms. A value is never
//! repeated in a mistake: it may be a secret in the wrong place.

mod args;
mod read;
mod telemetry;

use std::fmt;

pub use self::{
    args::{Args, SECRETS, WITH_PASSWORD},
    read::without_password,
};
use crate::{
    app,
    telemetry::{Logs, Settings as Telemetry},
};

/// All that the gateway needs to know to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The rooms' settings.
    pub app: app::Settings,
    /// What is logged, and how.
    pub logs: Logs,
    /// What is measured and exported, apart from the log.
    pub telemetry: Telemetry,
    /// Threads of the runtime. `None`: one a core.
    pub worker_threads: Option<usize>,
}

/// All that is wrong with the settings, a line each.
#[derive(Debug)]
pub struct Mistakes(Vec<Mistake>);

#[derive(Debug)]
struct Mistake {
    variable: &'static str,
    problem: String,
}

// === impl Mistakes ===

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Mistake { variable, problem }) in self.0.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{variable}: {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
