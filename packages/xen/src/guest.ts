import type { HostPorts } from './events/host-ends.ts'
import type { HvmParameters } from './hvm-parameters.ts'
import type { XenConsole } from './store/console-ring.ts'
import type { XenStore } from './store/store.ts'

/** A guest's RAM, in frames of 4 KiB, for hypercalls that change it. */
export interface XenGuestMemory {
  /** Present number of frames. */
  readonly current: number
  /** Most frames allowed. */
  readonly maximum: number
  /** The highest guest frame that anything is mapped at. */
  readonly highest: number
}

/** Saved form of a {@link XenGuest}: plain data with named fields, of which its version alone is public. */
export interface XenGuestState {
  /** Version of this form. */
  readonly version: 3
}

/** The Xen that one guest sees, from outside: the toolstack's side. */
export interface XenGuest {
  /** Number among the host's guests. */
  readonly domainId: number
  /** UUID, 16 bytes. */
  readonly handle: Uint8Array
  /** RAM. */
  readonly memory: XenGuestMemory
  /** Values that guest and toolstack leave for each other. */
  readonly parameters: HvmParameters
  /** Names and values that host and guest share. */
  readonly store: XenStore
  /** Console ring, hvc0 of Linux. */
  readonly consoleRing: XenConsole
  /** Event channels between the host and the guest. */
  readonly ports: HostPorts
  /** Moves the wall clock of the shared page by nanoseconds, forward or back. */
  moveWallClock(ns: number): void
  /**
   * All of it, with Xen's pages, the store and the console, without the guest's RAM. A machine's snapshot has it. Watches and ports
   * of the host are the host's, and no part of it.
   *
   * @throws XenError `ERR_STATE` for a granted frame that is mapped, and has left the guest
   */
  save(): XenGuestState
  /**
   * Restores a saved state of a guest with the same domain number and RAM. Open host ports find their channels by number; other
   * host channels wait for a new binding.
   *
   * @throws XenError `ERR_STATE` for a state of another version, or of another guest: nothing has changed then
   */
  restore(state: XenGuestState): void
}
