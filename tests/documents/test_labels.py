"""The words of documents: every language says all of it, and nothing that the others don't."""

import re
from importlib.resources import files

import pytest

from tallystick.domain.billing.closing import LABELS
from tallystick.domain.billing.taxes import REASONS
from tallystick.gateways import documents
from tallystick.gateways.documents.fonts import Cleaner, find
from tallystick.gateways.documents.locales import Form, labels, locale_of

LANGUAGES = sorted(file.name[:2] for file in files(documents).joinpath("labels").iterdir())


def test_there_are_the_languages_that_were_promised() -> None:
    assert {"ar", "de", "en", "es", "fr"} <= set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_lacks_no_words_and_no_places_in_them(language: str) -> None:
    english, words = labels("en"), labels(language)
    assert set(words) == set(english)
    for key, text in words.items():
        assert text.strip() == text != "", key
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", english[key])), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_fonts_have_every_word_of_a_language(language: str) -> None:
    typefaces = find()
    cleaner = Cleaner(typefaces, typefaces.families(language))
    assert cleaner.clean([text for key, text in labels(language).items() if not key.startswith("unreadable")])
    assert cleaner.is_whole


def test_every_category_unit_and_reason_has_words() -> None:
    words = labels("en")
    for category, (_, unit) in LABELS.items():
        assert f"category_{category}" in words
        assert f"unit_{unit}" in words
    assert all(words[f"reason_{name}"] == text for name, text in REASONS.items())


@pytest.mark.parametrize(
    ("name", "expected"),
    [("de", "de"), ("pt-BR", "pt_BR"), ("zh-Hant-TW", "zh_Hant_TW"), ("de-XX", "de"), ("xx", "en"), ("", "en")],
)
def test_a_locale_that_is_not_known_is_the_nearest_that_is(name: str, expected: str) -> None:
    assert str(locale_of(name)) == expected


def test_a_language_without_words_is_told_in_english_with_its_own_numbers() -> None:
    form = Form("sv-SE", "sek")
    assert form.say("page", page="1", pages="2") == "Page 1 of 2"
    assert form.money(123_456).replace("\xa0", " ") == "1 234,56 kr"


def test_a_name_that_runs_the_other_way_is_marked_so_that_its_ends_stay_where_they_are() -> None:
    left, right = "\u200e", "\u200f"
    arabic, english = Form("ar", "eur"), Form("en", "eur")
    assert arabic.isolate("12 rue des Lilas.") == f"{left}12 rue des Lilas.{left}"
    assert arabic.isolate("شركة (1)") == "شركة (1)"
    assert english.isolate("(1) חברה") == f"{right}(1) חברה{right}"
    assert english.isolate("12 rue des Lilas.") == "12 rue des Lilas."
