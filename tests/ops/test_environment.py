"""Environment: the closure of requirements on made-up distributions, and what is installed here against its files."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from engine.errors import OpError
from engine.op import Losses, Shard
from ops import environment
from ops.environment import Environment


def read(source: Environment, shards: list[Shard] | None = None) -> tuple[list[dict[str, Any]], Losses]:
    losses = Losses()
    found = list(source.shards()) if shards is None else shards
    return [row for shard in found for batch in source.read(shard, losses) for row in batch.to_pylist()], losses


Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts made-up distributions where none but these are installed."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setattr(sys, "path", [str(site)])
    monkeypatch.setattr(environment, "ENGINE", "the-engine")

    def put(name: str, *requires: str, files: Mapping[str, str] | None = None, license: str = "MIT") -> None:
        info = f"{name.replace('-', '_')}-1.0.dist-info"
        lines = [
            f"Name: {name}",
            "Version: 1.0",
            f"License-Expression: {license}",
            *(f"Requires-Dist: {r}" for r in requires),
        ]
        given = dict({f"{name}.py": f"# {name}\n"} if files is None else files)
        given[f"{info}/METADATA"] = "\n".join(lines) + "\n\n"
        record = ""
        for path, text in given.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{path},sha256={digest},{len(text.encode())}\n"
        for path in ("INSTALLER", "REQUESTED", "direct_url.json"):
            (site / info / path).write_text("pip\n")
            record += f"{info}/{path},,\n"
        (site / info / "RECORD").write_text(record + f"{info}/RECORD,,\n")

    return put


def names(source: Environment) -> list[str]:
    return sorted({shard.at["distribution"] for shard in source.shards()} - {"cpython"})


# --- the closure ------------------------------------------------------------------------------------------------


def test_what_the_engine_requires_is_read_and_no_more(install: Install) -> None:
    install(
        "the-engine",
        "direct>=1",
        'windows-only; sys_platform == "nowhere"',
        'extra-only; extra == "model"',
        "More[fast]",
    )
    install("direct", "Indirect.Package", "the-engine")
    install("indirect-package", "direct")  # a circle
    install("more", 'speed; extra == "fast"', 'slow; extra == "slow"')
    install("speed", "more[slower]")
    for name in ("windows-only", "extra-only", "slow", "unrelated"):
        install(name)
    assert names(Environment()) == ["direct", "indirect-package", "more", "speed"]


def test_installing_an_extra_does_not_change_the_corpus(install: Install) -> None:
    install("the-engine", "direct", 'torch; extra == "model"')
    install("direct", 'torch; extra == "gpu"')
    before = list(Environment().shards())
    install("torch")
    assert list(Environment().shards()) == before


def test_all_and_lists(install: Install) -> None:
    for name in ("the-engine", "some-thing", "other"):
        install(name, *(["other"] if name == "the-engine" else []))
    assert names(Environment(packages="all")) == ["other", "some-thing"]
    assert names(Environment(packages=["Some_Thing"])) == ["some-thing"]
    assert {shard.at["distribution"] for shard in Environment(packages=["cpython"]).shards()} == {"cpython"}
    with pytest.raises(OpError, match=r"`some-thin` is not installed; did you mean `some-thing`\?"):
        list(Environment(packages=["some-thin"]).shards())


def test_without_the_engine_nothing_is_known(install: Install) -> None:
    with pytest.raises(OpError, match="not installed here"):
        list(Environment().shards())


# --- fates ------------------------------------------------------------------------------------------------------


def test_what_of_a_distribution_is_read(install: Install) -> None:
    files = {
        "pkg/__init__.py": "",
        "pkg/a.py": "a",
        "pkg/_c.so": "elf",
        "pkg/__pycache__/a.cpython-311.pyc": "x",
        "../bin/tool": "#!/somewhere/python\n",
        "pkg-1.0.dist-info/entry_points.txt": "[console_scripts]\n",
        "pkg/big.txt": "x" * 101,
    }
    install("pkg", files=files)
    rows, losses = read(Environment(packages=["pkg"], max_bytes=100))
    assert sorted(row["path"] for row in rows) == [
        "pkg-1.0.dist-info/METADATA",
        "pkg-1.0.dist-info/entry_points.txt",
        "pkg/a.py",
    ]
    assert {(row["repo_name"], row["revision_id"], row["license"]) for row in rows} == {("pkg", "1.0", "MIT")}
    reasons = {row["path"]: row["reason"] for row in losses.dropped}
    assert reasons == {"pkg/__init__.py": "empty", "pkg/_c.so": "binary", "pkg/big.txt": "too_large"}


def test_a_requirement_that_is_not_installed_goes_to_quarantine(install: Install) -> None:
    install("the-engine", "there")
    install("there", "gone")
    losses = Losses()
    for shard in Environment().shards():
        if shard.at["distribution"] != "cpython":
            list(Environment().read(shard, losses))
    assert [(row["path"], row["error"]) for row in losses.quarantined] == [
        ("gone", "there requires it, but it is not installed")
    ]


def test_a_distribution_without_a_record_goes_to_quarantine(install: Install, tmp_path: Path) -> None:
    install("pkg")
    (tmp_path / "site/pkg-1.0.dist-info/RECORD").unlink()
    rows, losses = read(Environment(packages=["pkg"]))
    assert rows == []
    assert [row["path"] for row in losses.quarantined] == ["pkg"]


def test_a_file_that_has_gone_goes_to_quarantine(install: Install, tmp_path: Path) -> None:
    install("pkg")
    (tmp_path / "site/pkg.py").unlink()
    rows, losses = read(Environment(packages=["pkg"]))
    assert [row["path"] for row in rows] == ["pkg-1.0.dist-info/METADATA"]
    assert [row["path"] for row in losses.quarantined] == ["pkg.py"]


def test_another_version_on_another_machine_is_an_error(install: Install) -> None:
    install("pkg")
    (shard,) = Environment(packages=["pkg"]).shards()
    other = Shard(shard.name, shard.version, shard.bytes, {**shard.at, "version": "0.9"})
    with pytest.raises(OpError, match=r"pkg is 1.0 on this machine and 0.9"):
        list(Environment(packages=["pkg"]).read(other, Losses()))


def test_a_new_file_makes_a_new_version_of_the_shard(install: Install) -> None:
    install("pkg", files={"a.py": "a", "b.py": "b"})
    (before,) = Environment(packages=["pkg"]).shards()
    install("pkg", files={"a.py": "A", "b.py": "b"})
    (after,) = Environment(packages=["pkg"]).shards()
    assert before.name == after.name
    assert before.version != after.version


# --- this machine -----------------------------------------------------------------------------------------------


def test_a_real_distribution_is_what_lies_on_disk() -> None:
    rows, losses = read(Environment(packages=["pydantic"]))
    root = Path(str(metadata.distribution("pydantic").locate_file("")))
    for row in rows:
        assert row["content"].encode() == (root / row["path"]).read_bytes()
        assert (row["repo_name"], row["revision_id"]) == ("pydantic", metadata.version("pydantic"))
        assert row["license"] == "MIT"
    files = {p.relative_to(root).as_posix() for p in (root / "pydantic").rglob("*.py")}
    empty = {row["path"] for row in losses.dropped if row["reason"] == "empty"}
    assert files == {row["path"] for row in rows if row["path"].endswith(".py")} | {
        p for p in empty if p.endswith(".py")
    }


def test_the_standard_library_is_what_lies_on_disk() -> None:
    source = Environment(packages=["cpython"])
    shards = list(source.shards())
    rows, _ = read(source, shards[:1])
    root = Path(sysconfig.get_path("stdlib"))
    assert len(rows) > 10
    for row in rows:
        assert row["content"].encode() == (root / row["path"]).read_bytes().removeprefix(b"\xef\xbb\xbf") or not row[
            "path"
        ].endswith(".py")
        assert (row["repo_name"], row["revision_id"]) == ("cpython", platform.python_version())
        assert row["license"] == "PSF-2.0"
    listed = [path for shard in shards for path in shard.at["files"]]
    assert sum(path.endswith(".py") for path in listed) > 1000
    assert "os.py" in listed
    assert "json/decoder.py" in listed
    assert not [path for path in listed if "site-packages" in path or "__pycache__" in path]


def test_the_default_is_about_ten_thousand_files() -> None:
    shards = list(Environment().shards())
    files = sum(len(shard.at["files"]) for shard in shards)
    assert 6_000 < files < 20_000
    assert {"cpython", "pyarrow", "ray", "aiohttp"} <= {
        shard.at["distribution"] for shard in shards
    }  # aiohttp: ray[default]
    assert not {"torch", "pytest", environment.ENGINE} & {shard.at["distribution"] for shard in shards}
    endings = Counter(path.rpartition(".")[2] for shard in shards for path in shard.at["files"])
    assert endings.most_common(1)[0][0] == "py"
    assert len({shard.name for shard in shards}) == len(shards)
    json.dumps([dict(shard.at) for shard in shards])
