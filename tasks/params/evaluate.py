"""Section `evaluate`: what is measured on classes that no training saw."""

from typing import Annotated

from pydantic import Field

from tasks.params.section import PositiveInt, Section


class Protocol(Section):
    """One kind of episode and the classes it is drawn from."""

    domain: str
    way: Annotated[int, Field(ge=2)]
    shot: PositiveInt
    within_group: bool = False

    @property
    def name(self) -> str:
        """How tables and files call it, for example `novel 5-way 1-shot`."""
        within = " within a group" if self.within_group else ""
        return f"{self.domain} {self.way}-way {self.shot}-shot{within}"


class Evaluate(Section):
    """What is measured on classes that no training saw."""

    episodes: Annotated[int, Field(ge=30)]
    queries: PositiveInt
    protocols: Annotated[list[Protocol], Field(min_length=1)]
