//! `cargo bench --manifest-path bench/Cargo.toml --bench pure`: how long the pure parts of the gateway take.
#![allow(
    missing_docs,
    clippy::expect_used,
    reason = "criterion's macros make undocumented functions; a case that is refused is a mistake"
)]

use std::hint::black_box;

use chartbrew_gateway_bench::pure::{cases, request_to_body, response_to_message};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn pure(criterion: &mut Criterion) {
    let cases = cases().expect("the gateway takes the cases");
    let mut group = criterion.benchmark_group("request → body");
    for case in &cases {
        group.throughput(Throughput::Bytes(case.request.len() as u64));
        let id = BenchmarkId::from_parameter(case.name);
        group.bench_with_input(id, &case.request, |bencher, request| {
            bencher.iter(|| request_to_body(black_box(request)).expect("it is taken"));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("response → message");
    for case in &cases {
        group.throughput(Throughput::Bytes(case.response.len() as u64));
        let id = BenchmarkId::from_parameter(case.name);
        group.bench_with_input(id, &case.response, |bencher, response| {
            bencher.iter(|| response_to_message(black_box(response)).expect("it is read"));
        });
    }
    group.finish();
}

criterion_group!(benches, pure);
criterion_main!(benches);
