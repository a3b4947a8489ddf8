// A second walker, written from the SDM's tables as data and in bigints, sharing nothing with the first one.
import type { PagingCpu } from '@retrap/paging'
import { CR0_WP, CR4, LMA, NXE } from './guest.ts'

export interface NaiveState {
  readonly cpu: PagingCpu
  readonly cr0: number
  readonly cr3: bigint
  readonly cr4: number
  readonly efer: number
  readonly pkru: number
  readonly pkrs: number
  readonly pdptes: readonly bigint[]
}

export interface NaiveAccess {
  readonly write: boolean
  readonly user: boolean
  readonly fetch: boolean
  readonly implicit: boolean
  readonly ac: boolean
  readonly shadow?: boolean
}

export type NaiveResult =
  | { kind: 'fault'; pfec: number; level: number }
  | {
      kind: 'mapped'
      gpa: bigint
      pageBytes: bigint
      rw: boolean
      us: boolean
      /** A shadow-stack page. */
      ss: boolean
      nx: boolean
      g: boolean
      d: boolean
      key: number
      level: number
      /** Entries changed by A and D, by address. */
      updates: Map<bigint, bigint>
    }

interface Level {
  readonly level: number
  readonly shift: bigint
  readonly bits: bigint
}

const bit = (n: number): bigint => 1n << BigInt(n)
const range = (high: number, low: number): bigint => (high < low ? 0n : (bit(high - low + 1) - 1n) << BigInt(low))

const LONG: readonly Level[] = [
  { level: 5, shift: 48n, bits: 9n },
  { level: 4, shift: 39n, bits: 9n },
  { level: 3, shift: 30n, bits: 9n },
  { level: 2, shift: 21n, bits: 9n },
  { level: 1, shift: 12n, bits: 9n },
]
const PAE: readonly Level[] = [
  { level: 3, shift: 30n, bits: 2n },
  { level: 2, shift: 21n, bits: 9n },
  { level: 1, shift: 12n, bits: 9n },
]
const TWO: readonly Level[] = [
  { level: 2, shift: 22n, bits: 10n },
  { level: 1, shift: 12n, bits: 10n },
]

