"""Every data set by its name, for each kind of task.

A new one is a function that writes the three splits and returns its card, a line here, and an entry in lab/catalogue.yaml.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.corpus.sources.generated import addition, dyck, markov, modular
from pipeline.corpus.sources.generated.mnist1d import mnist1d
from pipeline.corpus.sources.mixture import mix
from pipeline.corpus.sources.published import hub, images, language_id, manuals, sentiment, texts
from pipeline.corpus.sources.user.images import user_images
from pipeline.corpus.sources.user.labelled import user_labelled
from pipeline.corpus.sources.user.text import user_text
from pipeline.corpus.store.images import PrepareImages
from pipeline.corpus.store.text import Card, PrepareTexts, SplitWriter
from pipeline.params.data import Prepare
from pipeline.progress import Follow


def mixture(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """Two of the other data sets, see prepare.mixture."""
    first, second = (TEXTS[name] for name in knobs.mixture)
    return mix(first, second, knobs, splits, follow)


def without_labels(labelled: PrepareTexts) -> PrepareTexts:
    """The texts of a labelled set without their labels, to pretrain a language model for a classifier."""

    def unlabelled(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
        with splits.without_labels():
            return replace(labelled(knobs, splits, follow), classes=[])

    return unlabelled


# Texts for language models.
TEXTS: dict[str, PrepareTexts] = {
    "shakespeare": texts.shakespeare,
    "tinyshakespeare": texts.TINYSHAKESPEARE,
    "tinystories": texts.TINYSTORIES,
    "tinystories_clean": hub.tinystories_clean,
    "enwik8": texts.ENWIK8,
    "manuals": manuals.MANUALS,
    "sentiment": without_labels(sentiment.SENTIMENT),
    "language_id": without_labels(language_id.LANGUAGE_ID),
    "file": user_text,
    "url": texts.url,
    "hub": hub.hub,
    "markov": markov.markov,
    "zipf_bigram": markov.zipf_bigram,
    "repeats": markov.repeats,
    "addition": addition.addition,
    "dyck": dyck.dyck,
    "modular": modular.modular,
    "mixture": mixture,
}

# Texts with a label each.
LABELLED_TEXTS: dict[str, PrepareTexts] = {
    "sentiment": sentiment.SENTIMENT,
    "language_id": language_id.LANGUAGE_ID,
    "file": user_labelled,
    "dyck": dyck.labelled_dyck,
    "modular": modular.labelled_modular,
}

# Images with a label each.
IMAGES: dict[str, PrepareImages] = {
    "digits": images.digits,
    "mnist_5k": images.mnist_5k,
    "mnist1d": mnist1d,
    "mnist": images.MNIST,
    "fashion_mnist": images.FASHION_MNIST,
    "cifar10": images.CIFAR10,
    "file": user_images,
}
