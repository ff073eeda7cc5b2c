"""A page template that makes the pages of `dvc plots` work offline.

DVC's page loads Vega over the network; without a network, plots are silently missing. So each clone gets its own template that
holds the scripts, built from the package vl-convert-python. It is not in git.
"""

from __future__ import annotations

import configparser
import hashlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

from pipeline.artifacts.writing import write_text
from pipeline.params.errors import UserError

TEMPLATE = "offline/plots.html"  # in .dvc, beside the setting that names it


def install(root: Path) -> None:
    """Build the template for the clone at `root` and configure its DVC to use it; quick if that has been done.

    A template that the user has set stays.

    Raises:
        UserError: there is no DVC repository at `root`.
    """
    folder = root / ".dvc"
    if not folder.is_dir():
        raise UserError(f"{root}: not a DVC repository: it has no folder .dvc")
    set_to = _setting(folder)
    if set_to not in (None, TEMPLATE):
        return
    page = folder / TEMPLATE
    first_line = f"<!-- {_key()} -->\n"
    if not page.is_file() or not page.read_text(encoding="utf-8").startswith(first_line):
        write_text(page.with_name(".gitignore"), "*\n")
        write_text(page, first_line + template())
    if set_to is None:
        command = [sys.executable, "-m", "dvc", "config", "--local", "plots.html_template", TEMPLATE]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"{root}: `dvc config` failed: {done.stderr.strip().splitlines()[-1:]}")


def template() -> str:
    """DVC's page of plots with the scripts in it; DVC fills in {plot_divs} and {refresh_tag}."""
    import vl_convert  # building the bundle takes 2 s: only if needed

    # DVC writes its plots for Vega-Lite 5.
    version = next((version for version in reversed(vl_convert.get_vegalite_versions()) if version.startswith("5.")), None)
    bundle = vl_convert.javascript_bundle(vl_version=version).replace("</script", r"<\/script")  # type: ignore[call-arg]
    return PAGE.replace("BUNDLE", bundle)


def _key() -> str:
    """The sources of the template: with another release, or another page below, it is built again."""
    page = hashlib.sha256(PAGE.encode()).hexdigest()[:12]
    return f"vl-convert-python {importlib.metadata.version('vl-convert-python')}, page {page}"


def _setting(folder: Path) -> str | None:
    """plots.html_template of this clone, read without starting DVC, which takes half a second."""
    config = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        config.read(folder / "config.local", encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return None
    return config.get("plots", "html_template", fallback=None)


PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
{refresh_tag}
<title>Plots</title>
<script>(() => {BUNDLE})();</script>
<script>
(() => {
  const embed = window.vegaEmbed;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  // DVC's plots are small and made for a white background, and half of its menu needs the network.
  window.vegaEmbed = (place, spec) => {
    const beside = innerWidth < 900 ? 1 : innerWidth < 1400 ? 2 : 3;
    const size = spec.width === 300 ? { width: Math.max(200, Math.min(620, innerWidth / beside - 220)), height: 300 } : {};
    document.querySelector(place).classList.add("chart");
    return embed(place, { ...spec, ...size, background: "transparent" }, {
      theme: dark ? "dark" : undefined,
      config: { axis: { gridColor: dark ? "#3a414a" : "#dde1e6" } },
      actions: { export: true, source: false, compiled: false, editor: false },
    });
  };
})();
</script>
<style>
  body { margin: 1.2rem; display: flex; flex-wrap: wrap; gap: 1rem; }
  body { font: 16px/1.4 system-ui, sans-serif; background: #f5f6f8; color: #1b1f24; }
  body > div { background: #fff; border-radius: 10px; padding: .8rem; max-width: 100%; box-sizing: border-box; }
  body > div:not(.chart) { flex: 1 0 100%; overflow-x: auto; border: 0 !important; text-align: left !important; }
  body > div > div[style] { border: 0 !important; }
  p { margin: .2rem 0 .4rem; font-weight: 600; }
  img { max-width: clamp(19rem, 30vw, 44rem); height: auto; }
  @media (prefers-color-scheme: dark) { body { background: #14171b; color: #e8ebef; } body > div { background: #1d2126; } }
</style>
</head>
<body>
{plot_divs}
</body>
</html>
"""
