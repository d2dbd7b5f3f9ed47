"""Against a real HTTP server that speaks the protocol, well and badly."""

from collections.abc import Callable
from typing import Any

import pytest

from dualpt.core.descriptions.writing.cleaning import Answer
from dualpt.core.descriptions.writing.endpoint import Endpoint
from dualpt.core.descriptions.writing.questions import Question
from dualpt.core.errors import UserError
from tests.chat_server import ChatServer, Fault, completion, describe

QUESTIONS = [Question(0, number, 0, f"Question {number}?", seed=number) for number in range(12)]
Ask = Callable[..., dict[int, Answer]]


def ask(url: str, questions: list[Question] = QUESTIONS, **changes: Any) -> dict[int, Answer]:
    options = {"temperature": 0.7, "top_p": 0.9, "max_new_tokens": 50, "first_wait": 0.01, "timeout": 5.0}
    endpoint = Endpoint(url, "tiny", **{**options, **changes})
    return {question.number: answer for part in endpoint.answers(questions) for question, answer in part}


def expected(questions: list[Question] = QUESTIONS) -> dict[int, Answer]:
    return {question.number: Answer(describe({"seed": question.seed}), whole=True) for question in questions}


def test_every_question_is_asked_once_with_its_seed(chat_server: ChatServer) -> None:
    assert ask(chat_server.url) == expected()
    assert sorted(body["seed"] for body in chat_server.requests) == list(range(12))
    body = next(body for body in chat_server.requests if body["seed"] == 3)
    assert body == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Question 3?"}],
        "seed": 3,
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 50,
    }


@pytest.mark.parametrize(
    "fault",
    [
        (500, {}, b"out of memory"),
        (503, {}, b""),
        (429, {"Retry-After": "0"}, b"slow down"),
        (200, {}, b"<html>"),
        (200, {}, b'{"choices": []}'),
        (200, {}, b'{"choices": [{"message": null}]}'),
        (200, {"Content-Length": "5000"}, b'{"cho'),
        0.05,
    ],
    ids=["500", "503", "429", "html", "no choice", "no message", "cut off", "closed"],
)
def test_faults_that_pass_are_asked_again(chat_server: ChatServer, fault: Fault) -> None:
    chat_server.faults = [fault] * 3
    assert ask(chat_server.url, parallel=4) == expected()
    assert len(chat_server.requests) == 12 + 3


def test_a_timeout_is_asked_again(chat_server: ChatServer) -> None:
    chat_server.faults = [1.0]
    assert ask(chat_server.url, QUESTIONS[:2], timeout=0.2) == expected(QUESTIONS[:2])
    assert len(chat_server.requests) == 3


def test_the_server_says_how_long_to_wait(chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("dualpt.core.descriptions.writing.endpoint.sleep_using_event", lambda event: waits.append)
    chat_server.faults = [(429, {"Retry-After": "17"}, b""), (429, {"Retry-After": "9999"}, b""), (500, {}, b"")]
    ask(chat_server.url, QUESTIONS[:1])
    assert waits[:2] == [17.0, 60.0]
    assert waits[2] < 1


def test_a_server_that_fails_for_good_keeps_what_was_answered(chat_server: ChatServer) -> None:
    endpoint = Endpoint(
        chat_server.url, "tiny", temperature=1, top_p=1, max_new_tokens=9, parallel=1, attempts=3, first_wait=0.01
    )
    parts = endpoint.answers(QUESTIONS)
    next(parts)
    chat_server.faults = [(500, {}, b"out of memory")] * 50
    with pytest.raises(UserError, match=r"failed 3 times \(500: out of memory\); start or repair the server"):
        list(parts)


def test_no_server() -> None:
    with pytest.raises(UserError, match=r"--endpoint: http://127.0.0.1:9/v1 failed 2 times \(.*refused"):
        ask("http://127.0.0.1:9/v1", attempts=2)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "answers 401: wrong key ***; name the variable with the server's key by --api-key-env"),
        (404, "answers 404: wrong key ***; check --endpoint (it mostly ends in /v1) and --model"),
        (400, "answers 400: wrong key ***; check the options"),
        (307, "answers 307: wrong key ***"),
    ],
)
def test_refusals_are_final_and_do_not_show_the_key(chat_server: ChatServer, status: int, words: str) -> None:
    chat_server.faults = [(status, {"Location": f"{chat_server.url}/elsewhere"}, b"wrong key s3cret")] * 12
    with pytest.raises(UserError) as caught:
        ask(chat_server.url, parallel=1, api_key="s3cret")
    assert words in str(caught.value)
    assert len(chat_server.requests) <= 2  # the one that was refused, and one that had begun meanwhile
    assert chat_server.keys[0] == "Bearer s3cret"


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (completion("It is cut", "length"), Answer("It is cut", whole=False)),
        (completion(None), Answer("", whole=True)),
    ],
)
def test_what_an_answer_may_be(chat_server: ChatServer, reply: bytes, answer: Answer) -> None:
    chat_server.reply = lambda body: reply
    assert ask(chat_server.url, QUESTIONS[:1]) == {0: answer}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:8000", "is not an address; give one such as http://localhost:8000/v1"),
        ("file:///etc", "is not an address"),
        ("http://me:s3cret@localhost/v1", "leave keys out of the address"),
        ("http://localhost/v1?key=s3cret", "leave keys out of the address"),
    ],
)
def test_addresses_that_are_refused(url: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        ask(url)
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)
