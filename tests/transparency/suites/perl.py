# SPDX-License-Identifier: Apache-2.0
"""Perl's core tests of I/O, processes, threads and sockets, run by Debian's perl of the same source."""
from suitelib import results
from suitelib.recipe import Recipe

TESTS = """t/io/*.t t/op/{alarm,die_exit,exec,fork,getpid,getppid,kill0,magic,sleep,stat,sselect,sysio,select,readline,print,filetest,fh,chdir,
time,time_loop,die_unwind,threads,threads-dirh,eval,closure,inccode,sub,local,tie_fetch_count,utf8_handle}.t dist/IO/t/*.t cpan/Socket/t/*.t cpan/HTTP-Tiny/t/*.t
ext/POSIX/t/*.t ext/IPC-Open3/t/*.t cpan/IPC-Cmd/t/*.t cpan/IPC-SysV/t/*.t dist/threads/t/*.t dist/threads-shared/t/*.t
dist/Thread-Queue/t/*.t dist/Thread-Semaphore/t/*.t dist/Time-HiRes/t/*.t cpan/libnet/t/*.t cpan/IO-Socket-IP/t/*.t ext/Fcntl/t/*.t
ext/File-Glob/t/*.t cpan/Sys-Syslog/t/*.t ext/Hash-Util/t/*.t dist/Storable/t/{lock,file_magic,store,retrieve}.t dist/Net-Ping/t/*.t
lib/{File/*,open,perlio,vmsish,FileHandle,SelectSaver,Symbol,DirHandle}.t""".replace("\n", " ").replace(", ", ",")
QUICK = "t/io/*.t dist/IO/t/*.t cpan/HTTP-Tiny/t/*.t"

RECIPE = Recipe(
    title="Perl: I/O, fork, exec, threads, sockets, IPC",
    packages="perl libperl-dev netbase",
    sources="perl",
    prepare="""cd perl-*/
ln -s "$PWD" /suite/src
v=$(perl -e 'printf "%vd", $^V')
cp -a /usr/share/perl/$v/. lib/
cp -a /usr/lib/x86_64-linux-gnu/perl/$v/. lib/
ln -s /usr/bin/perl perl
ln -s /usr/bin/perl t/perl
# an extension's tests look for its compiled parts beside them
cat >/suite/one <<'.'
#!/bin/bash
f=$1
out=/results/$(echo ${f%.t} | tr / _)
case $f in
t/*) cd t; f=${f#t/} ;;
lib/*) cd t; f=../$f ;;
*) cd ${f%/t/*}; f=t/${f##*/t/} ;;
esac
export PERL_CORE=1
case $1 in t/*|lib/*) inc= ;; *) inc="-I/suite/src/lib -I/suite/src" ;; esac
TMPDIR=/tmp timeout -k 1 120 /suite/src/perl $inc $f >$out.tap 2>$out.err </dev/null
echo $? >$out.status
.
chmod +x /suite/one
""",
    run=f"""cd /suite/src
tests="{TESTS}"
[ -z "$QUICK" ] || tests="{QUICK}"
shopt -s nullglob
eval "ls $tests" 2>/dev/null | sort -u | xargs -P2 -n1 /suite/one
exit 0
""",
    parse=lambda d: results.tap_files(d),
    seconds=1500,
)
