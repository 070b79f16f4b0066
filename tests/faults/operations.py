"""What happens to files in this process, before it happens."""

import contextlib

from tests.faults import injection


class Operations:
    """Calls `act(number, text)` before each operation on files under a folder, while there is an `act`."""

    def __init__(self, folder):
        self.act = None
        self._number = 0
        injection._watch(folder, self._told)

    @contextlib.contextmanager
    def each(self, act):
        self.act, self._number = act, 0
        try:
            yield
        finally:
            self.act = None

    def _told(self, _, text):
        act, number = self.act, self._number
        if act:
            self._number += 1
            self.act = None  # what it does itself is not told
            try:
                act(number, text)
            finally:
                self.act = act
