"""Where a training runs: one device, all devices of this host, or several hosts; by `tf.distribute`.

All of them take the same steps: a step's batch is cut into equal parts, one a replica (a device that holds
a copy of the weights), gradients are averaged over replicas, and every replica makes the same update.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import numpy as np
import tensorflow as tf

from tfp_flows.training.tf_config import DistributionError, check_tf_config

RESTARTS = "TFP_FLOWS_RESTARTS"  # in the environment of a process that started itself again
# What TensorFlow raises where another host is gone, has not come yet, or came again as another process.
_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError)


class Rows(Protocol):
    """What has rows that can be cut: an array, `Examples`."""

    def __len__(self) -> int:
        """How many."""

    def __getitem__(self, rows: slice) -> Any:
        """Some of them."""


T = TypeVar("T", bound=Rows)


class HostLost(DistributionError):
    """Another host of the training is gone."""


def make_strategy(name: str) -> tf.distribute.Strategy:
    """The `tf.distribute.Strategy` of a name; to be called before TensorFlow has done anything else.

    Args:
      name: "none": one device; "mirrored": every GPU of this host, or its (logical) CPUs where there is no
        GPU; "multi_worker": the hosts that the environment variable TF_CONFIG lists, as TensorFlow has it.

    Raises:
      DistributionError: If TF_CONFIG is missing or is not of its form.
      HostLost: If the other hosts do not answer.
    """
    if name == "none":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    check_tf_config(os.environ.get("TF_CONFIG"))
    with losing_hosts():
        return tf.distribute.MultiWorkerMirroredStrategy()


class Hosts:
    """The processes that share a training, and what they tell each other.

    Attributes:
      strategy: The `tf.distribute.Strategy`.
      count: How many processes there are, one a host.
      is_chief: Whether this one is the first: it alone writes.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        """Takes a strategy, of one host or several."""
        self.strategy = strategy
        self._index, self.count = _place(strategy)
        self.is_chief = self._index == 0
        self._mean = tf.function(self._compiled_mean, autograph=False)

    def mean(self, value: float) -> float:
        """The mean of the hosts' values, a Python `float`, the same on each of them; all must call it."""
        return float(self._mean(tf.constant(float(value), tf.float64))) if self.count > 1 else float(value)

    def mean_of_shares(self, function: Callable[[T], np.ndarray], images: T) -> float:
        """The mean of `function(images)` `[N]` over all images, of which each host computes its share."""
        own = images[self._index :: self.count]
        return self.mean(self.count * float(np.sum(function(own))) / len(images))

    def value_of_chief(self, value: int) -> int:
        """The chief's integer `value`, on every host; all must call it."""
        return round(self.count * self.mean(int(value) if self.is_chief else 0))

    def _compiled_mean(self, value: tf.Tensor) -> tf.Tensor:
        def of_replica(value: tf.Tensor) -> tf.Tensor:
            replica = tf.distribute.get_replica_context()
            return replica.all_reduce(tf.distribute.ReduceOp.MEAN, tf.identity(value))

        return self.strategy.experimental_local_results(self.strategy.run(of_replica, (value,)))[0]


@contextlib.contextmanager
def losing_hosts() -> Iterator[None]:
    """Raises `HostLost` for what TensorFlow raises where another host is gone."""
    try:
        yield
    except _LOST as error:
        line = " ".join(str(error).split())
        raise HostLost(f"`distribute`: another host is gone or did not answer: {line[:200]}") from error


def start_again(error: HostLost, max_restarts: int) -> None:
    """Replaces this process by the same command, which waits for the others; or raises `error`.

    Args:
      error: `HostLost`.
      max_restarts: How often that may happen without an end.
    """
    restarts = int(os.environ.get(RESTARTS, "0"))
    if restarts >= max_restarts:
        raise error
    print(
        f"{error}\nStarting again from the last checkpoint ({restarts + 1} of {max_restarts}).", flush=True
    )
    os.environ[RESTARTS] = str(restarts + 1)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _place(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """(index of this host, number of hosts)."""
    resolver = strategy.cluster_resolver
    tasks = resolver.cluster_spec().as_dict() if resolver else {}
    chiefs, workers = len(tasks.get("chief", [])), len(tasks.get("worker", []))
    if chiefs + workers == 0:
        return 0, 1
    return (0 if resolver.task_type == "chief" else chiefs + resolver.task_id), chiefs + workers
