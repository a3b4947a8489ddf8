import type { ByteStreamBackend, ByteStreamClient } from '@retrap/device'
import { Feeder } from './feeder.ts'

/** Marks the end of the stream, after all earlier bytes. */
export const END: Uint8Array = new Uint8Array(0)

/** Keeps pieces of a stream, and counts their bytes. The rest of a piece is offered when the client is ready. */
class ByteFeeder extends Feeder<Uint8Array> {
  protected override remove(waiting: Uint8Array[], taken: number): boolean {
    const rest = waiting[0]!.subarray(taken)
    if (rest.length > 0) waiting[0] = rest
    else waiting.shift()
    return rest.length === 0
  }
}

/** The model's end of a remote byte stream: keeps bytes for the guest until the model has room. */
export class FarStream implements ByteStreamBackend {
  readonly send: ByteStreamBackend['send']
  /** The bytes that the model has not taken. */
  protected readonly feeder: Feeder<Uint8Array>
  protected client: ByteStreamClient | null = null

  /**
   * @param send - called with the bytes that the guest sends
   * @param taken - called with the number of bytes that the model has taken
   */
  constructor(send: ByteStreamBackend['send'], taken: (count: number) => void) {
    this.send = send
    this.feeder = new ByteFeeder(([first]) => this.#offer(first!), taken)
  }

  connect(client: ByteStreamClient): void {
    this.client = client
  }

  /** Queues bytes for the guest, and keeps them. */
  receive(bytes: Uint8Array): void {
    this.feeder.push(bytes)
  }

  ready(): void {
    this.feeder.ready()
  }

  #offer(bytes: Uint8Array): number | undefined {
    if (bytes.length > 0) return this.client?.receive(bytes)
    this.client?.ended?.()
    return 0
  }
}
