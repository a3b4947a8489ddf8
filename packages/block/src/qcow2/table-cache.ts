import { BlockError } from '@retrap/device'
import type { BlockStorage } from '../storage.ts'
import { viewOf } from './header.ts'

/** A table of one cluster, in memory. */
export interface Table {
  readonly offset: number
  readonly bytes: Uint8Array
  readonly view: DataView
  /** Whether nothing in the file refers to the table yet: it is written whole, before any reference. */
  isFresh: boolean
  /** The range that differs from the file; empty: 0 to 0. */
  from: number
  to: number
}

/** Least number of cached tables: one operation needs several at a time. */
const LEAST_TABLES = 4
/** Parts of a table are written in this unit, which a disk writes whole or not at all. */
const SECTOR = 512

/**
 * L2 tables or refcount blocks, by their offset in the file. The least recently used table is evicted first; a modified
 * table stays until it is written.
 *
 * Only one operation at a time changes tables. Others may load them meanwhile.
 */
export class TableCache {
  readonly #storage: BlockStorage
  readonly #tableBytes: number
  readonly #limit: number
  /** Least recently used first. */
  readonly tables: Map<number, Table> = new Map()
  readonly #loading = new Map<number, Promise<Table>>()
  readonly #dirty = new Set<Table>()

  constructor(storage: BlockStorage, tableBytes: number, limitBytes: number) {
    this.#storage = storage
    this.#tableBytes = tableBytes
    this.#limit = Math.max(LEAST_TABLES, Math.floor(limitBytes / tableBytes))
  }

  /** Whether tables have to be written before more are changed. */
  get isFull(): boolean {
    return this.#dirty.size * 2 >= this.#limit
  }

  get isDirty(): boolean {
    return this.#dirty.size > 0
  }

  get hasFresh(): boolean {
    for (const table of this.#dirty) if (table.isFresh) return true
    return false
  }

  /** Returns a table if it is in memory. */
  peek(offset: number): Table | undefined {
    const table = this.tables.get(offset)
    if (table !== undefined) {
      this.tables.delete(offset)
      this.tables.set(offset, table)
    }
    return table
  }

  /** @throws BlockError `ERR_MEDIUM` */
  load(offset: number): Promise<Table> {
    const table = this.peek(offset)
    if (table !== undefined) return Promise.resolve(table)
    const under = this.#loading.get(offset)
    if (under !== undefined) return under
    const loading: Promise<Table> = this.#read(offset).then(
      (loaded) => {
        // A table that was dropped meanwhile must not enter the cache again.
        if (this.#loading.get(offset) === loading) {
          this.#loading.delete(offset)
          this.#keep(loaded)
        }
        return loaded
      },
      (error: unknown) => {
        if (this.#loading.get(offset) === loading) this.#loading.delete(offset)
        throw error
      },
    )
    this.#loading.set(offset, loading)
    return loading
  }

  async #read(offset: number): Promise<Table> {
    if (offset % this.#tableBytes !== 0 || offset === 0 || offset + this.#tableBytes > this.#storage.bytes) {
      throw new BlockError('ERR_MEDIUM', `the qcow2 image is damaged: a table lies at ${offset}`)
    }
    const bytes = new Uint8Array(this.#tableBytes)
    await this.#storage.read(offset, bytes)
    return { offset, bytes, view: viewOf(bytes), isFresh: false, from: 0, to: 0 }
  }

  /** A table that is not in the file yet, filled with zeros. */
  add(offset: number): Table {
    const bytes = new Uint8Array(this.#tableBytes)
    const table = { offset, bytes, view: viewOf(bytes), isFresh: true, from: 0, to: bytes.length }
    this.#loading.delete(offset)
    this.#dirty.add(table)
    this.#keep(table)
    return table
  }

  /** Notes that a range of a table differs from the file. Call it in the same turn as the change. */
  change(table: Table, from: number, to: number): void {
    // The table may have been evicted and reloaded since the caller got it.
    if (this.tables.get(table.offset) !== table) {
      this.#loading.delete(table.offset)
      this.#keep(table)
    }
    const isClean = table.to === 0
    table.from = isClean ? from : Math.min(table.from, from)
    table.to = isClean ? to : Math.max(table.to, to)
    this.#dirty.add(table)
  }

  /** Drops a table whose cluster is reused. */
  drop(offset: number): void {
    const table = this.tables.get(offset)
    if (table !== undefined) this.#dirty.delete(table)
    this.tables.delete(offset)
    this.#loading.delete(offset)
  }

  /**
   * Writes the changed tables: either unreferenced ones or the others.
   *
   * @returns the tables, for `clean` once they are durable
   */
  async write(isFresh: boolean): Promise<readonly Table[]> {
    const tables = [...this.#dirty].filter((table) => table.isFresh === isFresh)
    for (const { offset, bytes, from, to } of tables) {
      const first = Math.floor(from / SECTOR) * SECTOR
      const last = Math.ceil(to / SECTOR) * SECTOR
      await this.#storage.write(offset + first, bytes.subarray(first, last))
    }
    return tables
  }

  /** Marks tables as equal to the file's. */
  clean(tables: readonly Table[]): void {
    for (const table of tables) {
      table.isFresh = false
      table.from = table.to = 0
      this.#dirty.delete(table)
    }
    this.#shrink()
  }

  #keep(table: Table): void {
    this.tables.delete(table.offset)
    this.tables.set(table.offset, table)
    this.#shrink()
  }

  #shrink(): void {
    let excess = this.tables.size - this.#limit
    if (excess <= 0) return
    for (const [offset, table] of this.tables) {
      if (this.#dirty.has(table)) continue
      this.tables.delete(offset)
      if (--excess === 0) return
    }
  }
}
