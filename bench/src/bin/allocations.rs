//! Counts what the pure parts of the gateway allocate. The figures are the same on every machine.
#![allow(
    clippy::expect_used,
    reason = "a case that is refused is a mistake, and there is nothing to measure"
)]

use allocation_counter::measure;
use chartbrew_gateway_bench::pure::{Wrong, cases, request_to_body, response_to_message};

fn main() {
    println!("| | case | bytes in | allocations | bytes allocated | most at once |");
    println!("|---|---|---|---|---|---|");
    for case in cases().expect("the gateway takes the cases") {
        row("request → body", case.name, &case.request, request_to_body);
        let response = &case.response;
        row(
            "response → message",
            case.name,
            response,
            response_to_message,
        );
    }
}

fn row(what: &str, case: &str, bytes: &[u8], work: fn(&[u8]) -> Result<usize, Wrong>) {
    // The first time, tables that are made once are made.
    work(bytes).expect("the case is taken");
    let counted = measure(|| {
        work(bytes).expect("the case is taken");
    });
    println!(
        "| {what} | {case} | {} | {} | {} | {} |",
        bytes.len(),
        counted.count_total,
        counted.bytes_total,
        counted.bytes_max
    );
}
