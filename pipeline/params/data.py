"""The sections task, prepare and tokenize of params.yaml."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pipeline.params.knobs import Folder, Section, Seed, problem
from pipeline.params.names import Dataset, KnownName, Text


class Task(Section):
    kind: Annotated[str, KnownName("tasks/table.py:TASKS")]


class Prepare(Section):
    dataset: Dataset
    path: Folder
    pattern: Folder
    text_column: Annotated[str, Field(min_length=1)]
    label_column: Annotated[str, Field(min_length=1)]
    on_bad_data: Literal["error", "skip"]
    repository: str
    revision: str
    file: str
    url: str
    sha256: Annotated[str, Field(pattern=r"^([0-9a-fA-F]{64})?$"), AfterValidator(str.lower)]
    validation_share: Annotated[float, Field(gt=0, lt=0.5)]
    test_share: Annotated[float, Field(gt=0, lt=0.5)]
    dedup_threshold: Annotated[float, Field(ge=0, le=1)]
    max_examples: Annotated[int, Field(ge=0)]
    classes: Annotated[int, Field(ge=2, le=3)]
    label_noise: Annotated[float, Field(ge=0, le=1)]
    shuffled_pixels: bool
    seed: Seed
    generated_chars: Annotated[int, Field(ge=1000, le=10**9)]
    alphabet_size: Annotated[int, Field(ge=2, le=64)]
    block: Annotated[int, Field(ge=0, le=32)]
    copies: Annotated[int, Field(ge=2, le=64)]
    digits: Annotated[int, Field(ge=1, le=8)]
    min_digits: Annotated[int, Field(ge=0, le=8)]
    reversed: bool
    modulus: Annotated[int, Field(ge=2, le=200)]
    operation: Literal["add", "subtract"]
    train_share: Annotated[float, Field(gt=0, le=0.9)]
    bracket_kinds: Annotated[int, Field(ge=1, le=4)]
    max_depth: Annotated[int, Field(ge=1, le=64)]
    mixture: list[Text]

    @model_validator(mode="after")
    def url_has_what_it_needs(self) -> Prepare:
        wanted = "url" in (self.mixture if self.dataset == "mixture" else [self.dataset])
        if wanted and not re.match(r"https?://.", self.url):
            raise problem("url", f"{self.url!r} is not an http(s) address; the data set 'url' needs one")
        if wanted and not self.sha256:
            raise problem(
                "sha256",
                "is empty; the data set 'url' needs the file's SHA-256, so that everyone trains on the same bytes",
            )
        return self

    @model_validator(mode="after")
    def hub_has_what_it_needs(self) -> Prepare:
        if "hub" not in (self.mixture if self.dataset == "mixture" else [self.dataset]):
            return self
        for knob, form, what in (
            ("repository", r"[\w.-]+/[\w.-]+", "not owner/name of a data set"),
            ("revision", r"[0-9a-f]{40}", "not a commit hash of 40 hexadecimal digits (a branch can change)"),
            (
                "file",
                r".+\.(txt|jsonl)(\.gz)?|.+\.parquet",
                "not a .txt, .jsonl or .parquet file (or .txt.gz, .jsonl.gz)",
            ),
        ):
            if not re.fullmatch(form, getattr(self, knob)):
                raise problem(knob, f"{getattr(self, knob)!r} is {what}; the data set 'hub' needs one")
        return self

    @model_validator(mode="after")
    def threshold_is_informative(self) -> Prepare:
        if 0 < self.dedup_threshold < 0.3:
            text = f"{self.dedup_threshold} is too low: unrelated texts reach that similarity. Use 0 (off) or at least 0.3"
            raise problem("dedup_threshold", text)
        return self

    @model_validator(mode="after")
    def generated_text_is_possible(self) -> Prepare:
        if self.min_digits > self.digits:
            raise problem("min_digits", f"{self.min_digits} is above prepare.digits; use at most {self.digits}")
        return self

    @model_validator(mode="after")
    def mixture_is_of_two(self) -> Prepare:
        if len(set(self.mixture)) != 2 or len(self.mixture) != 2:
            raise problem("mixture", f"{self.mixture} is not two different data sets, such as [repeats, markov]")
        if "mixture" in self.mixture:
            raise problem("mixture", f"{self.mixture}: a mixture cannot contain a mixture; use two other data sets")
        if set(self.mixture) == {"shakespeare", "tinyshakespeare"}:
            raise problem("mixture", f"{self.mixture}: each trains on text that the other holds out; use other data sets")
        return self


class Tokenize(Section):
    kind: Annotated[str, KnownName("tokenizers/table.py:TOKENIZERS")]
    vocab_size: Annotated[int, Field(ge=257, le=65536)]
    path: Folder

    @model_validator(mode="after")
    def file_is_named(self) -> Tokenize:
        if self.kind == "file" and self.path == "data/none":
            raise problem("path", "names no tokenizer; tokenize.kind 'file' needs a tokenizer.json or its folder")
        return self
