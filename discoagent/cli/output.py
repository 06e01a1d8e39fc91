"""The only place that writes to standard output: every format of `-o`, and colour.

Data goes to stdout through a `Printer`; talk goes to stderr through `talk`. A stream's lines are
flushed one by one. Writing to a closed pipe raises BrokenPipeError, which `main` ends on without a
word.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from discoagent.cli import views
from discoagent.cli.views import COLOURS, DOT, View
from discoagent.errors import DiscoError, FilterError
from discoagent.instance import Instance, Json

if TYPE_CHECKING:  # of use for streams alone
    from discoagent.presence import AnyEvent

T = TypeVar("T")
JSON = ("json", "jsonl")
COMMON = ("table", "wide", *JSON)
NAMED = (*COMMON, "name")
INSTANCE = (*NAMED, "env")
RESOLVE = ("host:port", "url", *INSTANCE)
EVERY = RESOLVE
POINTED_BEFORE, POINTED_CELLS = 40, 76  # how much of a long text stands around a wrong column


class Printer:
    """Writes values in one format. `quiet` writes nothing; `headers` are the titles of tables."""

    def __init__(
        self,
        format: str,  # noqa: A002  (the contract's word)
        *,
        headers: bool = True,
        quiet: bool = False,
        colour: bool | None = None,
        out: TextIO | None = None,
    ) -> None:
        self.format = format
        self.headers = headers
        self.quiet = quiet
        self.out = out or sys.stdout
        self.colour = wants_colour(self.out) if colour is None else colour

    @property
    def in_json(self) -> bool:
        """Does a program read it, in either form of JSON?"""
        return self.format in JSON

    def many(self, items: Sequence[T], view: View[T]) -> None:
        """Write a list."""
        match self.format:
            case "json":
                self._array([view.to_json(item) for item in items])
            case "jsonl":
                self._lines(dump(view.to_json(item)) for item in items)
            case "name":
                self._lines(view.name(item) for item in items)
            case "env" | "host:port" | "url":
                self._addresses([item for item in items if isinstance(item, Instance)])
            case _:
                self._table(items, view)

    def instance(self, item: Instance) -> None:
        """Write one instance whole."""
        if self.format == "table":
            self.block(views.instance_lines(item), item.state)
        else:
            self.one(item, views.INSTANCES)

    def changed(self, items: Sequence[Instance]) -> None:
        """Write what a changing command changed: its name, unless another format was asked for."""
        if self.format == "table":
            self._lines(item.name for item in items)
        else:
            for item in items:
                self.one(item, views.INSTANCES)

    def value(self, value: Json, lines: Iterable[tuple[str, str]], state: str = "") -> None:
        """Write one value: `lines` for people, JSON otherwise."""
        if self.in_json:
            self._lines([dump(value, indent=2 if self.format == "json" else None)])
        else:
            self.block(lines, state)

    def report(self, value: Json, rows: Sequence[Json], view: View[Json]) -> None:
        """Write one value of which people are shown the rows."""
        if self.in_json:
            self.value(value, ())
        else:
            self.many(rows, view)

    def event(self, event: "AnyEvent") -> None:
        """Write one event of a stream, at once."""
        from discoagent.cli import event_views

        if self.in_json:
            self._lines([dump(event.to_json())])
        elif self.format == "name":
            self._lines(event_views.event_names(event))
        else:
            at, kind, rest = event_views.event_line(event, wide=self.format == "wide")
            self._lines([f"{at} {self.paint(kind.ljust(7), kind)} {rest}".rstrip()])
        self.flush()

    def events(self, events: "Sequence[AnyEvent]") -> None:
        """Write events that are over."""
        if self.format == "json":
            self._array([event.to_json() for event in events])
        else:
            for event in events:
                self.event(event)

    def block(self, lines: Iterable[tuple[str, str]], state: str = "") -> None:
        """Write a title, with a dot for the `state`, and labelled lines below it."""
        rows = list(lines)
        width = max((len(label) for label, _text in rows), default=0) + 2
        for label, text in rows:
            if label:
                self._lines([f"{label:>{width}}: {self._first_words(text, state)}"])
            else:
                dot = f"{self.paint(DOT, state)} " if state else ""
                self._lines([f"{dot}{text}"])

    def line(self, text: str) -> None:
        """Write one line of text, at once."""
        self._lines([text])
        self.flush()

    def paint(self, text: str, word: str) -> str:
        """Colour text by what `word` stands for."""
        colour = COLOURS.get(word)
        return click.style(text, fg=colour) if colour and self.colour else text

    def flush(self) -> None:
        """Hand everything to the operating system; BrokenPipeError if the reader went away."""
        self.out.flush()

    def _first_words(self, text: str, state: str) -> str:
        """Colour the state at the beginning of a line of a block."""
        if state and (text == state or text.startswith(f"{state} (")):
            return self.paint(state, state) + text[len(state) :]
        return text

    def one(self, item: T, view: View[T]) -> None:
        """Write one value: as a list of one, but with `json` the value alone."""
        if self.format == "json":
            self._lines([dump(view.to_json(item), indent=2)])
        else:
            self.many([item], view)

    def _addresses(self, items: Sequence[Instance]) -> None:
        match self.format:
            case "env":
                self._lines(views.env(item) for item in items[:1])
            case "url":
                self._lines(views.url(item) for item in items)
            case _:
                self._lines(views.plain(views.endpoint(item.address, item.port)) for item in items)

    def _array(self, values: list[Any]) -> None:
        """One JSON value, an element a line: quick to write, easy on `grep` and the eye."""
        body = ",\n  ".join(dump(value) for value in values)
        self._lines([f"[\n  {body}\n]" if values else "[]"])

    def _table(self, items: Sequence[T], view: View[T]) -> None:
        columns = [c for c in view.columns if self.format == "wide" or not c.wide]
        if not items:
            self.talk(view.none)
            return
        rows = [[column.cell(item) for column in columns] for item in items]
        titles = [[column.title for column in columns]] if self.headers else []
        cells = titles + rows
        widths = [max(width(row[i]) for row in cells) for i in range(len(columns))]
        self._lines(self._row(row, widths) for row in titles)
        self._lines(self._row(row, widths) for row in rows)

    def _row(self, cells: list[str], widths: list[int]) -> str:
        padded = [
            self.paint(cell, cell) + " " * (room - width(cell))
            for cell, room in zip(cells[:-1], widths[:-1], strict=True)
        ]
        return "  ".join([*padded, self.paint(cells[-1], cells[-1])])

    def talk(self, text: str) -> None:
        """Say something to the person at the terminal, on stderr."""
        talk(text, quiet=self.quiet)

    def _lines(self, lines: Iterable[str]) -> None:
        if not self.quiet:
            self.out.writelines(f"{line}\n" for line in lines)


def width(text: str) -> int:
    """Return how many cells of a terminal the text fills."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def dump(value: object, indent: int | None = None) -> str:
    """Return JSON text, on one line unless `indent` says otherwise."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def wants_colour(out: TextIO) -> bool:
    """Colour is for terminals alone, and never with NO_COLOR or a dumb terminal."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not plain and out.isatty()


def talk(text: str, *, quiet: bool = False) -> None:
    """Write one line to stderr; a stderr that is closed is nobody's loss."""
    if not quiet:
        _write_error(f"discoctl: {text}")


def _write_error(text: str) -> None:
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        pass


def complain(error: DiscoError, *, chosen: str | None, quiet: bool) -> None:
    """Write an error: one line, or with `-o json|jsonl` the JSON value of the contract."""
    if quiet:
        return
    if chosen not in JSON:
        talk(" ".join(views.plain(line) for line in error.message.splitlines()))
        if isinstance(error, FilterError):
            _write_error("\n".join(pointed(error.expression, error.column)))
        return
    value = {
        "code": error.code,
        "kind": error.kind,
        "message": error.message,
        "field": error.field,
    }
    _write_error(dump({"error": value}))


def pointed(text: str, column: int) -> tuple[str, str]:
    """Return what is written around a column, on one line, and a line that points at it."""
    start = max(column - 1 - POINTED_BEFORE, 0)
    before, rest = (
        "".join(c if c.isprintable() else " " for c in part)
        for part in (text[start : column - 1], text[column - 1 : start + POINTED_CELLS])
    )
    return f"  {before}{rest}", f"  {' ' * width(before)}^"
