"""Labels by folder, CSV, COCO JSON and masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.errors import DataError, SourceError
from edgeinfer.model.preprocess.spec import ImageSpec, WindowSpec
from quantize.dataset import Boxes, ClassLabel, Dataset, Keypoints, Mask, Values, open_dataset
from tests.quantize.dataset import files

SPEC = ImageSpec(height=8, width=12)


def labels(dataset: Dataset) -> list:
    return [sample.label for sample in dataset]


def pictures(folder: Path, *names: str) -> Path:
    for name in names:
        files.picture(folder / name)
    return folder


@pytest.mark.parametrize("how", ["folders", "auto"])
def test_folders_are_classes_whatever_their_spelling(tmp_path: Path, how: str) -> None:
    """Case, blanks, hyphens and underscores do not matter, nor folders above; a class's number is a name, too."""
    pictures(tmp_path, "val/Tiger_Cat/1.png", "val/2/1.png", "x/egyptian cat/deep/1.png")
    found = labels(open_dataset(tmp_path, SPEC, labels=how, classes=("Egyptian cat", "tiger cat", "dog")))
    assert found == [ClassLabel(2, "dog"), ClassLabel(1, "tiger cat"), ClassLabel(0, "Egyptian cat")]


def test_without_known_classes_folders_are_numbered_in_order(tmp_path: Path) -> None:
    """As torchvision's ImageFolder does."""
    pictures(tmp_path, "dog/1.png", "cat/1.png", "cat/2.png")
    assert [label.index for label in labels(open_dataset(tmp_path, SPEC, labels="folders"))] == [0, 0, 1]


def test_folders_that_are_no_classes_are_listed_with_the_classes(tmp_path: Path) -> None:
    """Asked for, it is an error; otherwise they are just folders."""
    pictures(tmp_path, "cat/1.png", "monday/1.png", "2.png")
    with pytest.raises(DataError, match=r"cat, dog, got \(no folder\), monday"):
        open_dataset(tmp_path, SPEC, labels="folders", classes=("cat", "dog"))
    assert labels(open_dataset(tmp_path, SPEC, classes=("cat", "dog"))) == [None, None, None]


def test_a_name_that_two_classes_share_is_none(tmp_path: Path) -> None:
    """ImageNet has two cranes: only their numbers tell them apart."""
    pictures(tmp_path, "crane/1.png", "1/1.png")
    with pytest.raises(DataError, match="got crane"):
        open_dataset(tmp_path, SPEC, labels="folders", classes=("crane", "crane"))


@pytest.mark.parametrize("normal", ["good", "Normal", "OK"])
def test_an_anomaly_detectors_other_folders_hold_anomalies(tmp_path: Path, normal: str) -> None:
    """As in MVTec's data: good, and each kind of defect."""
    pictures(tmp_path, f"{normal}/1.png", "scratch/1.png", "hole/1.png")
    found = {sample.name.split("/")[0]: sample.label.index for sample in open_dataset(tmp_path, SPEC, labels="folders", task="anomaly")}
    assert found == {normal: 0, "scratch": 1, "hole": 1}


@pytest.mark.parametrize("text", [
    "file,label\na/1.png,cat\na/2.png,dog\n3.png,CAT\n",
    "a/1.png,cat\na/2.png,dog\n3.png,cat\n",
    "file;label\n1.png;cat\n2.png;dog\n3;cat\n",
    "index,size,class\n2,0.5,dog\n1,0.5,cat\n0,0.5,cat\n",
    "file,label\na/1.png,0\na/2.png,1\n3.png,0\nother.png,1\n",
    "id,label,file\n17,cat,a/1.png\n18,dog,a/2.png\n19,cat,3.png\n",
])
def test_a_csv_names_samples_and_classes(tmp_path: Path, text: str) -> None:
    """By path, by file, without suffix or by number from 0; by the class's name or number; with a header or none."""
    pictures(tmp_path / "d", "a/1.png", "a/2.png", "3.png")
    (tmp_path / "l.csv").write_text(text)
    found = {sample.name: sample.label.name
             for sample in open_dataset(tmp_path / "d", SPEC, labels=tmp_path / "l.csv", classes=("cat", "dog"))}
    assert found == {"3.png": "cat", "a/1.png": "cat", "a/2.png": "dog"}


def test_samples_that_a_csv_does_not_name_have_no_label(tmp_path: Path) -> None:
    """They are there all the same."""
    pictures(tmp_path / "d", "1.png", "2.png")
    (tmp_path / "l.csv").write_text("2.png,cat\n")
    assert labels(open_dataset(tmp_path / "d", SPEC, labels=tmp_path / "l.csv")) == [None, ClassLabel(0, "cat")]


