from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import numpy as np
import pytest
import tiny_text
import torch
from tiny_study import CPU
from transformers import AutoModelForMaskedLM, AutoTokenizer

from lowres import lora, model, registry
from lowres import rows as new_rows
from lowres.errors import DataError
from lowres.objectives import Job, _masking, _spelling, align, both, mlm
from lowres.recipe import Base
from lowres.recipe_text import Adapt

FLOAT = Base(name="x", quantization="none")


def test_masks_hide_the_share_that_was_asked_and_nothing_special(tiny_unigram_base):
    tokenizer = AutoTokenizer.from_pretrained(tiny_unigram_base)
    masking = _masking.Masking(tokenizer, 0.2, whole_words=False)
    unknown = tokenizer.unk_token_id
    lines = [np.array([0, *range(5, 45), unknown, unknown, 2]) for _ in range(200)]
    shown, hidden = masking.draw(lines, np.random.default_rng(0))
    assert all(mask.sum() == 8 and not mask[[0, 41, 42, 43]].any() for mask in hidden)
    before, after, guess = (np.concatenate(parts) for parts in (lines, shown, hidden))
    assert (before == after)[~guess].all()
    as_mask = after[guess] == tokenizer.mask_token_id
    kept = after[guess] == before[guess]
    assert as_mask.mean() == pytest.approx(0.8, abs=0.03)
    assert kept.mean() == pytest.approx(0.1, abs=0.03)
    others = after[guess][~as_mask & ~kept]
    assert len(set(others.tolist())) > 50
    assert not set(others.tolist()) & set(tokenizer.all_special_ids)
    again, _ = masking.draw(lines, np.random.default_rng(0))
    assert all((a == b).all() for a, b in zip(shown, again, strict=True))


def test_one_token_at_least_is_hidden():
    generator = np.random.default_rng(0)

    class Fake:
        mask_token_id = 4

        @property
        def all_special_ids(self):
            return [0, 1, 2, 3, 4]

        def get_vocab(self):
            return {str(i): i for i in range(9)}

    masking = _masking.Masking(Fake(), 0.01, whole_words=False)
    _, hidden = masking.draw([np.array([0, 7, 2])], generator)
    assert hidden[0].tolist() == [False, True, False]
    assert masking.has_any([0, 7, 2])
    assert not masking.has_any([0, 3, 2])


@pytest.mark.parametrize("base", ["tiny_base", "tiny_unigram_base", "tiny_bpe_base"])
def test_whole_words_are_hidden_as_a_whole(request, base, sentences):
    tokenizer = AutoTokenizer.from_pretrained(request.getfixturevalue(base))
    masking = _masking.Masking(tokenizer, 0.15, whole_words=True)
    sentences = [*sentences, "teachers windowed marketing doctors"]
    encoded = tokenizer(sentences, return_offsets_mapping=True)
    lines = [np.asarray(ids) for ids in encoded["input_ids"]]
    checked = 0
    for number, text in list(enumerate(sentences)) * 5:
        hidden = masking.draw(lines, np.random.default_rng(checked))[1]
        spans = np.asarray(encoded["offset_mapping"][number])
        spaced = _spelling.word_of_token(_spelling.word_of_character(text), spans)
        words = [(a, b) for a, b in zip(encoded.word_ids(number), spaced, strict=True)]
        for word in {w for w in words if w[0] is not None}:
            pieces = [hidden[number][i] for i, w in enumerate(words) if w == word]
            if (spaced == word[1]).sum() <= _masking.LONGEST_WORD:
                assert all(pieces) or not any(pieces), (text, word)
                checked += len(pieces) > 1 and all(pieces)
    assert checked > 3


def test_words_without_end_are_masked_piece_by_piece():
    begins = np.array([True, False, True, *[False] * _masking.LONGEST_WORD, True])
    found = _masking.units(begins)
    assert found[0] == found[1] != found[2]
    assert len(set(found[2:-1].tolist())) == _masking.LONGEST_WORD + 1


