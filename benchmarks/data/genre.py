"""Data leakage by a random split: classifying the genre of a play by a passage, split at random and split by play.

    python -m benchmarks.data.genre

A classifier that has seen other passages of a play knows its names and places. Split at random it seems to know what a
comedy is; the split by play shows that it recognizes the play. Scores are the accuracy of a logistic regression on TF-IDF,
as means over five folds.
"""

from __future__ import annotations

import re
from collections import Counter

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, cross_val_score
from sklearn.pipeline import make_pipeline

from pipeline.corpus.sources.published.texts import PLAYS, works

WORDS = 200  # of a passage
COMEDIES = (
    "alls_well_that_ends_well as_you_like_it comedy_of_errors loves_labours_lost measure_for_measure merchant_of_venice"
    " merry_wives_of_windsor midsummer_nights_dream much_ado_about_nothing taming_of_the_shrew tempest twelfth_night"
    " two_gentlemen_of_verona winters_tale"
).split()
HISTORIES = [name for name in PLAYS if re.match(r"henry_|richard_|john$", name)]
TRAGEDIES = (
    "antony_and_cleopatra coriolanus cymbeline hamlet julius_caesar lear macbeth othello romeo_and_juliet timon_of_athens"
    " tragedy_of_titus_andronicus troilus_and_cressida"
).split()  # as the First Folio has them


def main() -> None:
    kinds = {"comedy": COMEDIES, "history": HISTORIES, "tragedy": TRAGEDIES}
    genre = {name: kind for kind, names in kinds.items() for name in names}
    passages, labels, plays = [], [], []
    for name, text in works().items():
        words = text.decode().split()
        for start in range(0, len(words) - WORDS + 1, WORDS) if name in genre else ():
            passages.append(" ".join(words[start : start + WORDS]))
            labels.append(genre[name])
            plays.append(name)
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10, max_iter=1000))
    at_random = cross_val_score(model, passages, labels, cv=KFold(5, shuffle=True, random_state=0))
    by_play = cross_val_score(model, passages, labels, groups=plays, cv=GroupKFold(5, shuffle=True, random_state=0))
    print(f"{len(passages):,} passages of {WORDS} words from {len(genre)} plays")
    print(f"always the most frequent     {Counter(labels).most_common(1)[0][1] / len(labels):.3f}")
    print(f"split at random              {at_random.mean():.3f}")
    print(f"split by play                {by_play.mean():.3f}   (folds {by_play.min():.3f} to {by_play.max():.3f})")


if __name__ == "__main__":
    main()
