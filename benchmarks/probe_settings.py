"""How strong the `probe` baseline is under other settings: scaling of the features and penalty.

    python benchmarks/probe_settings.py topics-sib200

The shipped probe standardises its features and takes C = 0.1, which was the best on source dev.
A plain logistic regression (unscaled, C = 1) is what many papers call a probe, and is weaker on
bases whose vectors lie in a narrow cone. Prints the score on source dev and the mean over the
targets' test sets for each setting. Data: $LOWRES_DATA, else ../shared/data.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import numpy as np
from real_data import SEEN, overrides
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from lowres import bases, data, hardware, inference, model, recipe_loading
from lowres.stats import value_of


def main(name: str) -> None:
    """One table: setting, source dev, mean over all targets, mean over targets the base saw."""
    recipe = recipe_loading.load(name, overrides(name))
    labelled = data.load(recipe)
    located = bases.locate(recipe.base.name, recipe.base.revision)
    machine = hardware.detect(recipe.train.precision)
    base: Any = model.load_base(located, recipe.base, recipe.task, labelled.labels, machine)
    tokenizer = model.load_tokenizer(located)
    metric = recipe.task.metrics(labelled.labels)[0]
    gold = recipe.task.gold_field

    def embed(examples: Any) -> Any:
        limits = recipe.train.max_tokens, recipe.evaluate.batch_tokens
        return inference.embed(base.base_model, tokenizer, recipe.task, examples, machine, *limits)

    train, dev = embed(labelled.train), embed(labelled.dev)
    targets = [t for t in recipe.languages.targets if t in labelled.tests]
    tests = {t: embed(labelled.tests[t]) for t in targets}
    print("| features | C | source dev | all targets | seen targets |\n|---|---:|---:|---:|---:|")
    for scaled in (False, True):
        scale = StandardScaler().fit(train).transform if scaled else np.asarray
        for penalty in (0.01, 0.1, 1.0, 10.0, 100.0):
            fitted = LogisticRegression(C=penalty, max_iter=1000).fit(
                scale(train), labelled.train[gold][:]
            )
            scores = {
                part: value_of(
                    metric, examples[gold][:], list(fitted.predict(scale(x))), labelled.labels
                )
                for part, examples, x in [
                    ("dev", labelled.dev, dev),
                    *((t, labelled.tests[t], tests[t]) for t in targets),
                ]
            }
            everywhere = statistics.fmean(scores[t] for t in targets)
            seen = statistics.fmean(scores[t] for t in targets if t in SEEN)
            word = "standardised" if scaled else "as they are"
            print(f"| {word} | {penalty:g} | {scores['dev']:.3f} | {everywhere:.3f} | {seen:.3f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", nargs="?", default="topics-sib200")
    main(parser.parse_args().recipe)
