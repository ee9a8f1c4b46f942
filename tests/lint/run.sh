#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make lint: what a machine can judge about the sources. Reports one line per rule; the tools decide.
# B: a build directory that holds everything built with -Werror.
set -u
cd "$(dirname "$0")/../.." || exit 1
B=${B:-build/lint}
export B
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

# rule NAME, with what is wrong (if anything) on standard input
rule() {
    wrong=$(cat)
    if [ -z "$wrong" ]; then
        echo "ok $1" | tee -a "$tmp/results"
    else
        printf '%s\n' "$wrong" | head -100 | sed 's/^/    /'
        echo "not ok $1" | tee -a "$tmp/results"
    fi
}

# Files that are tracked or about to be; paths here have no blanks.
files() { git ls-files --cached --others --exclude-standard "$@" | while read -r f; do [ -f "$f" ] && echo "$f"; done; }

[ "$(files '*.c' | wc -l)" -gt 100 ] || { echo "not ok git_lists_the_sources (git ls-files says little or nothing here)"; exit 1; }

# is_judged NAME TOOL VERSION: what a tool finds depends on its version, and the sources are kept to one. Another one judges
# nothing, which is told; a missing one is a failure.
is_judged() {
    found=$("$2" --version 2>/dev/null | grep -oE '[0-9]+(\.[0-9]+)+' | head -1)
    case $found in
    "$3".*) return 0 ;;
    '') echo "$2 is missing" | rule "$1" ;;
    *) echo "skip $1 $2 is version $found, the sources are kept to $3" | tee -a "$tmp/results" ;;
    esac
    return 1
}

if is_judged clang_format clang-format 14; then
    files '*.c' '*.h' | xargs clang-format --dry-run --Werror 2>&1 | rule clang_format
fi

# Two at a time; the flags are those of the build.
if is_judged clang_tidy clang-tidy 14; then
    printf '#define TB_VERSION "lint"\n#define TB_REVISION "lint"\n#define TB_SYSCONFDIR "/etc"\n' >"$tmp/version.h"
    files 'agent/*.c' 'shim/*.c' 'exporter/*.c' 'exporter/cli/*.c' | xargs -P 2 -I '{}' clang-tidy --quiet '{}' -- \
        -std=gnu11 -D_GNU_SOURCE -include "$tmp/version.h" -I. -Iagent -Iexporter >"$tmp/tidy" 2>/dev/null
    grep -E 'warning:|error:' "$tmp/tidy" | sort -u | rule clang_tidy
fi

# shim/ -> agent/ <- exporter/: nothing else includes across.
{
    files 'agent/*.c' 'agent/*.h' | xargs grep -nE '#include "([./]*)(shim|exporter)/' /dev/null
    files 'shim/*.c' 'shim/*.h' | xargs grep -nE '#include "([./]*)exporter/' /dev/null
    files 'exporter/*.c' 'exporter/*.h' 'exporter/cli/*' | xargs grep -nE '#include "([./]*)shim/.*\.h"' /dev/null
    # agent/ knows the compiler's own headers, system call numbers and nothing of libc
    files 'agent/*.c' 'agent/*.h' | xargs grep -nE '#include <(std(io|lib)|string|unistd|pthread|errno\.h>.*libc|malloc|signal|time)\.h>' /dev/null
} | rule include_direction

files '*.c' '*.h' | xargs grep -nE '(^|[^_[:alnum:]])(sprintf|vsprintf|strcpy|strcat|gets|atoi|atol|atof|strtok)\(' /dev/null |
    rule banned_functions
files 'agent/*.c' 'agent/*.h' 'shim/*.c' 'shim/*.h' | grep -vx agent/atomics.h |
    xargs grep -nE '(^|[^_[:alnum:]])(volatile|atomic_[a-z_]+|__sync_[a-z_]+|__atomic_[a-z_]+|_Thread_local|__thread)([^_[:alnum:]]|$)' /dev/null |
    grep -vE '__asm__|asm volatile|:[0-9]+: *(\*|/\*|//)' | rule atomics_only_in_one_place

files '*.c' '*.h' '*.sh' '*.py' '*.def' Makefile .ci/run | while read -r f; do
    head -3 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$f: no SPDX line at the top"
done | rule spdx

version=$(cat VERSION)
{
    [ ! -f CHANGELOG.md ] || grep -qE "^## (\[?Unreleased|\[?$version)" CHANGELOG.md || echo "CHANGELOG.md: neither Unreleased nor $version"
    for f in docs/man/*.[1-8]; do
        [ ! -f "$f" ] || grep -qF "$version" "$f" || echo "$f: does not name version $version"
    done
    for program in tickbird tickbird-exporter; do
        [ ! -x "$B/$program" ] || "$B/$program" --version 2>&1 | grep -qF "$version" || echo "$program --version does not say $version"
    done
} | rule versions_agree

if is_judged shellcheck shellcheck 0.9; then
    files '*.sh' .ci/run | xargs shellcheck -x 2>&1 | rule shellcheck
fi
files '*.py' | while read -r f; do /usr/bin/python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$f" 2>&1 | tail -1; done | rule python_syntax
/usr/bin/python3 tests/bench/route_words.py --check 2>&1 | rule generated_words
# Names of this project's files only: a comment that says TODO belongs into the tracker.
files '*.c' '*.h' '*.py' '*.sh' | grep -vx tests/lint/run.sh | xargs grep -nE '\b(TODO|FIXME|XXX)\b' /dev/null | rule no_todo

tests/lint/object.sh >"$tmp/object" 2>&1
grep '^#' "$tmp/object"
grep '^not ok' "$tmp/object" | rule "object ($(grep -c '^ok' "$tmp/object") checks)"

failed=$(grep -c '^not ok' "$tmp/results")
echo "lint: $(grep -c '^ok' "$tmp/results") passed, $failed failed, $(grep -c '^skip' "$tmp/results") skipped"
[ "$failed" = 0 ]
