"""Every data set by its name, for each kind of task. A new one is a function that writes the three splits and returns its card,
and a line here.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.corpus.sources.generated import addition, modular
from pipeline.corpus.sources.generated import dyck as brackets
from pipeline.corpus.sources.generated import markov as synthetic
from pipeline.corpus.sources.generated.mnist1d import mnist1d
from pipeline.corpus.sources.mixture import mix
from pipeline.corpus.sources.published import hub, manuals, sentiment
from pipeline.corpus.sources.published import images as published_images
from pipeline.corpus.sources.published import language_id as languages
from pipeline.corpus.sources.published import texts as published
from pipeline.corpus.sources.user import images, labelled
from pipeline.corpus.sources.user import text as own
from pipeline.corpus.store.images import PrepareImages
from pipeline.corpus.store.text import Card, PrepareTexts, SplitWriter
from pipeline.params.data import Prepare
from pipeline.progress import Follow


def mixture(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """Two of the others."""
    first, second = (TEXTS[name] for name in knobs.mixture)
    return mix(first, second, knobs, splits, follow)


def without_labels(labelled: PrepareTexts) -> PrepareTexts:
    """The texts of a labelled set alone, so that a language model may read them before a classifier begins with it."""

    def texts(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
        with splits.without_labels():
            return replace(labelled(knobs, splits, follow), classes=[])

    return texts


# What a text goes on with: documents.
TEXTS: dict[str, PrepareTexts] = {
    "shakespeare": published.shakespeare,
    "tinyshakespeare": published.TINYSHAKESPEARE,
    "tinystories": published.TINYSTORIES,
    "tinystories_clean": hub.tinystories_clean,
    "enwik8": published.ENWIK8,
    "manuals": manuals.MANUALS,
    "sentiment": without_labels(sentiment.SENTIMENT),
    "language_id": without_labels(languages.LANGUAGE_ID),
    "file": own.user_text,
    "url": published.url,
    "hub": hub.hub,
    "markov": synthetic.markov,
    "zipf_bigram": synthetic.zipf_bigram,
    "repeats": synthetic.repeats,
    "addition": addition.addition,
    "dyck": brackets.dyck,
    "modular": modular.modular,
    "mixture": mixture,
}

# Of which class a text is: documents with a label each.
LABELLED_TEXTS: dict[str, PrepareTexts] = {
    "sentiment": sentiment.SENTIMENT,
    "language_id": languages.LANGUAGE_ID,
    "file": labelled.user_labelled,
    "dyck": brackets.labelled_dyck,
    "modular": modular.labelled_modular,
}

# Of which class an image is.
IMAGES: dict[str, PrepareImages] = {
    "digits": published_images.digits,
    "mnist_5k": published_images.mnist_5k,
    "mnist1d": mnist1d,
    "mnist": published_images.MNIST,
    "fashion_mnist": published_images.FASHION_MNIST,
    "cifar10": published_images.CIFAR10,
    "file": images.user_images,
}
