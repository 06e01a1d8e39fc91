"""The filter language: what each form asks, its laws, and where a wrong one goes wrong."""

from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoagent.errors import FilterError, InvalidRequest
from discoagent.filters import DEPTH_MAX, FIELDS, LENGTH_MAX, parse
from discoagent.instance import Instance, Json, Lifetime, Owner

WEB = Instance(
    service="web",
    id="web-8080",
    node="a",
    address="10.0.0.5",
    port=8080,
    tags=("v2", "blue"),
    meta=MappingProxyType({"zone": "a", "weight": "10", "a.b-c": "x", "quote": 'say "hi"\\'}),
    state="passing",
    lifetime=Lifetime("process", pid=812),
    owner=Owner(1000, 812, "/usr/bin/python3", None),
    checks=(),
    registered_at="2026-01-01T00:00:00.000Z",
    updated_at="2026-01-01T00:00:05.250Z",
    ref="a.1790000000000000.42",
)
DB = Instance(
    service="db",
    id="main",
    node="b",
    address="db.internal",
    port=None,
    tags=(),
    meta=MappingProxyType({}),
    state="restarting",
    lifetime=Lifetime("static"),
    owner=Owner(0),
    checks=(),
    registered_at="2026-02-01T00:00:00.000Z",
    updated_at="2026-02-01T00:00:00.000Z",
    ref="b.1790000000000000.1",
)


@pytest.mark.parametrize(
    ("expression", "web", "db"),
    [
        (
            'service == "web" and "v2" in tags and meta.zone != "b" and port > 8000',
            *(True, False),
        ),
        ("service == 'db'", False, True),
        ('service != "db"', True, False),
        ('service in ["web", "mq"]', True, False),
        ('service not in ["web", "mq"]', False, True),
        ("port == 8080", True, False),
        ("port > 8080", False, False),
        ("port >= 8080", True, False),
        ("port < 8080.5", True, False),
        ("port <= 8080.0", True, False),
        ("not port > 8080", True, True),
        ("port == null", False, True),
        ("port != 1", True, True),
        ("port in [8080, null]", True, True),
        ('"v2" in tags', True, False),
        ('"v2" not in tags', False, True),
        ('tags == ["v2", "blue"]', True, False),
        ("tags == []", False, True),
        ("checks == []", True, True),
        ('meta.zone == "a"', True, False),
        ('meta.zone != "a"', False, True),
        ("meta.zone == null", False, True),
        ('"zone" in meta', True, False),
        ("meta.weight > 9", True, False),
        ("9.5 < meta.weight", True, False),
        ("meta.weight == 10", True, False),
        ('meta.weight > "9"', False, False),  # as texts
        ("meta.zone > 1", False, False),
        ("meta.nope < 1", False, False),
        ('meta.a.b-c == "x"', True, False),
        ('meta.quote == "say \\"hi\\"\\\\"', True, False),
        ("meta.quote == 'say \\\"hi\\\"\\\\'", True, False),
        ('"10.0" in address', True, False),
        ("null in tags", False, False),
        ('state in ["passing", "warning"]', True, False),
        ('lifetime.kind == "process" and lifetime.pid == 812', True, False),
        ("lifetime.ttl_ms == null", True, True),
        ("owner.uid == 0 or owner.pid > 800", True, True),
        ("owner.unit == null and owner.exe != null", True, False),
        ('updated_at > "2026-01-15"', False, True),
        ("updated_at > registered_at", True, False),
        ('ref == "b.1790000000000000.1"', False, True),
        ("maint.reason == null", True, True),
        ('node == "a" or node == "b" and port != null', True, False),
        ('(node == "a" or node == "b") and port == null', False, True),
        ('not (node == "a" or port != null)', False, True),
        ('not not node=="a"', True, False),
        ("\n\tport>-1 ", True, False),
    ],
)
def test_what_it_asks(expression: str, web: bool, db: bool) -> None:
    """Each form, of an instance that has everything and of one that has little."""
    fits = parse(expression).fits

    assert (fits(WEB), fits(DB)) == (web, db)


