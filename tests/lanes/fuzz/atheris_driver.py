"""Coverage-guided: python -m tests.lanes.fuzz.atheris_driver TARGET FOLDER [libFuzzer's options]. Needs atheris."""

from __future__ import annotations

import sys
from pathlib import Path


def main(name: str, folder: Path, options: list[str]) -> None:
    """Feed until libFuzzer's limits; it ends with another code than 0, and keeps the case, when anything but our errors comes."""
    import atheris

    with atheris.instrument_imports(include=["edgeinfer"]):
        from edgeinfer.errors import EdgeinferError
        from tests.lanes.fuzz.targets import targets
    (folder / "files").mkdir(parents=True)
    target = {one.name: one for one in targets(folder / "files")}[name]
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(target.seeds):
        (corpus / str(number)).write_bytes(seed)
    words = folder / "words"
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word[:60]) + '"\n' for word in target.words if word))

    def feed(data: bytes) -> None:
        try:
            target.feed(data)
        except EdgeinferError:
            return

    atheris.Setup([sys.argv[0], f"-dict={words}", "-timeout=10", "-rss_limit_mb=1024", f"-artifact_prefix={folder}/", *options,
                   str(corpus)], feed)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
