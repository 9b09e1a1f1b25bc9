#!/bin/sh
# The target of Rust for an architecture as containers name it: amd64 or arm64.
case "$1" in
    amd64) echo x86_64-unknown-linux-musl ;;
    arm64) echo aarch64-unknown-linux-musl ;;
    *) echo "no such architecture: $1" >&2; exit 1 ;;
esac
