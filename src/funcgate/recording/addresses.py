"""Addresses of callers, one by one or by network. Only values: it resolves no name."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def address_of(client: str) -> Address | None:
    """The address in what an entry names as the client, with or without a port; None if it names none."""
    for text in (client, client.rpartition(":")[0].strip("[]")):
        try:
            address = ip_address(text)
        except ValueError:
            continue
        return getattr(address, "ipv4_mapped", None) or address
    return None


def spelling(client: str) -> str:
    """One spelling for each address; what is no address stays as it is."""
    address = address_of(client)
    return client if address is None else str(address)


def network(text: str) -> Network:
    """Raises `ValueError` that says what is understood."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is no network such as 10.1.0.0/16") from None
