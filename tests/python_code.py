"""`python -c CODE ARGUMENTS` for `tests.forked`: `command("tests.python_code", CODE, *ARGUMENTS)`."""

import sys

if __name__ == "__main__":
    code = sys.argv.pop(1)
    sys.argv[0] = "-c"
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
