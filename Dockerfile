# chartbrew-gateway as a small image that runs without rights.
#
#   docker build -t chartbrew-gateway .
#   docker run --rm -p 50051:50051 -e CHARTBREW_URL=https://api.chartbrew.com chartbrew-gateway
#
# Other subcommands: docker run --rm chartbrew-gateway check
#
# It answers gRPC health checks (grpc.health.v1) on port 50051, and /livez, /readyz and /metrics on
# port 9464: point the orchestrator's probes and Prometheus there.
# GATEWAY_SHUTDOWN_GRACE is 120 s: give the container as long to stop (docker stop -t 130).

FROM rust:1.95-slim-trixie AS build
WORKDIR /build

# The dependencies, in a layer of their own that changes with the lock file only: everything of
# ours is an empty stand-in.
COPY Cargo.toml Cargo.lock ./
COPY sandbox/Cargo.toml sandbox/
RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
RUN mkdir src sandbox/src \
    && touch src/lib.rs sandbox/src/lib.rs \
    && echo 'fn main() {}' | tee src/main.rs sandbox/src/main.rs > build.rs \
    && cargo build --release --locked

COPY build.rs ./
COPY proto proto
COPY sandbox sandbox
COPY src src
# Copied files keep their times, which may be older than those of the stand-ins.
RUN touch build.rs src/main.rs src/lib.rs sandbox/src/lib.rs \
    && cargo build --release --locked

# Debian's slim image and not an empty one: TLS with Chartbrew is verified against the system's
# certificates, and the binary is linked with the C library that it was built against.
FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY LICENSE /usr/share/doc/chartbrew-gateway/LICENSE
COPY --from=build /build/target/release/chartbrew-gateway /usr/local/bin/chartbrew-gateway

# By number, so that Kubernetes' runAsNonRoot can tell. It owns nothing and writes nothing.
USER 65532:65532
ENV GATEWAY_LISTEN=0.0.0.0:50051 \
    GATEWAY_ADMIN_LISTEN=0.0.0.0:9464
EXPOSE 50051 9464
STOPSIGNAL SIGTERM
# The process itself is number 1, so that the signal reaches it.
ENTRYPOINT ["/usr/local/bin/chartbrew-gateway"]
CMD ["serve"]
