"""The PDF: PDF/A-3 with the electronic form inside, the same bytes everywhere, whatever texts are on it."""

import asyncio
import datetime as dt
import hashlib
import io
import os
import re
import subprocess
import sys
import unicodedata
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pypdf
import pytest
from fontTools.feaLib.builder import addOpenTypeFeaturesFromString
from fontTools.ttLib import TTFont
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.domain.billing.closing import BEFORE
from tallystick.domain.billing.documents import Document
from tallystick.gateways.documents import facturx, xmp
from tallystick.gateways.documents.fonts import UNREADABLE, Cleaner, find
from tallystick.gateways.documents.pdf import Look, Printer
from tallystick.kernel.errors import TallystickError
from tests.documents import samples
from tests.documents.checking import attached, structure_problems, text_of, violations
from tests.documents.samples import BANK, BUYER, DUE, ISSUED, LINES, SELLER, START, USED, document, line, used

PRINTER = Printer(Look(bank=BANK))
HERE = Path(__file__).parent


def squeezed(pdf: bytes) -> str:
    """The text of the pages without any space: where a line breaks is not what is tested."""
    return re.sub(r"\s|\u200b|\u200e|\u200f", "", unicodedata.normalize("NFKC", text_of(pdf)))


def has(pdf: bytes, *texts: str) -> bool:
    whole = squeezed(pdf)
    return all(re.sub(r"\s", "", unicodedata.normalize("NFKC", text)) in whole for text in texts)


@pytest.mark.parametrize(
    "made",
    [document(), document(locale="ar"), document(locale="ja", currency="jpy"), samples.credit_note(), samples.long()],
    ids=["invoice", "arabic", "japanese", "credit note", "300 lines"],
)
def test_it_is_built_as_the_standards_ask_and_holds_the_electronic_form(made: Document) -> None:
    pdf = PRINTER.render(made)
    assert structure_problems(pdf) == []
    assert attached(pdf) == PRINTER.write_xml(made)
    assert violations(attached(pdf)) == []


def test_without_an_electronic_form_it_is_still_a_page_to_keep_and_claims_nothing() -> None:
    pdf = PRINTER.render(document(currency="bhd"))
    assert b"factur-x" not in pdf
    assert b"<pdfaid:part>3</pdfaid:part>" in pdf
    assert has(pdf, "BHD 14.221", "16.923", "0.0015")


def test_the_same_document_makes_the_same_bytes_twice_and_in_another_process_zone_and_language() -> None:
    made = PRINTER.render(document())
    assert Printer(Look(bank=BANK)).render(document()) == made
    script = (
        "import sys, hashlib; from tests.documents.samples import BANK, document\n"
        "from tallystick.gateways.documents.pdf import Look, Printer\n"
        "sys.stdout.write(hashlib.sha256(Printer(Look(bank=BANK)).render(document())).hexdigest())"
    )
    env = {"PATH": os.environ["PATH"], "TZ": "Asia/Kathmandu", "LANG": "de_DE.UTF-8", "PYTHONHASHSEED": "7"}
    run = subprocess.run([sys.executable, "-c", script], env=env, cwd=HERE.parents[1], capture_output=True, check=True)
    assert run.stdout.decode() == hashlib.sha256(made).hexdigest()
    assert PRINTER.render(document(number="INV-000043")) != made


def test_an_invoice_says_who_what_how_much_by_when_and_how_to_pay() -> None:
    pdf = PRINTER.render(document())
    assert has(
        pdf,
        "Invoice",
        "INV-000042",
        "Billing period Mar 1 – 31, 2026",
        "April 1, 2026",
        "Due April 15, 2026",
        "PO-2026-0417",
    )
    assert has(pdf, SELLER.name, "Torstraße 140", "10119 Berlin", "Germany", "DE123456788")
    assert has(pdf, BUYER.name, "12 rue des Lilas", "69003 Lyon", "France", "FR40303265045")
    assert has(pdf, "Pro, April 2026", "99.00", "2,880.6667 credits", "0.015", "43.21")
    assert has(pdf, "Net €142.21", "Tax 19% on €142.21 €27.02", "Total €169.23")
    assert has(pdf, "How to pay", "DE89 3704 0044 0532 0130 00", "COBADEFFXXX", "Reference RF29 INV0 0004 2")
    assert has(pdf, "Language models", "7,113 credits", "Lead enrichment 5,210.25 credits", "Without an agent")
    assert has(pdf, "Usage in detail", "1,890.004", "Page 1 of 2", "Page 2 of 2")


