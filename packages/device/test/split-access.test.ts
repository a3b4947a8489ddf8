/** How an access is cut into the calls that a range takes. */
import { describe, expect, test } from 'vitest'
import { SplitAccess, type PlacedRange } from '../src/host/index.ts'

const BASE = 0x100
const DATA = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]
const lo = 0x4433_2211
const hi = 0x8877_6655

/** A range of 16 bytes of memory, and the calls that it has seen. */
function memory(maximumAccess: number, minimumAccess: number) {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  const calls: [size: number, offset: number][] = []
  const range: PlacedRange = {
    base: BASE,
    length: 16,
    maximumAccess,
    minimumAccess,
    handler: {
      read(offset, size) {
        calls.push([size, offset])
        if (size === 4) return view.getUint32(offset, true)
        return size === 2 ? view.getUint16(offset, true) : view.getUint8(offset)
      },
      write(offset, size, value) {
        calls.push([size, offset])
        if (size === 4) view.setUint32(offset, value, true)
        else if (size === 2) view.setUint16(offset, value, true)
        else view.setUint8(offset, value)
      },
      read64(offset, into) {
        calls.push([8, offset])
        into.lo = view.getUint32(offset, true)
        into.hi = view.getUint32(offset + 4, true)
      },
      write64(offset, low, high) {
        calls.push([8, offset])
        view.setUint32(offset, low, true)
        view.setUint32(offset + 4, high, true)
      },
    },
  }
  const source = { regionAt: (_kind: string, at: number) => (at >= BASE && at < BASE + 16 ? range : null) }
  return { source, bytes, calls }
}

const LIMITS = [1, 2, 4].flatMap((least) =>
  [1, 2, 4, 8].filter((most) => most >= least).map((most) => ({ least, most })),
)

describe.each(LIMITS)('a range of calls of $least to $most bytes', ({ least, most }) => {
  test.each(['at once', 'later'])('has the bytes that are written, wherever and however many: %s', async (when) => {
    const request = { signal: new AbortController().signal } as never
    for (let offset = -8; offset <= 15; offset++) {
      for (let size = 1; size <= 8; size++) {
        const { source, bytes, calls } = memory(most, least)
        const access = new SplitAccess()
        const make = async (read: boolean): Promise<void> => {
          access.begin(source, 'mmio', BASE + offset, size, read ? 0 : lo, read ? 0 : hi)
          while (access.next()) {
            if (when === 'at once') access.call(read)
            else await access.callLater(read, request)
          }
        }
        await make(false)
        const expected = new Uint8Array(16)
        for (let i = 0; i < size; i++) if (offset + i >= 0) expected[offset + i] = DATA[i] ?? 0
        await make(true)
        let read = 0n
        for (let i = size - 1; i >= 0; i--) {
          const inside = offset + i >= 0 && offset + i < 16
          read = (read << 8n) | BigInt(inside ? (DATA[i] ?? 0) : 0xff)
        }
        const got = (BigInt(access.hi) << 32n) | BigInt(access.lo)
        expect({ offset, size, bytes, got }).toEqual({ offset, size, bytes: expected, got: read })
        for (const [bytesOfCall, at] of calls) {
          expect([bytesOfCall >= least && bytesOfCall <= most, at >= 0 && at + bytesOfCall <= 16]).toEqual([true, true])
        }
      }
    }
  })
})
