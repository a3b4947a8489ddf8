import type { RequestView } from '../inspection.ts'

/** Pending reads of disks, each with an added delay. */
export class DiskRequests {
  /** Milliseconds that each read takes longer. */
  delayMs = 0
  /** Each read fails. */
  fails = false
  readonly #open = new Set<Omit<RequestView, 'ms'> & { readonly since: number }>()

  /** Runs a read, and lists it while it is pending. */
  async run(drive: string, offset: number, bytes: number, read: () => Promise<void>): Promise<void> {
    const request = { drive, offset, bytes, since: performance.now() }
    this.#open.add(request)
    try {
      const { delayMs } = this
      if (delayMs > 0) await new Promise<void>((resolve) => setTimeout(resolve, delayMs))
      if (this.fails) throw new Error('the disk was made to fail')
      await read()
    } finally {
      this.#open.delete(request)
    }
  }

  /** Requests that are under way, the oldest first. */
  list(): RequestView[] {
    const now = performance.now()
    return [...this.#open].map(({ since, ...request }) => ({ ...request, ms: now - since }))
  }
}
