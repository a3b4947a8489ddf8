/** Restored RAM of Arm guests whose contents are brought when somebody needs them. */
import { defineDevice } from '@retrap/device'
import { expect, test } from 'vitest'
import { beginRestoringDomain, saveDomain } from '../../src/arm/index.ts'
import type { GuestPageSource } from '../../src/index.ts'
import { DEVICE, domainWith, HVC, ldr, load, movk, movz, OFF, put, RAM, str, WFI } from '../support/arm-guest.ts'

const PAGE = 4096
/** The second block of 2 MiB: the program needs the first one. */
const LATE = RAM + (2 << 20)
/** Page tables of stage 1, in it: 1 GiB of devices, and 1 GiB of memory. */
const TABLES = LATE + (1 << 20)
const WORD = 0x1234_5678

/** Others, in the first block: those, and the device's page right before the second block's first one. */
const TABLES_AT_ONCE = RAM + 0x1_0000
const SEAM = 0x8000_1000
const BLOCKS = [0x401, 0, RAM | 0x701, 0]
// Byte by byte, as the access goes beyond it.
const ANSWER = 0x55555555

/** Has stage 1 translate, so that accesses need not be aligned. */
const mmuOn = (tables: number): number[] => [
  movz(9, 0xff),
  0xd518_a209, // msr mair_el1, x9
  ...load(9, tables),
  0xd518_2009, // msr ttbr0_el1, x9
  movz(9, 25), // 39 bits; the tables are written back
  0xd518_2049, // msr tcr_el1, x9
  0xd503_3fdf, // isb
  ...load(9, 0x30d0_0801),
  0xd518_1009, // msr sctlr_el1, x9
  0xd503_3fdf, // isb
]
const MMU_ON = mmuOn(TABLES)

const model = (): ReturnType<typeof defineDevice> =>
  defineDevice({ name: 'answer', stateless: true, mmio: { base: DEVICE, size: PAGE }, read: () => ANSWER & 0xff })

/** Saves a guest that has not run, and returns another that goes on from there, with nothing brought yet. */
async function restored(program: readonly number[], vcpus = 1, damaged = false) {
  const first = domainWith([...program, ...OFF], vcpus)
  const word = new Uint8Array(Uint32Array.of(WORD).buffer)
  for (const at of [-4, 0, 0x100]) first.guestMemory.write(LATE + at, word)
  // mov w5, #77, and back, or off
  put(first, LATE - RAM + 0x1000, [movz(5, 77), 0xd65f_03c0])
  put(first, LATE - RAM + 0x2000, [movz(5, 78), ...OFF])
  const table = (at: number, ...words: readonly number[]): void =>
    void first.guestMemory.write(at, new Uint8Array(Uint32Array.from(words).buffer))
  table(TABLES, ...BLOCKS)
  table(TABLES_AT_ONCE, ...BLOCKS, (TABLES_AT_ONCE + PAGE) | 3)
  table(TABLES_AT_ONCE + PAGE, (TABLES_AT_ONCE + 2 * PAGE) | 3)
  table(TABLES_AT_ONCE + 2 * PAGE, DEVICE | 0x703, 0, LATE | 0x703)
  first.attach(model())
  const { state, pages } = await saveDomain(first, 1000)
  const source: GuestPageSource = {
    gfns: pages.gfns,
    contents: (index) => {
      if (damaged && pages.gfns[index]! >= LATE / PAGE) throw new Error('the file is damaged')
      return pages.bytes.slice(index * PAGE, (index + 1) * PAGE)
    },
  }
  const domain = domainWith([], vcpus)
  domain.attach(model())
  const late = await beginRestoringDomain(domain, { state, pages: source })
  expect(late.left).toBe(2)
  return { domain, late }
}

const AT = load(1, LATE)

