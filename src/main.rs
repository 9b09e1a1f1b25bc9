//! The `chartbrew-gateway` binary: read the settings, start to log, run, return the exit code.

mod cli;

use std::process::ExitCode;

use clap::Parser;

/// Measured beside the system's allocator: docs/performance.md.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::Cli::parse().run().unwrap_or_else(|error| {
        // For people and supervisors alike: one line a problem, on stderr, before any log.
        for line in error.to_string().lines() {
            eprintln!("chartbrew-gateway: {line}");
        }
        ExitCode::from(2)
    })
}
