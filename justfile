# The short way to what is done every day. `just --list` shows this.

export CARGO_TARGET_DIR := env("CARGO_TARGET_DIR", env("HOME") / ".cache/fairweir/target")

# What the compiler and the linter say.
check:
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# Everything that CI runs.
test:
    ./test

# Simulation with more seeds: just sim 1000.
sim seeds="200":
    cargo run --release --package fairweir-sim -- --seeds {{seeds}}

# A benchmark by name, side by side where there is a peer: just bench transfers.
bench name:
    cargo bench --bench {{name}}

# A development network on this machine.
devnet:
    ./up

# What tidy says.
tidy:
    cargo xtask tidy
