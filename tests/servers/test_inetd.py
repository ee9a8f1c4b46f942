#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Servers that a super-server starts, one for each connection, on descriptors 0 and 1: through the C library's streams
(micro-httpd, bash, gawk) and without (busybox). Real super-servers: xinetd, tcpsvd, systemd-socket-activate."""
import os
import pwd
import random
import time

import harness
import started


def rng(test):
    return random.Random(f"{harness.SEED}/{test.name}")


def micro_httpd_argv(test):
    return [harness.which("micro-httpd"), started.documents(test)]


def run(test, address, child, name, **options):
    test.wait_for_port(address, child)
    test.start_exporter()
    started.requests_to(address, test.record, rng(test), **options)
    started.compare(test, f"{name}_counts_equal_the_client")


def xinetd_micro_httpd(test):
    program = harness.which("xinetd")
    address = (test.ip, test.port())
    server, root = micro_httpd_argv(test)
    conf = test.write("xinetd.conf", f"""
defaults
{{
    instances = 60
    cps = 1000 1
}}
service tb
{{
    type = UNLISTED
    socket_type = stream
    protocol = tcp
    wait = no
    user = {pwd.getpwuid(os.getuid()).pw_name}
    bind = {address[0]}
    port = {address[1]}
    server = {server}
    server_args = {root}
}}
""")
    child = test.start([program, "-dontfork", "-f", conf, "-pidfile", test.dir / "pid", "-filelog", test.dir / "xinetd.log"])
    run(test, address, child, "xinetd_micro_httpd", methods=("GET",))


def tcpsvd(test, argv, **options):
    address = (test.ip, test.port())
    return address, test.start([harness.which("tcpsvd"), "-c", "30", *address, *argv], **options)


def tcpsvd_micro_httpd(test):
    run(test, *tcpsvd(test, micro_httpd_argv(test)), "tcpsvd_micro_httpd", methods=("GET",), threads=3, connections=30)


def systemd_micro_httpd(test):
    """systemd's own starter, inetd style."""
    address = (test.ip, test.port())
    pass_on = [word for key, value in test.env().items() if key == "LD_PRELOAD" or key.startswith("TICKBIRD_") for word in ("-E", f"{key}={value}")]
    child = test.start([harness.which("systemd-socket-activate"), "-l", "%s:%d" % address, "-a", "--inetd", *pass_on, *micro_httpd_argv(test)],
                       preload=False)
    run(test, address, child, "systemd_micro_httpd", methods=("GET",))


BASH = r'''
while read -r method path _; do
    length=0
    while IFS= read -r line && [ -n "${line%$'\r'}" ]; do
        case ${line,,} in content-length:*) length=${line#*: } ;; esac
    done
    status='200 OK'
    [ "$path" = /missing ] && status='404 Not Found'
    body="this is $path"
    [ "$path" = /slow ] && sleep 0.3
    printf 'HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n' "$status" "${#body}"
    [ "$method" = HEAD ] || printf %s "$body"
done
'''


def tcpsvd_bash(test):
    script = test.write("server.bash", BASH)
    address, child = tcpsvd(test, [harness.which("bash"), script])
    run(test, address, child, "tcpsvd_bash", keep_alive=3)
    # The program that sleeps inherits the connection, and ends before the answer is sent.
    began = time.monotonic()
    started.requests_to(address, test.record, rng(test), connections=3, paths=(("/slow", "/slow"),))
    scrape = started.compare(test, "tcpsvd_bash_slow_counts")
    took = time.monotonic() - began  # what is counted is over
    total = scrape.total("http_request_duration_seconds_sum", service=test.service, route="/slow")
    harness.report(3 * 0.3 <= total <= took, "tcpsvd_bash_durations", f"{total:.3f} s, client {took:.3f} s")


GAWK = r'''
BEGIN {
    RS = "\r\n"
    while ((getline line) > 0) {
        split(line, word, " ")
        while ((getline line) > 0 && line != "")
            ;
        status = word[2] == "/missing" ? "404 Not Found" : "200 OK"
        body = "this is " word[2]
        printf "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", status, length(body), word[1] == "HEAD" ? "" : body
        fflush()
    }
}
'''


def tcpsvd_gawk(test):
    script = test.write("server.awk", GAWK)
    run(test, *tcpsvd(test, [harness.which("gawk"), "-f", script]), "tcpsvd_gawk", keep_alive=3)


def tcpsvd_busybox(test):
    """Reads on descriptor 0, answers on 1."""
    root = started.documents(test)
    run(test, *tcpsvd(test, [harness.which("busybox"), "httpd", "-i", "-h", root]), "tcpsvd_busybox")


def busybox_httpd(test):
    """Its own super-server: forks for each connection, whose descriptor is made 0 and 1."""
    root = started.documents(test)
    address = (test.ip, test.port())
    child = test.start([harness.which("busybox"), "httpd", "-f", "-p", "%s:%d" % address, "-h", root])
    run(test, address, child, "busybox_httpd", threads=3, connections=30)


harness.main_special({f.__name__: f for f in (
    xinetd_micro_httpd, tcpsvd_micro_httpd, systemd_micro_httpd, tcpsvd_bash, tcpsvd_gawk, tcpsvd_busybox, busybox_httpd)})
