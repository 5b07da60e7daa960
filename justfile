# What one does here, by name. `just` lists it.

export PATH := justfile_directory() / "target/tools/bin" + ":" + env("PATH")

_default:
    @just --list --unsorted

# Run a coordinator with the given flags
run *args:
    cargo run --release -- serve {{ args }}

# A swarm that shares memory on the texts below a path
demo *args:
    cargo run --release -- demo {{ args }}

# Type-check everything, quickly
check:
    cargo check --all-targets

# The whole suite; arguments go to nextest (`just test lane`)
test *args:
    ./tests/run {{ args }}

# The suite with long passes
soak minutes:
    ./tests/run --soak {{ minutes }}

# All faults on real processes, one after the other, and their table in docs/reliability.md
faults:
    ./tests/faults

# One fuzz target for so many minutes; needs a nightly toolchain (`./fuzz/run` runs all of them)
fuzz target minutes="1":
    ./fuzz/run {{ minutes }} {{ target }}

# Format the code
fmt:
    cargo fmt
    cargo fmt --manifest-path fuzz/Cargo.toml

# Lints of the code and of the protocol files (buf comes with `just test`)
lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    buf lint

# The arrows between modules
arrows:
    cargo test --test it architecture

# Rewrite what is generated from the code, and build its documentation
docs:
    SWARMEM_WRITE_DOCS=1 cargo test --quiet --lib -- config::render metrics::
    RUSTDOCFLAGS='-D warnings' cargo doc --no-deps

# Compare the protocol files with those of another state
breaking against="main":
    buf breaking --against '.git#branch={{ against }}'

# Licences, bans and sources of the dependencies
deny:
    cargo deny check licenses bans sources

# Everything that must hold before a merge
ci:
    ./.ci/run
