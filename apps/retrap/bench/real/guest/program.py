"""A script of several seconds: words, records, JSON, sorting, classes, generators, regular expressions."""
import collections
import functools
import heapq
import json
import re
import string


class Random:
    """The numbers of a linear congruential generator: the same in each version of Python."""

    def __init__(self, seed):
        self.state = seed

    def below(self, limit):
        self.state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.state >> 8) % limit


def make_text(random, words):
    vocabulary = ["".join(random_letters(random)) for _ in range(800)]
    return " ".join(vocabulary[min(random.below(800), random.below(800))] for _ in range(words))


def random_letters(random):
    for _ in range(2 + random.below(7)):
        yield string.ascii_lowercase[random.below(26)]


def count_words(text):
    counts = collections.Counter()
    for match in re.finditer(r"\b[a-z]{3,}\b", text):
        counts[match.group(0)] += 1
    return counts


@functools.total_ordering
class Task:
    def __init__(self, number, priority):
        self.number = number
        self.priority = priority

    def __eq__(self, other):
        return (self.priority, self.number) == (other.priority, other.number)

    def __lt__(self, other):
        return (self.priority, self.number) < (other.priority, other.number)


def schedule(random, count):
    heap = []
    done = 0
    for number in range(count):
        heapq.heappush(heap, Task(number, random.below(1000)))
        if len(heap) > 50:
            task = heapq.heappop(heap)
            done = (done * 31 + task.number) % 1000003
    return done


def primes(limit):
    sieve = bytearray([1]) * (limit + 1)
    for i in range(2, int(limit**0.5) + 1):
        if sieve[i]:
            sieve[i * i :: i] = bytes(len(range(i * i, limit + 1, i)))
    return sum(sieve[2:])


def life(random, size, steps):
    cells = {(random.below(size), random.below(size)) for _ in range(size * size // 3)}
    for _ in range(steps):
        near = collections.Counter(
            ((x + dx) % size, (y + dy) % size)
            for x, y in cells
            for dx in (-1, 0, 1)
            for dy in (-1, 0, 1)
            if dx or dy
        )
        cells = {cell for cell, n in near.items() if n == 3 or (n == 2 and cell in cells)}
    return len(cells)


def main():
    random = Random(2024)
    counts = count_words(make_text(random, 40_000))
    print("words", len(counts), counts.most_common(3))
    records = [{"id": i, "name": word, "values": [random.below(100) for _ in range(5)]} for i, word in enumerate(sorted(counts))]
    again = json.loads(json.dumps(records * 4))
    again.sort(key=lambda record: (sum(record["values"]), record["name"], record["id"]))
    print("records", len(again), again[0]["name"], again[-1]["name"])
    print("tasks", schedule(random, 20_000))
    print("primes", primes(400_000))
    print("life", life(random, 48, 20))
    print("digits", len(str(3**8_000)), sum(map(int, str(7**3_000))))


main()
