import { DeviceError, type PacketBackend, Stateful } from '@retrap/device'
import type { VirtioChain } from '../../ring/chain.ts'
import type { VirtioQueue } from '../../queue.ts'
import { type FeatureSet, VirtioFeature } from '../../ring/feature-bits.ts'
import type { VirtioDevice, VirtioHost, VirtioQueueDefinition } from '../../virtio-device.ts'
import { framesOf, PACKET_HEADER_BYTES, readPacketHeader } from './offload.ts'
import { ReceiveFilter } from './receive-filter.ts'
import { SegmentJoiner } from './segment-joiner.ts'

/** Feature bits of a network card. Source: VIRTIO 1.2, §5.1.3, "Feature bits". */
const VirtioNetFeature = {
  /** The device completes checksums. */
  checksum: 0,
  /** The driver takes packets whose checksums are not complete. */
  guestChecksum: 1,
  mtu: 3,
  mac: 5,
  /** The driver takes TCP segments over IPv4 that were joined. */
  guestTso4: 7,
  /** The device cuts TCP segments over IPv4. */
  hostTso4: 11,
  /** The device cuts TCP segments over IPv6. */
  hostTso6: 12,
  mergeableBuffers: 15,
  status: 16,
  controlQueue: 17,
  controlReceive: 18,
  controlMac: 23,
} as const

/** Options of {@link VirtioNet}. */
export interface VirtioNetOptions {
  readonly network: PacketBackend
  /** Names the device; default `virtio-net`. */
  readonly name?: string
  /** Six bytes; default the network's choice, or 52:54:00:12:34:56. */
  readonly macAddress?: Uint8Array
  /** Entries of the receive and transmit queues, a power of two up to 1024; default 256. */
  readonly queueSize?: number
}

/** The next microtask. */
const NOW = Promise.resolve()

const NETWORK = 1
const RECEIVE = 0
const TRANSMIT = 1

/* Configuration (§5.1.4). */
const MAC_BYTES = 6
const STATUS = 6
const MTU = 10
const CONFIG_BYTES = 12
const LINK_UP = 1

const ETHERNET_BYTES = 14
/** Bytes of a frame with a packet of 1500 bytes, without and with a VLAN tag. */
const USUAL_FRAMES = [1514, 1518]
/** Headers of Ethernet, and the largest IP packet. */
const MOST_BYTES = ETHERNET_BYTES + 4 + 0xffff
const MOST_COMMAND_BYTES = 0x1_0000
const OK = 0
const FAILED = 1
const USUAL_ADDRESS = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56]

/**
 * A network card.
 *
 * Source: VIRTIO 1.2, §5.1, "Network Device".
 */
