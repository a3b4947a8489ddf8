import {
  type AccessSize,
  type ByteStreamBackend,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  Stateful,
  type SynchronousRangeHandler,
} from '@retrap/device'
import { ByteBatch } from './byte-batch.ts'
import { checkDeviceNumber } from './pci-device-number.ts'

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

/** The value of a read, by which a guest detects the console. */
const DEBUG_CONSOLE_READBACK = 0xe9

/** Options of {@link DebugConsole}. */
interface DebugConsoleOptions {
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
interface ResetControlOptions {
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

/** Bits of the register: the guest has panicked; a crash kernel takes over. */
const PANICKED = 1
const CRASH_LOADED = 2
const BAR_BYTES = 16

/** Options of {@link PvPanic}. */
interface PvPanicOptions {
  /** Port of the register, which is 0x505 on QEMU's ISA bus; default none. */
  readonly ioport?: number
  /** PCI device number on bus 0 of a function (1B36:0011) with the register, which Linux has a driver for; default none. */
  readonly device?: number
  /** The guest has panicked, or a kernel that saves its memory takes over (`crashLoaded`). */
  readonly onPanic: (crashLoaded: boolean, context: DeviceContext) => void
}

/**
 * QEMU's `pvpanic`: one register of a byte by which a guest's kernel says that it has panicked. It reads as the events that
 * the device knows.
 *
 * Source: QEMU, docs/specs/pvpanic.rst, "PVPANIC device".
 */
export class PvPanic implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'pvpanic'
  /** The model's behaviour follows from the guest alone. */
  readonly deterministic = true
  /** The device has no state to save. */
  readonly stateless = true
  readonly #options: PvPanicOptions

  constructor(options: PvPanicOptions) {
    const { ioport = 0, device } = options
    if (device !== undefined) checkDeviceNumber('pvpanic', device)
    if (!Number.isInteger(ioport) || ioport < 0 || ioport > 0xffff)
      throw new DeviceError('ERR_OPTION', `pvpanic: ioport ${ioport}: expected an integer from 0 to 0xffff`)
    this.#options = options
  }

  /** Claims the port, and adds the PCI function. */
  attach(context: DeviceContext): void {
    const { ioport, device, onPanic } = this.#options
    const register: SynchronousRangeHandler = {
      read: (): number => PANICKED | CRASH_LOADED,
      write: (_offset: number, _size: AccessSize, value: number): void => {
        if ((value & PANICKED) !== 0) onPanic(false, context)
        else if ((value & CRASH_LOADED) !== 0) onPanic(true, context)
      },
    }
    if (ioport !== undefined) context.mapPorts(ioport, 1, register, { maximumAccess: 1 })
    if (device !== undefined)
      context.pci.add({
        device,
        vendorId: 0x1b36,
        deviceId: 0x0011,
        revisionId: 1,
        classCode: 0x08_8000,
        subsystemVendorId: 0x1af4,
        subsystemId: 0x1100,
        bars: [{ index: 0, kind: 'memory', bytes: BAR_BYTES, handler: register, maximumAccess: 1 }],
      })
  }
}
