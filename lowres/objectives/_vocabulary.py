"""The masked-LM head of a base over its frozen table and the new rows, at chosen positions only.

The logits of a batch, [positions, vocabulary] in float32, are what fills memory when an encoder
with 250,000 pieces learns. Here they never exist as a whole: the vocabulary is passed in blocks,
and the gradient is gathered on the way with the running maximum of Milakov and Gimelshein 2018
(arXiv:1805.02867), as attention kernels do (Dao et al. 2022, arXiv:2205.14135): the gradient of a
log-sum-exp by the hidden state is the mean of the rows under the softmax, which is attention.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers.modeling_outputs import BaseModelOutput

from lowres import int8
from lowres.errors import BaseModelError
from lowres.footprint import block_rows
from lowres.int8 import Int8Decoder, Table
from lowres.rows import ExtendedEmbedding


class Head:
    """Hidden states to logits or losses over the base's pieces and the new ones.

    Ids below `known` are rows of the base's table; the new rows follow. Rows of the table from
    `known` on belong to no piece (e5-small has 35) and take no part. New pieces have the bias 0,
    fixed: the adapter holds no head, so a bias that trained would be lost when it is saved and the
    figures would be of another model than what comes out; how frequent a piece is its row can say.
    """

    def __init__(self, full: Any, extended: ExtendedEmbedding | None, pieces: int) -> None:
        """Raises `BaseModelError` for a head whose decoder cannot take new rows.

        Args:
            full: the masked-LM model; its head is frozen, else it stays as it is.
            extended: its new rows.
            pieces: how many the tokenizer has, for a base without new rows.
        """
        decoder = full.get_output_embeddings()
        name = type(full).__name__
        if not isinstance(decoder, (nn.Linear, Int8Decoder)):
            raise BaseModelError(
                f"adapt.objective: the masked-LM head of {name} has no linear decoder; set "
                "adapt.objective: align"
            )
        self.table = int8.table_of(decoder)
        self.bias = None if decoder.bias is None else decoder.bias.detach()
        self.rows = self.table.at(slice(0, 0))
        self.known = min(pieces, len(self.table))
        if extended is not None:
            if not _tied(decoder, extended):
                raise BaseModelError(
                    f"adapt.objective: the decoder of {name} is not tied to its embeddings, so "
                    "new pieces have no output rows; set adapt.objective: align, or leave "
                    "tokenizer.extend out"
                )
            self.rows, self.known = extended.rows, extended.first_id
        self._transform = _without(full, decoder)
        for parameter in self._transform.parameters():
            parameter.requires_grad_(False)

    def transformed(self, states: torch.Tensor) -> torch.Tensor:
        """[positions, hidden] through the base's own head up to its decoder, [positions, width]."""
        # not by its call: that is the hook of the whole model where a library has set one
        forward = type(self._transform).forward
        out: torch.Tensor = forward(self._transform, inputs_embeds=states.unsqueeze(0)).logits
        return out.squeeze(0)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """[positions, hidden] to [positions, known + new] float32, all at once."""
        states = self.transformed(states)
        old = functional.linear(states, self.table.at(slice(0, self.known)).to(states.dtype))
        new = functional.linear(states, self.rows.to(states.dtype))
        if self.bias is not None:
            old = old + self.bias[: self.known]
        return torch.cat([old.float(), new.float()], dim=1)

    def losses(self, states: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
        """-ln p of each answer, [positions] float32.

        Args:
            states: last hidden states at the masked positions, [positions, hidden].
            answers: ids, [positions].
        """
        states = self.transformed(states)
        device = states.device.type
        kind = self.table.dtype
        if torch.is_autocast_enabled(device):
            kind = torch.get_autocast_dtype(device)
        bias = None if self.bias is None else self.bias[: self.known]
        table = self.table.first(self.known)
        training = torch.is_grad_enabled() and (states.requires_grad or self.rows.requires_grad)
        losses: torch.Tensor = _Losses.apply(
            states, self.rows, table, bias, answers, kind, training
        )
        return losses


def _tied(decoder: Any, extended: ExtendedEmbedding) -> bool:
    """Whether the decoder's rows are the input embeddings."""
    if isinstance(decoder, Int8Decoder):
        return decoder.embedding is extended.base
    same: bool = extended.weight.data_ptr() == decoder.weight.data_ptr()
    return same


class _Encoder(nn.Module):
    """Takes the encoder's place and gives what it is given."""

    def forward(self, *args: Any, inputs_embeds: Any = None, **known: Any) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=inputs_embeds)


