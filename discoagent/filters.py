"""The filter language: which instances somebody wants. Parsed, never evaluated as code. Pure.

    service == "web" and "v2" in tags and meta.zone != "a" and port > 8000

An expression is a comparison, or expressions with `and`, `or`, `not` and parentheses. A comparison
is VALUE OPERATOR VALUE. Operators: `== != < <= > >= in`, `not in`. Values:

    a field       as in an instance's JSON value: service, tags, lifetime.kind, owner.uid, meta.KEY
    text          "web" or 'web'; a backslash before a quote or a backslash takes it as it is
    a number      8000, -1, 0.5
    null          what is not there: a meta key, a port, an owner's unit
    a list        ["web", "db"]

`in` asks for a member of a list (tags, checks, a list), a key of the meta, or a part of a text. A
text that reads as a number is one beside a number: `meta.weight > 5`. Things of different kinds are
not equal, and neither is before the other: `port > 8000` is false without a port.
"""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from discoagent.errors import FilterError, InvalidRequest, shorten
from discoagent.instance import Instance

LENGTH_MAX = 4_096  # characters
DEPTH_MAX = 32  # of parentheses and `not`s

Test = Callable[[Instance], bool]
Read = Callable[[Instance], Any]

TEXT, NUMBER, LIST, MAP, NULL = "a text", "a number", "a list", "a map", "null"
META = "meta."

_FIELDS: Mapping[str, tuple[str, Read]] = {
    "service": (TEXT, lambda it: it.service),
    "id": (TEXT, lambda it: it.id),
    "node": (TEXT, lambda it: it.node),
    "address": (TEXT, lambda it: it.address),
    "port": (NUMBER, lambda it: it.port),
    "tags": (LIST, lambda it: it.tags),
    "meta": (MAP, lambda it: it.meta),
    "state": (TEXT, lambda it: it.state),
    "lifetime.kind": (TEXT, lambda it: it.lifetime.kind),
    "lifetime.pid": (NUMBER, lambda it: it.lifetime.pid),
    "lifetime.ttl_ms": (NUMBER, lambda it: it.lifetime.ttl_ms),
    "owner.uid": (NUMBER, lambda it: it.owner.uid),
    "owner.pid": (NUMBER, lambda it: it.owner.pid),
    "owner.exe": (TEXT, lambda it: it.owner.exe),
    "owner.unit": (TEXT, lambda it: it.owner.unit),
    "checks": (LIST, lambda it: it.checks),
    "registered_at": (TEXT, lambda it: it.registered_at),
    "updated_at": (TEXT, lambda it: it.updated_at),
    "ref": (TEXT, lambda it: it.ref),
    "maint.reason": (TEXT, lambda it: it.maint["reason"] if it.maint else None),
    "maint.until": (TEXT, lambda it: it.maint["until"] if it.maint else None),
}
FIELDS = (*_FIELDS, "meta.KEY")

_TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<number>-?[0-9]{1,15}(?:\.[0-9]{1,9})?(?![0-9A-Za-z_.]))
      | (?P<word>[A-Za-z_][A-Za-z0-9._-]*)
      | (?P<mark>==|!=|<=|>=|[<>()\[\],])""",
    re.VERBOSE | re.DOTALL,
)
_is_number = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?").fullmatch
_INSTEAD = {"=": "==", "&": "and", "|": "or", "!": "not"}  # of other languages
_WORDS = {"and", "or", "not", "in", "null"}


class Filter(NamedTuple):
    """An expression and what it asks of an instance."""

    expression: str
    fits: Test


def parse(expression: str) -> Filter:
    """Read an expression. Raises FilterError, which says what is wrong and where."""
    if len(expression) > LENGTH_MAX:
        raise InvalidRequest(
            f"filter: must be at most {LENGTH_MAX} characters, not {len(expression)}",
            field="filter",
        )
    return Filter(expression, _Parser(expression).whole())


class _Token(NamedTuple):
    """A word of an expression; `kind` is text, number, word, mark or end."""

    kind: str
    text: str
    at: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else shorten(self.text)


class _Value(NamedTuple):
    """One side of a comparison: how it is read, what it is if it is there, and where it stands."""

    read: Read
    kind: str
    at: int


class _Parser:
    """Reads one expression from left to right; what is read becomes a test at once."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens = self._cut()
        self._next = 0
        self._depth = 0

    def whole(self) -> Test:
        """Return the test that the whole expression is."""
        test = self._either()
        if self._token.kind != "end":
            raise self._error(f"expected and, or or the end, not {self._token}{self._meant()}")
        return test

    # -- words

    def _cut(self) -> list[_Token]:
        tokens, at, end = [], 0, len(self._expression)
        while at < end:
            if self._expression[at].isspace():
                at += 1
                continue
            match = _TOKEN.match(self._expression, at)
            if match is None:
                raise self._error(self._no_word(self._expression[at]), at)
            assert match.lastgroup is not None
            tokens.append(_Token(match.lastgroup, match[0], at))
            at = match.end()
        return [*tokens, _Token("end", "", end)]

    @staticmethod
    def _no_word(character: str) -> str:
        if character in "\"'":
            return f"a text that begins with {character} must end with it"
        if instead := _INSTEAD.get(character):
            return f"there is no {character} in a filter: use {instead}"
        if character in "-0123456789":
            return (
                "no number: a number is at most 15 digits, a point and 9 digits; texts are quoted"
            )
        return f"{shorten(character)} has no meaning in a filter; texts are quoted"

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, *texts: str) -> str | None:
        """Pass by the next word or mark if it is one of these."""
        token = self._token
        if token.kind in ("word", "mark") and token.text in texts:
            self._next += 1
            return token.text
        return None

    def _expect(self, text: str, why: str) -> None:
        if self._take(text) is None:
            raise self._error(f"expected {text} {why}, not {self._token}")

    def _meant(self) -> str:
        word = self._token.text.lower()
        return f"; did you mean {word}?" if word in _WORDS and word != self._token.text else ""

    def _error(self, message: str, at: int | None = None) -> FilterError:
        column = (self._token.at if at is None else at) + 1
        return FilterError(message, self._expression, column)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._error(f"more than {DEPTH_MAX} parentheses and nots within each other")

    # -- expressions

    def _either(self) -> Test:
        tests = [self._both()]
        while self._take("or"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else _any(tuple(tests))

    def _both(self) -> Test:
        tests = [self._one()]
        while self._take("and"):
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else _all(tuple(tests))

    def _one(self) -> Test:
        at = self._token.at
        if self._take("not"):
            self._deeper()
            test = _not(self._one())
        elif self._take("("):
            self._deeper()
            test = self._either()
            self._expect(")", f"for the one at column {at + 1}")
        else:
            return self._comparison()
        self._depth -= 1
        return test

    def _comparison(self) -> Test:
        left = self._value()
        if mark := self._take("==", "!=", "<", "<=", ">", ">="):
            return _compared(mark, left.read, self._value().read)
        negated = bool(self._take("not"))
        if self._take("in"):
            test = _within(left.read, self._container().read)
            return _not(test) if negated else test
        raise self._error(
            f"expected an operator (== != < <= > >= in, not in), not {self._token}{self._meant()}"
        )

    def _container(self) -> _Value:
        value = self._value()
        if value.kind in (NUMBER, NULL):
            what = f"nothing is in {value.kind}: in asks for a list, the meta or a text"
            raise self._error(what, value.at)
        return value

    # -- values

    def _value(self) -> _Value:
        token = self._token
        if token.kind == "word" and token.text not in _WORDS:
            self._next += 1
            return self._field(token)
        value: object
        if self._take("["):
            value, kind = self._list(), LIST
        else:
            value, kind = self._literal("a field, a text, a number, null or a list")
        return _Value(lambda _: value, kind, token.at)

    def _literal(self, expected: str) -> tuple[object, str]:
        token = self._token
        value: object
        if token.kind == "text":
            value, kind = self._unquoted(token), TEXT
        elif token.kind == "number":
            value, kind = _number(token.text), NUMBER
        elif token.text == "null":
            value, kind = None, NULL
        else:
            raise self._error(f"expected {expected}, not {token}{self._meant()}")
        self._next += 1
        return value, kind

    def _list(self) -> tuple[object, ...]:
        values: list[object] = []
        while not self._take("]"):
            if values:
                self._expect(",", "or ]")
            values.append(self._literal("a text, a number or null")[0])
        return tuple(values)

    def _field(self, token: _Token) -> _Value:
        if token.text in _FIELDS:
            kind, read = _FIELDS[token.text]
            return _Value(read, kind, token.at)
        key = token.text.removeprefix(META)
        if key and key != token.text:
            return _Value(lambda it: it.meta.get(key), TEXT, token.at)
        raise self._error(_no_field(token.text), token.at)

    def _unquoted(self, token: _Token) -> str:
        body, quote = token.text[1:-1], token.text[0]
        wrong = re.search(r"\\[^\\\"']", body.replace("\\\\", "\0\0"))
        if wrong:
            at = token.at + 1 + wrong.start()
            raise self._error(f"a backslash stands before {quote} and before itself alone", at)
        return re.sub(r"\\(.)", r"\1", body)


def _no_field(name: str) -> str:
    if name.lower() in _WORDS:
        return f"no such field: {name}; did you mean {name.lower()}?"
    inner = [field for field in _FIELDS if field.startswith(f"{name.rstrip('.')}.")]
    if inner:
        return f"{name} has parts, name one: {', '.join(inner)}"
    from difflib import get_close_matches

    near = get_close_matches(name, _FIELDS, n=1)
    meant = near[0] if near else f"{META}{name}"
    return f'no such field: {name}; did you mean {meant}, or the text "{name}"?'


# -- tests


def _any(tests: tuple[Test, ...]) -> Test:
    return lambda it: any(test(it) for test in tests)


def _all(tests: tuple[Test, ...]) -> Test:
    return lambda it: all(test(it) for test in tests)


def _not(test: Test) -> Test:
    return lambda it: not test(it)


_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _compared(mark: str, left: Read, right: Read) -> Test:
    if mark == "==":
        return lambda it: _same(left(it), right(it))
    if mark == "!=":
        return lambda it: not _same(left(it), right(it))
    order = _ORDERS[mark]

    def test(it: Instance) -> bool:
        one, other = _alike(left(it), right(it))
        comparable = type(one) is type(other) is str or (_numeric(one) and _numeric(other))
        return comparable and order(one, other)

    return test


def _within(member: Read, container: Read) -> Test:
    def test(it: Instance) -> bool:
        one, all_of_it = member(it), container(it)
        if isinstance(all_of_it, tuple):
            return any(_same(one, each) for each in all_of_it)
        return isinstance(one, str) and isinstance(all_of_it, (str, Mapping)) and one in all_of_it

    return test


def _same(one: object, other: object) -> bool:
    one, other = _alike(one, other)
    return one == other


def _alike(one: object, other: object) -> tuple[Any, Any]:
    """Take a text that reads as a number for one, where it stands beside a number."""
    if _numeric(one) and type(other) is str and _is_number(other):
        return one, _number(other)
    if _numeric(other) and type(one) is str and _is_number(one):
        return _number(one), other
    return one, other


def _numeric(value: object) -> bool:
    return type(value) in (int, float)


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)
