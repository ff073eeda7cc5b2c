"""Groups of near-duplicate images, and digests of their pixels."""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import Int, UInt8

from pipeline.corpus.store.disk_images import Images, blocks
from pipeline.corpus.store.duplicate_search import DuplicateSearch

Digests = UInt8[np.ndarray, "N 32"]


def duplicate_groups(images: Images, hashed: Digests | None = None) -> Int[np.ndarray, " N"]:
    """The group number of each image. Similar images share a group, directly or through others.

    Found are copies, also with a little noise or saved again as a JPEG; not copies that were cropped, shifted, rotated or
    made brighter.

    Args:
        hashed: the digests of the images, if they are known.
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
    """The indices that sort images by their digests; copies keep their order."""
    return np.argsort(_sortable(hashed), kind="stable")


def _sortable(hashed: Digests) -> np.ndarray:
    """Each digest as one value that sorts as the digest does."""
    return hashed.view([(f"f{at}", ">u8") for at in range(4)]).reshape(-1)
