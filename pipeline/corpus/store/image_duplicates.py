"""Images that look alike, by group, and digests of their pixels."""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import Int, UInt8

from pipeline.corpus.store.disk_images import Images, blocks
from pipeline.corpus.store.duplicate_search import DuplicateSearch

Digests = UInt8[np.ndarray, "N 32"]


def duplicate_groups(images: Images, hashed: Digests | None = None) -> Int[np.ndarray, " N"]:
    """The number of each image's group: those that look alike, directly or by way of others, have the same.

    So do copies, also those that were saved anew as a JPEG or have a little noise on them; a copy that was cut, moved, turned
    or made brighter is not found.

    Args:
        hashed: their digests, where those are known.
    """
    hashed = digests(images) if hashed is None else hashed
    _, first, copy_of = np.unique(_sortable(hashed), return_index=True, return_inverse=True)
    search = DuplicateSearch(images, first)
    search.run()
    return search.groups.group_numbers()[copy_of.reshape(-1)]


def digests(images: Images) -> Digests:
    """The sha256 of the pixels of each image."""
    found = np.empty((len(images), 32), np.uint8)
    for places in blocks(images, np.arange(len(images))):
        for place, image in zip(places, images[places], strict=True):
            found[place] = np.frombuffer(hashlib.sha256(image.tobytes()).digest(), np.uint8)
    return found


def order_by_digest(hashed: Digests) -> Int[np.ndarray, " N"]:
    """The places of images in the order of their digests; copies stay in the order in which they lie."""
    return np.argsort(_sortable(hashed), kind="stable")


def _sortable(hashed: Digests) -> np.ndarray:
    """Each digest as one value; they sort as the digests do."""
    return hashed.view([(f"f{at}", ">u8") for at in range(4)]).reshape(-1)
