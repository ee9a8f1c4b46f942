#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What must leave no trace: secrets in requests, programs that never serve; and many connections at once.

Secrets are planted wherever a request can carry them and then looked for, whole and in pieces, in the region, the ledger,
the scrape, the command's output and the agent's own words.
"""
import base64
import collections
import os
import re
import subprocess
import sys
import uuid

import chaos
import client
import harness
import servers

# ---- secrets


def secrets(random_):
    """kind -> a secret of that kind, new in each run."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

    def word(n, of=letters):
        return "".join(random_.choice(of) for _ in range(n))
    jwt = ".".join(base64.urlsafe_b64encode(random_.randbytes(n)).decode().rstrip("=") for n in (27, 60, 32))
    return {"hex": word(40, "0123456789abcdef"), "base64": base64.b64encode(random_.randbytes(33)).decode().replace("/", "x"),
            "jwt": jwt, "uuid": str(uuid.UUID(int=random_.getrandbits(128), version=4)), "key": "sk_live_" + word(24),
            "number": word(16, "123456789"), "mixed": word(11) + "7!" + word(9), "phone": "+49" + word(10, "123456789"),
            "email": word(9, letters[26:52]) + word(3, "0123456789") + "@" + word(7, letters[26:52]) + ".example"}


def planted(kind, secret, mixed):
    """Requests that carry @secret wherever the form allows it. Only in a path may a part have the look of a word: @mixed, whose
    letters and digits mix, stands where no form keeps a word either."""
    percent = "".join(f"%{ord(c):02x}" for c in secret)
    quoted = re.sub(r"[^A-Za-z0-9._~+@!-]", lambda m: f"%{ord(m[0]):02X}", secret)
    # each kind has places of its own: nothing is learnt from another kind
    for path in (f"/{kind}/{quoted}", f"/{kind}/items/{quoted}/parts", f"/{kind}/files/{quoted}.pdf", f"/reset;token={quoted}",
                 f"/{kind}/a/{percent}", f"/{kind}/x={quoted}", f"/{kind}/to/to={quoted}", f"/no//..//{quoted}/",
                 f"/{kind}/{quoted}/{quoted}/{quoted}", f"/{kind}/reset-{quoted}", f"/{quoted}"):
        yield client.request("GET", path, "localhost")
    yield client.request("GET", f"/hello?token={secret}&x=1", "localhost")
    yield client.request("GET", f"/hello#{secret}", "localhost")
    yield client.request("GET", f"http://user:{quoted}@localhost/hello", "localhost")
    yield client.request("GET", f"http://{mixed}.example/hello", "localhost")
    yield client.request("GET", "/hello", "localhost", [f"Authorization: Bearer {secret}", f"Cookie: sid={secret}",
                                                       f"X-{mixed.rstrip('!').replace('!', '')}: 1"])
    yield client.request("POST", "/echo", "localhost", [f"Content-Length: {len(secret)}"], secret.encode())
    yield client.request("POST", "/echo", "localhost", ["Transfer-Encoding: chunked"], client.chunked([secret.encode()]))
    yield client.request(mixed.replace("!", "")[:20], "/hello", "localhost")
    yield client.request("GET", f"/hello HTTP/1.1 {mixed}", "localhost")


def pieces(secret):
    """What may not be found: the secret, its other forms, and any ten characters in a row that are no common word."""
    raw = secret.encode()
    found = {raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"=")}
    found |= {raw[i:i + 10] for i in range(len(raw) - 9)}
    return {p.lower() for p in found if p not in b"sk_live_"}


