"""Small classifiers on scikit-learn's digits, two of them with the channel imbalance that ruins INT8.

    smallcnn   conv, depthwise, residual, linear, with ReLU
    mbv2       a stem and six inverted residuals, with ReLU6
    mid, hard  mbv2 with ReLU, then each channel between two convolutions multiplied by a factor that is divided out
               again behind it: log-uniform in 0.15 to 6, and in 0.02 to 8. The function is the same to rounding

The factors imitate what folding BatchNormalization leaves in real MobileNets.

    python -m tests.conformance.digits FOLDER     trains what is not there (some minutes) and writes FOLDER/*.onnx,
                                                  calibration.npz, test.npz
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np

SIZE, CALIBRATION, TEST = 32, 128, 2000
RESCALED = {"mid": (0.15, 6.0), "hard": (0.02, 8.0)}


def pictures(count: int, digits: np.ndarray, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, 3, 32, 32) uint8 and their classes: digits turned, moved, coloured and in noise."""
    import cv2

    rng = np.random.default_rng(seed)
    made, truth = np.empty((count, 3, SIZE, SIZE), np.uint8), np.empty(count, np.int64)
    for index in range(count):
        choice = rng.integers(len(digits))
        digit = cv2.resize(digits[choice].astype(np.float32) / 16, (20, 20), interpolation=cv2.INTER_LINEAR)
        turn = cv2.getRotationMatrix2D((10, 10), rng.uniform(-20, 20), rng.uniform(0.85, 1.25))
        turn[:, 2] += rng.uniform(2, 10, 2)
        mask = cv2.warpAffine(digit, turn, (SIZE, SIZE))[None]
        ink, paper = rng.uniform(0, 255, (2, 3, 1, 1))
        while np.abs(ink - paper).sum() < 150:
            ink, paper = rng.uniform(0, 255, (2, 3, 1, 1))
        picture = paper + (ink - paper) * mask + rng.normal(0, 12, (3, SIZE, SIZE))
        made[index], truth[index] = np.clip(picture, 0, 255), labels[choice]
    return made, truth


def normalised(made: np.ndarray) -> np.ndarray:
    """As the nets are fed: (pixel - 127.5) / 63.75, float32."""
    return ((made.astype(np.float32) - 127.5) / 63.75).astype(np.float32)


def sets() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Training, calibration and test pictures; the test's digits are seen nowhere else."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.images))
    images, labels = digits.images[order], digits.target[order]
    seen, held = slice(0, 1300), slice(1300, None)
    return (pictures(10_000, images[seen], labels[seen], 1), pictures(CALIBRATION, images[seen], labels[seen], 2),
            pictures(TEST, images[held], labels[held], 3))


def small_cnn():
    from torch import nn

    class Residual(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner, self.relu = inner, nn.ReLU()

        def forward(self, x):
            return self.relu(x + self.inner(x))

    def block(inputs, outputs, stride=1, groups=1, size=3):
        return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
                             nn.BatchNorm2d(outputs), nn.ReLU())

    inner = nn.Sequential(block(64, 64, groups=64), nn.Conv2d(64, 64, 1, bias=False), nn.BatchNorm2d(64))
    return nn.Sequential(block(3, 32), block(32, 32, 2, groups=32), block(32, 64, size=1), Residual(inner), block(64, 64, 2),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def mobile(activation):
    from torch import nn

    class Inverted(nn.Module):
        def __init__(self, inputs, outputs, stride, expand=4):
            super().__init__()
            wide = inputs * expand
            self.residual = stride == 1 and inputs == outputs
            self.body = nn.Sequential(
                nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide), activation(),
                nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), activation(),
                nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

        def forward(self, x):
            return x + self.body(x) if self.residual else self.body(x)

    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), activation(),
        Inverted(16, 24, 1), Inverted(24, 24, 1), Inverted(24, 32, 2), Inverted(32, 32, 1), Inverted(32, 48, 2), Inverted(48, 48, 1),
        nn.Conv2d(48, 128, 1, bias=False), nn.BatchNorm2d(128), activation(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


def train(net, made: np.ndarray, truth: np.ndarray, epochs: int):
    import torch

    torch.manual_seed(0)
    for module in net.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    x, y = torch.from_numpy(normalised(made)), torch.from_numpy(truth)
    steps = epochs * (len(x) // 128)
    optimiser = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.15, steps)
    net.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(128)[: len(x) // 128]:
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
            optimiser.step()
            schedule.step()
    return net.eval()


def export(net, path: Path) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is the old one: it folds BatchNormalization, which is wanted here
        torch.onnx.export(net, (torch.zeros(1, 3, SIZE, SIZE),), str(path), input_names=["image"], output_names=["logits"],
                          opset_version=17, dynamo=False)


def rescale(source: Path, path: Path, low: float, high: float) -> None:
    """Multiply each channel between two convolutions with nothing but a ReLU between them, and divide it out again."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(source)
    weights = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in model.graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    rng = np.random.default_rng(11)
    for node in model.graph.node:
        after = readers.get(node.output[0], []) if node.op_type == "Conv" else []
        behind = readers.get(after[0].output[0], []) if len(after) == 1 and after[0].op_type == "Relu" else []
        if len(behind) != 1 or behind[0].op_type != "Conv":
            continue
        factor = np.exp(rng.uniform(np.log(low), np.log(high), weights[node.input[1]].shape[0])).astype(np.float32)
        weights[node.input[1]] *= factor[:, None, None, None]
        weights[node.input[2]] *= factor
        depthwise = weights[behind[0].input[1]].shape[1] == 1
        weights[behind[0].input[1]] /= factor[:, None, None, None] if depthwise else factor[None, :, None, None]
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    onnx.save(model, path)


def accuracy(path: Path, made: np.ndarray, truth: np.ndarray) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    answers = [session.run(None, {"image": picture[None]})[0].argmax() for picture in normalised(made)]
    return float((np.array(answers) == truth).mean())


def main(folder: Path) -> None:
    from torch import nn

    folder.mkdir(parents=True, exist_ok=True)
    training, calibration, test = sets()
    for name, (made, truth) in (("calibration", calibration), ("test", test)):
        np.savez(folder / f"{name}.npz", pictures=made.transpose(0, 2, 3, 1), labels=truth)
    for name, net, epochs in (("smallcnn", small_cnn(), 15), ("mbv2", mobile(nn.ReLU6), 6), ("relu", mobile(nn.ReLU), 6)):
        if not (folder / f"{name}.onnx").exists():
            export(train(net, *training, epochs), folder / f"{name}.onnx")
    for name, (low, high) in RESCALED.items():
        rescale(folder / "relu.onnx", folder / f"{name}.onnx", low, high)
    for path in sorted(folder.glob("*.onnx")):
        print(f"{path.stem}: float top-1 {accuracy(path, *test):.4f}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
