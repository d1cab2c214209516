"""Language codes as FLORES writes them: ISO 639-3 language, `_`, ISO 15924 script (`yor_Latn`).

`languages.tsv` holds FLORES-200 and the FLORES+ languages that SIB-200 adds, with English names.
Any other pair of an ISO 639-3 language (or macrolanguage) and a script is known through langcodes
(IANA's subtag registry), which is imported only when a code outside the table is met.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

from lowres.errors import LanguageError

_TABLE: Final = Path(__file__).with_name("languages.tsv")
_SHAPE: Final = re.compile(r"([A-Za-z]{3})[_-]([A-Za-z]{4})")
_BARE: Final = re.compile(r"[A-Za-z]{2,3}")

_FORM: Final = "expected an ISO 639-3 language and an ISO 15924 script, such as yor_Latn"

# No language: undetermined, several, uncoded, not linguistic; qaa-qtz are for private use.
_NO_LANGUAGE: Final = re.compile(r"und|mul|mis|zxx|q[a-t][a-z]")
# No script: inherited, common, unwritten, unknown, symbols, mathematics; Qaaa-Qabx are private.
_NO_SCRIPT: Final = re.compile(r"Z(inh|yyy|xxx|zzz|sy[em]|mth)|Qa.*")

_RTL: Final = (
    "Adlm Arab Aran Armi Avst Chrs Cprt Elym Hatr Hebr Hung Khar Lydi Mand Mani Mend Merc "
    "Mero Narb Nbat Nkoo Orkh Ougr Palm Phli Phlp Phnx Prti Rohg Samr Sarb Sogd Sogo Syre Syrc "
    "Syrj Syrn Thaa Yezi"
)
RTL_SCRIPTS: Final = frozenset(_RTL.split())
"""Scripts that Unicode's bidirectional algorithm sets from right to left."""

# Conneau et al. 2020 (arXiv:1911.02116), appendix A; romanised Bengali, Hindi, Tamil, Telugu and
# Urdu were separate corpora there. Macrolanguages stand beside the language meant.
_SEEN: Final = (
    "afr_Latn als_Latn amh_Ethi ara_Arab arb_Arab asm_Beng aze_Latn azj_Latn bel_Cyrl ben_Beng "
    "ben_Latn bos_Latn bre_Latn bul_Cyrl cat_Latn ces_Latn cmn_Hans cmn_Hant cym_Latn dan_Latn "
    "deu_Latn ell_Grek eng_Latn epo_Latn est_Latn eus_Latn fas_Arab fil_Latn fin_Latn fra_Latn "
    "fry_Latn gaz_Latn gla_Latn gle_Latn glg_Latn guj_Gujr hau_Latn heb_Hebr hin_Deva hin_Latn "
    "hrv_Latn hun_Latn hye_Armn ind_Latn isl_Latn ita_Latn jav_Latn jpn_Jpan kan_Knda kat_Geor "
    "kaz_Cyrl khk_Cyrl khm_Khmr kir_Cyrl kmr_Latn kor_Hang kur_Latn lao_Laoo lat_Latn lav_Latn "
    "lit_Latn lvs_Latn mal_Mlym mar_Deva mkd_Cyrl mlg_Latn mon_Cyrl msa_Latn mya_Mymr nep_Deva "
    "nld_Latn nob_Latn nor_Latn npi_Deva ori_Orya orm_Latn ory_Orya pan_Guru pbt_Arab pes_Arab "
    "plt_Latn pol_Latn por_Latn pus_Arab ron_Latn rus_Cyrl san_Deva sin_Sinh slk_Latn slv_Latn "
    "snd_Arab som_Latn spa_Latn sqi_Latn srp_Cyrl sun_Latn swa_Latn swe_Latn swh_Latn tam_Latn "
    "tam_Taml tel_Latn tel_Telu tgl_Latn tha_Thai tur_Latn uig_Arab ukr_Cyrl urd_Arab urd_Latn "
    "uzb_Latn uzn_Latn vie_Latn xho_Latn ydd_Hebr yid_Hebr zho_Hans zho_Hant zsm_Latn"
)
XLMR_SEEN: Final = frozenset(_SEEN.split())
"""FLORES codes of the 100 languages in XLM-R's pretraining data, in the scripts they came in."""


@dataclass(frozen=True)
class Language:
    """A language in a script."""

    code: str
    """FLORES code, such as `yor_Latn`."""
    name: str
    """English name, such as `Yoruba`."""
    script: str
    """ISO 15924 code, such as `Latn`."""
    direction: Literal["ltr", "rtl"]
    bcp47: str
    """Shortest BCP 47 tag, for `lang` attributes and model cards: `yo`."""


