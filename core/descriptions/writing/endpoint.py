"""A language model behind an OpenAI-compatible server (vLLM, Ollama, ...): chat completions over HTTP."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from http.client import HTTPException, HTTPMessage
from itertools import islice
from threading import Event
from typing import IO, Any
from urllib.parse import urlsplit

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    stop_when_event_set,
    wait_exponential,
    wait_random,
)
from tenacity.wait import wait_base

from dualpt.core.descriptions.writing.cleaning import Answer
from dualpt.core.descriptions.writing.questions import Question
from dualpt.core.descriptions.writing.writers import Answered
from dualpt.core.errors import UserError

RETRIED_STATUSES = {408, 409, 425, 429, 500, 502, 503, 504}
LONGEST_WAIT = 60.0
"""Seconds between two attempts, at most."""
LONGEST_ERROR = 200
"""Characters of a server's error that are quoted."""


class Endpoint:
    """Asks a server, several questions at a time, again where it fails.

    Args:
        url: base address, such as `http://localhost:8000/v1`.
        model: as the server calls it.
        temperature: of sampling.
        top_p: smallest probability mass that is sampled from, in (0, 1].
        max_new_tokens: longest answer.
        parallel: requests under way at once.
        timeout: seconds until a request counts as failed.
        attempts: how often a question is asked before giving up.
        first_wait: seconds before the second attempt; doubles each time.
        api_key: sent as a bearer token; never stored, and blotted out of errors.

    Raises:
        UserError: not a valid address, or one with a password in it.
    """

    revision: str | None = None
    endpoint: str | None

    def __init__(
        self,
        url: str,
        model: str,
        *,
        temperature: float,
        top_p: float,
        max_new_tokens: int,
        parallel: int = 8,
        timeout: float = 120.0,
        attempts: int = 6,
        first_wait: float = 1.0,
        api_key: str | None = None,
    ) -> None:
        parts = _checked(url)
        self.name, self.endpoint = model, url.rstrip("/")
        self._address = f"{self.endpoint}/chat/completions"
        self._options = {"temperature": temperature, "top_p": top_p, "max_tokens": max_new_tokens}
        self._parallel, self._timeout, self._key = parallel, timeout, api_key
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")  # no proxy leads to this machine
        proxies = [urllib.request.ProxyHandler({})] if local else []
        self._opener = urllib.request.build_opener(_NoRedirect, *proxies)
        self._attempts, self._first_wait = attempts, first_wait

    def answers(self, questions: Sequence[Question]) -> Iterator[Answered]:
        """See `Writer.answers`; a part is one answer, in the order in which they come.

        Raises:
            UserError: the server refuses, or does not answer after all attempts; what came before was yielded.
        """
        failure: BaseException | None = None
        stopped = Event()
        retrying = Retrying(
            retry=retry_if_exception_type(_TransientError),
            stop=stop_after_attempt(self._attempts) | stop_when_event_set(stopped),
            wait=_Wait(self._first_wait),
            sleep=sleep_using_event(stopped),
            reraise=True,
        )
        waiting, running = iter(questions), dict[Future[Answer], Question]()
        with ThreadPoolExecutor(self._parallel) as pool:
            try:
                while True:
                    for question in islice(waiting, self._parallel - len(running)):
                        running[pool.submit(retrying.copy(), self._ask_once, question)] = question
                    if not running:
                        break
                    for done in wait(running, return_when=FIRST_COMPLETED).done:
                        question = running.pop(done)
                        if error := done.exception():
                            failure, waiting = failure or error, iter(())
                            stopped.set()  # others need not try six times to learn the same
                        else:
                            yield [(question, done.result())]
            finally:
                stopped.set()
        if isinstance(failure, _TransientError):
            raise UserError(
                f"--endpoint: {self.endpoint} failed {self._attempts} times ({failure}); start or repair the server "
                "and run again: answers so far are kept"
            )
        if failure is not None:
            raise failure

    def _ask_once(self, question: Question) -> Answer:
        body = {
            "model": self.name,
            "messages": [{"role": "user", "content": question.text}],
            "seed": question.seed,
            **self._options,
        }
        headers = {"Content-Type": "application/json", "User-Agent": "dualpt"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self._address, json.dumps(body).encode(), headers)
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            raise self._refusal(error) from None
        except (OSError, HTTPException) as error:  # URLError and timeouts are OSErrors
            raise _TransientError(str(getattr(error, "reason", error)) or type(error).__name__) from None
        return _answer_in(content)

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        """What to raise for an HTTP status other than success."""
        text = error.read().decode(errors="replace")
        if self._key:
            text = text.replace(self._key, "***")
        said = f"{error.code}: {' '.join(text.split())[:LONGEST_ERROR] or error.reason}"
        if error.code in RETRIED_STATUSES:
            return _TransientError(said, _seconds(error.headers.get("Retry-After")))
        remedies = {
            401: "name the variable with the server's key by --api-key-env",
            403: "name the variable with the server's key by --api-key-env",
            404: "check --endpoint (it mostly ends in /v1) and --model",
        }
        return UserError(f"--endpoint: {self.endpoint} answers {said}; {remedies.get(error.code, 'check the options')}")


class _TransientError(Exception):
    """A fault that may be over at the next attempt."""

    def __init__(self, said: str, retry_after: float = 0.0) -> None:
        super().__init__(said)
        self.retry_after = retry_after


class _Wait(wait_base):
    """Waits longer each time, and at least as long as the server asks for."""

    def __init__(self, first: float) -> None:
        self._growing = wait_exponential(multiplier=first, max=LONGEST_WAIT) + wait_random(0, first)

    def __call__(self, retry_state: RetryCallState) -> float:
        """Seconds until the next attempt."""
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked = error.retry_after if isinstance(error, _TransientError) else 0.0
        return max(self._growing(retry_state), min(asked, LONGEST_WAIT))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another server."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def _answer_in(content: bytes) -> Answer:
    """The answer in a chat completion; an empty one is not the server's fault."""
    try:
        choice: Any = json.loads(content)["choices"][0]
        text, reason = choice["message"].get("content"), choice.get("finish_reason")
    except (ValueError, LookupError, TypeError, AttributeError):
        raise _TransientError(f"no chat completion: {content[:80].decode(errors='replace')!r}") from None
    if text is not None and not isinstance(text, str):
        raise _TransientError(f"no text in the chat completion: {text!r:.80}")
    return Answer(text or "", whole=reason != "length")


def _checked(url: str) -> Any:
    try:
        parts = urlsplit(url)
        complete = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # brackets without an IPv6 address, or a port that is no number
        complete = False
    if not complete:
        raise UserError(f"--endpoint: '{url}' is not an address; give one such as http://localhost:8000/v1")
    if parts.username or parts.password or parts.query:
        raise UserError(
            "--endpoint: leave keys out of the address; name a variable that holds the key by --api-key-env"
        )
    return parts


def _seconds(text: str | None) -> float:
    """`Retry-After` in seconds; dates are taken as none."""
    return float(text) if text and text.isdigit() else 0.0
