#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A shell that arranges descriptors, jobs, traps and pipelines. The protocol is that of the other programs (tp.h).
case $1 in
--list) printf '%s only-asleep\n' redirections pipelines jobs traps limits ;;
redirections)
    exec 3>three 4<>four 7<&0
    echo out; echo error >&2; echo three >&3; echo four >&4
    exec 3>&- 4>&- 7<&-
    cat three four - <<<here
    { echo a; echo b >&2; } 2>&1 | sort
    (cd / && ls -d etc) ; cat < <(echo process)
    cat /nowhere; echo "status $?"
    cat /etc/hostname >/dev/full; echo "status $?"
    find /proc/self/fd | sed 's/[0-9]*//' | wc -l
    ;;
pipelines)
    seq 100000 | head -1; echo "${PIPESTATUS[@]}"
    seq 100000 | tail -1 | tr 1 2 | cat | wc -c
    yes | head -c 1000000 | md5sum
    false | true; echo "${PIPESTATUS[@]}"
    inner=$(printf %s "$(seq 3)" | tail -1); echo "$inner"
    printf '%s\n' {1..200} | xargs -n 20 echo | wc -l
    ;;
jobs)
    exec 2>/dev/null # the shell's messages name processes by number
    started=()
    for i in 1 2 3; do (exit $i) & started+=($!); done
    for job in "${started[@]}"; do wait "$job"; echo "$?"; done
    sleep 100 & kill $!; wait $!; echo "killed $?"
    sleep 100 & kill -STOP $!; kill -CONT $!; kill -9 $!; wait $!; echo "killed $?"
    coproc cat; echo through >&"${COPROC[1]}"; read -r line <&"${COPROC[0]}"; echo "$line"
    ;;
traps)
    exec 2>/dev/null
    trap 'echo trapped' USR1; kill -USR1 $$; trap 'echo end' EXIT
    bash -c 'trap "" PIPE; seq 100000 2>&1' | head -1
    bash -c 'kill -SEGV $$'; echo "$?"
    bash -c 'exec 2>/dev/null; kill -PIPE $$'; echo "$?"
    exec 5<>/dev/tcp/127.0.0.1/1; echo "connect $?"
    exit 6
    ;;
limits)
    exec 2>/dev/null
    ulimit -a | grep -v 'pending\|processes'; umask; env -i /usr/bin/env; env | grep -v '^LD_PRELOAD=\|DIR=\|^HOME=\|^PWD=\|^_=' | sort
    (ulimit -n 5; cat <(echo few)); (ulimit -f 0; cat /etc/hostname >file; echo "$?")
    ;;
esac
