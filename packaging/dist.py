#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the self-contained archive: the object, the exporter and the command with the loader and the libraries that they
were built with, so that they run where nothing of the kind is installed. Beside it: checksums and a list of what is in it
(SBOM, CycloneDX 1.5), from the package manager's data.

    dist.py BUILD VERSION EPOCH OUTPUT      in the root of the sources

What the archive contains depends on the sources, the compiler and the libraries alone: names are sorted, times are EPOCH
(seconds since 1970), owners are root, programs are stripped. Debian and Ubuntu, as it asks dpkg whose each library is.
"""
import gzip
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import uuid
from datetime import datetime, timezone

PROGRAMS = ("tickbird", "tickbird-exporter")
DOCUMENTS = ("README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md", "docs", "examples")


def output_of(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True, env=dict(os.environ, LC_ALL="C")).stdout


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def place(source, target, mode):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copyfile(source, target)
    os.chmod(target, mode)


def strip(path):
    subprocess.run(["strip", "--strip-unneeded", "--remove-section=.comment", path], check=True)


def needed(programs):
    """The files that the loader maps for these programs, by the name that it asks for, and the loader itself."""
    libraries, loader = {}, None
    for program in programs:
        for line in output_of("ldd", program).splitlines():
            if found := re.match(r"\s*(\S+) => (/\S+) \(", line):
                libraries[found.group(1)] = found.group(2)
            elif found := re.match(r"\s*(/\S+) \(", line):
                loader = found.group(1)
            elif "not found" in line:
                sys.exit(f"dist.py: {program}: {line.strip()}: install it")
    return libraries, loader


def package_of(path):
    """Name, version and source package of an installed file; with merged /usr it may be known by its other name."""
    for name in (path, os.path.realpath(path), re.sub("^/usr", "", os.path.realpath(path)), "/usr" + path):
        done = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True)
        if done.returncode == 0:
            package = done.stdout.split(": ")[0].split(",")[0]
            fields = output_of("dpkg-query", "-W", "-f", "${Package}\t${Version}\t${source:Package}\t${Architecture}", package)
            return dict(zip(("name", "version", "source", "architecture"), fields.split("\t")))
    sys.exit(f"dist.py: {path}: belongs to no package")


def licences(package):
    """The licences that the package's copyright file names, where it can be read by a machine."""
    with open(f"/usr/share/doc/{package}/copyright", encoding="utf-8", errors="replace") as f:
        text = f.read()
    if not text.startswith("Format:"):
        return []
    return sorted(set(re.findall(r"^License: *([A-Za-z0-9][\w.+-]*)", text, re.M)))


def fill_programs(top, build, programs):
    """bin/ and libexec/ of a tree, with the licences of what comes along. Returns as fill."""
    libexec = os.path.join(top, "libexec")
    subprocess.run(["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-static", "-s", "-Wl,--build-id=none", "-o",
                    os.path.join(build, "launcher"), "packaging/launcher.c"], check=True)
    libraries, loader = needed([os.path.join(build, p) for p in programs])
    loader_name = os.path.basename(loader)
    for name, path in [*libraries.items(), (loader_name, loader)]:
        place(path, os.path.join(libexec, name), 0o755)
    for program in programs:
        place(os.path.join(build, program), os.path.join(libexec, program + ".bin"), 0o755)
        strip(os.path.join(libexec, program + ".bin"))
        os.symlink(loader_name, os.path.join(libexec, program))
        place(os.path.join(build, "launcher"), os.path.join(top, "bin", program), 0o755)
    packages = sorted((name, package_of(path)) for name, path in [*libraries.items(), (loader_name, loader)])
    for _, package in packages:
        place(f"/usr/share/doc/{package['name']}/copyright",
              os.path.join(top, "share/licenses", package["name"], "copyright"), 0o644)
    return packages


