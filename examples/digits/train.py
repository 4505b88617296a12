"""Trains digits.tflite: a detector of handwritten digits, INT8. Run by hand, about ten minutes on one core: python train.py

Needs (Python 3.11): tensorflow-cpu==2.21.0 ai-edge-litert scikit-learn==1.9.1 scikit-image==0.26.0 opencv-python-headless.

Six convolutions, one level of 20 x 15 cells, no anchors: each cell says one box (centre, size; fractions of the picture) and
ten scores (0..1), as YOLOv8's head does after its sigmoid. Two outputs, boxes (1, 300, 4) and scores (1, 300, 10), because
each then has a scale of its own. Fixed seeds, one thread; accuracy is measured on digits and photographs that training
never saw, before and after quantisation, and written to accuracy.json.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

os.environ.update(TF_CPP_MIN_LOG_LEVEL="2", TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1", OMP_NUM_THREADS="1")

import cv2
import flatbuffers
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from compose import HELD_OUT, HERE, TRAINING, Written, background, digits, photograph, scene

HEIGHT, WIDTH, STRIDE = 120, 160, 8
ROWS, COLUMNS = HEIGHT // STRIDE, WIDTH // STRIDE
CLASSES, BATCH, STEPS, POOL = 10, 32, 4200, 10000
REACH = 0.75 * STRIDE  # from a cell's centre to its digit's: over half a stride, so that between two cells both are sure
BOX_UNIT = 0.1  # of the picture: what a box output of 1 means; with 1.0 the boxes' gradients drown those of the classes
LETTERS = "ACEFHJKLMNPRTUVWXYadefhknrtuwxy%&#@?+"  # not mistaken for a digit


def clutter(canvas: np.ndarray, rng: np.random.Generator) -> None:
    """What is not a digit: letters, lines and rings, in place."""
    height, width = canvas.shape[:2]
    for _ in range(rng.integers(0, 9)):
        at = (int(rng.integers(width)), int(rng.integers(height)))
        colour, thick = rng.integers(0, 256, 3).tolist(), int(rng.integers(1, 9))
        match rng.integers(3):
            case 0:
                letter = LETTERS[rng.integers(len(LETTERS))]
                cv2.putText(canvas, letter, at, int(rng.integers(8)), rng.uniform(1, 3), colour, thick, cv2.LINE_AA)
            case 1:
                cv2.line(canvas, at, (int(rng.integers(width)), int(rng.integers(height))), colour, thick, cv2.LINE_AA)
            case _:
                cv2.ellipse(canvas, at, rng.integers(60, 160, 2).tolist(), 0, 0, int(rng.integers(90, 300)), colour, thick,
                            cv2.LINE_AA)


def exposed(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture as some camera would have it: gain, gamma, blur and noise."""
    real = (picture / 255.0) ** rng.uniform(0.7, 1.4) * rng.uniform(0.7, 1.15)
    if rng.random() < 0.3:
        real = cv2.GaussianBlur(real, (3, 3), rng.uniform(0.3, 0.8))
    real += rng.normal(0, rng.uniform(0, 0.03), real.shape)
    return np.clip(real * 255, 0, 255).astype(np.uint8)


