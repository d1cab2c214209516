"""What a stage holds in memory, term by term, from an encoder's shape alone.

A forward pass of LoRA training under autocast keeps, for every layer and token, what the backward
pass will read. Counted with torch's `saved_tensors_hooks` (torch 2.13, transformers 5.23, peft
0.21, bitsandbytes 0.50; a processor, LoRA on all six linear layers with dropout), in bytes a token,
with H the hidden and I the inner width:

    | kept                                          | bf16      | float32   |
    | inputs of two layer norms, float32            | 8 H       | 8 H       |
    | masks of two hidden dropouts                  | 4 H       | 8 H       |
    | queries, keys, values, float32                | 12 H      | 12 H      |
    | LoRA: masks of its dropout                    | 20 H, 4 I | 20 H, 4 I |
    | LoRA: its inputs after dropout                | 10 H, 2 I | 20 H, 4 I |
    | the activation function's input               | 2 I       | 4 I       |
    | 4bit, bf16: masks and inputs in float32       | 2 H, 2 I  |           |

A processor has no fused attention with dropout: each head keeps three float32 tables of scores
(softmax, mask, product), 12 bytes a pair of tokens. On a GPU attention is fused and keeps none,
masks take one byte, queries, keys and values two; these rows are derived, not measured.

`none` under autocast also keeps a half-precision copy of each frozen weight, for the gradient of
its input.

What was freed between kept tensors the allocator seldom gives back: see `HOLES`, the one measured
factor. All sizes are MB of 2^20 bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from lowres.hardware import Precision
from lowres.shapes import Linear, Shape

MB: Final = 2.0**20
Quantization = Literal["8bit", "4bit", "none"]

KEPT: Final[Mapping[tuple[str, bool], tuple[int, int]]] = {
    ("none", True): (54, 8),
    ("8bit", True): (54, 8),
    ("4bit", True): (56, 10),
    ("none", False): (68, 12),
    ("8bit", False): (68, 12),
    ("4bit", False): (68, 12),
}
"""Bytes a token and layer that a processor keeps: (of H, of I), by quantisation and whether in half
precision; the table above, summed."""
KEPT_GPU: Final[Mapping[str, tuple[int, int]]] = {
    "none": (33, 5),
    "8bit": (33, 5),
    "4bit": (35, 7),
}
"""The same on a GPU in half precision; in float32 twice that."""
LORA_MASKS: Final = (20, 4)
"""Of `KEPT`, what LoRA's dropout takes: nothing without it."""
HOLES: Final[Mapping[tuple[str, bool], tuple[float, float, float]]] = {
    ("none", True): (0.6, 0.0, 0.7),
    ("8bit", True): (28.0, 0.0, 1.9),
    ("4bit", True): (43.5, 0.0, 0.0),
    ("none", False): (85.0, 6.5, 0.0),
    ("8bit", False): (85.0, 6.5, 0.0),
    ("4bit", False): (85.0, 10.7, 0.0),
}
"""Bytes a token and layer, as in `KEPT`, and bytes a weight of the layer, of what a forward pass
makes and lets go (copies in another type, products before they are added): on a processor glibc's
heap keeps these holes between what stays. Measured: the peak of training steps less what `KEPT`
says. In bf16 they are chosen over the runs without checkpointing of benchmarks/plan_accuracy.py
and plan_held_out.py; `plan_fit.py` says how well each of those is foretold by the
others. In float32 they are of one shape."""
GPU_HOLES: Final = 0.15
"""On a GPU, of the activations: torch's allocator reuses blocks of equal size."""
READ: Final[Mapping[tuple[str, bool], tuple[float, float]]] = {
    ("none", True): (31.0, 18.0),
    ("8bit", True): (54.0, 74.0),
    ("4bit", True): (34.0, 31.0),
    ("none", False): (40.0, 24.0),
    ("8bit", False): (80.0, 45.0),
    ("4bit", False): (50.0, 28.0),
}
"""Bytes a token, of H and of I, that a forward pass without gradients has at once on a processor.
8bit: bitsandbytes multiplies there in float32, with four copies of a layer's output."""
READ_GPU: Final = (16.0, 8.0)
PIECE_BYTES: Final = 1_670
"""Of a fast tokenizer in memory, a piece of its vocabulary: 398 MB for the 250,002 of XLM-R. The 80
more while it is written beside the adapter are taken once the activations are let go."""
BLOCK_LOGITS: Final = 2**21
"""Logits of a masked-LM head that exist at one time."""
BLOCK_ROWS: Final = (1024, 16_384)
"""Rows of the vocabulary in such a block: at least and at most."""
FAULT_BYTES: Final = 65_536
"""What Linux maps around the first touch of a page (`fault_around_bytes`)."""
CHECKPOINT_HOLES: Final = 0.8
"""With gradient checkpointing, the share of `HOLES` that stays behind a layer's first pass."""


