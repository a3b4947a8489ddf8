import type { RangeHandler, Region, RegionOptions } from './access.ts'
import type { OwnedMemory } from './memory.ts'
import type { InterruptLine } from './wires.ts'

/**
 * Describes one base address register.
 *
 * Source: PCI Local Bus Specification 3.0, §6.2.5.1, "Address Maps".
 */
export interface PciBarOptions extends RegionOptions {
  /** Register number, 0–5 (0–1 in a bridge). A 64-bit BAR takes two. */
  readonly index: number
  /** Ports, 32-bit memory, or 64-bit memory. */
  readonly kind: 'io' | 'memory' | 'memory64'
  /** A power of two; at least 4 for `io`, 16 for memory. Default, with `memory`: the memory's size. */
  readonly bytes?: number
  /** Whether reads have no effect; it belongs in a bridge's prefetchable window. Default false. */
  readonly prefetchable?: boolean
  /** Answers accesses. Either this or `memory` is needed. */
  readonly handler?: RangeHandler
  /** Memory that the guest sees at the BAR, and that moves with the BAR. */
  readonly memory?: OwnedMemory
}

/**
 * Describes the expansion ROM BAR. The guest reads (and executes, if the memory says so) it while both its enable bit
 * and memory decoding are on.
 *
 * Source: PCI Local Bus Specification 3.0, §6.2.5.2, "Expansion ROM Base Address Register".
 */
export interface PciRomOptions {
  /** Image; a power of two in size, normally of kind `rom`. */
  readonly memory: OwnedMemory
}

/**
 * Declares MSI: the contract keeps address, data, mask and pending bits.
 *
 * Source: PCI Local Bus Specification 3.0, §6.8.1, "MSI Capability Structure".
 */
export interface MsiOptions {
  /** Messages that the function can tell apart. */
  readonly vectors: 1 | 2 | 4 | 8 | 16 | 32
  /** 64-bit message address. Default true. */
  readonly wide?: boolean
  /** Per-vector masking. Default false. */
  readonly masking?: boolean
  /** Place in configuration space; default the next free one from 0x40 up. */
  readonly at?: number
}

/**
 * Declares MSI-X: the contract keeps the table, the masks and the pending bits in a memory BAR.
 *
 * Source: PCI Local Bus Specification 3.0, §6.8.2, "MSI-X Capability and Table Structures".
 */
export interface MsixOptions {
  /** 1–2048. */
  readonly vectors: number
  /**
   * Where the table is: a memory BAR, and an offset in it that is a multiple of 8. A BAR missing from `bars` is added.
   * Accesses to the rest of the BAR go to its handler.
   */
  readonly table: { readonly bar: number; readonly offset?: number }
  /** Place of the pending bits; default after the table. */
  readonly pba?: { readonly bar: number; readonly offset: number }
  /** Place in configuration space; default the next free one from 0x40 up. */
  readonly at?: number
}

/**
 * A capability of which the contract knows nothing but its place in the list.
 *
 * Source: PCI Local Bus Specification 3.0, §6.7, "Capabilities List"; PCI Express Base Specification 3.0, §7.9,
 * "PCI Express Extended Capabilities".
 */
export interface PciCapability {
  /** Capability ID: 8 bits, or 16 for an extended one. */
  readonly id: number
  /** The bytes after ID and next pointer: from byte 2 on, or from byte 4 on for an extended capability. */
  readonly body: Uint8Array
  /** Which bits of `body` the guest may write; default none. */
  readonly writable?: Uint8Array
  /** Which bits of `body` a write of 1 clears (RW1C); default none. */
  readonly clearable?: Uint8Array
  /** Version of an extended capability, at register 0x100 or above; absent: not extended. */
  readonly extendedVersion?: number
  /** Place in configuration space, a multiple of 4; default the next free one. */
  readonly at?: number
}

