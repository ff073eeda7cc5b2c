"""`rally share`: data before references, everything asked for, what is wrong sent again; with a folder as the remote."""

from __future__ import annotations

import json
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shared_lab import Clone, copy_of, make_lab, runs
from small import TOP

from pipeline.lab.dvc.remotes import SECRETS, remotes, unverified
from pipeline.lab.sharing.remote import EXTRAS, shown_git_url, shown_url

Capture = pytest.CaptureFixture[str]
URL = "../../remote"  # of the folder `remote` beside any clone


@pytest.fixture(scope="module")
def without_remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("share")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RALLY_RUNS", str(folder / "runs"))
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
        yield make_lab(folder / "without")


@pytest.fixture(scope="module")
def with_remote(without_remote: Clone) -> Clone:
    lab = copy_of(without_remote, without_remote.root.parents[1] / "with")
    lab.configure({"url": URL, "verify": "true"})
    lab.commit("our remote")
    assert lab.dvc("exp", "run", "-n", "slower", "-S", "seed=3") == 0
    lab.git("checkout", "-q", ".")
    assert lab.dvc("checkout") == 0
    return lab


@pytest.fixture
def bare(without_remote: Clone, tmp_path: Path) -> Clone:
    """A lab without a remote."""
    return copy_of(without_remote, tmp_path / "team")


@pytest.fixture
def lab(with_remote: Clone, tmp_path: Path) -> Clone:
    """A lab whose commit has a folder as its remote, and an experiment that knows it."""
    return copy_of(with_remote, tmp_path / "team")


def remote(lab: Clone) -> Path:
    return lab.root.parent / "remote"


def stored(lab: Clone) -> dict[Path, int]:
    """The files on the remote with their sizes."""
    return {file: file.stat().st_size for file in sorted(remote(lab).rglob("*")) if file.is_file()}


def dvc_commands(out: str) -> list[str]:
    """Those for a colleague, without `dvc`."""
    return [line.strip().removeprefix("./run dvc ") for line in out.splitlines() if line.startswith("    ./run dvc ")]


def overwrite(file: Path, content: bytes) -> None:
    file.chmod(0o644)
    file.write_bytes(content)


# ------------------------------------------------------------------------------------------------------------- it arrives


def test_a_colleague_gets_the_commit_and_its_experiments(lab: Clone, capsys: Capture) -> None:
    capsys.readouterr()
    assert lab.rally("share") == 0
    out, err = capsys.readouterr()
    assert "6 files, 0.6 MB; of these 6 (0.6 MB) to send to remote team" in err
    assert "1 of other commits not asked for; `rally share --all`" in err
    assert "experiment slower; 6 files, 0.6 MB, are on remote team, which was asked for the size of each" in out
    commands = dvc_commands(out)
    assert commands[-3:] == ["pull -r team", "exp pull -r team origin slower", "exp apply slower"], "its path is a relative one"
    assert lab.references_there() == ["main", "slower"]
    theirs = lab.clone("theirs")
    assert theirs.dvc("pull") == 0
    assert theirs.files() == lab.files() and len(lab.files()) == 3
    assert [theirs.dvc(*command.split()) for command in commands] == [0] * 5
    assert theirs.files()["models/large"].startswith(b"line of seed 3\n")


@pytest.mark.parametrize("private", [{}, {"verify": "true"}], ids=["", "options of one's own, as a password is"])
def test_an_experiment_that_is_older_than_the_remote_comes_with_the_commands_that_fetch_its_data(
    private: dict[str, str], lab: Clone, capsys: Capture
) -> None:
    """`dvc exp pull` alone would read the configuration of its own commit, take nothing, and end with 0.

    With options in the private file it would find a remote without a URL there, and end.
    """
    lab.git("push", "-q", "origin", "main")
    theirs = lab.clone("theirs")
    if private:
        lab.configure(private, private=True)
        theirs.configure(private, private=True)
    assert lab.rally("share") == 0 == lab.rally("share", "faster")
    commands = dvc_commands(capsys.readouterr().out)[-4:]
    assert [theirs.dvc(*command.split()) for command in commands] == [0] * 4
    assert theirs.files()["models/large"].startswith(b"line of seed 2\n")


def test_data_are_there_before_the_references(lab: Clone) -> None:
    hook = lab.hub / "hooks/pre-receive"
    hook.write_text(f"#!/bin/sh\nfind {remote(lab)} -type f | wc -l >{lab.root.parent}/count\n")
    hook.chmod(0o755)
    assert lab.rally("share", "--all") == 0
    assert int((lab.root.parent / "count").read_text()) == len(stored(lab)) == 9