def test_lines_are_grouped_by_what_they_are_for_and_usage_by_category_and_agent() -> None:
    whole = squeezed(PRINTER.render(document()))
    groups = [
        "Subscription",
        "Usagebeyondyourcredits",
        "Usagepaidwithcredits",
        "Languagemodels",
        "Toolcalls",
        "Storage",
    ]
    places = [whole.index(name) for name in groups]
    assert places == sorted(places)
    detail = whole[whole.index("Usageindetail") :]
    assert "Leadenrichment4,21012,6305,210.25" in detail
    assert "Sum5,20815,6247,112.754" in detail


def test_many_agents_are_cut_on_the_page_and_whole_in_the_appendix() -> None:
    many = tuple(used("llm", f"Agent {place:02d}", str(100 - place)) for place in range(40))
    whole = squeezed(PRINTER.render(document(used=many)))
    first, detail = whole.split("Usageindetail")
    assert "Agent04" in first
    assert "Agent05" not in first
    assert "35more,seetheappendix" in first
    assert all(f"Agent{place:02d}" in detail for place in range(40))


def test_beyond_a_thousand_rows_the_smallest_are_summed_so_that_a_page_takes_no_server_s_memory() -> None:
    many = tuple(used("llm", f"Worker {place}", "2") for place in range(1_500))
    detail = squeezed(PRINTER.render(document(used=many))).split("Usageindetail")[1]
    assert detail.count("Worker") == 1_000
    assert "500others5,00015,0001,000" in detail
    assert "Sum15,00045,0003,000" in detail


def test_corrections_name_their_period_and_what_was_before_any() -> None:
    february = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
    lines = [
        samples.usage_line(1, "llm", 4, 2, kind="adjustment", period_start=february, period_end=START),
        samples.usage_line(2, "llm", 9, 5, kind="adjustment", period_start=None, period_end=february),
    ]
    shown = (used("llm", "Late agent", "2", start=february), used("llm", "Old agent", "5", start=BEFORE))
    pdf = PRINTER.render(document(lines, used=shown))
    assert has(pdf, "Corrections of earlier periods", "Feb 1 – 28, 2026", "Before the first period")
    assert has(pdf, "Late agent 2 credits", "Old agent 5 credits", "Period from February 1, 2026")


STAMPS = {
    "paid": (document(status="paid", paid_at=DUE, paid_minor=16_923), ("Paid", "Paid on April 15, 2026"), "How to pay"),
    "past due": (document(status="past_due"), ("Past due", "Was due April 15, 2026", "How to pay"), "Paid on"),
    "void": (document(status="void"), ("Void",), "How to pay"),
    "issued": (document(), ("Amount due", "Due April 15, 2026"), "Past due"),
}


@pytest.mark.parametrize("status", STAMPS)
def test_it_is_stamped_with_how_it_stands(status: str) -> None:
    made, shown, not_shown = STAMPS[status]
    pdf = PRINTER.render(made)
    assert has(pdf, *shown)
    assert not has(pdf, not_shown)


def test_who_pays_by_a_method_on_file_is_not_asked_to_transfer_it_as_well() -> None:
    made = document(is_collected=True, due_at=ISSUED)
    pdf = PRINTER.render(made)
    assert has(pdf, "How to pay", "collected from the method on file")
    assert not has(pdf, "DE89 3704")
    assert b"DE89" not in attached(pdf)
    assert b"DE89370400440532013000" in attached(PRINTER.render(document()))


def test_what_was_paid_and_credited_in_part_is_taken_off_what_is_due() -> None:
    pdf = PRINTER.render(document(paid_minor=10_000, credited_minor=900))
    assert has(pdf, "Credited -€9.00", "Paid -€100.00", "Amount due €60.23")


def test_the_law_is_told_why_nothing_is_charged() -> None:
    assert has(PRINTER.render(samples.reverse_charge(locale="de")), "Steuerschuldnerschaft des Leistungsempfängers")
    assert has(PRINTER.render(samples.reverse_charge()), "Reverse charge: the recipient of the service is liable")
    assert has(PRINTER.render(samples.outside(locale="en-US")), "Not subject to tax.", "Austin, TX 78701")


def test_a_credit_note_names_what_it_corrects() -> None:
    pdf = PRINTER.render(samples.credit_note())
    assert has(pdf, "Credit note", "CN-000003", "corrects invoice INV-000041 of March 1, 2026", "€29.75")
    assert not has(pdf, "How to pay")


LANGUAGES = {
    "de": ("Rechnung", "169,23 €", "1. April 2026", "Seite 1 von 2", "Sprachmodelle"),
    "fr-CA": ("Facture", "169,23 €", "1 avril 2026", "Page 1 sur 2"),
    "es": ("Factura", "169,23 €", "1 de abril de 2026", "Página 1 de 2"),
    "ja": ("請求書", "€169.23", "2026年4月1日", "言語モデル"),
    "en-GB": ("Invoice", "€169.23", "1 April 2026"),
    "sv": ("Invoice", "169,23 €", "1 april 2026", "Page 1 of 2"),
    "xx": ("Invoice", "€169.23"),
}


