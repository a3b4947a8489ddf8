import { expect, test } from 'vitest'
import * as layout from '../src/state/state-layout.ts'
import * as system from '../src/state/system-state.ts'

// Two files hand out the offsets of the state area.

/** Bytes of what is more than one 64-bit word. */
const BYTES: Readonly<Record<string, number>> = {
  S_GPR: 0x80,
  S_SEGMENTS: 0x140,
  S_DR: 0x40,
  S_PDPTE: 0x20,
  S_DATA: 0x40,
  S_FPR: 0x80,
  S_XMM: 0x800,
  S_SCRATCH: 0x100,
  S_PINNED: 0x40,
  S_ENTRY: 0x20,
  S_MTRR_FIXED: 0x58,
  S_MTRR_VARIABLE: 0x80,
  S_MC_CTL: 0x20,
  S_MC_ADDR: 0x20,
  S_MC_MISC: 0x20,
}

test('no field of the state area lies in another', () => {
  const fields = Object.entries({ ...layout, ...system })
    .filter((entry): entry is [string, number] => entry[0].startsWith('S_') && typeof entry[1] === 'number')
    .toSorted((a, b) => a[1] - b[1])
  expect(fields.length).toBeGreaterThan(100)
  const overlaps = fields.flatMap(([name, offset], i) => {
    const [next, nextOffset] = fields[i + 1] ?? ['', Infinity]
    return offset + (BYTES[name] ?? 4) > nextOffset ? [`${name} and ${next}`] : []
  })
  expect(overlaps).toEqual([])
})