export class VirtioNet extends Stateful implements VirtioDevice {
  /** Names the device. */
  readonly name: string
  /** Device type. */
  readonly type: number = NETWORK
  /** Receive, transmit, control. */
  readonly queues: readonly VirtioQueueDefinition[]
  /** Checksums, segmentation, mergeable buffers, and the control queue. */
  readonly features: readonly number[]
  /** Address, link status, largest packet. */
  readonly config: Uint8Array = new Uint8Array(CONFIG_BYTES)
  readonly #network: PacketBackend
  readonly #address: Uint8Array
  readonly #filter = new ReceiveFilter()
  readonly #r = this.keeps(
    {
      filter: this.#filter,
      /** Whether the network has a frame for which there was no room. */
      starved: undefined as true | undefined,
    },
    { recent: ['starved'], lasting: ['starved'] },
  )
  #host: VirtioHost | null = null
  readonly #joiner = new SegmentJoiner()
  /** Chains of the receive queue that were not enough for a frame, or too small. */
  #spare: VirtioChain[] = []
  /** A packet of which the network has not taken all frames. */
  #sending: { readonly chain: VirtioChain; readonly frames: readonly Uint8Array[]; next: number } | null = null

  /** @throws DeviceError `ERR_OPTION` */
  constructor({ network, name = 'virtio-net', macAddress, queueSize = 256 }: VirtioNetOptions) {
    super()
    const address = macAddress ?? network.macAddress ?? Uint8Array.from(USUAL_ADDRESS)
    const bad = (what: string): DeviceError => new DeviceError('ERR_OPTION', `${name}: ${what}`)
    if (address.length !== MAC_BYTES || (address[0]! & 1) !== 0)
      throw bad(`address ${[...address].join(':')}: expected six bytes, and not that of a group`)
    if (!(queueSize >= 4 && queueSize <= 1024 && Number.isInteger(Math.log2(queueSize))))
      throw bad(`queues of ${queueSize} entries: expected a power of two from 4 to 1024`)
    const { mac, status, checksum, hostTso4, hostTso6, mergeableBuffers, controlQueue } = VirtioNetFeature
    const { controlReceive, controlMac, mtu, guestChecksum, guestTso4 } = VirtioNetFeature
    const features: number[] = [mac, status, checksum, hostTso4, hostTso6, mergeableBuffers, guestChecksum, guestTso4]
    features.push(controlQueue, controlReceive, controlMac)
    if (!USUAL_FRAMES.includes(network.maximumBytes)) features.push(mtu)
    this.name = name
    this.#network = network
    this.#address = address.slice()
    this.features = features
    this.config.set(address)
    new DataView(this.config.buffer).setUint16(MTU, Math.min(network.maximumBytes - ETHERNET_BYTES, 0xffff), true)
    this.#showLink(network.linkUp)
    this.queues = [
      { size: queueSize, notify: () => this.#refilled() },
      { size: queueSize, notify: (queue) => this.#transmit(queue) },
      { size: 64, handle: (chain) => this.#command(chain) },
    ]
  }

  /** Identifies the card to the network. */
  attach(host: VirtioHost): void {
    this.#host = host
    this.#network.connect({
      receive: (frame) => this.#receive(frame),
      drained: () => this.#transmit(host.queues[TRANSMIT]!),
      linkChanged: (up) => {
        this.#showLink(up)
        host.configChanged()
      },
    })
  }

  #showLink(up: boolean): void {
    this.config[STATUS] = up ? LINK_UP : 0
  }

  /** Segments need checksums, and commands their queue. */
  accepts(features: FeatureSet): boolean {
    const { checksum, hostTso4, hostTso6, guestChecksum, guestTso4 } = VirtioNetFeature
    const { controlQueue, controlReceive, controlMac } = VirtioNetFeature
    if (features.has(guestTso4) && !features.has(guestChecksum)) return false
    if ((features.has(hostTso4) || features.has(hostTso6)) && !features.has(checksum)) return false
    return !((features.has(controlReceive) || features.has(controlMac)) && !features.has(controlQueue))
  }

  /** A legacy driver sets the MAC address by this write. */
  configWritten(offset: number, bytes: Uint8Array): void {
    if (this.#host?.hasFeature(VirtioFeature.version1) === true || offset + bytes.length > MAC_BYTES) return
    this.config.set(bytes, offset)
    this.#tellNetwork()
  }

  /** Bytes in front of each packet. Legacy drivers have a count of buffers only with mergeable ones. */
  get #headerBytes(): number {
    const counts =
      this.#host?.hasFeature(VirtioFeature.version1) === true ||
      this.#host?.hasFeature(VirtioNetFeature.mergeableBuffers) === true
    return counts ? PACKET_HEADER_BYTES + 2 : PACKET_HEADER_BYTES
  }

  // ---- Receiving ----

  #receive(frame: Uint8Array): boolean {
    // Without a driver the card drops incoming frames.
    if (this.#host?.running !== true || frame.length < ETHERNET_BYTES) return true
    if (frame.length > MOST_BYTES || !this.#filter.accepts(frame, this.config)) return true
    const joiner = this.#joiner
    if (joiner.join(frame)) return true
    if (!this.#handOn()) return false
    if (!this.#host.hasFeature(VirtioNetFeature.guestTso4) || !joiner.begin(frame)) {
      const bytes = new Uint8Array(this.#headerBytes + frame.length)
      bytes.set(frame, this.#headerBytes)
      return this.#place(bytes)
    }
    // Frames that arrive at the same time can be joined before that.
    void NOW.then(() => this.#handOn())
    return true
  }

  /** Delivers the joined packet to the driver. @returns false without enough buffers */
  #handOn(): boolean {
    const joiner = this.#joiner
    if (!joiner.holds) return true
    if (this.#host?.running === true && !this.#place(joiner.finish(this.#headerBytes))) return false
    joiner.clear()
    return true
  }

  /** Writes a packet with its header into buffers. @returns false without enough buffers */
  #place(bytes: Uint8Array): boolean {
    const host = this.#host!
    const queue = host.queues[RECEIVE]!
    const mergeable = host.hasFeature(VirtioNetFeature.mergeableBuffers)
    const chains = this.#spare
    let room = chains.reduce((sum, { writable }) => sum + writable.length, 0)
    while (room < bytes.length && (mergeable || chains.length === 0)) {
      const chain = queue.take()
      if (chain === null) {
        // The whole ring is too small: the packet is dropped, and its buffers are used again.
        if (chains.length >= queue.size) return true
        this.#r.starved = true
        return false
      }
      chains.push(chain)
      room += chain.writable.length
    }
    // Without mergeable buffers a frame that is too long for its buffer is dropped, and the buffer is used again.
    if (room < bytes.length || chains[0]!.writable.length < this.#headerBytes) return true
    let count = 0
    for (room = 0; room < bytes.length; count++) room += chains[count]!.writable.length
    this.#spare = chains.slice(count)
    this.#fill(queue, chains.slice(0, count), bytes)
    return true
  }

  #fill(queue: VirtioQueue, chains: readonly VirtioChain[], bytes: Uint8Array): void {
    if (this.#headerBytes > PACKET_HEADER_BYTES)
      new DataView(bytes.buffer, bytes.byteOffset).setUint16(PACKET_HEADER_BYTES, chains.length, true)
    let done = 0
    const written = chains.map(({ writable }) => {
      const part = bytes.subarray(done, done + writable.length)
      done += part.length
      return writable.write(0, part) ? part.length : 0
    })
    queue.completeTogether(chains, written)
  }

  /** The driver has given buffers. */
  #refilled(): void {
    if (this.#r.starved === undefined) return
    this.#r.starved = undefined
    if (this.#handOn()) this.#network.ready()
  }

  // ---- Transmitting ----

  #transmit(queue: VirtioQueue): void {
    const done: VirtioChain[] = []
    // No more at a time than the queue holds: a driver on another thread may go on for ever.
    for (let left = queue.size; left > 0 && queue.ready; left--) {
      this.#sending ??= this.#next(queue)
      if (this.#sending === null || !this.#send(this.#sending)) break
      done.push(this.#sending.chain)
      this.#sending = null
    }
    if (done.length > 0) queue.completeTogether(done, [])
    if (done.length === queue.size) this.#host?.lookAgain()
  }

  #next(queue: VirtioQueue): { chain: VirtioChain; frames: readonly Uint8Array[]; next: number } | null {
    const chain = queue.take()
    return chain === null ? null : { chain, frames: this.#framesOf(chain), next: 0 }
  }

  /** A packet that cannot be sent is lost, as on a wire. */
  #framesOf({ readable }: VirtioChain): readonly Uint8Array[] {
    const headerBytes = this.#headerBytes
    const bytes = readable.length - headerBytes
    if (bytes < ETHERNET_BYTES || bytes > MOST_BYTES) return []
    const header = readable.slice(0, PACKET_HEADER_BYTES)
    const frame = readable.slice(headerBytes, bytes)
    if (header === null || frame === null) return []
    return framesOf(frame, readPacketHeader(header)) ?? []
  }

  /** @returns false: the network has no room, and calls back later */
  #send(packet: { readonly frames: readonly Uint8Array[]; next: number }): boolean {
    for (; packet.next < packet.frames.length; packet.next++) {
      const frame = packet.frames[packet.next]!
      if (frame.length <= this.#network.maximumBytes && !this.#network.send(frame)) return false
    }
    return true
  }

  // ---- Control ----

  #command({ readable, writable }: VirtioChain): number {
    const bytes = readable.slice(0, Math.min(readable.length, MOST_COMMAND_BYTES))
    if (bytes === null || writable.length === 0) return 0
    const setAddress = (address: Uint8Array): void => this.config.set(address)
    const done = bytes.length >= 2 && this.#filter.execute(bytes[0]!, bytes[1]!, bytes.subarray(2), setAddress)
    if (done) this.#tellNetwork()
    return writable.write(0, Uint8Array.of(done ? OK : FAILED)) ? 1 : 0
  }

  #tellNetwork(): void {
    const { wantsAll, multicast } = this.#filter
    this.#network.filter?.({ promiscuous: wantsAll, unicast: this.config.slice(0, MAC_BYTES), multicast })
  }

  // ---- Machine ----

  /** Forgets filters and packets. A frame that the network keeps back, it may offer again. */
  override reset(): void {
    super.reset()
    this.#dropPackets()
    this.config.set(this.#address)
    this.#tellNetwork()
    this.#refilled()
  }

  /** Whether no packet waits for the network, and none for the driver although buffers are available. */
  isAtRest(): boolean {
    const isWaiting = this.#r.starved === true || this.#joiner.holds
    return this.#sending === null && this.#isEmpty(TRANSMIT) && (!isWaiting || this.#isEmpty(RECEIVE))
  }

  #isEmpty(queue: number): boolean {
    return this.#host?.queues[queue]!.isEmpty !== false
  }

  /** Resumes with frames that the network has kept. */
  resume(): void {
    const before = this.config[STATUS]
    this.#showLink(this.#network.linkUp)
    // The link may differ: the network is another machine's now, or its cable was pulled meanwhile.
    if (this.config[STATUS] !== before) this.#host?.configChanged()
    // Without buffers, nothing comes of another look. A look at the ring of a forked machine copies its frame.
    if (this.#r.starved !== undefined && !this.#isEmpty(RECEIVE)) this.#refilled()
  }

  /** Restores the filters. Chains that the card held are part of their queues. */
  override restore(state: unknown): void {
    super.restore(state)
    this.#dropPackets()
    this.#tellNetwork()
  }

  #dropPackets(): void {
    this.#spare = []
    this.#joiner.clear()
    this.#sending = null
  }
}
