"""How many of all cases each target gets: those that load graphs are slow."""

_SLOW = {"graph": 1, "variables": 1, "StableHLO": 2, "detector": 3, "TFRecords": 4, "archives": 6}
_QUICK = 8


def of(targets, cases):
    """The number of cases of each target; their sum is about `cases`."""
    weights = [next((w for word, w in _SLOW.items() if word in t.name), _QUICK) for t in targets]
    return [max(1, round(cases * weight / sum(weights))) for weight in weights]
