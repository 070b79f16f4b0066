r"""Text in the tables: whatever a file is called, its row is one line and means the same everywhere.

A file's name, or the key of a record, is bytes, which need not be UTF-8. In the tables (.csv and .parquet)

    \\     is a backslash;
    \xHH   is the byte HH, two hexadecimal digits.

Written so are: bytes that are not UTF-8; control characters (0 to 31, 127 to 159: NUL, tab, carriage return,
line feed), and U+2028 and U+2029, by which some programs end a line; and = + - @ at the beginning, where a
spreadsheet would compute a formula. All else is as it is; quotes, commas and blanks are CSV's own affair.
"""

import re

_SPECIAL = re.compile("^[=+\\-@]|[\\x00-\\x1f\\x7f-\\x9f\\\\\u2028\u2029\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(?:\\|x([0-9a-f]{2}))")


def escape(text: str) -> str:
    r"""`text` as it stands in a table.

    Args:
      text: With bytes that are not UTF-8 as `os.fsdecode` has them, as lone surrogates.

    Returns:
      Text without control characters, which can be written as UTF-8: "-1\n" becomes r"\x2d1\x0a".
    """
    return _SPECIAL.sub(_escaped, text)


def unescape(text: str) -> str:
    """The file name or key that `escape` made `text` of, as `os.fsdecode` has it."""
    if "\\" not in text:
        return text
    pieces, end = [], 0
    for match in _ESCAPED.finditer(text):
        pieces += [_bytes(text[end : match.start()]), bytes.fromhex(match[1]) if match[1] else b"\\"]
        end = match.end()
    return b"".join([*pieces, _bytes(text[end:])]).decode("utf-8", "surrogateescape")


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    return "\\\\" if character == "\\" else "".join(f"\\x{byte:02x}" for byte in _bytes(character))


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte, and that no file's name has
        return text.encode("utf-8", "surrogatepass")
