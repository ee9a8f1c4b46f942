#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The container examples, as they are written: what their files say is started here in namespaces of the same shape, and
what the exporter serves is compared with what a client sent. Each container has its own root file system, read-only, its own
mounts, processes and host name, no capability, a user that no file names; it shares the volumes that the
file says, and the pod's network. There is no cluster and no container engine here: the files themselves are checked against
the published schemas (with TB_LONG, which downloads them)."""
import ctypes
import fcntl
import glob
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import urllib.request

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../cli"))
from cli_lib import BUILD, ROOT, Skip, check, main, need, test, wait_for  # noqa: E402

VERSION = open(os.path.join(ROOT, "VERSION"), encoding="utf-8").read().strip()
COMPOSE = os.path.join(ROOT, "examples/container/compose.yml")
POD = os.path.join(ROOT, "examples/kubernetes/pod.yaml")
POLICY = os.path.join(ROOT, "examples/kubernetes/kyverno.yaml")
KYVERNO = "github.com/kyverno/kyverno@v1.11.4"  # whose module has the schema of its policies
COUNT = 60


class Container:
    def __init__(self, name, image, entry, args, env, user, mounts):
        self.name, self.image, self.entry, self.args = name, image, entry or [], args or []
        self.env, self.user, self.mounts = env, user, mounts  # mounts: (volume, path, is_read_only)


def of_kubernetes(path):
    """(init containers, containers) of the Deployment, having checked what the restricted standard asks."""
    with open(path, encoding="utf-8") as f:
        pod = next(d for d in yaml.safe_load_all(f) if d["kind"] == "Deployment")["spec"]["template"]["spec"]
    common = pod["securityContext"]
    check(common["runAsNonRoot"] and common["seccompProfile"]["type"] == "RuntimeDefault", common)
    result = []
    for kind in ("initContainers", "containers"):
        result.append([])
        for c in pod[kind]:
            own = c["securityContext"]
            check(own == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}, own)
            result[-1].append(Container(c["name"], c["image"], c.get("command"), c.get("args"),
                                        {e["name"]: e["value"] for e in c.get("env", [])}, common["runAsUser"],
                                        [(m["name"], m["mountPath"], m.get("readOnly", False)) for m in c["volumeMounts"]]))
    return result


def of_compose(path):
    with open(path, encoding="utf-8") as f:
        services = yaml.safe_load(f)["services"]
    first, then = [], []
    waited = {n for s in services.values() for n in s.get("depends_on", {})}
    for name, c in services.items():
        check(c["read_only"] and c["cap_drop"] == ["ALL"] and c["security_opt"] == ["no-new-privileges:true"], c)
        mounts = [(*m.split(":")[:2], m.endswith(":ro")) for m in c["volumes"]]
        (first if name in waited else then).append(Container(
            name, c["image"], c.get("entrypoint"), c.get("command"), c.get("environment", {}), int(c["user"].split(":")[0]), mounts))
    return first, then


def root_of(image, archive):
    """What a container of this image sees, and its entry point."""
    if image == f"localhost/tickbird:{VERSION}":
        top = "/" + os.path.basename(archive)
        return ["--ro-bind", archive, top], [top + "/bin/tickbird-exporter"]
    check("/python:" in image, image)
    return ["--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64",
            "/lib64"], []


def argv_of(c, archive, volumes):
    root, entry = root_of(c.image, archive)
    argv = ["bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", c.name, "--die-with-parent",
            "--clearenv", "--setenv", "PATH", "/usr/bin:/bin", *root, "--perms", "0755", "--dir", "/tickbird", "--proc", "/proc", "--dev", "/dev", "--ro-bind", WORK + "/as_user", "/as_user", "--cap-add", "ALL"]
    for volume, path, is_read_only in c.mounts:
        argv += ["--ro-bind" if is_read_only else "--bind", os.path.join(volumes, volume), path]
    for name, value in c.env.items():
        argv += ["--setenv", name, value]
    command = [*(c.entry or entry), *c.args]
    if not command[0].startswith("/"):
        command[0] = "/usr/bin/" + command[0]
    return [*argv, "--remount-ro", "/", "--", "/as_user", str(c.user), *command]


def own_network():
    """A network of this process's own, with a loopback: containers' ports are fixed ones."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.unshare(0x40000000) != 0:
        raise Skip("no network namespace can be made")
    with socket.socket() as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 1 | 64))  # SIOCSIFFLAGS: up, running


