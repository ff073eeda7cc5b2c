#!/usr/bin/env bash
# huggingface_hub uploads large files by Xet wherever its package hf_xet is, without asking whether the hub has it.
#
# Expected: the client asks the git LFS batch endpoint which of its transfers the server offers, as the LFS protocol provides, and
#           takes "basic" where the server has no other.
# Seen: with hf_xet, which is installed along on x86-64 and arm64, it goes straight to …/xet-write-token/main; a hub that offers
#       plain LFS alone answers 404 there, and the upload ends in a ConnectionError. The batch endpoint is never asked. With
#       HF_HUB_DISABLE_XET=1 the same upload arrives by plain LFS.
# What to do: set HF_HUB_DISABLE_XET=1 for a hub without Xet (a mirror, a proxy, a server for tests).
#
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
version=2.4.0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "huggingface_hub==$version"
export HF_HOME=$work/home NO_PROXY=127.0.0.1 HF_HUB_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_PROGRESS_BARS=1

cat >"$work/upload.py" <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from huggingface_hub import CommitOperationAdd, HfApi

asked = []


class Hub(BaseHTTPRequestHandler):
    """A hub of models that offers git LFS with the transfer "basic"."""

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        asked.append(self.path)
        self.answer(404, {"error": "Not Found"})

    def do_PUT(self):
        asked.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, {})

    def do_POST(self):
        asked.append(self.path)
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        if "/preupload/" in self.path:
            files = [{"path": one["path"], "uploadMode": "lfs", "shouldIgnore": False} for one in json.loads(sent)["files"]]
            self.answer(200, {"files": files})
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = [{**one, "actions": {"upload": {"href": f"{hub}/storage"}}} for one in json.loads(sent)["objects"]]
            self.answer(200, {"transfer": "basic", "objects": objects})
        else:
            self.answer(200, {"commitUrl": f"{hub}/me/model/commit/{'0' * 40}", "commitOid": "0" * 40})

    def log_message(self, *words):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
hub = f"http://127.0.0.1:{server.server_port}"
threading.Thread(target=server.serve_forever, daemon=True).start()
file = CommitOperationAdd("model.safetensors", b"weights" * 1000)
try:
    HfApi(endpoint=hub, token="hf_example").create_commit("me/model", [file], commit_message="a model")
    print("arrived")
except Exception as error:
    print(type(error).__name__)
print("batch asked" if any(path.endswith("/batch") for path in asked) else "batch not asked")
PYTHON

try() { env "$@" "$work/venv/bin/python" "$work/upload.py" 2>/dev/null | paste -sd ' '; }

echo "huggingface_hub $version, hf_xet $("$work/venv/bin/pip" list 2>/dev/null | awk '$1 ~ /^hf[-_]xet$/ {print $2}')"
with_xet=$(try HF_HUB_DISABLE_XET=0)
without=$(try HF_HUB_DISABLE_XET=1)
echo "to a hub that offers plain LFS:     $with_xet"
echo "the same with HF_HUB_DISABLE_XET=1: $without"
if [ "$with_xet" = "ConnectionError batch not asked" ] && [ "$without" = "arrived batch asked" ]; then
    echo "as found: it does not ask"
else
    echo "this has changed"
    exit 1
fi
