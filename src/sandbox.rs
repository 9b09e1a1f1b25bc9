//! An embedded Chartbrew over HTTP, for tests, for `demo` and for other teams' tests.
//!
//! It answers as the real server was measured to answer, oddities included: nothing is required
//! of a new connection, the same POST twice makes two rows, a request whose caller hung up goes on
//! and stores its row, errors carry the ORM's object with SQL and parameters in it, and an idle
//! connection is closed after five seconds. `tests/it/recorded.json` holds the measurements and
//! `tests/it/sandbox.rs` replays them.
//!
//! It is built on plain JSON values and shares no type with the client: a double that is built on
//! the client's own types would agree with its bugs.
//!
//! ```
//! use chartbrew_gateway::sandbox::{Fault, Sandbox, Settings, TOKEN};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! let sandbox = Sandbox::bind(Settings::default()).await?;
//! let handle = sandbox.handle();
//! let running = tokio::spawn(sandbox.run(std::future::pending()));
//!
//! // The next create stores its row, then loses the connection.
//! handle.script([Fault::create().drop_after_storing()]);
//! # let _ = (TOKEN, handle.url());
//! # running.abort();
//! # Ok(()) }
//! ```
//!
//! # Faults
//!
//! A [`Fault`] says which request it meets ([`Kind`]), how often ([`Times`]), how long the request
//! is held before and after its work is done, and how it ends ([`What`]). Faults wait in a queue;
//! each request takes the first one that fits it.
//!
//! # Scripted over HTTP
//!
//! Other languages script the sandbox through these, which need no token:
//!
//! | request | does |
//! |---|---|
//! | `POST /_sandbox/faults` | appends the faults of a JSON array to the queue |
//! | `DELETE /_sandbox/faults` | empties the queue |
//! | `GET /_sandbox/rows/{team}` | the team's rows as stored, secrets included |
//! | `GET /_sandbox/requests` | the requests received so far, in order |
//! | `DELETE /_sandbox/requests` | forgets them |
//! | `POST /_sandbox/reset` | forgets rows, ids, faults and requests |
//!
//! A fault in JSON; every field may be left out, and these are all of them:
//!
//! ```json
#![doc = include_str!("sandbox/faults.example.json")]
//! ```
//!
//! `on` is one of `any`, `create`, `list`, `get`, `update`, `delete`, `test`, `files`; `times` a
//! number or `"forever"`, 1 if left out. [`Gate`]s exist in Rust only.

mod answer;
mod api;
mod auth;
mod body;
mod control;
mod fault;
mod files;
mod gate;
mod handle;
mod model;
mod orm;
mod route;
mod server;
mod settings;
mod source;
mod state;
mod work;

pub use fault::{Fault, Respond, Times, What};
pub use gate::Gate;
pub use handle::Handle;
pub use route::Kind;
pub use server::Sandbox;
pub use settings::{Settings, User, UserKind};
pub use state::{Seen, State};

/// The token of the owner of team 1, in the default [`Settings`].
pub const TOKEN: &str = "sandbox-token";

/// A token that is in order while its user is gone, in the default [`Settings`]: answered 400.
pub const TOKEN_OF_A_DELETED_USER: &str = "sandbox-token-deleted-user";