@dataclass(frozen=True)
class Setting:
    """A base as a recipe has it on a device."""

    shape: Shape
    quantization: Quantization
    device: str
    """cuda or cpu."""
    precision: Precision
    rank: int = 16
    dropout: bool = True
    dora: bool = False
    lora: tuple[str, ...] | None = None
    """Ends of the paths that LoRA is on; None: every linear layer of the blocks."""
    head: int = 0
    """Parameters of the task's head."""
    new_rows: int = 0
    """Of the vocabulary's extension."""
    rows_train: bool = False
    checkpointing: bool = False
    top: int | None = None
    """How many of the highest layers LoRA is on; None: all of them."""
    table_rows: int | None = None
    """Of the embeddings, where they are trimmed."""
    pieces_seen: int | None = None
    """Different pieces that the text has; None: unknown."""
    own: int = 0
    """Weights of the base that train themselves, without LoRA."""

    @property
    def half(self) -> bool:
        """Whether products are in half precision."""
        return self.precision != "fp32"

    @property
    def layers(self) -> int:
        """Of the encoder, those that a step keeps something of: what lies below all LoRA is
        computed without gradients."""
        layers = self.shape.layers
        return layers if self.top is None else min(self.top, layers)

    @property
    def float_bytes(self) -> int:
        """Of a weight that stays float: see `model.float_type`."""
        return 2 if self.device == "cuda" and self.quantization != "none" and self.half else 4


def head_parameters(shape: Shape, sequence: bool, labels: int) -> int:
    """Of a task head: one linear layer for tags, two for a label a text."""
    dense = shape.hidden * (shape.hidden + 1) if sequence or shape.architecture in _DEEP else 0
    return dense + (shape.hidden + 1) * labels


_DEEP: Final = ("modernbert",)
"""Heads with a dense layer for tags too."""


def weights(setting: Setting) -> float:
    """Frozen weights: int8 rows with a float32 scale each, linear layers of one byte or of half a
    byte and a bit of scale (NF4, double quantisation), the rest in float.

    A float table on a processor stays mapped from its file unless it is trimmed, and takes memory
    around the rows that are looked up alone; linear layers are read whole.
    """
    shape = setting.shape
    width = shape.table_width or shape.hidden
    rows = shape.vocabulary if setting.table_rows is None else setting.table_rows
    blocks = shape.distinct_layers * shape.block
    if setting.quantization == "none":
        table = 4 * rows * width
        mapped = setting.device == "cpu" and setting.table_rows is None
        if mapped and setting.pieces_seen is not None:
            table = min(table, setting.pieces_seen * max(FAULT_BYTES, 4 * width))
        return (table + 4 * (blocks + shape.small)) / MB
    a_weight = 1.0 if setting.quantization == "8bit" else 0.53
    scales = 4 * shape.distinct_layers * sum(linear.outputs for linear in shape.linears)
    small = setting.float_bytes * shape.small
    return (rows * (width + 4) + a_weight * blocks + scales + small) / MB


def adapted(setting: Setting) -> tuple[Linear, ...]:
    """The linear layers of a block that LoRA is on."""
    return tuple(
        linear
        for linear in setting.shape.linears
        if setting.lora is None
        or any(linear.name.endswith(end) or end.endswith(linear.name) for end in setting.lora)
    )


def trained(setting: Setting) -> float:
    """LoRA and head: float32 weight, gradient and AdamW's two moments; peft holds the head's first
    state beside the one it trains. Of weights of the base all but the weight."""
    lora = sum(
        setting.rank * (linear.inputs + linear.outputs) + setting.dora * linear.outputs
        for linear in adapted(setting)
    )
    layers = min(setting.layers, setting.shape.distinct_layers)
    return (16 * (layers * lora + setting.head) + 4 * setting.head + 12 * setting.own) / MB


def own_weights(shape: Shape, frozen_layers: int, embeddings: bool) -> int:
    """Of a base whose own weights train: above the frozen layers, with the table or without."""
    blocks = max(0, shape.distinct_layers - frozen_layers) * shape.block
    if frozen_layers or not embeddings:
        return blocks
    return blocks + shape.small + shape.vocabulary * (shape.table_width or shape.hidden)


def rows(setting: Setting) -> float:
    """New rows of the embeddings; where they train, with gradient and moments. Their gradient is
    dense: as large as all of them."""
    each = 16 if setting.rows_train else 4
    return each * setting.new_rows * (setting.shape.table_width or setting.shape.hidden) / MB


def tokenizer(pieces: int) -> float:
    """A fast tokenizer, in the memory of the process."""
    return PIECE_BYTES * pieces / MB


def _a_token(setting: Setting, of: tuple[float, float]) -> float:
    """Bytes a token and layer, of (H, I)."""
    shape = setting.shape
    inner = shape.inner * (2 if shape.gated else 1)
    return of[0] * shape.hidden + of[1] * inner