def test_what_is_there_is_not_sent_again(lab: Clone, capsys: Capture) -> None:
    assert lab.rally("share", "--all") == 0
    before = {file: file.stat().st_mtime_ns for file in stored(lab)}
    capsys.readouterr()
    assert lab.rally("share", "--all", "--verify", "--json") == 0
    done = json.loads(capsys.readouterr().out)
    assert done["sent"] == [] and done["compared"] == "content"
    assert sorted(done["experiments"]) == ["faster", "slower"]
    assert {file: file.stat().st_mtime_ns for file in stored(lab)} == before


def test_a_dry_run_changes_nothing(bare: Clone, capsys: Capture) -> None:
    bare.configure({"url": URL})
    bare.commit("our remote")
    config = (bare.root / ".dvc/config").read_text()
    assert bare.rally("share", "--all", "--dry-run") == 0
    assert "commit " in (told := capsys.readouterr()).err and "to send to remote team" in told.err
    assert "would be sent: models/large, 0.3 MB\n" in told.out and "shared: " not in told.out
    assert not stored(bare) and not bare.references_there()
    assert (bare.root / ".dvc/config").read_text() == config


@pytest.mark.slow
def test_a_clone_restores_from_the_run_cache_instead_of_running(lab: Clone, capsys: Capture) -> None:
    assert lab.rally("share", "--run-cache", "--verify") == 0
    assert "./run dvc pull -r team --run-cache\n" in capsys.readouterr().out
    theirs = lab.clone("theirs")
    (theirs.root / "dvc.lock").unlink()
    before = runs()
    assert theirs.dvc("fetch", "--run-cache") == 0
    assert theirs.dvc("repro", "--pull") == 0
    assert runs() == before
    assert theirs.files() == lab.files()
    assert (theirs.root / "dvc.lock").read_bytes() == (lab.root / "dvc.lock").read_bytes()


# ------------------------------------------------------------------------------------------------- what is wrong on the remote


@pytest.mark.parametrize("harm", [Path.unlink, lambda file: overwrite(file, file.read_bytes()[:-1])], ids=["lost", "short"])
@pytest.mark.parametrize("lists", [False, True], ids=["files", "lists of folders"])
def test_every_file_that_is_short_or_lost_is_sent_again(lab: Clone, harm: Callable[[Path], None], lists: bool) -> None:
    assert lab.rally("share", "--run-cache") == 0
    whole = {file: file.read_bytes() for file in stored(lab)}
    harmed = [file for file in whole if (file.suffix == ".dir") == lists]
    assert len(harmed) > 1
    for file in harmed:
        harm(file)
    for _ in range(2):
        assert lab.rally("share", "--run-cache") == 0
        assert {file: file.read_bytes() for file in stored(lab)} == whole


@pytest.mark.slow
def test_a_changed_file_is_found_by_its_content(lab: Clone, capsys: Capture) -> None:
    assert lab.rally("share") == 0
    file, content = next((file, file.read_bytes()) for file, size in stored(lab).items() if size == 300_000)
    overwrite(file, b"x" * len(content))
    assert lab.clone("refused").dvc("pull") != 0, "verify is set"
    overwrite(file, b"x" * len(content))  # a pull with verify takes the changed one off the remote
    assert lab.rally("share") == 0
    assert file.read_bytes() != content, "a size says nothing of the content"
    assert lab.rally("share", "--verify") == 0
    assert file.read_bytes() == content


def test_a_server_whose_disk_is_full_gets_no_reference_and_keeps_no_short_file(lab: Clone, capsys: Capture) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, limits[1]))  # DVC's own cache needs half of it
    try:
        assert lab.rally("share") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    told = capsys.readouterr()
    assert told.err.splitlines()[-1].endswith("File too large. No git reference was sent. The same command goes on")
    assert not told.out and not lab.references_there()
    assert all(size < 1_000 for size in stored(lab).values())
    assert lab.rally("share") == 0
    assert lab.clone("theirs").dvc("pull") == 0


# -------------------------------------------------------------------------------------------------- what is wrong in the clone


def objects(lab: Clone, seed: int) -> list[Path]:
    """Files of the cache that belong to one seed."""
    caches = [file for file in (lab.root / ".dvc/cache/files").rglob("*") if file.is_file()]
    return [file for file in caches if file.read_bytes().startswith((b"line of seed %d\n" % seed, b"%d\n" % seed))]


