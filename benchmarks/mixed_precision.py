"""StableHLO text whose products are in bfloat16."""

import re

PRODUCT = re.compile(
    r"^\s*%(?P<name>\w+) = (?P<operation>stablehlo\.(?:dot|dot_general|convolution)\b\(?)\s*"
    r"(?P<left>%[\w#]+), (?P<right>%[\w#]+)(?P<settings>.*) : "
    r"\(tensor<(?P<left_shape>[\dx]*)f32>, tensor<(?P<right_shape>[\dx]*)f32>\) -> "
    r"tensor<(?P<shape>[\dx]*)f32>.*$"
)
# What the result is converted back from; the sums themselves are the device's own, float32 on GPUs.
REPLACEMENT = """\
    %{name}_left = stablehlo.convert {left} : (tensor<{left_shape}f32>) -> tensor<{left_shape}bf16>
    %{name}_right = stablehlo.convert {right} : (tensor<{right_shape}f32>) -> tensor<{right_shape}bf16>
    %{name}_bf16 = {operation}%{name}_left, %{name}_right{settings} : (tensor<{left_shape}bf16>, \
tensor<{right_shape}bf16>) -> tensor<{shape}bf16>
    %{result} = stablehlo.convert %{name}_bf16 : (tensor<{shape}bf16>) -> tensor<{shape}f32>"""


def with_bfloat16_products(text):
    """Rounds operands and results of every float32 convolution and matrix product to bfloat16.

    Everything else, the weights and their updates included, stays float32.

    Args:
      text: A StableHLO program in MLIR's pretty form.

    Returns:
      Such a program.

    Raises:
      ValueError: If a line has a product that is not understood.
    """
    return "\n".join(_line(line) for line in text.splitlines()) + "\n"


def _line(line):
    if not re.search(r"= \"?stablehlo\.(dot|dot_general|convolution)\b", line):
        return line
    match = PRODUCT.match(line)
    if match is None:
        raise ValueError(f"a product that is not understood: {line.strip()[:200]}")
    found = match.groupdict()
    return REPLACEMENT.format(**{**found, "name": f"product{found['name']}", "result": found["name"]})
