"""All of `params.yaml`, and what its sections demand of each other and of the data."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from tasks.errors import ParametersError
from tasks.params.evaluate import EVERY_DOMAIN, Evaluate
from tasks.params.export import Export
from tasks.params.metatrain import Metatrain
from tasks.params.networks import side_fault
from tasks.params.prepare import Prepare
from tasks.params.pretrain import Pretrain
from tasks.params.section import Section

PARAMS_FILE = Path("params.yaml")


class Params(Section):
    """All of `params.yaml`."""

    seed: Annotated[int, Field(ge=0)]
    prepare: Prepare
    pretrain: Pretrain
    metatrain: Metatrain
    evaluate: Evaluate
    export: Export

    @model_validator(mode="after")
    def _episodes_fit_samples(self) -> Self:
        samples = self.prepare.glyphs.samples_per_class
        for key, shot, queries in self._episode_demands():
            if self.prepare.source == "glyphs" and shot + queries > samples:
                raise ValueError(
                    f"{key}: shot + queries = {shot} + {queries} is more than "
                    f"prepare.glyphs.samples_per_class = {samples}; ask for fewer or render more"
                )
        return self

    @model_validator(mode="after")
    def _domains_are_prepared(self) -> Self:
        domains = {"novel", *self.prepare.domains}
        either = {*domains, EVERY_DOMAIN}
        section = self.evaluate
        asked = [
            *(
                (f"protocols[{at}]", one.domain, domains)
                for at, one in enumerate(section.protocols)
            ),
            *((f"curve[{at}]", one.domain, either) for at, one in enumerate(section.curve)),
            *((f"shots[{at}]", one.domain, either) for at, one in enumerate(section.shots)),
        ]
        for key, domain, allowed in asked:
            if domain not in allowed:
                raise ValueError(
                    f"evaluate.{key}.domain: found '{domain}', needed one "
                    f"of {', '.join(sorted(allowed))}"
                )
        return self

    @model_validator(mode="after")
    def _images_fit_backbone(self) -> Self:
        section = self.pretrain
        side_px = section.input_size_px or self.prepare.image_size_px
        if fault := side_fault(section.backbone, section.weights, side_px):
            raise ValueError(
                f"pretrain.input_size_px: found {fault}; set it, or with 0 prepare.image_size_px"
            )
        return self

    def images_needed(self) -> dict[str, int]:
        """Split -> how many images a class needs to serve in any episode drawn from it."""
        selections = (self.pretrain.selection, self.metatrain.selection)
        novel = [one.shot for one in self.evaluate.protocols if one.domain == "novel"]
        needed = {
            "base": self.metatrain.shot + self.metatrain.queries,
            "validation": min(one.shot + one.queries for one in selections),
        }
        return needed | ({"novel": min(novel) + self.evaluate.queries} if novel else {})

    def check_episodes(self, classes: Mapping[str, Sequence[tuple[str, int]]]) -> None:
        """Check that every episode asked for can be drawn from the classes there are.

        Args:
            classes: part of the image store -> group and number of images of each of its classes.

        Raises:
            ParametersError: too few classes, or too few images in them; a line a fault.
        """
        asked = [
            (f"{key}.selection", "validation", one.way, one.shot + one.queries, one.within_group)
            for key, one in (
                ("pretrain", self.pretrain.selection),
                ("metatrain", self.metatrain.selection),
            )
        ]
        meta = self.metatrain
        asked.append(("metatrain", "base", meta.way, meta.shot + meta.queries, meta.within_group))
        asked += [
            (
                f"evaluate.protocols[{index}]",
                one.domain,
                one.least_way,
                one.shot + self.evaluate.queries,
                one.within_group,
            )
            for index, one in enumerate(self.evaluate.protocols)
        ]
        faults = []
        for key, part, way, images, within_group in asked:
            able = Counter(
                group if within_group else ""
                for group, count in classes.get(part, ())
                if count >= images and (group or not within_group)
            )
            most = max(able.values(), default=0)
            if most < way:
                where = "of one group " if within_group else ""
                faults.append(
                    f"{PARAMS_FILE}: {key}.way: found {way}, needed at most {most}, the classes "
                    f"{where}of {part} with at least {images} images (shot + queries)"
                )
        if faults:
            raise ParametersError("\n".join(faults))

    def _episode_demands(self) -> list[tuple[str, int, int]]:
        selections = (
            ("pretrain.selection", self.pretrain.selection),
            ("metatrain.selection", self.metatrain.selection),
            ("metatrain", self.metatrain),
        )
        return [(key, part.shot, part.queries) for key, part in selections] + [
            (f"evaluate.protocols[{index}]", protocol.shot, self.evaluate.queries)
            for index, protocol in enumerate(self.evaluate.protocols)
            if protocol.domain == "novel"
        ]
