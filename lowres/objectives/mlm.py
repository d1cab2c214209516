"""Masked language modelling on raw text: guess the tokens that are hidden (Devlin et al. 2019).

For bases with a masked-LM head, which stays frozen; LoRA and the new rows learn. Logits are made
at the hidden tokens alone, see `_vocabulary.py`; what is hidden, see `_masking.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from lowres import inference
from lowres.objectives import Figure, Job, encoder_of
from lowres.objectives._masking import Masking, vocabulary_size
from lowres.objectives._spelling import Held, held_lines
from lowres.objectives._vocabulary import Head
from lowres.rows import find
from lowres.token_store import TokenStore

MASKS = 1
"""Tells the stream of masks from the order of lines, which has the same seed."""


class Objective:
    """Cross-entropy at the masked positions."""

    masked_lm = True
    parallel = False

    def __init__(self, job: Job) -> None:
        self._job = job
        self._head = Head(job.full, find(job.network), vocabulary_size(job.tokenizer))
        self._masking = Masking(job.tokenizer, job.options.mask_share, job.options.whole_words)
        encode = encoder_of(job.tokenizer, job.options.max_tokens)

        def with_something(lines: list[str]) -> list[list[int]]:
            return [ids for ids in encode(lines) if self._masking.has_any(ids)]

        lines = (line for text in job.texts for line in text.lines())
        self._lines = TokenStore.make(job.folder / "mlm-lines", lines, with_something, job.say)
        self.lengths = self._lines.lengths

    def loss(self, chosen: Sequence[int], step: int) -> torch.Tensor:
        """Mean of -ln p over the hidden tokens of a batch; masks by seed and step alone."""
        lines = [self._lines[i] for i in chosen]
        generator = np.random.default_rng((self._job.seed, MASKS, step))
        shown, hidden = self._masking.draw(lines, generator)
        return self.losses(shown, hidden, lines).mean()

    def losses(
        self,
        shown: Sequence[np.ndarray],
        hidden: Sequence[np.ndarray],
        lines: Sequence[np.ndarray],
    ) -> torch.Tensor:
        """-ln p of every hidden token, line after line, [hidden tokens] float32.

        Args:
            shown: ids that the network reads.
            hidden: of each token, whether it is to be guessed.
            lines: ids of the lines themselves.
        """
        moved = self._job.hardware.moved
        pad_id = int(self._job.tokenizer.pad_token_id or 0)
        inputs = inference.model_inputs([{"input_ids": ids} for ids in shown], pad_id)
        # as places and not as a mask, whose size a GPU would have to be asked for
        lines_at, tokens_at = inference.pad([mask.tolist() for mask in hidden], 0).nonzero().T
        answers = np.concatenate([ids[mask] for ids, mask in zip(lines, hidden, strict=True)])
        with self._job.hardware.autocast():
            out = self._job.network(**{k: moved(v) for k, v in inputs.items()})
            states = out.last_hidden_state[moved(lines_at), moved(tokens_at)]
            return self._head.losses(states, moved(torch.from_numpy(answers)))

    def figures(self) -> list[Figure]:
        """Bits a character of held-out words, for every language; n is the number of lines.

        Of each held-out line the same words are hidden whatever the tokenizer, a share of
        `adapt.mask_share`, one at least. The figure is the sum of -log2 p over the pieces of the
        hidden words, divided by the characters (no white space) that these pieces stand for. A
        word of several pieces is guessed from left to right, each piece with those before it in
        view: guessed at once, its pieces would be taken for independent, which flatters a
        vocabulary with longer pieces. An unknown piece says nothing of its characters, so that
        each costs log2 of the number of different characters in these lines beside it (Ueberla
        1994 adjusts perplexity so).
        """
        found = []
        for text in self._job.texts:
            held = held_lines(
                self._job.tokenizer,
                text.held(),
                self._job.options.max_tokens,
                self._job.options.mask_share,
                self._job.seed,
            )
            if held.characters:
                bits = (self._guessed(held) + held.spelt_bits) / held.characters
                found.append(Figure(text.language, "bits a character", bits, len(held.lines)))
        return found

    def _guessed(self, held: Held) -> float:
        """Sum of -log2 p over the hidden pieces."""
        network: Any = self._job.network
        network.eval()
        nats = 0.0
        with torch.inference_mode():
            for number in range(held.longest):
                # those whose words have that many pieces
                left = [i for i, place in enumerate(held.places) if (place == number).any()]
                lengths = [len(held.lines[i]) for i in left]
                for batch in inference.batches(lengths, self._job.batch_tokens):
                    some = [left[i] for i in batch]
                    shown = [held.shown(i, number) for i in some]
                    hidden = [held.places[i] == number for i in some]
                    losses = self.losses(shown, hidden, [held.lines[i] for i in some])
                    nats += float(losses.double().sum())
        return nats / float(np.log(2.0))
