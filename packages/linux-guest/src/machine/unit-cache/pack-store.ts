import { crc32 } from 'node:zlib'
import type { CodeStore, StoredCode } from '@retrap/x86-cpu'
import { MOST_CODE_BYTES, type PackEntry } from './pack.ts'
import { bounded, PackFile, type PackedCode, writePack } from './pack-file.ts'

/** Bytes of code at most that wait to be written; beyond them, code is not kept. */
const MOST_WAITING = 8 << 20
/** Hours after which the use of code is recorded again. */
const MARK_AFTER = 24

const hoursNow = (): number => Math.floor(Date.now() / 3_600_000)
const nameOf = ({ key, bytes, sum }: PackEntry): string => `${key} ${bytes} ${sum}`

/** A piece of code, as the compiler knows it. */
class Held implements StoredCode {
  readonly id: number
  /** Place of the code's bytes, which changes when the pack is rewritten. */
  code: PackedCode
  isUsed = false

  constructor(id: number, code: PackedCode) {
    this.id = id
    this.code = code
  }

  read(): Uint8Array | undefined {
    this.isUsed = true
    return this.code.read()
  }
}

/** Compiled code of one configuration: a pack, and the code compiled since it was read. */
export class PackStore implements CodeStore {
  readonly #path: string
  readonly #onChange: () => void
  #pack: PackFile | undefined
  readonly #held = new Map<number, Held>()
  readonly #byKey = new Map<number, Held[]>()
  /** The names that were dropped since the last writing. */
  readonly #dropped = new Set<string>()
  #last = 0
  /** Bytes that wait to be written. */
  #waiting = 0
  #isChanged = false

  /** @param onChange - called when new code waits to be written */
  constructor(path: string, onChange: () => void) {
    this.#path = path
    this.#onChange = onChange
    this.#pack = PackFile.open(path)
    for (const code of this.#pack?.codes ?? []) this.#hold(new Held(++this.#last, code))
  }

  #hold(held: Held): void {
    const { key } = held.code
    this.#held.set(held.id, held)
    const alike = this.#byKey.get(key)
    if (alike === undefined) this.#byKey.set(key, [held])
    else alike.push(held)
  }

  has(key: number): boolean {
    return this.#byKey.has(key)
  }

  find(key: number): readonly StoredCode[] {
    return this.#byKey.get(key) ?? []
  }

  add(key: number, code: Uint8Array, instead: number | undefined): number {
    if (instead !== undefined) this.drop(instead)
    const id = ++this.#last
    if (this.#waiting + code.length > MOST_WAITING || code.length > MOST_CODE_BYTES) return id
    this.#waiting += code.length
    this.#hold(new Held(id, { key, bytes: code.length, sum: crc32(code), used: hoursNow(), read: () => code }))
    this.#change()
    return id
  }

  drop(id: number): void {
    const held = this.#held.get(id)
    if (held === undefined) return
    this.#held.delete(id)
    const { key } = held.code
    const others = this.#byKey.get(key)!.filter((each) => each !== held)
    if (others.length > 0) this.#byKey.set(key, others)
    else this.#byKey.delete(key)
    this.#dropped.add(nameOf(held.code))
    this.#change()
  }

  #change(): void {
    this.#isChanged = true
    this.#onChange()
  }

  /**
   * Writes all code, merged with other processes' writes since. Of two simultaneous writers, the first one's code is
   * lost.
   *
   * @returns whether new code had to be written
   * @throws whatever `node:fs` throws
   */
  write(): boolean {
    const now = hoursNow()
    const isStale = [...this.#held.values()].some(({ isUsed, code }) => isUsed && now - code.used >= MARK_AFTER)
    if (!this.#isChanged && !isStale) return false
    const there = PackFile.open(this.#path)
    try {
      writePack(this.#path, bounded(this.#merged(there, now)))
    } finally {
      there?.close()
    }
    this.#isChanged = false
    this.#reopen()
    return true
  }

  /** Merges the code that is known here with the code of the file, which another process may have written. */
  #merged(there: PackFile | undefined, now: number): PackedCode[] {
    const all = new Map<string, PackedCode>()
    if (there?.identity !== this.#pack?.identity)
      for (const code of there?.codes ?? []) if (!this.#dropped.has(nameOf(code))) all.set(nameOf(code), code)
    for (const { isUsed, code } of this.#held.values()) {
      const name = nameOf(code)
      const used = isUsed ? now : Math.max(code.used, all.get(name)?.used ?? 0)
      // Code that others have added since stays the newest.
      all.set(name, { ...code, used })
    }
    return [...all.values()]
  }

  /** Opens the file that was written, which has all code now. Code keeps the names that the compiler knows. */
  #reopen(): void {
    const pack = PackFile.open(this.#path)
    if (pack === undefined) return
    const known = new Map([...this.#held.values()].map((held) => [nameOf(held.code), held]))
    this.#held.clear()
    this.#byKey.clear()
    this.#dropped.clear()
    this.#waiting = 0
    for (const code of pack.codes) {
      const held = known.get(nameOf(code)) ?? new Held(++this.#last, code)
      held.code = code
      this.#hold(held)
    }
    this.#pack?.close()
    this.#pack = pack
  }

  /** Closes the file: its code is no longer found. */
  close(): void {
    this.#held.clear()
    this.#byKey.clear()
    this.#pack?.close()
    this.#pack = undefined
  }
}