def test_what_is_nowhere_is_held_back_and_the_rest_is_shared(lab: Clone, capsys: Capture) -> None:
    for file in objects(lab, 3):
        file.unlink()
    assert lab.rally("share") == 1
    out = capsys.readouterr().out
    assert "not shared: slower: models/large, models/small" in out and "neither in this clone's cache nor on the remote" in out
    assert lab.references_there() == ["main"]
    assert lab.clone("theirs").dvc("pull") == 0


def test_what_is_only_on_the_remote_is_compared_by_content(lab: Clone) -> None:
    assert lab.rally("share") == 0
    for file in objects(lab, 3):
        file.unlink()
    assert lab.rally("share") == 0
    large = next(file for file in stored(lab) if file.read_bytes().startswith(b"line of seed 3"))
    overwrite(large, b"x" * 300_000)
    assert lab.rally("share") == 1


def test_a_damaged_file_of_the_cache_is_not_sent(lab: Clone, capsys: Capture) -> None:
    large = next(file for file in objects(lab, 3) if file.stat().st_size == 300_000)
    overwrite(large, b"x" * 300_000)
    assert lab.rally("share") == 1
    assert f"not shared: slower: {large}: damaged; delete it" in capsys.readouterr().out
    assert lab.references_there() == ["main"]
    assert not [file for file in stored(lab) if file.read_bytes()[:1] == b"x"]


def test_of_a_run_that_did_not_reach_its_end_a_clone_gets_what_there_is(lab: Clone, capsys: Capture) -> None:
    lock = lab.root / "dvc.lock"
    lock.write_text(lock.read_text().partition("  score:")[0])
    lab.commit("the first stage alone")
    assert lab.rally("share") == 0
    out, err = capsys.readouterr()
    assert "dvc.lock has no scores.bin; not shared" in out + err
    [pull] = dvc_commands(out)
    assert pull == "pull --allow-missing"
    theirs = lab.clone("theirs")
    assert theirs.dvc(*pull.split()) == 0
    assert set(theirs.files()) == {"models/large", "models/small"}


def test_a_run_that_is_in_no_commit_is_mentioned(lab: Clone, capsys: Capture) -> None:
    (lab.root / "dvc.lock").write_text((lab.root / "dvc.lock").read_text() + "\n")
    assert lab.rally("share") == 0
    assert "dvc.lock differs from the commit: the run in this folder is in no commit" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------------------- refusals


def refused(lab: Clone, capsys: Capture, *words: str) -> str:
    capsys.readouterr()
    assert lab.rally("share", *words) == 2
    out, err = capsys.readouterr()
    assert not out and not stored(lab) and not lab.references_there()
    return err


def test_without_a_remote_it_says_how_to_add_one(bare: Clone, capsys: Capture) -> None:
    assert "no remote is set up for the data. `dvc remote add -d team /srv/rally`" in refused(bare, capsys)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--remote", "tem"], "there is no remote 'tem'. Known: team"),
        (["--to", "hub"], "git has no remote 'hub' here. Known: origin"),
        (["slowr"], "slowr: there is no such experiment. Did you mean 'slower'?"),
        (["slower", "--all"], "--all means the experiments of all commits"),
    ],
)
def test_wrong_names_are_answered_with_the_right_ones(lab: Clone, capsys: Capture, words: list[str], said: str) -> None:
    assert said in refused(lab, capsys, *words)


@pytest.mark.parametrize(
    ("scheme", "secret"),
    [("webdav", "password"), ("ssh", "passphrase"), ("webdavs", "token"), ("s3", "access_key_id"), ("s3", "secret_access_key")],
)
def test_a_secret_in_the_file_that_git_shares_is_refused(lab: Clone, capsys: Capture, scheme: str, secret: str) -> None:
    assert secret in SECRETS
    lab.configure({"url": f"{scheme}://localhost/lab", secret: "abc123xyz"})
    said = refused(lab, capsys)
    assert f"holds {secret} of remote team" in said and "dvc remote modify --local team" in said and "abc123xyz" not in said


def test_a_password_in_a_url_is_not_shown(lab: Clone, capsys: Capture) -> None:
    assert shown_url("webdavs://me:secret@host:8/lab") == "webdavs://me@host:8/lab"
    assert (
        shown_git_url("https://me:secret@host/lab.git") == shown_git_url("https://token@host/lab.git") == "https://host/lab.git"
    )
    assert shown_git_url("git@host:lab.git") == "git@host:lab.git"
    lab.configure({"url": "webdavs://me:abc123xyz@localhost/lab"})
    assert "the password in url" in (said := refused(lab, capsys)) and "abc123xyz" not in said


