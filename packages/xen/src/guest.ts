import type { HostPorts } from './events/host-ends.ts'
import type { HvmParameters } from './hvm-parameters.ts'
import type { StorePermission } from './store/store-tree.ts'

/** Names and values that host and guest share; paths are absolute, and the host may do everything. */
export interface XenStore {
  /** The text at a path, or undefined. @throws XenError `ERR_STORE` for an invalid path, as all of these */
  read(path: string): string | undefined
  /** Writes a text, and makes the nodes that lead to it. */
  write(path: string, value: string | number): void
  /** Names of the nodes below a path, or undefined where there is none. */
  list(path: string): readonly string[] | undefined
  /** Removes a node and all below it. @returns whether there was one */
  remove(path: string): boolean
  /** Rights to a node; undefined where there is none. */
  permissions(path: string): readonly StorePermission[] | undefined
  /**
   * Sets which domains may read and write a node.
   *
   * @param permissions - the first names the owner, and what all others may do
   */
  setPermissions(path: string, permissions: readonly StorePermission[]): void
  /** Calls a listener for each change at or below a path, and once at first. @returns a function that ends it */
  watch(path: string, listener: (changed: string) => void): () => void
}

/** A guest's console ring, from outside: hvc0 of Linux. */
export interface XenConsole {
  /** Names the listener that gets all that the guest prints, and may keep the bytes. */
  onTransmit(listener: (bytes: Uint8Array) => void): void
  /**
   * Queues bytes for the guest; they wait until it takes them.
   *
   * @returns false once 16 KiB wait: these bytes are queued too, and the sender should hold back until `onDrain`
   */
  receive(bytes: Uint8Array): boolean
  /** Names the listener that hears that the guest has taken most bytes after `receive` returned false. */
  onDrain(listener: () => void): void
}

/** A guest's RAM, in frames of 4 KiB, as its hypercalls change it. */
export interface XenGuestMemory {
  /** Frames that it has. */
  readonly current: number
  /** Frames that it may have. */
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
  /**
   * All of it, with Xen's pages, the store and the console, without the guest's RAM. A machine's snapshot has it. Watches and ports
   * of the host are the host's, and no part of it.
   *
   * @throws XenError `ERR_STATE` for a granted frame that is mapped, and has left the guest
   */
  save(): XenGuestState
  /**
   * Takes a saved state, of a guest with the same number and the same RAM. Ports that the host has open here find their channels
   * by their numbers; other channels to the host wait for it to bind them again.
   *
   * @throws XenError `ERR_STATE` for a state of another version, or of another guest: nothing has changed then
   */
  restore(state: XenGuestState): void
}
