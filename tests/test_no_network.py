import socket
from urllib.request import urlopen

import pytest


def test_tests_can_only_connect_to_this_machine():
    for connect in (
        lambda: socket.create_connection(("192.0.2.1", 80)),
        lambda: urlopen("http://192.0.2.1/weights.pth"),
    ):
        with pytest.raises(pytest.fail.Exception, match="must not use the network"):
            connect()
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
