"""Documents from a data set on the Hugging Face Hub, or from a copy of one that lies elsewhere."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field, PositiveInt, field_validator

from engine import storage
from engine.errors import OpError
from engine.op import Batch, Losses, Shard, Source, fail
from ops import dataset_rows, input_files, jsonl, parquet, stack_columns
from ops.input_files import InputFile
from ops.jsonl import Jsonl
from ops.parquet import Parquet

HUB = "hf://datasets"

_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""The words by which the Hub's own loader tells splits in the names of files and folders."""


class Hub(Source):
    """Reads a data set of the Hugging Face Hub through its file system: its Parquet files and its JSON lines.

    Files are read where they lie, a part at a time; nothing is kept on disk. The revision is looked up once and every
    file is read at that commit. A private or gated data set needs a token in the environment, `HF_TOKEN`. Columns are
    those that `parquet` and `jsonl` know. Needs `huggingface_hub`: the extra `hub`.

    Example:
        - hub: {dataset: bigcode/the-stack-dedup, data_dir: data/python}

    Reference:
        Kocetkov et al. 2022, The Stack, https://arxiv.org/abs/2211.15533
    """

    rereads: ClassVar[bool] = True
    threads: ClassVar[bool] = True
    reasons: ClassVar[tuple[str, ...]] = dataset_rows.REASONS
    where: ClassVar[tuple[str, ...]] = ("dataset", "data_dir", "revision", "split", "patterns", "root")

    dataset: str
    """The data set's name, with its owner's: `bigcode/the-stack-dedup`."""
    data_dir: str = ""
    """Folder of the data set that is read; the whole by default."""
    revision: str = "main"
    """Branch, tag or commit."""
    split: str | None = None
    """Only files whose names or folders say that they are of this split; where none says anything, all are `train`."""
    patterns: list[str] = Field(default_factory=list)
    """Globs of the files to read, below `data_dir`; by default all that are Parquet or JSON lines."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Names of columns in the files, by ours (`{content: body}`); a dot leads into a struct or object."""
    max_bytes: PositiveInt = 1 << 20
    """Bytes that a text may have; longer ones are dropped."""
    root: str = HUB
    """What `dataset` lies below: the Hub, or a folder or URL with copies of data sets, which know no revisions."""

    @field_validator("columns")
    @classmethod
    def _known(cls, columns: dict[str, str]) -> dict[str, str]:
        stack_columns.check_names(columns)
        return columns

    def shards(self) -> Iterator[Shard]:
        """The shards of the data set's files, as they are at one commit."""
        with self._plain_words():
            folder = storage.join(self.root, self.dataset)
            if self.root == HUB:
                folder += f"@{self._commit()}"
            if self.data_dir.strip("/"):
                folder = storage.join(folder, self.data_dir.strip("/"))
            paths = [storage.join(folder, pattern) for pattern in self.patterns] or [folder]
            files = self._of_split(input_files.find(paths, (*parquet.ENDINGS, *jsonl.ENDINGS), below=folder))
            for reader in (Parquet, Jsonl):
                yield from self._reader(reader).cut(file for file in files if _reader_of(file.url) is reader)

    def read(self, shard: Shard, losses: Losses, columns: frozenset[str] | None = None) -> Iterator[Batch]:
        """Batches of the shard's documents, of their text and the columns asked for."""
        with self._plain_words():
            yield from self._reader(_reader_of(shard.at["url"])).read(shard, losses, columns)

    def _reader(self, kind: type[Parquet] | type[Jsonl]) -> Any:
        return kind(path=self.dataset, columns=self.columns, max_bytes=self.max_bytes)

    def _of_split(self, files: list[InputFile]) -> list[InputFile]:
        if self.split is None:
            return files
        found = [file for file in files if _says(file.place, self.split)]
        if not found and self.split == "train" and not any(_says(f.place, s) for f in files for s in _SPLITS):
            return files
        if not found:
            names = ", ".join(file.place for file in files[:3])
            raise fail(self, f"no file of `{self.dataset}` says that it is of the split `{self.split}` ({names}, …)")
        return found

    def _commit(self) -> str:
        """The commit that the revision stands for now."""
        # The extra `hub` is not for everyone.
        from huggingface_hub import HfApi

        return str(HfApi().dataset_info(self.dataset, revision=self.revision).sha)

    @contextlib.contextmanager
    def _plain_words(self) -> Iterator[None]:
        """Tells what the Hub refused as a user can mend it."""
        try:
            yield
        except ImportError as error:
            if (error.name or "").partition(".")[0] != "huggingface_hub":
                raise
            raise fail(self, "this needs huggingface_hub: pip install 'starcoder-engine[hub]'") from None
        except Exception as error:
            told = self._told(error) if self.root == HUB else None
            if told is None:
                raise
            raise OpError(f"{self.name()}: {told}") from error

    def _told(self, error: BaseException | None) -> str | None:
        """What an error of the Hub's client, or one that it led to, means; None for any other."""
        from huggingface_hub import errors

        name, page = self.dataset, f"https://huggingface.co/datasets/{self.dataset}"
        nobody = f"there is no data set `{name}`, or it is private and HF_TOKEN holds no token that may read it"
        meanings: tuple[tuple[Any, str], ...] = (
            (errors.GatedRepoError, f"`{name}` is gated: agree to its terms at {page}, and put a token in HF_TOKEN"),
            (errors.RevisionNotFoundError, f"`{name}` has no branch, tag or commit `{self.revision}`"),
            (errors.RepositoryNotFoundError, nobody),
            (errors.HFValidationError, f"`{name}` is no data set's name; write `owner/name`"),
            (errors.HfHubHTTPError, f"the Hub did not give what was asked of `{name}`:"),
            (errors.OfflineModeIsEnabled, "the Hub cannot be reached:"),
            (errors.HfHubHTTPError.__bases__[0], "the Hub cannot be reached:"),
        )
        while error is not None:
            for kind, meaning in meanings:
                if isinstance(error, kind):
                    return f"{meaning} {error}" if meaning.endswith(":") else meaning
            error = error.__cause__ or error.__context__
        return None


def _reader_of(url: str) -> type[Parquet] | type[Jsonl]:
    return Parquet if url.lower().endswith(parquet.ENDINGS) else Jsonl


def _says(place: str, split: str) -> bool:
    """Whether a file's place has a word for the split, set off by what separates words there."""
    words = "|".join(re.escape(word) for word in _SPLITS.get(split, (split,)))
    return re.search(rf"(^|[-._ 0-9/])({words})([-._ 0-9/]|$)", place, re.IGNORECASE) is not None
