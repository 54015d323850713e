"""Machines for network tests: named network namespaces with one card each.

They are joined to a bridge of the running test's own namespace, and go at the end of the block,
whatever happened in it.
"""

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_numbers = itertools.count()
_EAR = """
import socket
ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ear.bind(("0.0.0.0", 8081))
ear.settimeout(0.4)
print("up", flush=True)
ear.recv(1)
print("heard", flush=True)
"""
_MOUTH = """
import socket, sys
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (sys.argv[1], 8081))
"""
_SERVER = """
import socket, sys
server = socket.create_server(
    ("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
print("up", flush=True)
while True:
    server.accept()[0].close()
"""


class Machine:
    """A namespace with one card, `eth0`, whose other end is `host_end`."""

    def __init__(self, name: str, host_end: str) -> None:
        self.name = name
        self.host_end = host_end

    def ip(self, *words: str) -> str:
        """Run the program ip inside."""
        return ip("-n", self.name, *words)

    def reaches(self, address: str, port: int, *, seconds: float = 1.0) -> bool:
        """Whether a TCP connection from inside is accepted."""
        program = (
            "import socket, sys; host, port, seconds = sys.argv[1:]; "
            "socket.create_connection((host, int(port)), float(seconds)).close()"
        )
        command = ["ip", "netns", "exec", self.name, "python3", "-c", program]
        asked = [*command, address, str(port), str(seconds)]
        return subprocess.run(asked, stderr=subprocess.DEVNULL, timeout=30).returncode == 0

    def hears(self, sender: "Machine", address: str) -> bool:
        """Whether a datagram to `address` gets here, one way, from another machine."""
        prefix = ["ip", "netns", "exec"]
        command = [*prefix, self.name, "python3", "-c", _EAR]
        quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, text=True, **quiet) as ear:
            assert ear.stdout is not None
            assert ear.stdout.readline() == "up\n"
            command = [*prefix, sender.name, "python3", "-c", _MOUTH, address]
            subprocess.run(command, timeout=30, check=True)
            return ear.stdout.readline() == "heard\n"

    @contextmanager
    def serving(self, port: int) -> Iterator[None]:
        """A TCP server inside, on every address of both IP versions."""
        command = ["ip", "netns", "exec", self.name, "python3", "-c", _SERVER, str(port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            try:
                assert child.stdout is not None
                assert child.stdout.readline() == "up\n"
                yield
            finally:
                child.kill()


@contextmanager
def machines() -> Iterator["Builder"]:
    """Make machines in the block; they go at its end."""
    with ExitStack() as stack:
        yield Builder(stack)


class Builder:
    """Makes machines that live as long as its block."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def machine(self, bridge: str | None, *addresses: str, mac: str | None = None) -> Machine:
        """A machine on a bridge, or with its card's other end on none."""
        number = next(_numbers)
        host_end = f"host-{number}"
        machine = Machine(f"fltest-{os.getpid()}-{number}", host_end)
        ip("netns", "add", machine.name)
        self._stack.callback(ip, "netns", "delete", machine.name)
        peer = ["peer", "name", "eth0", "netns", machine.name]
        ip("link", "add", host_end, "type", "veth", *peer)
        if bridge:
            ip("link", "set", host_end, "master", bridge)
        if mac:
            machine.ip("link", "set", "eth0", "address", mac)
        ip("link", "set", host_end, "up")
        machine.ip("link", "set", "lo", "up")
        machine.ip("link", "set", "eth0", "up")
        for address in addresses:
            nodad = ["nodad"] if ":" in address else []
            machine.ip("address", "add", address, "dev", "eth0", *nodad)
        return machine


def ip(*words: str) -> str:
    """Run the program ip; fails with its complaint."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout
