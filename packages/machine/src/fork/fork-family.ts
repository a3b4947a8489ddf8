import type { Domain, ForkedMemory } from '@retrap/hvm'
import { OneByOne } from '../lifecycle/machine-life.ts'

/** Host time that the devices of a closed machine may take to bring their work to rest, in milliseconds. */
const CLOSE_DEADLINE_MS = 10_000

/** Machines within one machine memory: the machine that was powered on, its clones, and their clones. */
export class ForkFamily {
  /** Machines that give their memory back just now. */
  readonly #ending = new Set<Promise<void>>()
  /** Domains of closed machines: other machines reuse their memory. */
  readonly left: WeakSet<Domain> = new WeakSet()
  /** Queue of forks: each reserves its room before the next fork asks for room. */
  readonly forks: OneByOne = new OneByOne()

  /** Releases a closed machine's memory for others. @param free - frees memory outside the domain */
  leave(domain: Domain, free: () => void): void {
    if (this.left.has(domain)) return
    this.left.add(domain)
    const freed = domain.free(CLOSE_DEADLINE_MS).then(free)
    const ended = freed.finally(() => this.#ending.delete(ended))
    this.#ending.add(ended)
  }

  /** Resolves when all closed machines have released their memory. */
  async settled(): Promise<void> {
    await Promise.all(this.#ending)
  }
}

/** The instant from which a clone continues. */
export interface ForkOrigin<D extends Domain, State> {
  readonly family: ForkFamily
  /** Domain of the forked machine. */
  readonly domain: D
  /** State of the forked machine without its RAM. */
  readonly state: State
  readonly memory: ForkedMemory
  /** The clone, once it has memory. */
  clone: D | undefined
  /** Checks that a fork currently has room. @throws MachineError `ERR_FORK` */
  checkRoom(): void
  /** Closes the clone's overlays of the media. */
  closeMedia(): void
}
