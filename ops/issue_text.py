"""The text of events: automated e-mail taken out, long texts cut."""

from __future__ import annotations

import re
from typing import Literal, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import NonNegativeInt, PositiveInt

from engine.op import Map
from engine.schema import TEXT
from ops.issue_events import Events, closed, field, opened, with_fields


class EventsWritten(TypedDict):
    """Conversations."""

    events: Events


NOTIFICATIONS = "notifications@github.com"
REPLY = "Reply to this email directly"
VIEW = "view it on GitHub"
_SUSPECT = re.compile(
    f"{NOTIFICATIONS}|{REPLY}|Signed-off-by:|^>|_{{20}}|[0-9]+/[0-9]+/[0-9]+ [0-9]{{1,2}}:[0-9]{{2}} [AP]M", re.M
)
_FROM = re.compile(f"(.*)From:.*{REPLY}.*{VIEW}[^\n]*\n?(.*)", re.DOTALL)
_ON = re.compile(f"(.*)On.*{NOTIFICATIONS}.*wrote:.*{REPLY}.*{VIEW}(.*)", re.DOTALL)
_SIGNED = re.compile("(.*)Signed-off-by:.*<.*>(.*)", re.DOTALL)
_SIGNED_LINE = re.compile(r"^[ \t]*Signed-off-by:[^\n<>]*<[^\n<>]*>[ \t]*\n?", re.MULTILINE)
_DATED = re.compile(r"[0-9]+/[0-9]+/[0-9]+ [0-9]{1,2}:[0-9]{2} [AP]M.*wrote")
_RULES = re.compile("_{20,}")
