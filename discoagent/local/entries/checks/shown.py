"""What users are shown of what checks were told. Pure."""

OUTPUT_BYTES = 1_024


def shown(text: str) -> str:
    """Return the first KiB of an output, without what terminals obey."""
    if len(text) * 4 > OUTPUT_BYTES:
        text = text.encode(errors="replace")[:OUTPUT_BYTES].decode(errors="ignore")
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def reason(error: BaseException) -> str:
    """Return why something could not be done, in the system's words."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__
