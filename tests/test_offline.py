"""DVC's pages of plots open without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.lab.setup import offline_plots as offline
from pipeline.lab.setup.offline_plots import TEMPLATE, install
from pipeline.params.errors import UserError

OUTSIDE = re.compile(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)\s*=\s*["']?(?:https?:)?//""")


def dvc(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a plot, made ready for offline use."""
    folder = tmp_path_factory.mktemp("clone")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    dvc(folder, "init", "--quiet")
    (folder / "curve.csv").write_text("step,loss\n1,4.2\n2,3.1\n", encoding="utf-8")
    (folder / "dvc.yaml").write_text("plots: [curve.csv: {x: step, y: loss}]\n", encoding="utf-8")
    install(folder)
    return folder


def test_the_page_of_dvc_plots_carries_its_scripts_and_loads_none(clone: Path) -> None:
    assert "https://cdn" in dvc_page_without_us()  # or there is nothing left for us to do
    dvc(clone, "plots", "show")
    page = (clone / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    assert not OUTSIDE.search(page)
    assert "window.vegaEmbed=" in page
    assert page.index("window.vegaEmbed=") < page.rindex("vegaEmbed('#curve_csv'")
    assert '"loss": "4.2"' in page
    assert "{plot_divs}" not in page
    assert "{refresh_tag}" not in page


def dvc_page_without_us() -> str:
    from dvc_render import VegaRenderer

    return VegaRenderer.SCRIPTS


def test_the_scripts_cannot_end_early_or_meet_the_names_of_the_page() -> None:
    page = offline.template()
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    assert len(scripts) == page.count("<script>") == page.count("</script>") == 2
    assert scripts[0].startswith("(() => {")
    assert scripts[0].endswith("})();")
    assert len(scripts[0]) > 400_000
    for placeholder in ("{plot_divs}", "{refresh_tag}"):
        assert page.count(placeholder) == 1  # in the page, and not by chance in the scripts, where DVC would fill it too
    assert "{scripts}" not in page  # where DVC would put its own


def test_nothing_of_it_is_seen_by_git(clone: Path) -> None:
    status = subprocess.run(
        ["git", "status", "--porcelain", "-uall"], cwd=clone, check=True, capture_output=True, text=True
    ).stdout
    assert not [line for line in status.splitlines() if "offline" in line or "config.local" in line]


def test_a_second_time_does_nothing_and_needs_neither_dvc_nor_vega(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = clone / ".dvc" / TEMPLATE
    before = page.stat().st_mtime_ns
    monkeypatch.setattr(sys, "executable", "/nowhere")
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    install(clone)
    assert page.stat().st_mtime_ns == before


def test_another_release_or_a_lost_page_is_made_anew(clone: Path) -> None:
    page = clone / ".dvc" / TEMPLATE
    whole = page.read_bytes()
    for damage in (b"<!-- vl-convert-python 0.1, page x -->\n", None):
        page.unlink()
        if damage is not None:
            page.write_bytes(damage)
        install(clone)
        assert page.read_bytes() == whole


def test_it_holds_from_every_folder_and_after_the_clone_has_moved(clone: Path, tmp_path: Path) -> None:
    setting = (clone / ".dvc" / "config.local").read_text(encoding="utf-8")
    assert str(clone) not in setting
    moved = tmp_path / "moved"
    subprocess.run(["cp", "-r", os.fspath(clone), os.fspath(moved)], check=True)
    (moved / "below").mkdir()
    dvc(moved / "below", "plots", "show", "--out", "here")
    assert not OUTSIDE.search((moved / "below" / "here" / "index.html").read_text(encoding="utf-8"))


def test_a_template_of_the_user_s_own_stays(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    config = (
        "[cache]\n    type = hardlink\n    dir = /x\n['remote \"a%b\"']\n    url = /y\n[plots]\n    html_template = own.html\n"
    )
    (tmp_path / ".dvc" / "config.local").write_text(config, encoding="utf-8")
    install(tmp_path)
    assert (tmp_path / ".dvc" / "config.local").read_text(encoding="utf-8") == config
    assert not (tmp_path / ".dvc" / TEMPLATE).exists()


def test_where_there_is_no_repository_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a DVC repository"):
        install(tmp_path)
