"""The section about llama.cpp in docs/tools.md: every line of it runs, or says where it does."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_journey import clone, environment, run
from tool_lines import blocks_of

pytestmark = pytest.mark.slow
ELSEWHERE = "llama-completion"  # comes with llama.cpp


def texts(language: str) -> list[str]:
    return [block.text for block in blocks_of("llama.cpp") if block.language == language]


def test_every_line_about_llama_cpp_runs(tmp_path: Path) -> None:
    lab, seen = clone(tmp_path / "lab"), {}
    lines = [line for block in texts("sh") for line in block.splitlines()]
    assert [line.split()[0] for line in lines] == ["dvc", "rally", "rally", "rally", ELSEWHERE]
    for line in lines:
        command = line.partition("#")[0].strip()
        if not command.startswith(ELSEWHERE):
            seen[command] = run(lab, *command.split())
        elif shutil.which(ELSEWHERE):  # the page says that it runs only there
            subprocess.run(command, shell=True, cwd=lab, check=True, timeout=300, capture_output=True)
    exported, smaller, imported = [*seen.values()][1:]
    assert "plays-f32.gguf for llama.cpp (architecture nemotron)" in exported
    assert "small-q8_0.gguf for llama.cpp" in smaller
    assert "train.init_from=models/plays-f32" in imported
    sizes = [(lab / "shelf" / name).stat().st_size for name in ("plays/plays-f32.gguf", "small/small-q8_0.gguf")]
    assert sizes[1] < sizes[0]
    if importlib.util.find_spec("xllamacpp"):
        (code,) = texts("python")
        said = subprocess.run(
            [sys.executable, "-c", code], cwd=lab, env=environment(), capture_output=True, text=True, timeout=300, check=True
        )
        assert len(said.stdout) > 20
