"""Public face of the demo world: draw a scene, draw a single object, write the whole data set."""

from __future__ import annotations

from ccd_fast.demo.composing import Scene, SceneObject, draw_scene, draw_single
from ccd_fast.demo.objects import CLASS_NAMES
from ccd_fast.demo.world import WORLD_VERSION, write_world

__all__ = ["CLASS_NAMES", "WORLD_VERSION", "Scene", "SceneObject", "draw_scene", "draw_single", "write_world"]
