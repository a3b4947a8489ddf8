import {
  type AccessSize,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type SynchronousRangeHandler,
} from '@retrap/device'

/** Options of {@link DebugExit}, named as QEMU names them. */
export interface DebugExitOptions {
  /** First port; default 0x501. */
  readonly iobase?: number
  /** Ports, 1, 2 or 4; default 2. */
  readonly iosize?: 1 | 2 | 4
}

/**
 * Ends the machine with status (value << 1) | 1 when the guest writes a value:
 * the interface of QEMU's `isa-debug-exit`. The status is never 0. Reads give 0.
 */
export class DebugExit implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'isa-debug-exit'
  /** The model's behaviour follows from the guest alone. */
  readonly deterministic = true
  /** The device has no state to save. */
  readonly stateless = true
  readonly #iobase: number
  readonly #iosize: 1 | 2 | 4

  constructor(options: DebugExitOptions = {}) {
    this.#iobase = options.iobase ?? 0x501
    this.#iosize = options.iosize ?? 2
    if (!Number.isInteger(this.#iobase) || this.#iobase < 0 || this.#iobase + this.#iosize > 0x1_0000)
      throw new DeviceError(
        'ERR_OPTION',
        `isa-debug-exit: iobase ${this.#iobase}: expected an integer from 0 to ${0x1_0000 - this.#iosize}`,
      )
    if (this.#iosize !== 1 && this.#iosize !== 2 && this.#iosize !== 4)
      throw new DeviceError('ERR_OPTION', `isa-debug-exit: iosize ${String(this.#iosize)}: expected 1, 2 or 4`)
  }

  /** Claims the ports. */
  attach(context: DeviceContext): void {
    const port: SynchronousRangeHandler = {
      read: (): number => 0,
      write: (_offset: number, _size: AccessSize, value: number): void => context.requestExit(((value << 1) | 1) >>> 0),
    }
    context.mapPorts(this.#iobase, this.#iosize, port, { maximumAccess: this.#iosize })
  }
}
