from __future__ import annotations

import json

import pytest
import tiny_language
import tiny_study
import torch
from safetensors.torch import load_file, save_file

from lowres import (
    adapter_files,
    bases,
    depth,
    gate,
    leaks,
    merge,
    model,
    pipeline,
    predict,
    probe,
    quiet,
    registry,
    trained,
)
from lowres.errors import BaseModelError, DeviceError, ReloadError, RunError
from lowres.source_dev import SourceDev
from lowres.trainer import SourceTrainer

STRATEGIES = registry.names("strategies")
EVERY = [*STRATEGIES, {"name": "gradual", "share": 1}]


@pytest.fixture(scope="module")
def base(tiny_tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base") / "bert"
    return tiny_study.base("bert", tiny_tokenizer, folder, dropout=0.1)


def study(folder, strategy, task="classification", **sections):
    name = strategy if isinstance(strategy, str) else strategy["name"]
    # 16 is the default: where there is no LoRA the section must say nothing
    lora = {"rank": 4 if name in ("lora", "gradual") else 16}
    train = {"strategy": strategy, **sections.pop("train", {})}
    return tiny_study.recipe(folder, task, lora=lora, train=train, **sections)


def attached(recipe, seed=0):
    located = bases.locate(recipe.base.name)
    torch.manual_seed(seed)
    loaded = model.load_base(located, recipe.base, recipe.task, ("a", "b", "c"), tiny_study.CPU)
    return trained.attach(loaded, recipe, "tiny")


def trains(network):
    return {name for name, each in network.named_parameters() if each.requires_grad}


# which weights train


def test_each_strategy_trains_what_it_says(base):
    parts = {name: trains(attached(study(base, name))) for name in STRATEGIES}
    head = {"base_model.model.bert.pooler", "base_model.model.classifier"}
    of_head = {name for name in parts["head"] if name.startswith(tuple(head))}
    assert parts["head"] == parts["probe"] == of_head
    assert len(of_head) == 4
    assert parts["lora"] == parts["gradual"] > of_head
    assert all("lora_" in name for name in parts["lora"] - of_head)
    whole = model.load_base(
        bases.locate(str(base)), study(base, "full").base, study(base, "full").task, "abc",
        tiny_study.CPU,
    )  # fmt: skip
    plain = {n.replace(".modules_to_save.default", "") for n in parts["full"]}
    assert plain == {f"base_model.model.{name}" for name, _ in whole.named_parameters()}


def test_full_holds_no_weight_twice(base):
    network = attached(study(base, "full"))
    loaded = model.load_base(
        bases.locate(str(base)), study(base, "full").base, study(base, "full").task, "abc",
        tiny_study.CPU,
    )  # fmt: skip
    total, trainable = adapter_files.count_parameters(network)
    assert total == trainable == sum(each.numel() for each in loaded.parameters())


@pytest.mark.parametrize(
    ("strategy", "freeze", "lowest"),
    [
        *((name, {"layers": 1}, 1) for name in ("lora", "gradual", "full")),
        ("full", {"embeddings": True}, 0),
    ],
)
def test_what_is_frozen_does_not_train(base, strategy, freeze, lowest):
    network = attached(study(base, strategy, train={"freeze": freeze}))
    outside = trained.heads(network.get_base_model(), study(base, strategy))
    layers = {
        depth.layer_of(name)
        for name in trains(network)
        if not model.within(name.removeprefix("base_model.model."), outside)
    }
    assert layers == set(range(lowest, 2))


@pytest.mark.parametrize("strategy", EVERY, ids=str)
@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_a_training_moves_these_weights_alone(base, tmp_path, strategy, task, monkeypatch):
    before, after, wanted = {}, {}, set()
    fit = SourceTrainer.train

    def watched(self, **known):
        wanted.update(trains(self.model))
        before.update({n: p.detach().clone() for n, p in self.model.named_parameters()})
        done = fit(self, **known)
        after.update({n: p.detach().clone() for n, p in self.model.named_parameters()})
        return done

    monkeypatch.setattr(SourceTrainer, "train", watched)
    # the best one may be from before the last layer joined
    monkeypatch.setattr(SourceTrainer, "_load_best_model", lambda *_: None)
    name = strategy if isinstance(strategy, str) else strategy["name"]
    rates = {"learning_rate": 2e-3, "head_learning_rate": 2e-2} if name == "full" else {}
    recipe = study(base, strategy, task, train=rates)
    outcome = tiny_study.train(recipe, tmp_path)
    moved = {n for n, value in after.items() if not torch.equal(value, before[n])}
    # words, places and types that the sentences have not are never looked up
    assert moved == wanted
    assert outcome.trainable_parameters == sum(after[n].numel() for n in wanted)
    assert outcome.status == "ok"
    if name != "full":
        assert outcome.dev > 0.5, outcome.dev


def test_the_rate_falls_layer_by_layer_but_not_the_heads(base):
    for strategy, lowest in (("lora", 0), ("full", -1)):
        rates = {"learning_rate": 1e-2, "head_learning_rate": 4e-2, "layer_decay": 0.5}
        recipe = study(base, strategy, train=rates)
        network = attached(recipe)
        rate = trained.rates(network, recipe)
        found = {name: rate(name) for name in trains(network)}
        head = {name for name in found if "pooler" in name or "classifier" in name}
        assert {found.pop(name) for name in head} == {4.0}
        # two layers: the upper one has the whole rate, embeddings a quarter
        by_layer = {depth.layer_of(name): value for name, value in found.items()}
        assert by_layer == {layer: 0.5 ** (1 - layer) for layer in range(lowest, 2)}
        assert all(value == by_layer[depth.layer_of(name)] for name, value in found.items())


def test_the_optimizer_has_these_rates(base, tmp_path, monkeypatch):
    seen = {}
    create = SourceTrainer.create_optimizer

    def watched(self, model=None):
        optimizer = create(self, model)
        names = {id(p): name for name, p in self.model.named_parameters()}
        for group in optimizer.param_groups:
            seen.update({names[id(p)]: group["lr"] for p in group["params"]})
        return optimizer

    monkeypatch.setattr(SourceTrainer, "create_optimizer", watched)
    monkeypatch.setattr(SourceDev, "collapsed", lambda *_: False)
    recipe = study(base, "lora", train={"steps": 1, "layer_decay": 0.5})
    tiny_study.train(recipe, tmp_path)
    rate = trained.rates(attached(recipe), recipe)
    assert seen == {name: pytest.approx(1e-2 * rate(name)) for name in seen}
    assert len({round(value, 9) for value in seen.values()}) == 3


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_a_probe_sees_the_same_vectors_at_each_pass_a_head_does_not(base, task):
    ids = torch.tensor([[2, 7, 9, 3]])
    for strategy, same in (("probe", True), ("head", False)):
        network = attached(study(base, strategy, task)).train()
        encoder = network.get_base_model().base_model
        one, other = (encoder(input_ids=ids).last_hidden_state for _ in range(2))
        assert torch.equal(one, other) == same
        # the dropout before the head's last layer is the head's own
        assert network.get_base_model().dropout.training
        assert not one.requires_grad


# gradual


def test_gradual_goes_from_the_top_and_ends_with_all(base, tmp_path, monkeypatch):
    seen = []
    step = SourceTrainer.training_step

    def watched(self, network, *known):
        layers = {depth.layer_of(n) for n in trains(network) if "lora_" in n}
        seen.append((self.state.global_step, layers))
        loss = step(self, network, *known)
        given = {depth.layer_of(n) for n, p in network.named_parameters() if p.grad is not None}
        assert given - {None} == layers
        return loss

    monkeypatch.setattr(SourceTrainer, "training_step", watched)
    gradual = {"name": "gradual", "share": 0.5}
    outcome = tiny_study.train(study(base, gradual, train={"steps": 8}), tmp_path)
    assert seen == [(at, {1} if at < 2 else {0, 1}) for at in range(8)]
    assert (
        outcome.trainable_parameters
        == tiny_study.train(
            study(base, "lora", train={"steps": 1}), tmp_path / "lora"
        ).trainable_parameters
    )


# what is kept


def saved(base, folder, strategy, task="classification", kind="none", **sections):
    """An adapter of weights that a training could have left, and its network."""
    recipe = study(base, strategy, task, **sections)
    network = attached(recipe)
    torch.manual_seed(5)
    with torch.no_grad():
        for each in network.parameters():
            if each.requires_grad:
                each.add_(0.1 * torch.randn_like(each))
    located = bases.locate(recipe.base.name)
    adapter_files.save_adapter(network, folder, located, recipe.task, ("a", "b", "c"), 24, kind)
    return recipe, network.eval()


IDS = torch.tensor([[2, 7, 9, 11, 3], [2, 8, 3, 0, 0]])
MASK = IDS.ne(0).long()


def logits(network):
    with torch.no_grad():
        return network(input_ids=IDS, attention_mask=MASK).logits


def test_peft_calls_it_so():
    from peft.utils.constants import DUMMY_TARGET_MODULES

    assert trained.NO_LORA == DUMMY_TARGET_MODULES


ALSO_FROZEN = [*((name, {}) for name in STRATEGIES), ("full", {"freeze": {"layers": 1}})]


@pytest.mark.parametrize(("strategy", "train"), ALSO_FROZEN)
@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_an_adapter_answers_the_same_after_a_reload(base, tmp_path, strategy, train, task):
    recipe, network = saved(base, tmp_path, strategy, task, train=train)
    loaded = model.load_base(
        bases.locate(str(base)), recipe.base, recipe.task, ("a", "b", "c"), tiny_study.CPU
    )
    again = adapter_files.load_adapter(loaded, tmp_path)
    torch.testing.assert_close(logits(again), logits(network), rtol=0, atol=1e-6)
    # and for who knows of peft alone
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

    auto = AutoModelForTokenClassification if task == "tagging" else (
        AutoModelForSequenceClassification)  # fmt: skip
    torch.manual_seed(9)
    with quiet.peft():
        plain = PeftModel.from_pretrained(auto.from_pretrained(base, num_labels=3), str(tmp_path))
    torch.testing.assert_close(logits(plain.eval()), logits(network), rtol=0, atol=1e-6)


def test_the_adapter_of_a_head_is_small_and_that_of_full_is_the_base(base, tmp_path):
    sizes = {}
    for strategy, train in ALSO_FROZEN:
        folder = tmp_path / f"{strategy}{len(train)}"
        saved(base, folder, strategy, train=train)
        sizes[folder.name] = (folder / "adapter_model.safetensors").stat().st_size
    whole = (base / "model.safetensors").stat().st_size
    assert sizes["head0"] == sizes["probe0"] < sizes["lora0"] < sizes["full1"] < sizes["full0"]
    assert sizes["full0"] > 0.95 * whole


@pytest.mark.parametrize("strategy", ["full", "head"])
def test_a_part_of_it_missing_is_told(base, tmp_path, strategy):
    recipe, _ = saved(base, tmp_path, strategy)
    file = tmp_path / "adapter_model.safetensors"
    state = load_file(file)
    lost = "base_model.model.classifier.weight" if strategy == "head" else (
        "base_model.model.bert.embeddings.word_embeddings.weight")  # fmt: skip
    del state[lost]
    save_file(state, file, metadata={"format": "pt"})
    loaded = model.load_base(
        bases.locate(str(base)), recipe.base, recipe.task, ("a", "b", "c"), tiny_study.CPU
    )
    with pytest.raises(RunError, match="is no adapter of this base: "):
        adapter_files.load_adapter(loaded, tmp_path)


@pytest.mark.parametrize("strategy", ["full", "probe"])
def test_predict_and_merge_take_it(base, tmp_path, strategy):
    recipe = study(base, strategy, train={"learning_rate": 2e-3})
    outcome = tiny_study.train(recipe, tmp_path)
    assert outcome.status == "ok"
    adapter = predict.load(tmp_path / "adapter")
    test = tiny_study.data().tests["eng_Latn"]
    said = [each.answer for each in tiny_study.answers(recipe, tmp_path / "adapter", test)]
    found = [each.answer for each in adapter.predict(test["text"])]
    # this machine may multiply in half precision
    assert sum(a == b for a, b in zip(found, said, strict=True)) >= len(said) - 2
    merge.merge(tmp_path / "adapter", tmp_path / "merged")
    from transformers import AutoModelForSequenceClassification

    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged").eval()
    torch.testing.assert_close(logits(plain), logits(adapter.network), rtol=0, atol=1e-5)


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
@pytest.mark.parametrize("strategy", ["head", "probe"])
def test_a_head_trains_over_a_rounded_base(base, tmp_path, strategy, quantization):
    recipe = study(base, strategy, base={"quantization": quantization})
    outcome = tiny_study.train(recipe, tmp_path)
    assert outcome.status == "ok"
    assert outcome.dev > 0.5


def test_freezing_all_layers_is_refused_before_anything_is_made(base):
    for strategy in ("full", "lora", "gradual"):
        recipe = study(base, strategy, train={"freeze": {"layers": 2}})
        with pytest.raises(BaseModelError, match=r"train.freeze.layers 2: .* has 2 layers"):
            trained.check(recipe, base)
    trained.check(study(base, "full", train={"freeze": {"layers": 1}}), base)
    trained.check(study(base, "head"), base)


def test_layers_do_not_join_in_several_processes(base, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(DeviceError, match=r"train.strategy gradual: .*accelerate launch"):
        trained.check(study(base, "gradual"), base)
    trained.check(study(base, "lora"), base)


def test_a_run_says_so_before_there_is_a_folder(base, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline.Kept, "data", lambda *_: tiny_study.data())
    recipe = study(base, "lora", train={"freeze": {"layers": 2}})
    with pytest.raises(BaseModelError, match="nothing is left for strategy lora"):
        pipeline.run(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


# over a language adapter, and published


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "modernbert"])
@pytest.mark.parametrize("strategy", ["head", "probe"])
def test_a_head_over_a_language_adapter_is_one_adapter(
    tiny_base, tiny_unigram_base, tiny_tokenizer, tmp_path, kind, strategy
):
    ready = {"bert": tiny_base, "xlm-roberta": tiny_unigram_base}
    under = tiny_language.Languages(tmp_path, ready, tiny_tokenizer)(kind)
    recipe = study(under.path, strategy)
    torch.manual_seed(0)
    loaded = model.load_base(
        under, tiny_language.FLOAT, recipe.task, tiny_language.LABELS, tiny_study.CPU
    )
    network = trained.attach(loaded, recipe, kind).eval()
    tokenizer = model.load_tokenizer(under)
    ids = tokenizer(list(tiny_language.SENTENCES), padding=True, return_tensors="pt")["input_ids"]
    said = tiny_language.logits(network, ids, tokenizer.pad_token_id)
    folder = tmp_path / "adapter"
    adapter_files.save_adapter(
        network, folder, under, recipe.task, tiny_language.LABELS, 24, "none"
    )  # fmt: skip
    plain = model.load_base(
        under.plain(), tiny_language.FLOAT, recipe.task, tiny_language.LABELS, tiny_study.CPU
    )
    again = adapter_files.load_adapter(plain, folder)
    found = tiny_language.logits(again, ids, tokenizer.pad_token_id)
    torch.testing.assert_close(found, said, rtol=0, atol=1e-5)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["r"] == 3
    assert config["target_modules"] != trained.NO_LORA


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["full", "head"])
def test_the_gate_takes_what_it_would_send(base, tmp_path, strategy):
    folder = tmp_path / "adapter"
    recipe, _ = saved(base, folder, strategy)
    located = bases.locate(str(base))
    found = probe.make(folder, located, recipe.task, ("a", "b", "c"), tiny_study.CPU)
    probe.write(folder / probe.FILE, found, {"id": "a/b"}, {})
    verdict = gate.check(folder, base)
    assert verdict.faults == ()
    assert verdict.widest < gate.TOLERANCE
    leaks.check_weights(folder)
    file = folder / "adapter_model.safetensors"
    state = load_file(file)
    lost = {"full": "bert.encoder.layer.0.output.dense", "head": "classifier"}[strategy]
    kept = {key: value for key, value in state.items() if f".{lost}." not in key}
    save_file(kept, file, metadata={"format": "pt"})
    if strategy == "full":
        with pytest.raises(RunError, match=lost):
            leaks.check_weights(folder)
    with pytest.raises(ReloadError):
        gate.check(folder, base)