def test_hidden_words_are_the_same_for_every_tokenizer(tiny_base, tiny_unigram_base, tiny_bpe_base):
    lines = [a for a, _ in tiny_text.sentences(30)]
    counts = set()
    for base in (tiny_unigram_base, tiny_bpe_base, tiny_base):
        held = _spelling.held_lines(AutoTokenizer.from_pretrained(base), lines, 128, 0.3, 1)
        counts.add(held.characters)
    assert len(counts) == 1
    other = _spelling.held_lines(AutoTokenizer.from_pretrained(base), lines, 128, 0.3, 2)
    assert any((a != b).any() for a, b in zip(other.places, held.places, strict=True))


def test_characters_of_hidden_words():
    line = "aa  b  " + "x" * 40
    word = _spelling.word_of_character(line)
    assert word.tolist()[:7] == [0, 0, -1, -1, 1, -1, -1]
    assert max(word) == 2 + 6
    spans = np.array([[0, 0], [0, 1], [1, 2], [2, 5], [6, 8], [8, 14], [47, 47]])
    assert _spelling.word_of_token(word, spans).tolist() == [0, 0, 0, 1, 2, 2, -1]
    assert _spelling.places_in_words(np.array([-1, 0, 0, 1, 1, 1, 2])).tolist() == [
        0, 0, 1, 0, 1, 2, 0,
    ]  # fmt: skip
    # white space is not counted, and a character that two pieces share is counted once
    assert _spelling.covered(word, np.array([[0, 5], [1, 2], [4, 7]])) == 3


def job(located, texts, folder, **options):
    """As the adapt stage makes it."""
    torch.manual_seed(1)
    given = Adapt(**{"objective": "mlm", "batch": 8, "rank": 4, **options})
    needs = registry.module("objectives", given.objective).Objective.masked_lm
    encoder, full = model.load_encoder(located, FLOAT, CPU, needs)
    network = lora.attach_language(encoder, given.rank, given.alpha, "tiny")
    rows = new_rows.find(network)
    if rows is not None:
        rows.rows.requires_grad_(True)
    tokenizers = model.load_tokenizer(located), model.load_tokenizer(located.plain())
    return Job(given, texts, network, full, *tokenizers, CPU, folder, 1)


@pytest.fixture(scope="module")
def unigram(tmp_path_factory, tiny_unigram_base):
    """A located base with a masked-LM head, one extended, and a text."""
    folder = tmp_path_factory.mktemp("unigram")
    texts = tiny_text.texts(folder / "text")
    plain = tiny_text.masked_lm(tiny_unigram_base, folder / "base", spare=3)
    return plain, tiny_text.extended(plain, texts, folder / "extension"), texts


