"""The kernels' source, compiled for the host once for all tests."""

import pytest

from tests.kernels.host import Host


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(tmp_path_factory.mktemp("host-kernels"))
