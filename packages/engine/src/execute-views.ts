import { PAGE_BYTES } from '@retrap/memory'
import { PARKED_WORDS } from './parked-entries.ts'
import { FLAG_SLOW, FLAG_VALID, makeSlow } from './tlb-layout.ts'

/** Most views kept. */
export const EXECUTE_VIEWS = 8

/** Most execute entries kept per view; a larger view is rebuilt when it becomes current again. */
const MOST_ENTRIES = 64

/** The saved execute entries of a view that is not current. */
interface ExecuteView {
  /** Groups of {@link PARKED_WORDS}: address of the entry, the first three words of the slow entry that stands for it, its slot table. */
  readonly words: Uint32Array
  /** Words in use. */
  length: number
}

/**
 * The execute entries of all views but the current one, and the addresses of the current one's.
 *
 * A view is the decoding of pages' code, and the set of pages that may be executed: on x86 the mode with base and limit
 * of CS. Firmware changes between two of them at each call of its 32-bit code.
 */
export class ExecuteViews {
  readonly #views: readonly ExecuteView[]
  /** Addresses of the execute entries made since the view became current, perhaps with duplicates. */
  readonly #current = new Uint32Array(MOST_ENTRIES)
  /** Number of entries; -1: more than are kept. */
  #count = 0

  readonly #u32: Uint32Array

  /** @param u32 - machine memory */
  constructor(u32: Uint32Array) {
    this.#u32 = u32
    this.#views = Array.from({ length: EXECUTE_VIEWS }, () => ({
      words: new Uint32Array(MOST_ENTRIES * PARKED_WORDS),
      length: 0,
    }))
  }

  /** An execute entry was made. */
  note(entry: number): void {
    if (this.#count < 0) return
    if (this.#count < MOST_ENTRIES) this.#current[this.#count++] = entry
    else this.#count = -1
  }

  /** The current view has no entries any more. */
  forgetCurrent(): void {
    this.#count = 0
  }

  /**
   * Makes all execute entries of the current view slow, and keeps them.
   *
   * @param view - the current view
   * @returns false if there are more than are kept: they are as they were
   */
  park(view: number): boolean {
    const kept = this.#views[view]!
    kept.length = 0
    if (this.#count < 0) return false
    const u32 = this.#u32
    const { words } = kept
    for (let i = 0; i < this.#count; i++) {
      const entry = this.#current[i]!
      const word = entry >>> 2
      if ((u32[word + 3]! & (FLAG_VALID | FLAG_SLOW)) !== FLAG_VALID) continue
      const at = kept.length
      words[at + 4] = u32[word + 2]!
      makeSlow(u32, word, u32, true)
      words[at] = entry
      for (let k = 0; k < 3; k++) words[at + 1 + k] = u32[word + k]!
      kept.length += PARKED_WORDS
    }
    this.#count = 0
    return true
  }

  /** Restores the entries that were kept, where the slow entry of the page still stands. @param view - the current view from now on */
  restore(view: number): void {
    const u32 = this.#u32
    const kept = this.#views[view]!
    const { words, length } = kept
    kept.length = 0
    for (let at = 0; at < length; at += PARKED_WORDS) {
      const entry = words[at]!
      const word = entry >>> 2
      const isSame = u32[word] === words[at + 1] && u32[word + 1] === words[at + 2] && u32[word + 2] === words[at + 3]
      if (!isSame || (u32[word + 3]! & FLAG_SLOW) === 0) continue
      this.note(entry)
      u32[word] = u32[word]! - PAGE_BYTES
      u32[word + 2] = words[at + 4]!
      u32[word + 3]! &= ~FLAG_SLOW
    }
  }

  /** Forgets a view that is not the current one. @param view - 0 to {@link EXECUTE_VIEWS} − 1 */
  drop(view: number): void {
    this.#views[view]!.length = 0
  }

  /** Forgets all views. */
  clear(): void {
    this.#count = 0
    for (const view of this.#views) view.length = 0
  }
}
