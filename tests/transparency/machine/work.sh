#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A day's work on a machine, inside the root that machine.py made: packages, a large build, git, ssh, users, servers, terminals.
# Each step leaves /out/NAME.{out,err,status}; what is not the same in two runs of any machine (times, numbers of processes)
# is kept out of the steps or masked here. usage: work.sh [STEP...]
# shellcheck disable=SC2016 # each step is expanded by a shell of its own
set -u
unset B
export LC_ALL=C.UTF-8 HOME=/root DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
export SOURCE_DATE_EPOCH=1700000000 GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@localhost GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@localhost
wanted=" $* "
mkdir -p /out /day

step() {
    name=$1; shift
    case $wanted in "  "|*" $name "*) ;; *) return ;; esac
    (cd /day && timeout 3600 bash -c "$*") >"/out/$name.out" 2>"/out/$name.err" </dev/null
    echo $? >"/out/$name.status"
    sed -i -E 's/[0-9]{2}:[0-9]{2}:[0-9]{2}/HH:MM:SS/g; s/\(pid [0-9]+\)|\[[0-9]{2,}\]|[0-9]+#[0-9]+/PID/g; s/(line [0-9]+: *)[0-9]+ /\1PID /g' "/out/$name.out" "/out/$name.err"
    echo "$name $(cat "/out/$name.status")"
}

