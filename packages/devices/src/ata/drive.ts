import { type BlockBackend, type BlockErrorCode, type StatePart, Stateful } from '@retrap/device'
import { Taskfile } from './taskfile.ts'

/**
 * The next need of a drive of its transport: a register layer such as that of a PIIX. A command is a row of steps; when a
 * step is done, the drive is asked for the next step.
 *
 * | kind | the transport's action | then calls | |---|---|---|
 * | `idle` | the command has ended: tells the host, with an interrupt where `interrupt` says so | |
 * | `read`, `write`, `flush` | asks the medium, and is busy | `answered` |
 * | `pio-in`, `pio-out` | lets the host move bytes by the data register; `interrupt`: tells it before | `moved` |
 * | `dma-in`, `dma-out` | moves bytes to or from the host's memory | `moved` |
 */
export interface DriveStep {
  readonly kind: 'idle' | 'read' | 'write' | 'flush' | 'pio-in' | 'pio-out' | 'dma-in' | 'dma-out'
  /** First byte of the drive's buffer. */
  readonly start: number
  /** First sector or byte after the range. */
  readonly end: number
  /** Byte of the medium that `start` belongs to. */
  readonly offset: number
  readonly interrupt: boolean
  /** A write is to be durable before it is answered. */
  readonly durable: boolean
  /** The host moves the data of this `read` or `write` by DMA: it does not wait for the drive between two registers. */
  readonly byDma: boolean
}

const PLAIN = { start: 0, end: 0, offset: 0, interrupt: false, durable: false, byDma: false } as const

/** The end of a command. */
export const ended = (interrupt: boolean): DriveStep => ({ ...PLAIN, kind: 'idle', interrupt })

/** A part of a command. */
export const step = (kind: DriveStep['kind'], given: Partial<DriveStep>): DriveStep => ({ ...PLAIN, ...given, kind })

/** Bytes of a drive's buffer, which limit one request of the medium. */
export const BUFFER_BYTES = 0x1_0000

/**
 * A drive as commands see it, without the registers of a controller, which are a PIIX channel's or an AHCI port's.
 *
 * Sources: ATA8-ACS (T13/1699-D); ATA/ATAPI-7 (T13/1532D) for the protocols.
 */
export abstract class AtaDrive extends Stateful {
  readonly registers: Taskfile = new Taskfile()
  /** Data on its way between host and medium. */
  buffer: Uint8Array = new Uint8Array(BUFFER_BYTES)
  abstract readonly medium: BlockBackend | null
  /** Whether the drive is a packet device, which takes DEVICE RESET while it is busy. */
  abstract readonly packet: boolean
  /** The buffer as a part of the drive's state. */
  protected readonly contents: { save(): Uint8Array; restore(bytes: Uint8Array): void } = {
    save: () => this.buffer.slice(),
    restore: (bytes) => {
      this.renewBuffer()
      this.buffer.set(bytes)
    },
  }

  /** Whether every write is to be durable before it is answered. */
  get writesThrough(): boolean {
    return false
  }

  /** Takes a new buffer: the medium may still use the old one for a request that was given up. */
  renewBuffer(): void {
    this.buffer = new Uint8Array(BUFFER_BYTES)
  }

  /** Returns to the state after power-on; `reset` ends the command, and sets the signature in the registers. */
  abstract powerOn(): void
  /** Begins a command: the opcode, with its parameters in the registers. */
  abstract command(opcode: number): DriveStep
  /** The bytes of the last step have been moved. */
  abstract moved(): DriveStep
  /** Called when the medium has completed or failed the last step's request. */
  abstract answered(error: BlockErrorCode | null): DriveStep
  /** Called when the drive is removed: it gets no further changes of its medium. */
  removed?(): void
}

/** Returns a part that saves a drive, or none, with its kind: the state of another kind does not fit. */
export function drivePart(drive: AtaDrive | null): StatePart {
  const kind = drive === null ? 'none' : drive.packet ? 'cdrom' : 'disk'
  return {
    save: () => ({ kind, state: drive?.save() ?? null }),
    restore: ({ state }: { readonly state: unknown }) => drive?.restore(state),
    stateFault: (saved) => {
      const found = (saved as { readonly kind?: unknown } | null | undefined)?.kind
      return found === kind ? undefined : `.kind is ${String(found)}: expected ${kind}`
    },
  }
}
