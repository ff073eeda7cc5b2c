"""The section model of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.params.knobs import Section, divisor, format_value, problem
from pipeline.params.names import KnownName


class Model(Section):
    network: Annotated[str, KnownName("networks/images.py:NETWORKS")]
    depth: Annotated[int, Field(ge=1, le=256)]
    width: Annotated[int, Field(ge=4, le=16384)]
    patch_size: Annotated[int, Field(ge=1, le=64)]
    kernel_size: Annotated[int, Field(ge=1, le=31)]
    downsample: Annotated[str, KnownName("networks/convolution.py:DOWNSAMPLES")]
    pooling: Annotated[str, KnownName("networks/pooling.py:POOLINGS")]
    causal: Literal["auto", True, False]
    heads: Annotated[int, Field(ge=1, le=1024)]
    kv_heads: Annotated[int, Field(ge=0, le=1024)]
    context_length: Annotated[int, Field(ge=2, le=65536)]
    mlp_ratio: Annotated[float, Field(ge=0.25, le=16)]
    activation: Annotated[str, KnownName("networks/activations.py:ACTIVATIONS")]
    norm: Annotated[str, KnownName("networks/norms.py:NORMS", "networks/image_norms.py:IMAGE_NORMS")]
    embedding_mixer: Annotated[str, KnownName("networks/mixers.py:MIXERS")]
    ngram_table_size: Annotated[int, Field(ge=64, le=2**24)]
    position: Annotated[str, KnownName("networks/positions.py:POSITIONS")]
    rotary_base: Annotated[float, Field(ge=1, le=1e9)]
    rotary_share: Annotated[float, Field(gt=0, le=1)]
    attention: Annotated[str, KnownName("networks/attention.py:ATTENTIONS")]
    window: Annotated[int, Field(ge=1)]
    qk_norm: bool
    attention_softcap: Annotated[float, Field(ge=0, le=1e6)]
    residual: Annotated[str, KnownName("networks/residuals.py:RESIDUALS")]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    stochastic_depth: Annotated[float, Field(ge=0, lt=1)]
    dropout_schedule: Annotated[str, KnownName("networks/dropout.py:DROPOUT_SCHEDULES")]
    init: Annotated[str, KnownName("networks/inits.py:INITS")]
    base_width: Annotated[int, Field(ge=4, le=16384)]
    bias: bool
    tie_embeddings: bool

    @property
    def rotated_features(self) -> int:
        """The features of a head that rotary positions rotate."""
        return round(self.rotary_share * (self.width // self.heads))

    @model_validator(mode="after")
    def sizes_fit(self) -> Model:
        if self.width % self.heads:
            raise problem("heads", f"{self.heads} does not divide width {self.width}; use {divisor(self.width, self.heads)}")
        if self.position == "rotary" and self.width // self.heads % 2:
            raise problem(
                "heads",
                f"{self.heads} gives {self.width // self.heads} features per head; rotary positions need an even number",
            )
        share = self.rotary_share * (self.width // self.heads)
        if self.position == "rotary" and (abs(share - round(share)) > 1e-6 or round(share) < 2 or round(share) % 2):
            raise problem(
                "rotary_share",
                f"{self.rotary_share} rotates {share:g} of the {self.width // self.heads} features of a head; use a share that"
                " gives an even number",
            )
        if self.kv_heads and self.heads % self.kv_heads:
            raise problem(
                "kv_heads", f"{self.kv_heads} does not divide heads {self.heads}; use {divisor(self.heads, self.kv_heads)}"
            )
        if (size := self.kernel_size) % 2 == 0:
            raise problem("kernel_size", f"{size} is even; use an odd kernel size, such as {size - 1} or {size + 1}")
        if self.attention == "window" and self.window > self.context_length:
            raise problem("window", f"{self.window} is above model.context_length; use at most {self.context_length}")
        return self

    @model_validator(mode="after")
    def knobs_have_an_effect(self) -> Model:
        for knob, off in (("kv_heads", 0), ("qk_norm", False), ("attention_softcap", 0)):
            if self.attention == "average" and (value := getattr(self, knob)) != off:
                raise problem(
                    knob, f"{format_value(value)} needs queries and keys; with attention 'average' use {format_value(off)}"
                )
        if self.causal is True and self.pooling == "first":
            raise problem("pooling", "'first' reads a position that sees no other under causal attention; use 'last'")
        if self.residual == "none" and self.stochastic_depth:
            raise problem(
                "stochastic_depth",
                f"{self.stochastic_depth} skips branches, which needs a residual; with residual 'none' use 0",
            )
        return self
