"""Where and with what figures were measured."""

import importlib.metadata
import os
import platform
from datetime import date
from pathlib import Path


def facts(packages: list[str]) -> dict:
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = next(
        (line.split(": ")[1] for line in text.splitlines() if line.startswith("model name")), platform.machine()
    )
    return {
        "date": date.today().isoformat(),
        "processor": f"{name}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
        "versions": {package: importlib.metadata.version(package) for package in packages},
    }


def line(part: str, machine: dict) -> str:
    """The facts as a line of a list."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    busy = f"load before {machine['load']}"
    return f"- {part}: {machine['date']}, {machine['processor']}, Python {machine['python']}, {busy}; {versions}"
