"""What a reload finds: the configuration is read again, and compared with the one in force."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from discoagent.daemon import config
from discoagent.daemon.config import Config, ConfigError

Load = Callable[[], Config]

_log = logging.getLogger("discoagent")


class Found(NamedTuple):
    """What is to be in force: `changed` names what differs, `restart` what that takes a restart
    for. With `problems` the new configuration cannot be used, and all stays."""

    config: Config
    changed: list[str]
    restart: list[str]
    problems: list[str]

    def tell(self) -> None:
        """Say it in the log."""
        for problem in self.problems:
            _log.error("not reloaded: %s", problem)
        for key in self.restart:
            _log.warning("%s has changed, which needs a restart", key)
        if not self.problems:
            changed = ", ".join(self.changed) or "nothing"
            _log.info("configuration read again; changed: %s", changed)


def look(current: Config, load: Load | None) -> Found:
    """Read the configuration again; only what can change while the agent runs is taken over."""
    try:
        new = current if load is None else load()
    except ConfigError as error:
        return Found(current, [], [], error.problems)
    differ = config.differences(current, new)
    live = {key: getattr(new, key) for key in config.LIVE}
    return Found(
        replace(current, **live),
        [key for key in differ if key in config.LIVE],
        [key for key in differ if key not in config.LIVE],
        [],
    )
