"""What bench/tail_bench saw: how long single reads take, above all the rare
slow ones."""

import collections
import json
import math
import statistics

# The percentiles of each round, as tail_bench prints them.
ROUND_PERCENTILES = ("p50", "p90", "p99", "p99.9", "p99.99")
SHARES_ABOVE = {"p50": 0.5, "p90": 0.1, "p99": 1e-2, "p99.9": 1e-3,
                "p99.99": 1e-4, "p99.999": 1e-5}

Retries = collections.namedtuple(
    "Retries", "reads publications retried per_publication "
    "slow slow_retried")


class Tail:
  """One reader beside one writer."""

  def __init__(self, row, ns_per_cycle):
    self.reader, self.writer = row["reader"], row["writer"]
    self._ns = ns_per_cycle
    self._timed, self._counted = row["timed"], row["counted"]
    self._rounds = row["rounds"]
    self.reads = self._timed["reads"]
    self.unanswered = self._timed["unanswered"]

  def percentile(self, name):
    """ns that all reads but a share do not exceed; inf: some did not return."""
    return self._above(SHARES_ABOVE[name] * self.reads)

  def longest(self):
    return self._above(0)

  def _above(self, allowed):
    above = self.reads
    for cycles, count in self._timed["cycles"]:
      above -= count
      if above <= allowed:
        return cycles * self._ns
    return math.inf

  def of_rounds(self, name):
    """Returns the percentile of each round, in ns, of those that have it."""
    place = ROUND_PERCENTILES.index(name)
    return [each[place] * self._ns for each in self._rounds
            if len(each) > place]

  def steps(self):
    """Yields (ns, share of reads that took longer)."""
    above = self.reads
    for cycles, count in self._timed["cycles"]:
      above -= count
      yield cycles * self._ns, above / self.reads

  def retries(self, slow_ns):
    """Of the counted reads; slow ones took longer than slow_ns."""
    counted = self._counted

    def slower(histogram):
      return sum(count for cycles, count in histogram
                 if cycles * self._ns > slow_ns)

    publications = counted["publications"]
    return Retries(
        counted["reads"], publications,
        sum(count for _, count in counted["cycles_of_retried"]),
        counted["retries"] / publications if publications else 0,
        slower(counted["cycles"]), slower(counted["cycles_of_retried"]))


def load(path):
  """Returns {(reader, writer): Tail}, in the order of the file."""
  with open(path) as file:
    document = json.load(file)
  tails = [Tail(row, 1e9 / document["counter_hz"]) for row in document["rows"]]
  return {(each.reader, each.writer): each for each in tails}


def ns_or_never(ns):
  return "never" if math.isinf(ns) else "%.0f" % ns


def _curve(tail):
  """Returns the lines of one curve of gnuplot's, below its title."""
  lines, before = ['"%s"' % tail.writer, "10 1"], 1.0
  for ns, above in tail.steps():
    lines.append("%.4g %.4g" % (ns, before))
    if above:
      lines.append("%.4g %.4g" % (ns, above))
    before = above
  if tail.unanswered:
    lines.append("1e9 %.4g" % (tail.unanswered / tail.reads))
  return "\n".join(lines) + "\n"


def write_plots(tails, path_of):
  """Writes a file for each reader, with a block of `ns share` for each writer:
  the share of reads that took longer. What did not return took longer than
  anything."""
  for reader in {tail.reader for tail in tails.values()}:
    with open(path_of("tail_%s.dat" % reader), "w") as file:
      file.write("\n\n".join(_curve(tail) for tail in tails.values()
                             if tail.reader == reader))


def percentile_table(tails):
  """Yields rows of words: the header first."""
  yield ["reader", "writer", "reads", *SHARES_ABOVE, "max", "did not return",
         "p99.99 of a round, median"]
  for tail in tails.values():
    rounds = tail.of_rounds("p99.99")
    yield [tail.reader, tail.writer, "%.3g" % tail.reads,
           *(ns_or_never(tail.percentile(name)) for name in SHARES_ABOVE),
           ns_or_never(tail.longest()),
           "%.4g %%" % (100 * tail.unanswered / tail.reads),
           "%.0f" % statistics.median(rounds) if rounds else "never"]


def retry_table(tails):
  """Yields rows of words: the header first. Slow: beyond the 99.99th percentile
  of vvar beside none."""
  slow_ns = tails["vvar", "none"].percentile("p99.99")
  yield ["reader", "writer", "reads", "publications", "retried",
         "retries a publication", "longer than %.0f ns" % slow_ns,
         "of these retried"]
  for tail in tails.values():
    if tail.reader in ("vvar", "seqlock"):
      each = tail.retries(slow_ns)
      yield [tail.reader, tail.writer, "%.3g" % each.reads,
             "%d" % each.publications, "%d" % each.retried,
             "%.3f" % each.per_publication, "%d" % each.slow,
             "%d" % each.slow_retried]
