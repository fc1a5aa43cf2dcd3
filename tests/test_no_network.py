import socket
from urllib.request import urlopen

import pytest


def test_another_machine_cannot_be_reached_and_this_one_can():
    for ask in (
        lambda: socket.create_connection(("192.0.2.1", 80)),
        lambda: urlopen("http://192.0.2.1/weights.pth"),
    ):
        with pytest.raises(pytest.fail.Exception, match="without the network"):
            ask()
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
