#!/usr/bin/env bash
# Which lines of the protocol, the store and the sessions the suite runs: covered, of how many, by
# folder, and the lines that it doesn't run.
#
#   scripts/coverage.sh                  the unit tests, and those of tests/ that drive these
#   scripts/coverage.sh disk folders     the unit tests, and these of tests/
#
# It needs `rustup component add llvm-tools` and `cargo install cargo-llvm-cov`. SUITE_COVERAGE has
# the servers that tests start end by themselves, and without a sandbox, so that they write down
# what they ran; what a server has run that is killed isn't counted. Tests are not counted either,
# the modules of that name in the files included. Results: $COVERAGE.
set -euo pipefail
cd "$(dirname "$0")/.."

results=${COVERAGE:-${TMPDIR:-/tmp}/piecemeal-coverage}
if [ $# = 0 ]; then
    set -- conflicts disk durability endings errors failing folders hostile_peers journal limits \
        metadata resume retries shortages splice systemd
fi
tests=()
for test; do
    tests+=(--test "$test")
done

mkdir -p "$results"
export SUITE_COVERAGE=1 CARGO_TARGET_DIR="$results/target"
# Coverage has a map of its own.
export CARGO_PROFILE_DEV_DEBUG=0
nice -n 10 cargo llvm-cov clean --workspace
# One test is left out: it looks for files that programs would inherit, and the profile is one.
status=0
nice -n 10 cargo llvm-cov --no-report --no-fail-fast --lib "${tests[@]}" \
    -- --skip nothing_that_the_store_opens_is_left_open_for_the_programs || status=$?
nice -n 10 cargo llvm-cov report --lcov --output-path "$results/lcov"

# Its lines are `SF:FILE` and, behind that, `DA:LINE,COUNT` for each line of the file with code.
awk -F '[:,]' -v root="$PWD/" '
/^SF:/ {
    file = substr($0, 4)
    sub(root, "", file)
    counts = file ~ /^src\/(proto|store|session)\// && file !~ /\/tests(\/|\.rs$)/
    # Tests stand last in a file.
    end = 0
    number = 0
    while (counts && (getline text < (root file)) > 0) {
        number++
        if (!end && text ~ /^mod tests \{/) end = number
    }
    close(root file)
    folder = file
    sub(/^src\//, "", folder)
    sub(/\/.*/, "", folder)
}
/^DA:/ && counts && (!end || $2 < end) {
    lines[folder]++
    if ($3 > 0) covered[folder]++
    else missed[file] = missed[file] " " $2
}
END {
    for (file in missed) print file ":" missed[file]
    for (folder in lines)
        printf "src/%s: %d of %d = %.1f %%\n", folder, covered[folder], lines[folder], 100 * covered[folder] / lines[folder]
}' "$results/lcov" | sort | tee "$results/report"
exit "$status"
