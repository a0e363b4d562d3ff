#!/usr/bin/env bash
# Which lines of the protocol, the store and the sessions the suite runs: covered, of how many, by
# folder, and the lines that it doesn't run.
#
#   scripts/coverage.sh                  the unit tests, and those of tests/ that drive these
#   scripts/coverage.sh disk folders     the unit tests, and these of tests/
#
# It needs `cargo install cargo-tarpaulin`. SUITE_COVERAGE has the servers that tests start end by
# themselves, and without a sandbox, so that they write down what they ran. The figures are a lower
# bound all the same: of code that is generic, as the sessions are, tarpaulin leaves out lines that a
# server has run. Results: $COVERAGE.
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
export SUITE_COVERAGE=1
# One test fails, and rightly: it looks for files that programs would inherit, and the profile is one.
status=0
nice -n 10 cargo tarpaulin --engine llvm --follow-exec --skip-clean --no-fail-fast \
    --objects "$results/target/debug/piecemeal" \
    --target-dir "$results/target" --lib "${tests[@]}" --timeout 900 \
    --include-files 'src/proto/*' 'src/store/*' 'src/session/*' \
    --exclude-files '*/tests/*' '*/tests.rs' \
    --out Stdout >"$results/report" || status=$?
sed -n '/Uncovered Lines/,/Tested\/Total/p' "$results/report"
# Its lines are `|| src/store/mod.rs: 9/12`, with what has changed since the last time behind.
awk '/^\|\| src\/.*: [0-9]+\/[0-9]+/ {
    folder = $0; sub(/^\|\| /, "", folder); sub(/\/[^\/]*: .*/, "", folder)
    figures = $0; sub(/.*: /, "", figures); split(figures, part, /[\/ ]/)
    covered[folder] += part[1]; lines[folder] += part[2]
} END {
    for (folder in lines)
        printf "%s: %d of %d = %.1f %%\n", folder, covered[folder], lines[folder], 100 * covered[folder] / lines[folder]
}' "$results/report" | sort
exit "$status"
