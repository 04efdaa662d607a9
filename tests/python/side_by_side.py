"""Runs test binaries side by side, several at a time: most of what they do is wait.

    python3 side_by_side.py MESSAGES [BINARY...]

MESSAGES is what `cargo test --no-run --message-format=json` printed. All binaries in it are run, except those named
after it. As under `cargo test --no-fail-fast`, each runs in the folder of its package, and a failure stops none of the
others. The output of a binary is printed as a whole when it has ended; the failures are listed once more at the end.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# These take longest. They begin first, or they would run alone at the end.
LONGEST = ["wsdm_gateway", "ble", "cli", "client_port", "recognition"]
# These run one by one, after the rest: what they measure is spoiled by others that run at the same time (memory; how
# soon outputs stop; the age of a command to a tenth of a second; an emulator's clock), or they take all cores
# (hundreds of devices, a browser).
ALONE = ["at_rest", "firmware", "firmware_arduino", "firmware_arduino_tls", "firmware_lx106", "firmware_stepper", "firmware_tls", "page_browser", "ping_flood"]
ALONE += ["fleet", "process", "relay", "stale"]
# How many tests of a binary run at a time, where that is more than there are cores: these divide the machine among
# themselves.
THREADS = {"at_rest": 8}
# The longest takes two minutes and a half on two cores. One that waits for something that never comes is a failure with an
# output.
LIMIT_SECONDS = 1_800


class Binary:
    def __init__(self, message):
        self.name = message["target"]["name"]
        self.kind = message["target"]["kind"][0]
        self.path = message["executable"]
        self.folder = Path(message["manifest_path"]).parent
        self.process = None

    def run(self):
        begun = time.monotonic()
        environment = dict(os.environ)
        if self.name in THREADS:
            environment.setdefault("RUST_TEST_THREADS", str(THREADS[self.name]))
        process = subprocess.Popen(
            [self.path],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A group to be killed as one. Not a session: a pseudo-terminal that its leader opens would become its own, and end
            # it when it closes.
            preexec_fn=os.setpgrp,
        )
        self.process = process
        hung = False
        try:
            output, _ = process.communicate(timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            hung = True
            self.kill()
            output, _ = process.communicate()
        self.seconds = time.monotonic() - begun
        self.failed = process.returncode != 0
        output = output.decode(errors="replace")
        self.failures = re.findall(r"^test (\S+).* \.\.\. FAILED$", output, re.MULTILINE)
        if hung:
            self.failures.append(f"not ended after {LIMIT_SECONDS} s: the tests above that are not said to be ok hang")
        elif process.returncode < 0:
            self.failures.append(f"ended by signal {-process.returncode}")
        # In one piece, so that nothing of another is in between.
        sys.stdout.write(f"\n     Running {self.kind} {self.name} ({self.path})\n{output}")
        sys.stdout.flush()

    def kill(self):
        # With the gateways that it started, which would hold its output open.
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)


def run(tests, at_a_time):
    with ThreadPoolExecutor(at_a_time) as pool:
        try:
            list(pool.map(Binary.run, tests))
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for test in tests:
                test.kill()
            raise


def binaries(messages):
    for line in messages.splitlines():
        message = json.loads(line)
        if message["reason"] == "compiler-artifact" and message["executable"] and message["profile"]["test"]:
            yield Binary(message)


def main():
    left_out = sys.argv[2:]
    tests = [test for test in binaries(Path(sys.argv[1]).read_text()) if test.name not in left_out]
    if not tests:
        sys.exit(f"{sys.argv[1]} names no test binary")
    begun = time.monotonic()
    alone = [test for test in tests if test.name in ALONE]
    together = sorted((test for test in tests if test not in alone), key=lambda test: test.name not in LONGEST)
    at_a_time = max(3, os.cpu_count() or 1)
    run(together, at_a_time)
    run(alone, 1)

    print("\nseconds:", ", ".join(f"{test.name} {test.seconds:.0f}" for test in sorted(tests, key=lambda test: -test.seconds)))
    failed = [test for test in tests if test.failed]
    print(f"{len(tests)} binaries in {time.monotonic() - begun:.0f} s, {at_a_time} at a time; {len(failed)} failed")
    for test in failed:
        print(f"    {test.kind} {test.name}: {', '.join(test.failures) or 'see above'}")
    sys.exit(bool(failed))


main()
