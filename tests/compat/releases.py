#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The same object in other userlands: `releases.py [NAME...]`, reports like a suite. Long, downloads, needs root for some.

  glibc-2.17    the C library of 2012, as a cross toolchain from npm brings it: nginx and the small servers built with it
  bullseye      Debian 11, glibc 2.31, its own nginx and Python   (debootstrap)
  trixie        Debian 13, glibc 2.41, its own nginx and Python   (debootstrap)
  musl          nginx built with musl
  aarch64       the object and the small servers cross-compiled, run by qemu's user mode
  kernel        every server of tests/servers on Linux 3.10 (test_kernel.py)

What is downloaded and built stays in TB_RELEASES (/var/tmp/tickbird-releases); delete it to begin anew. What cannot be
downloaded is reported as skipped, with the reason.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "servers")]
sys.dont_write_bytecode = True
import cases  # noqa: E402
import compat  # noqa: E402
import harness  # noqa: E402
import servers  # noqa: E402
import sites  # noqa: E402

CACHE = pathlib.Path(os.environ.get("TB_RELEASES", "/var/tmp/tickbird-releases"))
TOOLCHAIN = "@napi-rs/cross-toolchain-x64-target-x86_64@1.0.0"  # crosstool-ng: gcc 4.8.5, glibc 2.17
TRIPLE = "x86_64-unknown-linux-gnu"
MODELS = ("prefork", "fork", "fork-unseen", "threads", "small-stacks", "epoll", "dup", "exec", "pass", "daemon", "handlers",
          "jumps", "cancel", "clearenv")
WAYS = ("read", "readv", "recv", "recvfrom", "recvmsg", "recvmmsg", "sendfile64", "splice", "syscall", "pieces", "checked")
# Everything that would need another library or is not asked.
NGINX_WITHOUT = ["rewrite", "gzip", "auth_basic", "scgi", "uwsgi", "grpc", "memcached", "geo", "map", "split_clients", "ssi",
                 "mirror", "limit_conn", "limit_req", "empty_gif", "browser", "autoindex", "userid"]


def run(argv, what, **more):
    """Runs a step of a preparation; its failure skips what needs it. Returns what it said."""
    done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **more)
    if done.returncode:
        last = done.stdout.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no output"]
        raise harness.Missing(f"{what}: {last[0]}")
    return done.stdout.decode("utf-8", "replace")


def need_root():
    if os.getuid() != 0:
        raise harness.Missing("needs root")


# ---- what is downloaded and built ----

def toolchain():
    where = CACHE / "toolchain-2.17"
    if not where.exists():
        new = CACHE / f"toolchain.{os.getpid()}"
        new.mkdir(parents=True)
        run(["npm", "pack", "--silent", TOOLCHAIN], "npm pack", cwd=new)
        run(["tar", "xzf", next(new.glob("*.tgz"))], "tar", cwd=new)
        run(["tar", "xJf", next(new.glob("package/*.tar.xz"))], "tar", cwd=new)
        new.rename(where)
    return where / "bin" / f"{TRIPLE}-gcc", where / TRIPLE / "sysroot" / "lib"


def nginx_source():
    """Debian's source of nginx, by apt with a list of its own, from where the machine has its packages."""
    where = CACHE / "nginx-source"
    if not where.exists():
        new = CACHE / f"nginx-source.{os.getpid()}"
        (new / "lists" / "partial").mkdir(parents=True)
        own = run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages", "Origin: Debian",
                   "Component: main"], "apt-get indextargets")
        (new / "sources.list").write_text(f"deb-src {own.splitlines()[0]} main\n")
        options = [f"-oDir::Etc::sourcelist={new}/sources.list", "-oDir::Etc::sourceparts=-", f"-oDir::State::lists={new}/lists",
                   "-oAPT::Sandbox::User=root"]
        run(["apt-get", *options, "update"], "apt-get update")
        run(["apt-get", *options, "source", "--download-only", "nginx"], "apt-get source", cwd=new)
        (new / "nginx").mkdir()
        run(["tar", "xzf", next(new.glob("nginx_*.orig.tar.gz")), "--strip-components=1", "-C", new / "nginx"], "tar")
        new.rename(where)
    return where / "nginx"


def nginx_built(name, compiler, cflags="", ldflags=""):
    where = CACHE / f"nginx-{name}"
    if not where.exists():
        new = CACHE / f"nginx-{name}.{os.getpid()}"
        shutil.copytree(nginx_source(), new)
        run(["./configure", f"--with-cc={compiler}", f"--with-cc-opt={cflags} -O1 -Wno-error", f"--with-ld-opt={ldflags}",
             "--with-threads", *[f"--without-http_{m}_module" for m in NGINX_WITHOUT]], "configure", cwd=new)
        run(["make", "-j2"], "make", cwd=new)
        new.rename(where)
    return where / "objs" / "nginx"


