"""`chronoprof reset`: begin a new window."""

import argparse
import json

from chronoprof_sidecar.cli.command import Subparsers, add_asking_command, ask
from chronoprof_sidecar.cli.text import harmless
from chronoprof_sidecar.protocol import GENERATION_HEADER, RESET_PATH


def add_parser(subparsers: Subparsers) -> None:
    """Register `reset`."""
    parser = add_asking_command(
        subparsers, "reset", "forget all calls of the current window", "`rotate` saves them before."
    )
    parser.add_argument("--generation", type=int, metavar="N", help="only if N is still the current generation")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Reset, and print the new generation, which the answer has in a header since it has no body."""
    answer = ask(args).post(RESET_PATH, {"generation": args.generation})
    generation = answer.headers.get(GENERATION_HEADER, "")
    if args.json:
        print(json.dumps({"generation": int(generation) if generation.isascii() and generation.isdecimal() else None}))
    else:
        print(f"Reset. The new window is generation {harmless(generation)}.")
    return 0
