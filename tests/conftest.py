"""What every test stands on: one thread, no network and no settings of the user's; and what `pytest --shapes` is."""

from __future__ import annotations

import atexit
import ipaddress
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from campaign.trials import pytest_terminal_summary as pytest_terminal_summary
from jaxtyping import install_import_hook

os.environ["OMP_NUM_THREADS"] = "1"  # two threads on two busy cores are thirty times slower than one
os.environ["OMP_WAIT_POLICY"] = "passive"  # where a test wants two, the one that waits leaves its core to another test
sys.dont_write_bytecode = False  # where it is forbidden, every worker compiles all modules and rewrites all tests anew
for name in [name for name in os.environ if name.startswith(("GIT_", "DVC_"))]:
    del os.environ[name]  # inside a git hook they would turn the tests' repositories into this one
for who in ("AUTHOR", "COMMITTER"):
    os.environ |= {f"GIT_{who}_NAME": "test", f"GIT_{who}_EMAIL": "test@localhost"}
os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "DVC_NO_ANALYTICS": "1"}

hypothesis.settings.register_profile("rally", deadline=None)  # no test has a time limit
hypothesis.settings.load_profile("rally")
os.environ["RALLY_CACHE"] = tempfile.mkdtemp(prefix="rally-tests-")  # what the user downloaded and tuned is none of a test's
atexit.register(shutil.rmtree, os.environ["RALLY_CACHE"], ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shapes", action="store_true", help="check shapes and types as code runs; the tests marked `shapes` only"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Before the first import of Rally: the checks double the time of a test, so the usual run does without them."""
    if config.getoption("shapes"):
        install_import_hook("pipeline", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest tests begin first: one that begins last keeps one core busy while the other has nothing left to do."""
    if config.getoption("shapes"):
        others = [item for item in items if item.get_closest_marker("shapes") is None]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in set(others)]
    items.sort(key=lambda item: item.get_closest_marker("first") is None)


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches for the network fails, on every machine."""
    connect = socket.socket.connect

    def refusing(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] != "localhost":
            assert ipaddress.ip_address(address[0]).is_loopback, f"a test wants to talk to {address[0]}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refusing)


@pytest.fixture(autouse=True)
def torch_as_it_was() -> Iterator[None]:
    """What a Runtime sets holds for the whole process: with denormals flushed, hypothesis would refuse to draw numbers."""
    yield
    if "torch" in sys.modules:
        import torch

        torch.set_flush_denormal(False)
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(1)
