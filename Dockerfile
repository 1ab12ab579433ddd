# syntax=docker/dockerfile:1
# One image for each service, each with one binary and nothing to run a shell with:
#
#   docker build --target gateway -t billing/gateway:0.1.0 \
#     --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" .
#
# Targets: gateway, ingest-svc, org-svc, stripe-svc, migrations; for development only: stripe-sim,
# instance-sim. The simulators are built in a stage of their own that no production target reads.

# Both are Debian 12, so the libc that is linked is the libc that is there.
ARG RUST_IMAGE=rust:1.95.0-slim-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST_IMAGE} AS source
# The image has the toolchain; rust-toolchain.toml would fetch what only development needs.
ENV RUSTUP_TOOLCHAIN=1.95.0 CARGO_TERM_COLOR=never
WORKDIR /src
COPY . .

FROM source AS build
# The target folder is a cache and no part of the layer: what is wanted is copied out of it.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,id=billing-target,sharing=locked \
    cargo build --release --locked \
      --package gateway --package ingest-svc --package org-svc --package stripe-svc --package migrations \
      --bin gateway --bin ingest-svc --bin org-svc --bin stripe-svc --bin migrations \
 && mkdir /out \
 && cp target/release/gateway target/release/ingest-svc target/release/org-svc \
       target/release/stripe-svc target/release/migrations /out/

FROM source AS build-simulators
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,id=billing-target-simulators,sharing=locked \
    cargo build --release --locked \
      --package stripe-sim --package instance-sim --bin stripe-sim --bin instance-sim \
 && mkdir /out \
 && cp target/release/stripe-sim target/release/instance-sim /out/

FROM ${RUNTIME_IMAGE} AS runtime
ARG VERSION=0.0.0-dev
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.vendor="VaultAI" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
WORKDIR /

# Development only.
FROM runtime AS stripe-sim
LABEL org.opencontainers.image.title="billing stripe-sim" \
      org.opencontainers.image.description="Stripe's API, simulated. For development only."
COPY --from=build-simulators /out/stripe-sim /usr/local/bin/stripe-sim
ENTRYPOINT ["/usr/local/bin/stripe-sim"]

FROM runtime AS instance-sim
LABEL org.opencontainers.image.title="billing instance-sim" \
      org.opencontainers.image.description="VaultAI instances, simulated. For development only."
COPY --from=build-simulators /out/instance-sim /usr/local/bin/instance-sim
ENTRYPOINT ["/usr/local/bin/instance-sim"]

# Production.
FROM runtime AS migrations
LABEL org.opencontainers.image.title="billing migrations" \
      org.opencontainers.image.description="All DDL of the billing database."
COPY --from=build /out/migrations /usr/local/bin/migrations
ENTRYPOINT ["/usr/local/bin/migrations"]

FROM runtime AS ingest-svc
LABEL org.opencontainers.image.title="billing ingest-svc" \
      org.opencontainers.image.description="Takes in usage reports and delivers them."
COPY --from=build /out/ingest-svc /usr/local/bin/ingest-svc
ENTRYPOINT ["/usr/local/bin/ingest-svc"]

FROM runtime AS org-svc
LABEL org.opencontainers.image.title="billing org-svc" \
      org.opencontainers.image.description="Organizations, their link to Stripe, and the admins."
COPY --from=build /out/org-svc /usr/local/bin/org-svc
ENTRYPOINT ["/usr/local/bin/org-svc"]

FROM runtime AS stripe-svc
LABEL org.opencontainers.image.title="billing stripe-svc" \
      org.opencontainers.image.description="The only door to Stripe."
COPY stripe-svc/catalog.toml /etc/billing/catalog.toml
COPY --from=build /out/stripe-svc /usr/local/bin/stripe-svc
ENTRYPOINT ["/usr/local/bin/stripe-svc"]

# The last, and so what a build without --target makes: never a simulator.
FROM runtime AS gateway
LABEL org.opencontainers.image.title="billing gateway" \
      org.opencontainers.image.description="The public face: REST, sign-in, the dashboard, gRPC for admins."
COPY --from=build /out/gateway /usr/local/bin/gateway
ENTRYPOINT ["/usr/local/bin/gateway"]
