import { WebError } from './errors.ts'
import type { SavedSnapshot } from './protocol.ts'
import { startMachineWorker, WorkerLink } from './worker-link.ts'

/** A page that saves its machine each minute has one Worker for that: to start one costs more than most files do. */
const IDLE_MS = 90_000

/** Makes the files of a machine's snapshots, in a Worker of its own: the machine's goes on meanwhile. */
export class Packer {
  #worker: WorkerLink | null = null
  #last: { readonly instant: number; readonly file: Blob } | null = null
  #files = 0
  #idle: ReturnType<typeof setTimeout> | undefined

  /**
   * Has a machine saved, and makes the file, which shares parts with the last one.
   *
   * @param save - saves what was written since the instant of the last file, or all
   * @throws WebError
   */
  async fileOf(save: (since: number | null) => Promise<SavedSnapshot>): Promise<Blob> {
    clearTimeout(this.#idle)
    this.#files++
    // Without it, a save that fails, or comes meanwhile, is followed by one of all.
    const before = this.#last
    this.#last = null
    try {
      const snapshot = await save(before?.instant ?? null)
      this.#worker ??= new WorkerLink(startMachineWorker(), undefined, () => (this.#worker = null))
      const file = await this.#worker.call('pack', snapshot, before?.file ?? null)
      this.#last = { instant: snapshot.instant, file }
      return file
    } finally {
      if (--this.#files === 0) this.#idle = setTimeout(() => this.#end(), IDLE_MS)
    }
  }

  /** Ends all: its machine is gone. */
  close(): void {
    this.#last = null
    this.#end()
  }

  #end(): void {
    clearTimeout(this.#idle)
    this.#worker?.close(new WebError('ERR_DISPOSED', 'the machine was disposed'))
    this.#worker = null
  }
}
