import { DeviceError } from '@retrap/device'
import type { VirtioAnswer, VirtioChain } from '../../ring/chain.ts'
import type { VirtioDevice, VirtioHost, VirtioQueueDefinition } from '../../virtio-device.ts'
import { HEAD } from './messages.ts'
import { MOST_BYTES, P9Session, type P9SessionState } from './session.ts'
import { isLater, type Share, type Soon } from './share.ts'

/** Options of {@link Virtio9p}. */
export interface Virtio9pOptions {
  /** The files. */
  readonly share: Share
  /** The name that a guest mounts it by; 1 to 255 bytes of UTF-8. */
  readonly tag: string
  /** Whether the guest may change nothing. Default false. */
  readonly readOnly?: boolean
  /** Names the device; default `virtio-9p`. */
  readonly name?: string
}

const TRANSPORT_9P = 9
const MOUNT_TAG = 0
const QUEUE_ENTRIES = 128
const MOST_TAG = 255

/**
 * Files of the host for a guest, by 9P2000.L: `mount -t 9p -o trans=virtio,version=9p2000.L TAG /mnt` of Linux.
 *
 * Sources: VIRTIO 1.2, §5 (device type 9); Linux, `uapi/linux/virtio_9p.h`.
 */
export class Virtio9p implements VirtioDevice {
  /** Names the device. */
  readonly name: string
  /** Device type. */
  readonly type: number = TRANSPORT_9P
  /** The only queue, for requests. */
  readonly queues: readonly VirtioQueueDefinition[] = [{ size: QUEUE_ENTRIES, handle: (chain) => this.#request(chain) }]
  /** There is a tag. */
  readonly features: readonly number[] = [MOUNT_TAG]
  /** The tag, after its length. */
  readonly config: Uint8Array
  readonly #session: P9Session
  #host: VirtioHost | null = null
  /** Answers that could not be written, as the driver had taken the device's right to memory away. */
  readonly #unwritten = new WeakMap<VirtioChain, Uint8Array>()

  /** @throws DeviceError `ERR_OPTION` */
  constructor({ share, tag, readOnly = false, name = 'virtio-9p' }: Virtio9pOptions) {
    const bytes = new TextEncoder().encode(tag)
    if (bytes.length < 1 || bytes.length > MOST_TAG || bytes.includes(0))
      throw new DeviceError('ERR_OPTION', `${name}: tag '${tag}': expected 1 to ${MOST_TAG} bytes`)
    this.name = name
    this.config = new Uint8Array(2 + bytes.length)
    this.config[0] = bytes.length
    this.config.set(bytes, 2)
    this.#session = new P9Session(share, readOnly)
  }

  /** Connects the device to its transport. */
  attach(host: VirtioHost): void {
    this.#host = host
  }

  #request(chain: VirtioChain): VirtioAnswer | Promise<VirtioAnswer> {
    // A request is performed once: a second `mkdir` would fail.
    const given = this.#unwritten.get(chain)
    if (given !== undefined) return this.#give(chain, given)
    const { readable } = chain
    const bytes = readable.slice(0, Math.min(readable.length, MOST_BYTES))
    const length = bytes === null || bytes.length < HEAD ? 0 : new DataView(bytes.buffer).getUint32(0, true)
    if (bytes !== null && length >= HEAD && length <= bytes.length)
      return this.#give(
        chain,
        this.#session.answer(bytes.subarray(0, length), () => !chain.cancelled),
      )
    // There is no tag that an answer could have.
    this.#host?.needsReset()
    return 0
  }

  /**
   * The guest has an answer that is there before it looks: its program need not sleep. On deterministic time all answers take as
   * long, however quick the host is.
   */
  #give(chain: VirtioChain, answer: Soon<Uint8Array>): VirtioAnswer | Promise<VirtioAnswer> {
    if (isLater(answer)) return answer.then((bytes) => () => this.#write(chain, bytes))
    const give = (): number => this.#write(chain, answer)
    return this.#host?.context.clock.realTime === true ? give : Promise.resolve(give)
  }

  #write(chain: VirtioChain, answer: Uint8Array): number {
    if (chain.writable.write(0, answer)) return answer.length
    // A driver whose buffer is too small for the response violates the protocol.
    if (answer.length > chain.writable.length) this.#host?.needsReset()
    else this.#unwritten.set(chain, answer)
    return 0
  }

  // ---- Machine ----

  /** Closes all files. @returns settles when the host has none in use any more */
  reset(): void | Promise<void> {
    return this.#session.reset()
  }

  /** Closes all files: another machine may have the share still. */
  removed(): void {
    void this.#session.reset()
  }

  /** Saves the names of the files in use, with their modes. */
  save(): unknown {
    return this.#session.save()
  }

  /** Restores the state that `save` returned: opens the files again by name. A missing file fails when it is used. */
  restore(state: unknown): void {
    this.#session.restore(state as P9SessionState)
  }
}
