"""Tokenizers as the metadata of a GGUF file, and back (no torch).

llama.cpp reads byte-level BPE (`tokenizer.ggml.model: gpt2`). Bytes are such tokens without merges. A character of several
bytes is a token that merges make from its bytes; what has no id is dropped, there as here.

The whole tokenizer.json stands in the file too, under the key that the specification has for it: with it, `rally import` has
the very tokenizer. Files of others, which lack it, get one made from their tokens and merges.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline.artifacts.reading import parse_json
from pipeline.corpus.encode.tokenizer_json import tokenizer_json
from pipeline.lab.gguf.container import Value
from pipeline.params.errors import UserError
from pipeline.tokenizers.base import END_OF_TEXT, Tokenizer
from pipeline.tokenizers.bpe import WORD, bytes_to_unicode, library_from
from pipeline.tokenizers.char import CharTokenizer

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4  # kinds of tokens
JSON = "tokenizer.huggingface.json"
LLAMA3 = (  # the rule by which Llama 3 cuts words, as its tokenizer.json has it
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Vocabulary(NamedTuple):
    """The tokens by id, the merges in their order, and the kind of each token."""

    tokens: list[str]
    merges: list[str]
    kinds: list[int]


def vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    """The tokens of a tokenizer, spelled as byte-level BPE spells them."""
    if isinstance(tokenizer, CharTokenizer):
        letters = bytes_to_unicode()
        tokens = ["".join(letters[byte] for byte in character.encode()) for character in tokenizer.alphabet]
        made = {
            (token[:size], token[size]): None  # once each: characters share their first bytes
            for token in tokens
            for size in range(1, len(token))
        }
        ends = [END_OF_TEXT] * (tokenizer.end is not None)
        return Vocabulary(tokens + ends, [f"{one} {other}" for one, other in made], _kinds(len(tokens), ends))
    content = tokenizer_json(tokenizer)
    ids = dict(content["model"]["vocab"])
    added = {token["content"]: token for token in content.get("added_tokens") or []}
    ids |= {token: entry["id"] for token, entry in added.items()}
    tokens = sorted(ids, key=lambda token: ids[token])
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in content["model"]["merges"]]
    kinds = [NORMAL if token not in added else CONTROL if added[token]["special"] else USER_DEFINED for token in tokens]
    return Vocabulary(tokens, merges, kinds)


def _kinds(plain: int, ends: list[str]) -> list[int]:
    return [NORMAL] * plain + [CONTROL] * len(ends)


def metadata_of(tokenizer: Tokenizer, stop: int) -> dict[str, Value]:
    """The keys of a file that describe a tokenizer.

    Args:
        stop: the id at which a text ends. llama.cpp always has one, and takes 11 where a file names none.

    Raises:
        UserError: llama.cpp has no rule that cuts words as the tokenizer does.
    """
    content = tokenizer_json(tokenizer)
    rule = rule_of(content)
    if rule is None:
        raise UserError(
            "tokenize.path: this tokenizer.json cuts words by a rule that GGUF files have no name for;"
            f" rules with a name: {', '.join(RULES)}; use --to transformers"
        )
    found = vocabulary(tokenizer)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": rule,
        "tokenizer.ggml.tokens": found.tokens,
        "tokenizer.ggml.token_type": found.kinds,
        "tokenizer.ggml.merges": found.merges,  # also if there are none: llama.cpp and transformers ask for the key
        "tokenizer.ggml.bos_token_id": stop,
        "tokenizer.ggml.eos_token_id": stop,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": False,
        JSON: json.dumps(content, ensure_ascii=False, sort_keys=True),
    }


def rule_of(content: Mapping[str, Any]) -> str | None:
    """The name in llama.cpp of the rule by which a tokenizer.json cuts words; None if it has none.

    Without merges it does not matter; Rally's own rule is GPT-2's but for rare characters (`differences`).
    """
    before = content.get("pre_tokenizer")
    if not content["model"]["merges"] or _is_ours(content):
        return OWN_RULE
    for name, (steps, ignores) in RULES.items():
        if _steps(before) == steps and bool(content["model"].get("ignore_merges")) == ignores:
            return name
    return None


OWN_RULE = "gpt-2"


def _is_ours(content: Mapping[str, Any]) -> bool:
    return json.dumps(WORD) in json.dumps(content.get("pre_tokenizer"))


def _steps(before: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """What a pre-tokenizer does, without the keys that change no ids."""
    parts = (before or {}).get("pretokenizers", [before] if before else [])
    return [{key: part.get(key) for key in KEYS if part.get(key) is not None} for part in parts]


KEYS = ("type", "add_prefix_space", "use_regex", "pattern", "behavior", "invert", "individual_digits")


def differences(tokenizer: Tokenizer, text: str) -> tuple[int, int]:
    """(tokens of a text that llama.cpp cuts elsewhere, all its tokens); Rally's own rule for words is not quite GPT-2's."""
    from tokenizers import pre_tokenizers

    content = tokenizer_json(tokenizer)
    if not content["model"]["merges"] or not _is_ours(content):
        return 0, 0
    library = library_from(content)
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs = library.encode(text, add_special_tokens=False).ids
    ours = tokenizer.encode(text).tolist()
    spans = [
        {*itertools.pairwise(itertools.accumulate((len(tokenizer.token_bytes(token)) for token in ids), initial=0))}
        for ids in (ours, theirs)
    ]
    return len(spans[0] - spans[1]), len(ours)


# ------------------------------------------------------------------------------------------------------------- reading


def tokenizer_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The tokenizer.json of a file.

    Raises:
        ValueError: it has no tokenizer, or one that Rally cannot use; the message begins with the key.
    """
    tokens = metadata.get("tokenizer.ggml.tokens")
    if not (isinstance(tokens, list) and tokens and all(isinstance(token, str) for token in tokens)):
        raise ValueError("tokenizer.ggml.tokens is missing or not a list of texts, and without it the ids have no meaning")
    if isinstance(whole := metadata.get(JSON), str):
        content = parse_json(whole)
        if not (isinstance(content, dict) and isinstance(content.get("model"), dict)):
            raise ValueError(f"{JSON} is not a tokenizer.json")
        return content
    kind, rule = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre", OWN_RULE)
    if kind != "gpt2":
        raise ValueError(f"tokenizer.ggml.model is {kind!r:.40}, which is not byte-level; only 'gpt2' is supported")
    if rule not in RULES:
        raise ValueError(f"tokenizer.ggml.pre is {rule!r:.40}, which is not supported; use {' or '.join(RULES)}")
    merges, kinds = metadata.get("tokenizer.ggml.merges", []), metadata.get("tokenizer.ggml.token_type", [NORMAL] * len(tokens))
    if not (isinstance(merges, list) and all(isinstance(pair, str) and pair.count(" ") == 1 for pair in merges)):
        raise ValueError("tokenizer.ggml.merges is not a list of pairs")
    if not (isinstance(kinds, list) and len(kinds) == len(tokens) == len({*tokens})):
        raise ValueError("tokenizer.ggml.token_type has another length than the tokens, or two tokens are equal")
    return _made(tokens, merges, kinds, rule)


