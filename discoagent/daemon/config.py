"""What the agent is told: flags, `DISCOAGENT_` environment, TOML files, defaults, in this order.

The keys and how each is read are in `settings.py`. Here the sources are laid over each other, each
value together with where it came from, so that every problem names its source, and all problems are
reported at once.
"""

import difflib
import os
import socket
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from discoagent import endpoints
from discoagent.core import limits
from discoagent.core.timing import Timing
from discoagent.daemon import settings
from discoagent.local.host.policy import Policy
from discoagent.store.rows import BOUNDS, Bounds

DEFAULT_FILE = Path("/etc/discoagent/agent.toml")
ENVIRONMENT_PREFIX = "DISCOAGENT_"
LOOKUP_SECONDS = 0.5  # that reading the configuration waits for names: a reload holds up the loop
LIVE = frozenset(
    {"labels", "join", "log_level", "policy"}
)  # what a reload changes while the agent runs


class ConfigError(Exception):
    """The configuration cannot be used; `problems` holds every reason as a sentence."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Config:
    """A whole and valid configuration. Durations are seconds, endpoints `host:port`.

    `advertise`, `socket` and `state_dir` are None where the agent is to choose by itself.
    """

    node: str
    cluster: str = "default"
    bind: str = "127.0.0.1:7800"
    advertise: str | None = None
    join: tuple[str, ...] = ()
    socket: str | None = None
    socket_mode: int = 0o660
    socket_group: str = "discoagent"
    state_dir: str | None = None
    insecure: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)
    policy: Policy = field(default_factory=Policy)
    history: Bounds = BOUNDS
    log_level: str = "info"
    log_format: str | None = None  # journal where stderr goes there, else text
    services_dir: str | None = field(default=None, compare=False)  # beside the file, no key


@dataclass(frozen=True, slots=True)
class Given:
    """A value as it was given: what a problem calls it, and the readings to try, the best first."""

    source: str
    forms: tuple[object, ...]


def load(config_file: Path | None, flags: Mapping[str, Any], environ: Mapping[str, str]) -> Config:
    """Read every source and return the configuration; ConfigError names every problem.

    `flags` maps a key to what the command line says of it (None, False and () say nothing), and
    `set` to the `KEY=VALUE` texts of `--set`. Without `config_file` the default file is read if it
    exists. A `socket` and a `state_dir` become absolute paths.
    """
    problems: list[str] = []
    given = {"node": Given("this host's name (give --node)", (socket.gethostname(),))}
    for path in _files(config_file, problems):
        given |= _from_file(path, problems)
    given |= _from_environment(environ)
    given |= _from_sets(flags.get("set") or (), problems)
    given |= {
        key: Given("--" + key.replace("_", "-"), (value,))
        for key, value in flags.items()
        if key != "set" and value not in (None, False, ())
    }
    values, broken = _read(given, problems)
    config = _assembled(values)
    problems += _broken_relations(config, broken)
    if problems:
        raise ConfigError(problems)
    main = (config_file or DEFAULT_FILE).absolute()
    return replace(config, services_dir=str(main.with_name("services.d")))


def unknown_names(environ: Mapping[str, str]) -> list[str]:
    """Return a warning for each `DISCOAGENT_` variable that names no key."""
    return [
        f"{name} in the environment names no configuration key and is ignored{_nearest(key)}"
        for name, key in sorted(_environment_keys(environ))
        if settings.key_of(key) is None
    ]


def differences(old: Config, new: Config) -> list[str]:
    """Name the keys in which two configurations differ, sorted."""
    names = [each.name for each in fields(Config) if each.name != "timing"]
    changed = [name for name in names if getattr(old, name) != getattr(new, name)]
    changed += [
        f"timing.{each.name}"
        for each in fields(Timing)
        if getattr(old.timing, each.name) != getattr(new.timing, each.name)
    ]
    return sorted(changed)


def exposed(config: Config) -> bool:
    """Can other hosts reach what the agent binds?"""
    return not _is_here(config.bind)


def _files(config_file: Path | None, problems: list[str]) -> list[Path]:
    """Return the main file (if named, or there), then the drop-ins of `agent.d` beside it."""
    main = config_file or DEFAULT_FILE
    found = [main] if config_file or os.path.exists(main) else []
    directory = main.with_name("agent.d")
    try:
        found += sorted(path for path in directory.iterdir() if path.suffix == ".toml")
    except FileNotFoundError:
        pass
    except OSError as error:
        problems.append(f"{directory}: {error.strerror or error}")
    return found


def _from_file(path: Path, problems: list[str]) -> dict[str, Given]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{path}: {error.strerror or error}")
        return {}
    except (ValueError, RecursionError) as error:  # not TOML, or not UTF-8, or nested too deeply
        problems.append(f"{path}: {error}")
        return {}
    given = {}
    for key, value in _flat(table):
        if settings.key_of(key) is None:
            problems.append(f"{path}: unknown key {key!r}{_nearest(key)}")
        else:
            given[key] = Given(f"{path}: {key}", (value,))
    return given


def _flat(table: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield the dotted name and value of every key; only the tables that hold keys are opened."""
    for key, value in table.items():
        if key in settings.TABLES and isinstance(value, Mapping):
            for name, inner in value.items():
                yield f"{key}.{name}", inner
        else:
            yield key, value


