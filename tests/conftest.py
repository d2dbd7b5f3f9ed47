"""Fixtures of more than one floor: a tiny language model, and a server that speaks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from chat_server import ChatServer
from tiny_llm import save_tiny_llm


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny causal LM with a chat template, whose answers are made of letters."""
    return save_tiny_llm(tmp_path_factory.mktemp("llm") / "tiny-llm")


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    """A local server of chat completions."""
    with ChatServer() as server:
        yield server
