"""The verdict on calibration samples, before anything is calibrated."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.errors import DataError
from edgeinfer.model.preprocess.spec import ImageSpec, PreprocessSpec
from edgeinfer.model.tensor import Quantization, TensorSpec
from quantize.converters import load
from quantize.dataset import Tensors, open_dataset, tensors
from quantize.graph.execute import Runner
from quantize.judge import Finding, Growth, Verdict, judge, watched
from quantize.judging.channels import Channels
from quantize.judging.firstlayer import first_layer
from tests.quantize import graphs, judged
from tests.quantize.dataset import files

GREY = ImageSpec(height=16, width=16)
PIXELS = TensorSpec(name="image", shape=(1, 16, 16, 3), dtype="float32")


def found(verdict: Verdict, topic: str) -> Finding | None:
    return next((finding for finding in verdict.findings if finding.topic == topic), None)


def pictures(folder: Path, count: int = 70, **options) -> Tensors:
    """Noise, each other than the last."""
    for index in range(count):
        files.noise(folder / f"{index:03d}.png", index, 16, 16)
    return tensors(open_dataset(folder, GREY, **options), GREY, [PIXELS])


def array(folder: Path, values: np.ndarray, spec: PreprocessSpec, input: TensorSpec) -> Tensors:
    np.save(folder / "a.npy", values)
    return tensors(open_dataset(folder / "a.npy", spec), spec, [input])


def asked(walk: Tensors, right: str, budget: int = 60, **options) -> tuple[Verdict, int]:
    """The verdict, and how often the float model for ``right`` pictures was run for it."""
    graph = judged.net(right)
    run = judged.Counted(graph, [*graph.outputs, *watched(graph)])
    return judge(walk, run=run, graph=graph, budget=budget, **options), run.runs


# The experiment that no tool noticed: calibrating without the model's normalisation loses tens of points


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("right", judged.CONVENTIONS)
@pytest.mark.parametrize("recipe", judged.CONVENTIONS)
def test_a_wrong_normalisation_ends_in_a_warning_and_the_right_one_in_none(tmp_path: Path, right: str, recipe: str, labelled: bool) -> None:
    """The float model itself is asked, at most 60 times; the right way is among those that are named."""
    verdict, runs = asked(judged.walk(tmp_path, judged.spec(recipe), labelled=labelled), right)
    finding = found(verdict, "normalisation")
    assert finding is not None
    assert runs <= 60
    if recipe == right:
        assert finding.severity == "ok"
    else:
        assert finding.severity == "warning"
        assert f"'{right}'" in finding.text
        assert "set preprocess.mean to" in finding.advice


def test_red_and_blue_exchanged_is_told_with_enough_samples(tmp_path: Path) -> None:
    """By few it is not spoken of; by many, or by labels, it is."""
    recipe = judged.spec("0 to 1", "BGR")
    few, _ = asked(judged.walk(tmp_path, recipe), "0 to 1", 60)
    many, _ = asked(judged.walk(tmp_path, recipe), "0 to 1", 400)
    labelled, _ = asked(judged.walk(tmp_path, recipe, labelled=True), "0 to 1", 60)
    assert "cannot be told" in found(few, "normalisation").text
    for verdict in (many, labelled):
        assert found(verdict, "normalisation").severity == "warning"
        assert "preprocess.colour to RGB" in found(verdict, "normalisation").advice
    right, _ = asked(judged.walk(tmp_path, judged.spec("0 to 1")), "0 to 1", 400)
    assert found(right, "normalisation").text.endswith("RGB fits better than BGR")


def test_the_share_of_right_answers_is_told_where_there_are_labels(tmp_path: Path) -> None:
    """Of the recipe, and of what fits better."""
    verdict, _ = asked(judged.walk(tmp_path, judged.spec("0 to 1"), labelled=True), "-1 to 1")
    assert "right answers to labelled samples: " in found(verdict, "normalisation").text
    assert ", and 100% then" in found(verdict, "normalisation").text


def test_labels_in_another_order_are_noticed(tmp_path: Path) -> None:
    """However the pictures are normalised, every answer is wrong."""
    walk = judged.walk(tmp_path, judged.spec("0 to 1"), labelled=True)
    made, truth = judged.pictures(96, 2)
    np.savez(walk.dataset.path, pictures=made, labels=(truth + 1) % judged.CLASSES)
    walk = tensors(open_dataset(walk.dataset.path, walk.spec), walk.spec, walk.inputs)
    assert found(asked(walk, "0 to 1")[0], "labels").severity == "warning"


def test_a_graph_that_normalises_itself_wants_pixels_as_they_are(tmp_path: Path) -> None:
    """Normalising twice is the usual mistake with such a model."""
    graph = judged.net("-1 to 1", inside=True)
    runner = Runner(graph, [*graph.outputs, *watched(graph)])
    twice = found(judge(judged.walk(tmp_path, judged.spec("-1 to 1")), run=runner.run, graph=graph), "normalisation")
    assert twice.severity == "warning"
    assert "'0 to 255'" in twice.text
    assert ("its graph begins by normalising" in twice.text) == (graph.nodes[0].op != "Conv")
    assert judge(judged.walk(tmp_path, judged.spec("0 to 255")), run=runner.run, graph=graph).severity != "warning"


@pytest.mark.parametrize("recipe", judged.CONVENTIONS)
def test_a_net_without_batch_normalisation_is_not_accused(tmp_path: Path, recipe: str) -> None:
    """Its small biases tell nothing of its input's scale: pixels of 0 to 255 may be what it was trained on."""
    graph = judged.net(recipe, fitted=False)
    runner = Runner(graph, [*graph.outputs, *watched(graph)])
    assert first_layer(graph) is None
    assert found(judge(judged.walk(tmp_path, judged.spec(recipe)), run=runner.run, graph=graph), "normalisation").severity == "ok"


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 130), st.sampled_from(["image of twelve classes", "image of two"]))
def test_the_budget_is_kept(tmp_path_factory: pytest.TempPathFactory, budget: int, kind: str) -> None:
    """Whatever it is, and with the mirror images that a model of few classes is asked about."""
    graph = judged.net("0 to 1")
    runs = 0

    def run(feeds):
        nonlocal runs
        runs += 1
        means = feeds["image"].mean((0, 2, 3))
        return {"logits": means[None, :2] if kind.endswith("two") else np.tile(means, 4)[None]}

    judge(judged.walk(tmp_path_factory.mktemp("d"), judged.spec("0 to 1"), 24), run=run, graph=graph, budget=budget)
    assert runs <= budget


