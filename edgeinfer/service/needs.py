"""What a configuration calls for beyond the unit that the project ships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edgeinfer.config import Config, PlugIn

__all__ = ["Needs", "needs_of"]

# what a program in a `command` source, or one of its arguments, is a sign of
_SIGNS = {
    "camera": ("rpicam-", "libcamera", "picamera"),
    "i2c": ("/dev/i2c-", "/dev/iio:", "i2cget", "i2cdump", "i2ctransfer", "iio_readdev"),
    "gpio": ("/dev/gpiochip", "gpiomon", "gpioget", "gpionotify"),
    "sound": ("/dev/snd/", "arecord", "alsa", "hw:", "plughw:"),
}
_KINDS = {"audio": "sound", "serial": "serial"}  # of sources that are a device
_ACCELERATORS = {"edgetpu": "edge-tpu", "cuda": "jetson", "tensorrt": "jetson"}
_FILES = ("path", "ca", "certificate", "key", "password_file")  # options of plug-ins that name files


@dataclass(frozen=True)
class Needs:
    """``drop_ins``: names of systemd/drop-ins. ``read``, ``written``: files and folders. ``programs``: how many sources are
    a program of their own (rpicam-vid, ffmpeg, arecord), in the service's cgroup."""

    drop_ins: tuple[str, ...]
    read: tuple[Path, ...]
    written: tuple[Path, ...]
    credentials: tuple[str, ...]
    programs: int


def needs_of(config: Config, path: Path, state: Path) -> Needs:
    """``path`` is the configuration's file; ``state`` the folder that systemd makes for the service."""
    names: set[str] = set()
    for source in config.sources.values():
        names.update(_devices(source))
    for pipeline in config.pipelines.values():
        names.update({"gpio"} if pipeline.trigger is not None else set())
        names.update(_ACCELERATORS[name.lower()] for name in pipeline.runtime.accelerators if name.lower() in _ACCELERATORS)
    plug_ins = [*config.sources.values(), config.sink]
    read = {_shown(path), *(file for plug_in in plug_ins for file in _files(plug_in.options)), *_bundles(config, path.parent)}
    written = {folder for folder in (config.state_folder, Path(config.outbox.path).parent)
               if folder.is_absolute() and not folder.is_relative_to(state)}
    programs = sum(source.kind in {"command", "video", "audio"} for source in config.sources.values())
    return Needs(tuple(sorted(names)), tuple(sorted(read)), tuple(sorted(written)), _credentials(plug_ins), programs)


def _shown(path: Path) -> Path:
    """The folder of the configuration, so that an editor may put a new file in the place of the old one; but no whole home."""
    homes = {Path("/home"), Path("/root")}
    return path if homes & {path.parent, path.parent.parent} else path.parent


def _devices(source: PlugIn) -> set[str]:
    if source.kind == "iio":
        return {"i2c"} if source.options.buffer is not None else set()
    if source.kind != "command":
        return {_KINDS[source.kind]} if source.kind in _KINDS else set()
    words: tuple[str, ...] = source.options.argv
    return {name for name, signs in _SIGNS.items() for word in words
            if any(word.startswith(sign) or Path(word).name.startswith(sign) for sign in signs)}


def _files(options: Any) -> set[Path]:
    """Local files that the options of a plug-in name, those of nested ones (tls) included."""
    found: set[Path] = set()
    for field in getattr(options, "__struct_fields__", ()):
        value = getattr(options, field)
        if isinstance(value, msgspec.Struct):
            found |= _files(value)
        elif field in _FILES:
            found |= {Path(each) for each in (value if isinstance(value, (list, tuple)) else [value]) if _is_local(each)}
    return found


def _is_local(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("/") and "://" not in value


def _bundles(config: Config, folder: Path) -> set[Path]:
    """Folders and files of bundles, and of the keys that they are signed with; not those installed in the state folder. What is
    beside the configuration is in ``folder`` on the device, wherever an image's root is now."""
    named = [config.folder / pipeline.bundle for pipeline in config.pipelines.values() if pipeline.bundle]
    named += [config.trusted_keys] if config.trusted_keys else []
    return {(folder / path.relative_to(config.folder) if path.is_relative_to(config.folder) else path).resolve() for path in named}


def _credentials(plug_ins: Sequence[PlugIn]) -> tuple[str, ...]:
    """Of brokers: a sink's own options, a source's ``broker``."""
    brokers = [getattr(plug_in.options, "broker", plug_in.options) for plug_in in plug_ins]
    names = {getattr(broker, "password_credential", "") for broker in brokers}
    return tuple(sorted(names - {""}))