@pytest.mark.parametrize("locale", LANGUAGES)
def test_words_numbers_and_days_are_those_of_the_language(locale: str) -> None:
    assert has(PRINTER.render(document(locale=locale)), *LANGUAGES[locale])


@pytest.mark.parametrize(("currency", "total"), [("jpy", "¥16,923"), ("bhd", "BHD16.923"), ("eur", "€169.23")])
def test_a_currency_has_the_decimals_that_it_has(currency: str, total: str) -> None:
    assert has(PRINTER.render(document(currency=currency)), total)


def test_300_lines_take_several_pages_each_with_its_number() -> None:
    pdf = PRINTER.render(samples.long())
    pages = pypdf.PdfReader(io.BytesIO(pdf)).pages
    assert len(pages) > 5
    for place, page in enumerate(pages, 1):
        text = page.extract_text()
        assert f"Page {place} of {len(pages)}" in text
        assert "Amount (EUR)" in text or place == len(pages)
    assert all(has(pdf, f"Service no. {place}") for place in (1, 150, 300))


HOSTILE = {
    "markup": '#panic("x") *bold* _it_ $x^2$ @ref <label> `raw` = Heading\n- list',
    "an end of a string": '"#"]) \\n \\u{41} {{}} ${}',
    "controls": "a\x00b\x07c\x1bd\u0085e\x7ff",
    "no way out": "A" * 10_000,
    "words": "lorem ipsum " * 1_000,
    "turned round": "\u202egnirts\u202c \u2066x\u2069",
    "emoji": "Rocket 🚀 family 👨‍👩‍👧‍👦 flag 🇩🇪",
    "surrogate": "half \ud83d",
    "scripts": "العربية עברית 日本語 한국어 中文 Ελληνικά Русский हिन्दी Tiếng Việt",
    "thai": "บริษัท จำกัด",
    "marks alone": "\u0301\u0301\u0308 \u200d \u0903",
    "many marks": "Z" + "\u0300\u0316\u0489" * 50,
    "private": "\ue000 \uf8ff \U000f0000 \ufffe \U0001ffff",
    "nothing": "",
    "spaces": " \u00a0\u202f\u2009\u3000\t\n",
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("locale", ["en", "ar"])
def test_hostile_texts_are_plain_text_on_a_page_that_is_made(kind: str, locale: str) -> None:
    text = HOSTILE[kind]
    buyer = replace(BUYER, name=text, reference=text, address=replace(BUYER.address, line1=text, city=text))
    lines = [replace(LINES[0], description=text, unit=text), *LINES[1:]]
    agents = (*USED, replace(USED[0], agent=text))
    made = document(lines, buyer=buyer, used=agents, locale=locale, reason=text)
    pdf = PRINTER.render(made)
    assert pdf.startswith(b"%PDF-1.7")
    if kind == "markup" and locale == "en":
        assert has(pdf, '#panic("x") *bold* _it_ $x^2$ @ref <label> `raw` = Heading - list')


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=40), st.sampled_from(["en", "ar", "zh-TW"]))
def test_every_text_makes_a_page_without_a_missing_glyph(text: str, locale: str) -> None:
    # PDF/A forbids them, and Typst refuses to make one: that a page is made is the proof.
    lines = [line(1, "custom", text, 100)]
    assert PRINTER.render(document(lines, buyer=replace(BUYER, name=text), used=(), locale=locale))


def test_what_no_font_has_is_replaced_and_said_and_the_electronic_form_keeps_it() -> None:
    made = document(buyer=replace(BUYER, name="บริษัท Siam"))
    pdf = PRINTER.render(made)
    assert has(pdf, UNREADABLE, "Siam", "no installed font has")
    assert "บริษัท Siam" in attached(pdf).decode()
    assert not has(PRINTER.render(document()), "no installed font has")


def test_arabic_hebrew_and_east_asian_names_are_whole() -> None:
    for name in ("شركة النور", "חברת אור בע״מ", "株式会社あおぞら", "주식회사 하늘", "北京天空科技有限公司"):
        pdf = PRINTER.render(document(buyer=replace(BUYER, name=name)))
        assert UNREADABLE not in text_of(pdf), name


def test_without_the_fonts_of_a_script_its_characters_are_replaced_and_the_rest_stays() -> None:
    typefaces = find()
    some = Cleaner(typefaces, ("Noto Sans",))
    assert some.text("Müller 株式会社") == f"Müller {UNREADABLE * 4}"
    assert not some.is_whole
    every = Cleaner(typefaces, typefaces.families("en"))
    assert every.text("Müller 株式会社 שלום") == "Müller 株式会社 שלום"
    assert every.is_whole


def test_a_language_whose_script_no_installed_font_has_is_english_with_the_names_replaced_and_said() -> None:
    plain = Printer(Look(bank=BANK, packages=("fontpkg_noto_sans",)))
    for locale in ("ar", "ja", "th"):
        pdf = plain.render(document(locale=locale, buyer=replace(BUYER, name="株式会社 Aozora")))
        assert has(pdf, "Invoice", "Page 1 of 2", f"{UNREADABLE * 4} Aozora", "no installed font has"), locale
        assert structure_problems(pdf) == []
    assert has(plain.render(document(locale="ru")), "169,23 €", "1 апреля 2026")
    with pytest.raises(TallystickError, match="fontpkg-noto-sans"):
        Printer(Look(packages=("noto_cjk_sans_otc",))).render(document())


def a_font(folder: Path, features: str = "") -> Path:
    """A font that has one Thai letter, shown by a letter of another font, and what becomes of it."""
    path, _ = find().files["Noto Sans Hebrew"]
    with TTFont(path) as font:
        for table in font["cmap"].tables:
            table.cmap = {0x0E01: "uni05D0"}
        for record in font["name"].names:
            if record.nameID in (1, 4, 16):
                record.string = "One Thai Letter"
        if features:
            addOpenTypeFeaturesFromString(font, features)
        font.save(folder / "more.ttf")
    return folder


def test_an_operator_adds_fonts_for_more_scripts(tmp_path: Path) -> None:
    made = document(buyer=replace(BUYER, name="\u0e01 Siam"))
    pdf = Printer(Look(fonts=a_font(tmp_path))).render(made)
    assert UNREADABLE not in text_of(pdf)
    with pytest.raises(TallystickError) as refused:
        Printer(Look(fonts=tmp_path / "none")).render(made)
    assert (refused.value.code, "TALLY_DOCUMENT_FONTS" in refused.value.message) == ("invalidSetting", True)


def test_a_font_that_claims_a_character_that_it_has_not_is_no_reason_to_have_no_page(tmp_path: Path) -> None:
    font = a_font(tmp_path, "feature ccmp { sub uni05D0 by .notdef; } ccmp;")
    pdf = Printer(Look(fonts=font)).render(document(buyer=replace(BUYER, name="\u0e01 Siam")))
    assert has(pdf, UNREADABLE, "Siam", "no installed font has")


def test_names_keep_their_order_in_a_document_that_runs_the_other_way() -> None:
    text = text_of(PRINTER.render(document(locale="ar", buyer=replace(BUYER, name="Smith & Sons (UK) Ltd."))))
    assert "Smith & Sons (UK) Ltd." in text.replace("\u200e", "").replace("\u200f", "")


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c4944415408d763f8cfc000000301010018dd8db00000000049454e44ae426082"
)


def test_a_logo_stands_in_for_the_name_at_the_top(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(PNG)
    (tmp_path / "logo.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="30"><rect width="90" height="30"/></svg>'
    )
    for name in ("logo.png", "logo.svg"):
        pdf = Printer(Look(logo=tmp_path / name)).render(document())
        assert structure_problems(pdf) == []
        assert len(pdf) != len(PRINTER.render(document()))


@pytest.mark.parametrize(("name", "content"), [("logo.png", b"no picture"), ("logo.txt", PNG), ("none.png", None)])
def test_a_logo_that_is_no_picture_is_a_setting_to_be_mended(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TallystickError) as refused:
        Printer(Look(logo=tmp_path / name)).render(document())
    assert (refused.value.code, "TALLY_SELLER_LOGO" in refused.value.message) == ("invalidSetting", True)


def test_pages_can_be_looked_at() -> None:
    assert [page[:4] for page in PRINTER.pictures(document(), ppi=20)] == [b"\x89PNG", b"\x89PNG"]


async def test_documents_are_made_beside_each_other_off_the_loop() -> None:
    printer = Printer(Look(bank=BANK), workers=2)
    made = await asyncio.gather(*(printer.pdf(document(number=f"INV-{place}")) for place in range(6)))
    assert [attached(pdf).decode().count(f">INV-{place}<") for place, pdf in enumerate(made)] == [1] * 6
    printer.close()


def test_a_file_that_is_not_built_as_expected_is_not_patched() -> None:
    with pytest.raises(ValueError, match="not built as expected"):
        xmp.add_facturx(b"%PDF-1.7\n%%EOF\n")


def test_numbers_of_lines_stay_exact_where_they_matter() -> None:
    odd = line(1, "custom", "Odd", 333, quantity=Decimal("0.333333333"), unit_price=Decimal(1_000))
    assert b">0.333333333<" in facturx.write(document([odd], used=()), BANK)
    assert has(PRINTER.render(document([odd], used=())), "0.3333", "10.00", "3.33")
