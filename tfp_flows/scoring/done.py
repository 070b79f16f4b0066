"""What a job that was interrupted has done: items by what they are, not by how many they were."""

import hashlib
from collections.abc import Iterable

import numpy as np

_DIGEST = 16  # bytes: among 10^12 items two are taken for one with a probability of 10^-15


class Done:
    """A multiset of identities (`data.streams.Item.identity`) in 24 bytes each; it is a `streams.Skip`.

    A multiset, since two records may hold the very same.
    """

    def __init__(self, identities: Iterable[str] = ()) -> None:
        """Takes the identities of what has a row."""
        digests = bytearray()
        for identity in identities:
            digests += _digest(identity)
        found = np.frombuffer(digests, f"S{_DIGEST}")
        self._digests, self._counts = np.unique(found, return_counts=True)

    def __call__(self, identity: str) -> bool:
        """Takes an item out; whether it was there."""
        if not self._digests.size:
            return False
        digest = np.bytes_(_digest(identity).rstrip(b"\0"))  # as NumPy gives elements of such arrays
        place = self._digests.searchsorted(digest)
        if place == self._digests.size or self._digests[place] != digest or not self._counts[place]:
            return False
        self._counts[place] -= 1
        return True

    def __len__(self) -> int:
        """How many are left."""
        return int(self._counts.sum())


def _digest(identity: str) -> bytes:
    return hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()
