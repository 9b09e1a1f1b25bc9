# Shortcuts; `.ci/run` does the work and needs no just.

# List the recipes
default:
    @just --list --unsorted

# Run all checks, or those named: just check lint test
check *steps:
    .ci/run {{ steps }}

# Run the tests
test:
    .ci/run test

# Run clippy on everything, warnings refused
lint:
    .ci/run lint

# Write all sources and the contract in their layout
fmt:
    .ci/run format

# Write the help texts, the README's settings and the PrometheusRule anew, to be reviewed
golden:
    .ci/run golden

# Look for known vulnerabilities among the dependencies
advisories:
    .ci/run advisories

# Make the artefacts of a release: CONTRIBUTING.md says how a release is made
release:
    .ci/run release

# Start an embedded Chartbrew and the gateway, and make one call
demo *flags:
    cargo run --locked -- demo {{ flags }}

# Start the embedded Chartbrew alone
sandbox *flags:
    cargo run --locked -- sandbox {{ flags }}
