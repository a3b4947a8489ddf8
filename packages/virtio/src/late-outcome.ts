import type { RequestChain } from './ring/chain.ts'
import type { VirtioAnswer } from './virtio-device.ts'

/** The outcome of a request, as plain data. */
export interface SavedOutcome {
  /** Bytes of the chain that count as written. */
  readonly written: number
  /** Writes into the chain; null: none, and the driver can be told of the outcome later where its memory is out of reach. */
  readonly writes: readonly (readonly [offset: number, bytes: Uint8Array])[] | null
}

/** The outcome of the host's work at a request. It reaches the guest when the request's virtual time is over. */
export class LateOutcome {
  /** The answer of the device; throws the failure of its model. */
  readonly #answer: () => VirtioAnswer
  /** The outcome as plain data, where it was saved: an answer is taken once. */
  #saved: SavedOutcome | null

  constructor(answer: () => VirtioAnswer, saved: SavedOutcome | null = null) {
    this.#answer = answer
    this.#saved = saved
  }

  /** An outcome of a saved state. */
  static of(saved: SavedOutcome): LateOutcome {
    return new LateOutcome(() => saved.written, saved)
  }

  /** Whether nothing is to be written. */
  get isPlain(): boolean {
    return this.#saved === null ? typeof this.#answer() === 'number' : this.#saved.writes === null
  }

  /** Whether the answer was taken when the machine was saved: the request is not made again. */
  get isSaved(): boolean {
    return this.#saved !== null
  }

  /** Writes into the chain. @returns bytes that count as written */
  give(chain: RequestChain): number {
    const saved = this.#saved
    if (saved === null) return writtenOf(chain, this.#answer())
    const done = saved.writes?.every(([offset, bytes]) => chain.writable.write(offset, bytes)) ?? true
    return done ? saved.written : 0
  }

  /** Returns the outcome as plain data. @throws the failure of the model */
  save(chain: RequestChain): SavedOutcome {
    if (this.#saved !== null) return this.#saved
    const answer = this.#answer()
    const writes = chain.keepWrites()
    const written = writtenOf(chain, answer)
    chain.endWrites()
    return (this.#saved = { written, writes: typeof answer === 'number' ? null : writes })
  }
}

/** The failure of a chain is thrown where the response is taken, and is dropped if the chain was cancelled meanwhile. */
export function outcomeOf(promise: Promise<VirtioAnswer | LateOutcome>): Promise<LateOutcome> {
  return promise.then(
    (answer) => (answer instanceof LateOutcome ? answer : new LateOutcome(() => answer)),
    (error: unknown) =>
      new LateOutcome(() => {
        throw error
      }),
  )
}

/** Bytes of a chain that count as written, by an answer that may write them. */
export function writtenOf(chain: RequestChain, answer: VirtioAnswer): number {
  const written = typeof answer === 'function' ? answer() : answer
  return Math.max(0, Math.min(written, chain.writable.length))
}
