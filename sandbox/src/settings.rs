//! The settings of a sandbox: where it listens, who may call, what it can reach.

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde_json::Value;

use super::{TOKEN, TOKEN_OF_A_DELETED_USER};

/// How a sandbox is set up. The default suits most tests.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address to listen on; default `127.0.0.1:0`, any free port of loopback.
    pub listen: SocketAddr,
    /// How long a connection may stay idle before the sandbox closes it; default 5 s, as measured.
    /// Announced in whole seconds in every response's `Keep-Alive`.
    pub keep_alive: Duration,
    /// Who may call; default the owner of team 1 ([`TOKEN`]) and a deleted user
    /// ([`TOKEN_OF_A_DELETED_USER`]). Every other token gets 401.
    pub users: Vec<User>,
    /// Types or subTypes that the server has switched off; default none. Creating or testing one
    /// gets 400 `SOURCE_DISABLED`, creating only where the server prepares the type itself.
    pub disabled_sources: Vec<String>,
    /// Databases that can be reached, by `host` or `host:port`; default none. A create of an SQL or
    /// ClickHouse type with such a host stores and returns the schema, and its test succeeds.
    pub databases: BTreeMap<String, Database>,
    /// How long a test takes, of a saved connection or a new one; default 0 s. The real server needs
    /// 30 s for an unknown host.
    pub test_delay: Duration,
    /// The id of the first new row, also after a reset; default 1.
    pub first_id: i32,
}

/// A database that the sandbox can reach.
#[derive(Clone)]
pub struct Database {
    /// Its schema, in whatever form it is to be returned.
    pub schema: Value,
    /// The only password that it takes; `None` if it takes any. With a wrong one a test fails, and a
    /// create stores no schema.
    pub password: Option<String>,
}

/// Someone who may call, known by a token.
#[derive(Clone)]
pub struct User {
    /// The token, without `Bearer`.
    pub token: String,
    /// What this user may do.
    pub kind: UserKind,
}

/// What a user may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserKind {
    /// Owns these teams: may do everything in them.
    Owner {
        /// The teams' ids.
        teams: Vec<i32>,
    },
    /// Belongs to these teams, but sees only the connections of some projects, and of those little
    /// more than the name. May read and test, nothing else.
    ProjectScoped {
        /// The teams' ids.
        teams: Vec<i32>,
        /// The projects' ids: a connection is seen if its `project_ids` hold one *as a number*.
        projects: Vec<i64>,
    },
    /// Was deleted: the token is in order, the user is not. Answered 400.
    Gone,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            keep_alive: Duration::from_secs(5),
            users: vec![User::owner(TOKEN, [1]), User::gone(TOKEN_OF_A_DELETED_USER)],
            disabled_sources: Vec::new(),
            databases: BTreeMap::new(),
            test_delay: Duration::ZERO,
            first_id: 1,
        }
    }
}

// === impl Database ===

impl From<Value> for Database {
    /// A database with this schema that takes any password.
    fn from(schema: Value) -> Self {
        Self {
            schema,
            password: None,
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            schema,
            password: _,
        } = self;
        f.debug_struct("Database")
            .field("schema", schema)
            .finish_non_exhaustive()
    }
}

// === impl User ===

impl User {
    /// A user who owns these teams.
    pub fn owner(token: impl Into<String>, teams: impl IntoIterator<Item = i32>) -> Self {
        let teams = teams.into_iter().collect();
        Self {
            token: token.into(),
            kind: UserKind::Owner { teams },
        }
    }

    /// A user who belongs to these teams and sees the connections of these projects.
    pub fn project_scoped(
        token: impl Into<String>,
        teams: impl IntoIterator<Item = i32>,
        projects: impl IntoIterator<Item = i64>,
    ) -> Self {
        Self {
            token: token.into(),
            kind: UserKind::ProjectScoped {
                teams: teams.into_iter().collect(),
                projects: projects.into_iter().collect(),
            },
        }
    }

    /// A user who was deleted while the token lives on.
    pub fn gone(token: impl Into<String>) -> Self {
        Self {
            token: token.into(),
            kind: UserKind::Gone,
        }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token: _, kind } = self;
        f.debug_struct("User")
            .field("kind", kind)
            .finish_non_exhaustive()
    }
}
