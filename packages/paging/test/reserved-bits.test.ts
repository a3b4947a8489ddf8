import { describe, expect, test } from 'vitest'
import { PFEC_P, PFEC_RSVD, probe, WALK_OK, WalkResult } from '../src/index.ts'
import { buildPath, contextOf, CR4, entryGpa, LMA, Memory, NXE, registersFor } from './support/guest.ts'

type Bits = readonly (number | readonly [high: number, low: number])[]

interface Row {
  readonly entry: string
  readonly mode: number
  readonly level: number
  /** The entry's value before a further bit is set in it. */
  readonly value: bigint
  readonly maxPhysicalBits?: number
  readonly pages1G?: boolean
  readonly pse36?: boolean
  readonly amd?: boolean
  readonly nxe?: boolean
  readonly reserved: Bits
}

// The table of reserved bits in SDM vol. 3A, "Reserved bits" of each paging mode. MAXPHYADDR 39, Intel, NXE, 1 GiB pages
// and PSE-36 where a row does not say otherwise.
const ROWS: readonly Row[] = [
  { entry: 'two-level PTE', mode: 2, level: 1, value: 0x7027n, reserved: [] },
  { entry: 'two-level PDE to a table', mode: 2, level: 2, value: 0x1027n, reserved: [] },
  { entry: '4 MiB PDE, MAXPHYADDR 36', mode: 2, level: 2, value: 0xa7n, maxPhysicalBits: 36, reserved: [[21, 17]] },
  { entry: '4 MiB PDE, MAXPHYADDR 39', mode: 2, level: 2, value: 0xa7n, reserved: [[21, 20]] },
  { entry: '4 MiB PDE, MAXPHYADDR 40', mode: 2, level: 2, value: 0xa7n, maxPhysicalBits: 40, reserved: [21] },
  { entry: '4 MiB PDE, MAXPHYADDR 52', mode: 2, level: 2, value: 0xa7n, maxPhysicalBits: 52, reserved: [21] },
  { entry: '4 MiB PDE without PSE-36', mode: 2, level: 2, value: 0xa7n, pse36: false, reserved: [[21, 13]] },
  { entry: 'PAE PTE', mode: 3, level: 1, value: 0x7027n, reserved: [[62, 39]] },
  { entry: 'PAE PTE, MAXPHYADDR 36', mode: 3, level: 1, value: 0x7027n, maxPhysicalBits: 36, reserved: [[62, 36]] },
  { entry: 'PAE PTE, MAXPHYADDR 52', mode: 3, level: 1, value: 0x7027n, maxPhysicalBits: 52, reserved: [[62, 52]] },
  { entry: 'PAE PTE without NXE', mode: 3, level: 1, value: 0x7027n, nxe: false, reserved: [[63, 39]] },
  { entry: 'PAE PDE to a table', mode: 3, level: 2, value: 0x1027n, reserved: [[62, 39]] },
  { entry: 'PAE PDE without NXE', mode: 3, level: 2, value: 0x1027n, nxe: false, reserved: [[63, 39]] },
  {
    entry: 'PAE 2 MiB PDE',
    mode: 3,
    level: 2,
    value: 0xa7n,
    reserved: [
      [62, 39],
      [20, 13],
    ],
  },
  {
    entry: 'PAE 2 MiB PDE without NXE',
    mode: 3,
    level: 2,
    value: 0xa7n,
    nxe: false,
    reserved: [
      [63, 39],
      [20, 13],
    ],
  },
  {
    ...{ entry: 'PAE PDPTE in memory (AMD)', mode: 3, level: 3, value: 0x2001n, amd: true },
    reserved: [1, 2, [8, 5], [63, 39]],
  },
  {
    ...{ entry: 'PAE PDPTE in memory (AMD), MAXPHYADDR 52', mode: 3, level: 3, value: 0x2001n, amd: true },
    ...{ maxPhysicalBits: 52, reserved: [1, 2, [8, 5], [63, 52]] },
  },
  ...[4, 5].flatMap((mode): Row[] => [
    { entry: `${mode}-level PTE`, mode, level: 1, value: 0x7027n, reserved: [[51, 39]] },
    {
      entry: `${mode}-level PTE, MAXPHYADDR 36`,
      mode,
      level: 1,
      value: 0x7027n,
      maxPhysicalBits: 36,
      reserved: [[51, 36]],
    },
    { entry: `${mode}-level PTE, MAXPHYADDR 52`, mode, level: 1, value: 0x7027n, maxPhysicalBits: 52, reserved: [] },
    { entry: `${mode}-level PTE without NXE`, mode, level: 1, value: 0x7027n, nxe: false, reserved: [63, [51, 39]] },
    { entry: `${mode}-level PDE to a table`, mode, level: 2, value: 0x1027n, reserved: [[51, 39]] },
    {
      entry: `${mode}-level 2 MiB PDE`,
      mode,
      level: 2,
      value: 0xa7n,
      reserved: [
        [51, 39],
        [20, 13],
      ],
    },
    {
      ...{ entry: `${mode}-level 2 MiB PDE without NXE`, mode, level: 2, value: 0xa7n, nxe: false },
      reserved: [63, [51, 39], [20, 13]],
    },
    { entry: `${mode}-level PDPTE to a table`, mode, level: 3, value: 0x2027n, reserved: [[51, 39]] },
    {
      entry: `${mode}-level 1 GiB PDPTE`,
      mode,
      level: 3,
      value: 0xa7n,
      reserved: [
        [51, 39],
        [29, 13],
      ],
    },
    {
      ...{ entry: `${mode}-level PDPTE, no 1 GiB pages`, mode, level: 3, value: 0x2027n, pages1G: false },
      reserved: [7, [51, 39]],
    },
    { entry: `${mode}-level PML4E`, mode, level: 4, value: 0x3027n, reserved: [7, [51, 39]] },
    { entry: `${mode}-level PML4E (AMD)`, mode, level: 4, value: 0x3027n, amd: true, reserved: [7, 8, [51, 39]] },
    {
      entry: `${mode}-level PML4E without NXE`,
      mode,
      level: 4,
      value: 0x3027n,
      nxe: false,
      reserved: [7, 63, [51, 39]],
    },
  ]),
  { entry: 'PML5E', mode: 5, level: 5, value: 0x4027n, reserved: [7, [51, 39]] },
  { entry: 'PML5E (AMD)', mode: 5, level: 5, value: 0x4027n, amd: true, reserved: [7, 8, [51, 39]] },
  { entry: 'PML5E, MAXPHYADDR 46', mode: 5, level: 5, value: 0x4027n, maxPhysicalBits: 46, reserved: [7, [51, 46]] },
]

