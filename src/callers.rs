//! Who may call a gateway that has a token of its own: the callers file, in TOML.
//!
//! ```toml
//! [[caller]]
//! name = "billing"                                  # in the log, the span and a metric
//! token_sha256 = ["…64 hexadecimal digits…"]        # several, for rotation
//! certificate_names = ["spiffe://example/billing"]  # DNS or URI names, any of them
//! teams = [1, 2]                                    # absent: all
//! methods = ["Create", "Get"]                       # absent: all
//! calls_per_second = 50                             # absent: no limit
//! ```
//!
//! An entry needs a token, certificate names, or both; with both, a caller has to show both. The
//! file has no secret: it has the SHA-256 of tokens, which are random and too long to be guessed.

mod file;
pub mod token;

use std::{
    collections::BTreeSet,
    num::NonZeroU32,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::Clock};
use subtle::ConstantTimeEq;

use self::token::TokenHash;
use crate::{
    reload::{self, File, FileProblem, Reloaded},
    telemetry::FileKind,
};

/// The setting that names the file.
const VARIABLE: &str = "GATEWAY_CALLERS_FILE";

/// The callers of a file.
#[derive(Debug)]
pub struct Callers {
    entries: Vec<Arc<KnownCaller>>,
}

/// An entry of the file.
#[derive(Debug)]
pub struct KnownCaller {
    name: Arc<str>,
    tokens: Vec<TokenHash>,
    certificate_names: Vec<String>,
    teams: Option<BTreeSet<i32>>,
    methods: Option<Vec<String>>,
    limiter: Option<Limiter>,
}

/// What a caller may call in a second.
#[derive(Clone, Debug)]
struct Limiter {
    calls_per_second: NonZeroU32,
    state: Arc<DefaultDirectRateLimiter>,
}

/// A call is of none of the callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It has no token, and its certificate, if it has one, is not enough.
    NoToken,
    /// Its token is no caller's, or not together with its certificate.
    Token,
}

// === impl Callers ===

impl Callers {
    /// Reads the text of a file. `with_certificates`: callers show certificates.
    ///
    /// # Errors
    /// The first thing that is wrong with it. No value of the file is repeated but names of callers.
    pub fn parse(text: &str, with_certificates: bool) -> Result<Self, String> {
        let entries = file::read(text, with_certificates)?;
        let entries = entries.into_iter().map(Arc::new).collect();
        Ok(Self { entries })
    }

    /// Reads a file once, to find out whether it can be used.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(path: PathBuf, with_certificates: bool) -> Result<(), FileProblem> {
        reload::once(&files(path), |contents| {
            Self::of(contents, with_certificates).map(drop)
        })
    }

    /// Reads a file, and again once in `every`.
    ///
    /// # Errors
    /// If it cannot be read or used.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(
        path: PathBuf,
        with_certificates: bool,
        every: Duration,
    ) -> Result<Reloaded<Self>, FileProblem> {
        let previous = Mutex::new(Vec::new());
        let make = move |contents: &[reload::Content]| {
            let mut callers = Self::of(contents, with_certificates)?;
            let mut previous = previous.lock().unwrap_or_else(PoisonError::into_inner);
            callers.take_over_limits(&previous);
            (*previous).clone_from(&callers.entries);
            Ok(callers)
        };
        Reloaded::open(FileKind::Callers, files(path), every, make)
    }

    fn of(contents: &[reload::Content], with_certificates: bool) -> Result<Self, FileProblem> {
        let text = contents
            .first()
            .and_then(|content| str::from_utf8(content).ok());
        let callers = match text {
            Some(text) => Self::parse(text, with_certificates),
            None => Err("is not UTF-8".to_owned()),
        };
        callers.map_err(|problem| FileProblem::new(VARIABLE, problem))
    }

    /// What a caller has used of its rate stays used when the file changes in other things.
    fn take_over_limits(&mut self, previous: &[Arc<KnownCaller>]) {
        for caller in self.entries.iter_mut().filter_map(Arc::get_mut) {
            let before = previous.iter().find(|before| before.name == caller.name);
            let (Some(now), Some(before)) = (
                &mut caller.limiter,
                before.and_then(|before| before.limiter.as_ref()),
            ) else {
                continue;
            };
            if now.calls_per_second == before.calls_per_second {
                now.state = before.state.clone();
            }
        }
    }

    /// The caller that has this token, these names in its certificate, or both.
    ///
    /// # Errors
    /// If there is none.
    pub fn identify(
        &self,
        token: Option<&str>,
        names: &[String],
    ) -> Result<&Arc<KnownCaller>, Unknown> {
        let Some(token) = token else {
            let mut with_certificate = self
                .entries
                .iter()
                .filter(|caller| caller.tokens.is_empty() && caller.has_certificate(names));
            return with_certificate.next().ok_or(Unknown::NoToken);
        };
        let hash = TokenHash::of(token);
        let mut found = None;
        for caller in &self.entries {
            // All are compared, so that the time says nothing about which one it is.
            if caller.has_token(&hash) {
                found = Some(caller);
            }
        }
        let found = found.ok_or(Unknown::Token)?;
        match found.certificate_names.is_empty() || found.has_certificate(names) {
            true => Ok(found),
            false => Err(Unknown::Token),
        }
    }
}

fn files(path: PathBuf) -> Vec<File> {
    vec![File {
        variable: VARIABLE,
        path,
    }]
}

// === impl KnownCaller ===

impl KnownCaller {
    /// What it is called in the log, the span and the metrics.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether it may do something in a team.
    #[must_use]
    pub fn may_use_team(&self, team: i32) -> bool {
        self.teams
            .as_ref()
            .is_none_or(|teams| teams.contains(&team))
    }

    /// Whether it may call a method, given as `package.Service/Method`.
    #[must_use]
    pub fn may_call(&self, method: &str) -> bool {
        let may = |methods: &Vec<String>| methods.iter().any(|allowed| allowed == method);
        self.methods.as_ref().is_none_or(may)
    }

    /// Takes one call from what it may make now.
    ///
    /// # Errors
    /// How long to wait, if it has made as many as it may.
    pub fn take(&self) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        let taken = limiter.state.check();
        taken.map_err(|until| until.wait_time_from(limiter.state.clock().now()))
    }

    fn has_token(&self, hash: &TokenHash) -> bool {
        let mut has = subtle::Choice::from(0);
        for token in &self.tokens {
            has |= token.ct_eq(hash);
        }
        has.into()
    }

    fn has_certificate(&self, names: &[String]) -> bool {
        names
            .iter()
            .any(|name| self.certificate_names.contains(name))
    }
}

// === impl Limiter ===

impl Limiter {
    /// At most so many calls in a second, and in a moment.
    fn new(calls_per_second: NonZeroU32) -> Self {
        let state = RateLimiter::direct(Quota::per_second(calls_per_second));
        Self {
            calls_per_second,
            state: Arc::new(state),
        }
    }
}

#[cfg(test)]
mod tests;
