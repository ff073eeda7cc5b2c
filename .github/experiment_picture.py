"""Draws one plot of `dvc plots diff --json` as a PNG: experiment_picture.py PLOTS.JSON NAME PICTURE.PNG."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import vl_convert

plots, name, picture = sys.argv[1:]
drawn = json.loads(Path(plots).read_text(encoding="utf-8"))["data"]
known = {plot.rpartition("::")[2]: content for plot, content in drawn.items()}
if name not in known:
    sys.exit(f"{name}: there is no such plot. Known: {', '.join(known) or 'none'}")
content = known[name][0]["content"]
spec = json.loads(content) if isinstance(content, str) else content
Path(picture).write_bytes(vl_convert.vegalite_to_png(spec, scale=2))
