"""The pictures in the examples' READMEs, made by the examples themselves. Run by hand: python -m examples.pictures [EXAMPLE…]"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeinfer.config import load
from edgeinfer.enrolment import Register
from edgeinfer.looking.view import View
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import Bundle, read
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import Frame
from edgeinfer.oneshot import answers
from edgeinfer.scene.scene import Scene
from examples.run import HERE, enroll, payments, truth

Array = np.ndarray
PAPER, INK, FAINT, EDGE = "#fbfaf7", "#26292e", "#8a9099", "#e3e0d8"
GOOD, BAD, CALM = "#0f766e", "#c2410c", "#64748b"


def results(folder: Path, path: Path) -> Iterator[tuple[Bundle, Any]]:
    bundle = read(folder / "bundle")
    engine = Engine(bundle, RuntimeOptions())
    for answer in answers(engine, path):
        yield bundle, answer
    engine.close()


def write(path: Path, picture: Array, colours: int = 96) -> None:
    """PNG with few colours, so that it is small."""
    pixels = picture.reshape(-1, 3)
    sample = np.float32(pixels[:: max(1, len(pixels) // 20000)])
    cv2.setRNGSeed(1)
    _, _, palette = cv2.kmeans(sample, min(colours, len(sample)), None, (3, 12, 0.5), 1, cv2.KMEANS_PP_CENTERS)
    palette = np.uint8(np.rint(palette))
    nearest = np.concatenate([((part[:, None].astype(np.int32) - palette) ** 2).sum(2).argmin(1) for part in
                              np.array_split(pixels, 64)])
    cv2.imwrite(str(path), palette[nearest].reshape(picture.shape), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{path.relative_to(HERE)}: {path.stat().st_size / 1000:.0f} kB")


def people() -> None:
    """Two moments of the film, as preview shows them."""
    folder = HERE / "people"
    config = load(folder / "config.yaml").pipelines["people"]
    scene, shown = Scene(config.scene), []
    view = None
    for bundle, answer in results(folder, folder / "street.mp4"):
        view = view or View(bundle, "people: INT8, 34 kB", config.zones, config.lines)
        answer.frame.monotonic_ns = int(answer.index * 1e9 / 12)
        picture = view.draw(answer.frame, scene.see(answer.result, answer.frame))
        if answer.index in (54, 188):
            shown.append(picture)
    write(folder / "picture.png", np.hstack([shown[0], np.full((shown[0].shape[0], 8, 3), 255, np.uint8), shown[1]]))


def greeter() -> None:
    """Who came to the door, and what the greeter said."""
    folder, shown = HERE / "greeter", []
    with tempfile.TemporaryDirectory() as state:
        enroll(Path(state))
        bundle = read(folder / "bundle")
        engine = Engine(bundle, RuntimeOptions())
        for path in sorted((folder / "door").glob("?a-*.jpg")):
            frame = Frame(_format(path))
            lane = engine.lane(frame.format)
            register = Register.of(lane.decoder, Path(state), bundle.manifest.files[bundle.manifest.model].sha256)
            assert register is not None
            register.refresh()
            frame.view[:] = cv2.imread(str(path))
            shown.append(_card(cv2.imread(str(path)), lane.infer(frame)))
        engine.close()
    write(folder / "picture.png", np.hstack(shown))


def _format(path: Path) -> Any:
    from edgeinfer.model.frame import FrameFormat

    height, width = cv2.imread(str(path)).shape[:2]
    return FrameFormat("BGR", height, width)


def _card(face: Array, result: Any) -> Array:
    card = np.full((face.shape[0] + 62, face.shape[1] + 16, 3), 255, np.uint8)
    card[8:8 + face.shape[0], 8:8 + face.shape[1]] = face
    colour = (110, 118, 15) if result.known else (150, 140, 130)
    for text, y, size, weight in ((result.name, 32, 0.7, 2), (f"cosine {result.similarity:.2f}", 52, 0.42, 1)):
        cv2.putText(card, text, (10, face.shape[0] + y), cv2.FONT_HERSHEY_SIMPLEX, size, colour, weight, cv2.LINE_AA)
    return card


def keyword() -> None:
    """The whole recording: its spectrogram, what was heard, and when."""
    folder = HERE / "keyword"
    labels = ("nothing", "other", "on", "off")
    rows = [(answer.index, answer.result.rows[0].index, answer.result.rows[0].score)
            for _, answer in results(folder, folder / "room.wav")]
    import wave

    with wave.open(str(folder / "room.wav")) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    wide, tall, left = 940, 200, 10
    sheet = np.full((tall + 96, wide + 2 * left, 3), 255, np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(sound, 256)[::100]
    power = 10 * np.log10(np.abs(np.fft.rfft(windows * np.hanning(256), axis=1)).T ** 2 + 1e-4)[::-1]
    share = np.uint8(255 * np.clip((power + 12) / 40, 0, 1))  # the room itself stays dark
    sheet[8:8 + tall, left:left + wide] = cv2.applyColorMap(cv2.resize(share, (wide, tall), interpolation=cv2.INTER_AREA),
                                                            cv2.COLORMAP_MAGMA)
    shades = {0: (226, 224, 220), 1: (200, 190, 178), 2: (60, 150, 60), 3: (60, 70, 200)}
    seconds = len(sound) / 8000
    for index, label, _ in rows:
        at = left + round((index * 0.1 + 1.0) / seconds * wide)
        cv2.rectangle(sheet, (at - 6, tall + 16), (at - 1, tall + 40), shades[label], -1)
    told, before = [], ""
    for index, label, score in rows:
        word = labels[label] if score >= 0.9 else ""
        if word != before and word in ("on", "off"):
            told.append((index, word, label))
        before = word
    for index, word, label in told:
        cv2.putText(sheet, word, (left + round((index * 0.1 + 1.0) / seconds * wide) - 6, tall + 64), cv2.FONT_HERSHEY_SIMPLEX, 0.7,
                    shades[label], 2, cv2.LINE_AA)
    for second in range(0, 17, 2):
        cv2.putText(sheet, f"{second} s", (left + round(second / seconds * wide) - (24 if second == 16 else 0), tall + 88),
                    cv2.FONT_HERSHEY_SIMPLEX, 0.42, (120, 116, 110), 1, cv2.LINE_AA)
    write(folder / "picture.png", sheet, 40)


class Chart:
    """An SVG of 860 pixels, with a plot from ``left`` to ``right``; figures and words in the viewer's own font."""

    def __init__(self, title: str, high: int = 340) -> None:
        self.left, self.right, self.top, self.bottom = 62, 836, 56, high - 42
        self._parts = [f'<rect width="860" height="{high}" rx="10" fill="{PAPER}"/>',
                       f'<text x="24" y="32" font-size="17" font-weight="600" fill="{INK}">{title}</text>']
        self._high = high

    def add(self, part: str) -> None:
        self._parts.append(part)

    def text(self, x: float, y: float, said: str, colour: str = FAINT, anchor: str = "start", size: int = 13) -> None:
        self.add(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}">{said}</text>')

    def line(self, points: list[tuple[float, float]], colour: str, width: float = 2, dashed: bool = False) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dash = ' stroke-dasharray="6 5"' if dashed else ""
        self.add(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"{dash}/>')

    def write(self, path: Path) -> None:
        body = "\n".join(self._parts)
        path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 {self._high}" width="860" height="{self._high}" '
                        f'font-family="system-ui, sans-serif">\n{body}\n</svg>\n')
        print(f"{path.relative_to(HERE)}: {path.stat().st_size / 1000:.0f} kB")


