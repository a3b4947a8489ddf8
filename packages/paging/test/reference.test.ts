// The scenarios of the project's reference on paging, under the names they have there. Those that need a processor are
// in x86-cpu's test/paging.test.ts.
import { AccessLog, LoggedTables } from '@retrap/replay'
import { describe, expect, test } from 'vitest'
import * as paging from '../src/index.ts'
import * as guest from './support/guest.ts'

const PAGE = 0x7000n

function four(registers: Parameters<typeof guest.contextOf>[0] = {}): {
  memory: guest.Memory
  walkAt: (access: number, linear?: number) => paging.WalkResult
} {
  const memory = new guest.Memory()
  guest.buildPath(memory, 4, 0n, PAGE)
  const context = guest.contextOf({ ...guest.registersFor(4), ...registers })
  const walkAt = (access: number, linear = 0): paging.WalkResult => {
    const result = new paging.WalkResult()
    paging.walk(context, memory, linear, 0, access, result)
    return result
  }
  return { memory, walkAt }
}

describe('each reserved bit × level × {NXE, 1G, PSE36, MAXPHYADDR 36/39/52}', () => {
  const isIn = (bit: number, high: number, low: number): boolean => bit <= high && bit >= low
  /** Whether a bit of a present entry is reserved: the reference's table, line by line. */
  const isReserved = (
    { mode, level, large, nxe, pages1G, pse36, physical }: Record<string, number | boolean> & { physical: number },
    bit: number,
  ): boolean => {
    if (mode === 2) {
      if (large !== true) return false
      return bit === 21 || (pse36 === true ? isIn(bit, 20, 13 + Math.min(physical, 40) - 32) : isIn(bit, 21, 13))
    }
    if (isIn(bit, 51, physical)) return true
    if (bit === 63 && nxe === false) return true
    if (mode === 3) return isIn(bit, 62, 52) || (large === true && isIn(bit, 20, 13))
    if ((level as number) >= 4) return bit === 7
    if (level === 3) return large === true ? pages1G === false || isIn(bit, 29, 13) : false
    return level === 2 && large === true && isIn(bit, 20, 13)
  }

  test.each([2, 3, 4, 5])('%s levels', (mode) => {
    let checked = 0
    for (const physical of [36, 39, 52]) {
      for (const nxe of [false, true]) {
        for (const pages1G of [false, true]) {
          for (const pse36 of [false, true]) {
            const registers = guest.registersFor(mode)
            const context = guest.contextOf({
              ...registers,
              cpu: { maxPhysicalBits: physical, pages1G, pse36, amd: false },
              cr4: registers.cr4 | guest.CR4.PSE,
              efer: registers.efer | (nxe ? guest.NXE : 0),
            })
            const memory = new guest.Memory()
            guest.buildPath(memory, mode, 0n, PAGE)
            if (mode === 3) context.loadPdptes(memory)
            const result = new paging.WalkResult()
            for (let level = mode === 3 ? 2 : mode; level >= 1; level--) {
              const gpa = guest.entryGpa(mode, level, 0n)
              const before = memory.at(gpa)
              for (const large of [false, true]) {
                // Bit 7 of a last-level entry is PAT, and of the topmost ones always reserved.
                if (large && (level === 1 || level > 3)) continue
                for (let bit = 1; bit < (mode === 2 ? 32 : 64); bit++) {
                  if (bit === 7 && level > 1 && level <= 3) continue
                  memory.store(gpa, (large ? 0xa7n : before) | (1n << BigInt(bit)))
                  paging.probe(context, memory, 0, 0, paging.ACCESS_READ, result)
                  const found =
                    result.status === paging.WALK_FAULT &&
                    result.pfec === (1 | paging.PFEC_RSVD) &&
                    result.level === level
                  // Without 1 GiB pages, bit 7 of a PDPTE is itself the reserved one.
                  const expected =
                    isReserved({ mode, level, large, nxe, pages1G, pse36, physical }, bit) ||
                    (large && level === 3 && !pages1G)
                  if (found !== expected) {
                    expect.unreachable(
                      `level ${level}${large ? ' large' : ''} bit ${bit} MAXPHYADDR ${physical}: ${found}`,
                    )
                  }
                  checked++
                }
              }
              memory.store(gpa, before)
            }
          }
        }
      }
    }
    expect(checked).toBeGreaterThan(2_000)
  })
})

