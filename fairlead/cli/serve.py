"""`fairlead serve`: the whole service in one process, until SIGTERM or SIGINT."""

import argparse
import asyncio
import errno
import logging
import math
import os
import signal
import socket
import sys

import msgspec
import structlog
import uvicorn

from fairlead.cli.doctor import missing
from fairlead.cli.host_checks import is_fairlead
from fairlead.cli.invocation import address, command
from fairlead.errors import Refused
from fairlead.settings import Settings, default_state_dir, load
from fairlead.wiring import Service

replace = msgspec.structs.replace


def serve(options: argparse.Namespace) -> int:
    """Serve until told to stop; the exit status."""
    settings = _settings(options)
    if settings.drivers == "host":
        _check_host()
    _log_to_stderr(verbose=options.verbose)
    return asyncio.run(_serve(settings))


def _settings(options: argparse.Namespace) -> Settings:
    """The file's settings with the command line on top."""
    state_dir = (options.state_dir or default_state_dir(options.drivers or "host")).absolute()
    settings = load(state_dir, options.config)
    if options.state_dir:
        settings = replace(settings, state_dir=str(state_dir))
    if options.drivers:
        settings = replace(settings, drivers=options.drivers)
    if options.listen:
        settings = replace(settings, api=replace(settings.api, listen=options.listen))
    if options.auth:
        settings = replace(settings, api=replace(settings.api, auth_strategy=options.auth))
    if options.step_seconds is not None:
        if not 0 <= options.step_seconds < math.inf:
            raise Refused("--step-seconds should be a number that is not negative.")
        settings = replace(settings, fake=replace(settings.fake, step_seconds=options.step_seconds))
    return settings


def _check_host() -> None:
    if os.geteuid() != 0:
        raise Refused(
            f"Running amphorae needs root: sudo {command('serve')}. "
            "Without root, --drivers fake serves an in-memory world."
        )
    lacking = missing()
    if lacking:
        raise Refused(
            f"This host lacks {', '.join(lacking)}. "
            f"Run: {command('doctor')}, which says how to get it."
        )


async def _serve(settings: Settings) -> int:
    host, port = address(settings.api.listen)
    with _bound(host, port) as listening:
        async with Service(settings) as service:
            server = _Server(
                uvicorn.Config(
                    service.app, log_config=None, access_log=False, lifespan="off",
                    timeout_graceful_shutdown=5, server_header=False,
                ),
                ready=f"Fairlead is ready at http://{settings.api.listen} {_how_in(settings)}",
            )  # fmt: skip
            # uvicorn raises the signal that stopped it again, for whoever handled it before:
            # nobody, as what follows is a clean stop.
            for caught in (signal.SIGTERM, signal.SIGINT):
                signal.signal(caught, lambda *_: None)
            await server.serve(sockets=[listening])
    return 0


def _bound(host: str, port: int) -> socket.socket:
    """A socket of that address, taken before anything else begins; uvicorn listens on it."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Refused(f"Cannot listen on '{host}': {error.strerror}.") from error
    # Names such as localhost have addresses of both families.
    family, kind, protocol, _, found_address = min(found, key=lambda one: one[0] != socket.AF_INET)
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(found_address)
    except OSError as error:
        bound.close()
        ours = error.errno == errno.EADDRINUSE and is_fairlead(host, port)
        why = "a Fairlead that runs answers there already" if ours else error.strerror
        raise Refused(
            f"Cannot listen on {host} port {port}: {why}. "
            "Another address or port: --listen ADDRESS:PORT"
        ) from error
    return bound


def _how_in(settings: Settings) -> str:
    if settings.api.auth_strategy == "noauth":
        return "(noauth: everybody is an administrator)"
    if settings.api.auth_strategy == "keystone":
        return f"(tokens of Keystone at {settings.keystone.auth_url})"
    return f"(credentials: {settings.state_dir}/clouds.yaml)"


class _Server(uvicorn.Server):
    """Says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: str) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._ready, file=sys.stderr, flush=True)


def _log_to_stderr(*, verbose: bool) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.INFO if verbose else logging.WARNING
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
