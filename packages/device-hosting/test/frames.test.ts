import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeFrame, encodeFrame, FrameReader, type Frame } from '../src/index.ts'
import { type FieldType, FRAMES } from '../src/frames.ts'
import { createIoRequest, IoreqError } from '@retrap/ioreq'

const u32 = fc.integer({ min: 0, max: 0xffff_ffff })
const f64 = fc.double({ noNaN: true })
const u64 = fc.record({ lo: u32, hi: u32 })
const bytes = fc.uint8Array({ maxLength: 300, size: 'max' })
const text = fc.string({ unit: 'grapheme', maxLength: 40, size: 'max' })
const ranges = fc.array(fc.tuple(fc.nat(2 ** 31), fc.nat(2 ** 31)), { maxLength: 20, size: 'max' })
const request = fc
  .record({
    type: fc.constantFrom(0, 1, 2, 7, 8),
    direction: fc.constantFrom(0, 1),
    addressLo: u32,
    addressHi: u32,
    dataLo: u32,
    dataHi: u32,
    count: u32,
    size: fc.constantFrom(1, 2, 4, 8),
    df: fc.boolean(),
    dataIsPointer: fc.boolean(),
  })
  .map((fields) => ({ ...createIoRequest(), ...fields }))

const values = { u32, f64, u64, flag: fc.boolean(), text, bytes, ranges, ioreq: request }
/** A frame of any kind that there is. */
const frame = fc.constantFrom(...Object.entries(FRAMES)).chain(([kind, [, fields]]) => {
  const given = Object.entries(fields).map(([name, type]) => [name, values[type as FieldType]] as const)
  return fc.record({ kind: fc.constant(kind), ...Object.fromEntries(given) }) as fc.Arbitrary<unknown>
}) as fc.Arbitrary<Frame>
/** The first byte of each kind's frame. Both sides of a socket may be of different releases with one `FRAME_VERSION`. */
const CODES: Readonly<Record<Frame['kind'], number>> = {
  ...{ hello: 1, request: 2, buffered: 3, cancel: 4, timer: 5, reset: 6, settle: 7, save: 8, restore: 9, dmaDone: 10 },
  ...{ detach: 11, invalidate: 12, drop: 13, quiesce: 14, resume: 15, message: 16, plug: 17, unplug: 18, announce: 19 },
  ...{ ready: 32, claim: 33, answer: 34, fault: 35, openLine: 36, openPin: 37, setLine: 38, pulseLine: 39, msi: 40 },
  ...{ armTimer: 41, dmaRead: 42, dmaWrite: 43, powerOff: 44, resetMachine: 45, exit: 46, called: 47, wantFrames: 48 },
  ...{ modified: 49, ownMemory: 50, placeMemory: 51, removePlacement: 52, memoryMode: 53, memoryModified: 54 },
  ...{ memoryRead: 55, memoryWrite: 56, memoryDirty: 57, memoryLog: 58, freeMemory: 59, writing: 60 },
}
const runs = { numRuns: 2000, seed: 20_261_120 }

describe('frames of transports', () => {
  test('are read as they were written, however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 200 })), (frames, cuts) => {
        const stream = new Uint8Array(frames.flatMap((one) => [...encodeFrame(one)]))
        const seen: Frame[] = []
        const reader = new FrameReader((one) => void seen.push(one))
        let at = 0
        for (let i = 0; at < stream.length; i++) {
          const length = cuts.length === 0 ? stream.length : cuts[i % cuts.length]!
          reader.push(stream.subarray(at, at + length))
          at += length
        }
        expect(seen).toEqual(frames)
      }),
      runs,
    )
  })

  test('come in order where one brings further bytes while it is handled, wherever the stream is cut', () => {
    const calls = [1, 2, 3, 4]
    const stream = new Uint8Array(calls.flatMap((call) => [...encodeFrame({ kind: 'settle', call })]))
    for (let cut = 9; cut <= stream.length; cut++) {
      const seen: number[] = []
      const reader = new FrameReader((one) => {
        seen.push((one as { readonly call: number }).call)
        if (seen.length === 1) reader.push(stream.subarray(cut))
      })
      reader.push(stream.subarray(0, cut))
      expect(seen).toEqual(calls)
    }
  })

  test('keep their codes from release to release', () => {
    const seen: Partial<Record<Frame['kind'], number>> = {}
    for (const one of fc.sample(frame, runs)) seen[one.kind] = encodeFrame(one)[4] as number
    expect(seen).toEqual(CODES)
  })

  test('that are noise are refused with the package’s own error, or are frames', () => {
    const noise = fc.tuple(
      fc.constantFrom(...Array.from({ length: 64 }, (_, i) => i)),
      fc.uint8Array({ maxLength: 80, size: 'max' }),
    )
    fc.assert(
      fc.property(noise, ([code, rest]) => {
        const given = Uint8Array.of(code, ...rest)
        let read: Frame
        try {
          read = decodeFrame(given)
        } catch (error) {
          expect(error).toBeInstanceOf(IoreqError)
          expect((error as IoreqError).code).toBe('ERR_PROTOCOL')
          return
        }
        expect(typeof read.kind).toBe('string')
      }),
      { ...runs, numRuns: 20_000 },
    )
  })
})
