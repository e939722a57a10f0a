"""The first Ctrl-C is answered at once and stops politely, the second stops at once."""

import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vistrials.engine.interruption import StopRequest, exit_code_of_interrupt

ROOT = Path(__file__).resolve().parents[2]


def test_the_first_signal_is_answered_and_the_second_breaks_off() -> None:
    answers: list[str] = []
    heard = threading.Event()

    def announce() -> None:
        answers.append(threading.current_thread().name)
        heard.set()

    with pytest.raises(KeyboardInterrupt), StopRequest(announce=announce) as stop:
        signal.raise_signal(signal.SIGTERM)
        assert heard.wait(10) and stop.requested
        signal.raise_signal(signal.SIGTERM)  # asks for the same politely
        signal.raise_signal(signal.SIGINT)
    assert len(answers) == 1 and answers[0] != threading.main_thread().name


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_exit_code_names_the_signal(number: int, code: int) -> None:
    with StopRequest() as stop:
        signal.raise_signal(number)
    assert stop.requested and exit_code_of_interrupt() == code


def test_a_second_signal_within_the_answer_to_the_first_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient:
        def __init__(self, **how: object) -> None:
            pass

        def start(self) -> None:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(threading, "Thread", Impatient)
    with pytest.raises(KeyboardInterrupt), StopRequest(announce=lambda: None):
        signal.raise_signal(signal.SIGINT)


def test_whoever_holds_what_the_answer_needs_is_not_waited_for() -> None:
    lock, heard = threading.Lock(), threading.Event()

    def announce() -> None:
        if lock.acquire(timeout=5):
            heard.set()

    with StopRequest(announce=announce) as stop:
        with lock:
            signal.raise_signal(signal.SIGINT)
            assert stop.requested and not heard.is_set()
        assert heard.wait(10)


PROGRAM = """
import time
from vistrials.commands.display import RichReporter
from vistrials.engine.interruption import StopRequest

with RichReporter() as reporter, StopRequest(announce=lambda: reporter.message("stopping: saves first")) as stop:
    reporter.stage("train", 1000)
    reporter.advance(0)
    reporter.message("under way")
    while not stop.requested:
        reporter.advance(1, loss_total=0.5)
        time.sleep(0.01)
    while True:
        time.sleep(0.01)
"""


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals here")
def test_on_a_terminal_it_is_seen_beside_the_bar() -> None:
    import fcntl
    import termios

    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    try:
        _read_until(master, b"under way")
        os.write(master, b"\x03")  # Ctrl-C
        _read_until(master, b"stopping: saves first")
        os.write(master, b"\x03")
        _read_until(master, b"KeyboardInterrupt")
        assert process.wait(30) != 0
    finally:
        process.kill()
        process.wait()
        os.close(master)


def _read_until(terminal: int, text: bytes) -> None:
    seen = b""
    while text not in seen:
        assert select.select([terminal], [], [], 120)[0], seen
        part = os.read(terminal, 4096)
        assert part, seen
        seen += part
