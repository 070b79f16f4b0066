"""The list of allowed operations is that of this project's exports, and what else is on it only computes."""

from tensorflow.python.framework import op_def_registry

from tests.serving import operations_of_exports
from tfp_flows.checks import graphs

PLACES = (graphs.EXPORTED, graphs.OUTSIDE, graphs.SAVER)
# Operations of the list that are said to have an effect: on a variable, on random numbers, or an error.
STATEFUL = {
    *("Assert", "CheckNumerics", "Case", "If", "While", "StatefulPartitionedCall"),
    *("DisableCopyOnRead", "ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape"),
    *("Multinomial", "ParameterizedTruncatedNormal", "RandomGamma", "RandomPoissonV2", "RandomShuffle"),
    *("RandomStandardNormal", "RandomUniform", "RandomUniformInt", "TruncatedNormal"),
}


def test_the_list_is_that_of_the_exports():
    """Where an export holds a new operation: `python -m tests.serving.operations_of_exports`."""
    made, listed = operations_of_exports.operations(), graphs.sections()
    for place in PLACES:
        assert sorted(made[place]) == sorted(listed[place]), place


def test_what_else_is_allowed_has_no_effect():
    listed = graphs.sections()
    everywhere = listed[graphs.EXPORTED] | listed[graphs.FURTHER]
    assert not listed[graphs.EXPORTED] & listed[graphs.FURTHER]
    for name in everywhere:
        operation = op_def_registry.get(name)
        assert operation is not None, name
        assert name in STATEFUL or not operation.is_stateful, name
        words = " ".join([name, *(field.name for field in (*operation.attr, *operation.input_arg))]).lower()
        assert not any(word in words for word in ("file", "path", "pyfunc", "memory_region")), name
    for name in ("ReadFile", "WriteFile", "PyFunc", "EagerPyFunc", "SaveV2", "RestoreV2", "PrintV2"):
        assert name not in everywhere
