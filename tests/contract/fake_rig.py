"""The in-memory world as the compute contract tries it (see test_compute.py)."""

import uuid

from fairlead.domain.observed import FixedIp, Port
from fairlead.drivers.fake import FakeCompute, FakeWorld
from fairlead.ports import AmphoraSpec
from fairlead.wire.boot import Boot


class FakeRig:
    """A `FakeCompute` and a look at its world."""

    segments = ("net-a", "net-b")

    def __init__(self) -> None:
        self.world = FakeWorld()
        self.compute = self.restarted()

    def restarted(self) -> FakeCompute:
        return FakeCompute(self.world)

    def port(self, segment: str) -> Port:
        port_id = str(uuid.uuid4())
        ip = FixedIp(subnet_id="s", address="10.0.0.2", cidr="10.0.0.0/24", gateway=None)
        return Port(
            id=port_id, name=port_id, owner="lb", network_id="n", mac=port_id[:8], mtu=1500,
            fixed_ips=(ip,), segment=segment,
        )  # fmt: skip

    def spec(self) -> AmphoraSpec:
        boot = Boot(
            amphora_id=str(uuid.uuid4()), listen="10.0.0.2", agent_port=9443, certificate="",
            private_key="", authority="", heartbeat_key=b"", health_managers=(),
        )  # fmt: skip
        return AmphoraSpec(management=self.port("management"), boot=boot)

    def stop(self, amphora_id: str) -> None:
        self.world.stop(amphora_id)

    def leftovers(self, amphora_id: str) -> list[str]:
        machine = self.world.machines.get(amphora_id)
        if machine is None:
            return []
        return [f"machine in its life {machine.life}", *(f"card {mac}" for mac in machine.macs)]
