"""What Factur-X wants a PDF to say of its attachment in its XMP metadata, which Typst has no way to write.

Typst writes the metadata as an uncompressed object, as PDF/A asks for, and a plain table of offsets: the object is
exchanged for a longer one, and the offsets behind it are moved.
"""

import re
from typing import Final

from tallystick.gateways.documents.facturx import FILE_NAME

_SPACE: Final = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
_PROPERTIES: Final = {
    "DocumentFileName": ("The name of the embedded XML document", FILE_NAME),
    "DocumentType": ("The type of the hybrid document in capital letters", "INVOICE"),
    "Version": ("The actual version of the standard applying to the embedded XML document", "1.0"),
    "ConformanceLevel": ("The conformance level of the embedded XML document", "EN 16931"),
}
_DESCRIBED: Final = "".join(
    f'<rdf:li rdf:parseType="Resource"><pdfaProperty:name>{name}</pdfaProperty:name>'
    f"<pdfaProperty:valueType>Text</pdfaProperty:valueType><pdfaProperty:category>external</pdfaProperty:category>"
    f"<pdfaProperty:description>{about}</pdfaProperty:description></rdf:li>"
    for name, (about, _) in _PROPERTIES.items()
)
_SCHEMA: Final = (
    '<rdf:li rdf:parseType="Resource"><pdfaSchema:schema>Factur-X PDFA Extension Schema</pdfaSchema:schema>'
    f"<pdfaSchema:namespaceURI>{_SPACE}</pdfaSchema:namespaceURI><pdfaSchema:prefix>fx</pdfaSchema:prefix>"
    f"<pdfaSchema:property><rdf:Seq>{_DESCRIBED}</rdf:Seq></pdfaSchema:property></rdf:li>"
).encode()
_VALUES: Final = (
    f'<rdf:Description rdf:about="" xmlns:fx="{_SPACE}">'
    + "".join(f"<fx:{name}>{value}</fx:{name}>" for name, (_, value) in _PROPERTIES.items())
    + "</rdf:Description>"
).encode()

_METADATA: Final = re.compile(rb"\n<</Length (\d+)/Type/Metadata/Subtype/XML>>\nstream\n")
_TABLE: Final = re.compile(rb"\nxref\n0 (\d+)\n((?:\d{10} \d{5} [nf]\r\n|\d{10} \d{5} [nf] \n)+)")
_START: Final = re.compile(rb"startxref\n(\d+)\n%%EOF\s*$")
_SCHEMAS_END: Final = b"</rdf:Bag></pdfaExtension:schemas>"
_PACKET_END: Final = b"</rdf:RDF></x:xmpmeta>"


def add_facturx(pdf: bytes) -> bytes:
    """A PDF of Typst's with the extension schema of Factur-X and its values in the metadata.

    Raises ValueError where the file is not built as Typst builds it.
    """
    heads = list(_METADATA.finditer(pdf))
    table, start = _TABLE.search(pdf), _START.search(pdf)
    if len(heads) != 1 or table is None or start is None:
        raise ValueError("the PDF is not built as expected: its metadata or its offsets were not found")
    head = heads[0]
    length = int(head[1])
    packet = pdf[head.end() : head.end() + length]
    if packet.count(_SCHEMAS_END) != 1 or packet.count(_PACKET_END) != 1:
        raise ValueError("the metadata of the PDF is not built as expected")
    packet = packet.replace(_SCHEMAS_END, _SCHEMA + _SCHEMAS_END).replace(_PACKET_END, _VALUES + _PACKET_END)
    longer = b"\n<</Length %d/Type/Metadata/Subtype/XML>>\nstream\n%s" % (len(packet), packet)
    grown = len(longer) - (len(head[0]) + length)

    def moved(entry: re.Match[bytes]) -> bytes:
        offset = int(entry[1])
        return b"%010d" % (offset + grown if offset > head.start() else offset)

    entries = re.sub(rb"(?m)^(\d{10})(?= )", moved, table[2])
    return b"".join(
        (
            pdf[: head.start()],
            longer,
            pdf[head.end() + length : table.start(2)],
            entries,
            pdf[table.end(2) : start.start(1)],
            b"%d" % (int(start[1]) + grown),
            pdf[start.end(1) :],
        )
    )
