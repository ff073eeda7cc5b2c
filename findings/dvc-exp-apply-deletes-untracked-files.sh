#!/usr/bin/env bash
# `dvc exp apply` deletes files that neither git nor DVC knows, where an out of the applied experiment covers their folder.
#
# Expected: a file that is untracked, and was written after the experiment, stays, or DVC asks first, as `dvc checkout` does
#       where it would remove a file that its cache does not hold.
# Seen: an experiment has the folder `models` as its out. Later the out became `models/trained`, and the user keeps
#       `models/mine.txt` beside it. `dvc exp apply` of the earlier experiment ends with 0, says that it was applied, and the
#       file is gone. `git stash` would not have it either: it was untracked.
# What to do: before applying an experiment of another layout, `dvc add` such files, or move them away.
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

# A stage that copies params.yaml into the folder $1, which is its out.
stage() {
    printf 'stages:\n  train:\n    cmd: mkdir -p %s && cp params.yaml %s/model.txt\n    params: [lr]\n    outs: [%s]\n' "$1" "$1" "$1" >dvc.yaml
}

mkdir "$work/project" && cd "$work/project"
git init -q -b main && dvc init -q
stage models
echo "lr: 1" >params.yaml
echo /models >.gitignore
git add -A && git commit -qm "the out is models"
dvc exp run -q -n earlier -S lr=2 2>"$work/log" || cat "$work/log" >&2
git checkout -q .

rm -rf models .gitignore
stage models/trained
mkdir models && echo /trained >models/.gitignore
git add -A && git commit -qm "the out is models/trained"
dvc repro -q
echo "written by hand" >models/mine.txt

echo "dvc $version"
echo "before: $(ls models | tr '\n' ' ')($(git status --short models/mine.txt))"
status=0
dvc exp apply earlier || status=$?
echo "after:  $(ls models | tr '\n' ' ')(exit status $status)"
if [ "$status" = 0 ] && [ ! -e models/mine.txt ]; then
    echo "as found: the untracked file is deleted without a word"
else
    echo "this has changed"
    exit 1
fi
