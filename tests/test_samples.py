"""Samples: what comes out is what the model says, character by character, and the page of them holds whatever it writes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from small import knobs
from subjects import machine, subject

from pipeline.evaluation import samples
from pipeline.figures.samples import inline, read_samples
from pipeline.inference.generate import MANY, choose, stream, texts
from pipeline.inference.trained import TrainedModel
from pipeline.params.errors import UserError
from pipeline.params.stages import Evaluate
from pipeline.tokenizers.byte import ByteTokenizer
from pipeline.tokenizers.char import CharTokenizer

CYCLE = "é€😀 a\n".encode()  # ten different bytes: each is followed by one other


def cycle(text: bytes) -> dict[int, int]:
    return dict(pairwise(text + text[:1]))


def written(made: TrainedModel, prompt: str, **changes: float) -> list[str]:
    drawn = {"tokens": 30, "temperature": 0.0, "top_k": 0, "top_p": 1.0, "seed": 1} | changes
    return list(stream(made, prompt, **drawn))


def page(made: TrainedModel, evaluate: Evaluate, seed: int) -> str:
    def generate(prompt: str, temperature: float) -> Iterator[str]:
        options = {"tokens": evaluate.sample_tokens, "top_k": evaluate.top_k, "top_p": evaluate.top_p, "seed": seed}
        return stream(made, prompt, temperature=temperature, **options)

    return samples.page(generate, made.tokenizer.drop_unknown, evaluate, step=made.step, seed=seed)


def reference(made: TrainedModel, prompt: str, tokens: int) -> str:
    """The likeliest text by a full forward pass a token, over a context that falls to its later half whenever it is full."""
    ids, context = [], made.tokenizer.encode(prompt).tolist()[-12:]
    for _ in range(tokens):
        ids.append(int(made.model(torch.tensor([context]))[0, -1].argmax()))
        context = [*context, ids[-1]] if len(context) < 12 else [*context, ids[-1]][-6:]
    return made.tokenizer.decode(ids)


@pytest.mark.parametrize("position", ["rotary", "learned", "sinusoidal", "none"])
@pytest.mark.parametrize("attention", ["full", "window", "average"])
def test_the_cache_writes_what_full_passes_would_write_also_past_the_end_of_the_context(
    tmp_path: Path, position: str, attention: str
) -> None:
    tokenizer, text = CharTokenizer.learn(["the cat sat"], 0, has_end=False), "the cat sat" * 9
    made = subject(tmp_path, tokenizer, text, model__position=position, model__attention=attention)
    assert "".join(written(made, "the cat", tokens=15)) == reference(made, "the cat", 15)  # full twice
    assert "".join(written(made, "the cat sat" * 2, tokens=3)) == reference(made, "the cat sat" * 2, 3)  # full at once


def test_characters_are_never_cut_in_two(tmp_path: Path) -> None:
    made = machine(tmp_path, cycle(CYCLE))
    assert written(made, "\n", tokens=len(CYCLE) + 5) == ["é", "€", "😀", " ", "a", "\n", "é", "€"]


def test_a_character_that_never_comes_to_its_end_is_shown_as_such(tmp_path: Path) -> None:
    made = machine(tmp_path, cycle(CYCLE))
    assert written(made, "\n", tokens=4) == ["é", "�"]


def test_writing_stops_at_the_end_of_a_document(tmp_path: Path) -> None:
    made = machine(tmp_path, {ord("a"): ord("b"), ord("b"): ord("c"), ord("c"): 256})
    assert written(made, "a") == ["b", "c"]


def test_a_prompt_is_reduced_to_what_the_tokenizer_knows(tmp_path: Path) -> None:
    made = machine(tmp_path, {0: 1, 1: 2, 2: 0, 3: 1}, CharTokenizer("abc", has_end=True), "abc" * 100)
    assert written(made, "ÄaÖ", tokens=3) == ["b", "c", "a"]
    assert written(made, "xyz", tokens=3) == ["b", "c", "a"]  # as after the end of a document
    assert written(made, "", tokens=1) == ["b"]


def test_without_documents_an_empty_prompt_begins_behind_the_first_token(tmp_path: Path) -> None:
    made = machine(tmp_path, {0: 2, 1: 0, 2: 1}, CharTokenizer("abc", has_end=False), "abc" * 100)
    assert written(made, "", tokens=3) == ["c", "b", "a"]


def test_what_is_no_text_in_a_prompt_is_no_crash(tmp_path: Path) -> None:
    assert written(machine(tmp_path, {ord("?"): ord("!")}), "\udcff", tokens=1) == ["!"]


def test_equal_arguments_write_equal_text_and_disturb_no_other_generator(tmp_path: Path) -> None:
    made = subject(tmp_path)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = written(made, "the", temperature=1.0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    written(made, "mat", temperature=1.0)
    assert written(made, "the", temperature=1.0) == first
    assert written(made, "the", temperature=1.0, seed=2) != first


def test_the_number_of_threads_is_put_back(tmp_path: Path) -> None:
    made, before = subject(tmp_path), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        written(made, "the", tokens=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_model_that_diverged_is_refused_in_one_line(tmp_path: Path) -> None:
    made = subject(tmp_path)
    with torch.no_grad():
        next(made.model.parameters()).fill_(torch.nan)
    with pytest.raises(UserError, match="diverged"):
        written(made, "the")


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 1.0}, {"temperature": 0.7, "top_k": 4}, {"temperature": 1.5, "top_p": 0.8}]
)
def test_many_texts_at_once_are_those_written_one_by_one(tmp_path: Path, options: dict[str, float]) -> None:
    tokenizer, text = CharTokenizer.learn(["the cat sat"], 0, has_end=True), "the cat sat" * 9
    made = subject(tmp_path, tokenizer, text)
    drawn = {"tokens": 30, "temperature": 0.0, "top_k": 0, "top_p": 1.0, "seed": 3} | options  # beyond the context
    one_by_one = ["".join(stream(made, "the", **drawn | {"seed": seed})) for seed in range(3, 8)]
    steps: list[None] = []
    assert texts(made, "the", count=5, advance=lambda: steps.append(None), **drawn) == one_by_one
    assert len(steps) <= 30
    if options:
        assert len(set(one_by_one)) > 1
        assert min(map(len, one_by_one)) < 30  # one ends with its document


def test_two_threads_write_what_one_writes(tmp_path: Path) -> None:
    made, before = subject(tmp_path), torch.get_num_threads()
    drawn = {"count": 2 * MANY, "tokens": 6, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "seed": 1}
    written = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            written.append(texts(made, "the", **drawn))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert written[0] == written[1]
    assert len(written[0]) == 2 * MANY


# ----------------------------------------------------------------------------------------------------------- the choice

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, 1.5])


def shares(temperature: float, top_k: int = 0, top_p: float = 1.0, draws: int = 4000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    chosen = [int(choose(LOGITS[None], temperature, top_k, top_p, [generator])) for _ in range(draws)]
    return torch.bincount(torch.tensor(chosen), minlength=len(LOGITS)) / draws


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_by_their_probability(temperature: float) -> None:
    torch.testing.assert_close(shares(temperature), (LOGITS / temperature).softmax(0), atol=0.025, rtol=0)


def test_top_k_draws_among_the_k_likeliest() -> None:
    wanted = torch.tensor([2.0, -torch.inf, -torch.inf, -torch.inf, 1.5]).softmax(0)
    torch.testing.assert_close(shares(1.0, top_k=2), wanted, atol=0.025, rtol=0)
    assert shares(1.0, top_k=9, draws=200).gt(0).sum() == 5


def test_top_p_draws_among_the_fewest_tokens_that_hold_the_share() -> None:
    # The probabilities are .466, .283, .171, .063, .018.
    assert shares(1.0, top_p=0.4, draws=100).tolist() == [1, 0, 0, 0, 0]
    wanted = torch.tensor([2.0, 1.0, -torch.inf, -torch.inf, 1.5]).softmax(0)
    torch.testing.assert_close(shares(1.0, top_p=0.8), wanted, atol=0.025, rtol=0)


def test_the_lowest_temperature_and_the_lowest_share_take_the_likeliest() -> None:
    generator = torch.Generator().manual_seed(0)
    for temperature, top_p in ((0.0, 1.0), (1e-45, 1.0), (1e-6, 0.5), (1.0, 1e-9)):
        assert choose(LOGITS[None], temperature, 0, top_p, [generator]).tolist() == [0]


# ------------------------------------------------------------------------------------------------------------- the page


def test_the_page_holds_every_prompt_at_every_temperature(tmp_path: Path) -> None:
    made = subject(tmp_path)
    evaluate = knobs(evaluate__prompts=["the", "Ä"], evaluate__sample_tokens=20).evaluate
    found = read_samples(page(made, evaluate, seed=1))
    assert [(sample.level, sample.title) for sample in found] == [
        (1, "Samples"),
        (2, "`the`"),
        (3, "Temperature 0"),
        (3, "Temperature 0.8"),
        (2, "`Ä`"),
        (3, "Temperature 0"),
        (3, "Temperature 0.8"),
    ]
    greedy = next(sample for sample in found if sample.level == 3).blocks
    assert greedy == [("code", "the" + "".join(written(made, "the", tokens=20)))]
    assert page(made, evaluate, seed=1) == page(made, evaluate, seed=1)


@pytest.mark.parametrize("hostile", ["```\n# no heading\n```", "~~~\n", "`", "a`` b", "</pre><script>"])
def test_nothing_that_a_sample_holds_ends_its_block(tmp_path: Path, hostile: str) -> None:
    made = machine(tmp_path, {ord("`"): 256})
    [title, sample] = [part for part in read_samples(page(made, only(hostile, tokens=1), seed=1)) if part.level > 1]
    assert inline(title.title) == [(True, hostile.replace("\n", "⏎"))]
    assert sample.blocks[0][0] == "code"
    assert sample.blocks[0][1].startswith(hostile)


def only(prompt: str, tokens: int) -> Evaluate:
    return knobs(evaluate__prompts=[prompt], evaluate__temperatures=[0.0], evaluate__sample_tokens=tokens).evaluate


def test_endless_backticks_stay_in_their_block(tmp_path: Path) -> None:
    made = machine(tmp_path, {ord("`"): ord("`")})
    sample = read_samples(page(made, only("`", tokens=9), seed=1))[-1]
    assert sample.blocks == [("code", "`" * 10)]


def test_control_characters_are_made_visible(tmp_path: Path) -> None:
    made = machine(tmp_path, {ord("a"): 0, 0: 27, 27: 13, 13: 256})
    text = page(made, only("a", tokens=9), seed=1)
    assert "a␀␛␍\n" in text
    assert not set(map(ord, text)) & {0, 13, 27}


def test_the_page_of_a_model_that_diverged_says_so(tmp_path: Path) -> None:
    made = subject(tmp_path)
    with torch.no_grad():
        next(made.model.parameters()).fill_(torch.nan)
    assert "diverged" in page(made, only("the", tokens=3), seed=1)


def test_a_byte_tokenizer_knows_every_prompt(tmp_path: Path) -> None:
    made = machine(tmp_path, {}, ByteTokenizer(has_end=False))
    assert "lacks" not in page(made, only("Ä€", tokens=1), seed=1)