def trained(objective, network, steps, batch=8):
    """Losses of a few steps over the first items."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=1e-2)
    losses = []
    for step in range(steps):
        loss = objective.loss(
            [(step * batch + i) % len(objective.lengths) for i in range(batch)], step
        )
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("whole_words", [False, True])
def test_mlm_learns_by_lora_and_new_rows_alone(unigram, tmp_path, whole_words):
    _, located, texts = unigram
    given = job(located, texts, tmp_path, whole_words=whole_words)
    objective = mlm.Objective(given)
    (before,) = objective.figures()
    assert (before.language, before.name, before.n) == ("nus_Latn", "bits a character", 20)
    losses = trained(objective, given.network, 60)
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.1
    (after,) = objective.figures()
    assert after.value < before.value
    objective.loss([0, 1], 99).backward()
    moved = {n for n, p in given.network.named_parameters() if p.grad is not None}
    assert all("lora_" in name or name.endswith(".rows") for name in moved)
    assert any(name.endswith(".rows") for name in moved)
    assert all(p.grad is None for n, p in given.full.named_parameters() if "lm_head" in n)


def test_mlm_is_a_function_of_items_step_and_seed(unigram, tmp_path):
    _, located, texts = unigram
    given = job(located, texts, tmp_path)
    given.network.eval()
    objective = mlm.Objective(given)
    first = objective.loss([3, 1, 4], 5)
    assert torch.equal(objective.loss([3, 1, 4], 5), first)
    assert not torch.equal(objective.loss([3, 1, 4], 6), first)
    other = mlm.Objective(replace(given, seed=2))
    assert not torch.equal(other.loss([3, 1, 4], 5), first)


def resized_model(located):
    """The masked-LM model with the new rows inside its table, and the extended tokenizer."""
    full = AutoModelForMaskedLM.from_pretrained(located.path).eval()
    rows, first = model.stacking.read_extension_rows(model.Path(located.extension))
    pieces = len(AutoTokenizer.from_pretrained(located.path))
    assert first == pieces
    full.resize_token_embeddings(pieces)
    full.resize_token_embeddings(pieces + len(rows), mean_resizing=False)
    with torch.no_grad():
        full.get_input_embeddings().weight[first:] = torch.from_numpy(rows)
        full.get_output_embeddings().bias[first:] = 0
    return full, AutoTokenizer.from_pretrained(located.extension)


def test_bits_a_character_are_those_of_a_plain_computation(unigram, tmp_path):
    """One word after the other, letter by letter in view, all logits of the resized model."""
    _, located, texts = unigram
    (found,) = mlm.Objective(job(located, texts, tmp_path, mask_share=0.3)).figures()
    full, tokenizer = resized_model(located)
    bits = characters = 0.0
    lines = texts[0].held()
    alphabet = {c for line in lines for c in line if c != " "}
    for number, line in enumerate(lines):
        words = line.split()
        drawn = np.random.default_rng((1, number)).random(len(words))
        chosen = {w for w in range(len(words)) if drawn[w] < 0.3 or drawn[w] == drawn.min()}
        pieces = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
        ids = [0, *(i for word in pieces for i in word), 2]
        assert ids == tokenizer(line)["input_ids"]
        of_piece = [(-1, 0)]
        of_piece += [(w, p) for w, word in enumerate(pieces) for p in range(len(word))]
        of_piece += [(-1, 0)]
        for turn in range(max(len(word) for word in pieces)):
            seen = [
                tokenizer.mask_token_id if w in chosen and p >= turn else i
                for i, (w, p) in zip(ids, of_piece, strict=True)
            ]
            with torch.no_grad():
                logits = full(input_ids=torch.tensor([seen])).logits[0].double()
            for at, (w, p) in enumerate(of_piece):
                if w in chosen and p == turn:
                    bits -= float(logits[at].log_softmax(-1)[ids[at]]) / math.log(2)
        characters += sum(len(words[w]) for w in chosen)
        for w in chosen:
            spans = tokenizer(words[w], return_offsets_mapping=True, add_special_tokens=False)
            for i, (a, b) in zip(spans["input_ids"], spans["offset_mapping"], strict=True):
                bits += (b - a) * math.log2(len(alphabet)) * (i == tokenizer.unk_token_id)
    assert found.value == pytest.approx(bits / characters, rel=1e-5)


def test_unknown_characters_are_spelt(tiny_unigram_base):
    tokenizer = AutoTokenizer.from_pretrained(tiny_unigram_base)
    lines = ["ⵜⴰⵎⴰ ⵣⵉⵖⵜ ⵜⴰⵎⴰ", "ⵣⵉⵖⵜ ⵜⴰⵎⴰ"]
    held = _spelling.held_lines(tokenizer, lines, 64, 0.99, 1)
    letters = sum(len(line.replace(" ", "")) for line in lines)
    assert held.characters == letters == 20
    assert held.spelt_bits == pytest.approx(20 * math.log2(6))


def test_lines_of_unknown_pieces_alone_are_no_items(unigram, tmp_path):
    located, _, _ = unigram
    pairs = [("ꓘ", "one letter"), *tiny_text.sentences(90)]
    text = tiny_text.write(tmp_path, pairs)
    (read,) = tiny_text.material.load(text, ())
    objective = mlm.Objective(job(located, (read,), tmp_path / "work"))
    tokenizer = model.load_tokenizer(located)
    alone = tokenizer("ꓘ", add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id in alone
    expected = 70 if set(alone) == {tokenizer.unk_token_id} else 71
    assert len(objective.lengths) == expected


def test_align_pulls_lines_to_their_translations(unigram, tmp_path):
    _, located, texts = unigram
    given = job(located, texts, tmp_path, objective="align")
    objective = align.Objective(given)
    before = objective.figures()
    assert [figure.name for figure in before] == [
        "retrieval@1 from Nuer", "retrieval@1 to Nuer",
    ]  # fmt: skip
    losses = trained(objective, given.network, 30)
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.1
    after = objective.figures()
    assert sum(f.value for f in after) >= sum(f.value for f in before)


def test_damaged_vectors_of_the_teacher_are_computed_again(unigram, tmp_path):
    _, extended, texts = unigram
    said = []
    made = job(extended, texts, tmp_path, objective="align")
    asked = dataclasses.replace(made, say=said.append)
    before = np.array(align.Objective(asked)._teacher)
    vectors = tmp_path / "teacher.npy"
    vectors.write_bytes(vectors.read_bytes()[:-2] + b"\x00\x7c")
    after = align.Objective(asked)._teacher
    assert np.array_equal(before, after)
    assert said == [f"{tmp_path / 'teacher'}: damaged; the teacher's vectors are computed again"]


def test_retrieval_both_ways():
    lines = np.eye(4)[[0, 1, 2, 2]] + 0.01
    assert align.retrieval(lines, np.eye(4)) == (0.75, 0.75)


def test_equal_translations_of_a_batch_are_not_told_apart(unigram, tmp_path):
    """With one translation for all, nothing is left of the contrast."""
    located, _, texts = unigram
    same = tuple((a, texts[0].learning_pairs[0][1]) for a, _ in texts[0].learning_pairs)
    twins = (replace(texts[0], learning_pairs=same),)
    losses = []
    for contrast in (0.0, 1.0):
        given = job(located, twins, tmp_path / "work", objective="align", contrast=contrast)
        given.network.eval()
        losses.append(float(align.Objective(given).loss(range(8), 0).detach()))
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_both_take_turns(unigram, tmp_path, share):
    _, located, texts = unigram
    given = job(located, texts, tmp_path, objective="both", mlm_share=share, batch=10)
    given.network.eval()
    mixed = both.Objective(given)
    assert len(mixed.lengths) == 200
    kinds = [mixed.mlm_steps(i + 1) - mixed.mlm_steps(i) for i in range(100)]
    assert set(kinds) == {0, 1}
    assert sum(kinds) == pytest.approx(100 * share, abs=1)
    step = kinds.index(1)
    assert torch.equal(mixed.loss([0, 1], step), mixed.loss([7, 9], step))
    # every pair comes once before one comes twice
    pairs = [step for step, kind in enumerate(kinds) if not kind]
    seen: list[int] = []
    mixed._pairs.objective.loss = lambda chosen, step: seen.extend(chosen)
    for step in pairs[:10]:
        mixed.loss([], step)
    assert len(set(seen)) == min(len(pairs), 10) * 10
    assert [f.name for f in mixed.figures()][-1] == "bits a character"


def test_both_kinds_must_fill_a_batch(unigram, tmp_path):
    _, located, texts = unigram
    few = (replace(texts[0], learning_pairs=texts[0].learning_pairs[:5]),)
    with pytest.raises(DataError, match=r"5 lines to learn from, fewer than adapt\.batch 8"):
        both.Objective(job(located, few, tmp_path, objective="both"))
