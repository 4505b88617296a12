"""edgeinfer record CONFIG -o FILE."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from edgeinfer.config import load
from edgeinfer.errors import UsageError
from edgeinfer.model.frame import Frame
from edgeinfer.model.framelog import FrameLogWriter


@click.command("record")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The framelog to write.")
@click.option("--pipeline", help="Whose source; needed where CONFIG has several.")
@click.option("--count", default=200, show_default=True, help="Frames, or chunks of a tenth of a second of samples.")
@click.option("--every", default=1, show_default=True, help="Keep every k-th frame.")
@click.option("--max-mb", default=512.0, show_default=True, help="Stop at this size.")
def command(config: Path, output: Path, pipeline: str | None, count: int, every: int, max_mb: float) -> None:
    """Write what the device's own source delivers to a framelog, so that a model is calibrated on what it will see."""
    settings = load(config)
    name = pipeline or next(iter(settings.pipelines))
    if name not in settings.sources or (pipeline is None and len(settings.sources) > 1):
        raise UsageError("--pipeline", f"one of {', '.join(settings.sources)}", repr(pipeline))
    plug_in = settings.sources[name]
    kept = (_record_frames if plug_in.cls.yields == "frames" else _record_samples)(
        plug_in.make(), output, count, every, int(max_mb * 1e6), name)
    click.echo(f"{output}: {kept} records, {output.stat().st_size / 1e6:.1f} MB", err=True)


def _record_frames(source: Any, output: Path, count: int, every: int, max_bytes: int, name: str) -> int:
    frame = Frame(source.format())
    kept = 0
    with FrameLogWriter(output, frame.format, max_bytes, source=name) as writer:
        source.open()
        try:
            while kept < count and source.read_into(frame):
                if frame.sequence % every == 0:
                    if not writer.append(frame):
                        break
                    kept += 1
                frame.sequence += 1
        finally:
            source.close()
    return kept
