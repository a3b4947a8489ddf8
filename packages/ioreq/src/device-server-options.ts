import type { DeviceMemory, InterruptLine } from '@retrap/device'
import type { Frame } from './frames.ts'

/** A device server's way to its hypervisor. */
export interface DeviceLink {
  /** Sends a frame after all frames before. */
  send(frame: Frame): void
  /** Answers the request of a vCPU, after all frames before. */
  answer(vcpu: number, lo: number, hi: number): void
  /**
   * Moves memory while the caller waits, where that can be done. Without it the synchronous forms of `dma` and of owned
   * memory throw.
   *
   * @param frame - one that a `dmaDone` answers, with a call number
   */
  callSync?(frame: Frame): Extract<Frame, { kind: 'dmaDone' }>
}

/** Options of a `DeviceServer`. */
export interface DeviceServerOptions {
  /** Names the server where the hypervisor has not; default `devices`. */
  readonly name?: string
  /** What whoever made the machine sends to its models. */
  onMessage?(bytes: Uint8Array): void
  /** The wire of a PCI function's INTx pin, where the bridge that routes it is one of these models. */
  pciInterrupt?(device: number, pin: number): InterruptLine
  /**
   * Gives each model its own way to guest memory that lies within reach, such as a `MapCache` over a machine's shared
   * memory in a Worker. What it has mapped delays the answers to INVALIDATE requests. Default: the hypervisor copies for
   * the models, and they cannot map.
   *
   * @param modified - to be called for guest frames that the model has written, when its bytes are there
   */
  openMemory?(modified: (gfn: number, count: number) => void): DeviceMemory
  /**
   * Shows memory that a model owns, where the machine's memory is shared with this thread: see `openOwnedMemory` of
   * `@retrap/hvm`. Default: models copy by message, and `OwnedMemory.view` is null.
   */
  ownedView?(location: number, bytes: number): Uint8Array
}
