"""What a person sees while a run is under way: one live display, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from engine.executor import Deciding, Event, ShardDone, StageStarted, Working
from engine.report import size

PLAIN_SECONDS = 5.0
"""Seconds between two plain lines."""


class Display(Protocol):
    """Shows the events of a run."""

    def show(self, event: Event) -> None: ...

    def close(self) -> None: ...


def display(console: Console) -> Display:
    """The live display on a terminal, plain lines elsewhere."""
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


class LiveDisplay:
    """A line with a bar for the pass under way: shards, MB/s, documents kept, time left."""

    def __init__(self, console: Console) -> None:
        self.progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[shards]} shards  {task.fields[speed]}  {task.fields[kept]} kept"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self.task: TaskID | None = None
        self.tally = Tally()
        self.progress.start()

    def show(self, event: Event) -> None:
        """Shows one event."""
        if isinstance(event, StageStarted):
            self._end()
            self.tally = Tally(event)
            self.task = self.progress.add_task(event.title, total=max(event.bytes, 1), **self.tally.fields())
        elif isinstance(event, ShardDone) and self.task is not None:
            self.tally.add(event)
            self.progress.update(self.task, advance=event.bytes, **self.tally.fields())
        elif isinstance(event, Deciding):
            self._end()
            self.progress.console.print(f"[dim]{event.stream}: {event.step} decides[/dim]")
        elif isinstance(event, Working):
            self._end()
            self.progress.console.print(f"[dim]{event.step} works[/dim]")

    def _end(self) -> None:
        if self.task is not None:
            self.progress.update(self.task, completed=self.progress.tasks[-1].total)
            self.progress.stop_task(self.task)

    def close(self) -> None:
        """Leaves the last state on the screen."""
        self._end()
        self.progress.stop()


class PlainDisplay:
    """A line every few seconds and one for each pass, for logs."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.tally = Tally()
        self.last = time.monotonic()

    def show(self, event: Event) -> None:
        """Shows one event, if it is time."""
        if isinstance(event, StageStarted):
            self.tally = Tally(event)
            done = f", {event.done:,} done before" if event.done else ""
            self.console.print(f"{event.title}: {event.shards:,} shards, {size(event.bytes)}{done}", highlight=False)
        elif isinstance(event, Deciding):
            self.console.print(f"{event.stream}: {event.step} decides", highlight=False)
        elif isinstance(event, Working):
            self.console.print(f"{event.step} works", highlight=False)
        elif isinstance(event, ShardDone):
            self.tally.add(event)
            if time.monotonic() - self.last > PLAIN_SECONDS or self.tally.over:
                self.last = time.monotonic()
                fields = self.tally.fields()
                self.console.print(
                    f"  {fields['shards']} shards, {fields['speed']}, {fields['kept']} kept, {self.tally.left()} left",
                    highlight=False,
                )

    def close(self) -> None:
        """Nothing is left open."""


class Tally:
    """Counts of the pass under way."""

    def __init__(self, start: StageStarted | None = None) -> None:
        self.began = time.monotonic()
        self.shards, self.done = (start.shards, start.done) if start else (0, 0)
        self.total, self.bytes, self.kept = (start.bytes if start else 0), 0, 0

    def add(self, event: ShardDone) -> None:
        """Counts a shard that is done."""
        self.done += 1
        self.bytes += event.bytes
        self.kept += event.kept

    @property
    def over(self) -> bool:
        """Whether the pass is over."""
        return self.done >= self.shards

    def fields(self) -> dict[str, Any]:
        """Shards, speed and documents kept as text."""
        seconds = max(time.monotonic() - self.began, 1e-6)
        speed = f"{size(self.bytes / seconds)}/s" if self.bytes else "-"
        return {"shards": f"{self.done:,}/{self.shards:,}", "speed": speed, "kept": f"{self.kept:,}"}

    def left(self) -> str:
        """The time that the rest will take at this speed."""
        if not self.bytes:
            return "?"
        seconds = (self.total - self.bytes) * (time.monotonic() - self.began) / self.bytes
        return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
