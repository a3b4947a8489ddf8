// When a hot place is compiled: early while compiling takes little of the time, at the threshold in any case.
import { describe, expect, test } from 'vitest'
import { CompileCredit } from '../../src/jit/compile-credit.ts'

const POLICY = { earliest: 10_000, share: 0.1 }

const PLACE = 0x1000
const OTHER = 0x2000

/** A credit of a threshold of 50,000, all of which has been spent by compiling for a second. */
function spent(): CompileCredit {
  const credit = new CompileCredit({ ...POLICY, threshold: 50_000 }, 0)
  expect(credit.grants(OTHER, true, 0, 0)).toBe(true)
  expect(credit.grants(OTHER, true, 1000, 1000)).toBe(false)
  return credit
}

describe('how often a place asks', () => {
  test.each([
    { threshold: 1, interval: 1 },
    { threshold: 9999, interval: 9999 },
    { threshold: 10_000, interval: 10_000 },
    { threshold: 100_000, interval: 10_000 },
  ])('threshold $threshold: every $interval branches', ({ threshold, interval }) => {
    expect(new CompileCredit({ ...POLICY, threshold }, 0).interval).toBe(interval)
  })
})

describe('a place', () => {
  test('is compiled at once where little has been compiled', () => {
    expect(new CompileCredit({ ...POLICY, threshold: 50_000 }, 0).grants(PLACE, true, 0, 0)).toBe(true)
  })

  test('is compiled at the threshold where much has been', () => {
    const credit = spent()
    const answers = [1, 2, 3, 4, 5].map(() => credit.grants(PLACE, true, 1000, 1000))
    expect(answers).toEqual([false, false, false, false, true])
    // Its count begins anew.
    expect(credit.grants(PLACE, true, 1000, 1000)).toBe(false)
  })

  test('is compiled again when nine times as much time has passed as was spent, but for the first 50 ms', () => {
    const credit = spent()
    // 50 + 100 - 1000, and a tenth of the time from then on.
    expect(credit.grants(PLACE, true, 1000 + 8500, 1000)).toBe(false)
    expect(credit.grants(PLACE, true, 1000 + 8501, 1000)).toBe(true)
  })

  test('does not save more credit than 50 ms', () => {
    const credit = new CompileCredit({ ...POLICY, threshold: 50_000 }, 0)
    expect(credit.grants(PLACE, true, 1_000_000, 0)).toBe(true)
    expect(credit.grants(PLACE, true, 1_000_000, 49)).toBe(true)
    expect(credit.grants(PLACE, true, 1_000_000, 50)).toBe(false)
  })

  test('is not compiled early where its code is written again and again', () => {
    const credit = new CompileCredit({ ...POLICY, threshold: 50_000 }, 0)
    const answers = [1, 2, 3, 4, 5].map(() => credit.grants(PLACE, false, 0, 0))
    expect(answers).toEqual([false, false, false, false, true])
  })

  test('is forgotten with all others', () => {
    const credit = spent()
    for (let i = 0; i < 4; i++) credit.grants(PLACE, true, 1000, 1000)
    credit.refusals.clear()
    expect(credit.grants(PLACE, true, 1000, 1000)).toBe(false)
  })
})

test('a place below the earliest count is compiled at its threshold whatever was spent', () => {
  const credit = new CompileCredit({ ...POLICY, threshold: 200 }, 0)
  credit.grants(OTHER, true, 1000, 1000)
  expect(credit.grants(PLACE, true, 1000, 1000)).toBe(true)
})