def test_a_model_that_cannot_tell_is_said_to(tmp_path: Path) -> None:
    """A regression, of whose answers nobody knows how they should look."""
    verdict = judge(judged.walk(tmp_path, judged.spec("0 to 1")), run=lambda feeds: {"y": feeds["image"].mean((2, 3))}, task="regress")
    assert found(verdict, "normalisation").severity == "note"
    assert "cannot be told" in found(verdict, "normalisation").text


def test_without_a_model_nothing_is_said_of_pictures_normalisation(tmp_path: Path) -> None:
    """The figures are there all the same."""
    verdict = judge(judged.walk(tmp_path, judged.spec("0 to 1")))
    assert found(verdict, "normalisation") is None
    assert np.allclose(verdict.raw.mean, verdict.tensor.mean * 255)


def test_the_first_layer_is_found_behind_what_has_no_weights() -> None:
    """And only where it has biases."""
    weights = np.ones((4, 3, 1, 1), np.float32)
    for bias, expected in ((np.ones(4, np.float32), "y"), (np.zeros(4, np.float32), None), (np.full(4, 0.1, np.float32), None)):
        graph = graphs.graph([("Relu", ["image"], "r"), ("Conv", ["r", weights, bias], "y"), ("Relu", ["y"], "z")], {"image": (1, 3, 4, 4)}, ["z"])
        layer = first_layer(graph)
        assert (layer.name if layer else None) == expected


# What is in the samples


@pytest.mark.parametrize(("count", "severity"), [(1, "warning"), (15, "warning"), (16, "note"), (63, "note"), (64, "ok")])
def test_too_few_samples_are_told(tmp_path: Path, count: int, severity: str) -> None:
    """Under 16 a warning, under 64 a note."""
    verdict = judge(pictures(tmp_path, count))
    assert found(verdict, "count").severity == severity
    assert verdict.count == count


def test_good_samples_have_nothing_but_a_count(tmp_path: Path) -> None:
    """No false alarm."""
    verdict = judge(pictures(tmp_path))
    assert [(finding.severity, finding.topic) for finding in verdict.findings] == [("ok", "count")]
    assert verdict.severity == "ok"


@pytest.mark.parametrize(("copies", "severity"), [(1, "note"), (10, "warning")])
def test_copies_are_counted_and_named(tmp_path: Path, copies: int, severity: str) -> None:
    """Under any name; a tenth of the set is a warning."""
    walk = pictures(tmp_path)
    for index in range(copies):
        (tmp_path / f"copy{index}.png").write_bytes((tmp_path / "003.png").read_bytes())
    finding = found(judge(tensors(open_dataset(tmp_path, GREY), GREY, [PIXELS])), "duplicates")
    assert (finding.severity, walk.dataset.kind) == (severity, "pictures")
    assert f"{copies} of {70 + copies} are exact copies of others: copy0.png" in finding.text


