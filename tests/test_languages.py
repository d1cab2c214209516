from __future__ import annotations

import subprocess
import sys

import pytest

from lowres import languages
from lowres.languages import XLMR_SEEN, canonical, describe


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("yor_Latn", "yor_Latn"),
        ("yor-Latn", "yor_Latn"),
        (" YOR_latn ", "yor_Latn"),
        ("lao_Laoo", "lao_Laoo"),
        ("bzd_Latn", "bzd_Latn"),
        ("pcm-latn", "pcm_Latn"),
        ("kmr_Latn", "kmr_Latn"),
        ("nqo_Nkoo", "nqo_Nkoo"),
        ("arq_Latn", "arq_Latn"),
        ("swa_Latn", "swa_Latn"),  # a macrolanguage
        ("roh_Latn", "roh_Latn"),  # has a two-letter code, and no place in FLORES
    ],
)
def test_canonical_writes_codes_as_flores_does(written, code):
    assert canonical(written) == code


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("yor", "did you mean yor_Latn?"),
        ("yo", "did you mean yor_Latn?"),
        ("swa", "did you mean swh_Latn?"),
        ("zh", "did you mean zho_Hans or zho_Hant?"),
        ("kas", "did you mean kas_Arab or kas_Deva?"),
        ("Yoruba", "did you mean yor_Latn?"),
        ("yor_Latin", "did you mean yor_Latn?"),
        ("yor_Latx", "unknown script 'Latx' in 'yor_Latx'"),
        ("bzd_Latx", "did you mean bzd_Latn?"),
        ("eng_Zyyy", "unknown script 'Zyyy'"),
        ("ger_Latn", "did you mean deu_Latn?"),
        ("xxq_Latn", "unknown language 'xxq'"),
        ("yoj_Latn", "did you mean yor_Latn?"),
        ("qaf_Latn", "private"),
        ("und_Latn", "unknown language 'und'"),
        ("", "is no language code"),
        ("en-US", "did you mean eng_Latn?"),
    ],
)
def test_unknown_codes_are_refused_with_the_nearest_one(written, says):
    with pytest.raises(ValueError, match="expected an ISO 639-3 language") as caught:
        canonical(written)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "name", "direction", "bcp47"),
    [
        ("yor_Latn", "Yoruba", "ltr", "yo-Latn"),
        ("arb_Arab", "Modern Standard Arabic", "rtl", "arb-Arab"),
        ("nqo_Nkoo", "N’Ko", "rtl", "nqo"),
        ("heb_Hebr", "Hebrew", "rtl", "he"),
        ("hin-Deva", "Hindi", "ltr", "hi"),
        ("pcm_Latn", "Nigerian Pidgin", "ltr", "pcm-Latn"),
        ("bzd_Latn", "Bribri", "ltr", "bzd-Latn"),
        ("urd_Latn", "Urdu", "ltr", "ur-Latn"),  # direction is the script's, not the language's
    ],
)
def test_describe_gives_name_direction_and_tag(code, name, direction, bcp47):
    language = describe(code)
    assert (language.name, language.direction, language.bcp47) == (name, direction, bcp47)
    assert language.script == language.code[4:]


def test_the_table_is_whole_and_every_code_in_it_is_valid():
    table = languages.flores()
    assert len(table) == 207  # FLORES-200's 204, and N'Ko, Meitei and Santali in their own scripts
    for code in table:
        language, script = code.split("_")
        assert languages._is_language(language), code
        assert languages._is_valid(f"{language}-{script}"), code
        assert describe(code).name == table[code]


def test_what_xlmr_saw_are_canonical_codes():
    assert all(canonical(code) == code for code in XLMR_SEEN)
    assert {"swh_Latn", "zho_Hans", "amh_Ethi", "urd_Latn"} <= XLMR_SEEN
    assert not {"yor_Latn", "kin_Latn", "tzm_Tfng"} & XLMR_SEEN


@pytest.mark.data
def test_what_xlmr_saw_agrees_with_the_readme_of_the_data(shared_data):
    text = (shared_data / "README.md").read_text(encoding="utf-8")
    start = text.index("\nSeen (16): ")
    seen, unseen = text[start:].split("\n\n")[0].strip().splitlines()
    listed = [
        {code.strip(" .") for code in line.split(": ")[1].split(",")} for line in (seen, unseen)
    ]
    assert listed[0] <= XLMR_SEEN
    assert not listed[1] & XLMR_SEEN


@pytest.mark.data
def test_every_folder_of_the_data_is_a_known_language(shared_data):
    for folder in sorted((shared_data / "sib200").iterdir()):
        if folder.is_dir():
            assert canonical(folder.name) == folder.name


def test_importing_needs_no_library_and_known_codes_need_none_either():
    code = (
        "import sys; from lowres.languages import canonical; canonical('yor-Latn');"
        "assert not {'langcodes', 'numpy', 'torch'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
