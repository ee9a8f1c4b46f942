#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the preloaded object may need and show. It is loaded into every kind of process, so: no library, no version of
# a symbol, no thread-local segment, no text relocation, no executable stack; undefined symbols are weak and few; and it
# exports the hook table, tickbird.h and nothing else, for a stray name would replace the host's own function.
# Reports `ok NAME` or `not ok NAME` lines. B: the build directory.
set -u
cd "$(dirname "$0")/../.." || exit 1
B=${B:-build}
so=$B/libtickbird.so
tmp=$(mktemp -d) || exit 1
regions=$(mktemp -d /dev/shm/tb-object-XXXXXX) || exit 1
trap 'rm -rf "$tmp" "$regions"' EXIT
status=0

# report NAME, with what is wrong (if anything) on standard input
report() {
    wrong=$(cat)
    if [ -z "$wrong" ]; then
        echo "ok $1"
    else
        printf '%s\n' "$wrong" | sed "s/^/# $1: /"
        echo "not ok $1"
        status=1
    fi
}

[ -f "$so" ] || { echo "not ok the object is built ($so is missing)"; exit 1; }

readelf -dW "$so" >"$tmp/dynamic"
readelf -lW "$so" >"$tmp/segments"
readelf -rW "$so" >"$tmp/relocations"
readelf --dyn-syms -W "$so" >"$tmp/symbols"
readelf -VW "$so" >"$tmp/versions"

grep -F '(NEEDED)' "$tmp/dynamic" | report object_needs_no_library
grep -E '\((RPATH|RUNPATH)\)' "$tmp/dynamic" | report object_has_no_search_path
grep -E '\(TEXTREL\)|FLAGS.*TEXTREL' "$tmp/dynamic" | report object_has_no_text_relocation
{ grep -qE 'FLAGS.*(BIND_NOW|NOW)' "$tmp/dynamic" || echo "not linked with -z now"; } | report object_is_bound_at_load
grep -iE "version needs section|\.gnu\.version_r" "$tmp/versions" | report object_needs_no_symbol_version
grep -E '^ *TLS ' "$tmp/segments" | report object_has_no_thread_local_segment
grep -E 'TPOFF|DTPMOD|TLSDESC' "$tmp/relocations" | report object_has_no_thread_local_relocation
{ grep -qE 'GNU_RELRO' "$tmp/segments" || echo "no RELRO segment"; } | report object_relocations_become_read_only
awk '/GNU_STACK/ && $7 ~ /E/ { print } /LOAD/ && /RWE/ { print }' "$tmp/segments" | report object_has_no_writable_code

# Ndx is UND: the bind must be WEAK and the name one of the few.
awk '$7 == "UND" && $8 != "" { sub(/@.*/, "", $8); print $5, $8 }' "$tmp/symbols" |
    grep -vxE 'WEAK (dlsym|getenv|getauxval|__errno_location)' | report object_imports_are_weak_and_few

awk '$7 ~ /^[0-9]+$/ && ($5 == "GLOBAL" || $5 == "WEAK") && $6 == "DEFAULT" { sub(/@.*/, "", $8); print $8 }' "$tmp/symbols" |
    sort -u >"$tmp/exported"
{
    tests/lint/hook-names.sh
    sed -nE 's/^TICKBIRD_API [^(]*[ *](tickbird_[a-z_]+)\(.*/\1/p' shim/tickbird.h
} | sort -u >"$tmp/hooked"
{ [ -s "$tmp/hooked" ] || echo "no row found in shim/hooks.def"; diff "$tmp/hooked" "$tmp/exported"; } |
    report object_exports_equal_the_hook_table_and_tickbird_h

# agent.a alone: everything that it needs it has itself, but for the names in the list.
allowed=agent/allowed-symbols.txt
if ld -r --whole-archive -o "$tmp/agent.o" "$B/agent.a" 2>"$tmp/err"; then
    nm -u "$tmp/agent.o" | awk '$NF != "_GLOBAL_OFFSET_TABLE_" { print $NF }' | sort -u >"$tmp/needs"
    { grep -v '^#' $allowed 2>/dev/null || true; } | sed '/^$/d' | sort -u >"$tmp/allowed"
    comm -23 "$tmp/needs" "$tmp/allowed" | report agent_imports_nothing
else
    report agent_imports_nothing <"$tmp/err"
fi

# Threads may have 16 KiB of stack and signal handlers less. Per function: all that are called at once take about twice
# that. No process that is observed calls tb_series_read, the exporter's.
nm "$so" | awk '$NF != "tb_series_read" { print $NF }' | sort -u >"$tmp/functions"
find agent shim -name '*.c' | sed "s,.*,$B/&,; s/c$/su/" | xargs cat | sed 's/^.*:\([^:]*\t\)/\1/' | sort >"$tmp/stacks"
{
    [ "$(join -t "$(printf '\t')" "$tmp/functions" "$tmp/stacks" | wc -l)" -gt 200 ] || echo "the stack usage of too few functions is known"
    join -t "$(printf '\t')" "$tmp/functions" "$tmp/stacks" |
        awk -F '\t' '$2 > 1400 || $3 == "dynamic" { print $1 ": " $2 " bytes, " $3 }'
} | report object_takes_little_stack

# Loads with every symbol bound at once, and changes nothing of a program's output, exit code or environment.
for program in /bin/true /bin/false "/bin/echo a b" "/usr/bin/python3 -c pass" "/bin/sh -c :"; do
    plain=$($program 2>&1); plain_status=$?
    loaded=$(LD_BIND_NOW=1 LD_PRELOAD="$(realpath "$so")" TICKBIRD_DIR="$regions" $program 2>&1); loaded_status=$?
    [ "$plain/$plain_status" = "$loaded/$loaded_status" ] ||
        echo "$program: '$plain' ($plain_status) became '$loaded' ($loaded_status)"
done | report object_loads_with_everything_bound
find "$regions" -mindepth 1 | report object_makes_no_region_for_programs_that_do_not_serve

if command -v musl-gcc >/dev/null 2>&1; then
    printf '#include <stdio.h>\nint main(void) { puts("musl"); return 0; }\n' >"$tmp/m.c"
    if musl-gcc -o "$tmp/m" "$tmp/m.c" 2>"$tmp/err"; then
        [ "$(LD_PRELOAD="$(realpath "$so")" TICKBIRD_DIR="$regions" "$tmp/m" 2>&1)" = musl ] || echo "a musl program broke"
    else
        cat "$tmp/err"
    fi | report object_loads_with_musl
else
    echo "skip object_loads_with_musl musl-gcc is not installed"
fi
exit $status
