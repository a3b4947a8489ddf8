import { FRAME_DECODED, MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { describe, expect, test } from 'vitest'
import { CodeCache, MINIMUM_ARENA_BYTES } from '../src/code-cache.ts'
import { EngineError } from '../src/errors.ts'
import { OP_DEAD, OP_UNIT, RECORD_BYTES, R_LENGTH, R_OFFSET, R_OP } from '../src/record.ts'
import type { RecordDecoder } from '../src/record-decoder.ts'

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

describe('the arena of a code cache', () => {
  test.each([0, -1, Number.NaN, 4096, MINIMUM_ARENA_BYTES - 1])('of %d bytes is refused', (bytes) => {
    const memory = MachineMemory.create({ bytes: 1 << 20 })
    const make = (): CodeCache => new CodeCache(memory, new PairDecoder(memory), bytes)
    expect(make).toThrow(EngineError)
    expect(make).toThrow(expect.objectContaining({ code: 'ERR_ARENA_SIZE' }))
  })

  test('of the smallest size holds what it hands out, and nothing beyond it is written', () => {
    const memory = MachineMemory.create({ bytes: 1 << 20 })
    const code = memory.allocate(FRAMES * PAGE_BYTES, PAGE_BYTES, 'code') / PAGE_BYTES
    const cache = new CodeCache(memory, new PairDecoder(memory), MINIMUM_ARENA_BYTES)
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

  test('is flushed before a run of instructions that may not fit', () => {
    const memory = MachineMemory.create({ bytes: 1 << 20 })
    const code = memory.allocate(FRAMES * PAGE_BYTES, PAGE_BYTES, 'code') / PAGE_BYTES
    const cache = new CodeCache(memory, new PairDecoder(memory), MINIMUM_ARENA_BYTES)
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
    const memory = MachineMemory.create({ bytes: 1 << 20 })
    const frame = memory.allocate(2 * PAGE_BYTES, PAGE_BYTES, 'code') / PAGE_BYTES
    const cache = new CodeCache(memory, new PairDecoder(memory), MINIMUM_ARENA_BYTES)
    const page = cache.page(frame, 0)
    const record = cache.record(page, 6)
    return { memory, cache, frame, record, unit: cache.addUnit([page], 6, record, 1) }
  }

  test('takes the place of the instruction that it begins with', () => {
    const { memory, cache, frame, unit } = withUnit()
    expect(cache.record(cache.page(frame, 0), 6)).toBe(unit)
    expect(memory.u16[(unit + R_OP) >>> 1]).toBe(OP_UNIT)
  })

  test('that is removed gives the place back, and ends where it is still linked to', () => {
    const { memory, cache, frame, record, unit } = withUnit()
    cache.removeUnit(unit, cache.page(frame, 0))
    expect(cache.record(cache.page(frame, 0), 6)).toBe(record)
    expect(memory.u16[(unit + R_OP) >>> 1]).toBe(OP_UNIT | OP_DEAD)
  })

  test('that is removed leaves a later unit in its place', () => {
    const { cache, frame, record, unit } = withUnit()
    const page = cache.page(frame, 0)
    const later = cache.addUnit([page], 6, record, 2)
    cache.removeUnit(unit, page)
    expect(cache.record(page, 6)).toBe(later)
  })

  test('is not made where the arena has no room for its record', () => {
    const { cache, frame, record } = withUnit()
    const page = cache.page(frame, 0)
    const most = MINIMUM_ARENA_BYTES / RECORD_BYTES
    const made: number[] = []
    for (let i = 0; i < most && made.at(-1) !== 0; i++) made.push(cache.addUnit([page], 6, record, 1))
    expect(made.at(-1)).toBe(0)
    expect(new Set(made).size).toBe(made.length)
    expect(cache.usedBytes).toBeLessThanOrEqual(MINIMUM_ARENA_BYTES)
    expect(cache.usedBytes).toBeGreaterThan(MINIMUM_ARENA_BYTES - RECORD_BYTES)
  })
})

test('a frame whose records are dropped is not marked as code any more; its other marks stay', () => {
  const memory = MachineMemory.create({ bytes: 1 << 20 })
  const frame = memory.allocate(PAGE_BYTES, PAGE_BYTES, 'code') / PAGE_BYTES
  const cache = new CodeCache(memory, new PairDecoder(memory), MINIMUM_ARENA_BYTES)
  const others = 0xff & ~FRAME_DECODED
  memory.codeBits[frame]! |= others
  cache.record(cache.page(frame, 0), 6)
  expect(memory.codeBits[frame]).toBe(0xff)
  cache.invalidateFrame(frame)
  expect(memory.codeBits[frame]).toBe(others)
  expect(cache.record(cache.page(frame, 0), 6)).not.toBe(0)
  expect(memory.codeBits[frame]).toBe(0xff)
})
