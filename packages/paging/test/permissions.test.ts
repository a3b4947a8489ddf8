import { describe, expect, test } from 'vitest'
import * as paging from '../src/index.ts'
import * as guest from './support/guest.ts'

const R = paging.ACCESS_READ
const W = paging.ACCESS_WRITE
const F = paging.ACCESS_FETCH
const U = paging.ACCESS_USER
const OK = 0

const READ_ONLY = paging.MAP_USER
const KERNEL = paging.MAP_WRITABLE
const KERNEL_RO = 0
const FREE = paging.MAP_USER | paging.MAP_WRITABLE

interface Row {
  readonly when: string
  readonly flags: number
  readonly access: number
  readonly pfec: number
  readonly wp?: boolean
  readonly cr4?: number
  readonly efer?: number
  readonly pkey?: number
  readonly pkru?: number
  readonly pkrs?: number
}

const { SMEP, SMAP, PKE, PKS } = guest.CR4
const AD1 = 0b01 << 2
const WD1 = 0b10 << 2

// SDM vol. 3A, "Determination of Access Rights" and "Page-Fault Exceptions".
const ROWS: readonly Row[] = [
  { when: 'a user reads a user page', flags: READ_ONLY, access: U | R, pfec: OK },
  { when: 'a user writes a writable user page', flags: FREE, access: U | W, pfec: OK },
  { when: 'a user writes a read-only page', flags: READ_ONLY, access: U | W, pfec: 0x07 },
  { when: 'a user writes a read-only page, WP = 0', flags: READ_ONLY, access: U | W, wp: false, pfec: 0x07 },
  { when: 'a user reads a supervisor page', flags: KERNEL, access: U | R, pfec: 0x05 },
  { when: 'a user writes a supervisor page', flags: KERNEL, access: U | W, pfec: 0x07 },
  { when: 'a user fetches from a supervisor page', flags: KERNEL, access: U | F, pfec: 0x15 },
  { when: 'a user fetches from a user page', flags: READ_ONLY, access: U | F, pfec: OK },
  { when: 'a user fetches from an NX page', flags: FREE | paging.MAP_NX, access: U | F, pfec: 0x15 },
  { when: 'a user reads an NX page', flags: FREE | paging.MAP_NX, access: U | R, pfec: OK },
  { when: 'a supervisor reads a user page', flags: READ_ONLY, access: R, pfec: OK },
  { when: 'a supervisor writes a read-only supervisor page', flags: KERNEL_RO, access: W, pfec: 0x03 },
  { when: 'a supervisor writes a read-only supervisor page, WP = 0', flags: KERNEL_RO, access: W, wp: false, pfec: OK },
  { when: 'a supervisor writes a read-only user page, WP = 0', flags: READ_ONLY, access: W, wp: false, pfec: OK },
  { when: 'a supervisor writes a read-only user page', flags: READ_ONLY, access: W, pfec: 0x03 },
  { when: 'a supervisor fetches from a supervisor page', flags: KERNEL, access: F, pfec: OK },
  { when: 'a supervisor fetches from an NX page', flags: KERNEL | paging.MAP_NX, access: F, pfec: 0x11 },
  { when: 'a supervisor fetches from a user page', flags: FREE, access: F, pfec: OK },

  { when: 'SMEP: a supervisor fetches from a user page', flags: FREE, access: F, cr4: SMEP, pfec: 0x11 },
  { when: 'SMEP: a supervisor fetches from its own', flags: KERNEL, access: F, cr4: SMEP, pfec: OK },
  { when: 'SMEP: a supervisor reads a user page', flags: FREE, access: R, cr4: SMEP, pfec: OK },
  { when: 'SMEP: a user fetches from a user page', flags: FREE, access: U | F, cr4: SMEP, pfec: OK },
  { when: 'SMEP without NXE tells fetches', flags: FREE, access: F, cr4: SMEP, efer: guest.LMA, pfec: 0x11 },
  { when: 'neither SMEP nor NXE: a fetch is not told', flags: KERNEL, access: U | F, efer: guest.LMA, pfec: 0x05 },

  { when: 'SMAP: a supervisor reads a user page', flags: FREE, access: R, cr4: SMAP, pfec: 0x01 },
  { when: 'SMAP: a supervisor writes a user page', flags: FREE, access: W, cr4: SMAP, pfec: 0x03 },
  { when: 'SMAP, AC: a supervisor reads a user page', flags: FREE, access: R | paging.ACCESS_AC, cr4: SMAP, pfec: OK },
  {
    when: 'SMAP, AC: the processor itself does',
    flags: FREE,
    access: R | paging.ACCESS_AC | paging.ACCESS_IMPLICIT,
    cr4: SMAP,
    pfec: 1,
  },
  { when: 'SMAP: a supervisor reads its own page', flags: KERNEL, access: R, cr4: SMAP, pfec: OK },
  { when: 'SMAP: a supervisor fetches from a user page', flags: FREE, access: F, cr4: SMAP, pfec: OK },
  { when: 'SMAP: a user reads a user page', flags: FREE, access: U | R, cr4: SMAP, pfec: OK },
  {
    ...{ when: 'SMAP, WP = 0, AC = 0: a supervisor writes a read-only user page', flags: READ_ONLY, access: W },
    ...{ cr4: SMAP, wp: false, pfec: 0x03 },
  },
  {
    ...{ when: 'SMAP, WP = 0, AC = 1: a supervisor writes a read-only user page', flags: READ_ONLY },
    ...{ access: W | paging.ACCESS_AC, cr4: SMAP, wp: false, pfec: OK },
  },
  {
    ...{ when: 'SMAP: CPL 3 loads a descriptor from a user page', flags: FREE, access: U | R | paging.ACCESS_IMPLICIT },
    ...{ cr4: SMAP, pfec: 0x01 },
  },
  {
    when: 'CPL 3 loads a descriptor from a supervisor page',
    flags: KERNEL,
    access: U | R | paging.ACCESS_IMPLICIT,
    pfec: OK,
  },
  {
    ...{ when: 'CPL 3 sets a descriptor busy on a read-only page', flags: KERNEL_RO },
    ...{ access: U | W | paging.ACCESS_IMPLICIT, pfec: 0x03 },
  },

  { when: 'PKRU.AD: a user reads', flags: FREE, access: U | R, cr4: PKE, pkey: 1, pkru: AD1, pfec: 0x25 },
  { when: 'PKRU.AD: a user writes', flags: FREE, access: U | W, cr4: PKE, pkey: 1, pkru: AD1, pfec: 0x27 },
  { when: 'PKRU.AD: a user fetches', flags: FREE, access: U | F, cr4: PKE, pkey: 1, pkru: AD1, pfec: OK },
  { when: 'PKRU.AD: a supervisor reads', flags: FREE, access: R, cr4: PKE, pkey: 1, pkru: AD1, pfec: 0x21 },
  { when: 'PKRU.AD of another key', flags: FREE, access: U | R, cr4: PKE, pkey: 2, pkru: AD1, pfec: OK },
  { when: 'PKRU.AD of key 15', flags: FREE, access: U | R, cr4: PKE, pkey: 15, pkru: 0x4000_0000, pfec: 0x25 },
  { when: 'PKRU.WD of key 15', flags: FREE, access: U | W, cr4: PKE, pkey: 15, pkru: 0x8000_0000, pfec: 0x27 },
  { when: 'PKRU.AD without CR4.PKE', flags: FREE, access: U | R, pkey: 1, pkru: AD1, pfec: OK },
  { when: 'PKRU.AD on a supervisor page', flags: KERNEL, access: R, cr4: PKE, pkey: 1, pkru: AD1, pfec: OK },
  { when: 'PKRU.WD: a user reads', flags: FREE, access: U | R, cr4: PKE, pkey: 1, pkru: WD1, pfec: OK },
  { when: 'PKRU.WD: a user writes', flags: FREE, access: U | W, cr4: PKE, pkey: 1, pkru: WD1, pfec: 0x27 },
  {
    when: 'PKRU.WD, WP = 0: a user writes',
    flags: FREE,
    access: U | W,
    cr4: PKE,
    pkey: 1,
    pkru: WD1,
    wp: false,
    pfec: 0x27,
  },
  { when: 'PKRU.WD: a supervisor writes', flags: FREE, access: W, cr4: PKE, pkey: 1, pkru: WD1, pfec: 0x23 },
  {
    when: 'PKRU.WD, WP = 0: a supervisor writes',
    flags: FREE,
    access: W,
    cr4: PKE,
    pkey: 1,
    pkru: WD1,
    wp: false,
    pfec: OK,
  },
  { when: 'PKRU.WD and RW clear', flags: READ_ONLY, access: U | W, cr4: PKE, pkey: 1, pkru: WD1, pfec: 0x27 },
  {
    ...{ when: 'PKRU.WD and RW clear, WP = 0: a supervisor writes', flags: READ_ONLY, access: W },
    ...{ cr4: PKE, pkey: 1, pkru: WD1, wp: false, pfec: OK },
  },
  {
    ...{
      when: 'PKRU.AD: CPL 3 loads a descriptor from a user page',
      flags: FREE,
      access: U | R | paging.ACCESS_IMPLICIT,
    },
    ...{ cr4: PKE, pkey: 1, pkru: AD1, pfec: 0x21 },
  },
  {
    ...{ when: 'PKRU.AD and SMAP: a supervisor reads', flags: FREE, access: R },
    ...{ cr4: PKE | SMAP, pkey: 1, pkru: AD1, pfec: 0x21 },
  },
  { when: 'PKRS.AD: a supervisor reads its page', flags: KERNEL, access: R, cr4: PKS, pkey: 1, pkrs: AD1, pfec: 0x21 },
  { when: 'PKRS.AD on a user page', flags: FREE, access: R, cr4: PKS, pkey: 1, pkrs: AD1, pfec: OK },
  { when: 'PKRS.WD: a supervisor writes its page', flags: KERNEL, access: W, cr4: PKS, pkey: 1, pkrs: WD1, pfec: 0x23 },
  { when: 'PKRS.WD, WP = 0', flags: KERNEL, access: W, cr4: PKS, pkey: 1, pkrs: WD1, wp: false, pfec: OK },
  { when: 'PKRS without CR4.PKS', flags: KERNEL, access: W, cr4: PKE, pkey: 1, pkrs: AD1, pkru: AD1, pfec: OK },
]

