/** The guest of the tests of traps: its memory as stage 1 and stage 2 have it. */
import { ArmP2mType, P2mAccess, type P2m } from '@retrap/p2m'
import { CODE, DEVICE, guestImage, RAM, RAM_PAGES, TCR, TTBR0, VECTORS, words } from '../forms/layout.ts'

/** Nothing is mapped here by stage 2. */
const HOLE = 0x1800_0000
/** Stage 2 has these pages read-only, and not executable. */
const READ_ONLY = RAM + 0x8_0000
const DATA_ONLY = RAM + 0x8_1000

/** What a guest's memory is, and where its tables and code are. */
export interface TrapGuest {
  /** What its RAM begins with. */
  readonly image: readonly { readonly gpa: number; readonly bytes: Uint8Array }[]
  readonly map: (p2m: P2m) => void
  /** Pages of its RAM, in one piece. */
  readonly ramPages: number
  /** TCR_EL1, TTBR0_EL1, TTBR1_EL1, VBAR_EL1. */
  readonly tcr: bigint
  readonly ttbr0: bigint
  readonly ttbr1: bigint
  readonly vbar: bigint
  /** Where cases begin. */
  readonly code: bigint
  /** Whether no case stops in the middle of an instruction, so that RAM is the same after all. */
  readonly comparesRam: boolean
}

/** Tables of the upper half. */
const LEVEL1 = RAM + 0x6000
const LEVEL2 = RAM + 0x7000
const LEVEL3 = RAM + 0x8000
const VECTORS_FRAME = RAM + 0x5000

const AF = 1n << 10n
const NORMAL = (1n << 2n) | (3n << 8n)
const EL0 = 1n << 6n
const UXN = 1n << 54n
const TABLE = 3n
const PAGE = 3n
const BLOCK = 1n
const RIGHTS = AF | NORMAL | EL0

/** TCR_EL1: 39 bits of both halves, 4 KiB pages. */
const BOTH_HALVES: bigint = (TCR & ~(1n << 23n)) | (2n << 30n) | (1n << 26n) | (1n << 24n) | (3n << 28n)

const UPPER = 0xffff_ff80_0000_0000n
const upper = (one: number, two: number, three: number, offset: number): bigint =>
  UPPER + BigInt(one) * 0x4000_0000n + BigInt(two) * 0x20_0000n + BigInt(three * 0x1000 + offset)

/** Addresses of the upper half, by what is there. */
export const PLACES = {
  'a table of level 2 in a hole': upper(0, 3, 2, 0x120),
  'a table of level 3 in a hole': upper(1, 0, 5, 0x40),
  'a table of level 3 in a far hole': upper(1, 4, 5, 0x40),
  'a hole by a page': upper(1, 1, 3, 0x238),
  'a hole by a block of 2 MiB': upper(1, 2, 6, 0x5c8),
  'a hole by a block of 1 GiB': upper(2, 192, 1, 0xf0),
  'a hole behind RAM by a block of 1 GiB': upper(3, 0, 100, 0x10),
  'a hole beside RAM by a block of 1 GiB': upper(3, 7, 0, 0x10),
  'a page that stage 2 has read-only': upper(1, 1, 0, 0x360),
  'a page that stage 2 has not executable': upper(1, 1, 1, 0x80),
  'a page without the access flag': upper(1, 1, 2, 0x80),
  'a page that stage 1 does not map': upper(1, 1, 9, 0x80),
  'a page of EL1': upper(1, 1, 4, 0x80),
  'a page that EL0 may not execute': upper(1, 1, 5, 0x80),
  'an address outside the tables': UPPER - 0x1000n,
  'an address beyond the intermediate ones': upper(1, 1, 6, 0x10),
  'a table beyond the intermediate ones': upper(1, 5, 6, 0x10),
} as const

const table = (entries: Readonly<Record<number, bigint>>): Uint8Array => {
  const all = new BigUint64Array(512)
  for (const [i, entry] of Object.entries(entries)) all[Number(i)] = entry
  return new Uint8Array(all.buffer)
}

/** HVC #0x77 at each vector of EL1. */
const VECTOR = words(0xd400_0ee2)
/** EL1's vectors. */
export const trapVectors: TrapGuest['image'] = [0, 0x200, 0x400, 0x600].map((entry) => ({
  gpa: VECTORS_FRAME + entry,
  bytes: VECTOR,
}))

function image(): TrapGuest['image'] {
  const hole = BigInt(HOLE)
  return [
    ...guestImage(),
    ...trapVectors,
    {
      gpa: LEVEL1,
      bytes: table({ 0: hole | TABLE, 1: BigInt(LEVEL2) | TABLE, 2: RIGHTS | BLOCK, 3: BigInt(RAM) | RIGHTS | BLOCK }),
    },
    {
      gpa: LEVEL2,
      bytes: table({
        0: (hole + 0x3000n) | TABLE,
        1: BigInt(LEVEL3) | TABLE,
        2: BigInt(DEVICE) | RIGHTS | BLOCK,
        4: BigInt(RAM + 0x20_0000) | TABLE,
        5: (1n << 41n) | TABLE,
      }),
    },
    {
      gpa: LEVEL3,
      bytes: table({
        0: BigInt(READ_ONLY) | RIGHTS | PAGE,
        1: BigInt(DATA_ONLY) | RIGHTS | PAGE,
        2: BigInt(DATA_ONLY) | NORMAL | EL0 | PAGE,
        3: (hole + 0x2000n) | RIGHTS | PAGE,
        4: hole | AF | NORMAL | PAGE,
        5: hole | RIGHTS | UXN | PAGE,
        6: (1n << 41n) | RIGHTS | PAGE,
      }),
    },
  ]
}

function map(p2m: P2m): void {
  p2m.populate(RAM / 4096, RAM_PAGES)
  p2m.populate(READ_ONLY / 4096, 1, ArmP2mType.RAM_RO)
  p2m.populate(DATA_ONLY / 4096, 1)
  p2m.setAccess(DATA_ONLY / 4096, 1, P2mAccess.RW)
}

/** The guest of {@link PLACES}, and of the pages of `forms/layout.ts`. */
export const trapGuest = (): TrapGuest => ({
  image: image(),
  map,
  ramPages: RAM_PAGES,
  tcr: BOTH_HALVES,
  ttbr0: TTBR0,
  ttbr1: BigInt(LEVEL1),
  vbar: BigInt(VECTORS),
  code: BigInt(CODE),
  comparesRam: false,
})
