"""A board that answers on a port of this machine, in a thread of the test."""

import contextlib
import threading
import time
from collections.abc import Collection, Iterator

import uvicorn

from dualpt.sweeps.board.server import Answers, Links, board_app
from dualpt.sweeps.board.serving import hosts_of, listening, url_of


@contextlib.contextmanager
def running_board(store: str, names: Collection[str] = (), links: Links | None = None) -> Iterator[str]:
    """The board's address, which ends in a slash."""
    with listening("127.0.0.1", 0) as listener:
        app = board_app(Answers(store, names, links or Links()), hosts_of("127.0.0.1"))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield url_of("127.0.0.1", listener)
        server.should_exit = True
        thread.join(timeout=10)
