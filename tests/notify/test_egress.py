"""Which addresses a webhook may reach: a table, and a comparison with the standard library."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.notify.egress import refusal

REFUSED = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "::": "unspecified",
    "127.0.0.1": "loopback",
    "127.255.0.9": "loopback",
    "::1": "loopback",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "fc00::1": "private",
    "fd12:3456::1": "private",
    "fec0::1": "private",
    "100.64.0.1": "shared",
    "100.127.255.255": "shared",
    "169.254.169.254": "link-local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "255.255.255.255": "multicast or broadcast",
    "ff02::1": "multicast",
    "ff0e::1": "multicast",
    "::ffff:127.0.0.1": "IPv4-mapped",
    "::ffff:8.8.8.8": "IPv4-mapped",
    "::127.0.0.1": "IPv4-compatible",
    "::ffff:0:10.0.0.1": "IPv4-mapped",
    "64:ff9b::7f00:1": "NAT64",
    "64:ff9b::808:808": "NAT64",
    "64:ff9b:1::1": "NAT64",
    "2002:7f00:1::": "6to4",
    "2002:808:808::1": "6to4",
    "192.88.99.1": "6to4",
    "2001:0:53aa:64c::1": "Teredo",
    "192.0.2.1": "reserved",
    "198.18.0.1": "reserved",
    "203.0.113.7": "reserved",
    "240.0.0.1": "reserved",
    "2001:1::1": "reserved",
    "2001:db8::1": "reserved",
    "100::1": "reserved",
    "4000::1": "not a global",
    "not-an-address": "not an IP address",
    "": "not an IP address",
}
ALLOWED = ["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.1", "2606:4700::1111"]


@pytest.mark.parametrize(("address", "word"), REFUSED.items())
def test_refused(address: str, word: str) -> None:
    why = refusal(address)
    assert why is not None
    assert word in why


@pytest.mark.parametrize("address", ALLOWED)
def test_allowed(address: str) -> None:
    assert refusal(address) is None


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_never_laxer_than_the_standard_library(address: IPv4Address | IPv6Address) -> None:
    inner: IPv4Address | IPv6Address = address
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or address
    if not inner.is_global or inner.is_multicast or inner.is_reserved or inner.is_loopback:
        # The two addresses of this block that are global are anycast of no use to anybody's webhook.
        assert refusal(str(address)) is not None
