"""The card of a tokenizer: what it was trained on, and how many characters of each language its tokens hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_MOST_LICENSES = 40


@dataclass
class Fertility:
    """Of a language: bytes, characters and tokens of documents that the tokenizer was not trained on."""

    bytes: int = 0
    characters: int = 0
    tokens: int = 0

    @property
    def characters_per_token(self) -> float:
        """The more, the fewer tokens a text takes."""
        return round(self.characters / self.tokens, 2)


def tokenizer_card(
    about: str,
    told: Mapping[str, Any],
    languages: Mapping[str, Sequence[int]],
    licenses: Mapping[str, int],
    held_out: Mapping[str, Fertility],
    versions: Mapping[str, str],
) -> str:
    """The card as Markdown.

    `told` is what the job reports, `languages` has documents and bytes trained on by language, `licenses` documents by
    licence, `held_out` the languages' fertility.
    """
    whole = Fertility(*(sum(getattr(f, n) for f in held_out.values()) for n in ("bytes", "characters", "tokens")))
    names = sorted({*languages, *held_out}, key=lambda n: (-languages.get(n, (0, 0))[1], n))
    rows = []
    for name in names:
        documents, size = languages.get(name, (0, 0))
        held = f"{held_out[name].characters_per_token:.2f}" if name in held_out else ""
        rows.append(f"| {name or 'no language'} | {documents:,} | {size / 1e6:,.2f} | {held} |")
    known = sorted(licenses.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{name or 'unknown'} ({count:,})" for name, count in known[:_MOST_LICENSES]]
    if len(known) > _MOST_LICENSES:
        rest = sum(count for _, count in known[_MOST_LICENSES:])
        named.append(f"{len(known) - _MOST_LICENSES} more expressions ({rest:,})")
    fertility = ""
    if whole.tokens:
        fertility = f"; it takes a token for {whole.characters_per_token:.2f} characters of documents held out"
    return "\n\n".join(
        [
            "# Tokenizer",
            f"Byte-level BPE with {told['entries']:,} entries: 19 special tokens at the first ids, all 256 bytes, "
            "digits apart, words cut by GPT-2's expression, nothing normalised. "
            f"Trained on {told['documents']:,} documents, {told['bytes'] / 1e6:,.1f} MB of text with "
            f"{told['different_words']:,} different words{fertility}.",
            *([about] if about else []),
            "## Languages",
            "Documents and MB are what it was trained on, without the special tokens that texts spelled; characters a "
            "token are those of documents that it was not trained on.",
            "\n".join(["| language | documents | MB | characters a token |", "|---|---:|---:|---:|", *rows]),
            "## Licences",
            "Documents by licence, as the corpus names it: " + ", ".join(named) + ".",
            "## Made with",
            ", ".join(f"{name} {version}" for name, version in versions.items()) + ".\n",
        ]
    )
