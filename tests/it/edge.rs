//! What callers may do to the gateway's socket, and what it does to theirs when it stops.

mod connections;
mod messages;
mod shutdown;
