"""What a simulation that went wrong says."""


class CheckFailed(AssertionError):  # noqa: N818 - what happened
    """A check did not hold. `check` names it, `node` is whose step it was, `detail` says what was
    found.
    """

    def __init__(self, check: str, node: str, detail: str) -> None:
        super().__init__(f"{check} at {node}: {detail}")
        self.check = check
        self.node = node
        self.detail = detail
