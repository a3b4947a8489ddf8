import type { StatePart } from '@retrap/device'
import type { ChainBuilder } from './chain.ts'

/** Addresses of a queue's parts in guest memory. */
export interface QueueAddresses {
  /** The table of descriptors, or the packed ring. */
  readonly descriptors: number
  /** The area that the driver writes: the available ring, or its event suppression. */
  readonly driver: number
  /** The area that the device writes: the used ring, or its event suppression. */
  readonly device: number
}

/** The parts of a ring. */
export interface RingOptions extends QueueAddresses {
  /** Entries. */
  readonly size: number
  /** `VIRTIO_F_INDIRECT_DESC` has been negotiated. */
  readonly indirect: boolean
  /** `VIRTIO_F_EVENT_IDX` has been negotiated. */
  readonly eventIndex: boolean
}

/** The outcome of a look for the next chain. */
export type Taken = 'empty' | 'taken' | 'broken'

/**
 * One layout of a queue. The guest's data in it is never trusted.
 *
 * A saved state has the positions of the next chain that the driver makes available and of the next used entry, their wrap
 * counters (0 in a split ring), and the used entries since the driver was last asked whether it wants an interrupt; −1: the
 * driver has not been asked yet.
 */
export interface Ring extends StatePart {
  /** Whether no chain is available. */
  readonly isEmpty: boolean
  /** Takes the next chain. */
  take(into: ChainBuilder): Taken
  /** Requests a notification for the next chain. @returns whether one is available already, or the ring is broken */
  listen(): boolean
  /** Puts a chain among those to be published as used. @returns false: the ring is not RAM */
  use(id: number, slots: number, written: number): boolean
  /** Publishes the chains, all at once. @returns false: the ring is not RAM */
  publish(): boolean
  /** Whether the driver wants an interrupt for chains published since the last call. */
  wantsInterrupt(): boolean
}

/**
 * Whether an index was passed between two others, modulo 2^16.
 *
 * Source: VIRTIO 1.2, §2.7.7.2, "Device Requirements: Used Buffer Notification Suppression", whose condition it is.
 */
export function passed(event: number, now: number, before: number): boolean {
  return ((now - event - 1) & 0xffff) < ((now - before) & 0xffff)
}

/** Bits of a descriptor's flags. Source: VIRTIO 1.2, §2.7.5, "The Virtqueue Descriptor Table". */
export const NEXT = 1
export const WRITE = 2
export const INDIRECT = 4

export const DESCRIPTOR_BYTES = 16
