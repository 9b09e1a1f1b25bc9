#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod api;
mod auth;
mod body;
mod control;
mod cut_off;
mod fault;
mod files;
mod gate;
mod handle;
mod list;
mod model;
mod orm;
mod pace;
mod probe;
mod reply;
mod route;
mod server;
mod settings;
mod source;
mod ssrf;
mod state;
mod work;

pub use fault::{Fault, Respond, Times, What};
pub use gate::Gate;
pub use handle::Handle;
pub use route::Kind;
pub use server::Sandbox;
pub use settings::{Database, Settings, User, UserKind};
pub use state::{Seen, State};

/// The token of the owner of team 1, in the default [`Settings`].
pub const TOKEN: &str = "sandbox-token";

/// A token that is in order while its user is gone, in the default [`Settings`]: answered 400.
pub const TOKEN_OF_A_DELETED_USER: &str = "sandbox-token-deleted-user";
