"""Raw text as streams: lines, their script, how much of it there is, and pairs of lines.

Memory stays flat, whatever the size of a file; pairs alone are held as a whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final

from lowres.errors import DataError

LONGEST_LINE_BYTES: Final = 64 * 2**20
"""A line is held in memory; what is longer has lost its line ends."""
LONGEST_LINE: Final = 10_000
"""Characters that are learnt from in a line: a longer one is no sentence, and what works on whole
lines would take minutes and gigabytes for a line of some MB."""
SCRIPT_AT_LEAST: Final = 0.5
"""Below this share of letters in the declared script, a text is refused."""
SCRIPT_WARNED: Final = 0.85
"""Below this share the user is told; foreign words and names are normal above it."""
LITTLE_WORDS: Final = 1_000
LETTERS_A_WORD: Final = 4
"""Of scripts that set no spaces, to estimate words."""
LENGTH_Z: Final = 4.0
"""Robust z-score, in log space, of a pair whose lengths do not go together."""
LENGTH_SLACK: Final = 20
"""Characters that short pairs may differ by, whatever their ratio."""
REPEATED_MORE_THAN: Final = 2
"""A sentence with more different translations than this is out of step with them."""
NAMED_LINES: Final = 5

_SAMPLES: Final = 200
_SAMPLE_BYTES: Final = 4096

# The scripts of Unicode 17 by ISO 15924; those that Python's or regex's tables lack are skipped.
_CODES: Final = (
    "Latn Arab Cyrl Deva Ethi Beng Tibt Mymr Tfng Nkoo Hani Hira Kana Hang Hebr Grek Thai Laoo "
    "Khmr Geor Armn Taml Telu Knda Mlym Gujr Guru Orya Sinh Thaa Syrc Olck Mtei Cans Cher Adlm "
    "Aghb Ahom Armi Avst Bali Bamu Bass Batk Berf Bhks Bopo Brah Brai Bugi Buhd Cakm Cari Cham "
    "Chrs Copt Cpmn Cprt Diak Dogr Dsrt Dupl Egyp Elba Elym Gara Glag Gong Gonm Goth Gran Gukh "
    "Hano Hatr Hluw Hmng Hmnp Hung Ital Java Kali Kawi Khar Khoj Kits Krai Kthi Lana Lepc Limb "
    "Lina Linb Lisu Lyci Lydi Mahj Maka Mand Mani Marc Medf Mend Merc Mero Modi Mong Mroo Mult "
    "Nagm Nand Narb Nbat Newa Nshu Ogam Onao Orkh Osge Osma Ougr Palm Pauc Perm Phag Phli Phlp "
    "Phnx Plrd Prti Rjng Rohg Runr Samr Sarb Saur Sgnw Shaw Shrd Sidd Sidt Sind Sogd Sogo Sora "
    "Soyo Sund Sunu Sylo Tagb Takr Tale Talu Tang Tavt Tayo Tglg Tirh Tnsa Todr Tols Toto Tutg "
    "Ugar Vaii Vith Wara Wcho Xpeo Xsux Yezi Yiii Zanb"
)
_SCRIPTS: Final = tuple(_CODES.split())

# Codes of ISO 15924 that name a variant or a mixture, by the scripts that Unicode gives letters.
_WRITTEN_IN: Final[Mapping[str, frozenset[str]]] = {
    "Hans": frozenset({"Hani", "Bopo"}),
    "Hant": frozenset({"Hani", "Bopo"}),
    "Hanb": frozenset({"Hani", "Bopo"}),
    "Jpan": frozenset({"Hani", "Hira", "Kana"}),
    "Hrkt": frozenset({"Hira", "Kana"}),
    "Kore": frozenset({"Hang", "Hani"}),
    "Jamo": frozenset({"Hang"}),
    "Latf": frozenset({"Latn"}),
    "Latg": frozenset({"Latn"}),
    "Aran": frozenset({"Arab"}),
    "Cyrs": frozenset({"Cyrl"}),
    "Geok": frozenset({"Geor"}),
    "Syre": frozenset({"Syrc"}),
    "Syrj": frozenset({"Syrc"}),
    "Syrn": frozenset({"Syrc"}),
}

_NO_SPACES: Final = (
    "Bali Cham Hani Hans Hant Hanb Hira Hrkt Java Jpan Kana Khmr Lana Laoo Mymr Talu Tavt Thai "
    "Tibt Yiii"
)
SPACELESS: Final = frozenset(_NO_SPACES.split())
"""Scripts that set no space between words: what stands between spaces there is no word."""


def lines(path: Path, key: str = "--text") -> Iterator[str]:
    """Every line of a UTF-8 file without its end, empty ones too; read as they are asked for.

    Only `\\n` ends a line; a `\\r` before it and a byte-order mark at the start are left out.

    Args:
        path: the file.
        key: what named it, for errors.

    Raises:
        DataError: at once for a file that is missing, unreadable, empty or UTF-16; when it is
            reached, for a line that is not UTF-8, holds a NUL, or is longer than
            `LONGEST_LINE_BYTES`; at the end, for a file without any text.
    """
    check_start(path, key)
    return _decoded(path, key)


def texts(path: Path, key: str = "--text") -> Iterator[str]:
    """The lines that hold something, stripped. Raises as `lines` does."""
    check_start(path, key)
    return (stripped for line in _decoded(path, key) if (stripped := line.strip()))


def begun(line: str) -> str:
    """A line, or the beginning of one over `LONGEST_LINE` characters, cut at a space if it can."""
    if len(line) <= LONGEST_LINE:
        return line
    space = line.rfind(" ", 1, LONGEST_LINE)
    return line[: space if space > 0 else LONGEST_LINE]


def check_start(path: Path, key: str, holds: str = "one sentence a line") -> None:
    """Raise `DataError` for a file that is missing, unreadable, empty or UTF-16; `holds` is what
    it should hold, in words."""
    try:
        if path.exists() and not path.is_file():
            what = "a folder" if path.is_dir() else "no regular file (it is read more than once)"
            raise DataError(f"{key} {path}: is {what}; expected a file with {holds}")
        with path.open("rb") as stream:
            begun = stream.read(3)
    except FileNotFoundError:
        raise DataError(f"{key} {path}: no such file; expected UTF-8 text, {holds}") from None
    except OSError as error:
        raise DataError(
            f"{key} {path}: cannot be read: {error.strerror}; mend its rights or give another file"
        ) from None
    if not begun:
        raise DataError(f"{key} {path}: the file is empty; expected {holds}")
    if begun.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(
            f"{path}:1: is UTF-16, expected UTF-8; convert it: "
            f"iconv -f UTF-16 -t UTF-8 {path.name} > NEW"
        )


def _decoded(path: Path, key: str) -> Iterator[str]:
    blank = True
    with path.open("rb") as stream:
        for number, line in enumerate(_raw(stream, path), start=1):
            if b"\0" in line:
                raise DataError(
                    f"{path}:{number}: holds a NUL byte: no text, or UTF-16 without its mark; "
                    f"convert it: iconv -f UTF-16LE -t UTF-8 {path.name} > NEW"
                )
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}:{number}: not UTF-8 (byte 0x{error.object[error.start]:02x}); convert "
                    f"it, for example: iconv -f WINDOWS-1252 -t UTF-8 {path.name} > NEW"
                ) from None
            if not text.endswith("\n") and number == 1 and "\r" in text.rstrip("\r"):
                raise DataError(
                    f"{path}:1: lines end in a bare carriage return (old Mac); "
                    f"convert it: tr '\\r' '\\n' < {path.name} > NEW"
                )
            text = text.removesuffix("\n").removesuffix("\r")
            blank = blank and not text.strip()
            yield text
    if blank:
        raise DataError(f"{key} {path}: holds no text, only blank lines; expected one text a line")


def _raw(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    number = 0
    while line := stream.readline(LONGEST_LINE_BYTES):
        number += 1
        if len(line) == LONGEST_LINE_BYTES and not line.endswith(b"\n"):
            raise DataError(
                f"{path}:{number}: a line of more than {LONGEST_LINE_BYTES // 2**20} MB; expected "
                "one sentence or paragraph a line: break the text into lines"
            )
        yield line


def sample(path: Path, key: str = "--text") -> str:
    """Text from places spread evenly over a file, at most 800 kB; all of a smaller one.

    Raises as `lines` does for a file that cannot be opened; what cannot be decoded is left out.
    """
    check_start(path, key)
    size = path.stat().st_size
    with path.open("rb") as stream:
        if size <= _SAMPLES * _SAMPLE_BYTES:
            return stream.read().decode("utf-8", errors="ignore")
        parts = []
        for index in range(_SAMPLES):
            stream.seek(index * (size - _SAMPLE_BYTES) // (_SAMPLES - 1))
            parts.append(stream.read(_SAMPLE_BYTES).decode("utf-8", errors="ignore"))
    return "\n".join(parts)


def scripts(text: str) -> Counter[str]:
    """Letters by script, as ISO 15924 codes; those of no script of their own are not counted."""
    found: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if character.isalpha() and (script := _script_of(character)):
            found[script] += count
    return found


@lru_cache(maxsize=2**16)
def _script_of(character: str) -> str | None:
    match = _by_script().match(character)
    return None if match is None else str(match.lastgroup)


@cache
def _by_script() -> Any:
    """One pattern with a group a script; which groups there are depends on regex's Unicode."""
    import regex

    known = []
    for code in _SCRIPTS:
        try:
            regex.compile(rf"\p{{Script={code}}}")
        except regex.error:
            continue
        known.append(rf"(?P<{code}>\p{{Script={code}}})")
    return regex.compile("|".join(known))


