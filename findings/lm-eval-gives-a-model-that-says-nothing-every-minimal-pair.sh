#!/usr/bin/env bash
# lm-evaluation-harness 0.4.13: a model whose logits are all equal is right in 100 % of BLiMP's minimal pairs.
#
# BLiMP's task template lists the good sentence first and the harness takes the first of equal likelihoods, so that a network
# whose head still is zero scores 1.0. Expected: about 0.5, as of any model that cannot tell the two apart.
# Exit status 0: still as described. 1: it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
# torch without CUDA where pip finds one: the versions are what the finding was seen with.
venv/bin/pip install -q "lm_eval==0.4.13" "transformers==5.23.0" "torch==2.13.0" accelerate >/dev/null
mkdir tasks
cat >make.py <<'END'
"""A GPT-2 with random weights whose head is zero, its tokenizer, and ten minimal pairs by BLiMP's own template."""

import json
from importlib.util import find_spec
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

words = ["<end>", "the", "cat", "cats", "sleeps", "sleep", "dog", "dogs", "runs", "run", "often", "now"]
library = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<end>"))
library.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=library, eos_token="<end>", bos_token="<end>")
tokenizer.save_pretrained("model")
torch.manual_seed(0)
config = transformers.GPT2Config(
    vocab_size=len(words), n_embd=16, n_layer=1, n_head=2, n_positions=32, bos_token_id=0, eos_token_id=0, tie_word_embeddings=False
)
model = transformers.GPT2LMHeadModel(config)
torch.nn.init.zeros_(model.lm_head.weight)
model.save_pretrained("model")
nouns, verbs, ends = [("cat", "cats"), ("dog", "dogs")], [("sleeps", "sleep"), ("runs", "run")], ["", " often", " now"]
pairs = [
    {"sentence_good": f"the {noun[0]} {verb[0]}{end}", "sentence_bad": f"the {noun[0]} {verb[1]}{end}"}
    for noun in nouns
    for verb in verbs
    for end in ends
][:10]
Path("pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
spec = find_spec("lm_eval")
template = Path(spec.submodule_search_locations[0]) / "tasks/blimp/_template_yaml"
task = {
    "include": str(template),
    "task": "pairs",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"train": "pairs.jsonl"}},
}
Path("tasks/pairs.yaml").write_text(json.dumps(task))
END
venv/bin/python make.py >/dev/null 2>&1
HF_HUB_OFFLINE=1 venv/bin/lm-eval run --model hf --model_args pretrained=model --tasks pairs --include_path tasks \
  --device cpu --output_path out >log 2>&1 || { tail -5 log; exit 1; }
score=$(cat out/*/results*.json | venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)["results"]["pairs"]["acc,none"])')
echo "lm_eval 0.4.13, BLiMP's template, ten pairs, a model that gives every word the same probability"
echo "expected: accuracy about 0.5, for it cannot tell the two sentences of a pair apart"
echo "seen:     accuracy $score"
[ "$score" = 1.0 ]
