"""Pull the vector of a line to the frozen base's own vector of its translation.

The student is the base with the language adapter, reading the language; the teacher is the base
alone, reading the translation (Reimers and Gurevych 2020, arXiv:2004.09813). Both the mean over the
tokens and the first token's vector are pulled, as task heads read one or the other. A contrast
with the other translations of the batch keeps lines apart (InfoNCE, van den Oord et al. 2018,
arXiv:1807.03748). Vectors are centred by the teacher's mean: uncentred ones of sentence encoders
lie in a narrow cone, where everything is alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from lowres import inference, sealed
from lowres.languages import describe
from lowres.material import LanguageText
from lowres.objectives import Figure, Job, encoder_of
from lowres.token_store import TokenStore


class Objective:
    """Cosine and contrast with the teacher's vectors, [mean, first token] of each pair."""

    masked_lm = False
    parallel = True

    def __init__(self, job: Job) -> None:
        self._job = job
        pairs = [pair for text in job.texts for pair in _pairs(text)]
        encode = encoder_of(job.tokenizer, job.options.max_tokens)
        lines = (line for line, _ in pairs)
        self._lines = TokenStore.make(job.folder / "lines", lines, encode, job.say)
        self.lengths = self._lines.lengths
        self._teacher = self._taught([translation for _, translation in pairs], "teacher")
        centre = torch.from_numpy(np.asarray(self._teacher.mean(axis=0, dtype=np.float32)))
        self._centre = job.hardware.moved(centre)
        # the same translation twice in a batch is no other translation
        self._same = np.unique([b for _, b in pairs], return_inverse=True)[1]

    def _taught(self, translations: list[str], name: str) -> np.ndarray:
        """The teacher's vectors, [lines, 2, hidden] float16, kept on disk."""
        job = self._job
        file = job.folder / f"{name}.npy"
        seal = file.with_suffix(".json")
        if sealed.broken(seal, "teacher's vectors", job.say):
            encode = encoder_of(job.base_tokenizer, job.options.max_tokens)
            store = TokenStore.make(job.folder / name, translations, encode, job.say)
            with job.network.disable_adapter():
                np.save(file, self._vectors(store))
            sealed.seal(seal, [file])
        found: np.ndarray = np.load(file, mmap_mode="r")
        return found

    def _vectors(self, store: TokenStore) -> np.ndarray:
        """[lines, 2, hidden] float16 of the network as it is now."""
        network = self._job.network
        out = np.zeros((len(store), 2, network.config.hidden_size), dtype=np.float16)
        network.eval()
        with torch.inference_mode():
            for chosen in inference.batches(store.lengths.tolist(), self._job.batch_tokens):
                out[chosen] = self._pooled(store, chosen).cpu().numpy().astype(np.float16)
        return out

    def _pooled(self, store: TokenStore, chosen: Sequence[int]) -> torch.Tensor:
        """[lines, 2, hidden] float32: the mean over the tokens, and the first token."""
        rows = [{"input_ids": store[i]} for i in chosen]
        inputs = inference.model_inputs(rows, int(self._job.tokenizer.pad_token_id or 0))
        hardware = self._job.hardware
        inputs = {name: hardware.moved(tensor) for name, tensor in inputs.items()}
        with hardware.autocast():
            out = self._job.network(**inputs)
        states = out.last_hidden_state.float()
        mask = inputs["attention_mask"].unsqueeze(-1)
        mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
        return torch.stack([mean, states[:, 0]], dim=1)

    def loss(self, chosen: Sequence[int], step: int) -> torch.Tensor:
        """Of a batch of pairs; zero where every vector points as the teacher's does."""
        options, moved = self._job.options, self._job.hardware.moved
        student = self._pooled(self._lines, chosen)
        teacher = torch.from_numpy(np.asarray(self._teacher[list(chosen)], dtype=np.float32))
        student, teacher = student - self._centre, moved(teacher) - self._centre
        pull = (1 - functional.cosine_similarity(student, teacher, dim=-1)).sum(dim=1).mean()
        if not options.contrast:
            return pull
        scores = (
            functional.normalize(student[:, 0], dim=-1)
            @ functional.normalize(teacher[:, 0], dim=-1).mT
        )
        same = moved(torch.from_numpy(self._same[list(chosen)]))
        twins = same.unsqueeze(0) == same.unsqueeze(1)
        twins.fill_diagonal_(False)
        scores = (scores / options.temperature).masked_fill(twins, -torch.inf)
        answers = torch.arange(len(scores), device=scores.device)
        return pull + options.contrast * functional.cross_entropy(scores, answers)

    def figures(self) -> list[Figure]:
        """Retrieval@1 both ways: is the nearest of the held-out translations the right one."""
        found = []
        for text in self._job.texts:
            pairs = _distinct(text.held_pairs)
            if not pairs:
                continue
            encode = encoder_of(self._job.tokenizer, self._job.options.max_tokens)
            folder = self._job.folder / f"held-{text.language}"
            store = TokenStore.make(folder, (a for a, _ in pairs), encode, self._job.say)
            name = f"held-teacher-{text.language}"
            teacher = self._taught([b for _, b in pairs], name)[:, 0].astype(np.float32)
            student = self._vectors(store)[:, 0].astype(np.float32)
            there, back = retrieval(student, teacher)
            label = describe(text.language).name
            found += [
                Figure(text.language, f"retrieval@1 from {label}", there, len(pairs)),
                Figure(text.language, f"retrieval@1 to {label}", back, len(pairs)),
            ]
        return found


def _pairs(text: LanguageText) -> tuple[tuple[str, str], ...]:
    """Lines and, where the recipe has a word list, its entries as short lines."""
    return (*text.learning_pairs, *text.lexicon)


def _distinct(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """One pair a translation: of two equal ones neither would be the right one."""
    return list({b: (a, b) for a, b in pairs}.values())


def retrieval(lines: np.ndarray, translations: np.ndarray) -> tuple[float, float]:
    """Share of lines whose nearest translation (cosine) is their own, and the other way round.

    Args:
        lines: [n, hidden]; translations: [n, hidden], row i of the one belongs to row i of the
            other.
    """

    def unit(rows: Any) -> Any:
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    scores = unit(lines) @ unit(translations).T
    right = np.arange(len(scores))
    there = float((scores.argmax(axis=1) == right).mean())
    return there, float((scores.argmax(axis=0) == right).mean())
