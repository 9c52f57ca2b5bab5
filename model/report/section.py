"""A part of the page with a heading of its own."""

from model.contract.markup import Html, element


class Section:
    """A heading, what stands below it, and the anchor that leads there."""

    def __init__(self, anchor: str, heading: str, *parts: str) -> None:
        self.anchor = anchor
        self.heading = heading
        self._parts = parts

    def draw(self) -> Html:
        """The section as markup."""
        heading = element("h2", self.heading, id=f"{self.anchor}-heading")
        return element("section", heading, *self._parts, id=self.anchor, aria_labelledby=f"{self.anchor}-heading")

    def link(self) -> Html:
        """A link to it."""
        return element("a", self.heading, href=f"#{self.anchor}")
