# syntax=docker/dockerfile:1
# chartbrew-gateway as an image of two files: the binary, linked statically, and the certificates of
# public authorities. No shell, no user database, nothing to write to.
#
#   docker build -t chartbrew-gateway --build-arg COMMIT="$(git rev-parse HEAD)" .
#   docker run --rm -p 50051:50051 -e CHARTBREW_URL=https://api.chartbrew.com chartbrew-gateway
#
# For both architectures, with an SBOM of what Cargo.lock names:
#   docker buildx build --platform linux/amd64,linux/arm64 --sbom=true --provenance=true .
#
# Other subcommands: docker run --rm chartbrew-gateway check
#
# GATEWAY_SHUTDOWN_DELAY and GATEWAY_SHUTDOWN_GRACE are 5 s and 120 s: give the container as long to
# stop (docker stop -t 130).

# The compiler runs on the machine that builds, and compiles for the one that the image is for.
FROM --platform=$BUILDPLATFORM rust:1.95-slim-trixie AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# The last stage has nothing that a scanner could read.
ARG BUILDKIT_SBOM_SCAN_STAGE=true
WORKDIR /build

# zig is a C compiler for every target: jemalloc, ring and zstd have parts in C.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates make python3-pip \
    && rm -rf /var/lib/apt/lists/*
COPY deploy/build-requirements.txt ./
RUN pip install --no-cache-dir --break-system-packages --requirement build-requirements.txt
ARG TARGETARCH=amd64
COPY deploy/target-of.sh /usr/local/bin/target-of
RUN rustup target add "$(target-of "$TARGETARCH")"

# The dependencies, in a layer of their own that changes with the lock file only: everything of
# ours is an empty stand-in.
COPY Cargo.toml Cargo.lock ./
COPY sandbox/Cargo.toml sandbox/
RUN mkdir src sandbox/src \
    && touch src/lib.rs sandbox/src/lib.rs \
    && echo 'fn main() {}' | tee src/main.rs sandbox/src/main.rs > build.rs \
    && cargo zigbuild --release --locked --target "$(target-of "$TARGETARCH")"

COPY build.rs ./
COPY proto proto
COPY sandbox sandbox
COPY src src
ARG COMMIT=
# Copied files keep their times, which may be older than those of the stand-ins.
RUN touch build.rs src/main.rs src/lib.rs sandbox/src/lib.rs \
    && GATEWAY_COMMIT="$COMMIT" cargo zigbuild --release --locked --target "$(target-of "$TARGETARCH")" \
    && cp "target/$(target-of "$TARGETARCH")/release/chartbrew-gateway" /

FROM scratch
ARG COMMIT=
LABEL org.opencontainers.image.title="chartbrew-gateway" \
      org.opencontainers.image.description="A gRPC gateway for Chartbrew's REST API" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="$COMMIT"
COPY LICENSE /LICENSE
# Without CHARTBREW_CA_FILE, TLS with Chartbrew is verified against these.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /chartbrew-gateway /chartbrew-gateway

# By number, so that Kubernetes' runAsNonRoot can tell. It owns nothing and writes nothing.
USER 65532:65532
ENV GATEWAY_LISTEN=0.0.0.0:50051 \
    GATEWAY_ADMIN_LISTEN=0.0.0.0:9464
EXPOSE 50051 9464
STOPSIGNAL SIGTERM
# With GATEWAY_TLS_CLIENT_CA it needs --cert and --key: set another one.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/chartbrew-gateway", "health"]
# The process itself is number 1, so that the signal reaches it.
ENTRYPOINT ["/chartbrew-gateway"]
CMD ["serve"]
