import type { DeviceContext, DeviceModel } from '@retrap/device'
import type { VirtioAnswer, VirtioChain } from './ring/chain.ts'
import type { FeatureSet } from './ring/feature-bits.ts'
import type { VirtioQueue } from './queue.ts'

/** One virtqueue of a {@link VirtioDevice}. It has either `handle` or `notify`. */
export interface VirtioQueueDefinition {
  /** Entries that are offered: a power of two up to 32768. Default 256. */
  readonly size?: number
  /**
   * Answers one request. Requests may be under way at the same time, and complete in any order.
   *
   * A promise that rejects, or an exception, is a failure of the device model. A request whose answer is a function is made
   * once more where the guest had meanwhile taken away the right to reach memory, or where a machine goes on elsewhere.
   */
  handle?(chain: VirtioChain): VirtioAnswer | Promise<VirtioAnswer>
  /** Virtual time until the answer of `handle`, where that is a promise; undefined: the usual one. */
  latencyNs?(chain: VirtioChain): number | undefined
  /** Called when the driver has made chains available: the device may take them later. */
  notify?(queue: VirtioQueue): void
}

/** The transport and driver, as far as a device knows them. */
export interface VirtioHost {
  /** In the order of `VirtioDevice.queues`. */
  readonly queues: readonly VirtioQueue[]
  /** Clock, timers and memory of the machine. */
  readonly context: DeviceContext
  /** Whether the driver has set DRIVER_OK, and the device is to work. */
  readonly running: boolean
  /** Whether the driver has accepted a feature. */
  hasFeature(bit: number): boolean
  /** Tells the driver that `config` has changed. */
  configChanged(): void
  /** Requests another call of `notify` soon, which has left chains to be taken. */
  lookAgain(): void
  /** Stops the device until the driver resets it: a mistake of the driver that no response can report. */
  needsReset(): void
}

/** The features of transports, besides a device's. */
export interface VirtioRingOptions {
  /** Whether queues may be packed rings, for a driver that knows them. Default false. */
  readonly packed?: boolean | undefined
  /** Whether the driver may name tables of descriptors. Default true. */
  readonly indirect?: boolean
  /** Whether notifications and interrupts are asked for by index. Default true. */
  readonly eventIndex?: boolean
}

/**
 * A virtio device without its transport: `VirtioPci` and `VirtioMmio` make a device model of it.
 *
 * Source: Virtual I/O Device (VIRTIO) 1.2.
 */
export interface VirtioDevice extends Pick<DeviceModel, 'name' | 'removed'> {
  /** Device type: 1 network, 2 block, 3 console, 4 entropy source … (§5, "Device Types"). */
  readonly type: number
  /** Virtqueues. */
  readonly queues: readonly VirtioQueueDefinition[]
  /** Offered feature bits of the device type. Feature bits of rings and transports are added automatically. */
  readonly features?: readonly number[]
  /** Configuration space, as the driver reads it. */
  readonly config?: Uint8Array
  /** The driver has written configuration bytes. Absent: writes have no effect. */
  configWritten?(offset: number, bytes: Uint8Array): void
  /** Whether the device works with these features; absent: with any that it offers. */
  accepts?(features: FeatureSet): boolean
  /** Tells the device its surroundings; called once. */
  attach?(host: VirtioHost): void
  /** The driver has set DRIVER_OK. */
  start?(): void
  /** Called when the driver, or the machine, resets the device. A promise resolves when all earlier work has ended. */
  reset?(): void | Promise<void>
  /**
   * Whether requests wait for other responses to reach the guest. A save then delivers responses at once; otherwise they arrive
   * at their virtual instants. Absent: no request waits.
   */
  waitsForAnswers?(): boolean
  /** Like `DeviceModel.quiesce`. Requests of `handle` are awaited automatically. */
  quiesce?(deadlineMs: number): void | Promise<void>
  /** As `DeviceModel.resume`. */
  resume?(): void
  /** Like `DeviceModel.isAtRest`. Queues with `handle` are checked automatically. */
  isAtRest?(): boolean
  /** State beside rings, features and configuration; as `DeviceModel.save`. */
  save?(): unknown
  /** Restores the state that `save` returned. */
  restore?(state: unknown): void
}