test.each<[string, readonly number[], bigint]>([
  ['reads', [...AT, ldr(5, 1, 0x100)], BigInt(WORD)],
  ['adds to', [...AT, movz(2, 1), 0xb822_0025, ldr(5, 1, 0)], BigInt(WORD + 1)], // ldadd w2, w5, [x1]
  ['stores exclusively to', [...AT, 0x885f_7c22, 0x8803_7c23, ldr(5, 1, 0)], 0n], // ldxr w2, [x1]; stxr w3, w3, [x1]
  ['reads zeros of', [...AT, ldr(5, 1, 0xf00)], 0n],
  ['calls', [...load(1, LATE + 0x1000), 0xd63f_0020], 77n], // blr x1
  ['has its page tables in', [...MMU_ON, ...load(1, LATE - 0x1000), ldr(5, 1, 0xffc)], BigInt(WORD)],
  [
    'reads across the beginning of',
    [...MMU_ON, ...AT, 0xf85f_c025], // ldur x5, [x1, #-4]
    (BigInt(WORD) << 32n) | BigInt(WORD),
  ],
  [
    'writes across the beginning of',
    // stur x6, [x1, #-4]; ldr w5, [x1]
    [...MMU_ON, ...AT, movz(6, 9), 0xd360_7cc6, 0xf81f_c026, ldr(5, 1, 0)], // lsl x6, x6, #32
    9n,
  ],
  [
    'reads a device up to the beginning of',
    [...mmuOn(TABLES_AT_ONCE), ...load(1, SEAM), 0xf85f_c025],
    (BigInt(WORD) << 32n) | BigInt(ANSWER),
  ],
])('a vCPU that %s such RAM finds what was saved', async (_what, program, x5) => {
  const { domain, late } = await restored([...program, ...load(1, RAM + 0x8000), str(5, 1, 0)])
  expect(await domain.run()).toEqual({ reason: 'power-off' })
  expect(domain.vcpus[0]!.processor.registers.x(5)).toBe(x5)
  expect(late.left).toBe(0)
})

test('a vCPU is started there by PSCI, and nowhere else', async () => {
  const on = (entry: number): number[] => [
    ...[movz(0, 0xc400, 16), movk(0, 3), movz(1, 1)],
    ...[...load(2, entry), movz(3, 0), HVC],
  ]
  // mov x6, x0
  const program = [...on(RAM + (8 << 20)), 0xaa00_03e6, ...on(LATE + 0x2000), WFI, 0x17ff_ffff]
  const { domain } = await restored(program, 2)
  expect(await domain.run()).toEqual({ reason: 'power-off' })
  expect(domain.vcpus[1]!.processor.registers.x(5)).toBe(78n)
  // INVALID_ADDRESS
  expect(BigInt.asIntN(32, domain.vcpus[0]!.processor.registers.x(6))).toBe(-9n)
})

test('a debugger finds what was saved, through tables that come late, too', async () => {
  const { domain, late } = await restored([])
  const { registers } = domain.vcpus[0]!.processor
  registers.set('mair_el1', 0xffn)
  registers.set('ttbr0_el1', BigInt(TABLES))
  registers.set('tcr_el1', 25n)
  registers.set('sctlr_el1', 0x30d0_0801n)
  const bytes = new Uint8Array(8)
  expect(domain.vcpus[0]!.translation.peek(BigInt(LATE - 4), bytes)).toBe(8)
  expect([...new Uint32Array(bytes.buffer)]).toEqual([WORD, WORD])
  expect(late.left).toBe(0)
})

test('what nobody needs comes in the background; contents that cannot be read end the machine', async () => {
  const { domain, late } = await restored([WFI])
  await late.finish(() => Promise.resolve())
  expect(late.left).toBe(0)
  const bytes = new Uint8Array(4)
  domain.guestMemory.read(LATE + 0x100, bytes)
  expect(new Uint32Array(bytes.buffer)[0]).toBe(WORD)
  for (const program of [
    [...AT, ldr(5, 1, 0x100)],
    [...MMU_ON, ...AT, 0xf85f_c025],
  ]) {
    const damaged = await restored(program, 1, true)
    expect(await damaged.domain.run()).toMatchObject({ reason: 'memory-failure', failure: { cause: 'unreadable' } })
  }
})
