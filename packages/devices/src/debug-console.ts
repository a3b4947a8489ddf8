import {
  type AccessSize,
  type ByteStreamBackend,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type SynchronousRangeHandler,
} from '@retrap/device'
import { ByteBatch } from './byte-batch.ts'

/** The value of a read, by which a guest detects the console. */
export const DEBUG_CONSOLE_READBACK = 0xe9

/** Options of {@link DebugConsole}. */
export interface DebugConsoleOptions {
  /** The port; default 0x402. */
  readonly iobase?: number
  /** Receives the guest's output, in batches. A guest cannot detect a full stream. */
  readonly stream: ByteStreamBackend
}

/**
 * Debug console: one port that takes bytes and reads 0xE9. The interface of
 * QEMU's and Bochs's `isa-debugcon`. It holds no state.
 */
export class DebugConsole implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string
  /** The model's behaviour follows from the guest alone. */
  readonly deterministic = true
  /** The device has no state to save. */
  readonly stateless = true
  readonly #iobase: number
  readonly #batch: ByteBatch

  constructor(options: DebugConsoleOptions) {
    this.#iobase = options.iobase ?? 0x402
    if (!Number.isInteger(this.#iobase) || this.#iobase < 0 || this.#iobase > 0xffff)
      throw new DeviceError('ERR_OPTION', `isa-debugcon: iobase ${this.#iobase}: expected an integer from 0 to 0xffff`)
    this.name = `isa-debugcon-${this.#iobase.toString(16)}`
    this.#batch = new ByteBatch((bytes) => void options.stream.send(bytes))
  }

  /** Claims the single port. */
  attach(context: DeviceContext): void {
    this.#batch.attach(context)
    const port: SynchronousRangeHandler = {
      read: (): number => DEBUG_CONSOLE_READBACK,
      write: (_offset: number, _size: AccessSize, value: number): void => this.#batch.push(value),
    }
    context.mapPorts(this.#iobase, 1, port, { maximumAccess: 1 })
  }

  /** Passes the guest's output so far to the host. */
  flush(): void {
    this.#batch.flush()
  }

  /** Hands over bytes that would be lost with the machine, and ends the batch, of which nothing is saved. */
  quiesce(): void {
    this.#batch.end()
  }

  /** Whether nothing was written just now. */
  isAtRest(): boolean {
    return this.#batch.isEmpty
  }

  /** Passes the guest's output so far to the host. */
  reset(): void {
    this.#batch.end()
  }
}
