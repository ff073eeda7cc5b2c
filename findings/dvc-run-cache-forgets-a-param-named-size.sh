#!/usr/bin/env bash
# DVC's run cache takes two runs for one that differ in a parameter called `size`, and brings back the other one's output.
#
# Expected: a stage that lists the parameter `size` runs again when its value changes to one that it never ran with.
# Seen: `dvc repro` says that the stage is cached, puts the old output in place and writes the new value to dvc.lock beside it;
#       `dvc status` is content from then on. With the parameter called `length` the stage runs. The key of the run cache is a
#       digest of the stage without every key named `size` or `nfiles`, at any depth (dvc/stage/cache.py).
# What to do: give a parameter another name, or list it by its whole name where it lies in a section (`- data.size`).
#
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
version=3.67.1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "dvc==$version"
export PATH=$work/venv/bin:$PATH DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR=$work/site

# What a stage that writes the parameter NAME leaves after it was changed from 1 to 2.
left_after_a_change() {
    mkdir "$work/$1" && cd "$work/$1"
    git init -q && dvc init -q
    echo content >input.txt
    echo "$1: 1" >params.yaml
    printf 'stages:\n  copy:\n    cmd: cp params.yaml out.txt\n    deps: [input.txt]\n    params: [%s]\n    outs: [out.txt]\n' "$1" >dvc.yaml
    dvc repro -q
    echo "$1: 2" >params.yaml
    dvc repro | sed 's/^/    /' >&2
    cat out.txt
}

echo "dvc $version"
with_length=$(left_after_a_change length)
with_size=$(left_after_a_change size)
echo "the output after 'length' was changed to 2: $with_length"
echo "the output after 'size' was changed to 2:   $with_size"
if [ "$with_length" = "length: 2" ] && [ "$with_size" = "size: 1" ]; then
    echo "as found: the parameter called size is forgotten"
else
    echo "this has changed"
    exit 1
fi
