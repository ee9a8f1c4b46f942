#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the model of routes anew: agent/route_model_table.h. Needs numpy and lightgbm; the same input gives the same table.

  fit.py [--rounds 4] [--trees 150] [--leaves 16] TABLES.jsonl LINES...

TABLES come from tables.py, LINES from lines.py. Each round walks the lines with the model of the round before (the first with
the truth alone), adds the rows to those of the earlier rounds, fits, and writes the table. A service is walked with a list of
words that a quarter of the providers, its own among them, has no part in: otherwise the model learns to trust the list.
"""
import argparse, math, os, re, shutil, subprocess, sys, tempfile
import lightgbm as lgb
import numpy as np
import words

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../../..")
TABLE = os.path.join(ROOT, "agent/route_model_table.h")
SCALE = 64
HEADER = """/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model of route_model.c, made by tests/bench/train/fit.py: decision trees over the features of route_features.h. A
 * node is {feature, limit, where to go at or below the limit, where above}; a negative number -n is leaf n - 1. Leaves
 * are log-odds of a literal in steps of 1/%d.
 */
#ifndef TB_ROUTE_MODEL_TABLE_H
#define TB_ROUTE_MODEL_TABLE_H

#include <stdint.h>

/* clang-format off */
static const struct model_node {
    uint8_t feature, limit;
    int16_t below, above;
} model_nodes[] = {
%s
};

static const int16_t model_leaves[] = {
%s
};

static const int16_t model_roots[] = {
%s
};
/* clang-format on */

#endif
"""


def feature_names():
    text = open(os.path.join(ROOT, "agent/route_features.h"), encoding="utf-8").read().split("enum tb_route_feature")[0]
    return re.findall(r"FEATURE\((\w+)\)", text)[1:]


def build(directory, tables, fold):
    """The program that walks lines, with a list of words that the providers of @fold have no part in."""
    agent = os.path.join(directory, "agent.%d" % fold)
    shutil.rmtree(agent, ignore_errors=True)
    shutil.copytree(os.path.join(ROOT, "agent"), agent)
    words, program = os.path.join(directory, "words.%d" % fold), os.path.join(directory, "train.%d" % fold)
    if not os.path.exists(words):
        with open(words, "w", encoding="utf-8") as f:
            subprocess.run([sys.executable, os.path.join(HERE, "words.py"), tables, "--without", str(fold)], stdout=f, check=True)
    subprocess.run([sys.executable, os.path.join(HERE, "../route_words.py"), words, os.path.join(agent, "route_words.h")], check=True)
    sources = sorted(os.path.join(agent, f) for f in os.listdir(agent) if f.endswith(".c"))
    subprocess.run(["cc", "-std=gnu11", "-O2", "-w", "-D_GNU_SOURCE", "-DTB_VERSION=\"0\"", "-I" + agent, "-Wl,--wrap=tb_route_judge",
                    "-I" + os.path.join(HERE, ".."), os.path.join(HERE, "train.c")] + sources + ["-o", program], check=True)
    return program


def walk(program, path, fold, out, own_share, seed):
    """The lines of the providers of @fold through @program: rows to @out."""
    child = subprocess.Popen([program, out, str(own_share), str(seed)], stdin=subprocess.PIPE)
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if words.fold_of(line.split("\t", 1)[0]) == fold:
                child.stdin.write(line.encode())
    child.stdin.close()
    if child.wait() != 0:
        sys.exit("%s failed" % program)


def rows_of(files, names, keep, rng):
    """Thinned where there is plenty: literals judged again, values that fit beside a known placeholder."""
    features, labels, services = [], [], []
    for i, path in enumerate(files):
        a = np.fromfile(path, np.uint8).reshape(-1, len(names) + 3)
        column = lambda name: a[:, names.index(name)]
        literal = a[:, len(names)] == 1
        again = (column("SELF_VISITS") > 0) & literal
        easy = (column("VALUES") > 4) & (column("VALUES_FIT") == 2) & ~literal
        a = a[rng.random(len(a)) < np.where(again, 0.2, np.where(easy, 0.25, 1)) * keep]
        features.append(a[:, :len(names)])
        labels.append(a[:, len(names)].astype(int))
        services.append(a[:, len(names) + 1].astype(int) + 256 * a[:, len(names) + 2].astype(int) + 100000 * i)
    return np.concatenate(features), np.concatenate(labels), np.concatenate(services)


def fit(files, names, o, rng):
    x, y, service = rows_of(files, names, o.keep, rng)
    _, inverse, counts = np.unique(service, return_inverse=True, return_counts=True)
    again = x[:, names.index("SELF_VISITS")] > 0
    first = (x[:, names.index("VALUES")] == 0) & ~again
    weight = np.where(again & (y == 0), 4, 1) * np.where(first, 3, 1) / np.sqrt(counts[inverse])
    data = lgb.Dataset(x, y, weight=weight, feature_name=names)
    return lgb.train(dict(objective="binary", num_leaves=o.leaves, learning_rate=0.12, min_data_in_leaf=40, max_depth=7, lambda_l2=5,
                          feature_fraction=0.5, bagging_fraction=0.7, bagging_freq=1, max_bin=64, verbose=-1, seed=1,
                          deterministic=True, force_row_wise=True, num_threads=2), data, o.trees)


def write(trees):
    nodes, leaves, roots = [], [], []
    def walk(n):
        if "split_feature" not in n:
            leaves.append(str(max(-32000, min(32000, round(n["leaf_value"] * SCALE)))))
            return -len(leaves)
        at = len(nodes)
        nodes.append(None)
        below, above = walk(n["left_child"]), walk(n["right_child"])
        nodes[at] = "{%d, %d, %d, %d}" % (n["split_feature"], math.floor(n["threshold"]), below, above)
        return at
    for tree in trees:
        roots.append(str(walk(tree["tree_structure"])))
    lines = lambda items, n: "\n".join("    " + ", ".join(items[i:i + n]) + "," for i in range(0, len(items), n))
    with open(TABLE, "w", encoding="utf-8") as f:
        f.write(HEADER % (SCALE, lines(nodes, 5), lines(leaves, 16), lines(roots, 16)))


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--rounds", type=int, default=4)
    a.add_argument("--trees", type=int, default=150)
    a.add_argument("--leaves", type=int, default=16)
    a.add_argument("--keep", type=float, default=0.8, help="share of the rows that are used")
    a.add_argument("--after", help="a command to run after each round")
    a.add_argument("tables")
    a.add_argument("lines", nargs="+")
    o = a.parse_args()
    names, rng, files = feature_names(), np.random.default_rng(1), []
    write([{"tree_structure": {"leaf_value": 0}}])  # not the present table: what is made must not depend on it
    with tempfile.TemporaryDirectory() as directory:
        for round_number in range(o.rounds):
            for fold in range(words.FOLDS):
                program = build(directory, o.tables, fold)
                for i, path in enumerate(o.lines):
                    out = os.path.join(directory, "rows.%d.%d.%d" % (round_number, fold, i))
                    walk(program, path, fold, out, 1 if round_number else 0, round_number)
                    files.append(out)
            write(fit(files, names, o, rng).dump_model()["tree_info"])
            print("round %d: done" % round_number, flush=True)
            if o.after:
                subprocess.run(o.after, shell=True, check=True)


if __name__ == "__main__":
    main()
