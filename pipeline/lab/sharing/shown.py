"""The result of `rally share` in words, with the commands for a colleague. No torch."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pipeline.lab.dvc.git import join_names, short_hash
from pipeline.lab.sharing.share import Shared, megabytes


def lines(done: Shared) -> Iterator[str]:
    """The lines after it ended."""
    what = [f"commit {short_hash(done.commit)}"] if done.commit else []
    what += [f"experiment{'s' * (len(done.experiments) > 1)} {join_names(done.experiments)}"] if done.experiments else []
    if done.is_dry:
        yield from (f"would be sent: {file.name}, {megabytes(file.size() or 0)}" for file in done.sent)
    elif what:
        compared = "the content" if done.by_content else "the size"
        yield (
            f"shared: {' and '.join(what)}; {done.files} files, {megabytes(done.size)}, are on remote {done.remote}, which was "
            f"asked for {compared} of each"
        )
        yield "A colleague gets it by:"
        yield from (f"    {command}" for command in commands(done))
        yield "with their own credentials set by `dvc remote modify --local`, where the remote asks for any."
    yield from (f"not shared: {name}: {why}" for name, why in done.held_back.items())


def commands(done: Shared) -> Iterator[str]:
    """What a colleague types, in a new clone or an old one."""
    branch = done.request.branch.removeprefix("refs/heads/")
    to = f" --branch {shlex.quote(branch)}" if branch else ""
    yield f"git clone{to} {shlex.quote(done.git_url)} lab && cd lab" + ("    # or: git pull" if branch else "")
    if not done.is_known:  # to HEAD, or to an experiment that is older than the remote
        # `remote add` refuses the name where a colleague has set a password for it. `config` takes no name with a dot.
        add = f"remote add --local {done.remote}" if "." in done.remote else f"config --local remote.{done.remote}.url"
        yield f"./run dvc {add} {shlex.quote(done.url)}"
        yield from (
            f"./run dvc remote modify --local {done.remote} {key} {shlex.quote(value)}" for key, value in done.options.items()
        )
    of = "" if done.is_default and done.is_known else f" -r {done.remote}"
    if done.commit:
        yield f"./run dvc pull{of}{' --run-cache' * done.run_cache}{' --allow-missing' * done.is_partial}"
    if done.experiments:
        yield f"./run dvc exp pull{of} {done.request.git_remote} {' '.join(map(shlex.quote, done.experiments))}"
        yield f"./run dvc exp apply {shlex.quote(done.experiments[0])}"