describe('WP=0 supervisor write to read-only user page with SMAP=1, AC=0/1', () => {
  test.each([
    { wp: 0, access: paging.ACCESS_WRITE, pfec: 0x03, why: 'SMAP' },
    { wp: 0, access: paging.ACCESS_WRITE | paging.ACCESS_AC, pfec: 0 },
    { wp: guest.CR0_WP, access: paging.ACCESS_WRITE, pfec: 0x03, why: 'SMAP and WP' },
    { wp: guest.CR0_WP, access: paging.ACCESS_WRITE | paging.ACCESS_AC, pfec: 0x03, why: 'WP' },
  ])('WP $wp, access $access → $pfec', ({ wp, access, pfec }) => {
    const { memory, walkAt } = four({ cr0: guest.CR0_PE_PG + wp, cr4: guest.CR4.PAE | guest.CR4.SMAP })
    memory.store(guest.entryGpa(4, 1, 0n), PAGE | 0x25n)
    expect(walkAt(access).pfec).toBe(pfec)
  })
})

test('descriptor load at CPL 3 from user-mapped GDT with SMAP: fault with U=0', () => {
  const { walkAt } = four({ cr4: guest.CR4.PAE | guest.CR4.SMAP })
  expect(walkAt(paging.ACCESS_READ | paging.ACCESS_USER | paging.ACCESS_IMPLICIT)).toMatchObject({
    status: paging.WALK_FAULT,
    pfec: 0x01,
  })
  // EFLAGS.AC does not help an implicit access.
  expect(walkAt(paging.ACCESS_READ | paging.ACCESS_USER | paging.ACCESS_IMPLICIT | paging.ACCESS_AC).pfec).toBe(0x01)
  expect(walkAt(paging.ACCESS_READ | paging.ACCESS_USER).status).toBe(paging.WALK_OK)
})

describe('PKRU.WD with WP=0/1, user page RW=0: PK present?', () => {
  test.each([
    { wp: 0, access: paging.ACCESS_USER | paging.ACCESS_WRITE, pfec: 0x27 },
    { wp: guest.CR0_WP, access: paging.ACCESS_USER | paging.ACCESS_WRITE, pfec: 0x27 },
    { wp: 0, access: paging.ACCESS_WRITE, pfec: 0 },
    { wp: guest.CR0_WP, access: paging.ACCESS_WRITE, pfec: 0x23 },
  ])('WP $wp, access $access → $pfec', ({ wp, access, pfec }) => {
    const { memory, walkAt } = four({ cr0: guest.CR0_PE_PG + wp, cr4: guest.CR4.PAE | guest.CR4.PKE, pkru: 0b10 << 6 })
    memory.store(guest.entryGpa(4, 1, 0n), PAGE | 0x25n | (3n << 59n))
    expect(walkAt(access).pfec).toBe(pfec)
  })
})

test('PAE: alter PDPTE in memory without CR3 write — Intel unaffected, AMD affected; MOV CR4 toggling PGE reloads', () => {
  for (const amd of [false, true]) {
    const memory = new guest.Memory()
    guest.buildPath(memory, 3, 0n, PAGE)
    const context = guest.contextOf({ ...guest.registersFor(3), cpu: { amd } })
    const result = new paging.WalkResult()
    const status = (): number => paging.walk(context, memory, 0, 0, paging.ACCESS_READ, result)
    expect(context.loadPdptes(memory)).toBe(true)
    expect(status()).toBe(paging.WALK_OK)
    memory.store(guest.entryGpa(3, 3, 0n), 0n)
    expect(status()).toBe(amd ? paging.WALK_FAULT : paging.WALK_OK)
    // What MOV to CR4 does then (x86-cpu's tests have the instruction).
    expect(context.loadPdptes(memory)).toBe(true)
    expect(status()).toBe(paging.WALK_FAULT)
  }
})

test("PAE under AMD's rules: a PDPTE is read through the log, once an instruction", () => {
  const memory = new guest.Memory()
  guest.buildPath(memory, 3, 0n, PAGE)
  memory.store(guest.entryGpa(3, 1, 0x1000n), 0x8027n)
  const context = guest.contextOf({ ...guest.registersFor(3), cpu: { amd: true } })
  const log = new AccessLog()
  const tables = new LoggedTables(log, memory)
  const result = new paging.WalkResult()
  const gpas = (): number[] =>
    [0, 0x1000, 0].map((linear) => {
      log.beginWalk()
      return paging.walk(context, tables, linear, 0, paging.ACCESS_READ, result) === paging.WALK_OK ? result.gpa : -1
    })
  log.begin()
  expect(gpas()).toEqual([0x7000, 0x8000, 0x7000])
  // Between passes the table of PDPTEs is used for something else.
  memory.store(guest.entryGpa(3, 3, 0n), 0x1e6n)
  log.restart()
  expect(gpas()).toEqual([0x7000, 0x8000, 0x7000])
  log.end()
  log.begin()
  expect(gpas()).toEqual([-1, -1, -1])
})

