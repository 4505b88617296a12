"""Names and embeddings on the device: averages, what is kept, what is refused."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer.batch.worker import Setup, reader
from edgeinfer.cli.enroll import command as enroll
from edgeinfer.cli.infer import command as infer
from edgeinfer.enrolment import Enrolled, Register, change, path_of, read, set_of, write
from edgeinfer.errors import DataError, EdgeinferError, StorageError, UsageError
from edgeinfer.model import bundle as bundles
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.decoders.embed import Embed
from edgeinfer.model.preprocess.geometry import Geometry
from quantize.pack import Given, pack
from tests.batches import batch, rows
from tests.model.decoders.cases import tensor
from tests.models import tiny_tflite

MODEL = "ab" * 32


def _unit(*values: float) -> np.ndarray:
    vector = np.array(values, np.float64)
    return np.asarray(vector / np.linalg.norm(vector))


def test_a_name_is_the_average_of_its_pictures(tmp_path: Path) -> None:
    """Two pictures now and one later weigh the same; the average has length 1; another name does not matter."""
    first = Enrolled.nobody(3, MODEL).with_pictures("ada", np.stack((_unit(1, 0, 0), _unit(1, 1, 0))))
    both = first.with_pictures("bob", _unit(0, 0, 1)[np.newaxis]).with_pictures("ada", _unit(0, 1, 0)[np.newaxis])
    assert both.names == ("bob", "ada")
    assert both.pictures == (1, 3)
    assert both.vectors[1] == pytest.approx(
        (first.vectors[0] * 2 + _unit(0, 1, 0)) / np.linalg.norm(first.vectors[0] * 2 + _unit(0, 1, 0)))
    assert np.linalg.norm(both.vectors, axis=1) == pytest.approx([1, 1])


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """The set comes back; its file is for its owner alone and nothing else is left in the folder."""
    path = path_of(tmp_path, "door")
    made = Enrolled.nobody(2, MODEL).with_pictures("Zoë", _unit(3, 4)[np.newaxis])
    write(path, made)
    found = read(path, 2, MODEL)
    assert (found.names, found.pictures) == (("Zoë",), (1,))
    assert found.vectors == pytest.approx(made.vectors)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["door.npz"]
    assert read(path_of(tmp_path, "nobody"), 2, MODEL).names == ()


def test_an_emptied_set_may_be_filled_again(tmp_path: Path) -> None:
    """After the last name is removed, another can be enrolled."""
    path = path_of(tmp_path, "door")
    write(path, Enrolled.nobody(2, MODEL).with_pictures("ada", _unit(1, 0)[np.newaxis]).without("ada"))
    again = read(path, 2, MODEL).with_pictures("bob", _unit(0, 1)[np.newaxis])
    assert again.names == ("bob",)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 nothing", b"x" * 100])
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, damage: bytes) -> None:
    """What is no set of ours, or of another model, is refused with what to do."""
    path = path_of(tmp_path, "door")
    path.parent.mkdir()
    path.write_bytes(damage)
    with pytest.raises(DataError, match=r"expected names and embeddings, .*\n  hint: rm "):
        read(path, 2, MODEL)


def test_a_pickle_is_not_loaded(tmp_path: Path) -> None:
    """An array of objects would run code: numpy is told not to."""
    path = path_of(tmp_path, "door")
    path.parent.mkdir()
    np.savez(path, names=np.array([{"a": 1}], object), vectors=np.eye(1), pictures=np.ones(1), model=np.array(MODEL))
    with pytest.raises(DataError, match="allow_pickle=False"):
        read(path, 1, MODEL)


def test_embeddings_of_another_model_are_refused(tmp_path: Path) -> None:
    """Their cosines would mean nothing."""
    path = path_of(tmp_path, "door")
    write(path, Enrolled.nobody(2, MODEL).with_pictures("ada", _unit(1, 0)[np.newaxis]))
    for size, model in ((2, "cd" * 32), (3, MODEL)):
        with pytest.raises(DataError, match="expected embeddings of this model"):
            read(path, size, model)


def test_names_that_are_none_are_refused(tmp_path: Path) -> None:
    """Of people and of sets; and a folder that is not there."""
    nobody = Enrolled.nobody(2, MODEL)
    for name in ("", "  ", "a\nb", "x" * 101):
        with pytest.raises(UsageError):
            nobody.with_pictures(name, _unit(1, 0)[np.newaxis])
    with pytest.raises(UsageError, match="enrolled are: none"):
        nobody.without("ada")
    with pytest.raises(UsageError, match="--set"):
        path_of(tmp_path, "../etc")
    with pytest.raises(DataError, match="alike"):
        nobody.with_pictures("ada", np.stack((_unit(1, 0), _unit(-1, 0))))
    with pytest.raises(StorageError, match="a file that can be written"):
        write(path_of(tmp_path / "gone", "door"), nobody)


def test_another_set_takes_effect_with_the_next_frame() -> None:
    """``know`` may be called while frames go on; a set of another size is wrong use."""
    decoder = Embed({"threshold": 0.9}, [tensor("v", (1, 2))], [], [])
    frame = [np.array([[2, 0]], np.float32)]
    assert decoder.decode(frame, [], Geometry()).state() == "unknown"
    decoder.know(["ada"], _unit(1, 0)[np.newaxis])
    assert decoder.decode(frame, [], Geometry()).document() == {"name": "ada", "known": True, "similarity": 1.0}
    with pytest.raises(RuntimeError):
        decoder.know(["ada"], np.eye(3)[:1])


def test_a_running_decoder_learns_of_a_change(tmp_path: Path) -> None:
    """A register sees the set when it appears, changes and is damaged; a decoder that does not compare has none."""
    decoder = Embed({"enrolled": "door", "threshold": 0.9}, [tensor("v", (1, 2))], [], [])
    frame, register = [np.array([[2, 0]], np.float32)], Register.of(decoder, tmp_path, MODEL)
    assert register is not None
    assert register.refresh()
    assert not register.refresh()
    write(register.path, Enrolled.nobody(2, MODEL).with_pictures("ada", _unit(1, 0)[np.newaxis]))
    assert register.refresh()
    assert not register.refresh()
    assert decoder.decode(frame, [], Geometry()).state() == "ada"
    register.path.write_bytes(b"nothing")
    with pytest.raises(DataError):
        register.refresh()
    assert not register.refresh(), "told once"
    assert decoder.decode(frame, [], Geometry()).state() == "ada"
    assert Register.of(object(), tmp_path, MODEL) is None


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """A model whose embedding is a picture's mean colour, and pictures of two colours."""
    for name, colour in (("red1", (0, 0, 250)), ("red2", (20, 10, 240)), ("blue", (250, 0, 0))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((32, 32, 3), colour, np.uint8))
    given = Given(decoder="embed", parameters={"enrolled": "colours", "threshold": 0.9})
    pack(tiny_tflite(tmp_path / "colours.tflite", dtype="uint8"), tmp_path / "bundle", given)
    (tmp_path / "state").mkdir()
    return tmp_path


