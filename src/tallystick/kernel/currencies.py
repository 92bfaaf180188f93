"""Currencies: how many decimals their minor units have, and money as text, digit-exact."""

from typing import Final

_EXPONENTS: Final = {
    **dict.fromkeys(("bif", "clp", "djf", "gnf", "isk", "jpy", "kmf", "krw", "pyg", "rwf", "ugx", "vnd", "vuv"), 0),
    **dict.fromkeys(("xaf", "xof", "xpf"), 0),
    **dict.fromkeys(("bhd", "iqd", "jod", "kwd", "lyd", "omr", "tnd"), 3),
}


def exponent(currency: str) -> int:
    """Decimals of a currency's minor unit: 2 but for those of ISO 4217 that have none or three."""
    return _EXPONENTS.get(currency.lower(), 2)


def decimal_text(minor: int, currency: str) -> str:
    """`9900` US cents as `99.00`, digit-exact; for documents that programs read."""
    places = exponent(currency)
    sign, digits = ("-" if minor < 0 else ""), str(abs(minor)).rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"
