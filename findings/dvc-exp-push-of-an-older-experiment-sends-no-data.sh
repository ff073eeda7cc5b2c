#!/usr/bin/env bash
# `dvc exp push` sends nothing of an experiment that is older than the remote, and with a relative path to another folder.
#
# Expected: the data of an experiment go to the remote of the clone, as those of the workspace do; or the command fails.
# Seen: DVC reads the configuration of the experiment's own commit. That of an experiment from before `dvc remote add` names no
#       remote: `exp push` uploads nothing, `exp pull` in another clone downloads nothing, both end with 0. Where the URL of the
#       remote is a relative path, DVC counts it from the root of the file system: with `../remote`, `exp push` writes the data
#       of experiments to /remote (or fails, where it may not), and `dvc push` those of the workspace to where they belong.
# What to do: add the remote, with an absolute path, before the experiments. In another clone `dvc remote add --local NAME URL`
#       and `dvc exp pull -r NAME`: the private configuration is read in any case.
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

files() { { find "$1" -type f 2>/dev/null || true; } | wc -l; }
experiment() {
    dvc exp run -q -n "$1" -S "lr=$2" 2>"$work/log" || cat "$work/log" >&2
    git checkout -q .
}

git init -q --bare -b main "$work/hub.git"
mkdir "$work/one" && cd "$work/one"
git init -q -b main && dvc init -q && git remote add origin "$work/hub.git"
printf 'stages:\n  train:\n    cmd: cp params.yaml model.txt\n    params: [lr]\n    outs: [model.txt]\n' >dvc.yaml
echo "lr: 1" >params.yaml
echo /model.txt >.gitignore
dvc repro -q && git add -A && git commit -qm "first run"
experiment older 2
# From the clone this path leads to a folder in it, from the root of the file system to one beside it.
mkdir -p "$work/one$work/store" "$work/store"
dvc remote add -q -d team ".$work/store"
git add .dvc && git commit -qm "a remote"
experiment newer 3

echo "dvc $version"
dvc push -q
echo "push of the workspace: $(files "$work/one$work/store") file in the remote"
dvc exp push -q origin older && older=0 || older=$?
echo "exp push of an older experiment: exit status $older, $(files "$work/one$work/store") file in the remote"
dvc exp push -q origin newer && newer=0 || newer=$?
echo "exp push of a newer one: exit status $newer, $(files "$work/one$work/store") file in the remote, $(files "$work/store") elsewhere"
git push -q origin main
dvc remote modify team url "$work/store" # absolute from here on
git commit -qam "an absolute path" && git push -q origin main && dvc push -q -A
git clone -q "$work/hub.git" "$work/two" && cd "$work/two"
dvc exp pull -q origin older && pulled=0 || pulled=$?
dvc exp apply -q older 2>/dev/null && applied=0 || applied=$?
echo "in a clone, exp pull of the older one: exit status $pulled; exp apply: exit status $applied"
if [ "$older $newer $pulled" = "0 0 0" ] && [ "$applied" != 0 ] && [ "$(files "$work/store")" -ge 1 ] &&
    [ "$(files "$work/one$work/store")" = 1 ]; then
    echo "as found: no data of the older experiment, those of the newer one in another folder, and no error"
else
    echo "this has changed"
    exit 1
fi
