"""Work spread over processes ends at once, and without tracebacks, when it is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from armillary.twin.executor import run_all

LONG = """
import time
from functools import partial
from armillary.twin.executor import run_all

if __name__ == "__main__":
    calls = [partial(print, "begun", flush=True), *[partial(time.sleep, 60)] * 3]
    try:
        run_all(calls, 2, lambda: None)
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_results_come_in_order():
    assert run_all([partial(pow, 2, n) for n in range(5)], 2, lambda: None) == [1, 2, 4, 8, 16]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of a terminal")
def test_an_interrupt_stops_the_workers_at_once(tmp_path):
    script = tmp_path / "long.py"
    script.write_text(LONG, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "begun\n"
        sent = time.monotonic()
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to the workers too
        out, err = run.communicate(timeout=50)
    assert (out, err) == ("interrupted\n", "")
    assert time.monotonic() - sent < 15


def test_an_error_stops_what_has_not_ended():
    begun = time.monotonic()
    with pytest.raises(ValueError, match="invalid literal"):
        run_all([partial(int, "x"), *[partial(time.sleep, 60)] * 3], 2, lambda: None)
    assert time.monotonic() - begun < 40
