import { WebError } from './errors.ts'
import type { SavedSnapshot } from './protocol.ts'
import { startMachineWorker, WorkerLink } from './worker-link.ts'

/** Time after which an idle Worker ends: longer than a minute, so that periodic saves share one Worker. */
const IDLE_MS = 90_000

/** Makes the files of a machine's snapshots, in a Worker of its own: the machine's Worker executes meanwhile. */
export class Packer {
  #worker: WorkerLink | null = null
  #last: { readonly instant: number; readonly file: Blob } | null = null
  #files = 0
  #idle: ReturnType<typeof setTimeout> | undefined

  /**
   * Has a machine saved, and makes the file, which shares parts with the file before.
   *
   * @param save - saves pages written since the last file's instant, or all
   * @throws WebError
   */
  async fileOf(save: (since: number | null) => Promise<SavedSnapshot>): Promise<Blob> {
    clearTimeout(this.#idle)
    this.#files++
    // Cleared during the save: after a failed or concurrent save the next one includes all pages.
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

  /** Closes the Worker, after its machine's end. */
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
