#!/usr/bin/env bash
# Breaks the code on purpose, one small change at a time, and sees whether a unit test notices.
#
#   scripts/mutants.sh proto              every mutant of src/proto
#   scripts/mutants.sh store              every mutant of what an OK depends on in src/store
#   scripts/mutants.sh proto --list       what follows the area goes to cargo-mutants
#   scripts/mutants.sh store --file src/store/place.rs      the mutants of these files only
#
# The whole program takes half a minute to build, and there are a thousand mutants. So this makes a
# copy of the area and of what it stands on, as a crate of its own that builds in seconds, and has
# cargo-mutants (`cargo install cargo-mutants cargo-nextest`) work in that. Results: $MUTANTS/AREA/mutants.out.
set -euo pipefail
cd "$(dirname "$0")/.."

area=${1:?proto or store}
shift
mutants=${MUTANTS:-${TMPDIR:-/tmp}/piecemeal-mutants}
slim=$mutants/$area

case $area in
proto)
    chosen=(--file 'src/proto/**')
    ;;
store)
    chosen=()
    for file in mod error make_folders place journal/{entry,file,mod} \
        folder/{mod,beneath,bulk,committer,digest,folders,journal,keep,look,metadata,numbers,partials} \
        folder/{record,recording,replaced,reports,resume,root,space,space/reservation,syncing} \
        folder/{together,unfinished,upload,work,writeback}; do
        chosen+=(--file "src/store/$file.rs")
    done
    ;;
*)
    echo "no such area: $area (proto or store)" >&2
    exit 2
    ;;
esac

# Files that are named take the place of the area's.
case " $* " in
*' --file '*) chosen=() ;;
esac

# What was there before goes, but for what was built and what was found.
mkdir -p "$slim/docs" "$slim/.cargo"
rm -rf "$slim/src"
mkdir "$slim/src"
for folder in proto store; do
    cp -r "src/$folder" "$slim/src/"
    echo "pub mod $folder;"
done >"$slim/src/lib.rs"
cp docs/ARCHITECTURE.md "$slim/docs/"
cp Cargo.lock "$slim/"
cp .cargo/mutants.toml "$slim/.cargo/"
{
    # The name and the versions are those of the real one.
    cat <<'HEAD'
[package]
name = "piecemeal"
version = "0.1.0"
edition = "2024"

[lib]
doctest = false

[dependencies]
HEAD
    for crate in blake3 humantime libc log proptest rand rustix serde serde_json tempfile thiserror \
        unicode-properties; do
        # What the tests need besides stands further down.
        grep -m 1 "^$crate = " Cargo.toml
    done
    cat <<'TAIL'

[profile.dev]
debug = 0
opt-level = 1

[profile.dev.package."*"]
opt-level = 2
TAIL
} >"$slim/Cargo.toml"

# A test that takes longer hangs, as a mutant may make it do.
mkdir -p "$slim/.config"
cat >"$slim/.config/nextest.toml" <<'NEXTEST'
[profile.default]
slow-timeout = { period = "60s", terminate-after = 1 }
test-threads = 6
fail-fast = true
NEXTEST

cd "$slim"
# A mutant that takes memory without end is to fail before the machine does.
ulimit -v 8000000
# The copy is nobody's, so it is changed where it lies, and what was built serves the next one.
exec nice -n 19 cargo mutants --in-place --test-tool nextest "${chosen[@]}" "$@" \
    -- --lib "$area::"