# packages: the archive was fetched before, there is no network now
step apt_install 'apt-get install -y --no-install-recommends --no-download -q jq lua5.4 ruby ed bc | grep -v "^Get:\|^Fetched\|Reading database\|^Selecting\|^Preparing\|^debconf"; dpkg -l jq lua5.4 ruby ed bc | tail -5'
step dpkg_verify 'dpkg --verify | grep -v ld.so.preload; dpkg -L ruby | sort; ldconfig -p | grep -vc tickbird'
step apt_remove 'apt-get purge -y -q ed | grep -v "Reading database"; dpkg -s ed'
step package_scripts 'dpkg-reconfigure -fnoninteractive ca-certificates; update-alternatives --list editor'
# programs that do a lot of I/O
step archive 'tar -C /usr/share -cf doc.tar --sort=name --mtime=@0 doc && sha256sum doc.tar; gzip -nk doc.tar; xz -T2 -k doc.tar; zip -qX d.zip doc.tar; unzip -tq d.zip; sha256sum doc.tar.gz doc.tar.xz; mkdir x && tar -xf doc.tar.xz -C x && find x -type f | sort | xargs sha256sum | sha256sum'
step text 'find /usr/include -name "*.h" | sort | xargs cat | sort -S 2M --parallel=2 | uniq -c | sort -rn | sha256sum; find /etc -type f ! -name ld.so.preload | sort | xargs grep -c . | sha256sum'
step pipes 'yes | head -c 100000000 | tee >(sha256sum >&2) | wc -c; seq 1000000 | split -l 10000 --filter="wc -l" | sort | uniq -c; mkfifo f; (cat f | wc -l) & seq 100000 > f; wait'
step bash_sockets '(nc -l -N 127.0.0.1 4999 > got &) ; for i in $(seq 200); do (exec 3<>/dev/tcp/127.0.0.1/4999) 2>/dev/null && break; sleep 0.05; done; wait; echo done'
step perl 'perl -e "use Socket; socketpair(my \$a,my \$b,AF_UNIX,SOCK_STREAM,0); if(!fork){print \$a \"hi\n\";exit} close \$a; print <\$b>; wait; print \$?,\"\n\"; system(\"exit 3\"); print \$?>>8,\"\n\"; open F,\"-|\",\"ls /\"; print sort <F>"'
step python 'python3 -c "
import subprocess,multiprocessing,concurrent.futures,threading,os,signal,tempfile,asyncio,socket
print(subprocess.run([\"sh\",\"-c\",\"exit 7\"]).returncode, subprocess.check_output([\"echo\",\"x\"]))
print(sum(multiprocessing.Pool(4).map(abs, range(-1000,0))))
async def a():
    async def h(r,w): w.write(await r.readline()); await w.drain(); w.close()
    s=await asyncio.start_server(h,\"127.0.0.1\",0); p=s.sockets[0].getsockname()[1]
    for i in range(50):
        r,w=await asyncio.open_connection(\"127.0.0.1\",p); w.write(b\"l%d\n\"%i); print((await r.read()).decode(),end=\"\"); w.close()
asyncio.run(a())
print(sorted(os.listdir(\"/proc/self/fd\")))
"; python3 -m compileall -q -f /usr/lib/python3/dist-packages; python3 -m venv --without-pip v && v/bin/python -c "print(1)"'
step sqlite 'sqlite3 t.db "create table t(a,b); with recursive c(x) as (select 1 union all select x+1 from c where x<200000) insert into t select x,x*x from c; create index i on t(b); select count(*),sum(a) from t; pragma integrity_check;"; sha256sum t.db'
# a large build: every object is compared
step build_git 'cp -r /root/src/git-* g && cd g && make -j2 -s NO_GETTEXT=1 NO_PERL=1 NO_PYTHON=1 NO_TCLTK=1 prefix=/usr CFLAGS="-O1 -g0" all >/dev/null && find . -name "*.o" -o -name git -type f | sort | xargs sha256sum'
step test_git 'cd g/t && for t in t0000-basic t0005-signals t0008-ignores t0021-conversion t0060-path-utils t1006-cat-file t3200-branch t5500-fetch-pack t5510-fetch t5601-clone t7400-submodule-basic; do ./$t.sh 2>&1 | grep -v "^Initialized\|^Reinit" | tail -n 400; done'
step build_tickbird 'cp -r /root/tickbird tb && cd tb && make -j2 -s all >/dev/null && sha256sum build/libtickbird.so build/tickbird build/tickbird-exporter'
# git and ssh
step git 'git init -q -b main r && cd r && for i in $(seq 200); do echo $i > f$i; done && git add . && git commit -qm one && git log --format=%H && git clone -q . ../r2 && git -C ../r2 fsck && git gc -q && git daemon --base-path=/day --export-all --listen=127.0.0.1 --port=9419 --detach --pid-file=/day/gd.pid && git clone -q git://127.0.0.1:9419/r ../r3; git -C ../r3 rev-parse HEAD; kill $(cat /day/gd.pid)'
step sshd 'mkdir -p /run/sshd /root/.ssh; chmod 700 /root/.ssh; ssh-keygen -q -t ed25519 -N "" -f /root/.ssh/id_ed25519; cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys; ssh-keygen -A >/dev/null; /usr/sbin/sshd -p 2222 -o ListenAddress=127.0.0.1 -o PidFile=/day/sshd.pid; S="-p 2222 -o StrictHostKeyChecking=no -o LogLevel=ERROR"; ssh $S 127.0.0.1 "echo hello; id -u; exit 5"; echo $?; ssh -tt $S 127.0.0.1 "tty | cut -c1-8; stty size" ; dd if=/dev/zero bs=1M count=50 status=none | ssh $S 127.0.0.1 sha256sum; scp -q -P 2222 -o StrictHostKeyChecking=no -r 127.0.0.1:/day/r /day/rs && git -C /day/rs status --short | wc -l; GIT_SSH_COMMAND="ssh $S" git clone -q 127.0.0.1:/day/r /day/r4; git -C /day/r4 rev-parse HEAD; rsync -e "ssh $S" -a 127.0.0.1:/day/r/ /day/r5/ && diff -r /day/r /day/r5 && echo same; echo "ls /day/r/f1" | sftp -q -P 2222 -o StrictHostKeyChecking=no 127.0.0.1; kill $(cat /day/sshd.pid)'
# users, privileges, sessions
step users 'useradd -m u1; echo u1:secret | chpasswd; su u1 -c "id; umask; pwd"; sudo -u u1 id; su u1 -c "sudo -n true"; chage -l u1 | head -1; passwd -S u1 | cut -d" " -f1,2; userdel -r u1; id u1'
step limits 'ulimit -n 32; (ulimit -v 300000; perl -e "print 1"); (ulimit -f 1; head -c 100000 /dev/zero > big); echo $?; (ulimit -n 3; cat /etc/hostname); (ulimit -u 40; true); echo $?'
step signals 'sleep 100 & p=$!; kill -STOP $p; kill -CONT $p; kill -TERM $p; wait $p; echo $?; sh -c "kill -SEGV \$\$"; echo $?; timeout 0.2 sleep 5; echo $?; nohup true; setsid true; trap "echo usr1" USR1; kill -USR1 $$'
step terminal 'tmux -L t new-session -d -x 80 -y 24 "echo in tmux; tty | cut -c1-8; exec cat"; for i in $(seq 100); do tmux -L t capture-pane -p | grep -q "in tmux" && break; sleep 0.05; done; tmux -L t capture-pane -p | head -2; tmux -L t kill-server; script -qec "stty -a | tail -1; ls --color /" /dev/null; printf "ihello\033:wq! v.txt\r" | vim.tiny -es -u NONE -s /dev/stdin; echo q | less /etc/passwd | head -1; screen -v | cut -c1-14'
step debuggers 'printf "int main(int c,char**v){volatile int*p=0; return c>1?*p:0;}" > c.c; gcc -g c.c -o c; gdb -batch -ex run -ex bt -ex "info signals SIGSEGV" --args ./c x 2>&1 | grep -v "^\[\|^warning\|libthread_db\|thread_db" | sed "s/0x[0-9a-f]*/ADDR/g"; ./c x; echo $?'
step cron 'date +%Y >/dev/null; crontab -l; echo "0 0 1 1 * true" | crontab -; crontab -l'
# servers
step nginx 'printf "daemon on; error_log /day/e.log; pid /day/n.pid; events{} http{ access_log /day/n.log; server{ listen 127.0.0.1:8081; root /usr/share; location /e { return 503; } } }" > n.conf; nginx -c /day/n.conf; for i in $(seq 300); do curl -s -o o -w "%{http_code} %{size_download}\n" http://127.0.0.1:8081/doc/git/contrib/README http://127.0.0.1:8081/e http://127.0.0.1:8081/none; done | sort | uniq -c; nginx -c /day/n.conf -s reload; sleep 0.3; curl -s -o /dev/null -w "%{http_code}\n" http://127.0.0.1:8081/none; nginx -c /day/n.conf -s quit; while [ -e n.pid ]; do sleep 0.05; done; wc -l < n.log'
step python_server 'python3 -m http.server --bind 127.0.0.1 8082 -d /usr/share >/dev/null 2>&1 & p=$!; for i in $(seq 200); do curl -s -o /dev/null http://127.0.0.1:8082/ && break; sleep 0.05; done; for i in $(seq 50); do curl -s http://127.0.0.1:8082/common-licenses/GPL-3 | sha256sum; done | sort | uniq -c; kill $p; wait $p; echo $?'
step environment 'env | grep -v "^_=\|^LD_PRELOAD" | sort; ls -l /proc/self/fd | awk "{print \$9,\$10}" | sed "s/[0-9]*:\[[0-9]*\]/X/; s,/proc/[0-9]*,/proc/N," ; cat /proc/self/limits; grep -i "^Sig[^Q]\|^Shd\|^Threads\|^Seccomp:\|^NoNewPrivs" /proc/self/status'
