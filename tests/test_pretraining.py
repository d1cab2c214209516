"""lowres/pretraining.py: whether a base's pretraining had a language."""

import pytest

from lowres import bases, pretraining


@pytest.mark.parametrize(
    ("base", "code", "said"),
    [
        ("e5-small", "swh_Latn", True),
        ("xlm-roberta-base", "tzm_Tfng", False),
        ("mdeberta-v3-base", "swh_Latn", True),
        ("e5-small", "hin_Beng", False),  # Hindi, but not in this script
        ("e5-small", "ekk_Latn", True),  # in the list as est_Latn
        ("e5-small", "swa_Latn", True),
        ("mmBERT-base", "swh_Latn", None),
        ("afro-xlmr-base", "swh_Latn", True),
        ("afro-xlmr-base", "yor_Latn", None),  # not in XLM-R, and its own are not listed here
        ("minilm-en", "eng_Latn", True),
        ("minilm-en", "swh_Latn", False),
        ("someone/base", "swh_Latn", None),
    ],
)
def test_whether_a_base_saw_a_language(base: str, code: str, said: bool | None) -> None:
    assert pretraining.seen(base, code) is said


def test_a_base_is_the_same_by_name_and_by_hub_id() -> None:
    for row in bases.ROWS.values():
        assert pretraining.known(row.name) == pretraining.known(row.hub_id)
        for code in ("swh_Latn", "yor_Latn", "eng_Latn", "ekk_Latn"):
            assert pretraining.seen(row.name, code) is pretraining.seen(row.hub_id, code)
