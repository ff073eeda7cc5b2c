"""What people get wrong in params.yaml, and the lines that they are to read.

"Known: networks/norms.py:NORMS" stands for the names in that table, "Known: train.*" for the knobs of that section.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MISSING = object()


@dataclass(frozen=True)
class Wrong:
    """Knobs set as `dvc exp run -S` would, or another content of the file, and all lines that come of it."""

    lines: tuple[str, ...]
    knobs: dict[str, Any] = field(default_factory=dict)
    content: bytes | None = None


def knob(name: str, value: Any, line: str, **others: Any) -> Wrong:
    """One knob that is wrong, beside others that make it so."""
    return Wrong((line,), {name: value} | {key.replace("__", "."): other for key, other in others.items()})


def file(content: bytes | str, *lines: str) -> Wrong:
    return Wrong(lines, content=content.encode() if isinstance(content, str) else content)


WRONG: dict[str, Wrong] = {
    # the wrong type
    "text for a number": knob("train.lr", "fast", "train.lr: 'fast' is not a number"),
    "a number for text": knob("prepare.path", 5, "prepare.path: 5 is not text (put it in quotes)"),
    "a fraction for a whole number": knob("model.depth", 2.5, "model.depth: 2.5 is not a whole number"),
    "a round fraction for a whole number": knob("train.steps", 1000.0, "train.steps: 1000.0 is not a whole number"),
    "true for a number": knob("model.width", True, "model.width: true is not a whole number"),
    "a word for true or false": knob("model.bias", "yes", "model.bias: 'yes' is not true or false"),
    "one for true": knob("model.tie_embeddings", 1, "model.tie_embeddings: 1 is not true or false"),
    "nothing for a number": knob("seed", None, "seed: null is not a whole number"),
    "one number for a list": knob("evaluate.temperatures", 0.8, "evaluate.temperatures: 0.8 is not a list"),
    "a word within a list": knob("evaluate.temperatures", [0.0, "hot"], "evaluate.temperatures.1: 'hot' is not a number"),
    "a number for a name": knob("train.optimizer", 3, "train.optimizer: 3 is not text (put it in quotes)"),
    "a number for a section": knob("model", 12, "model: 12 is not a section of knobs"),
    "an empty section": knob("train", None, "train: null is not a section of knobs"),
    # out of range
    "a rate of zero": knob("train.lr", 0.0, "train.lr: 0.0 is below 1e-08"),
    "a negative rate": knob("train.lr", -1e-3, "train.lr: -0.001 is below 1e-08"),
    "no layers": knob("model.depth", 0, "model.depth: 0 is below 1"),
    "too many layers": knob("model.depth", 1000, "model.depth: 1000 is above 256"),
    "all dropped": knob("model.dropout", 1.0, "model.dropout: 1.0 is not below 1.0"),
    "a memory that never fades": knob("train.beta2", 1.0, "train.beta2: 1.0 is not below 1.0"),
    "an average that never fades": knob("train.ema", 1.0, "train.ema: 1.0 is not below 1.0"),
    "axes that are never looked for": knob("train.precondition_frequency", 0, "train.precondition_frequency: 0 is below 1"),
    "epsilon of nothing": knob("train.epsilon", 0.0, "train.epsilon: 0.0 is not above 0.0"),
    "a percentage for a share": knob("train.warmup_ratio", 5.0, "train.warmup_ratio: 5.0 is above 1.0"),
    "a negative seed": knob("seed", -1, "seed: -1 is below 0"),
    "half of the text for validation": knob("prepare.validation_share", 0.5, "prepare.validation_share: 0.5 is not below 0.5"),
    "no share of the probability": knob("evaluate.top_p", 0.0, "evaluate.top_p: 0.0 is not above 0.0"),
    "fewer mistakes than none": knob("evaluate.worst_mistakes", -1, "evaluate.worst_mistakes: -1 is below 0"),
    "no neighbours": knob("evaluate.neighbours", 0, "evaluate.neighbours: 0 is below 1"),
    "a target spread wholly": knob("train.label_smoothing", 1.0, "train.label_smoothing: 1.0 is not below 1.0"),
    "a z-loss that drives away": knob("train.z_loss", -1e-4, "train.z_loss: -0.0001 is below 0.0"),
    "a batch cut in two ways": knob(
        "runtime.micro_batch_tokens",
        512,
        "runtime.micro_batch_tokens: 512 and train.accumulation_steps 2 both set the size of a micro-batch;"
        " use 0 here or 1 there",
        train__accumulation_steps=2,
        train__batch_size=16,
    ),
    "a micro-batch shorter than a sequence": knob(
        "runtime.micro_batch_tokens",
        100,
        "runtime.micro_batch_tokens: 100 is less than one sequence; use model.context_length 128 or more",
        model__context_length=128,
    ),
    "a checkpointing that is not there": knob(
        "runtime.activation_checkpointing",
        "blocks",
        "runtime.activation_checkpointing: there is no 'blocks'. Did you mean 'block'?"
        " Known: engine/block_execution.py:ACTIVATION_CHECKPOINTING",
    ),
    "an offload of what is kept elsewhere": knob(
        "runtime.offload_activations",
        True,
        "runtime.offload_activations: true is not supported with activation_checkpointing 'selective';"
        " use 'block' or 'none' there, or false here",
        runtime__activation_checkpointing="selective",
    ),
    "compiling now and then": knob(
        "runtime.compile", "sometimes", "runtime.compile: there is no 'sometimes'. Known: auto, true, false"
    ),
    "a shelf of batches": knob("runtime.prefetch", 100, "runtime.prefetch: 100 is above 64"),
    "a piece of less than nothing": knob("runtime.loss_chunk_size", -1, "runtime.loss_chunk_size: -1 is below 0"),
    "infinite": knob("train.grad_clip", float("inf"), "train.grad_clip: inf is not finite"),
    "no number at all": knob("train.weight_decay", float("nan"), "train.weight_decay: nan is not finite"),
    "fewer tokens than bytes": knob("tokenize.vocab_size", 100, "tokenize.vocab_size: 100 is below 257"),
    "no path": knob("prepare.path", "", "prepare.path: is empty"),
    "a base of waves below 1": knob("model.rotary_base", 0.5, "model.rotary_base: 0.5 is below 1.0"),
    "a cap below nothing": knob("model.attention_softcap", -1.0, "model.attention_softcap: -1.0 is below 0.0"),
    "every layer left out": knob("model.stochastic_depth", 1.0, "model.stochastic_depth: 1.0 is not below 1.0"),
    "a base of no width": knob("model.base_width", 0, "model.base_width: 0 is below 4"),
    # names
    "a slip in a name": knob(
        "model.activation",
        "gellu",
        "model.activation: there is no 'gellu'. Did you mean 'gelu'? Known: networks/activations.py:ACTIVATIONS",
    ),
    "a name like none": knob(
        "model.norm", "qqq", "model.norm: there is no 'qqq'. Known: networks/norms.py:NORMS+networks/image_norms.py:IMAGE_NORMS"
    ),
    "a name in capitals": knob(
        "model.residual", "PRE", "model.residual: there is no 'PRE'. Known: networks/residuals.py:RESIDUALS"
    ),
    "a data set that is not there": knob(
        "prepare.dataset",
        "shakespear",
        "prepare.dataset: there is no 'shakespear'. Did you mean 'shakespeare'?"
        " Known: corpus/sources/table.py:TEXTS+corpus/sources/table.py:LABELLED_TEXTS+corpus/sources/table.py:IMAGES",
    ),
    "a tokenizer that is not there": knob(
        "tokenize.kind",
        "chars",
        "tokenize.kind: there is no 'chars'. Did you mean 'char'? Known: tokenizers/table.py:TOKENIZERS",
    ),
    "an optimizer that is not there": knob(
        "train.optimizer",
        "adamww",
        "train.optimizer: there is no 'adamww'. Did you mean 'adamw'? Known: engine/optimizers/table.py:OPTIMIZERS",
    ),
    "a precision that is not there": knob(
        "train.precision",
        "bf16",
        "train.precision: there is no 'bf16'. Did you mean 'bfloat16'? Known: auto, float32, bfloat16, float16",
    ),
    "a device that is not there": knob(
        "runtime.device", "gpu", "runtime.device: there is no 'gpu'. Did you mean 'cpu'? Known: auto, cpu, cuda, mps"
    ),
    # knobs that do not fit each other
    "heads that do not divide": knob("model.heads", 5, "model.heads: 5 does not divide width 128; use 4", model__width=128),
    "a share of a head that rotates half a pair": knob(
        "model.rotary_share",
        0.1,
        "model.rotary_share: 0.1 rotates 3.2 of the 32 features of a head; use a share that gives an even number",
        model__position="rotary",
    ),
    "a share of a head below 0": knob("model.rotary_share", -0.5, "model.rotary_share: -0.5 is not above 0.0"),
    "an odd head under rotary positions": knob(
        "model.heads",
        4,
        "model.heads: 4 gives 5 features per head; rotary positions need an even number",
        model__width=20,
        model__position="rotary",
    ),
    "a window wider than the context": knob(
        "model.window",
        65,
        "model.window: 65 is above model.context_length; use at most 64",
        model__attention="window",
        model__context_length=64,
    ),
    "micro-batches that do not divide": knob(
        "train.accumulation_steps", 5, "train.accumulation_steps: 5 does not divide batch_size 12; use 4", train__batch_size=12
    ),
    "slots that do not divide": knob(
        "train.slots", 8, "train.slots: 8 does not divide batch_size 12; use 4 or less", train__batch_size=12
    ),
    "three slots": knob("train.slots", 3, "train.slots: 3 is not a power of two; use 2 or 4", train__batch_size=12),
    "no slots": knob("train.slots", 0, "train.slots: 0 is below 1"),
    "six processes": knob(
        "runtime.processes", 6, "runtime.processes: 6 is not a power of two; use 4 or 8", train__slots=8, train__batch_size=16
    ),
    "more processes than slots": knob(
        "runtime.processes",
        4,
        "runtime.processes: 4 is more than train.slots 2; use at most that, or train.slots 4 (which makes it another run)",
        train__slots=2,
        train__batch_size=16,
    ),
    "more than the whole training": knob(
        "train.cooldown_ratio",
        0.8,
        "train.cooldown_ratio: 0.8 and warmup_ratio 0.3 sum to more than 1, the whole training; use at most 0.7",
        train__warmup_ratio=0.3,
        train__schedule="trapezoid",
    ),
    "a cycle that has no climb to fall as long as": knob(
        "train.warmup_ratio",
        0.0,
        "train.warmup_ratio: 0.0 is not in 0 < warmup_ratio <= 0.5: one_cycle takes as long to decay as to warm up;"
        " use 0.3, for example",
        train__schedule="one_cycle",
    ),
    "a root of nothing": knob(
        "train.warmup_ratio",
        0.0,
        "train.warmup_ratio: 0.0 is too low: inverse_sqrt decays in units of its warm-up. Use more, such as 0.1",
        train__schedule="inverse_sqrt",
    ),
    "a climb before the climb": knob(
        "train.warmup_ratio",
        0.1,
        "train.warmup_ratio: 0.1 is not supported with exponential, which rises from min_lr_ratio itself; use 0",
        train__schedule="exponential",
        train__min_lr_ratio=1e-4,
    ),
    "a climb from nothing": knob(
        "train.min_lr_ratio",
        0.0,
        "train.min_lr_ratio: 0.0 is too low: exponential multiplies its way up from it. Use a small share, such as 1e-4",
        train__schedule="exponential",
    ),
    "a look ahead along no momentum": knob(
        "train.nesterov",
        True,
        "train.nesterov: true needs momentum above 0; set train.momentum, such as 0.9",
        train__optimizer="sgd",
        train__momentum=0.0,
    ),
    "an average that gradients know nothing of": knob(
        "train.beta1",
        0.0,
        "train.beta1: 0.0 is too low: schedule_free needs beta1 above 0, such as 0.9",
        train__optimizer="schedule_free",
    ),
    "an average of averages": knob(
        "train.ema",
        0.9,
        "train.ema: 0.9 is not supported with schedule_free, which averages the weights itself; use 0",
        train__optimizer="schedule_free",
    ),
    "8 bits for what is small already": knob(
        "train.state_8bit",
        True,
        "train.state_8bit: true is not supported with adafactor, whose state is already factored; use false",
        train__optimizer="adafactor",
    ),
    "a batch of nothing": knob("train.batch_start", 0.0, "train.batch_start: 0.0 is not above 0.0"),
    "sequences that start longer than they are": knob("train.length_start", 1.5, "train.length_start: 1.5 is above 1.0"),
    "a curriculum that is not there": knob(
        "train.curriculum",
        "easy",
        "train.curriculum: there is no 'easy'. Known: engine/curricula.py:CURRICULA",
    ),
    "a batch that keeps something else": knob(
        "train.length_keeps", "token", "train.length_keeps: there is no 'token'. Did you mean 'tokens'? Known: examples, tokens"
    ),
    "a likeness that everything has": knob(
        "prepare.dedup_threshold",
        0.1,
        "prepare.dedup_threshold: 0.1 is too low: unrelated texts reach that similarity. Use 0 (off) or at least 0.3",
    ),
    "a branch of the hub": knob(
        "prepare.revision",
        "main",
        "prepare.revision: 'main' is not a commit hash of 40 hexadecimal digits (a branch can change);"
        " the data set 'hub' needs one",
        prepare__dataset="hub",
        prepare__repository="owner/name",
    ),
    "sums of fewer digits than there are": knob(
        "prepare.min_digits", 5, "prepare.min_digits: 5 is above prepare.digits; use at most 3", prepare__digits=3
    ),
    # what is for another kind of task
    "a text for images": knob(
        "task.kind",
        "vision",
        "prepare.dataset: 'shakespeare' is not a data set for task.kind 'vision'. Known: corpus/sources/table.py:IMAGES",
    ),
    "images for a language model": knob(
        "prepare.dataset",
        "digits",
        "prepare.dataset: 'digits' is not a data set for task.kind 'language'. Known: corpus/sources/table.py:TEXTS",
    ),
    "a kind of task that is not there": knob(
        "task.kind", "visoin", "task.kind: there is no 'visoin'. Did you mean 'vision'? Known: tasks/table.py:TASKS"
    ),
    "a norm over the batch in a language model": knob(
        "model.norm",
        "batch",
        "model.norm: 'batch' normalizes over positions; use it with task.kind vision and model.network cnn or mlp",
    ),
    "batch norm in micro-batches": knob(
        "model.norm",
        "batch",
        "train.accumulation_steps: 2: model.norm 'batch' needs the whole batch in one forward pass; use 1",
        task__kind="vision",
        prepare__dataset="digits",
        train__accumulation_steps=2,
    ),
    "batch norm in slots": knob(
        "model.norm",
        "batch",
        "train.slots: 2: model.norm 'batch' needs the whole batch in one forward pass; use 1",
        task__kind="vision",
        prepare__dataset="digits",
        train__slots=2,
    ),
    "a language model that sees what it is to say": knob(
        "model.causal", False, "model.causal: false leaks the target to a language model; use auto or true"
    ),
    "a class that is a token": knob(
        "model.tie_embeddings",
        True,
        "model.tie_embeddings: true is for task.kind language only, whose outputs are tokens; use false",
        task__kind="vision",
        prepare__dataset="digits",
    ),
    "epochs of windows": knob(
        "train.sampling",
        "epochs",
        "train.sampling: 'epochs' is for task.kind classify or vision, not language; use 'with_replacement'",
    ),
    "windows of images": knob(
        "train.windows",
        "documents",
        "train.windows: 'documents' is for task.kind language, not vision; use 'anywhere'",
        task__kind="vision",
        prepare__dataset="digits",
    ),
    "a curriculum of images": knob(
        "train.curriculum",
        "easy_first",
        "train.curriculum: 'easy_first' is for task.kind language or classify, not vision; use 'none'",
        task__kind="vision",
        prepare__dataset="digits",
    ),
    "a place of its own on a map": knob(
        "model.pooling",
        "first",
        "model.pooling: 'first' is a class token, which a cnn does not have; use 'mean'",
        task__kind="vision",
        prepare__dataset="digits",
    ),
    "the pixels of texts": knob(
        "prepare.shuffled_pixels", True, "prepare.shuffled_pixels: true is for task.kind vision, not language; use false"
    ),
    "noise in labels that are not there": knob(
        "prepare.label_noise", 0.2, "prepare.label_noise: 0.2 is for task.kind classify or vision, not language; use 0"
    ),
    "examples of a text that goes on": knob(
        "prepare.max_examples", 100, "prepare.max_examples: 100 is for task.kind classify or vision, not language; use 0"
    ),
    "near-duplicates of images": knob(
        "prepare.dedup_threshold",
        0.8,
        "prepare.dedup_threshold: 0.8 is for task.kind language or classify, not vision; use 0",
        task__kind="vision",
        prepare__dataset="digits",
    ),
    "mirrored texts": knob("train.flip", True, "train.flip: true is for task.kind vision, not language; use false"),
    "epochs of growing batches": knob(
        "train.sampling",
        "epochs",
        "train.sampling: 'epochs' needs batches of one size; set train.batch_start to 1.0",
        train__batch_start=0.5,
    ),
    "nothing given that could stay as it is": knob(
        "train.freeze", True, "train.freeze: true needs pretrained weights: set train.init_from"
    ),
    "a first place that sees nothing": knob(
        "model.pooling",
        "first",
        "model.pooling: 'first' reads a position that sees no other under causal attention; use 'last'",
        model__causal=True,
    ),
    "a kernel without a middle": knob(
        "model.kernel_size", 4, "model.kernel_size: 4 is even; use an odd kernel size, such as 3 or 5"
    ),
    "a mixture of one": knob(
        "prepare.mixture", ["markov"], "prepare.mixture: ['markov'] is not two different data sets, such as [repeats, markov]"
    ),
    "a mixture of a thing with itself": knob(
        "prepare.mixture",
        ["markov", "markov"],
        "prepare.mixture: ['markov', 'markov'] is not two different data sets, such as [repeats, markov]",
    ),
    "a mixture within a mixture": knob(
        "prepare.mixture",
        ["markov", "mixture"],
        "prepare.mixture: ['markov', 'mixture']: a mixture cannot contain a mixture; use two other data sets",
    ),
    "a mixture that leaks": knob(
        "prepare.mixture",
        ["tinyshakespeare", "shakespeare"],
        "prepare.mixture: ['tinyshakespeare', 'shakespeare']: each trains on text that the other holds out;"
        " use other data sets",
    ),
    "a mixture with no address": knob(
        "prepare.url",
        "",
        "prepare.url: '' is not an http(s) address; the data set 'url' needs one",
        prepare__dataset="mixture",
        prepare__mixture=["url", "markov"],
    ),
    "more looking for sharpness than anybody waits for": knob(
        "probe.sharpness_iterations", 1001, "probe.sharpness_iterations: 1001 is above 1000"
    ),
    "no snapshots": knob("train.snapshots", [], "train.snapshots: is empty"),
    "snapshots that go back": knob("train.snapshots", [0.5, 0.1], "train.snapshots: [0.5, 0.1] is not increasing"),
    "no address": knob(
        "prepare.url",
        "example.txt",
        "prepare.url: 'example.txt' is not an http(s) address; the data set 'url' needs one",
        prepare__dataset="url",
        prepare__sha256="0" * 64,
    ),
    "a download of no known content": knob(
        "prepare.sha256",
        "",
        "prepare.sha256: is empty; the data set 'url' needs the file's SHA-256, so that everyone trains on the same bytes",
        prepare__dataset="url",
        prepare__url="https://example.org/text",
    ),
    "a checksum that is none": knob("prepare.sha256", "12ab", "prepare.sha256: '12ab' is not 64 hexadecimal digits"),
    "keys that heads cannot share": knob("model.kv_heads", 3, "model.kv_heads: 3 does not divide heads 4; use 2"),
    "keys that nobody compares": knob(
        "model.kv_heads",
        2,
        "model.kv_heads: 2 needs queries and keys; with attention 'average' use 0",
        model__attention="average",
    ),
    "a norm of what nobody compares": knob(
        "model.qk_norm",
        True,
        "model.qk_norm: true needs queries and keys; with attention 'average' use false",
        model__attention="average",
    ),
    "a way past a branch that there is not": knob(
        "model.stochastic_depth",
        0.2,
        "model.stochastic_depth: 0.2 skips branches, which needs a residual; with residual 'none' use 0",
        model__residual="none",
    ),
    "a tokenizer of somebody's, but whose": knob(
        "tokenize.path",
        "data/none",
        "tokenize.path: names no tokenizer; tokenize.kind 'file' needs a tokenizer.json or its folder",
        tokenize__kind="file",
    ),
    "a start from what training empties": knob(
        "train.init_from",
        "models/trained/good",
        "train.init_from: 'models/trained/good' is this stage's own output and is deleted when it starts. "
        "Copy the last run's model and name the copy: cp -r models/trained models/copy, then train.init_from=models/copy",
    ),
    "a start from the folder that older clones had the model in": knob(
        "train.init_from",
        "models/",
        "train.init_from: 'models' is the folder of all models; the last run's is models/trained. "
        "Copy the last run's model and name the copy: cp -r models/trained models/copy, then train.init_from=models/copy",
    ),
    "a teacher that training empties, by a way round": knob(
        "train.teacher",
        "data/../models/./trained/",
        "train.teacher: 'models/trained' is this stage's own output and is deleted when it starts. "
        "Copy the last run's model and name the copy: cp -r models/trained models/copy, then train.teacher=models/copy",
    ),
    # text that means something else to DVC, which passes all knobs through OmegaConf at every -S
    "a text that DVC would replace": knob(
        "probe.toy_text",
        "it is ${seed}",
        "probe.toy_text: 'it is ${seed}': DVC's -S replaces ${…} and refuses ???; use other text",
    ),
    "a text that DVC takes for none": knob(
        "evaluate.prompts",
        ["a", "???"],
        "evaluate.prompts.1: '???': DVC's -S replaces ${…} and refuses ???; use other text",
    ),
    # knobs that are not there, and several problems at once
    "a knob in no section": Wrong(("lr: there is no such knob. Did you mean 'train.lr'?",), {"lr": 0.1}),
    "a slip in a knob": Wrong(
        ("train.lrate: there is no such knob. Known: train.*", "train.lr: is missing; params.yaml must contain every knob"),
        {"train.lrate": 0.1, "train.lr": MISSING},
    ),
    "a section that is not there": Wrong(
        ("trian: there is no such knob. Did you mean 'train'? Known: *",),
        {"trian.lr": 0.1},
    ),
    "a knob that is missing": knob(
        "train.min_lr_ratio", MISSING, "train.min_lr_ratio: is missing; params.yaml must contain every knob"
    ),
    "a section without a knob": knob("train", {}, "train: has no knobs; `git checkout params.yaml` restores them"),
    "a section that is missing": knob("plot", MISSING, "plot: is missing; params.yaml must contain every knob"),
    "three at once": Wrong(
        ("seed: -3 is below 0", "model.depth: 'deep' is not a whole number", "train.lr: 1000.0 is above 100.0"),
        {"train.lr": 1000.0, "model.depth": "deep", "seed": -3},
    ),
    # files
    "an empty file": file("", "params.yaml: contains null, not sections of knobs"),
    "a list": file("- 1\n- 2\n", "params.yaml: contains [1, 2], not sections of knobs"),
    "no YAML": file("train: {lr: 1\n", "params.yaml, line 2: not YAML: expected ',' or '}', but got '<stream end>'"),
    "a tab": file("train:\n\tlr: 1\n", "params.yaml, line 2: not YAML: found character '\\t' that cannot start any token"),
    "a knob that stands twice": file("seed: 1\nseed: 2\n", "params.yaml, line 2: not YAML: duplicate key seed"),
    "a date that there is not": file("seed: 2026-13-45\n", "params.yaml: not YAML: month must be in 1..12"),
    "no text": file(
        b"\xff\xfe\x00", "params.yaml: not YAML: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"
    ),
    "a tag": file(
        "seed: !secret 1\n",
        "params.yaml, line 1: not YAML: could not determine a constructor for the tag '!secret'",
    ),
    # what costs more than it is long
    "deep nesting": file("x: " + "[" * 5000, "params.yaml, line 1: more than 64 levels of nesting"),
    "deep nesting by indentation": file(
        "".join(f"{' ' * depth}a:\n" for depth in range(90)), "params.yaml, line 64: more than 64 levels of nesting"
    ),
    "aliases of aliases": file(
        "a0: &a0 [1,2,3,4,5,6,7,8,9]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 6)),
        "params.yaml, line 6: more than 100,000 values after aliases are expanded",
    ),
    "an alias inside what it names": file("a: &a\n- 1\n- *a\n", "params.yaml, line 3: *a refers to a value that contains it"),
    "an alias of nothing": file("a: *b\n", "params.yaml, line 1: not YAML: found undefined alias 'b'"),
    "a number of 5,000 digits": file(
        "seed: 1" + "0" * 4999, "params.yaml, line 1: an integer of 5,000 digits; at most 100 are read"
    ),
    "a number of 5,000 hexadecimal digits": file(
        "seed: 0x" + "f" * 5000, "params.yaml, line 1: an integer of 5,002 digits; at most 100 are read"
    ),
    "a number that no float can hold": knob("train.lr", 10**99, f"train.lr: {str(10**99)[:57]}… is above 100.0"),
    "a truth that there is not": file("a: !!bool maybe\n", "params.yaml: not YAML: a value does not fit its tag"),
    "a moment that there is not": file("a: !!timestamp now\n", "params.yaml: not YAML: a value does not fit its tag"),
    "a file of five megabytes": file(b"#" * 5_000_000, "params.yaml: has 5,000,000 bytes; at most 4,194,304 are read"),
    "half of a character": knob(
        "prepare.text_column",
        "\ud800",
        "prepare.text_column: '\\ud800' is not text: it contains half of a surrogate pair",
    ),
    "a zero byte in a path": knob("prepare.path", "data\0own", "prepare.path: contains a zero byte; no path can"),
    "a zero byte in a folder": knob("train.init_from", "\0", "train.init_from: contains a zero byte; no path can"),
}