@pytest.mark.parametrize(
    ("expression", "column", "message"),
    [
        ("", 1, "expected a field, a text, a number, null or a list, not the end"),
        ("port", 5, "expected an operator"),
        ("port >", 7, "expected a field"),
        ("port not 1", 10, "expected an operator"),
        ("port > 1 2", 10, "expected and, or or the end"),
        ("1 < port < 3", 10, "expected and, or or the end"),
        ("port > 1 AND port < 3", 10, "did you mean and?"),
        ("NOT port > 1", 1, "did you mean not?"),
        ("port > 1)", 9, "expected and, or or the end"),
        ("(port > 1", 10, "expected ) for the one at column 1"),
        ("port = 1", 6, "there is no = in a filter: use =="),
        ("port > 1 && port < 3", 10, "there is no & in a filter: use and"),
        ("port > 1 || port < 3", 10, "there is no | in a filter: use or"),
        ("! port > 1", 1, "there is no ! in a filter: use not"),
        ("zone == 'a'", 1, 'did you mean meta.zone, or the text "zone"?'),
        ("service == web", 12, 'did you mean meta.web, or the text "web"?'),
        ("'v2' in tag", 9, "did you mean tags"),
        ("lifetime == 1", 1, "lifetime.kind, lifetime.pid, lifetime.ttl_ms"),
        ("meta. == 1", 1, "no such field: meta."),
        ("1 in port", 6, "nothing is in a number"),
        ("1 in null", 6, "nothing is in null"),
        ("port in [1 2]", 12, "expected , or ]"),
        ("port in [service]", 10, "expected a text, a number or null"),
        ("port in [1,", 12, "expected a text, a number or null, not the end"),
        ("service == 'web", 12, "must end with it"),
        ("service == 'a\\n'", 14, "a backslash stands before ' and before itself alone"),
        ("port > 80x", 8, "no number"),
        ("port > 1e9", 8, "no number"),
        ("port > 1234567890123456", 8, "at most 15 digits"),
        ("port > 1.", 8, "no number"),
        ("é > 1", 1, "has no meaning"),
        ("port > 1; import os", 9, "has no meaning"),
        ("(" * (DEPTH_MAX + 1) + "port > 1", DEPTH_MAX + 2, "more than 32 parentheses"),
        ("not " * (DEPTH_MAX + 1) + "port > 1", 4 * DEPTH_MAX + 5, "more than 32 parentheses"),
    ],
)
def test_where_it_goes_wrong(expression: str, column: int, message: str) -> None:
    """The column, and what was expected there or probably meant."""
    with pytest.raises(FilterError) as caught:
        parse(expression)

    assert caught.value.column == column
    assert message in caught.value.message
    assert caught.value.message.startswith(f"filter: column {column}: ")
    assert (caught.value.field, caught.value.expression) == ("filter", expression)
    assert "\n" not in caught.value.message


def test_bounds() -> None:
    """Of length and depth; many comparisons beside each other are no depth."""
    longest = "port > 1" + " " * (LENGTH_MAX - len("port > 1"))
    nested = "(" * DEPTH_MAX + "port > 1" + ")" * DEPTH_MAX
    beside = " or ".join(["(not port == 1)"] * 200)

    assert all(parse(each).fits(WEB) for each in (longest, nested, beside))
    with pytest.raises(InvalidRequest, match="at most 4096 characters"):
        parse(longest + " ")


def test_every_json_field_can_be_asked() -> None:
    """And no other. What an instance tells has a name in the language."""

    def names(value: Json, prefix: str = "") -> set[str]:
        return {
            name
            for key, each in value.items()
            for name in (names(each, f"{key}.") if key in nested else {prefix + key})
        }

    nested = ("lifetime", "owner", "maint")
    lease = Lifetime("lease", ttl_ms=1_000).to_json()
    maint: Json = {"reason": "disk", "until": None}
    told = names({**WEB.to_json(), "maint": maint}) | names(lease, "lifetime.")

    assert set(FIELDS) == told | {"meta.KEY"}


# -- laws: expressions as trees, with a meaning of their own, written down in many ways

NAMES = st.sampled_from(["web", "db", "a", "b", "v2", "10", "9", "", 'q"\\', "ü"])
NUMBERS = st.sampled_from([0, 9, 10, 10.5, 8080, -1])
LITERALS = st.one_of(NAMES, NUMBERS, st.none())
PATHS = ["service", "id", "port", "tags", "meta.zone", "meta.n", "lifetime.pid", "owner.unit"]
INSTANCES = st.builds(
    Instance,
    service=NAMES,
    id=NAMES,
    node=NAMES,
    address=NAMES,
    port=st.sampled_from([None, 9, 10, 8080]),
    tags=st.lists(NAMES, max_size=3, unique=True).map(tuple),
    meta=st.dictionaries(st.sampled_from(["zone", "n"]), NAMES),
    state=st.just("passing"),
    lifetime=st.sampled_from([Lifetime("static"), Lifetime("process", pid=9)]),
    owner=st.builds(Owner, uid=st.just(0), unit=st.none() | NAMES),
    checks=st.just(()),
    registered_at=st.just("2026-01-01T00:00:00.000Z"),
    updated_at=st.just("2026-01-01T00:00:00.000Z"),
    ref=st.just("a.1.1"),
)
VALUES = st.one_of(
    LITERALS.map(lambda it: ("literal", it)), st.sampled_from(PATHS).map(lambda it: ("field", it))
)
COMPARISONS = st.tuples(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), VALUES, VALUES)
MEMBERSHIPS = st.tuples(
    st.just("in"),
    VALUES,
    st.one_of(
        st.lists(LITERALS, max_size=3).map(lambda it: ("literal", it)),
        st.sampled_from(["tags", "meta", "service"]).map(lambda it: ("field", it)),
    ),
)
Tree = tuple[object, ...]
TREES = st.recursive(
    COMPARISONS | MEMBERSHIPS,
    lambda inner: (
        st.tuples(st.just("not"), inner) | st.tuples(st.sampled_from(["and", "or"]), inner, inner)
    ),
    max_leaves=8,
)


