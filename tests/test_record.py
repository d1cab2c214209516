"""lowres/record.py: tables of measured transfer, and what they say of a target."""

import pytest

from lowres import record, uriel
from lowres.languages import canonical
from lowres.record import Table

needs_package = pytest.mark.skipif(not uriel.present(), reason=f"no {uriel.PACKAGE}")


def table(values: dict[str, dict[str, float]], unit: str = "score") -> Table:
    return Table("made-up", "tagging", "", unit, "", values)  # type: ignore[arg-type]


def test_tables_are_whole() -> None:
    """Published places of a target are those from 1 on, but where sources share a mean place.

    Portuguese's own data are no better for it than Spanish: there the table begins with 0.
    """
    for found in record.tables():
        assert found.source
        for target, values in found.values.items():
            assert canonical(target) == target
            assert not {code for code in values if uriel.member(code) == uriel.member(target)}
            if found.unit == "place":
                count, taken = len(values), target == "por_Latn"
                assert sum(values.values()) == pytest.approx(count * (count + 1) / 2 - taken)
                assert min(values.values()) == 1 - taken


def test_published_places_are_those_of_the_paper() -> None:
    """Best and second source by table 12 of Adelani et al. 2022."""
    values = next(t for t in record.tables() if t.name == "masakhaner2").values
    paper = {
        "bam_Latn": ("twi_Latn", "fon_Latn"), "fon_Latn": ("mos_Latn", "bbj_Latn"),
        "hau_Latn": ("pcm_Latn", "yor_Latn"), "ibo_Latn": ("sna_Latn", "yor_Latn"),
        "swh_Latn": ("deu_Latn", "arb_Arab"), "xho_Latn": ("zul_Latn", "sna_Latn"),
        "yor_Latn": ("hau_Latn", "pcm_Latn"), "eng_Latn": ("pcm_Latn", "swe_Latn"),
    }  # fmt: skip
    for target, (best, second) in paper.items():
        order = sorted(values[target], key=lambda source: values[target][source])
        assert (order[0], order[1]) == (best, second), target


def test_standing_is_even_and_shared_by_equals() -> None:
    one = table({"xho_Latn": {"zul_Latn": 80, "sna_Latn": 60, "eng_Latn": 60, "deu_Latn": 10}})
    assert one.standing("xho_Latn") == pytest.approx(
        {"zul_Latn": 1.0, "sna_Latn": 0.5, "eng_Latn": 0.5, "deu_Latn": 0.0}
    )
    places = table({"xho_Latn": {"zul_Latn": 1, "sna_Latn": 2, "eng_Latn": 3}}, "place")
    assert places.standing("xho_Latn") == {"zul_Latn": 1.0, "sna_Latn": 0.5, "eng_Latn": 0.0}


@needs_package
def test_near_targets_count_more_and_the_target_itself_not_at_all() -> None:
    """For Zulu, beside which Xhosa is spoken, Xhosa's best source; not that of French."""
    held = [
        table(
            {
                "xho_Latn": {"sna_Latn": 70, "spa_Latn": 20},
                "fra_Latn": {"sna_Latn": 20, "spa_Latn": 80},
                "zul_Latn": {"sna_Latn": 1, "spa_Latn": 99},
            }
        )
    ]
    found = record.measured("zul_Latn", "tagging", held)
    assert found["sna_Latn"].standing > 0.99
    assert found["sna_Latn"].nearest == "xho_Latn"
    assert found["sna_Latn"].targets == 2
    assert record.measured("fra_Latn", "tagging", held)["sna_Latn"].nearest != "fra_Latn"


@needs_package
def test_a_language_counts_as_its_own_best_source() -> None:
    held = [
        table(
            {
                "xho_Latn": {"zul_Latn": 50, "sna_Latn": 70},
                "zul_Latn": {"xho_Latn": 50, "sna_Latn": 70},
            }
        )
    ]
    found = record.measured("ssw_Latn", "tagging", held)
    assert found["zul_Latn"].standing > found["xho_Latn"].standing > 0.0
    assert found["sna_Latn"].standing == 1.0
    assert found["zul_Latn"].targets == 2


def test_without_distances_all_targets_count_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uriel, "present", lambda: False)
    held = [
        table(
            {
                "xho_Latn": {"sna_Latn": 70, "spa_Latn": 20},
                "fra_Latn": {"sna_Latn": 20, "spa_Latn": 80},
            }
        )
    ]
    found = record.measured("zul_Latn", "tagging", held)
    assert found["sna_Latn"].standing == found["spa_Latn"].standing == 0.5
    assert found["sna_Latn"].distance is None


def test_macrolanguages_are_the_language_that_is_meant() -> None:
    assert "swh_Latn" not in record.measured("swa_Latn", "tagging")


@needs_package
def test_tables_of_the_task_alone_count_where_they_have_a_near_target() -> None:
    values = {"xho_Latn": {"sna_Latn": 70.0, "spa_Latn": 20.0}}
    tagging, other = table(values), Table("other", "pairs", "", "score", "", {**values})
    held = [tagging, other]
    assert record.chosen("zul_Latn", "tagging", held) == (tagging,)
    assert record.chosen("fra_Latn", "tagging", held) == (tagging, other), "Xhosa is far from it"
    assert record.chosen("zul_Latn", None, held) == (tagging, other)
    assert record.chosen("zul_Latn", "classification", held) == (tagging, other)
    assert {t.task for t in record.chosen("zul_Latn", "tagging")} == {"tagging"}


@needs_package
def test_a_far_table_says_nothing_where_another_is_nearer() -> None:
    values = {"ban_Latn": {"sun_Latn": 70.0, "jav_Latn": 20.0}}
    indonesian = Table("indonesian", "classification", "", "score", "", values)
    african = table({"wol_Latn": {"hau_Latn": 70, "deu_Latn": 20}})
    # neither has a target near Bambara, and the best of Java is none of its sources
    for task in (None, "tagging", "classification"):
        assert record.chosen("bam_Latn", task, [indonesian, african]) == (african,)
        found = record.measured("bam_Latn", task, [indonesian, african])
        assert set(found) == {"hau_Latn", "deu_Latn"}
    assert record.chosen("mad_Latn", None, [indonesian, african]) == (indonesian,)
