"""The section model of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.params.knobs import Section, problem, shown
from pipeline.params.names import known_name


class Model(Section):
    network: Annotated[str, known_name("networks/images.py:NETWORKS")]
    depth: Annotated[int, Field(ge=1, le=256)]
    width: Annotated[int, Field(ge=4, le=16384)]
    patch_size: Annotated[int, Field(ge=1, le=64)]
    kernel_size: Annotated[int, Field(ge=1, le=31)]
    downsample: Annotated[str, known_name("networks/convolution.py:DOWNSAMPLES")]
    pooling: Annotated[str, known_name("networks/pooling.py:POOLINGS")]
    causal: Literal["auto", True, False]
    heads: Annotated[int, Field(ge=1, le=1024)]
    kv_heads: Annotated[int, Field(ge=0, le=1024)]
    context_length: Annotated[int, Field(ge=2, le=65536)]
    mlp_ratio: Annotated[float, Field(ge=0.25, le=16)]
    activation: Annotated[str, known_name("networks/activations.py:ACTIVATIONS")]
    norm: Annotated[str, known_name("networks/norms.py:NORMS", "networks/image_norms.py:IMAGE_NORMS")]
    embedding_mixer: Annotated[str, known_name("networks/mixers.py:MIXERS")]
    ngram_table_size: Annotated[int, Field(ge=64, le=2**24)]
    position: Annotated[str, known_name("networks/positions.py:POSITIONS")]
    rotary_base: Annotated[float, Field(ge=1, le=1e9)]
    attention: Annotated[str, known_name("networks/attention.py:ATTENTIONS")]
    window: Annotated[int, Field(ge=1)]
    qk_norm: bool
    attention_softcap: Annotated[float, Field(ge=0, le=1e6)]
    residual: Annotated[str, known_name("networks/residuals.py:RESIDUALS")]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    stochastic_depth: Annotated[float, Field(ge=0, lt=1)]
    dropout_schedule: Annotated[str, known_name("networks/dropout.py:DROPOUT_SCHEDULES")]
    init: Annotated[str, known_name("networks/inits.py:INITS")]
    base_width: Annotated[int, Field(ge=4, le=16384)]
    bias: bool
    tie_embeddings: bool

    @model_validator(mode="after")
    def sizes_fit(self) -> Model:
        if self.width % self.heads:
            raise problem("heads", f"{self.heads} does not divide width {self.width}")
        if self.position == "rotary" and self.width // self.heads % 2:
            raise problem(
                "heads", f"{self.heads} leaves {self.width // self.heads} features a head; rotary positions need an even number"
            )
        if self.kv_heads and self.heads % self.kv_heads:
            raise problem("kv_heads", f"{self.kv_heads} does not divide heads {self.heads}")
        if self.kernel_size % 2 == 0:
            raise problem("kernel_size", f"{self.kernel_size} is even, and has no middle; an odd one would do")
        if self.attention == "window" and self.window > self.context_length:
            raise problem("window", f"{self.window} is more than context_length {self.context_length}")
        return self

    @model_validator(mode="after")
    def knobs_have_something_to_turn(self) -> Model:
        for knob, off in (("kv_heads", 0), ("qk_norm", False), ("attention_softcap", 0)):
            if self.attention == "average" and getattr(self, knob) != off:
                raise problem(knob, f"average attention compares no queries with keys; it goes with {shown(off)} alone")
        if self.causal is True and self.pooling == "first":
            raise problem("pooling", "'first' sees nothing where each position sees only those before it; 'last' would do")
        if self.residual == "none" and self.stochastic_depth:
            raise problem("stochastic_depth", "without a residual there is no way past a branch; it goes with 0 alone")
        return self
