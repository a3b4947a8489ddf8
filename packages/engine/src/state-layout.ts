/**
 * The value of {@link StateLayout.attention} where attention is asked for: more than any budget, so that one comparison finds
 * either.
 */
export const ATTENTION_ASKED = 0x7fff_ffff

/**
 * Where the fields lie that the engine needs of a processor's state: byte offsets from the state's machine address.
 *
 * 64-bit fields are 8-byte aligned, the others 4-byte aligned and 32 bits wide unless they say more.
 */
export interface StateLayout {
  /** Program counter, 64 bits: of the next instruction, valid whenever the interpreter has returned. */
  readonly programCounter: number
  /** 64-bit field that is added to the program counter to give a linear address; absent where both are the same. */
  readonly programCounterBase?: number
  /** 64-bit field with the bits that the program counter has in the current mode; absent where it has all 64. */
  readonly programCounterMask?: number
  /** Mode of the code: below {@link RecordDecoder.modes}. */
  readonly mode: number
  /** Linear address of the code page that is being executed, 64 bits. */
  readonly pageBase: number
  /** Machine address of the slot table of that code page. */
  readonly slots: number
  /** Machine address of the current instruction's record, while the host runs. */
  readonly record: number
  /** A record that the interpreter writes for itself on entry: {@link RECORD_BYTES} bytes, zero at first. */
  readonly entry: number
  /** Instructions that may still retire before the interpreter returns. */
  readonly budget: number
  /** Iterations of repeated instructions, which have been charged to the budget too. */
  readonly iterations: number
  /** 0, or {@link ATTENTION_ASKED}: execution ends at the next backward branch, or branch to another page. */
  readonly attention: number
  /** Non-zero: one instruction is executed alone, so every branch leaves the interpreter. */
  readonly alone: number
  /** Machine address of the TLB set of the current access mode. */
  readonly tlb: number
  /** Linear address that a unit is left for, 64 bits. */
  readonly unitTarget: number
  /** Why `fetch` found no record: a `STATUS_*`. */
  readonly fetchStatus: number
}