describe('access rights', () => {
  test.each(ROWS)('$when → $pfec', (row) => {
    const { flags, access, pkey = 0, wp = true, cr4 = 0, efer = guest.LMA | guest.NXE, pkru = 0, pkrs = 0 } = row
    const registers = {
      cr0: guest.CR0_PE_PG + (wp ? guest.CR0_WP : 0),
      cr4: guest.CR4.PAE | cr4,
      efer,
      pkru,
      pkrs,
      cr3: 0x4000n,
    }
    const context = guest.contextOf(registers)
    expect(paging.permission(context, flags, pkey, access)).toBe(row.pfec)

    // The same through tables: each right denied once in the leaf and once in the root.
    for (const level of [1, 4]) {
      const memory = new guest.Memory()
      guest.buildPath(memory, 4, 0n, 0x7000n | (BigInt(pkey) << 59n))
      const gpa = guest.entryGpa(4, level, 0n)
      let entry = memory.at(gpa)
      if ((flags & paging.MAP_WRITABLE) === 0) entry &= ~2n
      if ((flags & paging.MAP_USER) === 0) entry &= ~4n
      if ((flags & paging.MAP_NX) !== 0) entry |= 1n << 63n
      memory.store(gpa, entry)
      const result = new paging.WalkResult()
      paging.walk(context, memory, 0, 0, access, result)
      expect(result.pfec).toBe(row.pfec)
      if (row.pfec !== 0) expect([memory.exchanges, result.pkey]).toEqual([0, pkey])
    }
  })
})

