"""transformers' Trainer as lowres uses it: our batches, loss, rates, dev score and checkpoints."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import PrinterCallback, Trainer, TrainerState

from lowres import averaging, hardware, inference, prefix, training_callbacks
from lowres.microbatches import MicroBatches
from lowres.sampling import LengthGrouped


class Collate:
    """Windows to padded tensors, labels to [batch] or [batch, tokens] (-100 on padding)."""

    def __init__(self, pad_id: int, states: prefix.States | None = None) -> None:
        """`states` of frozen layers by the windows' column `window`, where they are kept."""
        self.pad_id = pad_id
        self._states = states

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """A batch of windows; `lengths`, a list, is for whoever cuts it into parts."""
        inputs: dict[str, Any] = inference.model_inputs(rows, self.pad_id)
        labels = [row["labels"] for row in rows]
        inputs["labels"] = (
            inference.pad(labels, -100) if isinstance(labels[0], list) else torch.tensor(labels)
        )
        if self._states is not None:
            inputs["states"] = prefix.padded([self._states[row["window"]] for row in rows])
        inputs["lengths"] = [len(row["input_ids"]) for row in rows]
        return inputs


class Loss:
    """Cross-entropy over all labelled items of the effective batch, in float32."""

    def __init__(self, smoothing: float) -> None:
        self.smoothing = smoothing

    def __call__(
        self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None
    ) -> torch.Tensor:
        """The sum over this forward pass, divided by the items of the whole batch."""
        logits = outputs.logits.float()
        total = functional.cross_entropy(
            logits.view(-1, logits.shape[-1]),
            labels.view(-1),
            ignore_index=-100,
            label_smoothing=self.smoothing,
            reduction="sum",
        )
        count = labels.ne(-100).sum() if num_items_in_batch is None else num_items_in_batch
        return total / torch.as_tensor(count).clamp(min=1)


class SourceTrainer(Trainer):
    """transformers' Trainer with our order, our source-dev score and rates by the weight's name; a
    checkpoint counts only once it is whole, and the first process alone writes it.

    With a folder `epochs`, the weights of every evaluated checkpoint are kept in it. `micro` says
    how a step is cut into forward passes.
    """

    def __init__(
        self,
        *,
        score: Callable[[Any], float],
        rates: Callable[[str], float],
        order: LengthGrouped,
        micro: MicroBatches,
        frozen: prefix.Prefix | None = None,
        epochs: Path | None = None,
        **known: Any,
    ) -> None:
        super().__init__(**known)
        self._epochs = epochs
        self._score = score
        self._rates = rates
        self._order = order
        self.micro = micro
        self._frozen = frozen
        self.add_callback(training_callbacks.EpochOrder(order))
        # it prints every logged row to standard output; the bar and the report show them
        self.remove_callback(PrinterCallback)
        windows = self._train_batch_size * self.args.gradient_accumulation_steps
        assert windows * self.args.world_size == order.batch, "not the recipe's effective batch"

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGrouped:
        return self._order

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Forward and backward passes of a whole step. When memory is full, the step begins again
        with half the micro-batch: the same windows, the same draws, gradients from zero."""
        model.train()
        lengths = inputs.pop("lengths")
        inputs = self._prepare_inputs(inputs)
        while (loss := self._passes(model, inputs, lengths, num_items_in_batch)) is None:
            self.micro.halve()
            model.zero_grad(set_to_none=True)
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            # draws are seeded there, by the number of the step
            self.callback_handler.on_step_begin(self.args, self.state, self.control)
        return loss

    def _passes(
        self, model: Any, inputs: dict[str, Any], lengths: list[int], count: Any
    ) -> torch.Tensor | None:
        """The loss of a step, its gradients left in the parameters; None when memory was full and
        fewer windows at once may help."""
        losses = []
        try:
            parts = list(self.micro.parts(inputs, lengths))
            for number, part in enumerate(parts):
                last = number == len(parts) - 1
                with nullcontext() if last else self.accelerator.no_sync(model):
                    with self.compute_loss_context_manager():
                        loss: Any = self.compute_loss(model, part, num_items_in_batch=count)
                    self.accelerator.backward(loss)
                losses.append(loss.detach())
        except (RuntimeError, MemoryError) as error:
            # one of several processes alone cannot go back: the others wait for its gradients
            alone = self.args.world_size == 1
            if not hardware.full_memory(error) or self.micro.size == 1 or not alone:
                raise
            return None
        return torch.stack(losses).sum()

    def compute_loss(self, model: Any, inputs: dict[str, Any], *rest: Any, **known: Any) -> Any:
        """Trainer's, with the states of frozen layers in their place."""
        if self._frozen is not None:
            self._frozen.give(inputs.pop("states", None))
        return super().compute_loss(model, inputs, *rest, **known)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW; the head, freshly initialised, gets its own rate (one rate for both collapsed
        on UNER at 5e-4 and hardly learnt at 2e-4)."""
        if self.optimizer is None:
            network: torch.nn.Module = model or self.model  # type: ignore[assignment]
            rate = self.args.learning_rate
            decayed = set(self.get_decay_parameter_names(network))
            groups: dict[tuple[float, bool], list[torch.nn.Parameter]] = {}
            for name, parameter in network.named_parameters():
                if parameter.requires_grad:
                    # DoRA's magnitudes are norms of weights: decay would shrink the base itself
                    decay = name in decayed and "lora_magnitude_vector" not in name
                    groups.setdefault((self._rates(name), decay), []).append(parameter)
            self.optimizer = torch.optim.AdamW(
                [
                    {
                        "params": parameters,
                        "lr": rate * factor,
                        "weight_decay": self.args.weight_decay if decay else 0.0,
                    }
                    for (factor, decay), parameters in sorted(groups.items(), key=lambda g: g[0])
                ],
                betas=(self.args.adam_beta1, self.args.adam_beta2),
                fused=True,
            )
        return self.optimizer

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The score on source dev; Trainer's own loop neither pools windows nor sorts by length."""
        metrics = {"eval_score": self._score(self.model)}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Of equal scores the last is the best, where Trainer keeps the first: a small dev set soon
        has all right that it will, and training goes on all the same (benchmarks/ties.py)."""
        best = self.state.best_metric
        if best is None or not math.isclose(metrics["eval_score"], best):
            return bool(super()._determine_best_metric(metrics, trial))
        self.state.best_global_step = self.state.global_step
        return True

    def stand_at_end(self, checkpoint: Path) -> None:
        """Take up the state and weights in which a training ended whose last checkpoint is there.

        `train(resume_from_checkpoint=…)` would take one more step where the end is no epoch's.
        """
        self.state = TrainerState.load_from_json(str(checkpoint / training_callbacks.STATE))
        if self.state.best_model_checkpoint is not None:
            self._load_best_model()
        else:
            self._load_from_checkpoint(str(checkpoint))

    def _save_rng_state(self, output_dir: str) -> None:
        """Nothing: each step is seeded by its number, and the other processes write no files."""

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        super()._save_checkpoint(*args, **kwargs)
        if training_callbacks.is_main():
            folder = Path(str(self.args.output_dir))
            newest = f"checkpoint-{self.state.global_step}"
            evaluated = "eval_score" in self.state.log_history[-1]
            if self._epochs is not None and evaluated:
                # before the checkpoint counts: after a kill in between, this step comes again
                averaging.keep(folder / newest, self._epochs, self.state.global_step)
            (folder / newest / training_callbacks.WHOLE).touch()
            best = Path(self.state.best_model_checkpoint or newest).name
            training_callbacks.remove_checkpoints(folder, keep={newest, best})