@pytest.mark.parametrize("scheme", EXTRAS)
def test_a_missing_package_is_named_by_its_extra(
    lab: Clone, capsys: Capture, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra, module = EXTRAS[scheme]
    monkeypatch.setitem(sys.modules, module, None)
    lab.configure({"url": f"{scheme}://localhost/lab"})
    assert f"needs the package {module}; `pip install -c constraints.txt -e '.[{extra}]'`" in refused(lab, capsys)
    assert f'\n{extra} = ["dvc-{extra}' in (TOP / "pyproject.toml").read_text()


def test_a_remote_that_keeps_versions_is_refused(lab: Clone, capsys: Capture) -> None:
    lab.configure({"version_aware": "true", "url": "s3://bucket/lab"})
    assert "version_aware" in refused(lab, capsys)


def test_a_remote_that_the_commit_does_not_have_is_refused_and_verify_is_set_before(bare: Clone, capsys: Capture) -> None:
    bare.configure({"url": URL})
    assert [line.partition(":")[0] for line in unverified(bare.root)] == ["remote team"]
    said = refused(bare, capsys)
    assert ".dvc/config: set `verify = true` for remote team" in said and "this commit does not have remote team" in said
    assert remotes(bare.root)["team"]["verify"] == "true" and not unverified(bare.root)
    bare.commit("our remote")
    assert bare.rally("share") == 0


@pytest.mark.parametrize("private", [False, True])
def test_verify_is_set_where_the_url_stands_unless_somebody_said_otherwise(bare: Clone, private: bool, capsys: Capture) -> None:
    bare.configure({"url": URL}, private=private)
    bare.git("commit", "-q", "--allow-empty", "-am", "our remote")
    assert bare.rally("share", "--remote", "team") == 0
    file = bare.root / (".dvc/config.local" if private else ".dvc/config")
    assert "verify = true" in file.read_text()
    file.write_text(file.read_text().replace("verify = true", "verify = false"))
    bare.git("commit", "-q", "--allow-empty", "-am", "no verify")
    assert bare.rally("share", "--remote", "team") == 0
    assert "verify = false" in file.read_text()


def test_rally_repair_says_which_remote_is_not_compared(bare: Clone, capsys: Capture) -> None:
    bare.configure({"url": "s3://bucket/lab"})
    assert bare.rally("repair") == 0
    assert "`dvc remote modify team verify true` makes it compare" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------------------------------ git


def test_a_branch_with_commits_of_others_is_refused_before_anything_is_sent(lab: Clone, capsys: Capture) -> None:
    lab.git("push", "-q", "origin", "main")
    theirs = lab.clone("theirs")
    theirs.git("commit", "-q", "--allow-empty", "-m", "theirs")
    theirs.git("push", "-q", "origin", "main")
    assert lab.rally("share") == 2
    assert capsys.readouterr().err.splitlines()[-1] == "origin/main has commits that this clone lacks: `git pull` first"
    assert not stored(lab)


def test_another_experiment_of_the_same_name_is_not_overwritten(lab: Clone, capsys: Capture) -> None:
    [reference] = [line for line in lab.git("for-each-ref", "--format=%(refname)", "refs/exps").split() if "slower" in line]
    lab.git("push", "-q", "origin", f"HEAD:{reference}")
    assert lab.rally("share") == 2
    assert "slower: origin has another experiment of this name. `dvc exp rename slower OTHER`" in capsys.readouterr().err
    assert not stored(lab)


def test_what_git_does_not_take_is_said_and_the_data_stay(lab: Clone, capsys: Capture) -> None:
    hook = lab.hub / "hooks/update"
    hook.write_text('#!/bin/sh\ncase $1 in refs/exps/*) echo "no experiments here" >&2; exit 1 ;; esac\n')
    hook.chmod(0o755)
    assert lab.rally("share") == 1
    assert "git remote origin: it does not take slower" in capsys.readouterr().err
    assert lab.references_there() == ["main"] and len(stored(lab)) == 6


def test_a_git_remote_that_is_away_ends_with_1(lab: Clone, capsys: Capture) -> None:
    shutil.rmtree(lab.hub)
    assert lab.rally("share") == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("git remote origin: ")
    assert not stored(lab)
