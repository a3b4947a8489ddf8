import { PARKED_WORDS } from './parked-entries.ts'

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

  constructor() {
    this.#views = Array.from({ length: EXECUTE_VIEWS }, () => ({
      words: new Uint32Array(MOST_ENTRIES * PARKED_WORDS),
      length: 0,
    }))
  }

  /** Addresses of the entries that may be the current view's. */
  get current(): Uint32Array {
    return this.#current
  }

  /** Number of entries; -1: more than are kept. */
  get count(): number {
    return this.#count
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

  /** Returns a view that is not the current one. @param view - 0 to {@link EXECUTE_VIEWS} − 1 */
  view(view: number): ExecuteView {
    return this.#views[view]!
  }

  /** Forgets all views. */
  clear(): void {
    this.#count = 0
    for (const view of this.#views) view.length = 0
  }
}
