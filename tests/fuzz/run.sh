#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs fuzz targets one after the other: run.sh libfuzzer|afl BUILD-FOLDER SECONDS [NAME,NAME]. Starts from the committed
# corpus and from what earlier runs found (BUILD-FOLDER/found); with the target's dictionary. Fails when one crashed,
# hung or ran out of memory; the input is kept in BUILD-FOLDER/crashes.
set -u
kind=$1 folder=$2 seconds=$3 only=${4:-}
status=0

run_libfuzzer() { # PROGRAM NAME DICTIONARY
    mkdir -p "$folder/found/$2" "$folder/crashes"
    "$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 \
        -artifact_prefix="$folder/crashes/$2-" ${3:+-dict="$3"} "$folder/found/$2" "tests/fuzz/corpus/$2" \
        >"$folder/$2.log" 2>&1
    local code=$?
    awk -v name="$2" -v code=$code '/^stat::number_of_executed_units/ {runs = $2} /^#.* cov: / {line = $0}
        END {sub(/.*cov: /, "cov: ", line); sub(/ lim:.*/, "", line);
             printf "%-4s libfuzzer %-10s %12d runs, %s\n", code ? "FAIL" : "ok", name, runs, line}' "$folder/$2.log"
    [ $code = 0 ] || tail -40 "$folder/$2.log"
    return $code
}

run_afl() {
    mkdir -p "$folder/in/$2" "$folder/out"
    cp -u tests/fuzz/corpus/"$2"/* "$folder/in/$2/"
    AFL_NO_UI=1 AFL_QUIET=1 AFL_SKIP_CPUFREQ=1 AFL_NO_AFFINITY=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_AUTORESUME=1 \
        AFL_NO_STARTUP_CALIBRATION=1 AFL_FORKSRV_INIT_TMOUT=60000 afl-fuzz -m none -t 10000 -V "$seconds" -i "$folder/in/$2" -o "$folder/out/$2" \
        ${3:+-x "$3"} -- "$1" >"$folder/$2.log" 2>&1
    local code=$? stats=$folder/out/$2/default/fuzzer_stats
    [ -f "$stats" ] || { echo "FAIL afl $2: not started"; tail -5 "$folder/$2.log"; return 1; }
    crashes=$(find "$folder/out/$2/default/crashes" "$folder/out/$2/default/hangs" -name 'id:*' 2>/dev/null | wc -l)
    [ "$crashes" = 0 ] || code=1
    awk -v name="$2" -v code=$code -v crashes="$crashes" '$1 ~ /^execs_done/ {runs = $3} $1 ~ /^edges_found/ {edges = $3}
        $1 ~ /^corpus_count/ {corpus = $3}
        END {printf "%-4s afl       %-10s %12d runs, edges: %d corpus: %d, %d crashes or hangs\n", code ? "FAIL" : "ok", name,
             runs, edges, corpus, crashes}' "$stats"
    return $code
}

for program in "$folder"/tests/fuzz/fuzz_*; do
    name=${program##*/fuzz_}
    case $name in *.*) continue ;; esac
    case ",$only," in ,, | *",$name,"*) ;; *) continue ;; esac
    dictionary=tests/fuzz/dictionaries/$name
    [ -f "$dictionary" ] || dictionary=
    case $kind in
    libfuzzer) run_libfuzzer "$program" "$name" "$dictionary" || status=1 ;;
    afl) run_afl "$program" "$name" "$dictionary" || status=1 ;;
    *) echo "run.sh: unknown kind $kind" >&2; exit 2 ;;
    esac
done
exit $status
