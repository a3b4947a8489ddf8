import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeFrame, encodeFrame, FrameReader, type Frame } from '../../src/host/index.ts'
import { createIoRequest, IoreqError } from '../../src/index.ts'

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

const kind = <K extends Frame['kind']>(name: K) => fc.constant(name)
/** One of each kind that there is; the compiler checks their fields. */
const frame: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({ kind: kind('hello'), version: u32, vcpus: u32, realTime: fc.boolean(), now: u64 }),
  fc.record({ kind: kind('request'), vcpu: u32, sequence: u32, now: u64, request }),
  fc.record({ kind: kind('buffered'), now: u64, request }),
  fc.record({ kind: kind('cancel'), vcpu: u32 }),
  fc.record({ kind: kind('timer'), timer: u32, deadline: u64, now: u64 }),
  fc.record({ kind: kind('reset'), now: u64 }),
  fc.record({ kind: fc.constantFrom('settle' as const, 'save' as const, 'drop' as const), call: u32 }),
  fc.record({ kind: kind('restore'), call: u32, now: u64, state: text }),
  fc.record({ kind: kind('dmaDone'), call: u32, ok: fc.boolean(), bytes }),
  fc.record({ kind: kind('detach'), device: text }),
  fc.record({ kind: kind('invalidate'), vcpu: u32, all: fc.boolean(), gone: ranges, readOnly: ranges }),
  fc.record({ kind: kind('message'), now: u64, bytes }),
  fc.record({ kind: kind('ready'), name: text }),
  fc.record({ kind: kind('claim'), type: u32, ranges, buffered: ranges }),
  fc.record({ kind: kind('answer'), vcpu: u32, sequence: u32, lo: u32, hi: u32 }),
  fc.record({ kind: kind('fault'), vcpu: u32, device: text, what: text, message: text }),
  fc.record({ kind: kind('openLine'), line: u32, irq: u32 }),
  fc.record({ kind: kind('openPin'), line: u32, device: u32, pin: u32 }),
  fc.record({ kind: kind('setLine'), line: u32, level: fc.boolean() }),
  fc.record({ kind: kind('pulseLine'), line: u32 }),
  fc.record({ kind: kind('msi'), address: f64, data: u32, requester: u32 }),
  fc.record({ kind: kind('armTimer'), timer: u32, deadline: u64 }),
  fc.record({ kind: kind('dmaRead'), call: u32, gpa: f64, length: u32 }),
  fc.record({ kind: kind('dmaWrite'), call: u32, gpa: f64, bytes }),
  fc.record({ kind: fc.constantFrom('powerOff' as const, 'resetMachine' as const, 'wantFrames' as const) }),
  fc.record({ kind: kind('modified'), gfn: f64, count: f64 }),
  fc.record({ kind: kind('exit'), code: u32 }),
  fc.record({ kind: kind('quiesce'), call: u32, deadline: f64 }),
  fc.record({ kind: kind('resume'), now: u64 }),
  fc.record({ kind: kind('ownMemory'), call: u32, memory: u32, device: text, name: text, length: f64, flags: u32 }),
  fc.record({ kind: kind('placeMemory'), placement: u32, memory: u32, gpa: f64, offset: f64, length: f64 }),
  fc.record({ kind: kind('removePlacement'), placement: u32 }),
  fc.record({ kind: kind('memoryMode'), memory: u32, trapped: fc.boolean() }),
  fc.record({ kind: kind('memoryModified'), memory: u32, offset: f64, length: f64 }),
  fc.record({ kind: kind('memoryRead'), call: u32, memory: u32, offset: f64, length: u32 }),
  fc.record({ kind: kind('memoryWrite'), call: u32, memory: u32, offset: f64, bytes }),
  fc.record({ kind: kind('memoryDirty'), call: u32, memory: u32, offset: f64, length: f64 }),
  fc.record({ kind: kind('memoryLog'), memory: u32, on: fc.boolean() }),
  fc.record({ kind: kind('freeMemory'), memory: u32 }),
  fc.record({ kind: kind('plug'), call: u32, now: u64, device: text }),
  fc.record({ kind: kind('unplug'), call: u32, now: u64, bus: text, force: fc.boolean(), deadline: f64 }),
  fc.record({ kind: kind('called'), call: u32, error: text, result: text }),
)
/** The first byte of each kind's frame. Both sides of a socket may be of different releases with one `FRAME_VERSION`. */
const CODES: Readonly<Record<Frame['kind'], number>> = {
  ...{ hello: 1, request: 2, buffered: 3, cancel: 4, timer: 5, reset: 6, settle: 7, save: 8, restore: 9, dmaDone: 10 },
  ...{ detach: 11, invalidate: 12, drop: 13, quiesce: 14, resume: 15, message: 16, plug: 17, unplug: 18 },
  ...{ ready: 32, claim: 33, answer: 34, fault: 35, openLine: 36, openPin: 37, setLine: 38, pulseLine: 39, msi: 40 },
  ...{ armTimer: 41, dmaRead: 42, dmaWrite: 43, powerOff: 44, resetMachine: 45, exit: 46, called: 47, wantFrames: 48 },
  ...{ modified: 49, ownMemory: 50, placeMemory: 51, removePlacement: 52, memoryMode: 53, memoryModified: 54 },
  ...{ memoryRead: 55, memoryWrite: 56, memoryDirty: 57, memoryLog: 58, freeMemory: 59 },
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
