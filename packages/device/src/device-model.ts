import type { RangeHandler, Region, RegionOptions, Word64 } from './access.ts'
import type { DeviceDma, InvalidatedFrames } from './guest-memory.ts'
import type { MemoryWindowOptions, OwnedMemory, OwnedMemoryOptions } from './memory.ts'
import type { PciBus } from './pci-function.ts'
import type { Clock, InterruptLine, Timer } from './wires.ts'

/**
 * All that a device model knows of its machine. A model uses it in a handler, until the handler's promise settles, and in a timer
 * of `timer`. A model that answers the guest now and acts later asks the host by `LateAnswers`. An act in a timer or promise of
 * the host's has another instant in each run.
 */
export interface DeviceContext {
  /** Claims ports `base` … `base + count − 1`. @throws DeviceError `ERR_EXISTS`, `ERR_INVALID` */
  mapPorts(base: number, count: number, handler: RangeHandler, options?: RegionOptions): Region
  /** Claims guest-physical addresses `gpa` … `gpa + bytes − 1`. @throws DeviceError `ERR_EXISTS`, `ERR_INVALID` */
  mapMmio(gpa: number, bytes: number, handler: RangeHandler, options?: RegionOptions): Region
  /**
   * Allocates memory of the model's own; it is mapped nowhere yet.
   *
   * @throws DeviceError `ERR_INVALID`, `ERR_EXISTS` for a name that is taken, `ERR_NO_SPACE` where the machine has no room
   */
  ownMemory(options: OwnedMemoryOptions): OwnedMemory
  /**
   * Maps owned memory at a fixed guest-physical address.
   *
   * @param gpa - a multiple of 4096
   * @throws DeviceError `ERR_EXISTS`, `ERR_INVALID`
   */
  mapMemory(gpa: number, memory: OwnedMemory, options?: MemoryWindowOptions): Region
  /** Opens ISA interrupt 0–15, or an interrupt controller's input (GSI) from 16 up. Holders of one line are ORed. */
  interruptLine(irq: number): InterruptLine
  /**
   * Writes `data` to a message address (0xFEExxxxx on a PC). Functions that declare MSI use `PciFunction.messages`.
   *
   * @param requester - source of the write, as bus·256 + device·8 + function; default the model's first PCI function,
   * or 0 (the root) without any
   */
  signalMsi(address: number, data: number, requester?: number): void
  /** Access to guest memory. */
  readonly dma: DeviceDma
  /** The machine's virtual time. */
  readonly clock: Clock
  /**
   * Makes a timer that calls `callback` with the deadline that passed. It starts unarmed. Where `callback` returns a promise,
   * the machine waits for it on deterministic time, and a rejection fails the model.
   *
   * @param callback - see {@link TimerCallback}
   */
  timer(callback: (deadlineNs: number, deadline: Readonly<Word64>) => void | Promise<void>): Timer
  /** The machine's PCI buses. */
  readonly pci: PciBus
  /** Reports that the guest requests power-off (ACPI S5). */
  requestPowerOff(): void
  /** Reports that the guest requests a system reset. */
  requestReset(): void
  /**
   * Tells that the guest asked the machine's process to end with this status (`isa-debug-exit`). It is a u32; a process's
   * status keeps the low 8 bits.
   */
  requestExit(code: number): void
}

/**
 * A device model: a machine is given it, and `attach` makes it part of the machine.
 *
 * Saving goes `quiesce`, `save`, then `resume` when the machine goes on. Restoring goes `restore`, then `resume`. A model
 * has `save` and `restore`, or says `stateless: true`; a machine with any other model cannot be saved.
 */
export interface DeviceModel {
  /** Names the device in errors, traces and snapshots; unique within a machine. */
  readonly name: string
  /**
   * Whether every handler answers at once, without a promise. Default true. An access to a synchronous model may be
   * made straight from the instruction; one to any other goes through the request page, and its vCPU waits.
   */
  readonly synchronous?: boolean
  /** Whether the model has nothing that a snapshot must hold. Owned memory and PCI registers are saved without it. */
  readonly stateless?: boolean
  /**
   * Whether the model depends only on the machine's requests and on guest time. A replay runs deterministic models again; for
   * all others the recording holds their actions. Default false. An explicit false declares that the model uses the host, and
   * suppresses a warning about that.
   */
  readonly deterministic?: boolean
  /** Claims ranges, lines, memory and functions. Called once. */
  attach(context: DeviceContext): void
  /**
   * The model has left the machine permanently, or `attach` failed: it takes its listeners back from back ends, which may
   * outlive it. Called once; nothing else is called after it, but the ends of work in flight may still come.
   */
  removed?(): void
  /** Takes note that the guest's wall clock was moved by this many seconds (a TIMEOFFSET request). */
  timeOffset?(seconds: number): void
  /**
   * Forgets guest RAM that has left the guest or may no longer be written (an INVALIDATE request), and releases mappings
   * of it. The machine waits for mappings that the model still holds, and for a promise that it returns.
   *
   * @param frames - changed frames of RAM; null: any frame may have changed
   */
  invalidate?(frames: readonly InvalidatedFrames[] | null): void | Promise<void>
  /**
   * Returns to the power-on state. The model cancels its own timers. Owned memory keeps its bytes. On deterministic time the machine
   * waits for a promise.
   */
  reset?(): void | Promise<void>
  /**
   * Brings work in flight to an end or to a state that `save` can hold, and starts none until `resume`: DMA, back-end
   * requests, interrupts. No vCPU runs meanwhile.
   *
   * @param deadlineMs - host milliseconds that it may take; a promise that takes longer fails the save
   */
  quiesce?(deadlineMs: number): void | Promise<void>
  /** Resumes after `quiesce` or `restore`. On deterministic time the machine waits for a promise. */
  resume?(): void | Promise<void>
  /**
   * Whether the guest would not notice that the model is saved just now: `quiesce` would end nothing before its time, and
   * `resume` begin nothing that the guest has not asked for yet. Runs on deterministic time get checkpoints at such instants
   * alone, since they are the same without. Absent: always.
   */
  isAtRest?(): boolean
  /**
   * Returns the state: a `version` and named fields of numbers, strings, booleans, null, arrays, plain objects and
   * `Uint8Array`. It may be asynchronous.
   */
  save?(): unknown
  /** Restores the state that `save` returned, perhaps in another process. @throws DeviceError `ERR_STATE`, see `savedState` */
  restore?(state: unknown): void | Promise<void>
}
