"""Commands as a child of the server runs them, where it must be put up first."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def rally(*words: str) -> None:
    """The command rally; "@overrides" stands for the -S that lie in a file of this name."""
    from pipeline.lab.cli import main

    told: list[str] = []
    for word in words:
        told += (
            [part for one in json.loads(Path("overrides").read_text()) for part in ("-S", one)]
            if word == "@overrides"
            else [word]
        )
    sys.argv = ["rally", *told]
    main()


def prepare() -> None:
    """The stage, which waits no seconds between its tries to fetch a file."""
    time.sleep = lambda seconds: None
    from pipeline.prepare import main

    main()