def _environment_keys(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in environ:
        if name.startswith(ENVIRONMENT_PREFIX):
            yield name, name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")


def _from_environment(environ: Mapping[str, str]) -> dict[str, Given]:
    given: dict[str, Given] = {}
    for name, key in _environment_keys(environ):
        if key == "labels":
            given |= {label: Given(name, (value,)) for label, value in _labels(environ[name])}
        elif (row := settings.key_of(key)) is not None:
            given[key] = Given(name, (row.from_text(environ[name]),))
    return given


def _labels(text: str) -> Iterator[tuple[str, str]]:
    """Yield the dotted names and values of `zone=a,rack=7`."""
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        yield f"labels.{name.strip()}", value.strip()


def _from_sets(texts: Iterable[str], problems: list[str]) -> dict[str, Given]:
    given: dict[str, Given] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals:
            problems.append(f"--set must be KEY=VALUE, not {text!r}")
            continue
        read = _as_toml(value)
        for name, inner in _flat({key: read}):
            row = settings.key_of(name)
            if row is None:
                problems.append(f"--set: unknown key {name!r}{_nearest(name)}")
            else:
                forms = (inner, row.from_text(value)) if name == key else (inner,)
                given[name] = Given(f"--set {name}", forms)
    return given


def _as_toml(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _nearest(key: str) -> str:
    close = difflib.get_close_matches(key, settings.KEYS, n=1, cutoff=0.7)
    return f" (did you mean {close[0]}?)" if close else ""


def _read(given: Mapping[str, Given], problems: list[str]) -> tuple[dict[str, Any], set[str]]:
    """Read each value; return those that are usable, and the names of those that are not."""
    values: dict[str, Any] = {}
    broken = set()
    for key, how in given.items():
        row = settings.key_of(key)
        if row is None:  # a label's name out of DISCOAGENT_LABELS breaks the rule of names
            problems.append(
                f"{how.source} must be NAME=VALUE by commas, not {key.removeprefix('labels.')!r}"
            )
            continue
        complaint = ""
        for form in how.forms:
            try:
                values[key] = row.read(form)
                break
            except ValueError as error:
                complaint = str(error)
        else:
            problems.append(f"{how.source} {complaint}")
            broken.add(key)
    return values, broken


def _assembled(values: Mapping[str, Any]) -> Config:
    plain = {key: value for key, value in values.items() if "." not in key}
    return Config(
        **{"node": "", **plain},
        labels=dict(sorted(_table(values, "labels").items())),
        timing=Timing(**_table(values, "timing")),
        policy=Policy(**_table(values, "policy")),
        history=Bounds(**_table(values, "history")),
    )


def _table(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the keys of a table."""
    return {
        key.removeprefix(f"{name}."): value
        for key, value in values.items()
        if key.startswith(f"{name}.")
    }


def _broken_relations(config: Config, broken: Collection[str]) -> Iterator[str]:
    """Say which keys do not go together, leaving out those that could not be read."""
    if len(config.labels) > limits.LABELS_MAX:
        yield f"labels must be at most {limits.LABELS_MAX}, not {len(config.labels)}"
    if not any(key.startswith("timing.") for key in broken):
        yield from config.timing.problems()
    if not {"bind", "join", "advertise", "insecure"} & set(broken):
        yield from _address_problems(config)


def _address_problems(config: Config) -> Iterator[str]:
    if exposed(config):
        if not config.insecure:
            yield (
                f"bind {config.bind} is open to other hosts, and without a key whoever reaches it "
                "can read and write; give --insecure to accept that"
            )
        seed = (
            _first_elsewhere(config.join)
            if config.advertise and _is_here(config.advertise)
            else None
        )
        if seed:
            yield (
                f"advertise {config.advertise} is a loopback address, where join {seed} cannot "
                "reach this agent; give --advertise an address of this host"
            )
    elif seed := _first_elsewhere(config.join):
        yield (
            f"bind {config.bind} is a loopback address, where join {seed} cannot reach this agent; "
            "give --bind an address of this host"
        )


def _is_here(endpoint: str) -> bool:
    """Is this endpoint known to be on this host's loopback?"""
    return _on_loopback([endpoint]) == [True]


def _first_elsewhere(seeds: Sequence[str]) -> str | None:
    """Return the first of these that is known not to be on this host's loopback."""
    here = _on_loopback(seeds)
    return seeds[here.index(False)] if False in here else None


def _on_loopback(wanted: Sequence[str]) -> list[bool | None]:
    """Is each of these on this host's loopback? None for a name that is not found (soon)."""
    parsed = [endpoints.parse(each, any_port=True) for each in wanted]
    names = [each for each in parsed if not endpoints.is_loopback(each.host)]
    found = endpoints.looked_up(names, LOOKUP_SECONDS)

    def known(endpoint: endpoints.Endpoint) -> bool | None:
        if endpoint not in names:
            return True
        at = found.get(endpoint)
        return all(endpoints.is_loopback(each.host) for each in at) if at else None

    return [known(each) for each in parsed]
