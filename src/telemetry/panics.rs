//! A panic as a line of the log: where it was, and not what it says of data.
//!
//! The message of a panic can repeat what the code worked at: that of a text that is cut within a
//! character has the text in it. So a message is written only if all of it is in the source code.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{self, PanicHookInfo},
};

/// In place of a message that was made of values.
const LEFT_OUT: &str = "(left out: it is made of values)";

/// Logs panics of every thread from now on, in place of what the standard library prints.
pub(super) fn log_them() {
    panic::set_hook(Box::new(log));
}

fn log(panic: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
    tracing::error!(
        location = panic.location().map(tracing::field::display),
        cause = cause(panic),
        backtrace = backtrace.as_ref().map(tracing::field::display),
        "the gateway panicked"
    );
}

/// A text of this type is a literal. All others are made while the process runs.
fn cause(panic: &PanicHookInfo<'_>) -> &'static str {
    let literal = panic.payload().downcast_ref::<&'static str>();
    literal.copied().unwrap_or(LEFT_OUT)
}
