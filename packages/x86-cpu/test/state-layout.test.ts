import { expect, test } from 'vitest'
import * as layout from '../src/state/state-layout.ts'
import * as system from '../src/state/system-state.ts'
import { SAVED } from '../src/extended/processor.ts'
import { PENDING, REGISTERS, X87 } from '../src/system/saved-state.ts'

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
  S_EGPR: 0x80,
  S_OPMASK: 0x40,
  S_TILECFG: 0x40,
  S_TMM: 0x2000,
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

/** Fields that are no state of the guest's, and yet live on: constants, what is derived from that state, and the engine's own. */
const KEPT = [
  'S_ZERO S_TWO_TO_28 S_AMD S_POINTER_RULES S_TLB_BASE S_BULK_SHIFT S_PAIR_LOCK S_OWN_PAIR_LOCK S_COUNTERS',
  'S_CPL S_MODE S_RIP_MASK S_CANONICAL_SHIFT S_SSE_GATE S_X87_GATE S_MMX_GATE S_AVX_GATE S_VEX_GATE S_MONITOR_LINE',
  'S_NO_MASK S_EVEX_GATE S_APX_GATE S_TILE_GATE',
  'S_TLB S_ACCESS_SET S_EXECUTE_MODES S_TLB_CHANGES S_TLB_MISSES S_PAGE_BASE S_SLOTS S_RETURNS',
  'S_REGISTER_PAGE S_REGISTER_SET S_REGISTER_CHANGES S_REGISTER_WORDS S_REGISTER_MASK',
  'S_RECORD S_ENTRY S_PINNED S_BUDGET S_ITERATIONS S_ATTENTION S_FETCH_STATUS S_STEP_SUPPRESSED',
  // How far an instruction is that has begun, and 0 between two of them.
  'S_LOGGED S_ANSWERED S_MADE_AGAIN S_ELEMENT',
].flatMap((names) => names.split(' '))

test('each field is saved, overwritten between instructions in tests, or listed as one that lives on', () => {
  const saved = [...REGISTERS, ...X87, ...PENDING].map(([, offset, bytes]) => [offset, bytes] as const)
  const areas: readonly (readonly [number, number])[] = [
    ...saved,
    ...layout.POISONED_LAYOUT.poisoned!.areas,
    ...SAVED.map(([, , offset, bytes]) => [offset, bytes] as const),
    [layout.S_SEGMENTS, 0x140],
    [layout.S_FPR, 0x80],
    [layout.S_XMM, 0x800],
    // RFLAGS.
    [layout.S_EFLAGS, 0x20],
  ]
  const others = Object.entries({ ...layout, ...system }).filter(
    ([name, at]) =>
      name.startsWith('S_') && !areas.some(([from, bytes]) => (at as number) >= from && (at as number) < from + bytes),
  )
  expect(others.map(([name]) => name).toSorted()).toEqual(KEPT.toSorted())
})
