import { FRAME_DECODED, FRAME_OWNER, MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { describe, expect, test } from 'vitest'
import { CodeCache, MINIMUM_ARENA_BYTES } from '../src/code-cache.ts'
import { EngineError } from '../src/errors.ts'
import { OP_DEAD, OP_UNIT, RECORD_BYTES, R_LENGTH, R_OFFSET, R_OP, type RecordDecoder } from '../src/record.ts'

const FRAMES = 8

/** Instructions of two bytes, in one mode. */
class PairDecoder implements RecordDecoder {
  readonly modes = 1
  readonly longestBytes = 2
  readonly endsRun = false
  readonly extentBytes = 2
  readonly #memory: MachineMemory

  constructor(memory: MachineMemory) {
    this.#memory = memory
  }

  decode(_bytes: Uint8Array, start: number, end: number, _mode: number, record: number, offset: number): number {
    if (start + 2 > end) return 0
    this.#memory.u32.fill(0, record >>> 2, (record + RECORD_BYTES) >>> 2)
    this.#memory.u16[(record + R_OFFSET) >>> 1] = offset
    this.#memory.u8[record + R_LENGTH] = 2
    return 2
  }
}

/** A cache of the smallest size, and the first of some frames for code. */
function emptyCache(frames: number): { memory: MachineMemory; frame: number; cache: CodeCache } {
  const memory = MachineMemory.create({ bytes: 1 << 20 })
  const frame = memory.allocate(frames * PAGE_BYTES, PAGE_BYTES, 'code') / PAGE_BYTES
  return { memory, frame, cache: new CodeCache(memory, new PairDecoder(memory), MINIMUM_ARENA_BYTES) }
}

describe('the arena of a code cache', () => {
  test.each([0, -1, Number.NaN, 4096, MINIMUM_ARENA_BYTES - 1])('of %d bytes is refused', (bytes) => {
    const memory = MachineMemory.create({ bytes: 1 << 20 })
    const make = (): CodeCache => new CodeCache(memory, new PairDecoder(memory), bytes)
    expect(make).toThrow(EngineError)
    expect(make).toThrow(expect.objectContaining({ code: 'ERR_ARENA_SIZE' }))
  })

  test('of the smallest size holds what it hands out, and nothing beyond it is written', () => {
    const { memory, frame: code, cache } = emptyCache(FRAMES)
    const beyond = memory.allocate(64 << 10, 64, 'beyond the arena')
    memory.fill(beyond, 64 << 10, 0x5a)
    for (let i = 0; i < 200; i++) {
      const frame = code + (i % FRAMES)
      const offset = (i * 22) % (PAGE_BYTES - 2)
      expect(cache.record(cache.page(frame, 0), offset)).not.toBe(0)
      const second = cache.page(code + ((i + 1) % FRAMES), 0)
      let crossing = cache.crossing(cache.page(frame, 0), PAGE_BYTES - 1, second)
      if (crossing === 0) {
        cache.flush()
        crossing = cache.crossing(cache.page(frame, 0), PAGE_BYTES - 1, cache.page(second.frame, 0))
      }
      expect(crossing).not.toBe(0)
    }
    expect(memory.read(beyond, 64 << 10).every((byte) => byte === 0x5a)).toBe(true)
    expect(cache.flushes).toBeGreaterThan(50)
  })

  test('that is flushed before a run keeps breakpoints: the run ends before one, which has no slot', () => {
    const { memory, frame, cache } = emptyCache(1)
    let page = cache.page(frame, 0)
    cache.trap(page, new Set([4]))
    for (let offset = 100; cache.flushes === 0; offset += 64) cache.record(cache.page(frame, 0), offset)
    page = cache.page(frame, 0)
    cache.record(page, 0)
    const trapped = cache.record(page, 4)
    expect([0, 2, 4, 6].map((offset) => memory.u32[(page.slots >>> 2) + offset] !== 0)).toEqual([
      true,
      true,
      false,
      false,
    ])
    expect([trapped, cache.record(page, 4)]).toEqual([trapped, trapped])
    cache.breakpointsChanged()
    expect(memory.u16[(trapped + R_OP) >>> 1]! & OP_DEAD).toBe(OP_DEAD)
    cache.record(page, 0)
    expect(memory.u32[(page.slots >>> 2) + 6]).not.toBe(0)
  })

  test('is flushed before a run of instructions that may not fit', () => {
    const { memory, frame: code, cache } = emptyCache(FRAMES)
    const beyond = memory.allocate(64 << 10, 64, 'beyond the arena')
    memory.fill(beyond, 64 << 10, 0x5a)
    // Instructions at even places, then at odd ones: only as long runs of one page as there can be.
    for (let frame = code; cache.flushes < 3; frame = code + ((frame - code + 1) % FRAMES))
      for (const first of [0, 1])
        for (let offset = first; offset < PAGE_BYTES - 2; offset += 2) cache.record(cache.page(frame, 0), offset)
    expect(memory.read(beyond, 64 << 10).every((byte) => byte === 0x5a)).toBe(true)
  })
})

describe('a unit', () => {
  function withUnit(): { memory: MachineMemory; cache: CodeCache; frame: number; record: number; unit: number } {
    const { memory, frame, cache } = emptyCache(2)
    const page = cache.page(frame, 0)
    const record = cache.record(page, 6)
    return { memory, cache, frame, record, unit: cache.addUnit([{ page, ranges: [6, 8] }], 6, record, 1) }
  }

  test('takes the place of the instruction that it begins with', () => {
    const { memory, cache, frame, unit } = withUnit()
    expect(cache.record(cache.page(frame, 0), 6)).toBe(unit)
    expect(memory.u16[(unit + R_OP) >>> 1]).toBe(OP_UNIT)
  })

  test('that is removed gives the place back, and ends where it is still linked to', () => {
    const { memory, cache, frame, record, unit } = withUnit()
    cache.removeUnit(unit)
    expect(cache.record(cache.page(frame, 0), 6)).toBe(record)
    expect(memory.u16[(unit + R_OP) >>> 1]).toBe(OP_UNIT | OP_DEAD)
  })

  test('that is removed leaves a later unit in its place', () => {
    const { cache, frame, record, unit } = withUnit()
    const page = cache.page(frame, 0)
    const later = cache.addUnit([{ page, ranges: [6, 8] }], 6, record, 2)
    cache.removeUnit(unit)
    expect(cache.record(page, 6)).toBe(later)
  })

  test('is not made where the arena has no room for its record', () => {
    const { cache, frame, record } = withUnit()
    const page = cache.page(frame, 0)
    const most = MINIMUM_ARENA_BYTES / RECORD_BYTES
    const made: number[] = []
    for (let i = 0; i < most && made.at(-1) !== 0; i++)
      made.push(cache.addUnit([{ page, ranges: [6, 8] }], 6, record, 1))
    expect(made.at(-1)).toBe(0)
    expect(new Set(made).size).toBe(made.length)
    expect(cache.usedBytes).toBeLessThanOrEqual(MINIMUM_ARENA_BYTES)
    expect(cache.usedBytes).toBeGreaterThan(MINIMUM_ARENA_BYTES - RECORD_BYTES)
  })
})

describe('a write to a frame with code', () => {
  /** Instructions from 0 on, all of them decoded, and a unit of those from 8 to 11. */
  function decoded(): {
    cache: CodeCache
    frame: number
    write: (first: number, last?: number) => void
    isDead: (record: number) => boolean
    unit: number
  } {
    const { memory, frame, cache } = emptyCache(2)
    const page = cache.page(frame, 0)
    cache.record(page, 0)
    return {
      cache,
      frame,
      write: (first, last = first) => memory.noteWrite(frame * PAGE_BYTES + first, last - first + 1),
      isDead: (record) => (memory.u16[(record + R_OP) >>> 1]! & OP_DEAD) !== 0,
      unit: cache.addUnit([{ page, ranges: [8, 12] }], 8, cache.record(page, 8), 1, [1, 2, 3]),
    }
  }

  test.each([
    { first: 2, last: 2, ends: [2] },
    { first: 3, last: 3, ends: [2] },
    { first: 3, last: 4, ends: [2, 4] },
    { first: 12, last: 15, ends: [12, 14] },
    { first: 64, last: 80, ends: [] },
  ])('ends the records of the bytes from $first to $last, and no others', ({ first, last, ends }) => {
    const { cache, frame, write, isDead, unit } = decoded()
    const page = cache.page(frame, 0)
    const all = Array.from({ length: 32 }, (_, i) => ({ offset: 2 * i, record: cache.record(page, 2 * i) }))
    write(first, last)
    expect(all.filter(({ record }) => isDead(record)).map(({ offset }) => offset)).toEqual(ends)
    expect(isDead(unit)).toBe(false)
    const { decoded: before } = cache
    for (const { offset, record } of all) expect(cache.record(page, offset) === record).toBe(!ends.includes(offset))
    expect(cache.decoded - before).toBe(ends.length)
    expect(cache.invalidations).toBe(ends.length > 0 ? 1 : 0)
  })

  test.each([
    { at: 7, isEnded: false },
    { at: 8, isEnded: true },
    { at: 11, isEnded: true },
    { at: 12, isEnded: false },
  ])('at byte $at ends a unit of the bytes from 8 to 11: $isEnded', ({ at, isEnded }) => {
    const { cache, frame, write, isDead, unit } = decoded()
    write(at)
    expect(isDead(unit)).toBe(isEnded)
    expect(cache.record(cache.page(frame, 0), 8) === unit).toBe(!isEnded)
    cache.removeUnit(unit)
    expect(isDead(unit)).toBe(true)
  })

  test('ends an instruction in two pages, whichever of them is written', () => {
    const { cache, frame, write, isDead } = decoded()
    for (const at of [PAGE_BYTES - 1, PAGE_BYTES]) {
      const page = cache.page(frame, 0)
      const record = cache.crossing(page, PAGE_BYTES - 1, cache.page(frame + 1, 0))
      expect(cache.record(page, PAGE_BYTES - 1)).toBe(record)
      write(at)
      expect([isDead(record), isDead(record + RECORD_BYTES)]).toEqual([true, true])
      expect(cache.record(page, PAGE_BYTES - 1)).toBe(0)
    }
  })

  test('many times, with nothing decoded in between, drops all of its records', () => {
    const { cache, frame, write, isDead } = decoded()
    const record = cache.record(cache.page(frame, 0), 40)
    for (let i = 0; i < 20; i++) {
      write(2)
      cache.record(cache.page(frame, 0), 2)
    }
    expect(isDead(record)).toBe(false)
    for (let at = 0; at < 34; at += 2) write(at)
    expect(isDead(record)).toBe(true)
  })

  test('beside its code is spared more often each time that the frame has lost its code', () => {
    const { cache, frame, write } = decoded()
    const writes = [0, 0, 0].map(() => {
      const { invalidations } = cache
      cache.record(cache.page(frame, 0), 0)
      for (let count = 1; ; count++) {
        write(0x800)
        if (cache.invalidations > invalidations) return count
      }
    })
    expect(writes).toEqual([257, 513, 1025])
  })
})

test('a frame whose records are dropped is not marked as code any more; its other marks stay', () => {
  const { memory, frame, cache } = emptyCache(1)
  const others = 0xff & ~FRAME_DECODED
  const all = others | FRAME_OWNER
  memory.codeBits[frame]! |= others
  cache.record(cache.page(frame, 0), 6)
  expect(memory.codeBits[frame]).toBe(all)
  cache.invalidateFrame(frame)
  expect(memory.codeBits[frame]).toBe(others)
  expect(cache.record(cache.page(frame, 0), 6)).not.toBe(0)
  expect(memory.codeBits[frame]).toBe(all)
})