UBUNTU = "http://archive.ubuntu.com/ubuntu"


def debian(release, *mirror):
    """A userland of that release with nginx and Python. @mirror: where it is not Debian's (UBUNTU)."""
    need_root()
    where = CACHE / release
    if not (where / "usr/sbin/nginx").exists() or (where / "debootstrap").exists():
        shutil.rmtree(where, ignore_errors=True)
        run(["debootstrap", "--variant=minbase", "--include=nginx-light,python3",
             f"--components={'main,universe' if mirror else 'main'}", release, where, *mirror], "debootstrap")
    return where


# ---- what is run ----

def nginx_files(binary, upstream=False):
    """nginx with two workers that drop their rights; files by sendfile, or a kept upstream."""
    def set_up(test):
        address = (test.ip, test.port())
        (test.dir / "logs").mkdir()
        (test.dir / "temp").mkdir(mode=0o777)
        temp = "".join(f"{k}_temp_path {test.dir}/temp/{k};\n" for k in ("client_body", "proxy", "fastcgi"))
        if upstream:
            back = sites.python_upstream(test)
            where = (f"location / {{ proxy_pass http://{back[0]}:{back[1]}; proxy_http_version 1.1; "
                     'proxy_set_header Connection ""; }')
        else:
            where = (f"root {sites.documents(test)}; location /items/ {{ default_type text/plain; }}"
                     "location = /notmodified { if_modified_since before; }")
        conf = test.write("nginx.conf", f"""
{"user nobody nogroup;" if os.getuid() == 0 else ""}
worker_processes 2; daemon off; pid {test.dir}/pid; error_log {test.dir}/logs/error.log;
events {{ worker_connections 500; }}
http {{
    {temp}
    log_format plain '$request_method $status $bytes_sent $uri';
    access_log {test.dir}/logs/access.log plain;
    sendfile on; keepalive_requests 100000; large_client_header_buffers 4 32k;
    server {{ listen {address[0]}:{address[1]} backlog=512; {where} }}
}}
""")
        child = test.start([binary, "-c", conf, "-p", test.dir])
        test.access_log = (test.dir / "logs" / "access.log", {"statuses": ("499", "000")})
        test.wait_for_port(address, child)
        return sites.app(address, (), max_head=7000) if upstream else cases.Site(address, dict(sites.FILE_PATHS))
    return set_up


def real_servers(set_ups, under=()):
    harness.UNDER = [str(u) for u in under]
    for name, set_up in set_ups.items():
        try:
            harness.run_one(name, set_up)
        except Exception:  # pylint: disable=broad-except
            harness.report(False, f"{name}_runs", traceback.format_exc())
    harness.UNDER = []


def small_servers(name, program, models=MODELS):
    """The preload tests' server, as @program, in all @models and ways."""
    preload = compat.preload
    preload.tests.clear()
    drive = compat.of_preload
    for model in models:
        preload.tests.append((f"{name}_{model}", lambda d, r, m=model: drive["model"](d, r, m, WAYS, program), ()))
    for way in WAYS:
        def one(directory, random_, way=way):
            server = compat.start([program, way, "epoll"], directory, "way")
            compat.drive_exactly(server, directory, random_, connections=8, requests=40)
        preload.tests.append((f"{name}_{way}", one, ()))
    sys.argv[1:] = []
    harness.status |= preload.main()


def small_server_2_17(name, *flags):
    compiler, _ = toolchain()
    return compat.server_with(name, "-include", compat.source("old_headers.h"), *flags, cc=str(compiler))


