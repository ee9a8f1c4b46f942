# SPDX-License-Identifier: Apache-2.0
"""The comparison itself: chance is told from harm. Programs that differ by the number of their run, plainly or preloaded.

Each script knows $n, how often it has run before in its way, and $object, which is empty in plain runs.
"""
import harness

COUNTED = """
object=${LD_PRELOAD#*/empty.so}
f=$TICKBIRD_DIR/ran${object:+_preloaded}
n=$(cat "$f" 2>/dev/null || echo 0)
echo $((n + 1)) >"$f"
"""
# what the script says, whether that is the object's doing, whether chance is reported
SCRIPTS = {
    "the same always": ("echo same", False, False),
    "plain runs differ, the object's is one of them": ("[ -z \"$object\" ] && echo $((n % 2)) || echo 1", False, True),
    "once with the object": ("[ -z \"$object\" ] || [ $n != 0 ] && echo same || echo other", False, True),
    "once plainly": ("[ -z \"$object\" ] && [ $n = 0 ] && echo other || echo same", False, True),
    "seen late in plain runs": ("[ -z \"$object\" ] && [ $n != 6 ] && echo same || echo other", False, True),
    "always with the object": ("[ -z \"$object\" ] && echo same || echo other", True, False),
    "now and then with the object": ("[ -z \"$object\" ] || [ $((n % 10)) != 0 ] && echo same || echo other", True, False),
    "another thing each time with the object": ("[ -z \"$object\" ] && echo same || echo $n", True, False),
    "plain runs differ, the object's is none of them": ("[ -z \"$object\" ] && echo $((n % 2)) || echo other", True, True),
    "plain runs fail as the object's do": ("[ -z \"$object\" ] && [ $n != 0 ] && echo same || echo ': cannot: '", True, True),
}


def misjudged():
    """What the comparison takes for what it is not; None: nothing."""
    wrong = []
    for what, (script, is_harm, is_chance) in SCRIPTS.items():
        case = harness.Case(what, ["sh", "-c", COUNTED + script])
        with harness.own_regions() as regions:
            compared = harness.Comparison(case, harness.OBJECT, regions)
        if (compared.difference() is not None, compared.chance() is not None) != (is_harm, is_chance):
            wrong.append(f"{what}: difference {compared.difference()}, chance {compared.chance()}")
    return "; ".join(wrong) or None
