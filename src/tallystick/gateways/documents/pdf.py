"""PDF of invoices: pages by Typst from one template, PDF/A-3, with the electronic form attached (rows D6, E13).

Everything that makes it is installed; nothing is fetched. The same document makes the same bytes.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from tallystick.domain.billing.accounts import BankAccount
from tallystick.domain.billing.documents import Document
from tallystick.kernel.errors import TallystickError

if TYPE_CHECKING:
    import typst

    from tallystick.gateways.documents.fonts import Typefaces

T = TypeVar("T")

STANDARD: Final = "a-3b"
_UNSHOWABLE: Final = "could not be displayed"
_LOGOS: Final = frozenset({".png", ".svg", ".jpg", ".jpeg"})


@dataclass(frozen=True, slots=True)
class Look:
    """How a seller's documents look: a logo (PNG, SVG or JPEG), a bank account, and a folder of more fonts.

    `packages` are those that fonts are taken from in place of all that we know.
    """

    logo: Path | None = None
    bank: BankAccount | None = None
    fonts: Path | None = None
    packages: tuple[str, ...] | None = None


class Printer:
    """Makes documents, each in one of a few threads of its own. Everything heavy is loaded by the first document."""

    def __init__(self, look: Look | None = None, *, workers: int = 2) -> None:
        self._look = look or Look()
        self._workers = workers
        self._threads: ThreadPoolExecutor | None = None
        self._local = threading.local()
        self._lock = threading.Lock()
        self._typefaces: Typefaces | None = None
        self._locales: dict[str, str] = {}

    async def pdf(self, document: Document) -> bytes:
        """`render`, while the loop goes on."""
        return await self._apart(self.render, document)

    async def xml(self, document: Document) -> bytes:
        """`write_xml`, while the loop goes on."""
        return await self._apart(self.write_xml, document)

    def render(self, document: Document) -> bytes:
        """The PDF of an issued invoice or credit note; with its electronic form inside, where it can have one.

        Blocks, some milliseconds a page. Raises `invoiceNotIssued`; `invalidSetting` for a logo that is no picture;
        `fontsMissing`.
        """
        from tallystick.gateways.documents import facturx, xmp

        xml = "" if facturx.obstacles(document) else facturx.write(document, self._look.bank).decode()
        pdf = self._compile(document, xml)
        return xmp.add_facturx(pdf) if xml else pdf

    def write_xml(self, document: Document) -> bytes:
        """The electronic form alone. Raises `invoiceNotIssued`, `electronicInvoiceUnavailable`."""
        from tallystick.gateways.documents import facturx

        document.number  # noqa: B018 - a draft has none, and says so before anything else
        found = facturx.obstacles(document)
        if found:
            raise TallystickError(
                "electronicInvoiceUnavailable",
                f"This invoice can't have an electronic form: {found[0]}.",
                number=document.number,
                obstacles=found,
            )
        return facturx.write(document, self._look.bank)

    def pictures(self, document: Document, *, ppi: float = 110) -> list[bytes]:
        """The pages as PNG, one a page: to look at."""
        made = self._typst(self._inputs(document, "", strict=False), format="png", ppi=ppi)
        return made if isinstance(made, list) else [made]

    def close(self) -> None:
        """End the threads, after what they are at."""
        with self._lock:
            if self._threads is not None:
                self._threads.shutdown()
                self._threads = None

    async def _apart(self, make: Callable[[Document], T], document: Document) -> T:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix="tallystick-documents")
            threads = self._threads
        return await asyncio.get_running_loop().run_in_executor(threads, make, document)

    def _compile(self, document: Document, xml: str) -> bytes:
        import typst

        options: dict[str, Any] = {
            "format": "pdf",
            "pdf_standards": [STANDARD],
            "timestamp": int(document.issued_at.timestamp()),
        }
        try:
            made = self._typst(self._inputs(document, xml, strict=False), **options)
        except typst.TypstError as error:
            if _UNSHOWABLE not in error.message:
                raise self._misfit(error) from error
            # A font may have every character of a name and yet no picture of them together.
            made = self._typst(self._inputs(document, xml, strict=True), **options)
        return bytes(made)

    def _misfit(self, error: "typst.TypstError") -> Exception:
        logo = self._look.logo
        if logo is not None and ("image" in error.diagnostic or "file not found" in error.message):
            told = f"TALLY_SELLER_LOGO can't be shown: {error.message}"
            return TallystickError("invalidSetting", told, path=str(logo))
        return error

    def _inputs(self, document: Document, xml: str, *, strict: bool) -> dict[str, str]:
        from tallystick.gateways.documents.content import Letterhead, content
        from tallystick.gateways.documents.fonts import Cleaner

        typefaces, logo = self._find_typefaces(), self._look.logo
        head = Letterhead(self._look.bank, logo.name if logo else None)
        document = replace(document, locale=self._readable(document.locale))
        families = typefaces.families(document.locale)
        cleaner = Cleaner(typefaces, families, strict=strict)
        made = content(document, head, has_attachment=bool(xml))
        cleaned = cleaner.clean(made | {"logo": None, "unreadable": ""})
        warning = "" if cleaner.is_whole else made["unreadable"]
        cleaned |= {"fonts": families, "logo": made["logo"], "warning": warning}
        return {"document": msgspec.json.encode(cleaned).decode(), "xml": xml}

    def _readable(self, name: str) -> str:
        """The locale of this name, or English where the fonts that are installed can't write its words."""
        from tallystick.gateways.documents.fonts import UNREADABLE
        from tallystick.gateways.documents.locales import FALLBACK, labels, locale_of

        locale = locale_of(name)
        known = self._locales.get(str(locale))
        if known is None:
            words = [text for text in labels(locale.language).values() if UNREADABLE not in text]
            days = [str(month) for month in locale.months["format"]["wide"].values()]
            fits = self._find_typefaces().can_write(str(locale), [*words, *days])
            known = self._locales[str(locale)] = str(locale) if fits else FALLBACK
        return known

    def _typst(self, inputs: dict[str, str], **options: Any) -> Any:
        template = files(__package__).joinpath("invoice.typ").read_bytes()
        return self._compiler().compile(template, sys_inputs=inputs, **options)

    def _compiler(self) -> "typst.Compiler":
        """This thread's own: one compiler makes one document at a time."""
        import typst

        compiler: typst.Compiler | None = getattr(self._local, "compiler", None)
        if compiler is None:
            logo = self._look.logo
            if logo is not None and (logo.suffix.lower() not in _LOGOS or not logo.is_file()):
                raise TallystickError(
                    "invalidSetting", f"TALLY_SELLER_LOGO is no PNG, SVG or JPEG file: {logo}", path=str(logo)
                )
            # The template reads nothing but the logo, so its folder is all that can be read.
            root = logo.resolve().parent if logo else Path(str(files(__package__)))
            compiler = typst.Compiler(root=str(root), font_paths=self._find_typefaces().fonts, ignore_system_fonts=True)
            self._local.compiler = compiler
        return compiler

    def _find_typefaces(self) -> "Typefaces":
        from tallystick.gateways.documents import fonts

        with self._lock:
            if self._typefaces is None:
                self._typefaces = fonts.find(self._look.fonts, self._look.packages or fonts.PACKAGES)
            return self._typefaces
