/** The prepared machine of a process that stays: guests are its forks. */
import { statSync, watch } from 'node:fs'
import { ExecGuest, type ExecOutside } from '@retrap/linux-guest/jobs/guest'
import { roomForClones } from '../../../jobs/guest-originals.ts'
import type { ExecKind } from '@retrap/linux-guest/jobs/machine'
import type { MakeGuest } from '../run.ts'
import { StagedGuest } from './staged-guest.ts'

/** A prepared machine, and the ends that its kind has. */
interface Made {
  readonly path: string
  readonly kind: ExecKind
  readonly ends: ExecOutside
  readonly original: Promise<ExecGuest>
}

export class PreparedMachine {
  readonly #replaced: () => void
  #made: Made | undefined
  /** The guest of the next run. */
  #staged: Promise<StagedGuest> | undefined

  /** @param replaced - called when the file of the kept machine is another one, or gone */
  constructor(replaced: () => void) {
    this.#replaced = replaced
  }

  /** The most guests at a time with so much memory: each may write all of it. */
  mostGuests(memoryBytes: number): number {
    return roomForClones(memoryBytes).clones
  }

  /** Forks the machine; the first time it is read from its file. */
  readonly make: MakeGuest = async (path, kind, streams, ends) => {
    if (this.#made !== undefined && this.#made.path !== path) {
      // The kernel has changed under its name: nobody wants the old machine's forks.
      this.#staged = undefined
      this.#replaced()
    }
    const made = this.#made?.path === path ? this.#made : this.#read(path, kind, ends)
    if (ends.network !== undefined) return (await made.original).fork(kind, streams, ends)
    const staged = this.#staged ?? this.#stage(made)
    this.#staged = undefined
    return (await staged).bind(streams, ends)
  }

  /** Makes the guest of the next run, while there is nothing else to do. */
  prepareNext(): void {
    if (this.#made === undefined) return
    this.#staged ??= this.#stage(this.#made)
    // The run that wants it gets the error.
    this.#staged.catch(() => undefined)
  }

  #read(path: string, kind: ExecKind, ends: ExecOutside): Made {
    const original = ExecGuest.original(path, kind, ends, roomForClones(kind.memoryBytes))
    const made = { path, kind, ends: { ...ends, network: undefined }, original }
    this.#made = made
    original.then(
      () => this.#watch(path),
      () => (this.#made = undefined),
    )
    return made
  }

  async #stage({ original, kind, ends }: Made): Promise<StagedGuest> {
    return StagedGuest.make(await original, kind, ends)
  }

  #watch(path: string): void {
    const inodeOf = (): number | undefined => statSync(path, { throwIfNoEntry: false })?.ino
    const inode = inodeOf()
    watch(path, { persistent: false }, () => inodeOf() !== inode && this.#replaced())
  }
}
