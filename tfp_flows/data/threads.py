"""Work that several threads do ahead of who wants it."""

import collections
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_NUM_THREADS = min(8, os.cpu_count() or 1)
_AHEAD = 2  # for each thread

T = TypeVar("T")
U = TypeVar("U")


def in_threads(function: Callable[[T], U], items: Iterator[T]) -> Iterator[U]:
    """`map`, in order, by several threads; only so much is done ahead that memory is bounded."""
    ahead: collections.deque[Future[U]] = collections.deque()
    pool = ThreadPoolExecutor(_NUM_THREADS)
    try:
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) > _AHEAD * _NUM_THREADS:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
