//! Who calls, and the token to go on with, before the message is read.
//!
//! A caller without a token is refused before it can make the gateway read a message of several
//! megabytes.
//!
//! | the gateway has | the caller shows | sent to Chartbrew |
//! |---|---|---|
//! | no token of its own | a Chartbrew token | the caller's token |
//! | a token of its own | nothing | the gateway's token |
//! | a token of its own and a callers file | a token or a certificate of an entry | the gateway's token |

use std::{path::PathBuf, sync::Arc, time::Duration};

use http::HeaderMap;
use tokio::sync::watch;

use super::bearer::{self, TokenMissing};
use crate::{
    callers::{Callers, KnownCaller, Unknown},
    chartbrew::Token,
    reload::{self, Content, File, FileProblem, Reloaded},
    telemetry::{FileKind, Method},
};

/// The setting that names the file of the gateway's own token.
const TOKEN_FILE: &str = "CHARTBREW_TOKEN_FILE";

/// The gateway's own token.
#[derive(Clone, Debug)]
pub enum OwnToken {
    /// This one.
    Fixed(Token),
    /// The one in this file.
    File(PathBuf),
}

/// How callers are identified. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity {
    own: Option<Reloaded<Token>>,
    callers: Option<Reloaded<Callers>>,
}

/// A caller that may go on.
#[derive(Clone, Debug, Default)]
pub(super) struct Identified {
    /// The token for Chartbrew. `None` for methods that need none.
    pub(super) token: Option<Token>,
    /// The entry of the callers file.
    pub(super) caller: Option<Arc<KnownCaller>>,
}

/// Why a call is refused before its message is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// It has no token.
    #[error(transparent)]
    TokenMissing(#[from] TokenMissing),
    /// It has neither a token nor a certificate of an entry.
    #[error(
        "the gateway does not know the caller: send `authorization: Bearer <token>` with a token of \
         this gateway, or use a client certificate that it knows"
    )]
    NotIdentified,
    /// Its token is none of the gateway's.
    #[error(
        "the token is not one of this gateway, or not together with the caller's certificate; a \
         Chartbrew token is none"
    )]
    UnknownToken,
    /// The caller may not call this method.
    #[error("the caller may not call this method")]
    MethodNotAllowed,
    /// The caller has made as many calls as it may for now.
    #[error("the caller makes more calls per second than it may; nothing was sent")]
    TooFast(Duration),
}

// === impl OwnToken ===

impl OwnToken {
    /// Reads the file, if it is one, to find out whether it can be used.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), FileProblem> {
        match self {
            Self::Fixed(_) => Ok(()),
            Self::File(path) => reload::once(&token_file(path), read_token).map(drop),
        }
    }

    fn open(&self, every: Duration) -> Result<Reloaded<Token>, FileProblem> {
        match self {
            Self::Fixed(token) => Ok(Reloaded::fixed(token.clone())),
            Self::File(path) => {
                Reloaded::open(FileKind::Token, token_file(path), every, read_token)
            }
        }
    }
}

fn token_file(path: &std::path::Path) -> Vec<File> {
    let (variable, path) = (TOKEN_FILE, path.to_owned());
    vec![File { variable, path }]
}

fn read_token(contents: &[Content]) -> Result<Token, FileProblem> {
    let text = contents.first().map(|content| str::from_utf8(content));
    let text = text.and_then(Result::ok).unwrap_or_default();
    Token::parse(text.trim()).map_err(|error| FileProblem::new(TOKEN_FILE, error.to_string()))
}

// === impl Identity ===

impl Identity {
    /// Reads the files of the settings, and again once in `every`.
    pub(super) fn open(settings: &super::Settings, every: Duration) -> Result<Self, FileProblem> {
        let own = settings.own_token.as_ref().map(|own| own.open(every));
        let with_certificates = settings.tls.needs_client_certificates();
        let file = settings.callers_file.clone();
        let callers = file.map(|path| Callers::open(path, with_certificates, every));
        Ok(Self {
            own: own.transpose()?,
            callers: callers.transpose()?,
        })
    }

    /// The gateway's own token as it changes, if it has one.
    pub(super) fn own_token(&self) -> Option<watch::Receiver<Arc<Token>>> {
        self.own.as_ref().map(Reloaded::changes)
    }

    /// The caller of a method, by its headers and the names in its certificate.
    ///
    /// # Errors
    /// If it is not known.
    pub(super) fn of(
        &self,
        method: Method,
        headers: &HeaderMap,
        certificate_names: &[String],
    ) -> Result<Identified, Refused> {
        let Method::Known(_) = method else {
            return Ok(Identified::default());
        };
        let Some(own) = &self.own else {
            let token = Some(bearer::token(headers)?);
            return Ok(Identified {
                token,
                caller: None,
            });
        };
        let caller = self.callers.as_ref().map(|callers| {
            let shown = match bearer::token(headers) {
                Ok(token) => Some(token),
                Err(TokenMissing::Absent) => None,
                Err(missing @ TokenMissing::Malformed) => return Err(missing.into()),
            };
            let callers = callers.current();
            let found = callers.identify(shown.as_ref().map(Token::text), certificate_names);
            found.cloned().map_err(Refused::from)
        });
        Ok(Identified {
            token: Some((*own.current()).clone()),
            caller: caller.transpose()?,
        })
    }
}

// === impl Identified ===

impl Identified {
    /// Whether the caller may make this call now. It counts then.
    ///
    /// # Errors
    /// If it may not.
    pub(super) fn may_call(&self, method: Method) -> Result<(), Refused> {
        match (&self.caller, method) {
            (Some(caller), Method::Known(name)) if !caller.may_call(name) => {
                Err(Refused::MethodNotAllowed)
            }
            (Some(caller), _) => caller.take().map_err(Refused::TooFast),
            (None, _) => Ok(()),
        }
    }
}

// === impl Refused ===

impl From<Unknown> for Refused {
    fn from(unknown: Unknown) -> Self {
        match unknown {
            Unknown::NoToken => Self::NotIdentified,
            Unknown::Token => Self::UnknownToken,
        }
    }
}