def _enroll(folder: Path, *words: str) -> None:
    enroll([str(folder / "bundle"), *words, "--state", str(folder / "state")], standalone_mode=False)


def test_the_command_enrols_lists_and_removes(colours: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Pictures become a name of the bundle's own set, which the decoder then knows."""
    _enroll(colours, "red", str(colours / "red1.png"), str(colours / "red2.png"))
    _enroll(colours, "blue", str(colours / "blue.png"))
    capfd.readouterr()
    _enroll(colours, "--list", "--json")
    said = json.loads(capfd.readouterr().out)
    assert said == {"v": 1, "file": str(colours / "state" / "enrolled" / "colours.npz"),
                    "enrolled": [{"name": "red", "pictures": 2}, {"name": "blue", "pictures": 1}]}
    _enroll(colours, "--remove", "red")
    assert "red" not in capfd.readouterr().out
    assert "1 enrolled" in (_enroll(colours, "--list"), capfd.readouterr().out)[1]


def test_names_enrolled_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    """Six threads each add a name to one set: the set has six, and no leftovers beside its lock."""
    path = path_of(tmp_path, "door")

    def add(name: str) -> None:
        change(path, 2, MODEL, lambda enrolled: enrolled.with_pictures(name, _unit(3, 4)[np.newaxis]))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add, "abcdef"))
    assert sorted(read(path, 2, MODEL).names) == list("abcdef")
    assert sorted(one.name for one in path.parent.iterdir()) == [".lock", "door.npz"]


