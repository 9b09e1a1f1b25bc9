//! The settings: flags, environment variables, defaults.
//!
//! [`table`] defines each setting once; the flags, `--help`, the README's tables, `check` and the
//! modules' `Settings` follow from it. A default is the one of the module that uses it. All
//! problems are reported at once, each by the name of its variable. A problem never repeats a
//! value, which may be a secret in the wrong place.

mod args;
mod parse;
mod read;
mod security;
mod setting;
mod shown;
mod table;
mod telemetry;
#[cfg(test)]
mod tests;

pub use self::args::{Args, unknown_variables};
use crate::{
    app,
    telemetry::{Logs, Settings as Telemetry},
};

/// All settings of the process.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The settings of the modules.
    pub app: app::Settings,
    /// What is logged, and how.
    pub logs: Logs,
    /// Which metrics and traces are made and sent.
    pub telemetry: Telemetry,
    /// Threads of the runtime. `None`: one a core.
    pub worker_threads: Option<usize>,
}

/// All that is wrong with the settings, a line each.
#[derive(Debug, Default, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, variable: &str, problem: impl std::fmt::Display) {
        self.0.push(format!("{variable}: {problem}"));
    }

    /// Whether there is one of a variable whose name begins like this.
    fn have(&self, variable: &str) -> bool {
        self.0.iter().any(|problem| problem.starts_with(variable))
    }
}
