#!/usr/bin/env bash
# transformers rotates half of each head of a Nemotron model in a GGUF file, whatever the file says.
#
# Expected: `nemotron.rope.dimension_count` (how many features of a head are rotated) becomes the partial_rotary_factor of the
#           model, as it does in llama.cpp.
# Seen: the key is not read. A file in which all 32 features of a head are rotated, and one in which 16 are, give the same
#       configuration: the default of the class, 0.5. The first is then computed wrong, without a warning.
# What to do: pass the configuration yourself, `from_pretrained(folder, gguf_file=…, config=…)`.
#
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
transformers=5.23.0 gguf=0.19.0 torch=2.13.0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "torch==$torch" numpy
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "transformers==$transformers" "gguf==$gguf"
cat >"$work/read.py" <<'END'
import sys
import gguf
import numpy
from transformers import AutoConfig

folder = sys.argv[1]
for rotated in (32, 16):
    writer = gguf.GGUFWriter(f"{folder}/{rotated}.gguf", "nemotron")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(128)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-5)
    writer.add_rope_dimension_count(rotated)
    writer.add_vocab_size(4)
    writer.add_tensor("token_embd.weight", numpy.zeros((4, 64), numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    config = AutoConfig.from_pretrained(folder, gguf_file=f"{rotated}.gguf")
    part = config.rope_parameters["partial_rotary_factor"]
    print(f"{rotated} of 32 features rotated in the file; {part * 32:g} in transformers")
    if part != 0.5:
        sys.exit(1)
END
echo "transformers $transformers, gguf $gguf"
if "$work/venv/bin/python" "$work/read.py" "$work" 2>"$work/log"; then
    echo "as found: the key is not read"
else
    tail -n 3 "$work/log"
    echo "this has changed"
    exit 1
fi