def archive_of(work):
    done = subprocess.run(["packaging/dist.py", BUILD, VERSION, "1700000000", work], cwd=ROOT, capture_output=True, timeout=120)
    check(done.returncode == 0, done)
    with tarfile.open(glob.glob(work + "/*.tar.gz")[0]) as tar:
        tar.extractall(work)
    return next(p for p in glob.glob(work + "/tickbird-*") if os.path.isdir(p))


def get(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


def try_containers(s, first, then, volume_kinds):
    """@volume_kinds: name -> (owner, mode) of the volume as the engine makes it."""
    need("bwrap")
    own_network()
    volumes = s.path + "/volumes"
    os.makedirs(volumes)
    os.chmod(s.path, 0o755)
    for name, (owner, mode) in volume_kinds.items():
        path = os.path.join(volumes, name)
        os.mkdir(path)
        os.chown(path, *owner)
        os.chmod(path, mode)
    for c in first:
        done = subprocess.run(argv_of(c, ARCHIVE, volumes), capture_output=True, timeout=30)
        check(done.returncode == 0 and not done.stderr, c.name, done)
    for c in then:
        with open(f"{s.path}/{c.name}", "wb") as log:
            s.start(argv_of(c, ARCHIVE, volumes), stdout=log, stderr=log)
    logs = lambda: "".join(open(f"{s.path}/{c.name}", encoding="utf-8").read() for c in then)  # noqa: E731

    def is_there(port):
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close() is None
        except OSError:
            check(all(p.poll() is None for p in s.processes), "one ended", logs())
            return False
    wait_for("the server", lambda: is_there(8080))
    wait_for("the exporter", lambda: is_there(8425))
    for _ in range(COUNT):
        get("http://127.0.0.1:8080/common-licenses/")
    wanted = re.compile(r'^http_requests_total\{service="shop",method="GET",route="/common-licenses",status="200"\} (\d+)$', re.M)
    # The server counts when it has written; the client may be a moment ahead of the last one.
    wait_for("all are counted", lambda: [m for m in wanted.findall(get("http://127.0.0.1:8425/metrics")) if int(m) >= COUNT])
    text = get("http://127.0.0.1:8425/metrics")
    unreadable = re.findall(r"^tickbird_unreadable_regions\{.*\} (?!0$).*$", text, re.M)
    check(wanted.findall(text) == [str(COUNT)] and not unreadable, wanted.findall(text), unreadable)


@test
def the_files_fit_the_published_schemas(_):
    if not os.environ.get("TB_LONG"):
        raise Skip("long: make check-packaging")
    subprocess.run([sys.executable, "-m", "venv", WORK + "/venv"], check=True)
    python = WORK + "/venv/bin/python"
    subprocess.run([python, "-m", "pip", "-q", "install", "kubernetes-validate", "jsonschema", "pyyaml"], check=True)
    done = subprocess.run([WORK + "/venv/bin/kubernetes-validate", "--strict", POD], capture_output=True, text=True)
    check(done.returncode == 0, done)
    subprocess.run([python, "-m", "pip", "-q", "download", "--no-deps", "-d", WORK, "docker-compose==1.29.2"], check=True)
    subprocess.run([python, "-m", "zipfile", "-e", glob.glob(WORK + "/docker_compose-*.whl")[0], WORK + "/compose"], check=True)
    schema = glob.glob(WORK + "/compose/compose/config/compose_spec.json")[0]
    with open(COMPOSE, encoding="utf-8") as f, open(WORK + "/compose.json", "w", encoding="utf-8") as out:
        json.dump(yaml.safe_load(f), out)
    done = subprocess.run([python, "-m", "jsonschema", "-i", WORK + "/compose.json", schema], capture_output=True, text=True)
    check(done.returncode == 0, done)


def strict(schema):
    """The same schema, where what it does not name is wrong."""
    if isinstance(schema, list):
        return [strict(x) for x in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {k: strict(v) for k, v in schema.items()}
    if isinstance(schema.get("properties"), dict) and "x-kubernetes-preserve-unknown-fields" not in schema:
        schema.setdefault("additionalProperties", False)
    return schema


@test
def the_policy_fits_its_published_schema(_):
    if not os.environ.get("TB_LONG"):
        raise Skip("long: make check-packaging")
    need("go")
    env = {**os.environ, "GOPATH": WORK + "/go", "GOFLAGS": "-mod=mod -modcacherw"}
    done = subprocess.run(["go", "mod", "download", "-json", KYVERNO], cwd=WORK, env=env, capture_output=True, text=True, timeout=200)
    check(done.returncode == 0, done)
    with open(json.loads(done.stdout)["Dir"] + "/config/crds/kyverno.io_clusterpolicies.yaml", encoding="utf-8") as f:
        schema = yaml.safe_load(f)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    subprocess.run([sys.executable, "-m", "venv", WORK + "/policy"], check=True)
    subprocess.run([WORK + "/policy/bin/python", "-m", "pip", "-q", "install", "jsonschema"], check=True)
    with open(POLICY, encoding="utf-8") as f:
        policy = yaml.safe_load(f)

    def judge(document):
        for name, what in (("schema", strict(schema)), ("policy", document)):
            with open(f"{WORK}/{name}.json", "w", encoding="utf-8") as out:
                json.dump(what, out)
        return subprocess.run([WORK + "/policy/bin/python", "-m", "jsonschema", "-i", WORK + "/policy.json", WORK + "/schema.json"],
                              capture_output=True, text=True)
    done = judge(policy)
    check(done.returncode == 0, done)
    policy["spec"]["rules"][0]["mutate"]["patchesStrategicMerge"] = {}
    check(judge(policy).returncode != 0, "a wrong key is not noticed")


@test
def the_policy_adds_what_the_pod_has_by_hand(_):
    """Kyverno is not run here: what it adds is what was tried with pod.yaml, under other names of volumes."""
    with open(POLICY, encoding="utf-8") as f:
        text = re.sub(r"name: tickbird-(object|regions|ledger), ", r"name: \1, ", f.read())
    first, then = (rule["mutate"]["patchStrategicMerge"]["spec"] for rule in yaml.safe_load(text)["spec"]["rules"])
    with open(POD, encoding="utf-8") as f:
        pod = next(d for d in yaml.safe_load_all(f) if d["kind"] == "Deployment")["spec"]["template"]["spec"]
    server, exporter = pod["containers"]
    every = first["containers"][0]
    check(then["initContainers"] == pod["initContainers"] and then["containers"] == [exporter], then)
    check(then["volumes"] == pod["volumes"], then["volumes"])
    check(every["volumeMounts"] == server["volumeMounts"], every)
    values = {e["name"]: e["value"] for e in every["env"]}
    check(values.pop("TICKBIRD_SERVICE").startswith("{{ request.object.metadata.labels.app"), every)
    check({e["name"]: e["value"] for e in server["env"] if e["name"] != "TICKBIRD_SERVICE"} == values, values)


@test
def a_pod_is_observed_exactly(s):
    first, then = of_kubernetes(POD)
    group = first[0].user
    # An emptyDir with fsGroup: root's, the group's, everybody may write.
    try_containers(s, first, then, {m[0]: ((0, group), 0o2777) for c in [*first, *then] for m in c.mounts})


@test
def a_composition_is_observed_exactly(s):
    first, then = of_compose(COMPOSE)
    with open(COMPOSE, encoding="utf-8") as f:
        volumes = yaml.safe_load(f)["volumes"]
    check("mode=1777" in volumes["regions"]["driver_opts"]["o"] and not volumes["object"] and not volumes["ledger"], volumes)
    own = ((first[0].user, first[0].user), 0o755)
    try_containers(s, first, then, {"regions": ((0, 0), 0o1777), "object": own, "ledger": own})


with tempfile.TemporaryDirectory(prefix="tb-containers-") as WORK:
    os.chmod(WORK, 0o755)
    ARCHIVE = archive_of(WORK)
    subprocess.run(["cc", "-static", "-D_GNU_SOURCE", "-o", WORK + "/as_user", ROOT + "/tests/packaging/as_user.c"], check=True)
    main()