@pytest.mark.parametrize("task", ["regress", ""])
def test_a_csv_of_values_is_for_regression(tmp_path: Path, task: str) -> None:
    """All columns after the first, with the header's names."""
    pictures(tmp_path / "d", "1.png", "2.png")
    (tmp_path / "l.csv").write_text("file,mass,age\n1.png,0.5,3\n2.png,-1e3,4\n")
    found = labels(open_dataset(tmp_path / "d", SPEC, labels=tmp_path / "l.csv", task=task))
    assert found == [Values((0.5, 3.0), ("mass", "age")), Values((-1000.0, 4.0), ("mass", "age"))]


def test_a_csv_of_zeros_and_ones_is_for_anomalies(tmp_path: Path) -> None:
    """0 is normal; words do as well."""
    pictures(tmp_path / "d", "1.png", "2.png", "3.png")
    (tmp_path / "l.csv").write_text("1.png,0\n2.png,1\n3.png,defect\n")
    found = labels(open_dataset(tmp_path / "d", SPEC, labels=tmp_path / "l.csv", task="anomaly"))
    assert [label.index for label in found] == [0, 1, 1]


@pytest.mark.parametrize(("text", "message"), [
    ("1.png,cat\n2.png,mouse\n", "classes of the model: cat, dog, got mouse"),
    ("1.png,0\n2.png,2\n", "classes of the model: cat, dog, got 2"),
    ("x.png,cat\ny.png,dog\n", r"name \(such as 1.png, 2.png\) and its label, got others: x.png, y.png"),
    ("1.png,cat\n1.png,dog\n", "one label for '1.png', got 0 and 1"),
    ("1.png\n2.png\n", "got rows of 1 cells"),
    ("1.png,cat\n2.png,cat,dog\n", "got rows of 2 or 3 cells"),
    ("", "its label, got others"),
])
def test_a_csv_that_does_not_match_is_one_error(tmp_path: Path, text: str, message: str) -> None:
    """It lists both sides."""
    pictures(tmp_path / "d", "1.png", "2.png")
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path / "d", SPEC, labels=tmp_path / "l.csv", classes=("cat", "dog"))


def test_windows_are_labelled_by_their_file_and_number(tmp_path: Path) -> None:
    """Or by their number alone."""
    np.save(tmp_path / "w.npy", np.zeros((3, 4, 2)))
    (tmp_path / "l.csv").write_text("w.npy#2,run\nw.npy#0,walk\n")
    found = labels(open_dataset(tmp_path / "w.npy", WindowSpec(length=4, channels=2), labels=tmp_path / "l.csv"))
    assert found == [ClassLabel(1, "walk"), None, ClassLabel(0, "run")]


IMAGES = [{"id": 7, "file_name": "val/1.png", "width": 120, "height": 80}, {"id": 8, "file_name": "2.png", "width": 120, "height": 80}]
CATEGORIES = [(3, "Motorcycle"), (1, "person")]
BOX = {"image_id": 7, "category_id": 3, "bbox": [12, 8, 60, 40], "iscrowd": 1, "segmentation": [[1, 2]], "id": 1}


def test_coco_boxes_are_fractions_of_the_picture(tmp_path: Path) -> None:
    """Categories are found by name, also by darknet's; a listed picture without boxes has none, another no label."""
    pictures(tmp_path / "d", "1.png", "2.png", "3.png")
    json = files.coco(tmp_path / "a.json", IMAGES, [BOX], CATEGORIES)
    one, two, three = labels(open_dataset(tmp_path / "d", SPEC, labels=json, classes=("person", "bicycle", "motorbike")))
    assert isinstance(one, Boxes)
    assert one.classes.tolist() == [2]
    assert np.allclose(one.corners, [[0.1, 0.1, 0.6, 0.6]])
    assert one.crowd.tolist() == [True]
    assert (two.classes.shape, two.corners.shape, three) == ((0,), (0, 4), None)


def test_without_known_classes_categories_are_numbered_by_id(tmp_path: Path) -> None:
    """0 is the least id."""
    pictures(tmp_path / "d", "1.png")
    json = files.coco(tmp_path / "a.json", IMAGES, [BOX], CATEGORIES)
    (label,) = labels(open_dataset(tmp_path / "d", SPEC, labels=json))
    assert label.classes.tolist() == [1]


