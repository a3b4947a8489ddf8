import type { InterruptLine, RangeHandler, RegionOptions, Region } from './device.ts'

/** One base address register. */
export interface PciBarOptions extends RegionOptions {
  /** Register number, 0–5. A 64-bit BAR takes two. */
  readonly index: number
  readonly kind: 'io' | 'memory' | 'memory64'
  /** A power of two; at least 4 for `io`, 16 for memory. */
  readonly bytes: number
  readonly prefetchable?: boolean
  readonly handler: RangeHandler
}

/** A function's identity, BARs and hooks. Numbers as in the PCI Local Bus Specification 3.0, ch. 6. */
export interface PciFunctionOptions {
  /** Default 0. */
  readonly bus?: number
  /** 0–31. */
  readonly device: number
  /** 0–7; default 0. */
  readonly function?: number
  readonly vendorId: number
  readonly deviceId: number
  readonly revisionId?: number
  /** 24 bits: class, subclass, programming interface (0x060000 is a host bridge). */
  readonly classCode: number
  /** Default 0; bit 7 says that the device has several functions. */
  readonly headerType?: number
  readonly subsystemVendorId?: number
  readonly subsystemId?: number
  /** INTA–INTD as 1–4; 0 (default): none. */
  readonly interruptPin?: 0 | 1 | 2 | 3 | 4
  readonly bars?: readonly PciBarOptions[]
  /** Configuration space of 4096 bytes, as a PCI Express function has; beyond 256 only ECAM reaches. Default false. */
  readonly extendedConfig?: boolean
  /** Registers 0x40–0xFF (or any other) that the guest may write: [register, mask of writable bits (u32), initial value (u32)]. Registers are multiples of 4. */
  readonly writable?: readonly (readonly [register: number, mask: number, initial?: number])[]
  /** Called after the guest has written configuration bytes `register` … `register + size − 1`. */
  onWrite?(register: number, size: number): void
}

/** A registered function. */
export interface PciFunction {
  readonly bus: number
  readonly device: number
  readonly function: number
  /** The 256 (or 4096) bytes of configuration space, little-endian. The device may change any of them; call `update` after changing command bits or BARs. */
  readonly config: Uint8Array
  /** The INTx wire, or null without an interrupt pin. */
  readonly interrupt: InterruptLine | null
  /** The region behind BAR `index`, or null. Enabled while the guest has it decoded. */
  bar(index: number): Region | null
  /** Re-reads command register and BARs. */
  update(): void
  /** Back to the state after power-on. */
  reset(): void
  save(): PciFunctionState
  restore(state: PciFunctionState): void
}

/** Saved form of a {@link PciFunction}. */
export interface PciFunctionState {
  readonly version: 1
  readonly config: readonly number[]
  readonly interruptLevel: boolean
}