def vibration() -> None:
    """What both models say of the recording."""
    folder = HERE / "vibration"
    unusual = [(answer.index * 0.16 + 0.32, answer.result.value / answer.result.threshold)
               for _, answer in results(folder, folder / "vibration.csv")]
    wear = [(answer.index * 0.25 + 1.0, answer.result.values[0])
            for _, answer in results(folder / "severity", folder / "vibration.csv")]
    begins, ends = truth("vibration")["fault"]
    chart = Chart("One motor, two models: is anything unusual, and how worn is the bearing?")

    tall = chart.bottom - chart.top

    def at(second: float, value: float, most: float) -> tuple[float, float]:
        return chart.left + second / 18 * (chart.right - chart.left), chart.bottom - max(value, 0) / most * tall

    x0, x1 = at(begins, 0, 1)[0], at(ends, 0, 1)[0]
    chart.add(f'<rect x="{x0:.1f}" y="{chart.top}" width="{x1 - x0:.1f}" height="{tall}" fill="{BAD}" opacity="0.08"/>')
    chart.text((x0 + x1) / 2, chart.top + 16, "the bearing is broken", BAD, "middle")
    for second in range(0, 19, 3):
        x, y = at(second, 0, 1)
        chart.line([(x, chart.top), (x, y)], EDGE, 1)
        chart.text(x, y + 20, f"{second} s", anchor="middle")
    chart.line([at(0, 1, 3.9), at(18, 1, 3.9)], CALM, 1.2, dashed=True)
    chart.text(chart.right, at(0, 1, 3.9)[1] - 6, "threshold", CALM, "end", 12)
    chart.line([at(second, value, 3.9) for second, value in unusual], CALM)
    chart.line([at(second, value, 1.3) for second, value in wear], GOOD, 3)
    chart.text(chart.left + 6, chart.top + 16, "● wear, by statistics of the vibration", GOOD)
    chart.text(chart.left + 6, chart.top + 36, "● unusual, by an autoencoder", CALM)
    chart.write(folder / "picture.svg")


