"""The bus over NATS; the one room that knows the library.

`connection` carries the bytes, `streams` writes into streams, `pull` reads from them, `bucket` and
`core` are key-value buckets and core subjects; `bus` puts them together.
"""

from dalsegno_bus.nats.bus import NatsBus, connect

__all__ = ["NatsBus", "connect"]
