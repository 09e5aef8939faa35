"""A module that does not import: its op lacks an annotation."""

from engine.op import Filter


class Wilted(Filter):
    def drop(self, content):  # pyright: ignore
        return None