function contains(bits: Bits, bit: number): boolean {
  return bits.some((each) => (typeof each === 'number' ? each === bit : bit <= each[0] && bit >= each[1]))
}

describe.each(ROWS)('$entry', (row) => {
  const linear = 0x12_3456_7000n & (row.mode < 4 ? 0xffff_ffffn : ~0n)
  const { maxPhysicalBits = 39, pages1G = true, pse36 = true, amd = false, nxe = true } = row
  const registers = registersFor(row.mode)
  const context = contextOf({
    ...registers,
    cpu: { maxPhysicalBits, pages1G, pse36, amd },
    cr4: registers.cr4 | CR4.PSE,
    efer: (row.mode >= 4 ? LMA : 0) | (nxe ? NXE : 0),
  })

  /** The outcome of a read with a value in the entry: 'reserved', or anything else. */
  const isReserved = (value: bigint): boolean => {
    const memory = new Memory()
    buildPath(memory, row.mode, linear, 0x7000n)
    if (row.mode === 3 && !amd) context.loadPdptes(memory)
    memory.store(entryGpa(row.mode, row.level, linear), value)
    const result = new WalkResult()
    const status = probe(context, memory, Number(linear & 0xffff_ffffn), Number(linear >> 32n), 0, result)
    if (status === WALK_OK || (result.pfec & PFEC_RSVD) === 0) return false
    expect([result.pfec, result.level]).toEqual([PFEC_P | PFEC_RSVD, row.level])
    return true
  }

  test('reserved bits, and no others, fault', () => {
    expect(isReserved(row.value)).toBe(false)
    const wrong: string[] = []
    for (let bit = 1; bit < (row.mode === 2 ? 32 : 64); bit++) {
      // Bit 7 makes another row's entry of one that can be large; a changed address leads elsewhere, but not to RSVD.
      const changesKind = bit === 7 && (row.level === 2 || (row.level === 3 && row.mode >= 4 && pages1G))
      if (changesKind) continue
      const expected = contains(row.reserved, bit)
      if (isReserved(row.value | (1n << BigInt(bit))) !== expected) wrong.push(`bit ${bit}: ${!expected}`)
    }
    expect(wrong).toEqual([])
  })

  test('reserved bits mean nothing in an entry that is not present', () => {
    expect(isReserved(~0n & ~1n & (row.mode === 2 ? 0xffff_ffffn : (1n << 64n) - 1n))).toBe(false)
  })
})

test('a reserved bit above counts before a missing entry below, and after a missing one above', () => {
  const memory = new Memory()
  buildPath(memory, 4, 0n, 0x7000n)
  memory.store(entryGpa(4, 3, 0n), 0x2027n | (1n << 50n))
  memory.store(entryGpa(4, 2, 0n), 0n)
  const result = new WalkResult()
  const context = contextOf(registersFor(4))
  probe(context, memory, 0, 0, 0, result)
  expect([result.pfec, result.level]).toEqual([9, 3])
  memory.store(entryGpa(4, 4, 0n), 0x3026n)
  probe(context, memory, 0, 0, 0, result)
  expect([result.pfec, result.level]).toEqual([0, 4])
})
