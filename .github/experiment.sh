#!/usr/bin/env bash
# experiment.sh BASE HEAD: trains both commits, and leaves in experiment/ what is to be said of them: comment.md and loss.png.
set -euo pipefail
base=$(git rev-parse --verify "$1^{commit}")
head=$(git rev-parse --verify "$2^{commit}")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
kept=$(mktemp -d) # the other commit may not have these scripts
trap 'rm -rf "$kept"' EXIT
cp "$here/experiment_picture.py" "$kept/"
export GIT_AUTHOR_NAME=${GIT_AUTHOR_NAME:-experiment} GIT_AUTHOR_EMAIL=${GIT_AUTHOR_EMAIL:-experiment@localhost}
export GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL

train() { # COMMIT NAME
    git checkout --quiet --force --detach "$1"
    ./run dvc exp run --quiet --name "$2"
}

before=base-${base:0:7} after=change-${head:0:7}
train "$base" "$before"
train "$head" "$after"

mkdir -p experiment
./run dvc plots diff "$before" "$after" --json >"$kept/plots.json"
./run python "$kept/experiment_picture.py" "$kept/plots.json" loss experiment/loss.png
{
    echo "### ${head:0:7} beside ${base:0:7}"
    echo
    ./run dvc params diff "$before" "$after" --md
    echo
    ./run dvc metrics diff "$before" "$after" --md
} >experiment/comment.md
