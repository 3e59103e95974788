"""The mutants: single edits of a header that some check must reject.

A mutant is one slip that somebody made elsewhere, or could make here. Its name
says what is wrong with the edited header, `why` what would come of that. `old`
is there exactly once; `check` is the one that must fail:

    gtest <folder>:<test> <Suite.Name> [flags]   an assertion of that test
    compile <file> <message>                     a static_assert
    object <target>-<compiler>                   tests/build's freestanding object
    house <script> <case>                        tests/house/<script>.py
    explorer <build> <kind>, golden <build>      tests/explorer's two scripts
    i386 <case>                                  tests/vvar/words_of_32_bits_test.py
"""

import collections

Mutant = collections.namedtuple("Mutant", "name traps path old new why check")


def rows_of(path, *rows):
  """Returns mutants of one header from (name, traps, old, new, why, check)."""
  return [Mutant(name, traps, path, old, new, why, check)
          for name, traps, old, new, why, check in rows]
