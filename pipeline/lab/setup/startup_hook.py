"""The startup hook of the environment's Python: installed as rally_start.py and imported by rally_path.pth at every start.

It imports no other module of Rally and almost none of Python's, because every stage and every `dvc` runs it.
"""

import os
import sys

TYPE_CHECKING = False  # typing itself would cost every Python that starts 5 ms
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType


def put_environment_on_path() -> None:
    """Put the environment's folder first on the PATH, activated or not.

    DVC starts stages by the shell as `python -m pipeline.<stage>`, which must be the python that runs DVC.
    """
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(dict.fromkeys([os.path.join(sys.prefix, "bin"), *folders]))


def make_dvc_cache_private() -> None:
    """Give DVC a private folder for its site cache, as ./run does; SECURITY.md says why.

    DVC would make a missing folder writable for all users, so it is made here. If that fails, DVC uses its default.
    """
    cache = os.environ.get("RALLY_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache"), "rally"
    )
    folder = os.environ.get("DVC_SITE_CACHE_DIR") or os.path.join(cache, "dvc")
    try:
        os.makedirs(os.path.join(folder, "repo"), mode=0o700, exist_ok=True)
    except OSError:
        return
    os.environ["DVC_SITE_CACHE_DIR"] = folder


class QuickYaml:
    """Finds the module of DVC that reads and writes YAML, and has rally_dvc_yaml.py make it quick once it is there."""

    MODULE = "dvc.utils.serialize._yaml"

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> "ModuleSpec | None":
        """The module as Python finds it; None for every other one."""
        if name != cls.MODULE:
            return None
        import importlib.util

        sys.meta_path.remove(cls)
        spec = importlib.util.find_spec(name)
        if spec and spec.loader:
            execute = spec.loader.exec_module

            def execute_and_replace(module: "ModuleType") -> None:
                import rally_dvc_yaml

                execute(module)
                rally_dvc_yaml.install(module)

            spec.loader.exec_module = execute_and_replace  # type: ignore[method-assign]
        return spec


put_environment_on_path()
make_dvc_cache_private()
sys.meta_path.insert(0, QuickYaml)
