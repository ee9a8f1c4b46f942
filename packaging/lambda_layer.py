#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the layer for AWS Lambda, for the architecture that it was built on: what lies in /opt of a function. The exporter
comes with its loader and libraries, as in the self-contained archive, so it runs whatever runtime the function has.

    lambda_layer.py BUILD EPOCH OUTPUT.zip      in the root of the sources
"""
import os
import stat
import sys
import tempfile
import time
import zipfile

sys.dont_write_bytecode = True
import dist  # noqa: E402

FILES = (("packaging/lambda/tickbird-wrapper", "tickbird-wrapper", 0o755),
         ("packaging/lambda/tickbird-extension", "extensions/tickbird", 0o755),
         ("packaging/lambda/tickbird.yml", "tickbird/tickbird.yml", 0o644),
         ("LICENSE", "tickbird/LICENSE", 0o644))


def fill(top, build):
    """The tree of /opt."""
    for source, target, mode in FILES:
        dist.place(source, os.path.join(top, target), mode)
    dist.fill_programs(os.path.join(top, "tickbird"), build, ["tickbird-exporter"])
    dist.place(os.path.join(build, "libtickbird.so"), os.path.join(top, "tickbird/libtickbird.so"), 0o644)
    dist.strip(os.path.join(top, "tickbird/libtickbird.so"))


def pack(top, archive, epoch):
    """Sorted, of one time, with modes and links: Lambda unpacks both."""
    names = sorted(os.path.relpath(os.path.join(d, n), top) for d, ds, fs in os.walk(top) for n in fs)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as z:
        for name in names:
            path = os.path.join(top, name)
            entry = zipfile.ZipInfo(name, time.gmtime(max(epoch, 315532800))[:6])  # zip begins in 1980
            entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
            entry.external_attr = os.lstat(path).st_mode << 16
            if stat.S_ISLNK(os.lstat(path).st_mode):
                z.writestr(entry, os.readlink(path))
            else:
                with open(path, "rb") as f:
                    z.writestr(entry, f.read())


def main():
    build, epoch, archive = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    os.makedirs(os.path.dirname(archive) or ".", exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(archive) or ".") as top:
        fill(top, build)
        pack(top, archive, epoch)
    print(f"  LAYER   {archive}")


main()
