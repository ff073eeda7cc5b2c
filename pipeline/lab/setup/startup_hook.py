"""What every Python of the environment does first: installed beside the package as rally_start.py, imported by rally_path.pth.

It imports nothing of ours and next to nothing of Python's, since each stage and each `dvc` passes through here.
"""

import os
import sys


def lead_the_path() -> None:
    """Stages are started by the shell as `python -m pipeline.<stage>`: let that be the python which dvc stands in.

    So the environment's folder leads the PATH of children, whether somebody has activated it or not.
    """
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(dict.fromkeys([os.path.join(sys.prefix, "bin"), *folders]))


def keep_dvc_to_the_user() -> None:
    """Give DVC a folder of the user's own for its site cache, as ./run does: SECURITY.md says why.

    DVC makes what is missing of it writable for everybody, so it is made here. Where it cannot be, DVC does what it does.
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


lead_the_path()
keep_dvc_to_the_user()
