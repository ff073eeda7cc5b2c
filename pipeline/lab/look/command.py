"""`rally look` and its options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pipeline.lab.project import enter_project
from pipeline.params.errors import printable


def look(
    prompt: Annotated[
        str | None, typer.Option(help="The text to run the model on. Default: probe.toy_text of params.yaml.")
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(metavar="N|FILE", help="The image: the number of a validation example (default: 0), or a file."),
    ] = None,
    ids: Annotated[str | None, typer.Option(metavar="'3 1 4'", help="Token ids instead of a text.")] = None,
    step: Annotated[
        str,
        typer.Option(
            help="Which snapshot: the step at which it was saved (train.snapshots gives shares of the training), or last."
        ),
    ] = "last",
    untrained: Annotated[
        bool,
        typer.Option("--untrained", help="Look at the network of params.yaml before training, with random weights."),
    ] = False,
    set_param: Annotated[
        list[str] | None,
        typer.Option("-S", "--set-param", metavar="KNOB=VALUE", help="Override a knob of params.yaml; implies --untrained."),
    ] = None,
    vocabulary: Annotated[
        int | None, typer.Option(min=1, help="With --ids: the vocabulary size, if no text has been tokenized yet.")
    ] = None,
    head: Annotated[str | None, typer.Option(metavar="LAYER.HEAD", help="Show the attention map of this head.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write everything to one HTML page that works offline.")] = None,
    show_it: Annotated[
        bool, typer.Option("--open", help="Open the page in a browser (look.html, unless --page names another).")
    ] = False,
) -> None:
    """Show everything that happens in one forward pass.

    Of a language model: every intermediate activation by name, the network's diagram with shapes, attention, the logit lens
    (what each layer would predict), and the likeliest next tokens. Of a classifier: class probabilities, saliency (which
    inputs matter), layers, heads.
    """
    called_from = enter_project()
    from pipeline.lab.look.forward_pass import look
    from pipeline.lab.look.request import Request

    if image is not None and not image.isdigit():
        image = os.path.relpath(called_from / image)
    found = look(Request(prompt, ids, step, untrained, tuple(set_param or ()), vocabulary, image))
    from rich.console import Console

    from pipeline.lab.look import classifier_html, classifier_terminal, html, terminal
    from pipeline.lab.look.classifier import ClassifierPass

    chosen = terminal.parse_head(head, found.maps)
    if page is None and not show_it:
        console = Console(highlight=False)
        if isinstance(found, ClassifierPass):
            classifier_terminal.show(found, console, chosen)
        else:
            terminal.show(found, console, chosen)
        return
    target = called_from / (page or Path("look.html"))
    if isinstance(found, ClassifierPass):
        classifier_html.write(target, found, chosen)
    else:
        html.write(target, found, chosen)
    print(printable(os.path.relpath(target, called_from)) + ": the forward pass as one page")
    if show_it:
        typer.launch(target.as_uri())
