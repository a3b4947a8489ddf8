/** The part of Xen's interface that depends on a guest's instruction set: all else of this package stands on it. */
import type { Clock, StatePart } from '@retrap/device'
import type { TimerQueue } from '@retrap/device/host'
import type { MachineMemory } from '@retrap/memory'
import type { FrameCounts, LogDirty, P2m } from '@retrap/p2m'
import type { XenGuestFrames } from './guest-frames.ts'
import type { SharedInfo } from './shared/shared-info.ts'
import type { SharedLayouts } from './shared/shared-layouts.ts'
import type { XenExit } from './shutdown.ts'

/** A guest's interface for hypercalls, for any instruction set. */
export interface XenHost {
  /** The machine memory of the guest. */
  readonly memory: MachineMemory
  /** References to frames of machine memory. */
  readonly frameCounts: FrameCounts
  /** Map of guest frames. */
  readonly p2m: P2m
  /** RAM by guest-physical address. */
  readonly guestMemory: { read(gpa: number, into: Uint8Array): boolean; write(gpa: number, from: Uint8Array): boolean }
  /** Machine addresses of RAM that is about to be written, after second-level faults. */
  readonly secondLevel: { translateWrite(gpa: number): number }
  /** Logs of the RAM that is written. */
  readonly dirtyLogs: {
    /** Marks frames that no vCPU wrote. */
    mark(gfn: number, count: number): void
    /** Begins a log. */
    start(gfn: number, count: number): LogDirty
    /** Ends a log. */
    stop(log: LogDirty): void
    /** Marks frames as written, and drops code translated from them. */
    modified(gfn: number, count: number): void
  }
  /** Virtual time. */
  readonly clock: Clock
  /** Timers on that time. */
  readonly timers: TimerQueue
  /** Ends the domain's run. */
  stop(exit: XenExit): void
  /** Something has happened that a waiting domain must look at. */
  wake(): void
}

/** Xen's state of a guest, which its domain saves, puts back and forks with the rest. */
export interface XenKept {
  /** Whether a machine frame is a page of Xen's own, which the guest may see: no RAM of the guest's. */
  owns(mfn: number): boolean
  /** Calls back with guest frames of RAM that are written at any time without a word. */
  heldForWriting(each: (gfn: number, count: number) => void): void
  /** All of it, as plain data, with Xen's pages, the store and the console. @throws XenError `ERR_STATE`, naming what cannot be saved */
  save(): unknown
  /** Checks a state, which may come from anywhere. @param frames - the guest's, from low to high @throws XenError `ERR_STATE` */
  check(state: unknown, frames: readonly XenGuestFrames[]): void
  /** Ends what is under way, and what uses the guest's RAM: the next two follow. The host's ends of channels stay. */
  abandon(): void
  /**
   * Restores the guest's RAM, with zeros where it has no contents, and the places of Xen's pages.
   *
   * @param state - a state that `check` has accepted
   * @param here - the frames of the guest's map as they are
   * @param frames - the wanted frames
   * @throws XenError `ERR_STATE` if the machine lacks memory
   */
  restoreMap(state: unknown, here: readonly XenGuestFrames[], frames: readonly XenGuestFrames[]): void
  /** Takes the rest of the state, once RAM, interrupt controllers and vCPUs have been restored. */
  restoreRest(state: unknown): void
  /** The domain's end: gives machine memory back. @param isAtRest - no device model can reach Xen's pages any more */
  free(isAtRest: boolean): void
}

/** The calls that every domain makes to the interface that is plugged into it. */
export interface XenDomainCalls {
  /** Xen's state of the guest. */
  readonly kept: XenKept
  /** Whether a vCPU waits in a hypercall. */
  blocks(vcpu: number): boolean
  /** Whether a vCPU may have a turn. Delivers pending events first. */
  mayRun(vcpu: number): boolean
  /** A vCPU's turn begins. */
  beforeTurn(vcpu: number): void
  /** A vCPU's turn has ended. */
  afterTurn(vcpu: number, reason: string): void
  /** Takes a device's message. @returns false for one that is for the interrupt controllers */
  takesMessage(address: number, data: number): boolean
  /** Power-on. */
  reset(): void
}

