import { PAGE_BYTES } from '@retrap/memory'
import type { CodeSource, UnitCode } from './unit-code.ts'
import type { UnitEntries } from './unit.ts'

/** Most codes with the same key: all are compared with a place. */
const MOST_ALIKE = 4
/** R_FUNCTION has 16 bits. */
const MOST_ENTRIES = 1 << 16

/**
 * Compiled code: entries of the function tables of all interpreters. Code that no unit has any more is kept, until its room
 * is needed: a page that is written or forgotten often has the same bytes soon.
 */
export class UnitCodes {
  readonly #tables: UnitEntries[] = []
  readonly #all = new Set<UnitCode>()
  /** Codes by {@link CodeSource.key}, newest last; without replaced code. */
  readonly #byKey = new Map<number, UnitCode[]>()
  /** Count of code that begins at each offset of a page. */
  readonly #counts = new Uint32Array(PAGE_BYTES)
  /** Code without units, least recently used first. */
  readonly #kept = new Set<UnitCode>()
  /** Free entries of the table, left by removed code. */
  readonly #free: number[] = []
  #nextEntry: number
  /** Functions that all code uses: they are never removed. */
  readonly #lasting: { readonly module: object; readonly entry: number }[] = []
  /** Size of all modules, in bytes. */
  bytes = 0
  /** Size of the modules without units, in bytes. */
  keptBytes = 0

  /** @param firstEntry - the table's first entry for code */
  constructor(firstEntry: number) {
    this.#nextEntry = firstEntry
  }

  /** Adds an interpreter's table, and enters existing code into it. */
  addTable(table: UnitEntries): void {
    this.#tables.push(table)
    for (const { module, entry } of this.#lasting) table.install(module, entry)
    for (const { module, entry } of this.#all) table.install(module, entry)
  }

  /** Takes the table of an interpreter out that executes no more. */
  removeTable(table: UnitEntries): void {
    const index = this.#tables.indexOf(table)
    if (index >= 0) this.#tables.splice(index, 1)
  }

  /** Adds a function that stays, for all code. @param entry - before the first of code */
  addLasting(module: object, entry: number): void {
    this.#lasting.push({ module, entry })
    for (const table of this.#tables) table.install(module, entry)
  }

  /** Returns whether there is no entry of the table for more code. */
  isFull(): boolean {
    return this.#free.length === 0 && this.#nextEntry >= MOST_ENTRIES
  }

  /**
   * Adds code without a unit. All processors may then execute it.
   *
   * @param stored - identity of the code in the store
   * @throws errors of `WebAssembly.Instance`, with nothing added
   */
  add(module: object, bytes: number, source: CodeSource, stored?: number): UnitCode {
    const entry = this.#free.at(-1) ?? this.#nextEntry
    for (const table of this.#tables) table.install(module, entry)
    if (this.#free.pop() === undefined) this.#nextEntry++
    const code: UnitCode = { ...source, entry, module, bytes, stored, users: 0, better: undefined }
    this.#all.add(code)
    this.#byKey.set(code.key, [...this.of(code.key), code])
    this.#counts[code.offset]!++
    this.#forgetOldest(code.key)
    this.bytes += bytes
    this.#keep(code)
    return code
  }

  /** Returns whether any code begins at an offset of its page. */
  isAt(offset: number): boolean {
    return this.#counts[offset] !== 0
  }

  /** Returns the code that places with a key may have, the newest last. */
  of(key: number): readonly UnitCode[] {
    return this.#byKey.get(key) ?? []
  }

  #keep(code: UnitCode): void {
    this.#kept.add(code)
    this.keptBytes += code.bytes
  }

  /** A unit has the code. */
  take(code: UnitCode): void {
    if (this.#kept.delete(code)) this.keptBytes -= code.bytes
    code.users++
  }

  /** A unit has the code no more. @param isKept - the code is kept for later, unless there is better */
  release(code: UnitCode, isKept: boolean): void {
    code.users--
    if (code.users > 0) return
    this.#keep(code)
    if (!isKept || !this.of(code.key).includes(code)) this.#drop(code)
  }

  /** Returns the newest replacement of a code, or the code itself. */
  latest(code: UnitCode): UnitCode {
    let latest = code
    for (let next = code.better; next !== undefined; next = next.better) if (this.#all.has(next)) latest = next
    return latest
  }

  /** Replaces code by better code for the same places. */
  replace(code: UnitCode, better: UnitCode): void {
    code.better = better
    this.#forget(code)
  }

  /** Code that is written again and again has many forms: the latest are most likely to occur again. */
  #forgetOldest(key: number): void {
    const [oldest, ...others] = this.of(key)
    if (oldest === undefined || others.length < MOST_ALIKE) return
    if (oldest.users === 0) this.#drop(oldest)
    else this.#forget(oldest)
  }

  #forget(code: UnitCode): void {
    const all = this.of(code.key)
    const others = all.filter((each) => each !== code)
    if (others.length === all.length) return
    this.#counts[code.offset]!--
    if (others.length > 0) this.#byKey.set(code.key, others)
    else this.#byKey.delete(code.key)
  }

  /** Drops the code that has been unused for longest. @returns false if all code is in use */
  dropOldest(): boolean {
    const [oldest] = this.#kept
    if (oldest === undefined) return false
    this.#drop(oldest)
    return true
  }

  #drop(code: UnitCode): void {
    for (const table of this.#tables) table.uninstall(code.entry)
    this.#forget(code)
    this.#all.delete(code)
    this.#kept.delete(code)
    this.#free.push(code.entry)
    this.keptBytes -= code.bytes
    this.bytes -= code.bytes
  }
}