/**
 * Makes a function a PCI-to-PCI bridge: a type 1 header, and a bus below it.
 *
 * Source: PCI-to-PCI Bridge Architecture Specification 1.2, §3.2, "PCI-to-PCI Bridge Configuration Registers".
 */
export interface PciBridgeOptions {
  /** Names the bus below, for `PciFunctionOptions.bus`; unique among the models of one server. */
  readonly busName: string
  /** I/O window: absent, 64 KiB or 4 GiB of addresses. Default `16`. */
  readonly ioWindow?: 'none' | 16 | 32
  /** Prefetchable window: absent, or of 32-bit or 64-bit addresses. Default `64`. */
  readonly prefetchableWindow?: 'none' | 32 | 64
  /** Makes the bus below a slot whose device may come and go; its functions are disconnected at first. */
  readonly slot?: PciSlotEvents
}

/** Receives the events of a device in a slot. */
export interface PciSlotEvents {
  /**
   * A device is in the slot now.
   *
   * @param hot - the function was plugged in while the machine runs: the guest is to be notified
   */
  inserted(hot: boolean): void
  /** The guest is to be asked for the device; see `PciSlot.release`. */
  requested(): void
  /** Called after the device has left the slot, following its disconnection. */
  removed(): void
}

/** The slot below a port. */
export interface PciSlot {
  /** Whether the slot holds a device. */
  readonly occupied: boolean
  /** Whether the device is reachable, and reaches the machine. */
  readonly connected: boolean
  /** Connects the device, which is in its state at power-on. */
  connect(): void
  /**
   * Takes the device's power: configuration and BARs answer no more, it is reset, and reaches neither memory nor
   * interrupts.
   *
   * @returns settles when no work of its models is in flight: no byte of theirs reaches guest memory any more
   */
  disconnect(): Promise<void>
  /** The guest has given the device up: it leaves the slot, which `removed` tells. */
  release(): void
}

/** A function's identity, BARs, capabilities and hooks. Source: PCI Local Bus Specification 3.0, ch. 6. */
export interface PciFunctionOptions {
  /** Number of a root bus (default 0), or the `busName` of a bridge that has been added before. */
  readonly bus?: number | string
  /** 0–31. */
  readonly device: number
  /** 0–7; default 0. */
  readonly function?: number
  /** Vendor ID. */
  readonly vendorId: number
  /** Device ID. */
  readonly deviceId: number
  /** Revision; default 0. */
  readonly revisionId?: number
  /** 24 bits: class, subclass, programming interface (0x060000 is a host bridge). */
  readonly classCode: number
  /** Default 0, or 1 with `bridge`; bit 7 says that the device has several functions. */
  readonly headerType?: number
  /** Subsystem vendor ID; default 0. */
  readonly subsystemVendorId?: number
  /** Subsystem ID; default 0. */
  readonly subsystemId?: number
  /** INTA–INTD as 1–4; 0 (default): no interrupt pin. */
  readonly interruptPin?: 0 | 1 | 2 | 3 | 4
  /** Base address registers. */
  readonly bars?: readonly PciBarOptions[]
  /** Option ROM. */
  readonly expansionRom?: PciRomOptions
  /** Declares MSI. */
  readonly msi?: MsiOptions
  /** Declares MSI-X. */
  readonly msix?: MsixOptions
  /** Further capabilities, in the order of the list, after MSI and MSI-X. */
  readonly capabilities?: readonly PciCapability[]
  /** Makes the function a bridge. */
  readonly bridge?: PciBridgeOptions
  /** Configuration space of 4096 bytes, as a PCI Express function has; beyond 256 only ECAM reaches. Default false. */
  readonly extendedConfig?: boolean
  /** Registers 0x40–0xFF (or any other) that the guest may write: [register, mask of writable bits (u32), initial value (u32)]. Registers are multiples of 4. */
  readonly writable?: readonly (readonly [register: number, mask: number, initial?: number])[]
  /** Called before the guest reads configuration bytes `register` … `register + size − 1`: the function may set them. */
  onRead?(register: number, size: number): void
  /**
   * Called after the guest has written configuration bytes `register` … `register + size − 1`; also for the command
   * register when a bridge above begins or ceases to let the function reach memory.
   */
  onWrite?(register: number, size: number): void
}