/** The registers that a hypercall begins and ends with. */
export interface CallRegisters {
  /** The caller is 32-bit code. */
  readonly compat: boolean
  /** The caller may make hypercalls. */
  readonly allowed: boolean
  /** The hypercall's number. */
  number: bigint
  /** Returns an argument, from 0 on; 0 if the convention has no register for it. */
  argument(index: number): bigint
  /** Changes one. */
  setArgument(index: number, value: bigint): void
  setResult(value: bigint): void
}

/** A vCPU's interface for hypercalls, for any instruction set. */
export interface XenProcessor {
  /** Number. */
  readonly id: number
  readonly registers: CallRegisters
  /** Whether the processor has been started: it executes, or would if it did not wait. */
  readonly isStarted: boolean
  /** An interrupt waits, and can be taken now. */
  readonly interruptWaits: boolean
  /** Further rights of the kernel that calls, for copies of its arguments: `ACCESS_AC` of `@retrap/paging`, or 0. */
  readonly copyRights: number
  /**
   * Translates a linear address for the hypervisor's own copies, through the vCPU's present tables.
   *
   * @param access - `ACCESS_*` of `@retrap/paging`
   * @returns the guest-physical address; −1 where the access is not allowed
   */
  guestPhysical(lo: number, hi: number, access: number): number
  /** Ends the vCPU's turn, in addition to any other reason for returning to the domain. */
  endTurn(): void
  /** Ends the vCPU's turn early if another vCPU can run. */
  pause(): void
  /** Unmasks the vCPU's events: SCHEDOP_block. */
  allowEvents(info: SharedInfo): void
}

/** Notifies vCPUs of a set `evtchn_upcall_pending`. */
export interface Upcalls extends StatePart {
  /** A vCPU's flag has just been set: interrupts it. */
  raise(vcpu: number): void
  /** Before a vCPU runs: what could not be delivered is tried again. */
  retry(vcpu: number): void
  /** Power-on: nobody is interrupted. */
  reset(): void
}

/** Guest frames of the pages that a guest finds by parameter. */
export interface ServicePlaces {
  /** Of the store's ring. */
  readonly store: number
  /** Of the console's ring. */
  readonly console: number
}

/** The connections of the numbers that stand for interrupts in calls of event channels. */
export interface PirqWiring {
  /** Inputs of the I/O APIC: the numbers below are theirs. */
  readonly inputs: number
  /** Sends an event to what is bound to a number. @returns false if nothing is */
  send(pirq: number): boolean
  /** Whether an input of the I/O APIC is asserted. */
  asserted(gsi: number): boolean
}

/** A guest's instruction set and board, as far as Xen's interface depends on them. */
export interface XenArchitecture<U extends Upcalls = Upcalls> {
  /** By number. */
  readonly vcpus: readonly XenProcessor[]
  /** Where fields of the shared structures lie. */
  readonly layouts: SharedLayouts
  /** The architecture whose rules hold for parameters. */
  readonly name: 'x86' | 'arm'
  /** The values that the toolstack gives some parameters. */
  readonly parameterValues: readonly (readonly [parameter: number, value: bigint])[]
  /** Guest frames of Xen's own pages. */
  readonly places: ServicePlaces
  /** Bits of XENVER_get_features. */
  readonly features: number
  /** Answers XENVER_capabilities: the kinds of guests there can be. */
  readonly capabilities: string
  /** The inputs of the interrupt controllers that a guest can take by event channel. */
  readonly wires: Pick<PirqWiring, 'inputs' | 'asserted'>
  /** Has `take` asked before an interrupt of a wire is delivered: true takes it away from the controllers. */
  intercept(take: (gsi: number) => boolean): void
  /** Makes the notifier of vCPUs. */
  makeUpcalls(info: SharedInfo): U
  /**
   * A vCPU's clock page, `struct vcpu_time_info`; null: this architecture's guests have none.
   *
   * @param version - of the page now; it comes out 2 higher
   */
  timeInfo(vcpu: number, version: number): Uint8Array | null
}