def no_secret_is_kept(test):
    random_ = chaos.rng("secrets")
    all_secrets = secrets(random_)
    # the agent's own words are asked for as well
    test_env = test.env
    test.env = lambda service=None: {**test_env(service), "TICKBIRD_DEBUG": "1"}
    address = (test.ip, test.port())
    child = servers.start_nginx(test, f"""
server {{
    listen {address[0]}:{address[1]};
    error_log /dev/null;
    access_log off;
    keepalive_requests 100000;
    location / {{ return 200 "fine\\n"; }}
    location /no {{ return 404; }}
}}""")
    test.wait_for_port(address, child)
    chaos.start_exporter(test, "--fold-after", "1h")
    record = collections.Counter()
    words = list(all_secrets.values())
    for repeat in range(4):  # what is seen again and again is not thereby a word
        for kind, secret in all_secrets.items():
            for data in planted(kind, secret, all_secrets["mixed"]):
                conn = client.Conn(address)
                # in two segments, cut anywhere: the agent may have to keep a part of the line
                conn.send_in_parts(data, [random_.randrange(1, len(data))] if repeat % 2 else [])
                method = data.split(b" ")[0].decode()
                response = conn.response(method)
                record[response.status] += 1
                conn.close()
    # 300 different values in one place, so that the learner has to make up its mind
    conn = client.Conn(address)
    for _ in range(300):
        other = secrets(random_)
        words.append(other["key"])
        record[chaos.get(conn, f"/orders/{other['key']}/lines").status] += 1
    conn.close()
    # left in the middle: what is in flight
    left = []
    for secret in words[:9]:
        conn = client.Conn(address)
        conn.send(b"GET /hello/" + secret.encode())
        left.append(conn)

    scrape = test.settled(test.service, sum(record.values()))
    assert sum(scrape.counts(test.service).values()) == sum(record.values()), (scrape.counts(test.service), record)
    places = {"scrape": scrape.text.encode()}
    for verb in ("status", "routes", "series", "doctor"):
        argv = [chaos.COMMAND, verb] + ([str(child.pid)] if verb == "doctor" else ["--dir", test.region_dir])
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60)
        places["tickbird " + verb] = done.stdout
    regions = [p for p in test.region_dir.iterdir() if p.is_file()]
    assert regions, "no region"
    for path in regions:
        places[f"region {path.name}, while requests are in flight"] = path.read_bytes()
    for conn in left:
        conn.close()
    harness.until(lambda: test.scrape().total("http_requests_in_flight", service=test.service) == 0, "nothing in flight")
    test.stop(child)
    for path in regions:
        places[f"region {path.name}, afterwards"] = path.read_bytes()
    test.stop(test.processes[-1])
    exporter = chaos.start_exporter(test, "--fold-after", "0", "--log.level", "debug")
    harness.until(lambda: test.scrape().total("tickbird_regions", state="free") >= 1 or
                  test.scrape().total("tickbird_exporter_folded_regions_total") >= 1, "the region is folded")
    test.stop(exporter)
    for path in (test.dir / "ledger").rglob("*"):
        if path.is_file():
            places[f"ledger {path.name}"] = path.read_bytes()
    assert any(p.startswith("ledger") and content for p, content in places.items()), "no ledger"
    for p in test.processes:
        with open(p.log, "rb") as f:
            places[f"output of {os.path.basename(str(p.args[0]))}"] = f.read()
    found = []
    for place, content in places.items():
        content = re.sub(rb"\0\0+", b"\0", content.lower())  # holes
        for secret in words:
            for piece in pieces(secret):
                if piece in content:
                    found.append(f"{place} has {piece!r} of {secret!r}")
    assert not found, "\n".join(found[:20])
    return f"{len(words)} secrets, {sum(record.values())} requests, {len(places)} places, {sum(map(len, places.values()))} bytes"


# ---- programs that never serve

