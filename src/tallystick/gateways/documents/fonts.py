"""The fonts of documents, which are installed as Python packages, and what they can show.

Nothing is fetched and no font of the machine is used: the same packages make the same pages everywhere. A character
that none of them has is shown as U+FFFD, and the document says so; the electronic form keeps it.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import typst

from tallystick.kernel.errors import TallystickError

PACKAGES: Final = ("fontpkg_noto_sans", "justmytype_intl_rtl", "noto_cjk_sans_otc")
"""Latin, Greek, Cyrillic, Devanagari; Arabic and Hebrew; Chinese, Japanese, Korean. The last two are the extra
`tallystick[fonts]`."""

BASE: Final = "Noto Sans"
_RIGHT_TO_LEFT: Final = ("Noto Sans Arabic", "Noto Sans Hebrew")
_CJK: Final = {"zh": "Noto Sans CJK SC", "zh_Hant": "Noto Sans CJK TC", "ko": "Noto Sans CJK KR"}
_CJK_ELSE: Final = "Noto Sans CJK JP"
_CJK_FAMILIES: Final = re.compile(r"Noto (Sans|Serif)( Mono)? CJK ..")
_SUFFIXES: Final = frozenset({".ttf", ".otf", ".ttc", ".otc"})

UNREADABLE: Final = "\ufffd"
_LONGEST: Final = 400
_LONGEST_WORD: Final = 24
_JOINERS: Final = frozenset("\u200c\u200d")
_BREAK: Final = "\u200b"
_MARKS: Final = frozenset({"Mn", "Mc", "Me"})
_SPACE: Final = re.compile(r"\s+")
_WORD: Final = re.compile(rf"[^\s{_BREAK}]{{{_LONGEST_WORD}}}(?=[^\s{_BREAK}]{{8}})")
# What turns the order of a whole paragraph round, and what no font shows: neither has a place in a name.
_UNSHOWN: Final = re.compile(
    "[\u202a-\u202e\u2066-\u2069\u200b\ufeff\ufff9-\ufffb\u00ad\ufe00-\ufe0f\U000e0000-\U000e0fff]"
)
_PLAIN: Final = re.compile(r"[ -~]*")


@dataclass(slots=True)
class Typefaces:
    """The installed fonts: for Typst as `fonts`, and which characters each family has."""

    fonts: typst.Fonts
    files: dict[str, tuple[str, int]]
    _coverage: dict[str, frozenset[int]] = field(default_factory=dict)

    def families(self, locale: str) -> tuple[str, ...]:
        """Families to be tried in this order for text in a locale's language; the last are those an operator added."""
        language, _, rest = locale.partition("_")
        cjk = _CJK.get("zh_Hant" if language == "zh" and rest.startswith(("Hant", "TW", "HK", "MO")) else language)
        usual = (BASE, *_RIGHT_TO_LEFT, cjk or _CJK_ELSE)
        others = [name for name in self.files if name not in usual and not _CJK_FAMILIES.fullmatch(name)]
        return (*(name for name in usual if name in self.files), *sorted(others))

    def can_write(self, locale: str, texts: Sequence[str]) -> bool:
        """Whether all of these texts can be shown in a document of a locale."""
        cleaner = Cleaner(self, self.families(locale))
        cleaner.clean(list(texts))
        return cleaner.is_whole

    def covers(self, family: str, characters: Sequence[str]) -> bool:
        """Whether a family has all of these characters."""
        known = self._coverage.get(family)
        if known is None:
            known = self._coverage[family] = _characters(*self.files[family])
        return all(ord(character) in known for character in characters)


def find(more: Path | None = None, packages: Sequence[str] = PACKAGES) -> Typefaces:
    """The fonts of those packages that are installed, and of one more folder.

    Raises `invalidSetting`, `fontsMissing`.
    """
    if more is not None and not more.is_dir():
        raise TallystickError("invalidSetting", f"TALLY_DOCUMENT_FONTS is no folder: {more}", path=str(more))
    folders = [folder for name in packages for folder in _folders(name)] + ([more] if more else [])
    fonts = typst.Fonts(
        include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(folder) for folder in folders]
    )
    files: dict[str, tuple[str, int]] = {}
    for font in fonts.fonts():
        if font.path and font.style == "normal":
            files.setdefault(font.family, (font.path, font.index))
    if BASE not in files:
        raise TallystickError("fontsMissing", f"The font {BASE} is not installed: install fontpkg-noto-sans.")
    return Typefaces(fonts, files)


class Cleaner:
    """Makes texts ready for the page of one document, and remembers whether anything could not be shown."""

    def __init__(self, typefaces: Typefaces, families: Sequence[str], *, strict: bool = False) -> None:
        self._typefaces = typefaces
        self._families = families
        self._strict = strict
        self.is_whole = True

    def clean(self, value: Any) -> Any:
        """The same JSON value with every text in it cleaned."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {name: self.clean(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.clean(one) for one in value]
        return value

    def text(self, text: str) -> str:
        """One line that every reader sees alike: composed, without controls, with places to break in long words."""
        if len(text) <= _LONGEST_WORD and _PLAIN.fullmatch(text):
            return text
        composed = unicodedata.normalize("NFC", _UNSHOWN.sub("", _SPACE.sub(_one_space, text)))
        if len(composed) > _LONGEST:
            composed = composed[: _LONGEST - 1] + "…"
        shown = composed if _PLAIN.fullmatch(composed) else "".join(map(self._cluster, _clusters(composed)))
        return _WORD.sub(rf"\g<0>{_BREAK}", shown)

    def _cluster(self, cluster: str) -> str:
        if unicodedata.category(cluster[0]) in ("Cc", "Cs"):
            return ""
        needed = [character for character in cluster if character not in _JOINERS]
        if self._strict and not cluster.isascii():
            needed = []
        if needed and any(self._typefaces.covers(family, needed) for family in self._families):
            return cluster
        if not needed and not self._strict:
            return cluster
        self.is_whole = False
        return UNREADABLE


def _one_space(found: re.Match[str]) -> str:
    """A single space stays what it is: a narrow or unbreakable one is there for a reason."""
    return found[0] if len(found[0]) == 1 and found[0] not in "\t\n\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029" else " "


def _clusters(text: str) -> list[str]:
    """A base character with its marks, and what is joined to it: what has to come from one font."""
    found: list[str] = []
    for character in text:
        joins = unicodedata.category(character) in _MARKS or character in _JOINERS
        if found and (joins or found[-1][-1] == "\u200d"):
            found[-1] += character
        else:
            found.append(character)
    return found


def _folders(package: str) -> list[Path]:
    spec = find_spec(package)
    roots = [Path(root) for root in (spec.submodule_search_locations or ())] if spec else []
    return sorted({file.parent for root in roots for file in root.rglob("*") if file.suffix.lower() in _SUFFIXES})


def _characters(path: str, index: int) -> frozenset[int]:
    # Imported here: it is asked only for text beyond ASCII.
    from fontTools.ttLib import TTFont

    with TTFont(path, fontNumber=index, lazy=True) as font:
        return frozenset(font.getBestCmap() or ())
