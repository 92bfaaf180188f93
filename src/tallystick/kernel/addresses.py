"""Where a call to the outside may go: addresses of the open internet, and what the operator allows beside them.

Whoever calls resolves a name once, has every address that it has checked here, and connects to the checked one: a name
that answers otherwise the second time gains nothing.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from tallystick.kernel.errors import TallystickError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
# Some clouds answer for a machine's own secrets here, though not all of it is registered as private.
_PROTOCOLS: Final = ipaddress.ip_network("192.0.0.0/24")


class AddressRefused(Exception):  # noqa: N818 - reads as what happened
    """A host is at an address that is not of the open internet and that nobody allowed."""


class Allowed:
    """Hosts, `host:port` pairs, addresses and networks that may be reached though they are private."""

    def __init__(self, entries: Sequence[str] = ()) -> None:
        """Raises `invalidSetting` for an entry that names nothing."""
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._names: set[str] = set()
        for entry in (text.strip().lower() for text in entries):
            if not entry:
                raise TallystickError("invalidSetting", "An allowed host must not be empty.")
            try:
                self._networks.append(ipaddress.ip_network(entry))
            except ValueError:
                self._names.add(entry)

    @classmethod
    def listed(cls, setting: str | None) -> "Allowed":
        """From a setting: entries by commas, None for none. Raises `invalidSetting`."""
        return cls(setting.split(",") if setting else ())

    def permits(self, host: str, port: int, address: Address) -> bool:
        """Whether `host`, resolved to `address`, may be connected to."""
        name = host.lower()
        if name in self._names or f"{name}:{port}" in self._names:
            return True
        real = _embedded(address)
        return is_public(real) or any(one in network for one in (address, real) for network in self._networks)

    def choose(self, host: str, port: int, found: Iterable[str]) -> Address:
        """The address to connect to, of those that `host` was found to have, at least one.

        Raises `AddressRefused` where one of them may not be reached: which one is taken must not be luck.
        """
        addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
        for address in addresses:
            if not self.permits(host, port, address):
                raise AddressRefused(f"{host} is at {address}, which is no public address.")
        return addresses[0]


def is_public(address: Address) -> bool:
    """Whether an address is one of the open internet, seen through what wraps an IPv4 address in an IPv6 one."""
    real = _embedded(address)
    if real in _PROTOCOLS or (isinstance(real, ipaddress.IPv6Address) and real.is_site_local):
        return False
    return real.is_global and not (real.is_multicast or real.is_reserved or real.is_unspecified)


def literal(host: str) -> Address | None:
    """The address that `host` spells, None where it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _embedded(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
