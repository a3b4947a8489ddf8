import type { ByteStreamBackend, ByteStreamClient } from '@retrap/device'
import type { SessionOutput } from '../session/session-host.ts'
import type { WatchedOutput } from '../../host/output-watch.ts'
import { type FarEnd, openReported } from './far-end.ts'
import type { ChardevArgument } from './serial-options.ts'

/** Bytes that may wait for the guest. The sender pauses at this many, and resumes at half of them. */
const WAITING_BYTES = 16_384

/** The far ends of `--chardev`, open once for a session. Each machine that starts gets a stream of its own to each. */
export class Chardevs {
  readonly #ends = new Map<string, FarEnd>()
  readonly #streams = new Map<string, ChardevStream>()

  /**
   * Opens all streams.
   *
   * @param terminal - the stream of a `stdio`
   * @param say - gets messages for the user about the streams
   * @param failed - called with the reason when a stream can no longer be written
   * @throws CliError `ERR_INPUT`
   */
  async open(
    chardevs: readonly ChardevArgument[],
    terminal: FarEnd,
    say: SessionOutput,
    failed: (message: string) => void,
  ): Promise<void> {
    for (const { id, target } of chardevs) {
      const name = `chardev ${id}`
      const end = target.kind === 'stdio' ? terminal : await openReported(target, name, say, failed)
      this.#ends.set(id, end)
      // Bytes that arrive before the machine exists wait in the stream.
      this.#streams.set(id, new ChardevStream(end))
      end.onReceive((bytes) => this.#streams.get(id)!.receive(bytes))
    }
  }

  /** The outputs for the guest's bytes. */
  get outputs(): readonly WatchedOutput[] {
    return [...this.#ends.values()]
  }

  /** The stream of an id, for a device of a new machine; bytes that an earlier machine has not taken are lost. */
  plug(id: string): ByteStreamBackend {
    const first = this.#streams.get(id)!
    if (!first.isConnected) return first
    const end = this.#ends.get(id)!
    const stream = new ChardevStream(end)
    this.#streams.set(id, stream)
    end.resume()
    return stream
  }

  async close(): Promise<void> {
    await Promise.all([...this.#ends.values()].map((end) => end.close()))
  }
}

/** A machine's stream to a far end: keeps bytes until the guest has room for them. */
class ChardevStream implements ByteStreamBackend {
  readonly #end: FarEnd
  #client: ByteStreamClient | null = null
  readonly #queue: Uint8Array[] = []
  #waiting = 0
  #full = false
  #offering = false

  constructor(end: FarEnd) {
    this.#end = end
  }

  /** Whether a machine's device uses the chardev. */
  get isConnected(): boolean {
    return this.#client !== null
  }

  send(bytes: Uint8Array): void {
    this.#end.write(bytes)
  }

  connect(client: ByteStreamClient): void {
    this.#client = client
    // Offers the device the bytes that have arrived before.
    this.ready()
  }

  /** Queues bytes for the guest. @returns false where no more should come before the far end's `resume` */
  receive(bytes: Uint8Array): boolean {
    this.#queue.push(bytes)
    this.#waiting += bytes.length
    this.#offer()
    this.#full = this.#waiting >= WAITING_BYTES
    return !this.#full
  }

  ready(): void {
    this.#offer()
    if (!this.#full || this.#waiting > WAITING_BYTES / 2) return
    this.#full = false
    this.#end.resume()
  }

  #offer(): void {
    // A device that moves bytes on at once says within `receive` that it has room again.
    if (this.#offering || this.#client === null) return
    this.#offering = true
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      const taken = this.#client.receive(first)
      this.#waiting -= taken
      if (taken < first.length) {
        this.#queue[0] = first.subarray(taken)
        break
      }
      this.#queue.shift()
    }
    this.#offering = false
  }
}