def _made(tokens: list[str], merges: list[str], kinds: list[int], rule: str) -> dict[str, Any]:
    """A tokenizer.json from the tokens of a file."""
    added = [
        {"id": number, "content": token, "special": kind == CONTROL}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        for number, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
        if kind in (CONTROL, USER_DEFINED)
    ]
    steps, ignores = RULES[rule]
    plain = {token: number for number, (token, kind) in enumerate(zip(tokens, kinds, strict=True)) if kind == NORMAL}
    plain = plain or {token: number for number, token in enumerate(tokens)}
    return {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [step | {"trim_offsets": True} for step in steps]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": plain, "merges": [pair.split(" ") for pair in merges], "ignore_merges": ignores},
    }


_BYTES = {"type": "ByteLevel", "add_prefix_space": False}
# By their name in llama.cpp, the rules that cut words: (steps of a pre-tokenizer, whether words that are tokens stay whole).
RULES: dict[str, tuple[list[dict[str, Any]], bool]] = {
    "gpt-2": ([_BYTES | {"use_regex": True}], False),
    "llama-bpe": (
        [
            {"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": False},
            _BYTES | {"use_regex": False},
        ],
        True,
    ),
    "smollm": ([{"type": "Digits", "individual_digits": True}, _BYTES | {"use_regex": True}], False),
}
