#!/usr/bin/env bash
# `dvc push --run-cache` leaves out files that the run cache names, so that a clone runs the stage again.
#
# Expected: after `dvc push --run-cache` in one clone, `dvc fetch --run-cache` and `dvc repro --pull` in another one restore a
#       stage that ran, instead of running it.
# Seen: they do for a stage whose outs are all cached. Of a stage with an out of `cache: false` (a metrics file in git) DVC keeps
#       that file in its cache too, for the run cache, but does not push it. The other clone has the entry, cannot find the file
#       that it names, and runs the stage.
# What to do: give stages that take long cached outs only; or send the files that the entries name, as `rally share
#       --run-cache` does.
#
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
version=3.67.1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "dvc==$version"
export PATH=$work/venv/bin:$PATH DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR=$work/site HOME=$work
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
export RUNS=$work/runs
runs() { grep -c "$1" "$RUNS" || true; }

mkdir "$work/one" "$work/remote" && cd "$work/one"
git init -q -b main && dvc init -q
dvc remote add -q -d team "$work/remote"
cat >dvc.yaml <<'YAML'
stages:
  cached:
    cmd: cp params.yaml model.txt && echo cached >>"$RUNS"
    deps: [params.yaml]
    outs: [model.txt]
  uncached:
    cmd: cp params.yaml weights.txt && echo '{"a":1}' >metrics.json && echo uncached >>"$RUNS"
    deps: [params.yaml]
    outs: [weights.txt]
    metrics: [{metrics.json: {cache: false}}]
YAML
echo "lr: 1" >params.yaml
printf '/model.txt\n/weights.txt\n' >.gitignore
dvc repro -q && rm metrics.json && git add -A && git reset -q dvc.lock && git commit -qm "the stages, without their results"
dvc push -q --run-cache

git clone -q "$work/one" "$work/two" && cd "$work/two"
dvc fetch -q --run-cache
dvc repro -q --pull
echo "dvc $version"
echo "the stage with cached outs ran $(runs '^cached') time, the one with a metrics file in git $(runs '^uncached') times"
if [ "$(runs '^cached')" = 1 ] && [ "$(runs '^uncached')" = 2 ]; then
    echo "as found: the second clone ran the stage again"
else
    echo "this has changed"
    exit 1
fi
