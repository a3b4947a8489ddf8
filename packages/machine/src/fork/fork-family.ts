import type { Domain, ForkedMemory } from '@retrap/hvm'
import { OneByOne } from '../lifecycle/machine-life.ts'

/** Host time that the devices of a closed machine may take to bring their work to rest, in milliseconds. */
const CLOSE_DEADLINE_MS = 10_000

/** Machines that live in one machine memory: one that was powered on, its clones, and theirs. */
export class ForkFamily {
  /** Machines that give their memory back just now. */
  readonly #ending = new Set<Promise<void>>()
  /** Those of machines that were closed: their memory is others' already, or soon. */
  readonly left: WeakSet<Domain> = new WeakSet()
  /** Forks: each has its room before the next one asks for room. */
  readonly forks: OneByOne = new OneByOne()

  /** A machine was closed: others may have its memory. @param free - gives back what is not the domain's */
  leave(domain: Domain, free: () => void): void {
    if (this.left.has(domain)) return
    this.left.add(domain)
    const freed = domain.free(CLOSE_DEADLINE_MS).then(free)
    const ended = freed.finally(() => this.#ending.delete(ended))
    this.#ending.add(ended)
  }

  /** Settles when all that was closed has given its memory back. */
  async settled(): Promise<void> {
    await Promise.all(this.#ending)
  }
}

/** The instant that a clone goes on from. */
export interface ForkOrigin<D extends Domain, State> {
  readonly family: ForkFamily
  /** The machine that was forked. */
  readonly domain: D
  /** All of it but its RAM. */
  readonly state: State
  readonly memory: ForkedMemory
  /** The clone, as soon as it has memory. */
  clone: D | undefined
  /** Checks that there is room for it just now. @throws MachineError `ERR_FORK` */
  checkRoom(): void
  /** Ends what the clone's media have of their own. */
  closeMedia(): void
}
