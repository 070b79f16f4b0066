"""TF_CONFIG, by which TensorFlow knows the hosts of a training, looked at before TensorFlow is."""

import json

from tfp_flows.checks.errors import UserError


class DistributionError(UserError):
    """The training cannot be shared out as asked; the message is one line."""


def check_tf_config(text: str | None) -> None:
    """Raises `DistributionError` where the variable is missing, or does not say which host this is."""
    example = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
    if not text:
        raise DistributionError(
            f"`distribute=multi_worker` needs the environment variable TF_CONFIG, on each host with its own "
            f"index, for example {example}."
        )
    try:
        config = json.loads(text)
        task = config["task"]
        address = config["cluster"][task["type"]][int(task["index"])]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DistributionError(
            f"TF_CONFIG does not say which of the cluster's hosts this is ({error!r}); it is like {example}."
        ) from error
    if task["type"] not in ("chief", "worker") or not isinstance(address, str):
        raise DistributionError(f"TF_CONFIG: a task is of type chief or worker, got {task['type']!r}.")
