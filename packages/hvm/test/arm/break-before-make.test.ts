/**
 * A page that two vCPUs read gets another frame, by the sequence "break before make": the entry becomes invalid, all vCPUs
 * forget the page (TLBI IS, DSB), and the new entry needs no TLBI, since no processor keeps an invalid entry.
 *
 * Source: Arm ARM (DDI 0487) D8.16.1, "Using break-before-make when updating translation table entries".
 */
import { expect, test } from 'vitest'
import type { ArmDomain } from '../../src/arm/index.ts'
import { domainWith, ldr, load, movk, movz, OFF, put, RAM, run, str, WFI } from '../support/arm-guest.ts'

/** Offsets in RAM. */
const SECOND = 0x1_0000
const VECTORS = 0x2_0000
const SECOND_VECTORS = 0x3_0000
const ROOT = 0x10_0000
const TABLES = [0x11_0000, 0x12_0000, 0x13_0000] as const
const [OLD, NEW, SEEN] = [0x20_0000, 0x21_0000, 0x22_0000]

/** The page, by linear address. */
const PAGE = 0x8000_0000
/** What the old frame has, the new one, and the old one after the page has been taken away; then the slot of a fault. */
const [A, B, STALE, FAULT] = [1, 2, 3, 4]
const RIGHTS = (1 << 10) | (3 << 8)

const ISB = 0xd503_3fdf
const DSB_ISH = 0xd503_3b9f
const DSB_ISHST = 0xd503_3a9f
const ERET = 0xd69f_03e0
/** tlbi vae1is, x8 */
const FORGET = 0xd508_8328

interface Granule {
  readonly tg0: number
  readonly t0sz: number
  /** Entries of tables: offset of the table, index, and the entry without its address in RAM; a block or page has rights. */
  readonly entries: readonly (readonly [table: number, index: number, target: number, type: 'table' | 'block'])[]
}

const [FIRST_TABLE, SECOND_TABLE, LAST_TABLE] = TABLES
const GRANULES: readonly (readonly [name: string, granule: Granule])[] = [
  [
    '4 KiB',
    {
      tg0: 0,
      t0sz: 25,
      entries: [
        [ROOT, 1, FIRST_TABLE, 'table'],
        [ROOT, 2, SECOND_TABLE, 'table'],
        [FIRST_TABLE, 0, 0, 'block'],
        [FIRST_TABLE, 1, 0x20_0000, 'block'],
        [SECOND_TABLE, 0, LAST_TABLE, 'table'],
      ],
    },
  ],
  [
    '16 KiB',
    {
      tg0: 2,
      t0sz: 28,
      entries: [
        [ROOT, 32, 0, 'block'],
        [ROOT, 64, LAST_TABLE, 'table'],
      ],
    },
  ],
  [
    '64 KiB',
    {
      tg0: 1,
      t0sz: 22,
      entries: [
        [ROOT, 2, 0, 'block'],
        [ROOT, 4, LAST_TABLE, 'table'],
      ],
    },
  ],
]

const page = (offset: number): number => (RAM + offset) | RIGHTS | 3

/** Turns stage 1 on; X1 is the page, X7 where what was seen is noted, X26 is 1. */
const begin = ({ tg0, t0sz }: Granule, vectors: number): number[] => [
  movz(9, 0xff),
  0xd518_a209, // msr mair_el1, x9
  ...load(9, (t0sz | (1 << 8) | (1 << 10) | (3 << 12) | (tg0 << 14) | (1 << 23)) >>> 0),
  movk(9, 5, 32),
  0xd518_2049, // msr tcr_el1, x9
  ...load(9, RAM + ROOT),
  0xd518_2009, // msr ttbr0_el1, x9
  ...load(9, RAM + vectors),
  0xd518_c009, // msr vbar_el1, x9
  ISB,
  0xd538_1009, // mrs x9, sctlr_el1
  0xb240_0129, // orr x9, x9, #1
  0xd518_1009, // msr sctlr_el1, x9
  ISB,
  ...load(1, PAGE),
  ...load(7, RAM + SEEN),
  movz(26, 1),
]

/** ldr w6, [x7, SLOT]; cbz w6, .-4 */
const awaitSeen = (slot: number): number[] => [ldr(6, 7, 4 * slot), 0x34ff_ffe6]

const FIRST = (granule: Granule): number[] => [
  ...begin(granule, VECTORS),
  ...load(2, RAM + LAST_TABLE),
  ...load(4, page(NEW)),
  ...load(8, PAGE / 4096),
  ...load(9, RAM + OLD),
  movz(10, STALE),
  ldr(5, 1, 0),
  ...awaitSeen(A),
  0xf900_005f, // str xzr, [x2]
  DSB_ISHST,
  FORGET,
  DSB_ISH,
  ISB,
  str(10, 9, 0),
  DSB_ISH,
  ldr(11, 1, 0),
  ...awaitSeen(FAULT),
  0xf900_0044, // str x4, [x2]
  DSB_ISHST,
  ISB,
  ldr(12, 1, 0),
  ...awaitSeen(B),
  ...OFF,
]

/** Reads the page until it has what the new frame has; notes all that it reads. */
const OTHER = (granule: Granule): number[] => [
  ...begin(granule, SECOND_VECTORS),
  ldr(5, 1, 0),
  0xb825_78fa, // str w26, [x7, x5, lsl #2]
  0x5100_08a6, // sub w6, w5, #2
  0x35ff_ffa6, // cbnz w6, .-12
  WFI,
  0x17ff_ffff, // b .-4
]

function prepared(granule: Granule): ArmDomain {
  const domain = domainWith(FIRST(granule), 2)
  put(domain, SECOND, OTHER(granule))
  // mrs x20, esr_el1; mrs x21, elr_el1; add x21, x21, #4; msr elr_el1, x21; eret
  put(domain, VECTORS + 0x200, [0xd538_5214, 0xd538_4035, 0x9100_12b5, 0xd518_4035, ERET])
  put(domain, SECOND_VECTORS + 0x200, [str(26, 7, 4 * FAULT), ERET])
  for (const [at, index, target, type] of granule.entries) {
    put(domain, at + 8 * index, [type === 'table' ? (RAM + target) | 3 : (RAM + target) | RIGHTS | 1])
  }
  put(domain, LAST_TABLE, [page(OLD)])
  put(domain, OLD, [A])
  put(domain, NEW, [B])
  domain.vcpus[1]!.start(BigInt(RAM + SECOND), 0n)
  return domain
}

test.each(GRANULES)('a page of %s is given another frame under two vCPUs', async (_name, granule) => {
  const domain = prepared(granule)
  expect(await run(domain, 60_000)).toBe('power-off')
  const { registers } = domain.vcpus[0]!.processor
  expect([5, 12, 20].map((register) => registers.x(register))).toEqual([BigInt(A), BigInt(B), 0x9600_0007n])
  const seen = new Uint32Array(5)
  domain.guestMemory.read(RAM + SEEN, new Uint8Array(seen.buffer))
  expect([...seen]).toEqual([0, 1, 1, 0, 1])
})
