"""edgeinfer record CONFIG -o FILE."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from edgeinfer.cli.options import pipeline_of
from edgeinfer.config import load
from edgeinfer.errors import UsageError
from edgeinfer.model.frame import Frame
from edgeinfer.model.framelog import FrameLogWriter
from edgeinfer.model.memory import check_room
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.sliding import SlidingWindow
from edgeinfer.sources import FrameSource, SampleSource


@click.command("record")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The framelog to write.")
@click.option("--pipeline", help="Whose source; needed where CONFIG has several.")
@click.option("--count", default=200, show_default=True, help="Frames, or chunks of a tenth of a second of samples.")
@click.option("--every", default=1, show_default=True, help="Keep every k-th frame.")
@click.option("--max-mb", default=512.0, show_default=True, help="Stop at this size.")
def command(config: Path, output: Path, pipeline: str | None, count: int, every: int, max_mb: float) -> None:
    """Write what the device's own source delivers to a framelog, so that a model is calibrated on what it will see."""
    if count < 1 or every < 1 or not 0 < max_mb <= 1e9:
        raise UsageError("--count, --every and --max-mb", "numbers above 0", f"{count}, {every} and {max_mb:g}")
    settings = load(config)
    name = pipeline_of(settings, pipeline, "--pipeline")
    kept = _record(settings.sources[name].make(), output, count, every, int(max_mb * 1e6), name)
    click.echo(f"{output}: {kept} records, {output.stat().st_size / 1e6:.1f} MB", err=True)


def _record(source: FrameSource | SampleSource, output: Path, count: int, every: int, max_bytes: int, name: str) -> int:
    """How many records were written: frames, or chunks of samples."""
    rate = 0.0
    if source.yields == "samples":
        if every > 1:
            raise UsageError("--every", "1 for a source of samples, which belong together", str(every))
        sensor = cast(SampleSource, source).format()
        rate = sensor.rate
        spec = WindowSpec(length=max(round(rate / 10), 1), channels=sensor.channels, hop=max(round(rate / 10), 1))
        source = SlidingWindow(cast(SampleSource, source), spec, name)
    frames = cast(FrameSource, source)
    format = frames.format()
    check_room(name, "frames", format.nbytes)
    frame = Frame(format)
    kept = captured = breaks = 0
    with FrameLogWriter(output, frame.format, max_bytes, source=name, rate=rate) as log:
        frames.open()
        try:
            while kept < count and frames.read_into(frame):
                captured, breaks = captured + frame.breaks - breaks, frame.breaks  # a replay sees a gap where numbers are missing
                frame.sequence = captured
                if captured % every == 0:
                    if not log.append(frame):
                        break
                    kept += 1
                captured += 1
        finally:
            frames.close()
    return kept
