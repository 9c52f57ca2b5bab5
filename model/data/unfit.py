"""Groups and labels whose names no server stores, so that an encoder would learn them for nothing."""

from collections.abc import Iterable

from model.contract.ids import why_unfit


def describe_unfit(names: Iterable[str], what: str) -> list[str]:
    """A sentence for the user if an import would leave the rows of some names out.

    Args:
        names: Of groups, or of labels.
        what: Which of both, for one of them.
    """
    unfit = [(name, why) for name in names if (why := why_unfit(name)) is not None]
    if not unfit:
        return []
    name, why = unfit[0]
    shown = name if len(name) <= 40 else f"{name[:40]}..."
    return [
        f"names of {what}s that no server stores: {len(unfit)}, such as {shown!r}, which {why}, "
        "or an import leaves its rows out"
    ]
