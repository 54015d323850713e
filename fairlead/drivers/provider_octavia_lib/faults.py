"""Exceptions of drivers as errors of Fairlead.

`user_fault_string` is for the user who asked, `operator_fault_string` goes to the log. What a
driver did not mean to raise may tell of its inside: the user reads that something failed, the log
has it all. Called by provider.py.
"""

import builtins

import structlog
from octavia_lib.api.drivers import exceptions

from fairlead.errors import Broken, Conflict, FairleadError, Refused, Unsupported

log = structlog.get_logger()
_UNKNOWN = "An unknown driver error occurred."


def translated(provider: str, function: str, error: BaseException) -> FairleadError:
    """The error that a user gets."""
    if isinstance(error, FairleadError):
        return error
    said = str(getattr(error, "user_fault_string", _UNKNOWN))
    more = getattr(error, "operator_fault_string", None)
    about = {"provider": provider, "function": function, "said": said, "operator": more}
    match error:
        case exceptions.NotImplementedError() | builtins.NotImplementedError():
            log.info("a driver does not do this", **about)
            return Unsupported(provider, said if more else function, asked="action")
        case exceptions.UnsupportedOptionError():
            log.info("a driver does not know an option", **about)
            return Unsupported(provider, said)
        case exceptions.Conflict():
            return Conflict(said)
        case exceptions.NotFound():
            return Refused(f"Provider '{provider}' reports error: {said}")
        case exceptions.DriverError():
            log.error("a driver failed", **about)
            return Broken(provider, said)
    log.error("a driver broke", **about, exc_info=error)
    return Broken(provider, _UNKNOWN)
