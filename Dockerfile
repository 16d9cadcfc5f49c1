# The release build leaves out the embedded Kinesis and DynamoDB.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src ./src
COPY components ./components
# Rust's own linker can merge functions with the same code and pack relocations: 1 MB less of program and 1 MB less memory.
# The image below has the glibc 2.36 that packed relocations need.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    linker="$(rustc --print sysroot)/lib/rustlib/$(rustc --print host-tuple)/bin/gcc-ld" && \
    RUSTFLAGS="-C link-arg=-B$linker -C link-arg=-fuse-ld=lld \
        -C link-arg=-Wl,--icf=all -C link-arg=-Wl,-z,pack-relative-relocs" \
    cargo build --release --locked --no-default-features && cp target/release/bindd /bindd

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /bindd /bindd
USER 65532:65532
EXPOSE 3500 9090
# bindd listens on loopback, which is enough in the same pod as the app. For a separate container, add
# `--dapr-listen-addresses 0.0.0.0 --metrics-listen-address 0.0.0.0` and set DAPR_API_TOKEN.
ENTRYPOINT ["/bindd"]