def fits(script: str, counted: str) -> bool:
    """Whether letters of a script that `scripts` counts are of a language's: Hani in Hant."""
    return counted in _WRITTEN_IN.get(script, (script,))


def share(script: str, counted: Mapping[str, int]) -> float:
    """The share of counted letters that are of a language's script; 0 for no letters."""
    fitting = sum(count for code, count in counted.items() if fits(script, code))
    return fitting / max(1, sum(counted.values()))


def check_script(path: Path, language: str, text: str | None = None) -> str | None:
    """Whether a text is in the script that a language's code says; some foreign words may be.

    Args:
        path: the file, for the message and for the sample.
        language: FLORES code, such as `tzm_Tfng`.
        text: what to look at; by default `sample(path)`.

    Returns:
        A warning where much is in another script (below `SCRIPT_WARNED`), otherwise None.

    Raises:
        DataError: when less than `SCRIPT_AT_LEAST` of the letters are in that script.
    """
    script = language.split("_")[-1]
    if not any(fits(script, code) for code in _SCRIPTS):
        return None  # Unicode has no letters of it, so nothing can be checked
    counted = scripts(sample(path) if text is None else text)
    if not counted:
        raise DataError(f"{path}: holds no letters of any script; expected text in {script}")
    found = share(script, counted)
    others = ", ".join(
        f"{count / sum(counted.values()):.0%} {code}"
        for code, count in counted.most_common(3)
        if not fits(script, code) and count >= sum(counted.values()) / 100
    )
    says = f"{path}: {found:.0%} of its letters are {script}, as {language} says, {others}"
    if found < SCRIPT_AT_LEAST:
        first = counted.most_common(1)[0][0]
        raise DataError(
            f"{says}; give the language's code with its script ({language.split('_')[0]}_{first}), "
            "or another text"
        )
    if found < SCRIPT_WARNED:
        return f"{says}; lines in another script are measured and learnt from as well"
    return None


