import {
  type AccessSize,
  type DeviceContext,
  type DeviceModel,
  savedState,
  type SynchronousRangeHandler,
} from '@retrap/device'

/** Saved form of a {@link PostCodePort}. */
export interface PostCodeState {
  /** Layout of the state. */
  readonly version: 1
  /** The code written last. */
  readonly code: number
}

/**
 * Port 0x80: a firmware's progress codes, and the access that kernels make to
 * wait for about a microsecond. Reads give what was written last, because on a
 * PC the port is a spare DMA page register.
 */
export class PostCodePort implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'post-code'
  readonly #onCode: ((code: number) => void) | undefined
  #code = 0

  /** @param onCode - told each code written */
  constructor(onCode?: (code: number) => void) {
    this.#onCode = onCode
  }

  /** The code written last. */
  get lastCode(): number {
    return this.#code
  }

  /** Claims port 0x80. */
  attach(context: DeviceContext): void {
    const port: SynchronousRangeHandler = {
      read: (): number => this.#code,
      write: (_offset: number, _size: AccessSize, value: number): void => {
        this.#code = value
        this.#onCode?.(value)
      },
    }
    context.mapPorts(0x80, 1, port, { maximumAccess: 1 })
  }

  /** Forgets the last code. */
  reset(): void {
    this.#code = 0
  }

  /** Returns the state as plain data. */
  save(): PostCodeState {
    return { version: 1, code: this.#code }
  }

  /** Takes over a saved state. Throws `DeviceError` `ERR_STATE` for a state of another version. */
  restore(state: unknown): void {
    this.#code = savedState<PostCodeState>(this.name, state, 1).code
  }
}
