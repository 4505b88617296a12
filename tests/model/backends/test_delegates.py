"""External delegates of LiteRT: real libraries, built here in C, that start, refuse or take nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgeinfer.errors import UnavailableError
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.backends.accelerator import Accelerator, parse
from edgeinfer.model.backends.delegates import delegated
from edgeinfer.model.backends.litert import LiteRtSession
from tests.models import tiny_tflite

# external_delegate_interface.h; TfLiteDelegate of tensorflow/lite/core/c/common.h. Options are written to the file "log".
SOURCE = r"""
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
typedef struct { void *data; int (*prepare)(void *, void *); void *functions[3]; int64_t flags; void *builder; } Delegate;
static int take_nothing(void *context, void *delegate) { return 0; }
static int fail(void *context, void *delegate) { return 1; }
static Delegate delegate = {NULL, take_nothing, {NULL, NULL, NULL}, 0, NULL};
void *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
  for (size_t i = 0; i < count; i++) {
    if (!strcmp(keys[i], "log")) { FILE *log = fopen(values[i], "w"); fprintf(log, "%zu options", count); fclose(log); }
    if (!strcmp(keys[i], "device") && !strcmp(values[i], "usb:9")) { report("no device usb:9"); return NULL; }
    if (!strcmp(keys[i], "prepare")) delegate.prepare = fail;
  }
  return &delegate;
}
void tflite_plugin_destroy_delegate(void *delegate) {}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("delegate"), "libdelegate.so", SOURCE)


def build(folder: Path, name: str, source: str) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    (folder / "source.c").write_text(source)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / name, folder / "source.c"], check=True)
    return folder / name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tiny_tflite(tmp_path / "model.tflite", dtype="float32")


def fallback(path: Path, accelerator: str) -> str:
    """Why the accelerator does not run, of a session that works without it."""
    session = LiteRtSession(path, RuntimeOptions(accelerators=(accelerator,)))
    session.invoke()
    assert "XNNPACK (2 of 2 operators)" in session.runs_on
    (reason,) = session.fallbacks
    return reason


def test_a_delegate_that_takes_no_operator_is_not_what_runs(path: Path, library: Path) -> None:
    """It loads and starts, and yet nothing runs on it: that is told, not hidden."""
    assert fallback(path, str(library)).endswith("expected a delegate that takes over operators, got none of 2")


def test_options_reach_the_delegate(path: Path, library: Path, tmp_path: Path) -> None:
    """name?key=value&key=value"""
    fallback(path, f"{library}?log={tmp_path / 'log'}&device=pci")
    assert (tmp_path / "log").read_text() == "2 options"


def test_a_delegate_without_its_device_says_why(path: Path, library: Path) -> None:
    """The library's own words are the reason."""
    assert "no device usb:9" in fallback(path, f"{library}?device=usb:9")


def test_a_delegate_that_fails_on_this_model_falls_back(path: Path, library: Path) -> None:
    """An error while the graph is prepared is the delegate's, not the model's."""
    assert "expected a delegate that takes over operators" in fallback(path, f"{library}?prepare=1")
    with pytest.raises(UnavailableError):
        LiteRtSession(path, RuntimeOptions(accelerators=(f"{library}?prepare=1",), strict=True))


def test_a_library_that_is_no_delegate_says_so(path: Path, tmp_path: Path) -> None:
    """Another shared library is not mistaken for a delegate."""
    other = build(tmp_path, "libother.so", "int nothing;")
    assert "has no tflite_plugin_create_delegate: it is no TFLite delegate" in fallback(path, str(other))


def test_a_file_that_is_no_library_says_so(path: Path, tmp_path: Path) -> None:
    """A text file called .so does not load."""
    (tmp_path / "libtext.so").write_text("not a library")
    assert "expected a delegate that starts" in fallback(path, str(tmp_path / "libtext.so"))


def test_the_second_wish_is_granted_when_the_first_cannot_be(path: Path) -> None:
    """Wishes are tried in order, each with its reason."""
    session = LiteRtSession(path, RuntimeOptions(accelerators=("edgetpu", "armnn", "none", "gpu")))
    assert [reason.split(":")[0] for reason in session.fallbacks] == ["accelerator edgetpu", "accelerator armnn"]
    assert "built-in kernels" in session.runs_on


@pytest.mark.parametrize(("text", "wanted"), [
    ("edgetpu", Accelerator("edgetpu")),
    ("edgetpu?device=usb:0", Accelerator("edgetpu", {"device": "usb:0"})),
    ("/opt/libx.so?a=1&b=&c=x%26y", Accelerator("/opt/libx.so", {"a": "1", "b": "", "c": "x&y"})),
    ("openvino?", Accelerator("openvino")),
])
def test_an_accelerator_is_written_as_in_a_url(text: str, wanted: Accelerator) -> None:
    """Name, then options after a question mark."""
    assert parse(text) == wanted


def operator(name: str, inputs: list[int], outputs: list[int]) -> dict[str, object]:
    return {"op_name": name, "inputs": inputs, "outputs": outputs}


def test_delegated_operators_are_those_between_a_partition_s_inputs_and_outputs() -> None:
    """0 -A-> 1 -B-> 2 -C-> 3 -D-> 4, with B and C in one partition (9 is B's weights) and D in another."""
    graph = [operator("A", [0], [1]), operator("B", [1, 9], [2]), operator("C", [2], [3]), operator("D", [3], [4]),
             operator("DELEGATE", [1, 9], [3]), operator("DELEGATE", [3], [4])]
    assert delegated(graph, [4]) == 2
    assert delegated(graph, [5]) == 1
    assert delegated(graph, [4, 5]) == 3
    assert delegated(graph, []) == 0