test('NX fetch fault with NXE=0, SMEP=0: I absent', () => {
  const { memory, walkAt } = four()
  memory.store(guest.entryGpa(4, 1, 0n), PAGE | 0x27n | (1n << 63n))
  // Bit 63 is reserved then, and the fetch is not told from a read.
  expect(walkAt(paging.ACCESS_FETCH | paging.ACCESS_USER).pfec).toBe(0x0d)
  memory.store(guest.entryGpa(4, 1, 0n), PAGE | 0x23n)
  expect(walkAt(paging.ACCESS_FETCH | paging.ACCESS_USER).pfec).toBe(0x05)
  const told = four({ efer: guest.LMA | guest.NXE })
  told.memory.store(guest.entryGpa(4, 1, 0n), PAGE | 0x27n | (1n << 63n))
  expect(told.walkAt(paging.ACCESS_FETCH | paging.ACCESS_USER).pfec).toBe(0x15)
})

test('two vCPUs racing A/D update against PTE clear', () => {
  // The other vCPU clears the entry just before the n-th exchange; it is never seen with a bit set again.
  for (let n = 1; n <= 4; n++) {
    const { memory, walkAt } = four()
    for (let level = 1; level <= 4; level++) {
      const gpa = guest.entryGpa(4, level, 0n)
      memory.store(gpa, memory.at(gpa) & ~0x20n)
    }
    const leaf = guest.entryGpa(4, 1, 0n)
    let exchanges = 0
    memory.race = () => {
      if (++exchanges === n) memory.store(leaf, 0n)
    }
    const result = walkAt(paging.ACCESS_WRITE)
    // Before its own exchange it is not there any more; afterwards the access came first.
    expect([result.status, memory.at(leaf)]).toEqual([n === 1 ? paging.WALK_FAULT : paging.WALK_OK, 0n])
  }
})

test('self-mapped page table; write through it to its own PTE', () => {
  const { memory, walkAt } = four()
  // The page table's own page, at entry 5 of itself.
  const own = guest.entryGpa(4, 1, 0x5000n)
  memory.store(own, 0x1027n)
  const result = walkAt(paging.ACCESS_WRITE, 0x5000 + 5 * 8)
  expect(result).toMatchObject({ status: paging.WALK_OK, gpa: own, leafGpa: own })
  // D is set by the walk, before the guest's store replaces the entry.
  expect(memory.at(own)).toBe(0x1067n)
  memory.store(own, 0x9027n)
  expect(walkAt(paging.ACCESS_READ, 0x5000).gpa).toBe(0x9000)
})

describe('PTE widened without INVLPG: no guest-visible #PF after rewalk', () => {
  test.each([
    { what: 'P 0→1', before: 0x7026n, after: 0x7027n, access: paging.ACCESS_READ },
    { what: 'RW 0→1', before: 0x7025n, after: 0x7027n, access: paging.ACCESS_WRITE },
    { what: 'US 0→1', before: 0x7023n, after: 0x7027n, access: paging.ACCESS_USER },
    { what: 'NX 1→0', before: (1n << 63n) | 0x7027n, after: 0x7027n, access: paging.ACCESS_FETCH },
  ])('$what at every level, with a paging-structure cache', ({ before, after, access }) => {
    for (let level = 1; level <= 4; level++) {
      const memory = new guest.Memory()
      guest.buildPath(memory, 4, 0n, PAGE)
      const table = memory.at(guest.entryGpa(4, level, 0n)) & ~0xfffn
      const context = guest.contextOf({
        ...guest.registersFor(4),
        cr0: guest.CR0_PE_PG + guest.CR0_WP,
        efer: guest.LMA | guest.NXE,
      })
      const cache = new paging.PagingStructureCache()
      const result = new paging.WalkResult()
      const walkIt = (each: number): number => paging.walk(context, memory, 0, 0, each, result, cache)
      memory.store(guest.entryGpa(4, level, 0n), (before & ~0xf000n) | table)
      walkIt(paging.ACCESS_READ)
      memory.store(guest.entryGpa(4, level, 0n), (after & ~0xf000n) | table)
      expect(walkIt(access)).toBe(paging.WALK_OK)
    }
  })
})

