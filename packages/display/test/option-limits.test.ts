/** What a caller may give at most and at least, and what is just beyond. */
import { describe, expect, test } from 'vitest'
import { Screen, TerminalPicture } from '../src/index.ts'

/** An option, values that it takes, and values that it refuses. */
interface Limits {
  readonly what: string
  readonly make: (value: number) => unknown
  readonly good: readonly number[]
  readonly bad: readonly number[]
}

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

describe('options', () => {
  test.each(LIMITS)('$what', ({ make, good, bad }) => {
    for (const value of good) expect(() => make(value), `${value}`).not.toThrow()
    for (const value of bad)
      expect(() => make(value), `${value}`).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }))
  })
})
