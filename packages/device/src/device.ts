import type { DeviceDma, InvalidatedFrames } from './guest-memory.ts'
import type { PciFunction, PciFunctionOptions } from './pci-function.ts'

/** Bytes of one access as a device model sees it. */
export type AccessSize = 1 | 2 | 4

/** A 64-bit value as two u32 words; the caller owns the object. */
export interface Word64 {
  lo: number
  hi: number
}

/** The part of the host's `AbortSignal` that this package relies on. */
export interface CancelSignalShape {
  readonly aborted: boolean
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** The host's own `AbortSignal` type where there is one, so that a signal can be passed to `fetch` and its like. */
export type CancelSignal = typeof globalThis extends { AbortSignal: { prototype: infer S } } ? S : CancelSignalShape

/**
 * The request behind an access, given to handlers of asynchronous models only.
 *
 * `signal` aborts when the vCPU no longer wants the answer (reset, INIT, SIPI, set-context); a value that arrives
 * afterwards is dropped. The controller is only made when `signal` is read.
 */
export interface AccessRequest {
  readonly vcpu: number
  readonly signal: CancelSignal
}

/**
 * What answers accesses to a range of ports or of guest-physical addresses.
 *
 * `offset` counts bytes from the range's base. Values are unsigned (0 … 2^32−1, limited to the size); what a handler
 * returns is cut to the size. A handler of a synchronous model must not return a promise.
 */
export interface RangeHandler {
  read(offset: number, size: AccessSize, request?: AccessRequest): number | Promise<number>
  write(offset: number, size: AccessSize, value: number, request?: AccessRequest): void | Promise<void>
  /** 8-byte read; needed, together with `write64`, where `maximumAccess` is 8. */
  read64?(offset: number, into: Word64, request?: AccessRequest): void | Promise<void>
  /** 8-byte write. */
  write64?(offset: number, lo: number, hi: number, request?: AccessRequest): void | Promise<void>
}

/** A {@link RangeHandler} that answers at once. */
export interface SynchronousRangeHandler extends RangeHandler {
  read(offset: number, size: AccessSize): number
  write(offset: number, size: AccessSize, value: number): void
  read64?(offset: number, into: Word64): void
  write64?(offset: number, lo: number, hi: number): void
}

/** How a range wants to be accessed. */
export interface RegionOptions {
  /** Larger accesses are split, lowest address first. Default 4; 8 needs `read64` and `write64`. */
  readonly maximumAccess?: 1 | 2 | 4 | 8
  /**
   * Smaller accesses are widened: a read reads the aligned unit and takes its bytes out of it, a write reads the unit,
   * merges and writes it. Default 1.
   */
  readonly minimumAccess?: 1 | 2 | 4
  /**
   * Where two regions of in-process models overlap, the higher priority answers accesses that *begin* in it
   * (port 0xCF9 inside 0xCF8–0xCFB is the well-known case). Equal priorities may not overlap. Default 0.
   */
  readonly priority?: number
  /** Start disabled. Default false. */
  readonly disabled?: boolean
  /**
   * Writes need no answer: where the model is not in the vCPU's own process they go through the buffered ring, and the
   * vCPU runs on. They stay in order with all other accesses to the model. Addresses up to 0xFFFFF. Default false.
   */
  readonly buffered?: boolean
}

/** A claimed range. Disabling, moving or unmapping takes effect with the next access. */
export interface Region {
  readonly kind: 'port' | 'mmio'
  /** First port or guest-physical address. */
  readonly base: number
  /** Ports or bytes. */
  readonly length: number
  readonly enabled: boolean
  enable(): void
  disable(): void
  /** Moves the range; keeps its length and whether it is enabled. */
  move(base: number): void
  /** Gives the range up for good. */
  unmap(): void
}

/** A wire to the interrupt controllers. */
export interface InterruptLine {
  /** Drives the wire; driving it to the level that it has changes nothing. */
  set(level: boolean): void
  /** A low–high–low pulse, for edge-triggered inputs. */
  pulse(): void
}

/** The machine's virtual time. */
export interface Clock {
  /** Nanoseconds from power-on: whole and exact for 104 days (2^53), then rounded to what a number holds. Never goes back. */
  now(): number
}

/** One deadline on the machine's clock. */
export interface Timer {
  /** Nanoseconds on the machine's clock, or `Infinity` while not armed. */
  readonly deadlineNs: number
  /**
   * Sets the deadline, replacing an earlier one. One in the past fires as soon as the machine looks at its timers.
   *
   * @throws DeviceError `ERR_INVALID` for NaN and what is not a number
   */
  arm(deadlineNs: number): void
  cancel(): void
}

/** Registration of PCI functions on the machine's root bus. */
export interface PciBus {
  /** Adds a function; `ERR_EXISTS` where bus, device and function are taken. */
  add(options: PciFunctionOptions): PciFunction
}

/** All that a device model knows of its machine. */
export interface DeviceContext {
  /** Claims ports `base` … `base + count − 1`. */
  mapPorts(base: number, count: number, handler: RangeHandler, options?: RegionOptions): Region
  /** Claims guest-physical addresses `gpa` … `gpa + bytes − 1`. */
  mapMmio(gpa: number, bytes: number, handler: RangeHandler, options?: RegionOptions): Region
  /** ISA interrupt 0–15, or an interrupt-controller input (GSI) from 16 up. Several holders of one line are ORed. */
  interruptLine(irq: number): InterruptLine
  /** A write of `data` to a message address (0xFEExxxxx on a PC). */
  signalMsi(address: number, data: number): void
  readonly dma: DeviceDma
  readonly clock: Clock
  /** Makes a timer that calls `callback` with the deadline that passed. It starts unarmed. */
  timer(callback: (deadlineNs: number) => void): Timer
  readonly pci: PciBus
  /** The guest asked for its power to be cut (ACPI S5 and the like). */
  requestPowerOff(): void
  /** The guest asked for a system reset. */
  requestReset(): void
  /** The guest asked that the machine's process end with this status (`isa-debug-exit`). */
  requestExit(code: number): void
}

/** A device model: what a machine is given and what `attach` makes part of it. */
export interface DeviceModel {
  /** Names the device in errors, traces and snapshots; unique within a machine. */
  readonly name: string
  /**
   * Whether every handler answers at once, without a promise. Default true. An access to a synchronous model may be
   * made straight from the instruction; one to any other goes through the request page, and its vCPU waits.
   */
  readonly synchronous?: boolean
  /** Claims ranges, lines and functions. Called once. */
  attach(context: DeviceContext): void
  /** The guest's wall clock was moved by so many seconds (a TIMEOFFSET request). */
  timeOffset?(seconds: number): void
  /**
   * Guest RAM has gone, or may no longer be written (an INVALIDATE request): what the model keeps of it is to be forgotten,
   * and mappings of it released. What it still holds, and a promise that it returns, are waited for.
   *
   * @param frames - which RAM; null: any
   */
  invalidate?(frames: readonly InvalidatedFrames[] | null): void | Promise<void>
  /** Returns to the power-on state. Timers of the device are cancelled by the device itself. */
  reset?(): void
  /** Plain versioned data with named fields. */
  save?(): unknown
  /** Takes what `save` returned. */
  restore?(state: unknown): void
}
