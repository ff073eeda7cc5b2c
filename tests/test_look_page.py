"""The page of a forward pass: it asks nobody, hostile text stays text, keys and pointer do in a browser what they should."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import CHROMIUM, Browser
from parsed import Parsed
from subjects import runtime
from test_look import network

from pipeline.lab.cli import main
from pipeline.lab.look.activations import record_pass
from pipeline.lab.look.forward_pass import ForwardPass
from pipeline.lab.look.html import page, write
from pipeline.networks.transformer import GPT
from pipeline.params.load import load

in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
IDS = [3, 1, 4, 1, 5, 9]
WORDS = ["</script>", "<x-evil>", "&amp;", "'\"`", "a", "b", "{{x}}", "\\u2028", "-->", "é", "javascript:"]


def looked(model: GPT | None = None, ids: list[int] = IDS) -> ForwardPass:
    model = model or network()
    return ForwardPass(
        "after step 7 <x-evil>",
        ["a note <x-evil>"],
        model.knobs,
        record_pass(model, ids, runtime()),
        lambda token: WORDS[token % 11],
    )


def test_what_comes_from_a_run_is_text_and_only_the_pages_own_scripts_may_run() -> None:
    source = page(looked())
    parsed = Parsed(source)
    tags = [tag for tag, _ in parsed.elements]
    assert "x-evil" not in tags
    assert all(word in parsed.text for word in ("</script>", "<x-evil>", "&amp;", "a note <x-evil>", "after step 7 <x-evil>"))
    data, *scripts = parsed.scripts
    assert len(scripts) == 2
    assert json.loads(data)["words"] == [WORDS[token] for token in IDS]
    policy = next(given["content"] or "" for tag, given in parsed.elements if given.get("http-equiv"))
    allowed = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert re.findall("'sha256-(.+?)'", policy) == allowed
    assert "default-src 'none'" in policy and "unsafe" not in policy.replace("style-src 'unsafe-inline'", "")
    assert not {"link", "iframe", "object", "embed", "form"} & set(tags)
    addresses = [given.get("src") or given.get("href") or "" for _, given in parsed.elements]
    assert all(address.startswith(("data:image/png", "#")) for address in addresses if address)
    assert not any(name.startswith("on") for _, given in parsed.elements for name in given)


def test_the_page_has_every_activation_and_every_head_and_equal_runs_give_equal_pages() -> None:
    one = looked()
    source = page(one)
    parsed = Parsed(source)
    ids = {given["id"] for _, given in parsed.elements if given.get("id")}
    assert {f"a-{activation.name}" for activation in one.record.activations} <= ids
    leads_to = {str(given["href"])[1:] for tag, given in parsed.elements if tag == "a" and "href" in given}
    assert leads_to <= ids
    heads = [given["value"] for tag, given in parsed.elements if tag == "input" and given["name"] == "head"]
    assert heads == ["1.1", "1.2", "2.1", "2.2"]
    assert page(looked()) == source
    carried = np.frombuffer(base64.b64decode(json.loads(parsed.scripts[0])["maps"]), "<u2").reshape(one.record.maps.shape)
    assert np.abs(carried / 65535 - one.record.maps).max() < 1e-5


def test_a_network_that_broke_and_a_lone_token_have_a_page_too() -> None:
    model = network()
    with torch.no_grad():
        model.get_parameter("blocks.0.attention.project.weight").fill_(float("nan"))
    source = page(looked(model))
    data = json.loads(Parsed(source).scripts[0])
    assert data["maps"] is None and data["predictions"][-1]["entropy"] is None
    assert "The probabilities are NaN." in source and "96 not finite" in source
    assert "The text ends here." in page(looked(ids=[4]))


def test_the_page_of_the_default_network_is_under_five_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    params = load()
    model = GPT(params.model.model_copy(update={"init": "gpt2"}), params.tokenize.vocab_size, torch.Generator().manual_seed(1))
    whole = page(looked(model, list(range(params.model.context_length))))
    assert 100_000 < len(whole.encode()) < 5_000_000, "at its whole context"


def test_the_verb_writes_the_page_where_it_was_called_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    top, here = Path(__file__).parents[1], tmp_path / "some" / "where"
    here.mkdir(parents=True)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(top / name, tmp_path)
    shutil.copytree(top / "studies", tmp_path / "studies")
    monkeypatch.chdir(here)
    small = ["-S", "model.depth=1", "-S", "model.width=16"]
    words = ["rally", "look", "--ids", "3 1 4", "--vocabulary", "10", *small, "--page", "pass.html"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().out == "pass.html: the forward pass as one page\n"
    assert "at initialization (seed 1), on 3 tokens" in (here / "pass.html").read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("look") / "look.html"
    write(path, looked(), (1, 1))
    return path


@pytest.fixture(scope="module")
def opened(written: Path) -> Iterator[Browser]:
    with Browser(written, width=1600) as browser:
        yield browser


@pytest.fixture
def browser(opened: Browser, written: Path) -> Browser:
    """The page as it is first opened."""
    opened.open(written)
    return opened


LARGE = "document.querySelector('#heads .large img').src"
HEAD = "document.querySelector('[data-head]').textContent"
TOKEN = "document.querySelector('[name=token]:checked').value"
SAYS = "document.querySelector('#heads output').textContent"


@in_a_browser
def test_a_head_is_chosen_by_the_keyboard_and_its_map_is_shown(browser: Browser) -> None:
    first = browser.see(LARGE)
    browser.see("document.querySelector('[name=head]:checked').focus()")
    browser.press("ArrowRight")
    assert browser.see(HEAD) == "head 1.2"
    second = browser.see(LARGE)
    assert second != first and second == browser.see("document.querySelector('[value=\"1.2\"]').nextElementSibling.src")
    browser.press("ArrowRight", "ArrowRight")
    assert browser.see(HEAD) == "head 2.2"
    browser.press("ArrowLeft")
    assert browser.see(HEAD) == "head 2.1"


@in_a_browser
def test_a_token_is_followed_through_the_maps_the_lens_and_the_next_token(browser: Browser) -> None:
    told = looked().record
    assert browser.see(TOKEN) == "5"
    browser.see("document.querySelector('[name=token]:checked').focus()")
    browser.press("ArrowLeft", "ArrowLeft", "ArrowLeft")
    assert browser.see(TOKEN) == "2"
    assert browser.see("document.documentElement.style.getPropertyValue('--at')") == "2"
    rows = browser.see("[...document.querySelectorAll('#choices tbody tr')].map((row) => row.cells[2].textContent)")
    assert rows == [str(choice.token) for choice in told.predictions[2].top]
    follows = told.predictions[2].actual
    assert follows is not None
    assert f"rank {follows.rank}," in browser.see("document.querySelector('[data-actual]').textContent")
    at = browser.see("[...document.querySelectorAll('#layers .at')].map((cell) => cell.dataset.token)")
    assert at == ["2"] * 4  # the head of its column, and the three layers
    forming = browser.see("[...document.querySelectorAll('#forming tbody tr')].map((row) => row.cells[1].textContent)")
    assert len(forming) == 3 and all(forming)
    # The mark lies on the third row of the large map, which has six.
    where = browser.see(
        "(() => { const [a, b] = ['.plot .row', '.plot'].map((one) => document.querySelector('#heads ' + one)"
        ".getBoundingClientRect()); return (a.top - b.top) / b.height; })()"
    )
    assert where == pytest.approx(2 / 6, abs=0.01)
    browser.see("document.querySelector('#layers td[data-token=\"4\"]').click()")
    assert browser.see(TOKEN) == "4"


@in_a_browser
def test_a_probability_is_read_by_keys_and_under_the_pointer(browser: Browser) -> None:
    maps = looked().record.maps
    browser.see("document.querySelector('#heads .large .plot').focus()")
    browser.press("ArrowLeft")  # begins at the followed token
    browser.press("ArrowUp", "ArrowLeft")
    shown = re.fullmatch(r"1\.1: ‘.*’ \((\d)\) → ‘.*’ \((\d)\) = (0\.\d{4})", browser.see(SAYS))
    assert shown, browser.see(SAYS)
    query, key = int(shown[1]), int(shown[2])
    assert (query, key) == (4, 4) and float(shown[3]) == pytest.approx(maps[0, 0, query, key], abs=1e-4)
    browser.press("ArrowRight")
    assert browser.see(SAYS).endswith("= masked")
    browser.press("Enter")
    assert browser.see(TOKEN) == "4"
    browser.press("Escape")
    assert "attends to" in browser.see(SAYS)
    plot = "document.querySelector('#heads .large .plot')"
    browser.see(f"{plot}.scrollIntoView({{block: 'center'}})")
    left, top, width, height = browser.see(
        f"(({{x, y, width, height}}) => [x, y, width, height])({plot}.getBoundingClientRect())"
    )
    browser.point(left + width * 0.5 / 6, top + height * 3.5 / 6)
    assert browser.see(SAYS).endswith(f"(3) → ‘{WORDS[3]}’ (0) = {maps[0, 0, 3, 0]:.4f}")
    browser.point(left + width * 0.5 / 6, top + height * 3.5 / 6, click=True)
    assert browser.see(TOKEN) == "3"


@in_a_browser
def test_every_control_is_reached_by_tab(browser: Browser) -> None:
    reached = set()
    for _ in range(40):
        browser.press("Tab")
        reached.add(
            browser.see(
                "document.activeElement.name || document.activeElement.id || document.activeElement.getAttribute('class') || ''"
            )
        )
    assert {"theme", "token", "head", "plot"} <= reached


@in_a_browser
@pytest.mark.parametrize("width", [400, 1600])
def test_the_page_fits_a_narrow_window_and_a_wide_one_and_asks_nobody(browser: Browser, width: int) -> None:
    browser.resize(width, 900)
    assert browser.see("document.documentElement.scrollWidth") <= width
    small = browser.see(
        "[...document.querySelectorAll('main *')].filter((one) => one.childElementCount === 0 && one.textContent.trim()"
        " && !one.closest('svg, .y-ticks, .x-ticks') && parseFloat(getComputedStyle(one).fontSize) < 11).length"
    )
    assert small == 0, "letters that nobody can read"
    browser.resize(1600, 900)
    assert browser.asked_for() == []
    assert browser.complaints() == []


@in_a_browser
def test_what_is_jumped_to_lies_below_the_tokens_and_the_followed_column_in_sight(written: Path) -> None:
    long = written.with_name("long.html")
    write(long, looked(ids=[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]))
    with Browser(long, width=400) as browser:
        browser.see("document.querySelector('nav [href=\"#lens\"]').click()")
        top = browser.see("document.querySelector('#lens').getBoundingClientRect().top")
        assert top >= browser.see("document.querySelector('#tokens').getBoundingClientRect().bottom")
        for token in (11, 0):
            browser.see(f"document.querySelector('[name=token][value=\"{token}\"]').click()")
            inside = browser.see(
                "((cell, box) => cell.left >= box.left && cell.right <= box.right + 1)(document.querySelector('#layers th.at')"
                ".getBoundingClientRect(), document.querySelector('#lens .scroll').getBoundingClientRect())"
            )
            assert inside, token


@in_a_browser
def test_light_and_dark_are_two_pages_and_the_button_turns_one_into_the_other(browser: Browser) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light = browser.see(paper)
    browser.see("document.getElementById('theme').click()")
    assert browser.see(paper) != light
    browser.see("document.getElementById('theme').click()")
    assert browser.see(paper) == light


@in_a_browser
def test_without_its_script_the_page_shows_the_last_token_and_a_head(written: Path) -> None:
    with Browser(written, script=False) as browser:
        assert browser.see("document.documentElement.classList.contains('js')") is False
        assert browser.see("document.querySelectorAll('#choices tbody tr').length") == 10
        assert browser.see("document.querySelectorAll('#layers tbody tr').length") == 3
        assert browser.see("document.querySelector('#heads .large img').naturalWidth") == len(IDS)
        assert browser.see("document.querySelectorAll('svg.diagram').length") == 1 + 2 * 3
        assert browser.see("document.getElementById('theme').hidden") is True
