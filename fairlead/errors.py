"""Every error Fairlead raises on purpose.

A leaf: it imports nothing. The API turns `Refused`, `NotFound`, `Conflict`, `Forbidden` and
`Unsupported` into Octavia's faults; the controller turns `Retryable` and `Permanent` into
events and back-off. Messages are shown to users: they name the field and the rule, never a
secret and never a traceback.
"""


class FairleadError(Exception):
    """The root: its text is fit to be read by a user."""


class Refused(FairleadError):
    """The request breaks a rule; nothing was changed (HTTP 400)."""


class Unauthorized(FairleadError):
    """No valid credentials came with the request (HTTP 401); `challenge` says what would do."""

    def __init__(self, message: str, challenge: str = 'Basic realm="fairlead"') -> None:
        super().__init__(message)
        self.challenge = challenge


class Forbidden(FairleadError):
    """The caller may not do this (HTTP 403)."""

    def __init__(
        self, message: str = "Policy does not allow this request to be performed."
    ) -> None:
        super().__init__(message)


class QuotaMet(FairleadError):
    """The project may not have that many objects (HTTP 403); nothing was stored."""

    def __init__(self, *words: str) -> None:
        super().__init__(f"Quota has been met for resources: {', '.join(words)}")


class NotFound(FairleadError):
    """No such object: `word` is its name in messages, such as "Load Balancer" (HTTP 404)."""

    def __init__(self, word: str, object_id: str) -> None:
        super().__init__(f"{word} {object_id} not found.")
        self.word = word
        self.object_id = object_id


class Conflict(FairleadError):
    """The request contradicts what exists: a duplicate, or an object in use (HTTP 409)."""


class Unsupported(FairleadError):
    """A valid option, or action, that this provider cannot do (HTTP 501); nothing was stored."""

    def __init__(self, provider: str, what: str, *, asked: str = "option") -> None:
        super().__init__(f"Provider '{provider}' does not support a requested {asked}: {what}")
        self.asked = asked


class Unavailable(Unsupported):
    """A provider that is enabled has no driver that can be loaded (HTTP 501)."""

    def __init__(self, provider: str) -> None:
        FairleadError.__init__(self, f"Provider '{provider}' was not found.")
        self.asked = "driver"


class Broken(FairleadError):
    """A provider's driver failed (HTTP 500); nothing was stored."""

    def __init__(self, provider: str, reason: str) -> None:
        super().__init__(f"Provider '{provider}' reports error: {reason}")


class Stale(FairleadError):
    """The tree changed since it was read: read it again and repeat the edit."""


class Retryable(FairleadError):
    """A step failed in a way that trying again may cure; `after` is a hint in seconds."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class Permanent(FairleadError):
    """A step failed and will fail again until the user or the operator changes something."""


class Fenced(FairleadError):
    """A newer controller has taken over; this one must stop acting on the load balancer."""