def words(text: str) -> int:
    """How many words a text has, about: an estimate where a script sets no spaces."""
    spaced = len(text.split())
    if text.isascii():
        return spaced
    return spaced + len(spaceless().findall(text)) // LETTERS_A_WORD


@cache
def spaceless() -> Any:
    """Finds the letters of scripts that set no spaces, one by one."""
    import regex

    known = "".join(rf"\p{{Script={code}}}" for code in sorted(SPACELESS) if code in _SCRIPTS)
    return regex.compile(rf"(?V1)[[{known}]&&\p{{L}}]")


def support(word_count: int) -> str | None:
    """What so little text can support, in a sentence; None where there is enough to begin with."""
    if word_count >= LITTLE_WORDS:
        return None
    return (
        f"{word_count:,} words are little (under {LITTLE_WORDS:,}): figures are noisy, --pieces "
        "can be a few hundred at most, and adapting the base to so little text is not worth a run"
    )


@dataclass(frozen=True)
class Pairs:
    """Lines with their translations."""

    pairs: tuple[tuple[str, str], ...]
    """(line, its translation), stripped."""
    line_numbers: tuple[int, ...]
    """Where each pair stands in its files, from 1."""
    notes: tuple[str, ...]
    """What was left out and why, in words."""


def pairs(
    path: Path, translation: Path, key: str = "--text", translation_key: str = "--parallel"
) -> Pairs:
    """Line-aligned pairs; those that are empty, double or out of step are left out, and noted.

    Out of step are lines whose length does not go with their translation's (`LENGTH_Z`), and
    sentences that stand beside several different translations (`REPEATED_MORE_THAN`).

    Raises:
        DataError: for files of different length, or no usable pair; as `lines` does.
    """
    left, right = list(lines(path, key)), list(lines(translation, translation_key))
    if len(left) != len(right):
        raise DataError(
            f"{key} {path}: {len(left):,} lines, but {translation_key} {translation}: "
            f"{len(right):,}; expected line i to translate line i: align the files again"
        )
    found = [(a.strip(), b.strip()) for a, b in zip(left, right, strict=True)]
    notes: list[str] = []
    kept = [i for i, (a, b) in enumerate(found) if a and b]
    _note(notes, "pairs with an empty side", range(len(found)), kept)
    first = {found[i]: i for i in reversed(kept)}
    kept = _left_out(notes, "pairs that stood there before", kept, set(kept) - {*first.values()})
    repeated = _repeated(found, kept)
    what = "lines that repeat one sentence beside different translations"
    kept = _left_out(notes, what, kept, repeated)
    what = "pairs whose lengths do not go together"
    kept = _left_out(notes, what, kept, _out_of_length(found, kept))
    if not kept:
        raise DataError(
            f"{key} {path}: no usable pair with {translation_key} {translation} "
            f"({'; '.join(notes)}); align the files again"
        )
    return Pairs(tuple(found[i] for i in kept), tuple(i + 1 for i in kept), tuple(notes))


