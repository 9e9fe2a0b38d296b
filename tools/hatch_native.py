"""Hatchling's hook: a wheel holds the compiled halves if they can be built here, and is a pure one if not."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))
from native import build_all


class NativeHook(BuildHookInterface[Any]):
    """An editable install is left alone: there `make` builds in place."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        built = build_all(root) if version == "standard" and self.target_name == "wheel" else []
        if built:
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            build_data["force_include"] |= {str(path): str(path.relative_to(root / "src")) for path in built}