test('PSE-36 page above 4 GiB, bit 21 set', () => {
  const memory = new guest.Memory()
  const directory = guest.entryGpa(2, 2, 0x1234_5678n)
  memory.store(directory, 0x8800_0000n | 0x0f_e000n | 0xa7n)
  const context = guest.contextOf({ ...guest.registersFor(2), cr4: guest.CR4.PSE })
  const result = new paging.WalkResult()
  paging.probe(context, memory, 0x1234_5678, 0, paging.ACCESS_READ, result)
  expect(result).toMatchObject({ status: paging.WALK_OK, gpa: 0x7f_8834_5678, pageBytes: 4 << 20 })
  memory.store(directory, memory.at(directory) | (1n << 21n))
  paging.probe(context, memory, 0x1234_5678, 0, paging.ACCESS_READ, result)
  expect(result).toMatchObject({ status: paging.WALK_FAULT, pfec: 0x09, level: 2 })
})

test('PML4E.G on AMD vs Intel', () => {
  for (const amd of [false, true]) {
    const { memory, walkAt } = four({ cpu: { amd }, cr4: guest.CR4.PAE | guest.CR4.PGE })
    memory.store(guest.entryGpa(4, 4, 0n), memory.at(guest.entryGpa(4, 4, 0n)) | 0x100n)
    const result = walkAt(paging.ACCESS_READ)
    expect([result.status, result.pfec, result.flags & paging.MAP_GLOBAL]).toEqual(
      amd ? [paging.WALK_FAULT, 9, 0] : [paging.WALK_OK, 0, 0],
    )
  }
})

describe('between the passes of an instruction that waits for a device', () => {
  /** One page read and one written, before and after another party has edited the tables. */
  function passes(edit: (memory: guest.Memory) => void): {
    first: number[]
    second: number[]
    next: number[]
    memory: guest.Memory
  } {
    const memory = new guest.Memory()
    guest.buildPath(memory, 4, 0n, PAGE)
    memory.store(guest.entryGpa(4, 1, 0x1000n), 0x8007n)
    const context = guest.contextOf(guest.registersFor(4))
    const log = new AccessLog()
    const tables = new LoggedTables(log, memory)
    const result = new paging.WalkResult()
    const pass = (): number[] =>
      [
        { linear: 0x10, access: paging.ACCESS_READ },
        { linear: 0x1020, access: paging.ACCESS_WRITE },
      ].map(({ linear, access }) => {
        log.beginWalk()
        return paging.walk(context, tables, linear, 0, access, result) === paging.WALK_OK ? result.gpa : -1
      })
    log.begin()
    const first = pass()
    edit(memory)
    log.restart()
    const second = pass()
    log.end()
    log.begin()
    const next = pass()
    return { first, second, next, memory }
  }
  const WHOLE = [0x7010, 0x8020]
  const leaf = guest.entryGpa(4, 1, 0x1000n)

  test('PTE cleared: the instruction goes on, the next one faults', () => {
    const { first, second, next, memory } = passes((each) => each.store(leaf, 0n))
    expect([first, second, next]).toEqual([WHOLE, WHOLE, [0x7010, -1]])
    // And A and D have not come back.
    expect(memory.at(leaf)).toBe(0n)
  })

  test('PTE remapped: the instruction stays where it was, the next one goes to the new page', () => {
    const { first, second, next } = passes((each) => each.store(leaf, 0x9007n))
    expect([first, second, next]).toEqual([WHOLE, WHOLE, [0x7010, 0x9020]])
  })

  test('table freed: the instruction goes on, the next one faults', () => {
    const { first, second, next } = passes((each) => {
      each.store(guest.entryGpa(4, 2, 0n), 0n)
      // The frame is given to someone else.
      for (const gpa of [guest.entryGpa(4, 1, 0n), leaf]) each.store(gpa, ~0n & ((1n << 64n) - 1n))
    })
    expect([first, second, next]).toEqual([WHOLE, WHOLE, [-1, -1]])
  })

  test('PTE rewritten during a pending device read', () => {
    // Rights taken away, another page, and then the old entry again without its A and D bits.
    for (const value of [0x8001n, 0xa007n, 0x8007n]) {
      const { first, second, memory } = passes((each) => each.store(leaf, value))
      expect([first, second]).toEqual([WHOLE, WHOLE])
      // Only the next instruction's walk sets bits in the new entry.
      expect(memory.at(leaf) & ~0x60n).toBe(value)
    }
  })
})