describe('error codes of entries that are not present', () => {
  test.each([
    { when: 'a supervisor reads', access: R, efer: guest.NXE, pfec: 0 },
    { when: 'a user writes', access: U | W, efer: guest.NXE, pfec: 6 },
    { when: 'a user fetches', access: U | F, efer: guest.NXE, pfec: 0x14 },
    { when: 'a user fetches without NXE', access: U | F, efer: 0, pfec: 4 },
    { when: 'CPL 3 writes a descriptor', access: U | W | paging.ACCESS_IMPLICIT, efer: guest.NXE, pfec: 2 },
    { when: 'a supervisor reads with AC', access: R | paging.ACCESS_AC, efer: guest.NXE, pfec: 0 },
  ])('$when → $pfec, in every mode', ({ access, efer, pfec }) => {
    for (const mode of [2, 3, 4, 5]) {
      const registers = guest.registersFor(mode)
      const context = guest.contextOf({ ...registers, efer: registers.efer | efer })
      const result = new paging.WalkResult()
      paging.walk(context, new guest.Memory(), 0, 0, access, result)
      // NXE alone does not tell fetches without PAE.
      expect(result.pfec).toBe(mode === 2 ? pfec & ~0x10 : pfec)
    }
  })
})

test('PAE tables have neither keys nor rights in their PDPTEs', () => {
  const memory = new guest.Memory()
  guest.buildPath(memory, 3, 0n, 0x7000n)
  const context = guest.contextOf({ ...guest.registersFor(3), cr4: guest.CR4.PAE | guest.CR4.PKE, pkru: -1 })
  context.loadPdptes(memory)
  expect(paging.walk(context, memory, 0, 0, U | W, new paging.WalkResult())).toBe(OK)
})