def root_of_2_17():
    """A userland of nothing but that libc, nginx and what they read."""
    need_root()
    compiler, lib = toolchain()
    nginx = nginx_built("2.17", compiler)
    root = CACHE / "root-2.17"
    if not root.exists():
        new = CACHE / f"root-2.17.{os.getpid()}"
        shutil.copytree(lib, new / "lib64", symlinks=True)
        (new / "lib").symlink_to("lib64")
        (new / "etc").mkdir()
        (new / "etc/passwd").write_text("root:x:0:0::/:\nnobody:x:65534:65534::/:\n")
        (new / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
        (new / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\n")
        (new / "usr/sbin").mkdir(parents=True)
        shutil.copy(nginx, new / "usr/sbin/nginx")
        new.rename(root)
    return root


def userland(name, root, set_ups):
    """The small servers, built with the glibc of 2012 (old versions of symbols, threads in a library of their own), and nginx."""
    version = subprocess.run(["chroot", root, *LIBC_VERSION[name]], stdout=subprocess.PIPE,
                             check=True).stdout.decode().splitlines()[0]
    print(f"# {name}: {version}, object {compat.object_hash()}", flush=True)
    enter = [HERE / "inroot.sh", root]
    binary = small_server_2_17("server-built-2.17")
    script = pathlib.Path(compat.BIN) / f"server-in-{name}"
    script.write_text(f'#!/bin/sh\nexec {enter[0]} {root} {binary} "$@"\n')
    script.chmod(0o755)
    label = name.replace("-", "_").replace(".", "_")
    small_servers(label, str(script))
    real_servers({f"{label}_{n}": s for n, s in set_ups.items()}, enter)
    if name != "trixie":  # its nginx ends at once on 3.10, without Tickbird too: OpenSSL 3.5 wants getrandom
        real_servers({f"{label}_on_3_10_nginx": set_ups["nginx"]}, [*enter, compat.program("oldkernel-static", "-static",
                                                                                 sources=[compat.source("oldkernel.c")])])


LIBC_VERSION = {"glibc-2.17": ["/lib64/ld-linux-x86-64.so.2", "/lib64/libc.so.6"], "bullseye": ["/usr/bin/ldd", "--version"],
                "trixie": ["/usr/bin/ldd", "--version"]}
NGINX = {"nginx": nginx_files("/usr/sbin/nginx"), "nginx_proxy": nginx_files("/usr/sbin/nginx", upstream=True)}


def glibc_2_17():
    userland("glibc-2.17", root_of_2_17(), NGINX)


def debian_release(release):
    userland(release, debian(release), {**NGINX, "python": servers.http_server("HTTP/1.1")})


def musl():
    compiler = compat.musl_gcc()
    headers = CACHE / "kernel-headers"  # musl has none, and no crypt.h here
    headers.mkdir(parents=True, exist_ok=True)
    for name, target in (("linux", "/usr/include/linux"), ("asm-generic", "/usr/include/asm-generic"),
                         ("asm", compat.kernel_headers()[1].replace("-idirafter", "") + "/asm")):
        if not (headers / name).exists():
            (headers / name).symlink_to(target)
    (headers / "crypt.h").write_text("struct crypt_data { char data[260]; };\n")
    nginx = nginx_built("musl", compiler, cflags=f"-idirafter {headers}")
    print(f"# musl: object {compat.object_hash()}", flush=True)
    real_servers({"musl_nginx": nginx_files(nginx), "musl_nginx_proxy": nginx_files(nginx, upstream=True)})
    real_servers({"musl_on_3_10_nginx": nginx_files(nginx)}, [compat.program("oldkernel-static", "-static",
                                                                            sources=[compat.source("oldkernel.c")])])


def aarch64():
    """Another instruction set: the portable parser, other system call numbers, another vDSO. Regions are read by this machine."""
    compiler, qemu = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
    if not compiler or not qemu:
        raise harness.Missing("aarch64-linux-gnu-gcc or qemu-aarch64 is not installed")
    out = CACHE / "aarch64"
    run(["make", "-s", "-j2", f"B={out}", f"CC={compiler}", "AR=aarch64-linux-gnu-ar", out / "libtickbird.so"], "make",
        cwd=HERE.parent.parent)
    binary = compat.server_with("server-aarch64", cc=compiler)
    script = pathlib.Path(compat.BIN) / "server-in-aarch64"
    # the preload is the emulated loader's, not qemu's own
    script.write_text(f'#!/bin/sh\nunset LD_PRELOAD\nexec {qemu} -L /usr/aarch64-linux-gnu -E LD_PRELOAD={out}/libtickbird.so '
                      f'{binary} "$@"\n')
    script.chmod(0o755)
    # a program that executes itself would be executed by this machine, not by qemu
    small_servers("aarch64", str(script), [m for m in MODELS if m != "exec"])


def kernel():
    done = subprocess.run([HERE / "test_kernel.py", "all"], check=False)
    harness.status |= done.returncode


SETS = {"glibc-2.17": glibc_2_17, "bullseye": lambda: debian_release("bullseye"), "trixie": lambda: debian_release("trixie"),
        "musl": musl, "aarch64": aarch64, "kernel": kernel}


def main():
    wanted = sys.argv[1:] or list(SETS)
    CACHE.mkdir(parents=True, exist_ok=True)
    os.environ["B"] = compat.B  # where it is, also for inroot.sh
    for name in wanted:
        if name not in SETS:
            sys.exit(f"releases.py: no set {name!r}: one of {', '.join(SETS)}")
        try:
            SETS[name]()
        except (harness.Missing, compat.Skip) as missing:
            print(f"skip {name} {missing}", flush=True)
        except Exception:  # pylint: disable=broad-except
            harness.report(False, f"{name}_runs", traceback.format_exc())
    sys.exit(harness.status)


if __name__ == "__main__":
    main()
