"""Which addresses a webhook may reach. Pure.

Whoever can create an alert chooses an address; the server must not become a way into its own network
(server-side request forgery). The rule looks at the address a socket is about to connect to, never at a name,
so a name that resolves differently the second time does not get around it.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

_REFUSED: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("an unspecified address", ("0.0.0.0/8", "::/128")),
    ("a loopback address", ("127.0.0.0/8", "::1/128")),
    ("a private address", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")),
    ("a shared (carrier) address", ("100.64.0.0/10",)),
    ("a link-local address", ("169.254.0.0/16", "fe80::/10")),
    ("a multicast or broadcast address", ("224.0.0.0/4", "255.255.255.255/32", "ff00::/8")),
    # Each of these leads to an IPv4 address that the rules above never see.
    ("an IPv4-mapped or IPv4-compatible address", ("::ffff:0:0/96", "::ffff:0:0:0/96", "::/96")),
    ("a NAT64 address", ("64:ff9b::/96", "64:ff9b:1::/48")),
    ("a 6to4 address", ("2002::/16", "192.88.99.0/24")),
    ("a Teredo address", ("2001::/32",)),
    (
        "a reserved address",
        (
            *("192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4"),
            *("100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16"),
        ),
    ),
)
_NETWORKS: Final[tuple[tuple[str, IPv4Network | IPv6Network], ...]] = tuple(
    (what, ip_network(network)) for what, networks in _REFUSED for network in networks
)
_GLOBAL_IPV6: Final = IPv6Network("2000::/3")


def refusal(address: str) -> str | None:
    """Why a webhook must not connect to ``address`` (as a socket knows it, a scope id allowed), or ``None``."""
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return f"{address[:80]} is not an IP address"
    for what, network in _NETWORKS:
        if parsed.version == network.version and parsed in network:
            return f"{parsed} is {what}"
    if isinstance(parsed, IPv6Address) and parsed not in _GLOBAL_IPV6:
        return f"{parsed} is not a global address"
    return None
