/** What a caller may give at most and at least, and what is just beyond. */
import { type Limits, testLimits } from '@retrap/tooling/limits'
import { Screen, TerminalPicture } from '../src/index.ts'

const LIMITS: readonly Limits[] = [
  {
    what: 'intervalMs',
    make: (intervalMs) => new Screen({ intervalMs }),
    good: [0.1, 1, 60_000],
    bad: [0, -1, 60_001, NaN, Infinity],
  },
  {
    what: 'columns',
    make: (columns) => new TerminalPicture(new Screen(), { columns, rows: 1 }),
    good: [1, 1000],
    bad: [0, 1001, 1.5],
  },
  {
    what: 'rows',
    make: (rows) => new TerminalPicture(new Screen(), { columns: 1, rows }),
    good: [1, 1000],
    bad: [0, 1001, 1.5],
  },
]

testLimits(LIMITS)