@cache
def flores() -> dict[str, str]:
    """FLORES code -> English name of its language (the script is not in the name)."""
    lines = _TABLE.read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t") for line in lines)


@cache
def canonical(code: str) -> str:
    """The FLORES form of a code: `yor-Latn`, `YOR_latn` -> `yor_Latn`.

    Raises `ValueError` for anything but a language and a script that exist; the message names the
    nearest known codes.
    """
    code = code.strip()
    match = _SHAPE.fullmatch(code)
    if match is None:
        raise ValueError(f"{code!r} is no language code; {_FORM}{_near_text(code)}")
    language, script = match[1].lower(), match[2].capitalize()
    known = f"{language}_{script}"
    if known in flores():
        return known
    if _NO_LANGUAGE.fullmatch(language) or not _is_language(language):
        near = _near_language(language, script)
        raise ValueError(f"unknown language {language!r} in {code!r}; {_FORM}{near}")
    if _NO_SCRIPT.fullmatch(script) or not _is_valid(f"{language}-{script}"):
        near = _near_script(language, script)
        raise ValueError(f"unknown script {script!r} in {code!r}; {_FORM}{near}")
    return known


def of_option(option: str, given: str) -> str:
    """An option as `canonical`. Raises `LanguageError`, which names the option."""
    try:
        return canonical(given)
    except ValueError as error:
        raise LanguageError(f"{option}: {error}") from None


@cache
def describe(code: str) -> Language:
    """Name, script and direction of a language. Raises `ValueError` as `canonical` does."""
    code = canonical(code)
    language, script = code.split("_")
    return Language(
        code=code,
        name=flores().get(code) or _name(language),
        script=script,
        direction="rtl" if script in RTL_SCRIPTS else "ltr",
        bcp47=_tag(f"{language}-{script}"),
    )


def _tag(subtags: str) -> str:
    import langcodes

    # Not to the macrolanguage: `arb` must not become `ar`, nor `swh` `sw`.
    return langcodes.standardize_tag(subtags, macro=False)


def _is_valid(subtags: str) -> bool:
    import langcodes

    return langcodes.tag_is_valid(_tag(subtags))


def _is_language(language: str) -> bool:
    return _is_valid(language) and _terminological(language) == language


def _terminological(language: str) -> str:
    """ISO 639-2's older codes (`ger`) to the ones of ISO 639-3 (`deu`); others as they are."""
    import langcodes

    read = langcodes.Language.get(_tag(language))
    if len(read.language or "") == 2 and read.to_alpha3(variant="B") == language:
        return read.to_alpha3(variant="T")
    return language


def _name(language: str) -> str:
    for code, name in flores().items():
        if code[:3] == language:
            return name
    import langcodes

    return langcodes.Language.get(language).language_name()


def _of_language(language: str) -> list[str]:
    """FLORES codes of a bare language code (2 or 3 letters) or of what a macrolanguage covers."""
    same = [code for code in flores() if code[:3] == language]
    if same or not _is_valid(language):
        return same
    import langcodes

    # Macrolanguage on both sides: FLORES has `swh` for `swa`, but also `zho` for `cmn`.
    wanted = langcodes.standardize_tag(language, macro=True)
    return [code for code in flores() if langcodes.standardize_tag(code[:3], macro=True) == wanted]


def _near_text(text: str) -> str:
    bare = re.split(r"[_-]", text)[0].lower()
    if _BARE.fullmatch(bare):
        return _did_you_mean(_of_language(bare))
    return _did_you_mean([code for code, name in flores().items() if name.lower() == text.lower()])


def _near_language(language: str, script: str) -> str:
    if _NO_LANGUAGE.fullmatch(language):
        return " (und, mul, mis, zxx and the private qaa-qtz name no language)"
    if _is_valid(language):
        return _did_you_mean([f"{_terminological(language)}_{script}"])
    near = _close(language, {code[:3] for code in flores()})
    return _did_you_mean([code for word in near for code in _of_language(word)])


def _near_script(language: str, script: str) -> str:
    near = _close(script, {code[4:] for code in flores()})
    return _did_you_mean([f"{language}_{word}" for word in near] or _of_language(language))


def _close(word: str, known: set[str]) -> list[str]:
    from difflib import get_close_matches  # only errors need it

    return get_close_matches(word, sorted(known), n=1, cutoff=0.5)


def _did_you_mean(codes: list[str]) -> str:
    return f"; did you mean {' or '.join(codes)}?" if codes else ""
