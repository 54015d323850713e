"""The in-memory world: fakes of every outside port that share one state.

For `--drivers fake` (people who develop API clients) and for tests. It accepts every subnet,
network and port id that users did not delete, and can misbehave on purpose (see world.py). The
fakes pass the same contract suites as the real drivers.
"""

from fairlead.drivers.fake.machines import FakeAmphorae, FakeCompute, FakeHeartbeats
from fairlead.drivers.fake.network import MANAGEMENT_NETWORK, FakeNetwork
from fairlead.drivers.fake.secrets import FakeSecrets
from fairlead.drivers.fake.vault import FakeVault
from fairlead.drivers.fake.world import Crashed, FakeMachine, FakeWorld

__all__ = [
    "MANAGEMENT_NETWORK", "Crashed", "FakeAmphorae", "FakeCompute", "FakeHeartbeats",
    "FakeMachine", "FakeNetwork", "FakeSecrets", "FakeVault", "FakeWorld",
]  # fmt: skip
