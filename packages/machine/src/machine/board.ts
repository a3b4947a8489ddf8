import type { DomainOptions, DomainState, SavedDomain } from '@retrap/hvm'
import type { Screen } from '@retrap/display'
import type { XenGuest } from '@retrap/xen'
import type { BoardHooks } from '../board/board.ts'
import type { PlacedBoard } from '../board/placed-board.ts'
import type { MachineBoard } from '../refusals/refusals.ts'
import type { MachineDebugger } from '../debugger/machine-debugger.ts'
import type { InputSwitches } from '../input/input-switch.ts'
import type { DeviceSite, PlacedDevices } from '../devices/placed-devices.ts'
import type { RandomSource } from '../lifecycle/host.ts'
import type { LifeOptions, MachineLife, ResetImages } from '../lifecycle/machine-life.ts'
import type { MachineForkOptions, MachineOptions } from '../options/machine-options.ts'
import type { BoardState, MachineState } from '../snapshot/snapshots.ts'

/** The types of machines of one kind. */
export interface MachineKind {
  readonly options: MachineOptions
  /** The options of a clone's own. */
  readonly forkOptions: MachineForkOptions
  /** The inside: vCPUs, memory map, devices. */
  readonly domain: SavedDomain<DomainState>
  /** The machine's saved state without the contents of RAM. */
  readonly state: MachineState
}

/** Inputs from outside, in groups: a recording numbers them in the order in which a machine takes them. */
export type InputGroup = 'back-ends' | 'serial' | 'xen'

/** The facts that devices are made from, beside the options. */
export type DevicePlace = InputSwitches & Pick<DeviceSite, 'random'> & { readonly screen: Screen }

/** The devices of a machine under construction. */
export interface MachineDevices extends Required<PlacedDevices> {
  /** The place of devices that are plugged in later. */
  readonly site: DeviceSite
  /** Resolve when models in other threads or processes are ready. */
  readonly ready: readonly Promise<void>[]
}

/** The callbacks that the models of all boards invoke beyond their device contexts. */
export type CommonHooks = Pick<BoardHooks, 'transmit' | 'taken' | 'ramfb'>

/** Brings a machine to its first instruction. */
export interface MachineBoot {
  /** Sets devices to the state that firmware would leave; only for machines without firmware. @param images - as for `start` */
  setDevices?(images?: ResetImages): Promise<void>
  /**
   * Loads firmware or kernel, and sets the vCPUs' entry: at power-on, and after each reset.
   *
   * @param goesOn - a snapshot or a fork sets RAM and vCPUs
   * @param images - replace the options' images
   */
  start(goesOn: boolean, images?: ResetImages): Promise<void>
}

/** The part of one machine that its board gives. `composeMachine` calls the methods, each once, in this order. */
export interface Board<K extends MachineKind> {
  /** The board's name in the table of combinations. */
  readonly name: MachineBoard
  /** Bytes of machine memory. */
  readonly memoryBytes: number
  /** Whether other threads access machine memory. */
  readonly isShared: boolean
  /** Bytes of machine memory that a clone takes beside the RAM that it writes. */
  readonly cloneBytes: number
  /** Guest RAM. */
  readonly ram: readonly { readonly gpa: number; readonly bytes: number }[]
  readonly serialPorts: number
  /** The order in which inputs are taken. Recordings of earlier releases have each board's own. */
  readonly inputGroups: readonly InputGroup[]
  /** Whether the time that has passed since the machine was saved passes for the guest, in part. */
  readonly catchesUp: boolean
  /** Brings the machine to its first instruction; available after `connect`. */
  readonly boot: MachineBoot
  /** Makes the domain, with room for the vCPUs of its clones. @param original - of a clone */
  createDomain(options: DomainOptions, random: RandomSource, original: K['domain'] | undefined): K['domain']
  /** Makes the parts before devices. @param populate - populates RAM, after Xen has taken its frames. @returns the guest's Xen */
  connect(random: RandomSource, populate: () => void): XenGuest | undefined
  /** Returns the board's part of the machine's life. */
  life(): Pick<LifeOptions, 'boot' | 'describe' | 'onSleep' | 'tripleFault'>
  /** Makes the devices; they are not attached yet, since the board comes first. @throws MachineError `ERR_OPTION` */
  placeDevices(options: K['options'], place: DevicePlace): MachineDevices
  /** Makes the board's models part of the domain. */
  placeBoard(options: K['options'], devices: MachineDevices, life: MachineLife, hooks: CommonHooks): PlacedBoard
  /** Loads the code that saves and restores the board's state. @param options - with the media that are in the drives now */
  loadState(
    options: K['options'],
    random: RandomSource,
    life: MachineLife,
    inputs: () => InputSwitches,
  ): Promise<BoardState<K['state']['domain'], K['state']>>
  /** Makes the machine's debugger. */
  attachDebugger(life: MachineLife, isRecorded: boolean): Promise<MachineDebugger>
  /** Frees machine memory that the board took outside the domain. */
  free?(): void
}

/** Access to a composed machine's domain, for the machine's own class only. */
export interface MachineParts<K extends MachineKind> {
  /** The hypervisor's domain: vCPUs, memory, devices. */
  readonly domain: K['domain']
}