/** Walks as the tables of the SDM say, entry by entry. `memory` is undefined where there is none. */
export function naiveWalk(
  state: NaiveState,
  memory: (gpa: bigint, bytes: 4 | 8) => bigint | undefined,
  linear: bigint,
  access: NaiveAccess,
): NaiveResult {
  const { cpu, cr4, efer } = state
  const maxphy = cpu.maxPhysicalBits
  const long = (efer & LMA) === LMA
  const pae = (cr4 & CR4.PAE) !== 0
  const nxe = (efer & NXE) !== 0
  const user = access.user && !access.implicit
  const shadow = access.shadow === true
  const code =
    (access.write ? 2 : 0) |
    (shadow ? 64 : 0) |
    (user ? 4 : 0) |
    (access.fetch && ((cr4 & CR4.SMEP) !== 0 || (nxe && pae)) ? 16 : 0)

  const levels = long ? ((cr4 & CR4.LA57) !== 0 ? LONG : LONG.slice(1)) : pae ? PAE : TWO
  const entryBytes = long || pae ? 8 : 4
  let table = long ? state.cr3 & range(maxphy - 1, 12) : pae ? state.cr3 & range(31, 5) : state.cr3 & range(31, 12)
  const path: { address: bigint; value: bigint; isRegister: boolean }[] = []

  for (const { level, shift, bits } of levels) {
    const index = (linear >> shift) & ((1n << bits) - 1n)
    const address = table + index * BigInt(entryBytes)
    const isPdpte = !long && pae && level === 3
    const isRegister = isPdpte && !cpu.amd
    const value = isRegister ? state.pdptes[Number(index)] : memory(address, entryBytes)
    if (value === undefined || (value & 1n) === 0n) return { kind: 'fault', pfec: code, level }
    const ps = (value & bit(7)) !== 0n
    const leaf =
      level === 1 ||
      (long && (level === 2 || level === 3) && ps) ||
      (!long && pae && level === 2 && ps) ||
      (!pae && !long && level === 2 && ps && (cr4 & CR4.PSE) !== 0)

    let reserved = 0n
    if (entryBytes === 8) {
      reserved |= range(51, maxphy)
      if (isPdpte) {
        reserved |= bit(1) | bit(2) | range(8, 5) | range(63, 52)
      } else {
        if (!nxe) reserved |= bit(63)
        if (!long) reserved |= range(62, 52)
        if (long && level >= 4) reserved |= bit(7) | (cpu.amd ? bit(8) : 0n)
        if (long && level === 3) reserved |= cpu.pages1G ? (ps ? range(29, 13) : 0n) : bit(7)
        if (level === 2 && ps) reserved |= range(20, 13)
      }
    } else if (level === 2 && leaf) {
      reserved |= bit(21)
      const above = cpu.pse36 ? Math.min(maxphy, 40) : 32
      for (let pa = above; pa < 40; pa++) reserved |= bit(pa - 32 + 13)
    }
    if (!isRegister && (value & reserved) !== 0n) return { kind: 'fault', pfec: code | 9, level }

    path.push({ address, value, isRegister: isPdpte })
    if (!leaf) {
      table = value & range(entryBytes === 8 ? 51 : 31, 12)
      continue
    }

    const rights = path.filter((entry) => !entry.isRegister)
    const rw = rights.every((entry) => (entry.value & 2n) !== 0n)
    const us = rights.every((entry) => (entry.value & 4n) !== 0n)
    // "Shadow-stack address": CR4.CET, R/W is 1 in every entry but the last, where it is 0, and the last is dirty.
    const uppers = rights.filter((entry) => entry !== path.at(-1))
    const ss = (cr4 & CR4.CET) !== 0 && uppers.every((entry) => (entry.value & 2n) !== 0n) && (value & 0x42n) === 0x40n
    const nx = entryBytes === 8 && rights.some((entry) => (entry.value & bit(63)) !== 0n)
    const key = long ? Number((value >> 59n) & 15n) : 0
    const wp = (state.cr0 & CR0_WP) !== 0
    const keysOn = long && (cr4 & (us ? CR4.PKE : CR4.PKS)) !== 0
    const keyBits = keysOn ? ((us ? state.pkru : state.pkrs) >>> (key * 2)) & 3 : 0
    const rules = [
      { pk: true, denies: !access.fetch && (keyBits & 1) !== 0 },
      { pk: true, denies: access.write && (keyBits & 2) !== 0 && (user || wp) },
      { pk: false, denies: access.fetch && nx },
      { pk: false, denies: shadow && !ss },
      { pk: false, denies: shadow && user !== us },
      { pk: false, denies: user && !us },
      { pk: false, denies: user && access.write && !rw && !shadow },
      { pk: false, denies: !user && us && access.fetch && (cr4 & CR4.SMEP) !== 0 },
      { pk: false, denies: !user && us && !access.fetch && (cr4 & CR4.SMAP) !== 0 && (access.implicit || !access.ac) },
      { pk: false, denies: !user && access.write && !rw && wp && !shadow },
    ].filter((rule) => rule.denies)
    if (rules.length > 0) return { kind: 'fault', pfec: code | 1 | (rules.some((rule) => rule.pk) ? 32 : 0), level }

    const updates = new Map<bigint, bigint>()
    let d = false
    for (const entry of rights) {
      const isLeaf = entry === path.at(-1)
      const after = entry.value | 0x20n | (isLeaf && access.write ? 0x40n : 0n)
      if (isLeaf) d = (after & 0x40n) !== 0n
      if (after !== entry.value) updates.set(entry.address, (updates.get(entry.address) ?? 0n) | after)
    }
    const pageBytes = 1n << shift
    let base = value & range(entryBytes === 8 ? 51 : 31, Number(shift))
    if (entryBytes === 4 && level === 2) base |= ((value >> 13n) & 0xffn) << 32n
    return {
      kind: 'mapped',
      gpa: base | (linear & (pageBytes - 1n)),
      ...{ pageBytes, rw, us, ss, nx, key, level, updates, d },
      g: (value & bit(8)) !== 0n && (cr4 & CR4.PGE) !== 0,
    }
  }
  throw new Error('a walk without a leaf')
}