def _left_out(notes: list[str], what: str, before: Sequence[int], out: set[int]) -> list[int]:
    kept = [i for i in before if i not in out]
    _note(notes, what, before, kept)
    return kept


def _note(notes: list[str], what: str, before: Sequence[int], kept: Sequence[int]) -> None:
    gone = sorted({*before} - {*kept})
    if gone:
        named = ", ".join(str(i + 1) for i in gone[:NAMED_LINES])
        more = ", …" if len(gone) > NAMED_LINES else ""
        notes.append(f"left out: {len(gone):,} {what} (line {named}{more})")


def _repeated(found: Sequence[tuple[str, str]], kept: Sequence[int]) -> set[int]:
    """Where a sentence stands beside too many translations; in a text that has such damage, every
    sentence that stands beside two, as the copies cannot be told apart."""
    beside: dict[str, set[str]] = {}
    for i in kept:
        beside.setdefault(found[i][0], set()).add(found[i][1])
    damaged = any(len(b) > REPEATED_MORE_THAN and len(a) > LENGTH_SLACK for a, b in beside.items())
    if not damaged:
        return set()
    return {i for i in kept if len(found[i][0]) > LENGTH_SLACK and len(beside[found[i][0]]) > 1}


def _out_of_length(found: Sequence[tuple[str, str]], kept: Sequence[int]) -> set[int]:
    """Pairs whose log ratio of lengths is far off the median of this corpus."""
    import numpy as np

    if len(kept) < 2:
        return set()
    sizes = np.array([(len(found[i][0]), len(found[i][1])) for i in kept], dtype=float)
    ratios = np.log(sizes[:, 0]) - np.log(sizes[:, 1])
    middle = np.median(ratios)
    # a tenth at least, or a corpus of even pairs would have no room at all
    spread = max(0.1, 1.4826 * float(np.median(np.abs(ratios - middle))))
    expected = sizes[:, 1] * np.exp(middle)
    far = np.abs(ratios - middle) / spread > LENGTH_Z
    far &= np.abs(sizes[:, 0] - expected) > LENGTH_SLACK
    return {i for i, is_far in zip(kept, far, strict=True) if is_far}
