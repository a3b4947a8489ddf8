import { AccessKind } from './kinds.ts'
import { STATUS_DONE } from './status.ts'
import * as L from './layout.ts'
import { at } from './layout.ts'
import type { LogStore } from './log-store.ts'

/**
 * The page-table entries that an instruction's walks have read, found by address.
 *
 * Walks are numbered within a pass. An entry is read from memory once, and is good for the walk that read it and all
 * later ones, until a walk finds that it changed in memory (its A/D exchange failed): that walk and later ones read it
 * afresh. So each record has the numbers of its walks, and every pass gives each walk the same entries.
 */
export class WalkReads {
  readonly #store: LogStore
  readonly #w: Int32Array

  constructor(store: LogStore) {
    this.#store = store
    this.#w = store.words
  }

  /** A new pass: walks are numbered from the start again. */
  restart(): void {
    this.#w[L.H_WALK] = 0
    for (let entry = this.#last(); entry >= 0; entry = this.#before(entry)) this.#w[at(entry, L.E_USED)] = 0
  }

  begin(): void {
    this.#w[L.H_WALK]! += 1
  }

  find(lo: number, hi: number): number {
    const w = this.#w
    const walk = w[L.H_WALK]!
    let found = -1
    let born = L.NEVER
    for (let entry = this.#last(); entry >= 0; entry = this.#before(entry)) {
      if (w[at(entry, L.E_LO)] !== (lo | 0) || w[at(entry, L.E_HI)] !== (hi | 0)) continue
      if (w[at(entry, L.E_DIED)]! <= walk) continue
      // Normally one value is left, and it is older than the walk. Where a pass leaves out a walk that an earlier pass made
      // (its result being pinned), numbers run behind: the oldest value that is still good is the one.
      if (w[at(entry, L.E_BORN)]! >= born) continue
      found = entry
      born = w[at(entry, L.E_BORN)]!
    }
    if (found >= 0) w[at(found, L.E_USED)] = walk
    return found
  }

  record(lo: number, hi: number, size: number, dataLo: number, dataHi: number, tag: number): number {
    const w = this.#w
    let entry = this.#discarded()
    if (entry < 0) {
      entry = this.#store.append(AccessKind.WALK_READ, lo, hi, size, 0)
      this.#link(entry)
    }
    w[at(entry, L.E_STATE)] = STATUS_DONE
    w[at(entry, L.E_SIZE)] = size
    w[at(entry, L.E_TAG)] = tag
    w[at(entry, L.E_LO)] = lo
    w[at(entry, L.E_HI)] = hi
    w[at(entry, L.E_BORN)] = w[L.H_WALK]!
    w[at(entry, L.E_DIED)] = L.NEVER
    w[at(entry, L.E_USED)] = w[L.H_WALK]!
    this.#store.setData(entry, dataLo, dataHi)
    return entry
  }

  recordAdWrite(lo: number, hi: number, size: number, dataLo: number, dataHi: number): void {
    let written = this.#adWrite(lo, hi)
    if (written < 0) written = this.#store.append(AccessKind.WALK_AD_WRITE, lo, hi, size, 0)
    this.#w[at(written, L.E_STATE)] = STATUS_DONE
    this.#store.setData(written, dataLo, dataHi)
    const read = this.find(lo, hi)
    if (read >= 0) this.#store.setData(read, dataLo, dataHi)
  }

  drop(): void {
    const w = this.#w
    const walk = w[L.H_WALK]!
    for (let entry = this.#last(); entry >= 0; entry = this.#before(entry)) {
      if (w[at(entry, L.E_USED)] === walk && w[at(entry, L.E_DIED)]! > walk) w[at(entry, L.E_DIED)] = walk
    }
  }

  /** The walks that a record is good for: from `born` to before `died`. */
  walksOf(index: number): { born: number; died: number } {
    return { born: this.#w[at(index, L.E_BORN)]!, died: this.#w[at(index, L.E_DIED)]! }
  }

  /** Makes a walk read of a record just appended, for a restored log. */
  restore(index: number, born: number, died: number): void {
    this.#w[at(index, L.E_BORN)] = born
    this.#w[at(index, L.E_DIED)] = died
    this.#link(index)
  }

  #last(): number {
    return this.#w[L.H_LAST_WALK]! - 1
  }

  #before(entry: number): number {
    return this.#w[at(entry, L.E_NEXT)]!
  }

  #link(entry: number): void {
    this.#w[at(entry, L.E_NEXT)] = this.#last()
    this.#w[L.H_LAST_WALK] = entry + 1
  }

  /** A record that no walk of any pass can find any more, or −1. */
  #discarded(): number {
    const w = this.#w
    for (let entry = this.#last(); entry >= 0; entry = this.#before(entry)) {
      if (w[at(entry, L.E_BORN)] === w[at(entry, L.E_DIED)]) return entry
    }
    return -1
  }

  #adWrite(lo: number, hi: number): number {
    const w = this.#w
    for (let entry = w[L.H_COUNT]! - 1; entry >= 0; entry--) {
      if (w[at(entry, L.E_KIND)] !== AccessKind.WALK_AD_WRITE) continue
      if (w[at(entry, L.E_LO)] === (lo | 0) && w[at(entry, L.E_HI)] === (hi | 0)) return entry
    }
    return -1
  }
}
