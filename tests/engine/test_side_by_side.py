"""Processes side by side: results in order, errors and interruptions as from a single one."""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch

from vistrials.engine.interruption import StopRequest
from vistrials.engine.side_by_side import call_on_devices, call_side_by_side, most_processes, one_thread
from vistrials.errors import DataError, RunError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


def late_if_early(number: int, is_stopped: Callable[[], bool]) -> tuple[int, int, int]:
    """The earlier a number, the later it is done."""
    time.sleep(0.2 if number == 5 else 0)
    return number, os.getpid(), torch.get_num_threads()


@pytest.mark.parametrize("num_processes", [1, 2])
def test_results_come_in_order_whatever_the_number_of_processes(num_processes: int) -> None:
    with one_thread():
        results = list(call_side_by_side(late_if_early, range(5, 9), num_processes, StopRequest()))
    assert [number for number, _, _ in results] == [5, 6, 7, 8]
    assert {threads for _, _, threads in results} == {1}
    processes = {process for _, process, _ in results}
    assert processes == {os.getpid()} if num_processes == 1 else os.getpid() not in processes


def test_there_is_a_process_for_each_thread_and_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert most_processes() == 3
        with one_thread():
            assert most_processes() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("num_processes", [1, 2])
def test_an_error_comes_home_as_it_is(num_processes: int) -> None:
    def fail(number: int, is_stopped: Callable[[], bool]) -> int:
        if number == 1:
            raise DataError("frame 7 is broken")
        return number

    results = call_side_by_side(fail, range(3), num_processes, StopRequest())
    assert next(results) == 0
    with pytest.raises(DataError, match="^frame 7 is broken$"):
        next(results)


def test_a_signal_stops_the_calls_that_go_on() -> None:
    def wait_for_stop(number: int, is_stopped: Callable[[], bool]) -> bool:
        if number == 0:
            os.kill(os.getppid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # as a Ctrl-C in the terminal does
        while not is_stopped():
            time.sleep(0.01)
        return is_stopped()

    with StopRequest() as stop:
        assert list(call_side_by_side(wait_for_stop, range(2), 2, stop)) == [True, True]
    assert stop.requested


def test_a_process_that_dies_is_one_line() -> None:
    def die(number: int, is_stopped: Callable[[], bool]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(RunError, match="^one of 2 processes side by side died") as caught:
        list(call_side_by_side(die, range(2), 2, StopRequest()))
    assert "\n" not in str(caught.value)


def test_processes_that_are_no_longer_needed_end() -> None:
    def forever(number: int, is_stopped: Callable[[], bool]) -> int:
        while number > 0 and not is_stopped():
            time.sleep(0.01)
        return os.getpid()

    results = call_side_by_side(forever, range(3), 2, StopRequest())
    process = next(results)
    results.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@dataclass(frozen=True)
class Told:
    """Says on which device it was called; the second number is the first to be done."""

    device: str = "nowhere"

    def on(self, device: torch.device) -> "Told":
        return replace(self, device=str(device))

    def __call__(self, number: int, is_stopped: Callable[[], bool]) -> tuple[int, str, int]:
        time.sleep(0 if number else 0.5)
        return number, self.device, os.getpid()


def test_every_device_has_a_process_and_results_come_in_order() -> None:
    devices = [torch.device("cpu"), torch.device("meta")]
    results = list(call_on_devices(Told(), range(4), devices, StopRequest()))
    assert [number for number, _, _ in results] == [0, 1, 2, 3]
    assert {device for _, device, _ in results} <= {"cpu", "meta"}
    assert os.getpid() not in {process for _, _, process in results}
    # A process keeps its device.
    assert len({(device, process) for _, device, process in results}) == len({process for _, _, process in results})
