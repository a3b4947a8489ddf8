import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeFrame, type Frame, FrameDecoder } from '../src/agent/frames.ts'

describe('frames of the agent', () => {
  test('numbers are little-endian, and texts end in a zero byte', () => {
    const frame = [12 + 10, 0, 0, 0, 5, 1, 2, 0, 0, 4, 3, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0xc3, 0xa9, 0, 7, 8]
    expect([...encodeFrame(5, 0x201, 0x1020304, 1n, 'é', Uint8Array.of(7, 8))]).toEqual(frame)
  })

  test('a stream decodes to its frames wherever it is cut, in a copy, too', () => {
    const frame = fc.record({ type: fc.nat(255), id: fc.nat(), payload: fc.uint8Array({ maxLength: 40 }) })
    const property = fc.property(fc.array(frame), fc.array(fc.nat(60)), fc.nat(9), (frames, cuts, copied) => {
      let bytes = Buffer.concat(frames.map(({ type, id, payload }) => encodeFrame(type, id, payload)))
      let decoder = new FrameDecoder()
      const decoded: Frame[] = []
      for (const [index, cut] of [...cuts, bytes.length].entries()) {
        const piece = Uint8Array.from(bytes.subarray(0, cut))
        if (index === copied) {
          const original = decoder
          decoder = original.copy()
          original.push(piece)
        }
        decoded.push(...decoder.push(piece))
        piece.fill(0xff)
        bytes = bytes.subarray(cut)
      }
      expect(decoded).toEqual(frames)
    })
    fc.assert(property)
  })

  test.each([
    { given: 'shorter than its header', length: 4 },
    { given: 'longer than 512 KiB', length: 512 * 1024 + 1 },
  ])('a frame $given is an error', ({ length }) => {
    const bytes = new Uint8Array(9)
    new DataView(bytes.buffer).setUint32(0, length, true)
    expect(() => new FrameDecoder().push(bytes)).toThrow(`A frame from the agent has ${length} bytes`)
  })
})