def _without(full: Any, decoder: nn.Module) -> Any:
    """A copy of a masked-LM model that shares its head and has neither encoder nor decoder.

    Every architecture's own forward pass is then the transform of its head.
    """
    path = next(path for path, module in full.named_modules() if module is decoder)
    bare = _replaced(full, full.base_model_prefix.split("."), _Encoder())
    return _replaced(bare, path.split("."), nn.Identity())


def _replaced(module: Any, path: list[str], new: nn.Module) -> Any:
    """A shallow copy of a module with one of the modules inside it exchanged."""
    shallow = copy.copy(module)
    inside = new if len(path) == 1 else _replaced(module._modules[path[0]], path[1:], new)
    shallow._modules = {**module._modules, path[0]: inside}
    return shallow


class _Losses(torch.autograd.Function):
    """Cross-entropies over a frozen table and trainable rows, block by block."""

    @staticmethod
    def forward(
        ctx: Any,
        states: torch.Tensor,
        rows: torch.Tensor,
        table: Table,
        bias: torch.Tensor | None,
        answers: torch.Tensor,
        kind: torch.dtype,
        training: bool,
    ) -> torch.Tensor:
        """-ln p, [positions] float32; products in `kind`, all else in float32."""
        with torch.autocast(states.device.type, enabled=False):
            sweep = _Sweep(states.detach().to(kind), answers, training)
            size = block_rows(len(states))
            for start in range(0, len(table), size):
                block = table.at(slice(start, min(start + size, len(table))))
                some = None if bias is None else bias[start : start + size]
                sweep.add(block, some, start)
            shares = states.new_zeros(len(states), 0)
            if len(rows):
                shares = sweep.add(rows.detach(), None, len(table))
            if training:
                assert sweep.mixed is not None
                own = _own_rows(table, rows, answers)
                ctx.away = sweep.mixed.div_(sweep.total.unsqueeze(1)).sub_(own)
                ctx.shares = shares.float().div_(sweep.total.unsqueeze(1))
                ctx.save_for_backward(states, answers)
                ctx.first = len(table)
        return sweep.top + sweep.total.log() - sweep.picked

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        """Gradients by states and rows; the table is frozen."""
        states, answers = ctx.saved_tensors
        grad = grads[0].float().unsqueeze(1)
        by_states = (ctx.away * grad).to(states.dtype) if ctx.needs_input_grad[0] else None
        by_rows = None
        if ctx.needs_input_grad[1]:
            weighted = states.float() * grad
            by_rows = ctx.shares.T @ weighted
            new = answers >= ctx.first
            weighted = weighted.masked_fill(~new.unsqueeze(1), 0.0)
            by_rows.index_add_(0, (answers - ctx.first).clamp(min=0), weighted, alpha=-1)
        return by_states, by_rows, None, None, None, None, None


def _own_rows(table: Table, rows: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """The row of each answer, [positions, width] float32."""
    own = table.at(answers.clamp(max=len(table) - 1)).float()
    if not len(rows):
        return own
    new = rows.detach()[(answers - len(table)).clamp(min=0)].float()
    return torch.where((answers >= len(table)).unsqueeze(1), new, own)


class _Sweep:
    """A softmax over blocks of rows, of which only sums are kept."""

    def __init__(self, states: torch.Tensor, answers: torch.Tensor, training: bool) -> None:
        positions, width = states.shape
        self.states = states
        self.answers = answers
        sums = torch.zeros(positions, dtype=torch.float32, device=states.device)
        self.top = sums - torch.inf
        """The highest logit so far."""
        self.total = sums.clone()
        """Sum of e^(logit - top)."""
        self.picked = sums
        """The answer's logit, once its block has come."""
        self.mixed = sums.new_zeros(positions, width) if training else None
        """Sum of the rows, each by e^(logit - top)."""

    def add(self, block: torch.Tensor, bias: torch.Tensor | None, start: int) -> torch.Tensor:
        """A block of rows, the first one's id `start`; returns e^(logit - top)."""
        block = block.to(self.states.dtype)
        logits = (self.states @ block.T).float()
        if bias is not None:
            logits += bias.float()
        # not by their places, whose number a GPU would have to be asked for at every block
        inside = (self.answers >= start) & (self.answers < start + len(block))
        at = (self.answers - start).clamp(0, len(block) - 1)
        own = logits.gather(1, at.unsqueeze(1)).squeeze(1)
        self.picked = torch.where(inside, own, self.picked)
        top = torch.maximum(self.top, logits.amax(dim=1))
        shrink = (self.top - top).exp_()
        shares = logits.sub_(top.unsqueeze(1)).exp_()
        self.total.mul_(shrink).add_(shares.sum(dim=1))
        if self.mixed is not None:
            self.mixed.mul_(shrink.unsqueeze(1)).add_(shares.to(block.dtype) @ block)
        self.top = top
        return shares
