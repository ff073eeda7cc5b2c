"""The diagram of the network: its parts in the order of execution, with an arrow for each input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.lab.look.activations import Activation

WIDTH, HEIGHT, GAP, LANE, EDGE = 216, 40, 34, 15, 10
SYMBOLS = {"add": "+", "addcmul": "+", "mul": "×", "div": "÷"}  # of operations that are not modules


@dataclass(frozen=True)
class Node:
    """A part in the diagram.

    Attributes:
        name: the full name, which the box links to.
        label, note: the text in its box.
        shape: of its output.
        symbol: of an operation, drawn as a small circle.
        top: its y coordinate.
    """

    name: str
    label: str
    note: str
    shape: str
    symbol: str
    top: int

    @property
    def height(self) -> int:
        return 26 if self.symbol else HEIGHT


def diagram(parts: Sequence[Activation], within: str, reads: str) -> dict[str, Any]:
    """Boxes and arrows of the parts inside a part.

    Args:
        parts: in the order of execution.
        within: the name of the part.
        reads: the shape of the input.
    """
    nodes = [Node("", "input", "", reads, "", EDGE)]
    for part in parts:
        above = nodes[-1]
        nodes.append(_node(part, within, above.top + above.height + GAP))
    place = {node.name: number for number, node in enumerate(nodes)}
    arrows = [
        (place.get(name, 0), place[part.name])
        for part in parts
        # Inputs from outside enter at the top; a part without inputs (uniform attention) has no arrow.
        for name in dict.fromkeys(one if one in place else "" for one in part.inputs)
    ]
    if parts and not parts[0].inputs:
        arrows.insert(0, (0, 1))  # the embedding reads the ids, which are not the output of a part
    long = [(start, end) for start, end in arrows if end > start + 1]
    lanes = _lanes(long)
    return {
        "nodes": nodes,
        "straight": [_straight(nodes[start], nodes[end]) for start, end in arrows if end == start + 1],
        "long": [_around(nodes[start], nodes[end], lane) for (start, end), lane in zip(long, lanes, strict=True)],
        "width": 2 * EDGE + WIDTH + LANE * (max(lanes, default=-1) + 2),
        "height": nodes[-1].top + nodes[-1].height + GAP - 6,
        "left": EDGE,
        "middle": EDGE + WIDTH // 2,
        "box": WIDTH,
    }


def _node(part: Activation, within: str, top: int) -> Node:
    label = part.name.removeprefix(f"{within}.") if within else part.name
    operation = label.split("_")[0] if part.kind == label.split("_")[0] else ""
    symbol = SYMBOLS.get(operation, "")
    numbers = f"{part.parameters:,} parameters" if part.parameters else ""
    note = part.detail if symbol else " · ".join(filter(None, (_kind(part, label), numbers, part.detail)))
    return Node(part.name, label, note, f"[{', '.join(map(str, part.shape))}]", symbol, top)


def _kind(part: Activation, label: str) -> str:
    return "" if part.kind.lower() == label.replace("_", "").lower() else part.kind


def _lanes(arrows: Sequence[tuple[int, int]]) -> list[int]:
    """For each arrow that skips boxes, the lane beside the boxes that it runs in; short arrows get inner lanes."""
    lanes = [0] * len(arrows)
    taken: list[list[tuple[int, int]]] = []
    for number in sorted(range(len(arrows)), key=lambda number: arrows[number][1] - arrows[number][0]):
        start, end = arrows[number]
        # Two arrows that leave one box may share a lane; others must not touch.
        free = (
            lane
            for lane, others in enumerate(taken)
            if all(end <= one or start >= other or start == one for one, other in others)
        )
        lane = next(free, len(taken))
        if lane == len(taken):
            taken.append([])
        taken[lane].append((start, end))
        lanes[number] = lane
    return lanes


def _straight(start: Node, end: Node) -> str:
    middle = EDGE + WIDTH // 2
    return f"M{middle} {start.top + start.height}V{end.top - 1}"


def _around(start: Node, end: Node, lane: int) -> str:
    """From the right side of one box to that of another; from the line below if the start is not a box."""
    middle, right, beside = EDGE + WIDTH // 2, EDGE + WIDTH, EDGE + WIDTH + LANE * (lane + 1)
    is_box = start.name and not start.symbol
    leaves, y = (right, start.top + start.height * 2 // 3) if is_box else (middle, start.top + start.height + 6)
    # It arrives above the middle of a box, so that it is not mistaken for an arrow that leaves there.
    arrives, to = (middle + 14, end.top + end.height // 2) if end.symbol else (right + 1, end.top + end.height // 2 - 6)
    return f"M{leaves} {y}H{beside - 6}q6 0 6 6V{to - 6}q0 6 -6 6H{arrives}"
