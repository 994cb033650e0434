"""A project: one root folder, its data folders, and its settings."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trailer_lib import files
from trailer_lib.errors import TrailerError, suggestion
from trailer_lib.options import Settings
from trailer_lib.settings import SCHEMES, STAGES

COLAB_DRIVE = Path("/content/drive/MyDrive")


@dataclass(frozen=True)
class Project:
    """The root folder and the four data folders in it; opening writes nothing, a stage makes the folder it fills."""

    root: Path
    excels = property(lambda self: self.root / "excels")
    images = property(lambda self: self.root / "images")
    dataset = property(lambda self: self.root / "dataset")
    models = property(lambda self: self.root / "models")

    @classmethod
    def open(cls, root: str | Path | None = None, drive: str | None = None) -> "Project":
        """Open `root`, else TRAILER_ROOT, else on Colab the Google Drive folder `drive`, else this repository."""
        chosen = root or os.environ.get("TRAILER_ROOT") or _drive(drive) or _repository()
        project = cls(Path(chosen).expanduser().resolve())
        if project.root.is_dir():
            return project
        raise TrailerError(f"the root {project.root} is not a directory: make it, or name another (or TRAILER_ROOT)")

    def settings(self, stage: str, chosen: Settings | None = None, **keywords: Any) -> Settings:
        """The settings of "scrape", "dataset" or "train": defaults, <root>/settings.toml, `chosen`, the keywords."""
        if stage not in STAGES:
            raise TrailerError(f"unknown stage {stage!r}: {suggestion(stage, STAGES)}")
        path = self.root / "settings.toml"
        tables = files.read_toml(path) if path.exists() else {}
        for name, table in tables.items():
            if name not in STAGES or not isinstance(table, dict):
                raise TrailerError(f"{path}: unknown table [{name}]: {suggestion(name, STAGES)}")
        # What is at its default in `chosen` gives way to settings.toml and to the scheme; a keyword never does.
        cell = (chosen.changed() if chosen else {}) | keywords
        return STAGES[stage].layered({"settings.toml": tables.get(stage, {}), "this cell": cell}, SCHEMES)


def on_colab() -> bool:
    return "google.colab" in sys.modules


def _drive(folder: str | None) -> Path | None:
    if not (folder and on_colab()):
        return None
    from google.colab import drive  # exists on Colab alone

    drive.mount(str(COLAB_DRIVE.parent))
    path = COLAB_DRIVE / folder
    path.mkdir(parents=True, exist_ok=True)
    return path


def _repository() -> Path:
    """The clone that this file lies in; the current folder where pip installed the package without its data folders."""
    home = Path(__file__).resolve().parent.parent
    return home if (home / "notebooks").is_dir() else Path.cwd()
