//! What callers may do to the gateway's socket, and what it does to theirs when it stops.

mod connections;
mod frames;
mod messages;
mod shutdown;
