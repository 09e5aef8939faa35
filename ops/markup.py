"""Markup that carries little text: XML under other names, and web pages of which a reader sees next to nothing."""

from __future__ import annotations

from typing import Annotated, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, NonNegativeInt

from engine.op import Filter, Reasons, absent, more_than, reasons
from engine.schema import TEXT, Flags, Integers, Strings


class XmlHeader(Filter):
    """Drops files that are XML whatever their extension says.

    Such is a file with `<?xml version=` within its first 100 characters. XSLT, which is XML and meant to be, is exempt.

    Example:
        - xml_header

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.3
    """

    exempt: tuple[str, ...] = ("xslt",)
    """Languages that are not judged."""

    def drop(self, xml_header: Flags, language: Strings) -> Reasons[Literal["xml_header"]]:
        exempt = pc.is_in(language.cast(TEXT), value_set=pa.array(self.exempt, TEXT))
        return reasons(xml_header=absent(pc.and_not(xml_header, exempt)))


class HtmlVisibleText(Filter):
    """Drops HTML files that show a reader little text: boilerplate, templates and scripts.

    The visible text is what BeautifulSoup's `get_text` answers once `script` and `style` are taken out. With white
    space collapsed, a run of it counts as one character in the text *and* in the file that the text is a share of, so
    that indentation neither saves a page nor condemns it. With white space kept, as in StarCoder's code, all of it
    counts in both, and a page of indented empty elements may pass.

    Example:
        - html_visible_text: {share: 0.2, characters: 100}

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.3
    """

    share: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of the file's characters that the visible text must exceed."""
    characters: NonNegativeInt = 100
    """Characters that the visible text must exceed."""
    white_space: Literal["collapse", "keep"] = "collapse"
    """Whether runs of white space count as one character, or for what they are."""

    def drop(
        self, visible_text: Integers, visible_text_kept: Integers, collapsed_length: Integers, characters: Integers
    ) -> Reasons[Literal["too_little_visible_text", "too_small_visible_share"]]:
        collapse = self.white_space == "collapse"
        text, whole = (visible_text, collapsed_length) if collapse else (visible_text_kept, characters)
        share = pc.divide(text.cast(pa.float64()), pc.max_element_wise(whole, pa.scalar(1, whole.type)))
        return reasons(
            too_little_visible_text=more_than(text, self.characters),
            too_small_visible_share=more_than(share, self.share),
        )
