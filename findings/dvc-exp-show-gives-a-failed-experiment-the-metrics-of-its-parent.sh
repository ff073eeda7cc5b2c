#!/usr/bin/env bash
# `dvc exp show` gives an experiment that failed the metrics of the commit that it started from, beside its own parameters.
#
# Expected: an experiment whose stage failed has no metrics.
# Seen: its row has the new value of the parameter and the metric that the commit reached with the old one, in the table, in
#       --csv and in --json ("metrics" of a row whose "state" is failed is read from the files that it was queued with).
# What to do: look at the state before the metrics; do not sort experiments by a metric without it.
#
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
version=3.67.1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "dvc==$version"
export PATH=$work/venv/bin:$PATH DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR=$work/site

mkdir "$work/project" && cd "$work/project"
git init -q
git config user.name Somebody
git config user.email somebody@example.org
dvc init -q
echo "rate: 1" >params.yaml
cat >stage.py <<'EOF'
import json, sys

rate = int(open("params.yaml").read().split()[1])
if rate > 5:
    sys.exit("this rate is too high")
json.dump({"score": 100 + rate}, open("score.json", "w"))
EOF
cat >dvc.yaml <<'EOF'
stages:
  score:
    cmd: python stage.py
    deps: [stage.py]
    params: [rate]
    metrics: [{score.json: {cache: false}}]
EOF
dvc repro -q
git add -A && git commit -qm "rate 1 scores 101"
dvc exp run -q --queue -n too-high -S rate=9
dvc queue start -q
for _ in $(seq 120); do
    status=$(dvc queue status)
    if [[ $status == *Failed* ]]; then break; fi
    sleep 1
done
dvc queue stop -q --kill || true

echo "dvc $version"
dvc exp show --json >shown.json
seen=$(python - <<'EOF'
import json

for commit in json.load(open("shown.json")):
    for row in commit["experiments"] or ():
        for one in row["revs"]:
            if one["name"] == "too-high":
                executor = row["executor"] or {}
                data = one["data"]
                rate = data["params"]["params.yaml"]["data"]["rate"]
                score = data["metrics"].get("score.json", {}).get("data", {}).get("score")
                print(f"{executor.get('state')}: rate {rate}, score {score}")
EOF
)
echo "the experiment too-high: $seen"
if [ "$seen" = "failed: rate 9, score 101" ]; then
    echo "as found: it failed, and stands there with the score of another rate"
else
    echo "this has changed"
    exit 1
fi
