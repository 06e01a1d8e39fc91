"""The promised outputs: what `tests/schemas` says of them, and how an output is held against it.

A field that a schema names is there for ever: a new field is entered there, none is taken out.
"""

import functools
import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

SCHEMAS = Path(__file__).parents[1] / "schemas"


@functools.cache
def schemas() -> dict[str, Any]:
    """Return all schemas, by the names of their files."""
    return {path.name: json.loads(path.read_text()) for path in sorted(SCHEMAS.glob("*.json"))}


@functools.cache
def _validator(name: str) -> Draft202012Validator:
    known = [(each, Resource.from_contents(schema)) for each, schema in schemas().items()]
    return Draft202012Validator(
        schemas()[f"{name}.json"], registry=Registry().with_resources(known)
    )


def faults(value: object, name: str) -> list[str]:
    """Return what of a value is not as its schema says."""
    errors = _validator(name).iter_errors(value)
    return [f"{error.json_path}: {error.message}" for error in errors]
