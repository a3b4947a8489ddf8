import { ARM_BOARD_LACKS, hasArmBoard } from '@retrap/tooling/arm-payload'
import { skipNote } from '@retrap/tooling/skip'
import { runSoak } from '@retrap/tooling/soak'
import * as gic from '@retrap/irqchip/gic'
import { expect, test } from 'vitest'
import { FORMS, type TrapCase } from './traps/cases.ts'
import { TrapDomain } from './traps/compare.ts'
import { PLACES } from './traps/guest.ts'
import { shown, soak } from '../soak/arm-traps.soak.ts'

/** Prefetches, and translations of addresses by stage 1: stage 2 does not refuse them. */
const NEVER = /^(?:R?PRFU?M|AT)$/

test.skipIf(!hasArmBoard)(
  `what traps into EL2 has the syndrome that it has in QEMU's${skipNote(hasArmBoard, ARM_BOARD_LACKS)}`,
  { timeout: 120_000 },
  async () => {
    const { violations, smallest } = await runSoak(soak, { count: 1, seed: 1, shrinkMs: 0 })
    expect(smallest?.message).toBeUndefined()
    expect(violations).toBe(0)
    const { classes, refused } = shown()
    // WFI; SIMD; HVC, SMC; system registers; fetches; data; BRK.
    for (const ec of [0x01, 0x07, 0x16, 0x17, 0x18, 0x20, 0x24, 0x3c]) expect(classes.get(ec)).toBeGreaterThan(0)
    // Every form that accesses memory has come to stage 2.
    const missing = FORMS.filter(({ index, mnemonic }) => !refused.has(index) && !NEVER.test(mnemonic.split(' ')[0]!))
    expect(missing.map(({ mnemonic, operands, feature }) => `${mnemonic} ${operands} ${feature}`)).toEqual([])
  },
)

/** HVC #0x78, with which cases end; HVC #0x77 of EL1's vectors. */
const END = 0x5a00_0078n
const VECTOR = 0x5a00_0077n

/** One instruction, its X0, and the rest as it is for all. */
const caseOf = (word: number, address: bigint, pstate: number): TrapCase => ({
  name: 'one instruction',
  code: [word],
  x: Array.from({ length: 31 }, (_, i) => (i === 0 ? address : 0n)),
  spEl0: 0n,
  spEl1: 0n,
  pstate,
  sctlr: 0x30d0_1805n,
  hcr: 0x300_8000_0001n,
  cptr: 0x33ffn,
  mdcr: 0n,
  cpacr: 0n,
  offDevice: false,
})
const EL1_PAN = 0x40_03c5
const EL0 = 0x3c0

// QEMU does nothing for these.
test.each([
  ['CIVAC is not subject to PSTATE.PAN', 0xd50b_7e20, PLACES['a page that stage 2 has not executable'], END],
  ['CIVAC of a hole is refused', 0xd50b_7e20, PLACES['a hole by a page'], 0x9200_0145n],
  ['IVAC of a hole is refused', 0xd508_7620, PLACES['a hole by a page'], 0x9200_0145n],
  ['IVAC of what stage 2 has read-only cleans', 0xd508_7620, PLACES['a page that stage 2 has read-only'], END],
])('DC %s', (_name, word, address, esr) => {
  expect(new TrapDomain().run(caseOf(word, address, EL1_PAN)).esr).toBe(esr)
})

// The interrupt controller's package has the registers, the processor what admits accesses of EL0: both by the same numbers.
test('each register of the timers is one that CNTKCTL_EL1 keeps from EL0', () => {
  const domain = new TrapDomain()
  const timers = Object.entries(gic).flatMap(([name, value]) =>
    name.startsWith('CNT') && name.endsWith('_EL0') && typeof value === 'number' ? [value] : [],
  )
  expect(timers).toHaveLength(9)
  for (const encoding of timers) {
    const mrs = (0xd530_0000 | ((encoding & 0x7fff) << 5)) >>> 0
    const { esr, esrEl1 } = domain.run(caseOf(mrs, 0n, EL0))
    expect([esr, esrEl1 >> 26n]).toEqual([VECTOR, 0x18n])
    expect(domain.run(caseOf(mrs, 0n, 0x3c5)).esr).toBe(END)
  }
})
