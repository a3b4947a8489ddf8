import {
  type AccessSize,
  type DeviceContext,
  type DeviceModel,
  Stateful,
  type SynchronousRangeHandler,
} from '@retrap/device'

/**
 * Port 0x80: a firmware's progress codes, and the access that kernels make to wait for about a microsecond. Reads give
 * the last value written, because on a PC the port is a spare DMA page register.
 */
export class PostCodePort extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'post-code'
  readonly #onCode: ((code: number) => void) | undefined
  /** The code written last. */
  readonly #r = this.keeps({ version: 1, code: 0 })

  /** @param onCode - called with each code written */
  constructor(onCode?: (code: number) => void) {
    super()
    this.#onCode = onCode
  }

  /** The code written last. */
  get lastCode(): number {
    return this.#r.code
  }

  /** Claims port 0x80. */
  attach(context: DeviceContext): void {
    const port: SynchronousRangeHandler = {
      read: (): number => this.#r.code,
      write: (_offset: number, _size: AccessSize, value: number): void => {
        this.#r.code = value
        this.#onCode?.(value)
      },
    }
    context.mapPorts(0x80, 1, port, { maximumAccess: 1 })
  }
}