def test_pictures_of_a_still_scene_are_nearly_the_same(tmp_path: Path) -> None:
    """A video that hardly moves: noise and a little more light."""
    scene = np.random.default_rng(0).integers(30, 200, (8, 8, 3), np.uint8)
    for index in range(70):
        noise = np.random.default_rng(index).normal(index / 20, 3, (64, 64, 3))
        picture = cv2.resize(scene, (64, 64), interpolation=cv2.INTER_CUBIC) + noise
        cv2.imwrite(str(tmp_path / f"{index:03d}.png"), np.clip(picture, 0, 255).astype(np.uint8))
    finding = found(judge(tensors(open_dataset(tmp_path, GREY), GREY, [PIXELS])), "duplicates")
    assert finding.severity == "warning"
    assert "look nearly the same" in finding.text


def test_all_copies_and_all_constant_end_in_warnings_not_in_a_crash(tmp_path: Path) -> None:
    """The float model is not even asked."""
    for folder, colour in (("same", None), ("flat", (1, 2, 3))):
        for index in range(20):
            path = tmp_path / folder / f"{index}.png"
            files.picture(path, (index, 0, 0) if colour else (9, 9, 9), 16, 16)
            if not colour:
                files.noise(path, 5, 16, 16)
        walk = tensors(open_dataset(tmp_path / folder, GREY), GREY, [PIXELS])
        verdict = judge(walk, run=lambda feeds: pytest.fail("asked"))
        assert found(verdict, "constant" if colour else "duplicates").severity == "warning"


@pytest.mark.parametrize(("level", "word"), [(5, "dark"), (250, "bright")])
def test_dark_and_bright_sets_are_told(tmp_path: Path, level: int, word: str) -> None:
    """More than half is a warning."""
    values = np.random.default_rng(0).integers(level - 5, level + 6, (70, 16, 16, 3)).clip(0, 255).astype(np.uint8)
    finding = found(judge(array(tmp_path, values, GREY, PIXELS)), "light")
    assert finding.severity == "warning"
    assert f"70 of 70 pictures are very {word}" in finding.text


def test_grey_pictures_for_a_model_of_colours_are_told(tmp_path: Path) -> None:
    """They may be meant."""
    values = np.random.default_rng(0).integers(0, 256, (70, 16, 16), np.uint8)
    assert found(judge(array(tmp_path, values, GREY, PIXELS)), "colour").severity == "note"


@pytest.mark.parametrize(("scale", "zero_point", "expected"), [
    (1 / 255, -128, "ok"), (1 / 510, -128, "what lies outside is cut off"), (1.0, -128, "nine tenths of it are never reached"),
])
def test_values_are_compared_with_what_an_integer_input_holds(tmp_path: Path, scale: float, zero_point: int, expected: str) -> None:
    """Beyond its ends, or hardly any of it."""
    spec = msgspec.structs.replace(GREY, std=(255.0,))
    input = TensorSpec(name="image", shape=(1, 16, 16, 3), dtype="int8", quantization=Quantization(scale=(scale,), zero_point=(zero_point,)))
    values = np.random.default_rng(0).integers(0, 256, (70, 16, 16, 3), np.uint8)
    finding = found(judge(array(tmp_path, values, spec, input)), "range")
    assert finding is None if expected == "ok" else expected in finding.text


def test_absent_and_rare_classes_are_told(tmp_path: Path) -> None:
    """Where the set is large enough to have some of each."""
    pictures(tmp_path)
    (tmp_path / "l.csv").write_text("file,label\n" + "".join(f"{index:03d}.png,{'cat' if index else 'dog'}\n" for index in range(70)))
    dataset = open_dataset(tmp_path, GREY, labels=tmp_path / "l.csv", classes=("cat", "dog", "emu"))
    texts = [finding.text for finding in judge(tensors(dataset, GREY, [PIXELS]), classes=("cat", "dog", "emu")).findings]
    assert "1 of 3 classes have no sample: emu" in texts
    assert "69 samples of class cat, and 1 of dog" in texts


def test_unreadable_samples_are_counted_and_named(tmp_path: Path) -> None:
    """With what is wrong."""
    pictures(tmp_path)
    (tmp_path / "b.jpg").write_text("no picture")
    finding = found(judge(tensors(open_dataset(tmp_path, GREY), GREY, [PIXELS])), "unreadable")
    assert "1 samples cannot be read and are left out: b.jpg" in finding.text


def test_nothing_readable_is_one_error(tmp_path: Path) -> None:
    """There is no verdict on nothing."""
    (tmp_path / "b.jpg").write_text("no picture")
    with pytest.raises(DataError, match="none of 1"):
        judge(tensors(open_dataset(tmp_path, GREY), GREY, [PIXELS]))


# Ranges that still grow


def grown(ranges: list[dict[str, tuple[float, float]]]) -> Finding:
    growth = Growth(len(ranges))
    for each in ranges:
        growth.add(each)
    return growth.finding()