SCRIPT = r'''
set -u
work=$1
cd "$work"
i=0
while [ $i -lt 12 ]; do
    i=$((i + 1))
    printf 'line %d\nb\na\n' $i > f$i
    sort f$i | uniq -c | awk '{ print $2, $1 }'
    sed -n '1p' f$i | tr a-z A-Z
    grep -c b f$i || echo none
    grep -q nothing f$i; echo "grep $?"
    head -1 f$i | wc -c | cut -d' ' -f1
    (exit 3); echo "subshell $?"
    sh -c 'echo inner $0; exit 5' $i; echo "sh $?"
    sh -c 'kill -TERM $$'; echo "killed $?"
    cp f$i g$i && mv g$i h$i && cat h$i | od -c | tail -1
    find . -name "h$i" -type f | xargs -n1 basename
done
tar cf all.tar f* && tar tf all.tar | sort | wc -l
gzip -n < f1 | gunzip | cmp - f1 && echo same
dd if=f1 of=copy bs=1 count=4 2>/dev/null; cat copy; echo
cat no-such-file; echo "cat $?"
perl -e 'print "perl ", 6 * 7, "\n"; exit 7'; echo "perl $?"
python3 -c 'import subprocess, sys; print(subprocess.run(["/bin/echo", "from", "python"], stdout=-1).stdout.decode().strip()); sys.exit(9)'
echo "python $?"
python3 -c 'import os, socket
a, b = socket.socketpair()
if os.fork() == 0:
    b.sendall(b"a word that is not HTTP"); os._exit(0)
print(a.recv(100)); os.wait()'
test -d . && expr 6 + 7 && env | grep -c '^HOME='; date -u -d @0; true | false; echo "pipe $?"
echo 'exec >&2; echo to the error output' | sh
'''


def tools_leave_no_trace(test):
    """The same script with and without the object in all that it starts: same output, same status, no region."""
    script = test.write("script.sh", SCRIPT)

    def run(name, env):
        work = test.dir / name
        work.mkdir()
        done = subprocess.run(["/bin/sh", script, work], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=60,
                              env={"PATH": "/usr/bin:/bin", "HOME": "/", "LC_ALL": "C", **env})
        # the loader says how far it came by the name of the folder: the only thing that differs by intent
        return done.returncode, done.stdout.replace(name.encode(), b"W"), done.stderr.replace(name.encode(), b"W")

    plain = run("plain", {})
    ours = run("ours", {k: v for k, v in test.env().items() if k.startswith("TICKBIRD_") or k == "LD_PRELOAD"})
    assert len(plain[1]) > 500, plain
    assert plain == ours, f"plain {plain}\nours {ours}"
    assert not os.listdir(test.region_dir), os.listdir(test.region_dir)
    started = 12 * 18 + 30
    return f"about {started} programs, {len(plain[1])} bytes of output"


# ---- many connections

def ten_thousand_connections_to_nginx(test):
    """All open at once, all in flight at once, over two workers; then each is used again."""
    chaos.allow_descriptors(20000)
    count = 10000
    address = (test.ip, test.port())
    child = servers.start_nginx(test, f"""
server {{
    listen {address[0]}:{address[1]} backlog=4096 reuseport;
    access_log off;
    keepalive_timeout 600;
    location /hello {{ return 200 "hello\\n"; }}
}}""")
    test.stop(child)
    conf = test.dir / "nginx.conf"
    text, changed = re.subn(r"worker_connections \d+;", "worker_connections 12000;", conf.read_text())
    assert changed, "no worker_connections in the packaged configuration"
    conf.write_text("worker_rlimit_nofile 20000;\n" + text)
    child = test.start([harness.which("nginx"), "-c", conf])
    test.wait_for_port(address, child)
    chaos.start_exporter(test)
    conns, record = [], collections.Counter()
    for _ in range(count):
        conns.append(client.Conn(address))
    for path in ("/hello", "/missing"):
        data = client.request("GET", path, "localhost")
        for conn in conns:
            conn.send(data)
        for conn in conns:
            record[("GET", path if path == "/hello" else "_unmatched", str(conn.response("GET").status))] += 1
    scrape = test.settled(test.service, 2 * count)
    found = scrape.counts(test.service)
    assert found == record, harness.difference(record, found) + "\n" + harness.own_counters(scrape, test.service)
    for conn in conns:
        conn.close()
    return f"{sum(record.values())} responses"


if __name__ == "__main__":
    sys.exit(chaos.main([no_secret_is_kept, tools_leave_no_trace, ten_thousand_connections_to_nginx]))
