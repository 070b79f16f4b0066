"""Streams lose nothing, hang on nothing, and hold what they must."""

import json
import lzma
import os
import resource
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_probability import distributions as tfd

from tests import forked
from tfp_flows import data, detectors, serving
from tfp_flows.checks import UserError, archives, sizes
from tfp_flows.data import decoding
from tfp_flows.runs import Run, load_model

DIGITS = data.load("digits", "test").images


@pytest.fixture(scope="module")
def exported(tmp_path_factory, make_run, make_export):
    """The export of a Glow with its detector; beside it are the run and the detector."""
    folder = tmp_path_factory.mktemp("kind_08")
    make_run(folder, "glow")
    make_export(folder, "glow")
    return folder / "exported"


def _npy(shape, content=b"", fortran=False, descr="|u1", version=1):
    """A .npy file whose header says so much, and which holds `content`."""
    header = repr({"descr": descr, "fortran_order": fortran, "shape": shape}).encode() + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + content


def _archive(path, compression=zipfile.ZIP_DEFLATED, **members):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return f"npz:{path}"


def _png(height, width):
    """A PNG that is black all over, made without its pixels: a thousandth of them."""
    packer = zlib.compressobj(9)
    rows = bytes(1 + width)
    packed = b"".join(packer.compress(rows) for _ in range(height)) + packer.flush()

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def _refused(*arguments, **keywords):
    """The one line with which `data.load` refuses, and that it took less than 200 MB more."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(data.DataError) as error:
        data.load(*arguments, **keywords)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024
    assert "\n" not in str(error.value)
    return str(error.value)


def test_case_47_an_archive_is_refused_by_its_headers(tmp_path):
    side = 40_000
    big = tmp_path / "big.npz"
    with zipfile.ZipFile(big, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("test.npy", "w") as member:
        member.write(_npy((1, side, side)))
        for _ in range(side):
            member.write(bytes(side))
    assert big.stat().st_size < 3e6
    message = _refused(f"npz:{big}")
    assert "big.npz: 'test': images of 40000x40000x1 are too large: at most 67,108,864 pixels" in message
    many = _archive(tmp_path / "many.npz", test__npy=_npy((10**12, 0, 8, 3)))
    assert "got uint8 [1000000000000, 0, 8, 3]" in _refused(many)
    lying = _archive(tmp_path / "lying.npz", test__npy=_npy((10**6, 64, 64, 3), b"few"))
    assert "test.npy ends before its array [1000000, 64, 64, 3]" in _refused(lying)
    negative = _archive(tmp_path / "negative.npz", test__npy=_npy((-6, 8, 8, 3)))
    assert "got uint8 [-6, 8, 8, 3]" in _refused(negative)


def test_case_47_an_image_is_refused_by_its_header(tmp_path):
    encoded = _png(13_000, 13_000)
    assert len(encoded) < 1e6
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(data.DataError, match="images of 13000x13000x1 are too large"):
        decoding.decode(encoded)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
    assert decoding.decode(_png(1_300, 1_300)).image.shape == (1300, 1300, 1)
    with pytest.raises(data.DataError, match="cannot be read as a picture|are too large"):
        decoding.decode(_png(2, 2).replace(struct.pack(">II", 2, 2), b"\x7f\xff\xff\xff" * 2))


@pytest.mark.parametrize("operations", ["@pad=9999", "@resize=9999x8000", "@resize=1x1@resize=9999"])
def test_case_47_an_operation_refuses_what_it_would_make(operations):
    assert "are too large" in _refused(f"digits{operations}")


def test_case_47_a_set_is_no_larger_than_the_memory(monkeypatch):
    monkeypatch.setattr(sizes, "_memory_bytes", lambda: 2**20)
    assert "would take 0.2 GiB of memory" in _refused("digits@pad=800")
    assert data.load("digits@pad=32", max_images=9).image_shape == (32, 32, 1)


def test_case_47_absurd_batches_are_refused(exported, tmp_path):
    with pytest.raises(
        UserError, match="`batch_size` must be at most 4,194,304 for images of 8x8x1, got 1,"
    ):
        serving.ExportedModel(exported, batch_size=10**9)
    with pytest.raises(UserError, match="`batch_size` must be 1 or more, got 0"):
        serving.ExportedModel(exported, batch_size=0)
    np.savez(tmp_path / "a.npz", images=DIGITS[:3])
    for given in (f"--model={exported}", f"--detector={exported.parent / 'none'}"):
        result = forked.command(
            "tfp_flows.score",
            *(given, f"--images=npz:{tmp_path / 'a.npz'}", f"--out={tmp_path / 's.csv'}"),
            "--batch_size=1000000000",
        )
        assert result.returncode == 1 and result.stderr.count("\n") == 1, result.stderr
    result = forked.command(
        "tfp_flows.train",
        *(f"--run={tmp_path / 'run'}", "--dataset=digits", "--steps=1", "--batch_size=1000000000"),
    )
    assert result.returncode == 1 and "--batch_size must be at most" in result.stderr, result.stderr
    with pytest.raises(UserError, match="`batch_size` must be at most"):
        next(iter(data.shuffled_batches(DIGITS, 10**9, 0)))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"test__npy": _npy((5, 8, 8), DIGITS[:5].tobytes(), version=3)}, None),
        ({"test__npy": _npy((5, 8, 8), DIGITS[:5].tobytes(), version=4)}, "test.npy has format 4.0"),
        ({"test": b"no array", "README__txt": b"words"}, "has no test images: .* found the keys .none."),
        ({"test__npy": b"no array at all"}, "test.npy cannot be read: the magic string is not correct"),
        ({"test__npy": b"\x93NUMPY\x01\x00"}, "test.npy cannot be read: EOF"),
        ({"test__npy": _npy((5,), descr="|O")}, "Object arrays cannot be loaded"),
        ({"test__npy": _npy((5, 8, 8), descr="<U0")}, "test.npy holds <U0"),
        ({"test__npy": _npy((5, 8, 8), DIGITS[:4].tobytes())}, "test.npy ends before its array"),
        ({"test__npy": b"\x93NUMPY\x01\x00\xff\x20" + b"(" * 0x20FF}, "test.npy cannot be read"),
    ],
)
def test_case_49_members_of_an_archive(tmp_path, members, message):
    name = _archive(tmp_path / "a.npz", **members)
    if message is None:
        np.testing.assert_array_equal(data.load(name).images, DIGITS[:5])
        return
    with pytest.raises(data.DataError, match=rf"a.npz: [^\n]*{message}[^\n]*\Z"):
        data.load(name)


def test_case_49_ways_of_packing(tmp_path):
    content = _npy((5, 8, 8), DIGITS[:5].tobytes())
    for method in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        name = _archive(tmp_path / "a.npz", method, test__npy=content)
        assert "test.npy is compressed in a way that np.savez_compressed does not use" in _refused(name)
    name = _archive(tmp_path / "b.npz", zipfile.ZIP_STORED, test__npy=content)
    raw = bytearray((tmp_path / "b.npz").read_bytes())
    directory = raw.rindex(b"PK\x01\x02")
    for flags in (6, directory + 8):
        raw[flags] |= 1
    (tmp_path / "b.npz").write_bytes(bytes(raw))
    assert "test.npy is encrypted" in _refused(name)
    for damage in (lzma.compress(content), content, b"PK\x05\x06" + bytes(18), b""):
        (tmp_path / "c.npz").write_bytes(damage)
        assert "c.npz" in _refused(f"npz:{tmp_path / 'c.npz'}")


def test_case_49_an_archive_in_the_order_of_fortran_is_read_right(tmp_path):
    np.savez(tmp_path / "f.npz", test=np.asfortranarray(DIGITS[:20]))
    loaded = data.load(f"npz:{tmp_path / 'f.npz'}").images
    np.testing.assert_array_equal(loaded, DIGITS[:20])
    assert loaded.flags.c_contiguous


def test_case_49_the_home_of_nobody():
    for kind in ("folder", "npz"):
        assert "~nobody-at-all/x" in _refused(f"{kind}:~nobody-at-all/x", "train")


def test_case_49_an_export_whose_files_are_cut_is_no_export(exported, tmp_path):
    for number, pattern in enumerate(
        ("variables/variables.data-*", "variables/variables.index", "saved_model.pb")
    ):
        for keep in (0, 0.5, 0.99):
            out = tmp_path / f"{number}_{keep}"
            shutil.copytree(exported, out)
            (file,) = out.glob(pattern)
            whole = file.read_bytes()
            file.write_bytes(whole[: int(keep * len(whole))])
            with pytest.raises(UserError, match=r"is no exported model: [^\n]*\Z"):
                serving.ExportedModel(out)
    shutil.copytree(exported, tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone" / "variables")
    with pytest.raises(UserError, match=r"is no exported model: [^\n]*\Z"):
        serving.ExportedModel(tmp_path / "gone")


def test_case_49_a_detector_whose_description_is_none(exported, tmp_path):
    shutil.copytree(exported.parent / "glow_detector", tmp_path / "detector")
    file = tmp_path / "detector" / "detector.json"
    described = json.loads(file.read_text())
    for key, value in (
        *(("format", 9), ("detector", 3), ("settings", [1]), ("image_shape", [8.0, 8.0, 1.0])),
        *(
            ("settings", {"a\nb": 1}),
            ("image_shape", 7),
            ("models", 1.5),
            ("models", ["x"]),
            ("detector", "none such"),
        ),
    ):
        file.write_text(json.dumps({**described, key: value}))
        with pytest.raises(detectors.DetectorError, match=r"\Aload: [^\n]*\Z"):
            detectors.load(tmp_path / "detector")
    for text in ("[" * 10**5, "7", "{", '{"format": 1}'):
        file.write_text(text)
        with pytest.raises(detectors.DetectorError, match=r"\Aload: [^\n]*\Z"):
            detectors.load(tmp_path / "detector")


def test_case_46_a_fifo_is_refused_and_never_waited_for(exported, tmp_path):
    os.mkfifo(tmp_path / "a.npz")
    assert "a.npz: no such file" in _refused(f"npz:{tmp_path / 'a.npz'}")
    with pytest.raises(UserError, match="is no file"):
        with archives.opened(tmp_path / "a.npz"):
            pass
    for name in ("signature.json", "saved_model.pb", "variables/variables.index"):
        out = tmp_path / name.replace("/", "_")
        shutil.copytree(exported, out)
        (out / name).unlink()
        os.mkfifo(out / name)
        for trust in (False, True):
            with pytest.raises(UserError, match=r"is no exported model: [^\n]*is no file"):
                serving.ExportedModel(out, trust=trust)
    for name in ("detector.json", "arrays.npz"):
        out = tmp_path / f"detector_{name}"
        shutil.copytree(exported.parent / "glow_detector", out)
        (out / name).unlink()
        os.mkfifo(out / name)
        with pytest.raises(detectors.DetectorError, match="is no file"):
            detectors.load(out)
    (tmp_path / "images").mkdir()
    os.mkfifo(tmp_path / "images" / "a.png")
    assert "holds no image" in _refused(f"folder:{tmp_path / 'images'}", "train")
    Image.fromarray(DIGITS[0, ..., 0]).save(tmp_path / "images" / "b.png")


@pytest.mark.parametrize("value", [172.5, 300.0, -1.0, float("nan"), float("inf"), True, "a"])
def test_case_48_an_export_refuses_what_is_no_grey_level(exported, value):
    model = serving.ExportedModel(exported)
    images = np.full([2, 8, 8, 1], value)
    with pytest.raises(UserError):
        model(images)


def test_case_48_an_export_refuses_what_is_no_batch_of_its_images(exported):
    model = serving.ExportedModel(exported)
    for images in (DIGITS[0], DIGITS[:3, :1, :1], DIGITS[:2, ..., 0], np.zeros([3, 1, 1, 1], np.uint8)):
        with pytest.raises(UserError):
            model(images)
    expected = model(DIGITS[:2])["log_prob"]
    np.testing.assert_array_equal(model(DIGITS[:2].astype(np.float64))["log_prob"], expected)


def test_case_48_fractions_within_a_graph_are_no_grey_levels(exported):
    model = load_model(Run(exported.parent / "glow"))[0]
    log_prob = tf.function(model.log_prob)
    images = tf.constant(DIGITS[:2] / 255.0, tf.float32)
    with pytest.raises((UserError, tf.errors.InvalidArgumentError)):
        log_prob(images)
    assert log_prob(tf.constant(DIGITS[:2], tf.float32)).shape == [2]


@pytest.mark.parametrize(("how", "lines"), [("user", 1), ("file", 1), ("bug", 5)])
def test_case_50_a_users_error_is_one_line_and_a_bug_is_a_traceback(how, lines):
    result = forked.command("tests.cases.failing", f"--how={how}")
    assert result.returncode == 1 and result.stdout == ""
    said = result.stderr.splitlines()
    if how == "bug":
        assert len(said) >= lines and "Traceback" in result.stderr
        assert said[-1] == "ValueError: operands could not be broadcast"
    else:
        assert said == [{"user": "error: --how is wrong.", "file": "error: x.png: No such file."}[how]]


def test_case_51_a_training_leaves_the_process_as_it_was(tmp_path, train_run):
    train_run(tmp_path, "glow")  # by `training.train`
    assert tf.random.normal([2]).shape == [2]  # refused where operations are to be deterministic
    assert tfd.Normal(0.0, 1.0).sample().shape == []


def test_case_51_a_program_of_ones_own_keeps_its_environment(tmp_path):
    names = ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS")
    (tmp_path / "mytool.py").write_text(
        f"import os, tfp_flows\nprint([name for name in {names} if name in os.environ])\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment["PYTHONPATH"] = os.pathsep.join([str(forked.ROOT), str(tmp_path)])
    command = [sys.executable, "-m", "mytool"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "[]\n", "")
