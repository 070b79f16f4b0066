"""Strategies: a file that was sound, damaged; JSON that was sound, changed."""

import copy
import json

from hypothesis import strategies as st

# Numbers at which programs break.
NUMBERS = st.one_of(
    st.integers(-3, 300),
    st.sampled_from(
        [2**7, 2**8, 2**15, 2**16, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 10**12, 10**30]
    ),
    st.integers(),
)
FLOATS = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 1.0, 1e-45, 1e38, 1e308, 0.5]))
TEXTS = st.one_of(st.text(max_size=8), st.sampled_from(["", "\0", "../x", "a\nb", "é", "\udcff", "x" * 300]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, FLOATS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
_EDIT = st.tuples(
    st.sampled_from(["flip", "set", "cut", "insert", "drop", "zero", "double", "number"]),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 255),
    st.integers(1, 64),
)
_BIG = (0, 1, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)


@st.composite
def damaged(draw, sources):
    """The bytes of one of `sources`, with up to four edits; none at all now and then."""
    content = bytearray(draw(st.sampled_from(list(sources))))
    for edit in draw(st.lists(_EDIT, max_size=4)):
        content = _edited(content, *edit)
    return bytes(content)


def _edited(content, kind, place, value, length):
    at = int(place * len(content))
    if kind == "cut":
        return content[:at]
    if kind == "insert":
        return content[:at] + bytes([value]) * length + content[at:]
    if kind == "drop":
        return content[:at] + content[at + length :]
    if kind == "double":
        return content[:at] + content[at : at + length] + content[at:]
    if not content:
        return content
    if kind == "flip":
        content[at] ^= 1 << value % 8
    elif kind == "set":
        content[at] = value
    elif kind == "zero":
        content[at : at + length] = bytes(len(content[at : at + length]))
    else:
        order = "big" if value % 2 else "little"
        content[at : at + 4] = _BIG[value % len(_BIG)].to_bytes(4, order)
    return content


@st.composite
def changed_json(draw, source):
    """`source`, JSON-ready, as text, with up to three of its values changed or gone; or the text damaged."""
    if draw(st.integers(0, 4)) == 0:
        return draw(damaged([json.dumps(source).encode()]))
    value = copy.deepcopy(source)
    for _ in range(draw(st.integers(1, 3))):
        value = _changed(draw, value)
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _changed(draw, value):
    """The value with one thing in it changed, at some depth."""
    if isinstance(value, dict) and value and draw(st.integers(0, 7)):
        key = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 5)) == 0:
            del value[key]
        else:
            value[key] = _changed(draw, value[key])
        return value
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        place = draw(st.integers(0, len(value) - 1))
        value[place] = _changed(draw, value[place])
        return value
    return draw(VALUES)
