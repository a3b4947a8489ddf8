import { describeArgument } from '@retrap/basics'
import { PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import { P2mError } from './errors.ts'

const MAGIC = 0x6d32_7031
const C_MAGIC = 0
const C_ROOT = 1
const C_LOCK = 2
const C_TABLES = 3
const C_RECLAIMS = 4
const C_CHANGES = 5
/** Format and size of guest-physical addresses. */
const C_SHAPE = 6
/** MA of the frame counts; 0 without. */
const C_COUNTS = 7
/** Words that the features have, by number; see {@link ControlBlock.word}. */
const C_WORDS = 16
const C_FRAMES = 64

/** States of the lock. */
const FREE = 0
const HELD = 1
const WAITED_FOR = 2
/** Attempts before a thread waits, and the time of each wait: a thread that was terminated cannot wake others. */
const SPINS = 200
const WAIT_MS = 1

/** Words of the block that belong to features. All are zero in a new map. */
export const ControlWord = {
  /** Server and flags of the claim on IOREQ_SERVER. */
  IOREQ_CLAIM: 0,
  /** First frame of populate-on-demand's cached runs of 4 KiB and of 2 MiB. */
  POD_SMALL: 1,
  POD_LARGE: 2,
  /** Frames in the cache. */
  POD_CACHED: 3,
  /** Guest frame, divided by 512, at which the next emergency sweep continues downwards. */
  POD_SWEEP: 4,
  /** Guest frame, divided by 512, at which a sweep starts: above all frames that were ever populate-on-demand. */
  POD_TOP: 7,
  /** Default access of inserted frames, plus 1; 0: every access. */
  DEFAULT_ACCESS: 5,
  /** Number of read-only ranges of device frames, which stand from `READ_ONLY_FIRST` on: MFN and count of each. */
  READ_ONLY_COUNT: 6,
  /** Machine address of the tree of accesses (0: no tree), and the number of its tables. */
  ACCESS_ROOT: 8,
  ACCESS_TABLES: 9,
  READ_ONLY_FIRST: 128,
} as const

/** The most pairs of MFN and count that fit from {@link ControlWord.READ_ONLY_FIRST} on. */
export const READ_ONLY_MOST = 256

/**
 * The state that all views of a map share besides its tables: a frame of machine memory with the writers' lock and the counts.
 *
 * Only who holds the lock changes anything in it.
 */
export class ControlBlock {
  readonly ma: number
  readonly #u32: Uint32Array
  readonly #i32: Int32Array
  readonly #shared: boolean
  readonly #base: number
  #mine = false
  #canWait = true

  /** Makes a new control block in a zeroed frame. */
  static create(memory: MachineMemory, mfn: number, root: number, shape: number, counts: number): ControlBlock {
    const base = mfn * 1024
    memory.u32[base + C_COUNTS] = counts
    memory.u32[base + C_ROOT] = root
    memory.u32[base + C_SHAPE] = shape
    memory.u32[base + C_MAGIC] = MAGIC
    return new ControlBlock(memory, mfn * PAGE_BYTES)
  }

  /** @throws P2mError `ERR_STATE` if `ma` holds no control block */
  constructor(memory: MachineMemory, ma: number) {
    if (!Number.isSafeInteger(ma) || ma % PAGE_BYTES !== 0 || memory.u32[ma >>> 2] !== MAGIC) {
      throw new P2mError('ERR_STATE', `no map has its control block at machine address ${describeArgument(ma)}`, { ma })
    }
    this.ma = ma
    this.#u32 = memory.u32
    this.#i32 = memory.i32
    this.#shared = memory.shared
    this.#base = ma >>> 2
  }

  /** MA of the top table, or of the first of several. */
  get root(): number {
    return this.#u32[this.#base + C_ROOT]!
  }

  /** See `geometryOf`. */
  get shape(): number {
    return this.#u32[this.#base + C_SHAPE]!
  }

  /** MA of the frame counts; 0 without. */
  get counts(): number {
    return this.#u32[this.#base + C_COUNTS]!
  }

  /**
   * Waits until no other view changes the map. Work under the lock is short, and waits for nothing.
   *
   * @throws P2mError `ERR_BUSY` if this view has it already: a listener would change the map that is being changed
   */
  lock(): void {
    if (this.#mine) {
      throw new P2mError('ERR_BUSY', 'the map is being changed: a listener cannot change it, only what it tells can')
    }
    if (this.#shared && Atomics.compareExchange(this.#i32, this.#base + C_LOCK, FREE, HELD) !== FREE) this.#contend()
    this.#mine = true
  }

  unlock(): void {
    this.#mine = false
    if (!this.#shared) return
    const word = this.#base + C_LOCK
    if (Atomics.exchange(this.#i32, word, FREE) === WAITED_FOR) Atomics.notify(this.#i32, word, 1)
  }

  /** The holder of the lock may not be running: after a while of spinning, the processor is left to others. */
  #contend(): void {
    const i32 = this.#i32
    const word = this.#base + C_LOCK
    for (let i = 0; i < SPINS; i++) if (Atomics.compareExchange(i32, word, FREE, HELD) === FREE) return
    while (Atomics.exchange(i32, word, WAITED_FOR) !== FREE) {
      if (!this.#canWait) continue
      try {
        Atomics.wait(i32, word, WAITED_FOR, WAIT_MS)
      } catch {
        // A browser's main thread, which must not.
        this.#canWait = false
      }
    }
  }

  /** Frames in use for tables. */
  get tables(): number {
    return this.#u32[this.#base + C_TABLES]!
  }

  set tables(value: number) {
    this.#u32[this.#base + C_TABLES] = value
  }

  /** Raised before a table is freed: a walk that saw the same number on both sides saw tables only. */
  get reclaims(): number {
    return Atomics.load(this.#u32, this.#base + C_RECLAIMS)
  }

  raiseReclaims(): void {
    Atomics.add(this.#u32, this.#base + C_RECLAIMS, 1)
  }

  /** Raised by each change, in any view. */
  get changes(): number {
    return Atomics.load(this.#u32, this.#base + C_CHANGES)
  }

  raiseChanges(): void {
    Atomics.add(this.#u32, this.#base + C_CHANGES, 1)
  }

  /** Guest frames of a type. */
  frames(type: number): number {
    return this.#u32[this.#base + C_FRAMES + type]!
  }

  /** The word that has the number of guest frames of a type. */
  counter(type: number): Uint32Array {
    const at = this.#base + C_FRAMES + type
    return this.#u32.subarray(at, at + 1)
  }

  addFrames(type: number, count: number): void {
    this.#u32[this.#base + C_FRAMES + type]! += count
  }

  /** Returns the value of a {@link ControlWord}. */
  word(index: number): number {
    return this.#u32[this.#base + C_WORDS + index]!
  }

  setWord(index: number, value: number): void {
    this.#u32[this.#base + C_WORDS + index] = value
  }

  /** Invalidates the block, so that nothing attaches to a freed map. */
  close(): void {
    this.#u32[this.#base + C_MAGIC] = 0
  }
}