def fill(top, build, version):
    """The tree of the archive. Returns the libraries' packages: [(name of the file, package)]."""
    packages = fill_programs(top, build, PROGRAMS)
    for name in ("libtickbird.so", "libtickbird-i386.so"):
        if os.path.exists(os.path.join(build, name)):
            place(os.path.join(build, name), os.path.join(top, "lib", f"{name}.{version}"), 0o644)
            strip(os.path.join(top, "lib", f"{name}.{version}"))
            os.symlink(f"{name}.{version}", os.path.join(top, "lib", name))
    place("shim/tickbird.h", os.path.join(top, "include/tickbird.h"), 0o644)
    tracked = output_of("git", "ls-files", *DOCUMENTS, "packaging/systemd").splitlines()
    for path in tracked:
        place(path, os.path.join(top, "share/tickbird", path), 0o755 if os.access(path, os.X_OK) else 0o644)
    return packages


def bill(top, version, packages, epoch):
    """The SBOM, from the tree and the packages that it came from."""
    distribution = platform.freedesktop_os_release()["ID"]
    components = {}
    for name, package in packages:
        purl = f"pkg:deb/{distribution}/{package['name']}@{package['version']}?arch={package['architecture']}"
        component = components.setdefault(purl, {
            "type": "library", "bom-ref": purl, "name": package["name"], "version": package["version"], "purl": purl,
            "licenses": [{"license": {"name": n}} for n in licences(package["name"])],
            "properties": [{"name": "source-package", "value": package["source"]}], "components": []})
        component["components"].append({
            "type": "file", "name": f"libexec/{name}",
            "hashes": [{"alg": "SHA-256", "content": sha256(os.path.join(top, "libexec", name))}]})
    own = ["include/tickbird.h"] + [f"libexec/{p}.bin" for p in PROGRAMS] + [f"bin/{p}" for p in PROGRAMS]
    own += [f"lib/{n}" for n in sorted(os.listdir(os.path.join(top, "lib"))) if n.endswith(version)]
    files = [{"type": "file", "name": n, "hashes": [{"alg": "SHA-256", "content": sha256(os.path.join(top, n))}]}
             for n in own]
    ref = f"pkg:generic/tickbird@{version}"
    content = [*components.values(), *files]
    identity = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "serialNumber": f"urn:uuid:{identity}", "version": 1,
            "metadata": {"timestamp": datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                         "component": {"type": "application", "bom-ref": ref, "name": "tickbird", "version": version,
                                       "purl": ref, "licenses": [{"license": {"id": "Apache-2.0"}}]}},
            "components": content, "dependencies": [{"ref": ref, "dependsOn": sorted(components)}]}


def pack(top, archive, epoch):
    """A tar of the tree: sorted, of root, of one time."""
    def clean(entry):
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = epoch
        if entry.isdir():
            entry.mode = 0o755
        return entry

    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.GNU_FORMAT) as t:
        names = [os.path.relpath(os.path.join(d, n), top) for d, ds, fs in os.walk(top) for n in [*ds, *fs]]
        base = os.path.basename(top)
        t.add(top, base, recursive=False, filter=clean)
        for name in sorted(names):
            t.add(os.path.join(top, name), f"{base}/{name}", recursive=False, filter=clean)
    with open(archive, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, epoch) as f:
        f.write(tar.getvalue())


def main():
    build, version, epoch, output = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    name = f"tickbird-{version}-linux-{platform.machine()}"
    os.makedirs(output, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output) as work:
        top = os.path.join(work, name)
        packages = fill(top, build, version)
        text = json.dumps(bill(top, version, packages, epoch), indent=1) + "\n"
        for path in (os.path.join(top, "share/tickbird/sbom.cdx.json"), os.path.join(output, name + ".cdx.json")):
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        os.chmod(os.path.join(top, "share/tickbird/sbom.cdx.json"), 0o644)
        pack(top, os.path.join(output, name + ".tar.gz"), epoch)
    made = sorted(n for n in os.listdir(output) if n.startswith("tickbird") and n.endswith((".tar.gz", ".cdx.json", ".deb")))
    with open(os.path.join(output, "SHA256SUMS"), "w", encoding="utf-8") as f:
        f.write("".join(f"{sha256(os.path.join(output, n))}  {n}\n" for n in made))
    print(f"  DIST    {os.path.join(output, name)}.tar.gz")


if __name__ == "__main__":
    main()
