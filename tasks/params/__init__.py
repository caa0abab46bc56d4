"""The frozen mirror of `params.yaml`: one file a section, nothing unknown, nothing impossible."""

from tasks.params.prepare import SOURCES_WITH_ROOT
from tasks.params.whole import PARAMS_FILE, Params

__all__ = ["PARAMS_FILE", "SOURCES_WITH_ROOT", "Params"]