def literal(value: object) -> str:
    """Write a value down."""
    match value:
        case list():
            return "[" + ", ".join(map(literal, value)) + "]"
        case None:
            return "null"
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case _:
            return repr(value)


def written(tree: object) -> str:
    """Write a tree down, with all its parentheses."""
    match tree:
        case "field", str(path):
            return path
        case "literal", value:
            return literal(value)
        case "not", inner:
            return f"not ({written(inner)})"
        case ("and" | "or") as word, left, right:
            return f"({written(left)}) {word} ({written(right)})"
        case str(mark), left, right:
            return f"{written(left)} {mark} {written(right)}"
        case _:
            raise AssertionError(tree)


def read(value: object, instance: Json) -> object:
    """Return what one side of a comparison is, out of the JSON value."""
    match value:
        case "field", str(path):
            found: object = instance
            for key in path.split("."):
                found = found.get(key) if isinstance(found, dict) else None
            return found
        case _, literal:
            return literal
        case _:
            raise AssertionError(value)


def alike(one: object, other: object) -> tuple[object, object]:
    """A text of digits beside a number is a number."""
    if isinstance(one, str) and isinstance(other, (int, float)) and one.isdigit():
        return int(one), other
    if isinstance(other, str) and isinstance(one, (int, float)) and other.isdigit():
        return one, int(other)
    return one, other


def before(one: object, other: object) -> bool:
    """Is one before the other? Only texts and numbers have an order, each among themselves."""
    match alike(one, other):
        case str(text), str(limit):
            return text < limit
        case (int() | float()) as number, (int() | float()) as limit:
            return number < limit
        case _:
            return False


def meaning(tree: object, instance: Json) -> bool:
    """Say what a tree asks, plainly."""
    match tree:
        case "not", inner:
            return not meaning(inner, instance)
        case "and", left, right:
            return meaning(left, instance) and meaning(right, instance)
        case "or", left, right:
            return meaning(left, instance) or meaning(right, instance)
        case "in", member, container:
            one, whole = read(member, instance), read(container, instance)
            if isinstance(whole, list):
                return any(alike(one, each)[0] == alike(one, each)[1] for each in whole)
            return isinstance(one, str) and isinstance(whole, (str, dict)) and one in whole
        case str(mark), left, right:
            one, other = alike(read(left, instance), read(right, instance))
            same, less, more = one == other, before(one, other), before(other, one)
            ordered = same and isinstance(one, (str, int, float))
            return {
                "==": same,
                "!=": not same,
                "<": less,
                "<=": less or ordered,
                ">": more,
                ">=": more or ordered,
            }[mark]
        case _:
            raise AssertionError(tree)


@given(TREES, INSTANCES)
def test_written_down_and_read_it_means_the_same(tree: Tree, instance: Instance) -> None:
    """As the plain meaning over the JSON value that `list -o json` shows."""
    assert parse(written(tree)).fits(instance) == meaning(tree, instance.to_json())


@given(TREES, TREES, TREES, INSTANCES)
def test_and_binds_closer_than_or(one: Tree, two: Tree, three: Tree, instance: Instance) -> None:
    """And `not` closest of all; so parentheses may be left out."""
    a, b, c = (f"({written(tree)})" for tree in (one, two, three))
    for loose, strict in (
        (f"{a} or {b} and {c}", f"{a} or ({b} and {c})"),
        (f"{a} and {b} or {c}", f"({a} and {b}) or {c}"),
        (f"not {a} and {b}", f"(not {a}) and {b}"),
        (f"not ({a} or {b})", f"not {a} and not {b}"),
        (f"not ({a} and {b})", f"not {a} or not {b}"),
    ):
        assert parse(loose).fits(instance) == parse(strict).fits(instance)


@given(
    st.text(max_size=40)
    | st.lists(
        st.sampled_from(
            [
                *(*PATHS, "and", "or", "not", "in", "null", "(", ")", "[", "]", ",", "==", "<"),
                *('"a"', "1", "'", '"', "\\", "-", ".", "meta.", "__import__", "\0", "\ud800"),
            ]
        ),
        max_size=12,
    ).map(" ".join),
    INSTANCES,
)
def test_whatever_is_written_is_a_filter_or_a_place_in_it(text: str, instance: Instance) -> None:
    """No other error, when it is read or when it is asked."""
    try:
        fits = parse(text).fits
    except FilterError as error:
        wrong = error.column
    else:
        wrong = 0
        assert fits(instance) in (True, False)
    assert 0 <= wrong <= len(text) + 1