def kept(setting: Setting, windows: int, tokens: int) -> float:
    """What one layer keeps of `windows` of `tokens` for the backward pass."""
    gpu = setting.device == "cuda"
    if gpu:
        of = KEPT_GPU[setting.quantization]
        scale = 1 if setting.half else 2
        masks = (LORA_MASKS[0] / 4, LORA_MASKS[1] / 4)
    else:
        of, scale, masks = KEPT[setting.quantization, setting.half], 1, LORA_MASKS
    if not setting.dropout:
        of = (of[0] - int(masks[0]), of[1] - int(masks[1]))
    each = scale * _a_token(setting, of)
    each += len(adapted(setting)) * setting.rank * (2 if setting.half else 4)
    return windows * tokens * (each + _scores(setting, tokens)) / MB


def _scores(setting: Setting, tokens: int) -> float:
    """Bytes of attention scores a token."""
    shape = setting.shape
    if shape.eager:
        # DeBERTa adds two tables by relative position, and softmax keeps its answer
        return (20 if setting.half else 28) * shape.heads * tokens
    fused = setting.device == "cuda" or not shape.attention_dropout
    return 0 if fused else 12 * shape.heads * tokens


def _holes(setting: Setting, windows: int, tokens: int) -> float:
    """What one layer lets go that is not given back."""
    if setting.device == "cuda":
        return GPU_HOLES * kept(setting, windows, tokens)
    *a_token, a_weight = HOLES[setting.quantization, setting.half]
    by_tokens = windows * tokens * _a_token(setting, (a_token[0], a_token[1]))
    return (by_tokens + a_weight * setting.shape.block) / MB


def activations(setting: Setting, windows: int, tokens: int) -> float:
    """All that a step keeps of a micro-batch, holes included.

    Args:
        setting: base and device.
        windows: of a micro-batch.
        tokens: of its longest window, which the others are padded to.
    """
    layers = setting.layers
    a_layer = kept(setting, windows, tokens)
    holes = _holes(setting, windows, tokens)
    if not setting.checkpointing:
        return layers * (a_layer + holes)
    inputs = (4.0, 0.0)  # of a layer, float32
    stays = windows * tokens * _a_token(setting, inputs) / MB
    return layers * (stays + CHECKPOINT_HOLES * holes) + a_layer + holes


def copies(setting: Setting) -> float:
    """Frozen weights once more in half precision (`none` under autocast): those under LoRA are
    held so (`lora.halve_frozen`), others by the graph, of one layer with checkpointing."""
    if setting.quantization != "none" or not setting.half:
        return 0.0
    layers = 1 if setting.checkpointing and not halved(setting) else setting.layers
    return 2 * layers * setting.shape.block / MB


def halved(setting: Setting) -> bool:
    """Whether the frozen weights under LoRA are held in half precision."""
    plain = setting.quantization == "none" and setting.half
    return plain and setting.lora != () and not setting.dora


def scratch(setting: Setting, windows: int, tokens: int) -> float:
    """A step's largest operation: the widest layer's weight in float, and its gradient's four
    float32 copies of the inner activations."""
    shape = setting.shape
    widest = max(linear.inputs * linear.outputs for linear in shape.linears)
    gradients = 16 * windows * tokens * shape.inner if setting.checkpointing else 0
    return (4 * widest + gradients) / MB


def reading(setting: Setting, tokens: int, longest: int) -> float:
    """What a forward pass without gradients has at once, for `tokens` in all."""
    of = READ_GPU if setting.device == "cuda" else READ[setting.quantization, setting.half]
    shape = setting.shape
    widest = max(linear.inputs * linear.outputs for linear in shape.linears)
    scores = 4 * shape.heads * longest if shape.eager else 0
    return (tokens * (_a_token(setting, of) + scores) + 4 * widest) / MB


def block_rows(positions: int) -> int:
    """Rows of the vocabulary that a masked-LM head works on at once, for so many positions: it
    takes them in float, so that few positions do not mean the whole table."""
    least, most = BLOCK_ROWS
    return min(most, max(least, BLOCK_LOGITS // max(1, positions)))


def masked_lm(setting: Setting, positions: int) -> tuple[float, float]:
    """(kept, at once) by a masked-LM head at so many positions: for the backward pass, and while
    the vocabulary passes block by block. Counted in `objectives/_vocabulary.py`, with W the width
    of the table: kept are its transform's inputs (float32 ones of the layer norm, half ones of the
    activation), the state, its gradient to be, and the shares of the new rows, which are no
    block."""
    shape, half = setting.shape, setting.half
    width, new = shape.table_width or shape.hidden, setting.new_rows
    kept = positions * ((14 if half else 16) * width + 4 * new)
    kept += (2 if half else 0) * shape.hidden * width
    # an int8 row comes as float32 and is then rounded, a float one is rounded alone
    a_number = (0 if setting.quantization == "none" else 4) + (2 if half else 0)
    rows = block_rows(positions)
    logits = (8 if half else 4) * positions * rows
    of_new = positions * new * (4 if half else 0)
    at_once = max(a_number * rows * width + logits, of_new) + 10 * positions * width
    return kept / MB, at_once / MB
