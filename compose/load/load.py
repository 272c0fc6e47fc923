"""Jobs for the lab's pods: gives them out, and tells how that goes.

    /take          a job's number, or nothing (204) where none waits
    /done/NUMBER   that job is done; told again, or by whom it was taken for lost, it was done once
    /rate/NUMBER   from now on so many jobs come each second
    /add/NUMBER    so many come now
    /clear         those that wait are called off
    /metrics       for Prometheus
    /healthz

A job that was taken and not done within LIMIT is lost: it is counted, and given out again. So no job is dropped, whoever ends.
"""

import os
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LIMIT = 60.0  # seconds that a job may take once it was taken
LONGEST_QUEUE = 100_000  # more are refused
BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # seconds


class Jobs:
    """All jobs there are. Times are of the monotonic clock."""

    def __init__(self, rate):
        self.lock = threading.Lock()
        self.rate = rate
        self.is_begun = False  # once somebody asks for a job
        self.made = 0
        self.waiting = deque()  # numbers
        self.came = {}  # when each came that is not done
        self.taken = {}  # when each was taken that is out, the first to be lost first
        self.done_total = self.lost_total = self.refused_total = self.cleared_total = 0
        self.seconds_sum = 0.0
        self.seconds_within = [0] * len(BUCKETS)

    def add(self, count):
        with self.lock:
            for _ in range(count):
                if len(self.waiting) >= LONGEST_QUEUE:
                    self.refused_total += 1
                    continue
                self.made += 1
                self.came[self.made] = time.monotonic()
                self.waiting.append(self.made)

    def clear(self):
        with self.lock:
            for job in self.waiting:
                del self.came[job]
            self.cleared_total += len(self.waiting)
            self.waiting.clear()

    def take(self):
        with self.lock:
            self.is_begun = True
            if not self.waiting:
                return None
            job = self.waiting.popleft()
            self.taken[job] = time.monotonic()
            return job

    def done(self, job):
        with self.lock:
            came = self.came.pop(job, None)
            if came is None:
                return
            if self.taken.pop(job, None) is None:
                self.waiting.remove(job)  # it counted as lost, and waits again
            seconds = time.monotonic() - came
            self.done_total += 1
            self.seconds_sum += seconds
            for at, limit in enumerate(BUCKETS):
                self.seconds_within[at] += seconds <= limit

    def take_back(self):
        """What was taken too long ago waits again, before all others."""
        with self.lock:
            begin = time.monotonic() - LIMIT
            lost = [job for job, taken in self.taken.items() if taken < begin]
            for job in reversed(lost):
                del self.taken[job]
                self.waiting.appendleft(job)
            self.lost_total += len(lost)

    def metrics(self):
        with self.lock:
            lines = []

            def tell(name, kind, words, *samples):
                lines.append(f"# HELP lab_{name} {words}")
                lines.append(f"# TYPE lab_{name} {kind}")
                lines.extend(f"lab_{name}{labels} {value}" for labels, value in samples)

            tell("jobs_total", "counter", "Jobs that came.", ("", self.made))
            tell("jobs_done_total", "counter", "Jobs that were done.", ("", self.done_total))
            tell("jobs_lost_total", "counter", "Times that a job was taken and not done in time.", ("", self.lost_total))
            tell("jobs_refused_total", "counter", "Jobs that the queue had no room for.", ("", self.refused_total))
            tell("jobs_cleared_total", "counter", "Jobs that were called off.", ("", self.cleared_total))
            tell("queue_depth", "gauge", "Jobs that wait for a pod.", ("", len(self.waiting)))
            tell("jobs_out", "gauge", "Jobs that a pod has.", ("", len(self.taken)))
            tell("rate", "gauge", "Jobs that come each second.", ("", self.rate))
            within = [(f'_bucket{{le="{limit}"}}', count) for limit, count in zip(BUCKETS, self.seconds_within)]
            within += [('_bucket{le="+Inf"}', self.done_total), ("_sum", self.seconds_sum), ("_count", self.done_total)]
            tell("job_seconds", "histogram", "From a job's coming until it is done.", *within)
            return "\n".join(lines) + "\n"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    jobs = None

    def do_GET(self):
        what, _, which = self.path.strip("/").partition("/")
        number = int(which) if which.isascii() and which.isdigit() and len(which) < 10 else None
        if what == "take":
            job = self.jobs.take()
            self.answer(204 if job is None else 200, "" if job is None else f"{job}\n")
        elif what == "done" and number is not None:
            self.jobs.done(number)
            self.answer(200)
        elif what == "rate" and number is not None and number <= 1000:
            self.jobs.rate = number
            self.answer(200, f"from now on {number} jobs come each second\n")
        elif what == "rate":
            self.answer(400, "rate: a whole number of jobs for each second, at most 1000, as in /rate/20\n")
        elif what == "add" and number is not None:
            self.jobs.add(min(number, LONGEST_QUEUE))
            self.answer(200, f"{number} jobs came\n")
        elif what == "clear":
            self.jobs.clear()
            self.answer(200, "the jobs that waited are called off\n")
        elif what == "metrics":
            self.answer(200, self.jobs.metrics())
        elif what == "healthz":
            self.answer(200)
        else:
            self.answer(404)

    def answer(self, status, text=""):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)

    def log_message(self, *_):
        pass  # the metrics tell more


def bring(jobs):
    """Makes jobs at their rate, evenly, from when there is somebody to do them."""
    owed = 0.0
    then = time.monotonic()
    while True:
        time.sleep(0.1)
        now = time.monotonic()
        owed += jobs.rate * (now - then) * jobs.is_begun
        then = now
        jobs.add(int(owed))
        owed -= int(owed)
        jobs.take_back()


def main():
    jobs = Jobs(int(os.environ.get("JOBS_PER_SECOND", "2")))
    Handler.jobs = jobs
    threading.Thread(target=bring, args=(jobs,), daemon=True).start()
    ThreadingHTTPServer(("", 8000), Handler).serve_forever()


if __name__ == "__main__":
    main()
