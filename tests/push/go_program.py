# SPDX-License-Identifier: Apache-2.0
"""Receivers that are a small main of their project's own modules. TB_FETCH=1 builds them, with Go modules from the network; elsewhere what is
built already is used."""
import os
import subprocess

from push_lib import ROOT, Skip

BUILD = os.path.join(ROOT, os.environ.get("B", "build"))


def program(name):
    """The path of the program that tests/push/NAME makes."""
    path = os.path.join(BUILD, "push", name)
    if os.access(path, os.X_OK):
        return path
    if os.environ.get("TB_FETCH") != "1":
        raise Skip(f"no {name} (`make check-push` builds it)")
    env = dict(os.environ, GOFLAGS="-mod=readonly -buildvcs=false")
    try:
        built = subprocess.run(["go", "build", "-p", "2", "-o", path, "."], cwd=os.path.join(ROOT, "tests/push", name), env=env,
                               capture_output=True, text=True, check=False, timeout=900)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Skip(f"no {name}: {error}") from error
    if built.returncode:
        lines = [line for line in built.stderr.splitlines() if line and line[0] != "#"]
        raise Skip(f"no {name}: {lines[0] if lines else '?'}")
    return path
