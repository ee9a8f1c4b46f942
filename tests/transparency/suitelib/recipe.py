# SPDX-License-Identifier: Apache-2.0
"""What a file of tests/transparency/suites/ declares about one suite, and how they are found."""
import dataclasses
import glob
import importlib.util
import os
from typing import Callable

SUITES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "suites")


@dataclasses.dataclass
class Recipe:
    """One suite of another project.

    packages, sources   Debian packages to install, and source packages to unpack in /suite
    prepare             shell, as root in /suite with the network: what has to be built; once
    run                 shell, as an ordinary user with loopback only; leaves its findings in /results. QUICK is set for
                        a short run
    parse               directory of the findings -> Results
    seconds             limit of one run
    serves              the run must leave recorded requests: the suite speaks HTTP through what we hook
    """
    title: str
    packages: str
    sources: str
    run: str
    parse: Callable
    prepare: str = ""
    seconds: int = 900
    serves: bool = False
    name: str = ""


def find():
    """All recipes, by name."""
    recipes = {}
    for path in sorted(glob.glob(os.path.join(SUITES, "*.py"))):
        name = os.path.basename(path)[:-3]
        spec = importlib.util.spec_from_file_location(f"suite_{name}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.RECIPE.name = name
        recipes[name] = module.RECIPE
    return recipes