def test_ranges_that_have_settled_are_fine() -> None:
    """Also where a quarter of them has its greatest element in the last quarter, as chance has it."""
    random = np.random.default_rng(0)
    ends = random.normal(10, 0.2, (64, 50))
    finding = grown([{f"v{index}": (0.0, end) for index, end in enumerate(row)} for row in ends])
    assert finding.severity == "ok"


def test_ranges_that_grow_to_the_end_are_told() -> None:
    """With the share of values and by how much."""
    finding = grown([{"a": (0.0, 1.0 + step), "b": (-1.0, 1.0)} for step in range(16)])
    assert (finding.severity, finding.topic) == ("note", "ranges")
    assert finding.text.startswith("50% of the ranges grew by over 1 %") or finding.severity == "note"
    assert grown([{"a": (0.0, 2.0**step)} for step in range(16)]).severity == "warning"


def test_three_samples_are_too_few_to_tell() -> None:
    """There is no last quarter."""
    assert "too few" in grown([{"a": (0.0, 1.0)}] * 3).text


# The verdict itself


def test_a_verdict_is_lines_for_people_and_json(tmp_path: Path) -> None:
    """Warnings come first; another finding may be added later."""
    verdict, _ = asked(judged.walk(tmp_path, judged.spec("0 to 255")), "-1 to 1")
    later = verdict.with_finding(Finding("warning", "ranges", "they grow"))
    lines = later.lines()
    assert lines[0] == "96 samples (npz)"
    assert lines[3].startswith("warning: normalisation: '-1 to 1'")
    assert "warning: ranges: they grow" in lines
    document = json.loads(json.dumps(later.document()))
    assert document["count"] == 96
    assert document["findings"][0]["severity"] == "warning"
    assert document["normalisation"]["runs"] <= 60
    assert json.dumps(asked(judged.walk(tmp_path, judged.spec("0 to 255")), "-1 to 1")[0].document()) == json.dumps(verdict.document())


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 99))
def test_channel_figures_are_those_of_all_elements_at_once(sizes: list[int], seed: int) -> None:
    """However they come in pieces."""
    random = np.random.default_rng(seed)
    pieces = [random.normal(random.uniform(-1e3, 1e3), 2, (size, 3)).astype(np.float32) for size in sizes]
    channels, whole = Channels(3), np.concatenate(pieces).astype(np.float64)
    for piece in pieces:
        channels.add(piece)
    assert np.allclose(channels.mean, whole.mean(0), atol=1e-3)
    assert np.allclose(channels.deviation, whole.std(0), atol=1e-3)
    assert np.array_equal(channels.least, whole.min(0))
    assert np.array_equal(channels.greatest, whole.max(0))


# Real nets

ZOO = {
    "lite0": ("quantize/efficientnet_lite0_fp32.onnx", 224, "RGB", "crop", ((127.0,), (128.0,)), (((0.0,), (1.0,)),)),
    "vww": ("classify/vww_96_float.tflite", 96, "RGB", "stretch", ((0.0,), (255.0,)), (((0.0,), (1.0,)),)),
    "cifar": ("classify/pretrainedResnet.tflite", 32, "RGB", "stretch", ((0.0,), (1.0,)),
              (((0.0,), (255.0,)), ((127.5,), (127.5,)), judged.CONVENTIONS["ImageNet's mean and deviation"])),
    "fastestdet": ("detect/FastestDet.onnx", 352, "BGR", "stretch", ((0.0,), (255.0,)), (((0.0,), (1.0,)),)),
    "selfie": ("segment/selfie_segmentation.tflite", 256, "RGB", "stretch", ((0.0,), (255.0,)), (((0.0,), (1.0,)),)),
}


@pytest.mark.zoo
@pytest.mark.parametrize("name", ZOO)
def test_real_nets_are_told_right_from_wrong_by_photos_without_labels(zoo: Path, name: str) -> None:
    """No warning for the right normalisation, one for pixels in the wrong unit: two classifiers with many classes, one with
    two, a detector, a segmenter. Finer differences need more runs."""
    file, side, colour, resize, right, wrong = ZOO[name]
    graph = load(zoo / file, {}).graph
    runner = Runner(graph, [*graph.outputs, *watched(graph)])
    inputs = [TensorSpec(name=graph.inputs[0], shape=graph.shapes[graph.inputs[0]], dtype="float32")]
    for mean, std in (right, *wrong):
        recipe = ImageSpec(height=side, width=side, colour=colour, layout="NCHW", resize=resize, mean=mean, std=std)
        dataset, _ = open_dataset(zoo / "quantize/photos", recipe).split(24)
        finding = found(judge(tensors(dataset, recipe, inputs), run=runner.run, graph=graph, budget=48), "normalisation")
        assert finding.severity == ("ok" if (mean, std) == right else "warning"), finding
