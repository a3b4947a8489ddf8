import * as paging from '../../src/index.ts'
import { contextOf, CR0_PE_PG, CR0_WP, CR4, give, LMA, NXE, pair } from './guest.ts'
import { naiveWalk, type NaiveAccess, type NaiveState } from './naive.ts'

/** Tables whose entries are a function of seed and address, made when first read. */
class RandomTables implements paging.TableReader {
  readonly entries = new Map<number, bigint>()
  /** Addresses whose first exchange fails because "another vCPU" has set A there. */
  readonly raced = new Set<number>()
  readonly #random: () => number
  readonly #mask: bigint
  readonly #pae: boolean

  constructor(random: () => number, addressMask: bigint, pae: boolean) {
    this.#random = random
    this.#pae = pae
    this.#mask = addressMask
  }

  entry(gpa: number, bytes: 4 | 8): bigint | undefined {
    const known = this.entries.get(gpa)
    if (known !== undefined) return known < 0n ? undefined : known
    const random = this.#random
    // 0, the plainest draw, is false.
    const chance = (one: number): boolean => random() * one >= one - 1
    if (chance(64)) {
      this.entries.set(gpa, -1n)
      return undefined
    }
    const low = Math.floor(random() * 0x1000) & 0xf18 // ignored, G, PCD, PWT
    let value = BigInt(low | (chance(30) ? 0 : 1) | (chance(4) ? 0 : 2) | (chance(4) ? 0 : 4))
    value |= BigInt((chance(2) ? 0x20 : 0) | (chance(2) ? 0x40 : 0) | (chance(6) ? 0x80 : 0))
    value |= (BigInt(Math.floor(random() * 2 ** 32)) << 12n) & this.#mask
    if (bytes === 8) {
      value |= (BigInt(Math.floor(random() * 2 ** 20)) << 32n) & this.#mask
      // Ignored or a protection key in long mode, reserved in PAE.
      if (chance(this.#pae ? 20 : 2)) value |= BigInt(Math.floor(random() * 2 ** 11)) << 52n
      if (chance(10)) value |= 1n << 63n
      // Large pages want their low address bits clear, or every one of them would have reserved bits.
      if ((value & 0x80n) !== 0n && !chance(6)) value &= ~0x3fff_e000n
    } else {
      value &= 0xffff_ffffn
      if (chance(3)) value &= ~(1n << 21n)
    }
    if (chance(20)) value ^= 1n << BigInt(Math.floor(random() * bytes * 8))
    this.entries.set(gpa, value)
    if (chance(40)) this.raced.add(gpa)
    return value
  }

  read32(gpa: number, into: Uint32Array): boolean {
    return give(this.entry(gpa, 4), into)
  }

  read64(gpa: number, into: Uint32Array): boolean {
    return give(this.entry(gpa, 8), into)
  }

  compareExchange32(gpa: number, expect: number, value: number): boolean {
    return this.compareExchange64(gpa, expect, 0, value, 0)
  }

  compareExchange64(gpa: number, expectLo: number, expectHi: number, lo: number, hi: number): boolean {
    const now = this.entries.get(gpa) as bigint
    if (this.raced.delete(gpa)) {
      this.entries.set(gpa, now | 0x20n)
      return (
        (now | 0x20n) === now &&
        now === pair(expectLo, expectHi) &&
        this.compareExchange64(gpa, expectLo, expectHi, lo, hi)
      )
    }
    if (now !== pair(expectLo, expectHi)) return false
    this.entries.set(gpa, pair(lo, hi))
    return true
  }
}

const result = new paging.WalkResult()

/**
 * One random processor, set of control registers, set of tables and access, walked by both walkers.
 *
 * @returns undefined if they agree, else what differs; `kind` counts what was seen
 */
export function randomCase(random: () => number, seen: Map<string, number> = new Map()): string | undefined {
  const pick = <T>(...choices: T[]): T => choices[Math.floor(random() * choices.length)] as T
  const flag = (): boolean => random() >= 0.5
  const cpu = { maxPhysicalBits: pick(32, 36, 39, 40, 46, 52), pages1G: flag(), pse36: flag(), amd: flag() }
  const mode = pick(2, 3, 4, 5)
  let cr4 = mode === 2 ? 0 : CR4.PAE
  if (mode === 5) cr4 |= CR4.LA57
  for (const each of [CR4.PSE, CR4.PGE, CR4.SMEP, CR4.SMAP, CR4.PKE, CR4.PKS, CR4.CET]) if (flag()) cr4 |= each
  const efer = (mode >= 4 ? LMA : 0) | (flag() ? NXE : 0)
  // CET cannot be on without WP.
  const cr0 = (CR0_PE_PG | (flag() || (cr4 & CR4.CET) !== 0 ? CR0_WP : 0)) >>> 0
  const addressMask = ((1n << BigInt(cpu.maxPhysicalBits)) - 1n) & ~0xfffn
  const cr3 = (BigInt(Math.floor(random() * 2 ** 40)) << 5n) & ((addressMask & ~0xfffn) | 0xfe0n)
  const keys = (): number => (flag() ? 0 : Math.floor(random() * 2 ** 32))
  const state: NaiveState = { cpu, cr0, cr3, cr4, efer, pkru: keys(), pkrs: keys(), pdptes: [] }
  const context = contextOf(state)
  const tables = new RandomTables(random, addressMask, mode === 3)
  if (mode === 3) {
    const registers = Array.from(
      { length: 4 },
      () => ((BigInt(Math.floor(random() * 2 ** 40)) << 12n) & addressMask) | (random() < 0.9 ? 1n : 0n),
    )
    Object.assign(state, { pdptes: registers })
    registers.forEach((value, i) => {
      context.pdptes[i * 2] = Number(value & 0xffff_ffffn)
      context.pdptes[i * 2 + 1] = Number(value >> 32n)
    })
  }
  const linearLo = Math.floor(random() * 2 ** 32)
  const linearHi = mode < 4 ? 0 : Math.floor(random() * 2 ** 32)
  const fetch = random() >= 0.75
  const access: NaiveAccess = {
    fetch,
    write: !fetch && flag(),
    user: flag(),
    implicit: !fetch && random() >= 0.8,
    ac: flag(),
    shadow: !fetch && (cr4 & CR4.CET) !== 0 && random() >= 0.7,
  }
  const bits =
    (access.write ? paging.ACCESS_WRITE : 0) |
    (access.user ? paging.ACCESS_USER : 0) |
    (fetch ? paging.ACCESS_FETCH : 0) |
    (access.implicit ? paging.ACCESS_IMPLICIT : 0) |
    (access.ac ? paging.ACCESS_AC : 0) |
    (access.shadow === true ? paging.ACCESS_SHADOW_STACK : 0)

  const read = (gpa: bigint, bytes: 4 | 8): bigint | undefined => tables.entry(Number(gpa), bytes)
  const expected = naiveWalk(state, read, pair(linearLo, linearHi), access)
  const before = new Map(tables.entries)
  const describe = (what: string): string =>
    `${what}: mode ${mode} cr0 ${cr0.toString(16)} cr3 ${cr3.toString(16)} cr4 ${cr4.toString(16)} efer ` +
    `${efer.toString(16)} ${JSON.stringify(cpu)} linear ${pair(linearLo, linearHi).toString(16)} ` +
    `${JSON.stringify(access)} expected ${show(expected)} got ${show({ ...result })}`

  for (const update of [false, true]) {
    const status = (update ? paging.walk : paging.probe)(context, tables, linearLo, linearHi, bits, result)
    seen.set(`${mode} ${expected.kind}`, (seen.get(`${mode} ${expected.kind}`) ?? 0) + 1)
    if (expected.kind === 'fault') {
      if (status === paging.WALK_OK || result.pfec !== expected.pfec || result.level !== expected.level)
        return describe('fault')
      if (!sameEntries(tables.entries, before)) return describe('a walk that faults changes an entry')
      continue
    }
    const flags =
      (expected.rw ? paging.MAP_WRITABLE : 0) |
      (expected.us ? paging.MAP_USER : 0) |
      (expected.nx ? paging.MAP_NX : 0) |
      (expected.ss ? paging.MAP_SHADOW_STACK : 0) |
      (expected.g ? paging.MAP_GLOBAL : 0)
    if (
      status !== paging.WALK_OK ||
      BigInt(result.gpa) !== expected.gpa ||
      BigInt(result.pageBytes) !== expected.pageBytes ||
      (result.flags & ~paging.MAP_DIRTY) !== flags ||
      result.pkey !== expected.key ||
      result.level !== expected.level
    ) {
      return describe('mapping')
    }
    if (!update) {
      if (!sameEntries(tables.entries, before)) return describe('a probe changes an entry')
      continue
    }
    if (((result.flags & paging.MAP_DIRTY) !== 0) !== expected.d) return describe('dirty flag')
    for (const [gpa, value] of before) {
      if (tables.entries.get(gpa) !== (expected.updates.get(BigInt(gpa)) ?? value)) return describe(`A/D at ${gpa}`)
    }
  }
  return undefined
}

function sameEntries(a: Map<number, bigint>, b: Map<number, bigint>): boolean {
  return a.size === b.size && [...a].every(([gpa, value]) => b.get(gpa) === value)
}

function show(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) =>
    typeof item === 'bigint' ? `0x${item.toString(16)}` : item instanceof Map ? [...item] : item,
  )
}
