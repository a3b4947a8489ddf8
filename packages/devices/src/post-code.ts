import {
  type AccessSize,
  type DeviceContext,
  type DeviceModel,
  savedState,
  type SynchronousRangeHandler,
} from '@retrap/device'

/** Saved form of a {@link PostCodePort}. */
export interface PostCodeState {
  readonly version: 1
  readonly code: number
}

/**
 * Port 0x80: a firmware's progress codes, and the access that kernels make to
 * wait for about a microsecond. Reads give what was written last, because on a
 * PC the port is a spare DMA page register.
 */
export class PostCodePort implements DeviceModel {
  readonly name: string = 'post-code'
  private readonly onCode: ((code: number) => void) | undefined
  private code = 0

  /** @param onCode - told each code written */
  constructor(onCode?: (code: number) => void) {
    this.onCode = onCode
  }

  /** The code written last. */
  get lastCode(): number {
    return this.code
  }

  attach(context: DeviceContext): void {
    const port: SynchronousRangeHandler = {
      read: (): number => this.code,
      write: (_offset: number, _size: AccessSize, value: number): void => {
        this.code = value
        this.onCode?.(value)
      },
    }
    context.mapPorts(0x80, 1, port, { maximumAccess: 1 })
  }

  reset(): void {
    this.code = 0
  }

  save(): PostCodeState {
    return { version: 1, code: this.code }
  }

  restore(state: unknown): void {
    this.code = savedState<PostCodeState>(this.name, state, 1).code
  }
}