def bent(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The digits (n, 8, 8) as other hands might have written them: each smoothly bent by about half a pixel."""
    y, x = np.mgrid[0:8, 0:8].astype(np.float32)
    moved = []
    for sample in samples:
        bend = cv2.resize(rng.normal(0, 0.5, (3, 3, 2)).astype(np.float32), (8, 8), interpolation=cv2.INTER_CUBIC)
        moved.append(cv2.remap(sample, x + bend[..., 0], y + bend[..., 1], cv2.INTER_LINEAR))
    return np.stack(moved)


def pictures(count: int, held_out: bool, seed: int) -> tuple[np.ndarray, list[list[Written]]]:
    """uint8 (count, HEIGHT, WIDTH, 3), and the digits on each (pixels of the model's input)."""
    rng, (samples, labels) = np.random.default_rng(seed), digits(held_out)
    photographs = [photograph(name) for name in (HELD_OUT if held_out else TRAINING)]
    hands = [samples] if held_out else [samples, *(bent(samples, rng) for _ in range(15))]
    made, truth = np.empty((count, HEIGHT, WIDTH, 3), np.uint8), []
    for row in range(count):
        canvas = background(photographs[row % len(photographs)], rng)
        if not held_out:
            clutter(canvas, rng)
        hand, numbers = hands[rng.integers(len(hands))], int(rng.integers(0, 4 if held_out else 8))
        written = scene(canvas, hand, labels, rng, numbers=numbers, paper=0.6)
        factor = canvas.shape[0] // HEIGHT
        small = cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        made[row] = small if held_out else exposed(small, rng)
        truth.append([(label, *(side / factor for side in box)) for label, *box in written])
    return made, truth


def targets(written: list[Written]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (300, 4) as cx, cy, w, h in fractions, and scores (300, 10): a digit belongs to the cells around its centre."""
    boxes, scores = np.zeros((ROWS, COLUMNS, 4), np.float32), np.zeros((ROWS, COLUMNS, CLASSES), np.float32)
    nearest = np.full((ROWS, COLUMNS), np.inf)
    centre_y, centre_x = np.mgrid[0:ROWS, 0:COLUMNS] * STRIDE + STRIDE / 2
    for label, left, top, right, bottom in written:
        x, y, width, height = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        away_x, away_y = abs(centre_x - x), abs(centre_y - y)
        near = (away_x <= max(REACH, 0.25 * width)) & (away_y <= max(REACH, 0.25 * height))
        mine = near & (away_x + away_y < nearest)
        nearest[mine] = (away_x + away_y)[mine]
        boxes[mine] = (x / WIDTH, y / HEIGHT, width / WIDTH, height / HEIGHT)
        scores[mine] = np.eye(CLASSES)[label]
    return boxes.reshape(-1, 4), scores.reshape(-1, CLASSES)


def real(pixels: np.ndarray) -> np.ndarray:
    """-1..1 in steps of 1/128: with scale 1/128 and zero point 128 the uint8 tensor is the pixels themselves."""
    return ((pixels.astype(np.float32) - 128) / 128).astype(np.float32)


def network() -> tf.keras.Model:
    """(n, 120, 160, 3), pixels as ``real`` gives them, to boxes relative to ``grid`` and logits."""
    layers = tf.keras.layers
    inputs = x = tf.keras.Input((HEIGHT, WIDTH, 3))
    for filters, stride in ((16, 2), (32, 2), (32, 1), (64, 2), (64, 1), (64, 1)):
        y = layers.Conv2D(filters, 3, stride, "same", use_bias=False)(x)
        y = layers.ReLU()(layers.BatchNormalization(momentum=0.95)(y))
        x = x + y if stride == 1 else y
    boxes = layers.Reshape((-1, 4))(BOX_UNIT * layers.Conv2D(4, 1, name="box")(x))
    rarely = tf.keras.initializers.Constant(-5.0)
    logits = layers.Reshape((-1, CLASSES))(layers.Conv2D(CLASSES, 1, bias_initializer=rarely, name="score")(x))
    return tf.keras.Model(inputs, [boxes, logits])


def grid() -> tf.Tensor:
    """(1, 300, 4): centres of the cells in fractions, to which the network's boxes are relative."""
    y, x = np.mgrid[0:ROWS, 0:COLUMNS]
    centres = np.stack([(x + 0.5) / COLUMNS, (y + 0.5) / ROWS, 0 * x, 0 * y], -1)
    return tf.constant(centres.reshape(1, -1, 4), tf.float32)


def overlap(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Intersection over union of boxes cx, cy, w, h."""
    low = tf.maximum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)
    high = tf.minimum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
    both = tf.reduce_prod(tf.maximum(high - low, 0), -1)
    return both / (tf.reduce_prod(tf.maximum(a[..., 2:], 0), -1) + tf.reduce_prod(b[..., 2:], -1) - both + 1e-6)


def train(model: tf.keras.Model) -> None:
    made, written = pictures(POOL, held_out=False, seed=0)
    pairs = [targets(row) for row in written]
    boxes, scores = np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])
    rate = tf.keras.optimizers.schedules.CosineDecay(3e-5, STEPS - 200, 0.01, warmup_target=3e-3, warmup_steps=200)
    optimizer, centres = tf.keras.optimizers.AdamW(rate, weight_decay=1e-4), grid()

    @tf.function
    def step(x: tf.Tensor, true_boxes: tf.Tensor, true_scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            cells, logits = model(x, training=True)
            digit = tf.reduce_max(true_scores, -1)
            count = tf.reduce_sum(digit) + 1
            read = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(true_scores, logits)) / count
            found = cells + centres
            apart = 1 - overlap(found, true_boxes) + 5 * tf.reduce_sum(abs(found - true_boxes), -1)
            placed = tf.reduce_sum(digit * apart) / count
            told_apart = tf.nn.softmax_cross_entropy_with_logits(true_scores, logits)  # which digit, where there is one
            loss = read + tf.reduce_sum(digit * told_apart) / count + 0.5 * placed
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return read, placed

    rng = np.random.default_rng(1)
    for number in range(STEPS):
        rows = rng.integers(0, POOL, BATCH)
        x = made[rows].astype(np.float32)
        if number % 2:
            x = np.clip(x * rng.uniform(0.8, 1.2, (BATCH, 1, 1, 3)) + rng.normal(0, 4, x.shape), 0, 255).astype(np.float32)
        read, placed = step(tf.constant(real(x)), tf.constant(boxes[rows]), tf.constant(scores[rows]))
        if number % 200 == 0:
            print(f"step {number} of {STEPS}: reading {float(read):.3f}, placing {float(placed):.3f}", flush=True)


def convert(model: tf.keras.Model) -> bytes:
    """Full-integer TFLite: uint8 in, uint8 boxes and scores out, ranges from 300 pictures of the training kind."""
    image = tf.keras.Input(batch_shape=(1, HEIGHT, WIDTH, 3))  # one picture: no side of any tensor is left open
    cells, logits = model(image)
    whole = tf.keras.Model(image, [cells + grid(), tf.keras.ops.sigmoid(logits)])
    frames, _ = pictures(300, held_out=False, seed=2)
    black_and_white = np.zeros((2, HEIGHT, WIDTH, 3), np.uint8)  # so that the range is that of all pixel values
    black_and_white[1] = 255

    def representative() -> Iterator[list[np.ndarray]]:
        yield from ([real(frame[None])] for frame in np.concatenate([black_and_white, frames]))

    converter = tf.lite.TFLiteConverter.from_keras_model(whole)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return named(converter.convert())


def named(content: bytes) -> bytes:
    """The same model with its ends called image, boxes and scores; the converter's own names are of its inner workings."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    names = {graph.inputs[0]: "image"} | {i: "boxes" if graph.tensors[i].shape[-1] == 4 else "scores" for i in graph.outputs}
    for index, name in names.items():
        graph.tensors[index].name = name
    graph.outputs = sorted(graph.outputs, key=lambda i: names[i])
    model.signatureDefs = None
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


Detector = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def float_detector(model: tf.keras.Model) -> Detector:
    centres = grid().numpy()[0]

    def detect(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cells, logits = model(real(frame[None]), training=False)
        return cells[0].numpy() + centres, tf.sigmoid(logits)[0].numpy()
    return detect


def int8_detector(content: bytes) -> Detector:
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    source, outputs = interpreter.get_input_details()[0], interpreter.get_output_details()
    print("input", source["name"], source["quantization"], [(o["name"], o["quantization"]) for o in outputs])

    def detect(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        interpreter.set_tensor(source["index"], frame[None])
        interpreter.invoke()
        real = [(interpreter.get_tensor(o["index"])[0].astype(np.float32) - o["quantization"][1]) * o["quantization"][0]
                for o in outputs]
        return real[0], real[1]
    return detect


def detections(detect: Detector, frame: np.ndarray, threshold: float) -> list[tuple[float, int, np.ndarray]]:
    """(score, label, box) after non-maximum suppression over all classes, best first."""
    boxes, scores = detect(frame)
    best, kept = scores.max(1), []
    for cell in np.argsort(-best, kind="stable"):
        if best[cell] < threshold:
            break
        if all(float(overlap(boxes[cell], other)) < 0.45 for _, _, other in kept):
            kept.append((float(best[cell]), int(scores[cell].argmax()), boxes[cell]))
    return kept


def measure(detect: Detector, frames: np.ndarray, truth: list[list[Written]]) -> dict[str, float]:
    """Precision and recall at a score of 0.5, and the mean over the classes of average precision (area under the
    interpolated curve, as PASCAL VOC since 2010); a find counts at intersection over union 0.5 with the right label."""
    found: list[tuple[float, int, bool]] = []
    for frame, written in zip(frames, truth, strict=True):
        free = [(label, np.array([(a + c) / 2 / WIDTH, (b + d) / 2 / HEIGHT, (c - a) / WIDTH, (d - b) / HEIGHT], np.float32))
                for label, a, b, c, d in written]
        for score, label, box in detections(detect, frame, 0.05):
            hit = next((i for i, (name, true) in enumerate(free) if name == label and overlap(box, true) >= 0.5), None)
            found.append((score, label, hit is not None))
            if hit is not None:
                free.pop(hit)
    there = np.bincount([label for written in truth for label, *_ in written], minlength=CLASSES)
    sure = [hit for score, _, hit in found if score >= 0.5]
    curves = [sorted(((s, hit) for s, label, hit in found if label == c), reverse=True) for c in range(CLASSES)]
    return {"precision": round(sum(sure) / max(len(sure), 1), 4), "recall": round(sum(sure) / int(there.sum()), 4),
            "mAP50": round(float(np.mean([area(curve, total) for curve, total in zip(curves, there, strict=True)])), 4)}


def area(curve: list[tuple[float, bool]], total: int) -> float:
    hits = np.cumsum([hit for _, hit in curve])
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    return float(np.sum(precision * np.array([hit for _, hit in curve])) / total)


def main() -> None:
    tf.keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    model = network()
    train(model)
    content = convert(model)
    (HERE / "digits.tflite").write_bytes(content)
    frames, truth = pictures(400, held_out=True, seed=3)
    accuracy = {"pictures": len(frames), "digits": sum(map(len, truth)), "parameters": model.count_params(),
                "float": measure(float_detector(model), frames, truth),
                "int8": measure(int8_detector(content), frames, truth)}
    print(json.dumps(accuracy, indent=1), len(content), "bytes")
    (HERE / "accuracy.json").write_text(json.dumps(accuracy, indent=1) + "\n")


if __name__ == "__main__":
    main()