def test_coco_keypoints_have_places_and_areas(tmp_path: Path) -> None:
    """For the task pose; people without a known point do not count."""
    pictures(tmp_path / "d", "1.png")
    people = [{**BOX, "iscrowd": 0, "keypoints": [12, 8, 2, 0, 0, 0, 60, 80, 1], "area": 960},
              {**BOX, "iscrowd": 0, "keypoints": [0] * 9}, {**BOX, "keypoints": [1, 1, 2] * 3}]
    json = files.coco(tmp_path / "a.json", IMAGES, people, CATEGORIES)
    (label,) = labels(open_dataset(tmp_path / "d", SPEC, labels=json, task="pose"))
    assert isinstance(label, Keypoints)
    assert np.allclose(label.points, [[[0.1, 0.1, 2], [0, 0, 0], [0.5, 1.0, 1]]])
    assert np.allclose(label.areas, [0.1])
    assert label.corners.shape == (1, 4)


@pytest.mark.parametrize(("images", "annotations", "categories", "message"), [
    (IMAGES, [BOX], [(3, "zebra")], "categories: expected classes of the model: person, got zebra"),
    (IMAGES, [{**BOX, "category_id": 9}], CATEGORIES, "annotations of 9"),
    ([{**IMAGES[0], "file_name": "x.png"}], [], CATEGORIES, "called as the samples, such as 1.png, got x.png"),
    ([{**IMAGES[0], "width": 0}], [], CATEGORIES, "with a width and a height"),
    ([{"id": 1}], [], CATEGORIES, "COCO JSON"),
])
def test_a_coco_file_that_does_not_match_is_one_error(tmp_path: Path, images, annotations, categories, message: str) -> None:
    """It lists both sides."""
    pictures(tmp_path / "d", "1.png")
    json = files.coco(tmp_path / "a.json", images, annotations, categories)
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path / "d", SPEC, labels=json, classes=("person",))


def test_masks_are_indices_grey_or_of_a_palette(tmp_path: Path) -> None:
    """Found by the sample's name; 255 is no class."""
    pictures(tmp_path / "d", "a/1.jpg", "2.jpg", "3.jpg")
    indices = np.zeros((8, 12), np.uint8)
    indices[:, 6:] = 2
    files.palette_png(tmp_path / "m/a/1.png", indices, [(0, 0, 0), (128, 0, 0), (0, 128, 0)])
    files.picture(tmp_path / "m/2.png", (255,))
    found = {sample.name: sample.label for sample in open_dataset(tmp_path / "d", SPEC, labels=tmp_path / "m", classes="bxy")}
    assert isinstance(found["a/1.jpg"], Mask)
    assert np.array_equal(found["a/1.jpg"].classes, indices)
    assert (found["2.jpg"].classes == 255).all()
    assert found["3.jpg"] is None


def test_masks_of_two_classes_may_be_black_and_white(tmp_path: Path) -> None:
    """White is class 1 then."""
    pictures(tmp_path / "d", "1.jpg")
    files.picture(tmp_path / "m/1.png", (255,))
    (label,) = labels(open_dataset(tmp_path / "d", SPEC, labels=tmp_path / "m", classes=("background", "person")))
    assert (label.classes == 1).all()


def test_a_mask_in_colours_or_of_unknown_classes_is_an_unreadable_sample(tmp_path: Path) -> None:
    """It is named; the others count."""
    pictures(tmp_path / "d", "1.jpg", "2.jpg", "3.jpg")
    files.picture(tmp_path / "m/1.png", (1, 2, 3))
    files.picture(tmp_path / "m/2.png", (9,))
    files.picture(tmp_path / "m/3.png", (2,))
    dataset = open_dataset(tmp_path / "d", SPEC, labels=tmp_path / "m", classes="abc")
    assert [sample.name for sample in dataset] == ["3.jpg"]
    assert "grey or with a palette" in dataset.unreadable["1.jpg"]
    assert "classes 0 to 2" in dataset.unreadable["2.jpg"]


def test_masks_that_are_called_otherwise_are_one_error(tmp_path: Path) -> None:
    """It shows both names."""
    pictures(tmp_path / "d", "1.jpg")
    files.picture(tmp_path / "m/one_mask.png", (1,))
    with pytest.raises(DataError, match=r"such as 1\.png, got one_mask\.png"):
        open_dataset(tmp_path / "d", SPEC, labels=tmp_path / "m")


def test_labels_that_are_not_there_are_one_error(tmp_path: Path) -> None:
    """It says what may be named."""
    pictures(tmp_path / "d", "1.jpg")
    with pytest.raises(SourceError, match="a CSV, a COCO JSON or a folder of masks"):
        open_dataset(tmp_path / "d", SPEC, labels=tmp_path / "no.csv")
