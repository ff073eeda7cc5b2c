"""The files that a commit needs on a remote, from DVC's index; and, of its run cache, what belongs to them. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.lab.dvc.git import GitRepository
from pipeline.lab.sharing.remote import open_remote
from pipeline.progress import Advance

if TYPE_CHECKING:
    from dvc.data_cloud import Remote
    from dvc.repo import Repo
    from dvc_data.hashfile.db import HashFileDB
    from dvc_data.hashfile.hash_info import HashInfo


@dataclass(frozen=True)
class File:
    """A file that a remote should hold.

    Attributes:
        path: its place there.
        local: in the cache of this clone, where it need not be.
        md5: of its content, in hexadecimal; "" of the run cache, whose names are not made of it.
        hash_name: how DVC computes it: "md5", or "md5-dos2unix" of clones from before DVC 3.
        name: for people, as models/trained/model.safetensors.
        place: the store that holds it there.
    """

    path: str
    local: Path
    md5: str
    hash_name: str
    name: str = field(compare=False)
    place: HashFileDB = field(compare=False, repr=False)

    @property
    def lists_others(self) -> bool:
        """Whether it is the list of a folder's files, for which DVC takes it that they are there too."""
        return self.path.endswith(".dir")

    def size(self) -> int | None:
        """Bytes, of the file in the cache; None where it is not there."""
        try:
            return self.local.stat().st_size
        except FileNotFoundError:
            return None


@dataclass
class Needs:
    """What the commits need.

    Attributes:
        files: of each commit.
        unrun: outs that a commit's dvc.lock does not have, as nobody ran them; they are not shared.
        unlisted: folders of a commit whose list of files is nowhere, so that their files are not known.
    """

    files: dict[str, set[File]] = field(default_factory=dict)
    unrun: dict[str, list[str]] = field(default_factory=dict)
    unlisted: dict[str, list[str]] = field(default_factory=dict)

    def all_files(self) -> set[File]:
        return set[File]().union(*self.files.values())


def needs(repo: Repo, remote: Remote, commits: Iterable[str], run_cache: bool, done: Advance) -> Needs:
    """What the commits need on a remote.

    Args:
        run_cache: also what restores stages without running them.
        done: called with the bytes of each commit.
    """
    from dvc.repo import Repo

    found, root = Needs(), str(repo.root_dir)
    places = {remote.name: remote}
    for commit in commits:
        files, unrun, unlisted = set[File](), list[str](), list[str]()
        for _ in repo.brancher(revs=[commit], workspace=False):
            for out in repo.index.outs:
                if not out.use_cache or not out.can_push or out.stage.is_repo_import:
                    continue
                if not out.hash_info:
                    unrun.append(str(out))
                    continue
                store = out.remote or remote.name
                if store not in places:
                    places[store] = open_remote(Repo(root), store)  # by the configuration here, not by the commit's
                listed = _files_of(out.cache, out.hash_info, str(out), places[store])
                files |= listed or set()
                if listed is None:
                    unlisted.append(str(out))
        if run_cache:
            files |= set(_run_cache(repo, remote, GitRepository(Path(root)).raw("show", f"{commit}:./dvc.lock")))
        found.files[commit], found.unrun[commit], found.unlisted[commit] = files, unrun, unlisted
        done(sum(file.size() or 0 for file in files))
    return found


def _files_of(cache: HashFileDB, hash_info: HashInfo, name: str, remote: Remote) -> set[File] | None:
    """The file of an out, or its list and the files of its folder; None where the list is nowhere."""
    from dvc_data.hashfile.tree import Tree
    from dvc_objects.errors import ObjectFormatError

    place = _store(remote, str(hash_info.name))
    files = {_file(cache, place, hash_info, name)}
    if not hash_info.isdir:
        return files
    for store in (cache, place):
        try:
            listed = Tree.load(store, hash_info)
        except (FileNotFoundError, ObjectFormatError):
            continue
        return files | {_file(cache, place, hashed, "/".join((name, *key))) for key, _, hashed in listed}
    return None


def _store(remote: Remote, hash_name: str) -> HashFileDB:
    return remote.odb if hash_name == "md5" else remote.legacy_odb


def _file(cache: HashFileDB, place: HashFileDB, hashed: HashInfo, name: str) -> File:
    md5 = str(hashed.value)
    return File(place.oid_to_path(md5), Path(cache.oid_to_path(md5)), md5.removesuffix(".dir"), str(hashed.name), name, place)


def _run_cache(repo: Repo, remote: Remote, lock: str) -> Iterator[File]:
    """The entries of the run cache for the stages of a dvc.lock, with the files that its outs name, cached or not.

    DVC's own push sends the entries of all runs, but not the outs that are not cached (metrics), which it does keep in the
    cache for its run cache: a clone then has the entry, and runs the stage again for want of them.
    """
    from dvc.stage.cache import _get_cache_hash
    from dvc.utils.serialize import parse_yaml
    from dvc_data.hashfile.hash_info import HashInfo

    cache, place = repo.cache.legacy, remote.legacy_odb
    for name, stage in (parse_yaml(lock, "dvc.lock") if lock else {}).get("stages", {}).items():
        key, value = _get_cache_hash(dict(stage), key=True), _get_cache_hash(dict(stage))
        below = ("runs", key[:2], key, value)
        if not (entry := Path(cache.path, *below)).is_file():
            continue
        yield File(place.fs.join(place.path, *below), entry, "", "", f"run cache of {name}", place)
        for out in stage.get("outs", []):
            if "md5" in out:
                hashed = HashInfo(out.get("hash", "md5-dos2unix"), out["md5"])
                yield from _files_of(repo.cache.local if hashed.name == "md5" else cache, hashed, out["path"], remote) or ()