/** Sends the message interrupts that a function has declared. */
export interface PciMessages {
  /** The kind that the guest has switched on; MSI-X goes before MSI. `none`: the function is to use its INTx pin. */
  readonly mode: 'none' | 'msi' | 'msix'
  /** Vectors that the guest has enabled: 0 in mode `none`. */
  readonly vectors: number
  /**
   * Sends a vector. A masked vector stays pending until the guest unmasks it.
   *
   * @param vector - from 0; taken modulo the enabled vectors, as the specification asks of a function that got fewer
   * @returns false in mode `none`: nothing has been sent
   */
  signal(vector: number): boolean
  /** Takes back a pending vector whose cause has gone. */
  clear(vector: number): void
}

/** A registered function. */
export interface PciFunction {
  /** Present number of the function's bus, which a guest sets for buses below bridges. */
  readonly bus: number
  /** Device number, 0–31. */
  readonly device: number
  /** Function number, 0–7. */
  readonly function: number
  /** Requester ID: bus·256 + device·8 + function. */
  readonly requester: number
  /** The 256 (or 4096) bytes of configuration space, little-endian. The device may change any of them; call `update` after changing command bits or BARs. */
  readonly config: Uint8Array
  /** Whether the function may access memory: the bus master bits of the function and of the bridges above it are set. */
  readonly mayMaster: boolean
  /** The slot below a bridge, or null. */
  readonly slot: PciSlot | null
  /** The INTx wire, or null without an interrupt pin. */
  readonly interrupt: InterruptLine | null
  /** MSI and MSI-X, or null where neither is declared. */
  readonly messages: PciMessages | null
  /** Returns the region behind BAR `index`, or null. It is enabled while the guest has it decoded. */
  bar(index: number): Region | null
  /** Returns the place of a capability in configuration space, or −1. */
  capability(id: number): number
  /** Re-reads command register, BARs and windows. */
  update(): void
  /** Returns to the state after power-on. */
  reset(): void
  /** Returns configuration space, wire and message state. */
  save(): PciFunctionState
  /** Restores the state that `save` returned. @throws DeviceError `ERR_STATE`, `ERR_INVALID` */
  restore(state: PciFunctionState): void
}

/** The saved form of a {@link PciFunction}. */
export interface PciFunctionState {
  /** Layout of this record. */
  readonly version: 2
  /** Configuration space, byte for byte. */
  readonly config: readonly number[]
  /** The level at which the function drives its INTx pin. */
  readonly interruptLevel: boolean
  /** Present with a slot: whether its device is connected. */
  readonly slot?: { readonly connected: boolean }
  /** Present with MSI. */
  readonly msi?: { readonly pending: number }
  /** Present with MSI-X. `table`: four words a vector; `pending`: the vectors that wait. */
  readonly msix?: { readonly table: readonly number[]; readonly pending: readonly number[] }
}

/** Registers PCI functions. */
export interface PciBus {
  /** Adds a function. @throws DeviceError `ERR_EXISTS` where its place is taken, `ERR_NOT_FOUND` for an unknown bus */
  add(options: PciFunctionOptions): PciFunction
  /**
   * Makes a place on bus 0 a slot, which is connected. Configuration space does not show the slot: ACPI tells its guest of devices.
   *
   * @param busName - the slot's name, for `PciFunctionOptions.bus`; unique among the models of one server
   * @param device - the device number, 0–31, of the function in the slot; the number that the function asks for is ignored
   * @throws DeviceError `ERR_EXISTS` where its place or its name is taken
   */
  addSlot(busName: string, device: number, events: PciSlotEvents): PciSlot
}
