import type { VirtioChain } from '../ring/chain.ts'
import type { VirtioDevice, VirtioQueueDefinition } from '../virtio-device.ts'

/** Options of {@link VirtioRng}. */
export interface VirtioRngOptions {
  /** Names the device; default `virtio-rng`. */
  readonly name?: string
  /** Returns 32 random bits. */
  readonly random: () => number
}

const ENTROPY = 4
/** A guest that asks for more gets as much. */
const MOST_BYTES = 0x1_0000

/**
 * An entropy source.
 *
 * Source: VIRTIO 1.2, §5.4, "Entropy Device".
 */
export class VirtioRng implements VirtioDevice {
  /** Names the device. */
  readonly name: string
  /** Device type. */
  readonly type: number = ENTROPY
  /** One queue of requests for random bytes. */
  readonly queues: readonly VirtioQueueDefinition[]

  constructor({ name = 'virtio-rng', random }: VirtioRngOptions) {
    this.name = name
    this.queues = [{ size: 64, handle: (chain) => fill(chain, random) }]
  }
}

function fill({ writable }: VirtioChain, random: () => number): number {
  const bytes = Math.min(writable.length, MOST_BYTES)
  const words = Uint32Array.from({ length: Math.ceil(bytes / 4) }, random)
  return writable.write(0, new Uint8Array(words.buffer, 0, bytes)) ? bytes : 0
}
