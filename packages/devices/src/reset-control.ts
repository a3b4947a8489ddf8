import {
  type AccessSize,
  type DeviceContext,
  type DeviceModel,
  Stateful,
  type SynchronousRangeHandler,
} from '@retrap/device'

/** Ports and values that reset a PC. The FADT's reset register repeats `port` and `value`. */
export const RESET_CONTROL = {
  /** Reset control register of the ISA bridge. */
  port: 0xcf9,
  /** Value that resets the system. */
  value: 0x06,
  /** System control port A. */
  systemControlPort: 0x92,
} as const

const RST_CPU = 0x04
const SYS_RST = 0x02
const FULL_RST = 0x08
const FAST_RESET = 0x01
const A20_GATE = 0x02

/** Options of {@link ResetControl}. */
export interface ResetControlOptions {
  /** Called with whether address line 20 works, at each write to port 0x92, at resets and after a restore. */
  readonly onA20?: (works: boolean) => void
  /** Whether the A20 gate works, which the keyboard controller may have changed since. Default: as port 0x92 says. */
  readonly a20?: () => boolean
}

/**
 * The reset control register at port 0xCF9 and system control port A at 0x92.
 *
 * A reset is asked for when RST_CPU, or the fast reset bit of port 0x92, goes
 * from 0 to 1; hard, soft and fast reset all reset the whole machine. A write to
 * port 0x92 drives address line 20, as the keyboard controller does: the later
 * write counts. The line is saved here.
 *
 * Source: Intel 82371SB (PIIX3) data sheet, "Reset Control Register" and
 * "Port 92 Register".
 */
export class ResetControl extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'reset-control'
  readonly #options: ResetControlOptions
  readonly #r = this.keeps({
    version: 1,
    control: 0,
    systemControl: A20_GATE,
    /** Whether address line 20 works; an earlier release has not said so. */
    a20: {
      save: (): boolean | undefined => this.#options.a20?.(),
      restore: (works = (this.#r.systemControl & A20_GATE) !== 0): void => this.#options.onA20?.(works),
      reset: (): void => this.#options.onA20?.(true),
    },
  })

  constructor(options: ResetControlOptions = {}) {
    super()
    this.#options = options
  }

  /** Claims ports 0xCF9 and 0x92. */
  attach(context: DeviceContext): void {
    const resetRegister: SynchronousRangeHandler = {
      read: (): number => this.#r.control,
      write: (_offset: number, _size: AccessSize, value: number): void => {
        const rises = (value & ~this.#r.control & RST_CPU) !== 0
        this.#r.control = value & (SYS_RST | RST_CPU | FULL_RST)
        if (rises) context.requestReset()
      },
    }
    const systemControl: SynchronousRangeHandler = {
      read: (): number => this.#r.systemControl,
      write: (_offset: number, _size: AccessSize, value: number): void => {
        const rises = (value & ~this.#r.systemControl & FAST_RESET) !== 0
        this.#r.systemControl = value & (FAST_RESET | A20_GATE)
        this.#options.onA20?.((value & A20_GATE) !== 0)
        if (rises) context.requestReset()
      },
    }
    // The register lies inside the PCI configuration address port, which takes dword accesses only.
    context.mapPorts(RESET_CONTROL.port, 1, resetRegister, { maximumAccess: 1, priority: 1 })
    context.mapPorts(RESET_CONTROL.systemControlPort, 1, systemControl, { maximumAccess: 1 })
  }
}
