"""What a run of benchmarks starts, and what is left of it."""

import subprocess
import sys

from benchmarks.processes import tied

PATIENCE_SECONDS = 20


def test_a_program_that_is_tied_does_not_outlive_a_starter_that_is_killed() -> None:
    sleeper = tied([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"])
    starter = [sys.executable, "-c", f"import subprocess; subprocess.run({sleeper!r})"]
    process = subprocess.Popen(starter, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"

    process.kill()

    # Both have its other end, so nothing more comes only once both are gone.
    assert process.communicate(timeout=PATIENCE_SECONDS)[0] == b""


def test_a_program_that_is_tied_gets_its_arguments_and_says_how_it_ended() -> None:
    command = tied([sys.executable, "-c", "import sys; print(sys.argv[1:]); sys.exit(3)", "a b", "--c"])
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS)

    assert (done.stdout, done.returncode) == ("['a b', '--c']\n", 3)
