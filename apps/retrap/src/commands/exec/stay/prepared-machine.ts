/** The prepared machine of a process that stays: guests are its forks. */
import { statSync, watch } from 'node:fs'
import { ExecGuest } from '../../../jobs/guest.ts'
import { roomForClones } from '../../../jobs/guest-originals.ts'
import type { MakeGuest } from '../run.ts'

export class PreparedMachine {
  readonly #replaced: () => void
  #made: { readonly path: string; readonly original: Promise<ExecGuest> } | undefined

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
    if (this.#made?.path !== path) {
      const original = ExecGuest.original(path, kind, ends, roomForClones(kind.memoryBytes))
      this.#made = { path, original }
      original.then(
        () => this.#watch(path),
        () => (this.#made = undefined),
      )
    }
    return (await this.#made.original).fork(kind, streams, ends)
  }

  #watch(path: string): void {
    const inodeOf = (): number | undefined => statSync(path, { throwIfNoEntry: false })?.ino
    const inode = inodeOf()
    watch(path, { persistent: false }, () => inodeOf() !== inode && this.#replaced())
  }
}
