import { expect, test } from 'vitest'
import { ArrivingPages } from '../src/pages.ts'

/** Beyond the frames that a word beside its flag can name. */
const MOST = 0x8000_0000

test.each([
  { frames: [] },
  { frames: [{ gfn: 0, count: 1 }] },
  { frames: [{ gfn: MOST - 2, count: 2 }] },
  {
    frames: [
      { gfn: 1, count: 2 },
      { gfn: 3, count: 1 },
    ],
  },
])('frames of a guest that arrives: $frames', ({ frames }) => {
  expect(() => new ArrivingPages(frames)).not.toThrow()
})

test.each([
  { frames: [{ gfn: 0, count: 0 }] },
  { frames: [{ gfn: 5, count: -1 }] },
  { frames: [{ gfn: -1, count: 1 }] },
  { frames: [{ gfn: MOST - 2, count: 3 }] },
  { frames: [{ gfn: MOST, count: 1 }] },
  { frames: [{ gfn: 0.5, count: 1 }] },
  { frames: [{ gfn: 0, count: 1.5 }] },
  { frames: [{ gfn: 0, count: NaN }] },
  {
    frames: [
      { gfn: 1, count: 2 },
      { gfn: 2, count: 1 },
    ],
  },
  {
    frames: [
      { gfn: 1, count: 1 },
      { gfn: 0, count: 1 },
    ],
  },
  { frames: [null as unknown as { gfn: number; count: number }] },
])('frames that no guest has are refused: $frames', ({ frames }) => {
  const make = (): unknown => new ArrivingPages(frames)
  expect(make).toThrow(expect.objectContaining({ code: 'ERR_PROTOCOL' }))
})
