"""What the runners here share: results that add up in a file, one line of JSON each, whenever a runner is stopped."""

import json
import os
import time
import traceback


class Results:
    """The results in a file, each of which has its number."""

    def __init__(self, path):
        self.path = path

    def all(self):
        if not os.path.exists(self.path):
            return []
        with open(self.path, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    def add(self, result):
        os.makedirs(os.path.dirname(os.path.abspath(self.path)), exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as lines:
            lines.write(json.dumps(result) + "\n")

    def complete(self, first, count, minutes, one):
        """Does `one` for each number that has no result yet, for so long at most. A runner that breaks is a result too."""
        until = time.monotonic() + 60 * minutes
        there = {result["number"] for result in self.all()}
        for number in range(first, first + count):
            if number in there:
                continue
            if time.monotonic() > until:
                break
            begun = time.monotonic()
            try:
                result = one(number)
            except Exception:
                result = {"broke": traceback.format_exc()}
            result = {"number": number, **result, "seconds": round(time.monotonic() - begun, 2)}
            self.add(result)
            yield result
