"""The sections evaluate, probe, plot and runtime of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.params.knobs import Folder, PowerOfTwo, Section, problem
from pipeline.params.names import KnownName


class Evaluate(Section):
    ngram_order: Annotated[int, Field(ge=1, le=8)]
    sample_tokens: Annotated[int, Field(ge=1, le=100_000)]
    temperatures: list[Annotated[float, Field(ge=0, le=100)]]
    prompts: list[Annotated[str, Field(min_length=1)]]
    top_k: Annotated[int, Field(ge=0)]
    top_p: Annotated[float, Field(gt=0, le=1)]
    worst_mistakes: Annotated[int, Field(ge=0, le=1000)]
    neighbours: Annotated[int, Field(ge=1, le=1000)]


class Probe(Section):
    sequences: Annotated[int, Field(ge=1, le=4096)]
    toy_text: Annotated[str, Field(min_length=1)]
    sharpness_iterations: Annotated[int, Field(ge=0, le=1000)]


class Plan(Section):
    path: Folder


class Plot(Section):
    dpi: Annotated[int, Field(ge=50, le=600)]


class Runtime(Section):
    device: Literal["auto", "cpu", "cuda", "mps"]
    threads: Annotated[int, Field(ge=0, le=1024)]
    processes: PowerOfTwo
    shard: bool
    attention: Literal["auto", "sdpa", "eager"]
    workers: Annotated[int, Field(ge=0, le=1024)]
    micro_batch_tokens: Annotated[int, Field(ge=0)]
    loss_chunk_size: Annotated[int, Field(ge=0)]
    activation_checkpointing: Annotated[str, KnownName("engine/block_execution.py:ACTIVATION_CHECKPOINTING")]
    offload_activations: bool
    offload_optimizer: bool
    compile: Literal["auto", True, False]
    prefetch: Annotated[int, Field(ge=0, le=64)]
    checkpoint_seconds: Annotated[float, Field(gt=0)]
    progress: Literal["auto", "bar", "lines", "none"]

    @model_validator(mode="after")
    def savings_fit(self) -> Runtime:
        if self.offload_activations and self.activation_checkpointing == "selective":
            raise problem(
                "offload_activations",
                "true is not supported with activation_checkpointing 'selective'; use 'block' or 'none' there, or false here",
            )
        return self
