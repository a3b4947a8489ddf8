import { BeforeImages } from './before-images.ts'
import { type DomainAbandonment, type DomainState, goOn, putModelsBack, type SavedDomain } from './saved-domain.ts'

/** An instant of a domain that it can be put back to, in its own memory, as often as wanted. */
export class DomainCheckpoint<S extends DomainState> {
  readonly #domain: SavedDomain<S>
  readonly #state: S
  readonly #memory: BeforeImages

  /**
   * @internal Use `checkpointDomain`.
   * @param state - of the domain, which is at rest
   */
  constructor(domain: SavedDomain<S>, state: S) {
    this.#domain = domain
    this.#state = state
    // Last of all: nothing is written between the instant and the log of writes.
    this.#memory = new BeforeImages(domain)
  }

  /** Number of guest frames that the next `reset` restores, besides ROM and its copies. */
  get writtenFrames(): number {
    return this.#memory.writtenFrames
  }

  /**
   * Puts the domain back to the instant. Its work under way ends, and nothing of that is seen.
   *
   * @param mapped - called when device models have mapped their memory, before RAM is restored
   * @throws as `beginRestoringDomain` for a domain that has run; HvmError `ERR_STATE` where its map or its models have changed,
   *   or the host had no memory to keep a frame
   */
  async reset(mapped: (() => void) | undefined, used: DomainAbandonment): Promise<void> {
    const domain = this.#domain
    const state = this.#state
    domain.checkDevices(state.devices)
    const rest = await putModelsBack(domain, state, mapped, used)
    this.#memory.putBack()
    goOn(domain, state, rest, used)
  }

  /** Ends the checkpoint: kept copies are freed, and writes to RAM are no longer intercepted. */
  close(): void {
    this.#memory.close()
  }
}
