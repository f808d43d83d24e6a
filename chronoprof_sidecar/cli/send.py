"""`chronoprof send`: one sample, for shell scripts."""

import argparse
import math

from chronoprof_sidecar.cli.command import Subparsers, add_asking_command, ask
from chronoprof_sidecar.cli.text import format_duration, format_text, harmless
from chronoprof_sidecar.cli.transport import as_mapping
from chronoprof_sidecar.errors import ChronoprofError
from chronoprof_sidecar.protocol import INGEST_PATH, MAX_DURATION_SECONDS


class RejectedError(ChronoprofError):
    """The sidecar took the request but not the sample."""

    code = "rejected"


def add_parser(subparsers: Subparsers) -> None:
    """Register `send`."""
    parser = add_asking_command(subparsers, "send", "record one call", "Done means that it is on the sidecar's disk.")
    parser.add_argument("name", metavar="NAME", help="the function name")
    parser.add_argument("seconds", metavar="SECONDS", type=_parse_seconds, help="how long the call took")
    parser.add_argument("--error", action="store_true", help="the call failed")
    parser.add_argument("--service", help="label of the row")
    parser.add_argument("--version", dest="service_version", metavar="VERSION", help="label of the row")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Send the sample once: without a sequence number a second try could count it twice."""
    labels = {"service": args.service, "version": args.service_version}
    sample = {"function_name": args.name, "duration": args.seconds, "error": args.error}
    body = {"samples": [sample], **{name: label for name, label in labels.items() if label is not None}}
    answer = ask(args).post(INGEST_PATH, body=body)
    report = answer.report()
    if report.get("accepted") != 1:
        errors = report.get("errors") or [{}]
        raise RejectedError(f"the sidecar did not count it: {format_text(as_mapping(errors[0]).get('reason'))}")
    print(answer.text if args.json else f"Recorded {harmless(args.name)}: {format_duration(args.seconds)}.")
    return 0


def _parse_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MAX_DURATION_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to {MAX_DURATION_SECONDS}")
    return seconds