def test_a_set_too_large_to_be_read_again_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The set that was there stays."""
    path = path_of(tmp_path, "door")
    made = Enrolled.nobody(2, MODEL).with_pictures("ada", _unit(3, 4)[np.newaxis])
    write(path, made)
    monkeypatch.setattr("edgeinfer.enrolment._MOST_BYTES", path.stat().st_size + 100)
    with pytest.raises(StorageError, match="expected a set of at most"):
        write(path, made.with_pictures("b" * 100, _unit(4, 3)[np.newaxis]))
    assert read(path, 2, MODEL).names == ("ada",)


def test_an_emptied_set_belongs_to_no_model(tmp_path: Path) -> None:
    """With the last name gone, a new version of the model starts afresh."""
    path = path_of(tmp_path, "door")
    write(path, Enrolled.nobody(2, MODEL).with_pictures("ada", _unit(1, 0)[np.newaxis]).without("ada"))
    assert read(path, 3, "cd" * 32).model == "cd" * 32


def test_infer_names_who_is_enrolled(colours: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The set of the state folder that is given; where there is none, everybody is unknown."""
    _enroll(colours, "red", str(colours / "red1.png"))
    for state, line in (("state", "red 1.00"), ("nowhere", "unknown 0.00")):
        capfd.readouterr()
        infer([str(colours / "bundle"), str(colours / "red2.png"), "--state", str(colours / state)], standalone_mode=False)
        assert capfd.readouterr().out.rstrip().endswith(line)


def test_a_batch_names_who_is_enrolled(colours: Path) -> None:
    """Each of its workers; and where the set has become another since the run began, none goes on."""
    _enroll(colours, "red", str(colours / "red1.png"))
    state, out = colours / "state", colours / "out.jsonl"
    batch(colours / "bundle", colours / "red2.png", colours / "blue.png", "-o", out, "--state", state, "--workers", 2)
    assert [row["result"]["name"] for row in rows(out)] == ["red", "unknown"]
    bundle, found = bundles.read(colours / "bundle"), set_of(bundles.read(colours / "bundle"), state)
    assert found is not None
    setup = Setup(str(bundle.folder), bundle.digest, RuntimeOptions(), None, 1, str(state), found[1].digest)
    assert reader(setup)
    _enroll(colours, "blue", str(colours / "blue.png"))
    with pytest.raises(DataError, match="expected those who were enrolled at the beginning"):
        reader(setup)


def test_the_enrolled_do_not_leave_for_a_cluster(colours: Path) -> None:
    """Names and embeddings of people stay on the device; a model that compares with nobody may go."""
    _enroll(colours, "red", str(colours / "red1.png"))
    said = batch(colours / "bundle", colours / "red2.png", "-o", colours / "out.jsonl", "--state", colours / "state",
                 "--dask", "tcp://127.0.0.1:1", code=64)
    assert "expected a model that compares with nobody" in said


@pytest.mark.parametrize("words", [(), ("red",), ("--list", "--remove", "red"), ("--remove", "red")])
def test_what_the_command_cannot_do_is_one_error(colours: Path, words: tuple[str, ...]) -> None:
    """Nothing to do, a name without pictures, two things at once, a name that is not there."""
    with pytest.raises(EdgeinferError, match="expected"):
        _enroll(colours, *words)