def transactions() -> None:
    """Each payment of payments.jsonl by its score."""
    from edgeinfer.model.frame import WindowFormat
    from edgeinfer.model.preprocess.columns import Columns

    folder, fraud = HERE / "transactions", set(truth("transactions")["fraud"])
    bundle = read(folder / "bundle")
    spec = bundle.manifest.preprocess
    engine = Engine(bundle, RuntimeOptions())
    frame, columns = Frame(WindowFormat(1, 13)), Columns(spec.table)  # type: ignore[union-attr]
    lane, scores = engine.lane(frame.format), []
    for payment in payments():
        columns.write(payment, frame.view[0])
        best = lane.infer(frame).rows[0]  # type: ignore[attr-defined]
        scores.append(best.score if best.index else 1 - best.score)
    engine.close()
    chart = Chart("160 payments by their score: how sure the model is that a card was stolen", 300)
    width, rng = chart.right - chart.left, np.random.default_rng(3)
    middle = (chart.top + chart.bottom) / 2
    chart.add(f'<rect x="{chart.left + width / 2:.1f}" y="{chart.top}" width="{width / 2:.1f}" height="{chart.bottom - chart.top}" '
              f'fill="{BAD}" opacity="0.06"/>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = chart.left + share * width
        chart.line([(x, chart.top), (x, chart.bottom)], EDGE, 1)
        chart.text(x, chart.bottom + 20, f"{share:g}", anchor="middle")
    for number, score in enumerate(scores):
        stolen = number in fraud
        y = (middle - 44 if stolen else middle + 48) + rng.uniform(-34, 34)
        colour = BAD if stolen else GOOD
        chart.add(f'<circle cx="{chart.left + score * width:.1f}" cy="{y:.1f}" r="5" fill="{colour}" opacity="0.75"/>')
    found = sum(scores[number] > 0.5 for number in fraud)
    wrong = sum(score > 0.5 for number, score in enumerate(scores) if number not in fraud)
    chart.text(chart.left + 8, chart.top + 18, f"● stolen: {found} of {len(fraud)} stopped", BAD)
    chart.text(chart.left + 0.52 * width, chart.bottom - 8, f"● honest: {wrong} of {len(scores) - len(fraud)} stopped", GOOD)
    chart.write(folder / "picture.svg")


MAKERS: dict[str, Callable[[], None]] = {"people": people, "greeter": greeter, "keyword": keyword, "vibration": vibration,
                                         "transactions": transactions}


def main() -> None:
    for name in sys.argv[1:] or MAKERS:
        MAKERS[name]()


if __name__ == "__main__":
    main()
