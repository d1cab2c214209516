"""Whether a base's pretraining had a language, as far as lists of its text are here."""

from __future__ import annotations

from lowres import bases, uriel
from lowres.languages import XLMR_SEEN


def known(base: str) -> bool:
    """Whether anything is known of a base (short name or Hub id)."""
    row = bases.row_of(base)
    return row is not None and row.pretraining != "not known"


def seen(base: str, code: str) -> bool | None:
    """Whether a base's pretraining had a language in its script; None where that is not known.

    Args:
        base: short name or Hub id; one and the same for both.
        code: FLORES code; a macrolanguage counts as its usual member, `swa_Latn` as `swh_Latn`.
    """
    row = bases.row_of(base)
    if row is None or row.pretraining == "not known":
        return None
    if row.pretraining == "english":
        return code == "eng_Latn"
    own = {other for other in XLMR_SEEN if other[4:] == code[4:]}
    had = uriel.member(code) in {uriel.member(other) for other in own}
    return had or (None if row.pretraining == "xlm-r and more" else False)
