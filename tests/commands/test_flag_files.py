"""Flag files: what is written is read back, and what is no flag file is refused."""

import os
import signal

import pytest

from tfp_flows.checks import UserError
from tfp_flows.commands import flag_files

AWKWARD = [
    "--run=ends in blanks  ",
    "--run= begins with one",
    "--run=two\nlines\r\n",
    "--run=--dash=and \"quotes\" 'of' both \\kinds\\n",
    os.fsdecode(b"--run=no\xffUTF-8"),
    "--run=é ű 写真",
    "--run=# no remark",
    "--run=no-break\u00a0",
    "--nodownload",
    '--evaluate_on="folder:a,b",mnist',
]


@pytest.mark.parametrize("argument", AWKWARD)
def test_what_is_written_is_read_back(tmp_path, argument):
    arguments = ["--steps=3", argument, "--seed=1"]
    text = flag_files.text_of(arguments)
    text.encode("utf-8")
    (tmp_path / "f").write_text(text, encoding="utf-8", newline="\n")
    assert flag_files.expand([f"--flagfile={tmp_path / 'f'}"]) == arguments
    if argument == AWKWARD[-1]:
        assert text == "\n".join(arguments) + "\n", "what needs no escapes is written as ever"


def test_flag_files_of_people(tmp_path):
    content = "\ufeff# remark\r\n  --steps=3  \r\n\r\n// another\r\n--flagfile=b.flags\r\n--seed=1"
    (tmp_path / "a.flags").write_bytes(content.encode("utf-8"))
    (tmp_path / "b.flags").write_text("--levels=2\n")
    given = ["--x", "y", "--flagfile", str(tmp_path / "a.flags"), "--seed=2", "--", "--flagfile=z"]
    assert flag_files.expand(given) == [
        *("--x", "y", "--steps=3", "--levels=2", "--seed=1", "--seed=2", "--", "--flagfile=z")
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "cannot be read: No such file"),
        (lambda path: path.mkdir(), "is no regular file"),
        (lambda path: os.mkfifo(path), "is no regular file"),
        (lambda path: path.write_text(f"--flagfile={path}\n"), "includes itself"),
        (lambda path: path.write_text("--steps=3\n", encoding="utf-16"), "is no text in UTF-8"),
        (lambda path: path.write_text(f'{flag_files.ESCAPED}\n--a=b\n--a="c"\n'), "line 3 is none"),
    ],
)
def test_what_is_no_flag_file_is_refused(tmp_path, make, message):
    make(tmp_path / "f")
    signal.alarm(20)  # a FIFO that was opened would wait for ever
    with pytest.raises(UserError, match=rf"`flagfile`: .*f {message}") as error:
        flag_files.expand([f"--flagfile={tmp_path / 'f'}"])
    signal.alarm(0)
    assert "\n" not in str(error.value)


def test_the_flag_file_in_the_folder_of_a_run_means_that_run(tmp_path, capsys):
    run = tmp_path / "moved"
    run.mkdir()
    flags = f"--flagfile={run / 'flags.flags'}"
    (run / "flags.flags").write_text("--run=runs/old\n--steps=3\n")
    assert flag_files.expand([flags]) == ["--run=runs/old", "--steps=3"], "of no run yet"
    assert capsys.readouterr().err == ""
    (run / "run.json").touch()
    assert flag_files.expand([flags, "--steps=4"]) == [
        *("--run=runs/old", "--steps=3", f"--run={run}", "--steps=4")
    ]
    said = capsys.readouterr().err
    assert f"--run={run}, not runs/old" in said and said.count("\n") == 1
    (run / "flags.flags").write_text(f"--run={run}/../moved\n")
    assert flag_files.expand([flags]) == [f"--run={run}/../moved"]
    assert capsys.readouterr().err == ""
