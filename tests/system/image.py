"""Reads from the Dockerfile what the image of a target promises to whoever runs it."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass
class Image:
    """The metadata of one stage, with what it inherits."""

    environ: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    user: str = ""
    stop_signal: str = ""


def read_image(target: str) -> Image:
    """Return the metadata of the stage `target`.

    All commands must be in exec form: in shell form a shell would be process 1 and keep SIGTERM for itself.
    """
    stages: dict[str, Image] = {}
    name = ""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(None, text.splitlines()):
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            parent, _, name = rest.partition(" AS ")
            stages[name] = _copy(stages.get(parent, Image()))
        else:
            _apply(stages[name], instruction, rest)
    return stages[target]


def _copy(image: Image) -> Image:
    return Image(**{**vars(image), "environ": dict(image.environ)})


def _apply(image: Image, instruction: str, rest: str) -> None:
    match instruction:
        case "ENV":
            image.environ |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        case "USER":
            image.user = rest
        case "STOPSIGNAL":
            image.stop_signal = rest
        case "VOLUME":
            image.volumes = json.loads(rest)
        case "ENTRYPOINT":
            image.entrypoint = json.loads(rest)
        case "CMD":
            image.command = json.loads(rest)
        case "HEALTHCHECK":
            image.healthcheck = json.loads(rest.partition("CMD ")[2])
