import { type DeviceContext, Stateful, type Timer } from '@retrap/device'
import { DelayedCause } from './interrupts.ts'
import { type OffloadContext, OutgoingPacket, type OutgoingPacketState } from './outgoing-packet.ts'
import { CAUSE, REG, type RegisterFile } from './register-file.ts'
import { STAT, type Statistics } from './statistics.ts'

/*
 * Source: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual, §3.3, "Packet Transmission", §3.4,
 * "Transmit Descriptor Ring Structure".
 */

// TCTL.
const ENABLE = 0x02
const PAD_SHORT = 0x08
// CTRL.
const VLAN_MODE = 0x4000_0000

const DESCRIPTOR_BYTES = 16
// Commands of a descriptor.
const END_OF_PACKET = 0x01
const INSERT_CHECKSUM = 0x04
const SEGMENTS = 0x04
const REPORT = 0x08
const EXTENDED = 0x20
const INSERT_TAG = 0x40
const DELAY = 0x80
/** Kind of an extended descriptor: 0 a context, 1 data. */
const DATA = 1
const DONE = 0x01

// Bits of a context descriptor's command.
const IS_TCP = 0x01
const IS_IPV4 = 0x02

/** Largest packet without segmentation, and largest packet with segmentation. */
const MOST_BYTES = 16_288
const MOST_SEGMENTED_BYTES = 0x4_0000
/** Descriptors and frames at a time; the rest follows after the pause. */
const BATCH = 256
const PAUSE_NS = 10_000

const NO_CONTEXT: OffloadContext = {
  ipStart: 0,
  ipOffset: 0,
  ipEnd: 0,
  payloadStart: 0,
  payloadOffset: 0,
  payloadEnd: 0,
  isTcp: false,
  isIpv4: false,
  headerBytes: 0,
  segmentBytes: 0,
}

/** The packet that is being put together. */
interface Gathering {
  readonly segments: boolean
  readonly options: number
  tag: number | null
}

/** The part of its controller that the transmitter reaches. */
export interface TransmitterWires {
  readonly context: DeviceContext
  readonly registers: RegisterFile
  readonly statistics: Statistics
  /** Whether memory can be reached. */
  readonly mayMaster: () => boolean
  readonly raise: (causes: number) => void
  /** Sends a frame. @returns false: the network has no room, and says when it has */
  send(frame: Uint8Array): boolean
}

/** Takes packets out of the transmit ring. */
export class Transmitter extends Stateful {
  readonly #wires: TransmitterWires
  readonly #later: Timer
  /** Reports sent packets after a delay: at once after a write of TIDV with bit 31. */
  readonly written: DelayedCause
  readonly #descriptor = new Uint8Array(DESCRIPTOR_BYTES)
  readonly #view = new DataView(this.#descriptor.buffer)
  #bytes = new Uint8Array(2048)
  #length = 0
  #packet: OutgoingPacket | null = null
  #isPumping = false
  readonly #r = this.keeps({
    /** Offload contexts of packets that are sent whole, and of packets that are cut into segments. */
    contexts: [NO_CONTEXT, NO_CONTEXT] as [OffloadContext, OffloadContext],
    gathering: null as Gathering | null,
    bytes: {
      save: (): Uint8Array => this.#bytes.slice(0, this.#length),
      restore: (bytes: Uint8Array): void => {
        this.#bytes = new Uint8Array(Math.max(2048, bytes.length))
        this.#bytes.set(bytes)
        this.#length = bytes.length
      },
    },
    /** Whether the packet is lost: too long, or not all in memory. */
    lost: false,
    packet: {
      save: (): unknown => this.#packet?.save() ?? null,
      restore: (packet: OutgoingPacketState | null): void =>
        void (this.#packet = packet === null ? null : new OutgoingPacket(packet)),
    },
    later: () => this.#later,
    written: (): DelayedCause => this.written,
  })

  constructor(wires: TransmitterWires) {
    super()
    this.#wires = wires
    this.#later = wires.context.timer(() => this.pump())
    this.written = new DelayedCause(wires.context, () => wires.raise(CAUSE.TXDW))
  }

  get hasPacket(): boolean {
    return this.#packet !== null
  }

  /** Sends all queued packets. */
  pump(): void {
    const { registers, mayMaster } = this.#wires
    // `send` of the network may call back, which would re-enter this function.
    if (this.#isPumping || (registers.get(REG.TCTL) & ENABLE) === 0 || !mayMaster()) return
    this.#isPumping = true
    let left = BATCH
    let took = false
    while (this.#later.deadlineNs === Infinity) {
      if (left-- === 0) this.#later.armAfter(PAUSE_NS)
      else if (this.#packet !== null) {
        if (!this.#sendFrame(this.#packet)) break
      } else if (this.#hasDescriptor()) {
        took = true
        this.#takeDescriptor()
      } else break
    }
    this.#isPumping = false
    const isEmpty = registers.get(REG.TDH) === registers.get(REG.TDT)
    if (took) this.#reportLevel(isEmpty)
  }

  get #entries(): number {
    return this.#wires.registers.get(REG.TDLEN) / DESCRIPTOR_BYTES
  }

  /** Whether a descriptor is queued. A head or tail beyond the ring would never meet the other index. */
  #hasDescriptor(): boolean {
    const { registers } = this.#wires
    const [head, tail] = [registers.get(REG.TDH), registers.get(REG.TDT)]
    return head !== tail && head < this.#entries && tail < this.#entries
  }

  /** Reports an empty ring, or one below the threshold. */
  #reportLevel(isEmpty: boolean): void {
    const { registers, raise } = this.#wires
    const threshold = (registers.get(REG.TXDCTL) >>> 25) * 8
    const used = (registers.get(REG.TDT) - registers.get(REG.TDH) + this.#entries) % this.#entries
    raise((isEmpty ? CAUSE.TXQE : 0) | (threshold > 0 && used <= threshold ? CAUSE.TXD_LOW : 0))
  }

  #takeDescriptor(): void {
    const { registers, context } = this.#wires
    const head = registers.get(REG.TDH)
    const at = registers.address(REG.TDBAL) + DESCRIPTOR_BYTES * head
    if (!context.dma.read(at, this.#descriptor)) this.#descriptor.fill(0)
    const command = this.#descriptor[11]!
    const isExtended = (command & EXTENDED) !== 0
    if (isExtended && this.#descriptor[10]! >>> 4 !== DATA) this.#takeContext(command)
    else this.#takeData(command, isExtended)
    registers.set(REG.TDH, (head + 1) % this.#entries)
    if ((command & REPORT) === 0) return
    context.dma.write(at + 12, Uint8Array.of(this.#descriptor[12]! | DONE))
    const delay = (command & DELAY) === 0 ? 0 : registers.get(REG.TIDV)
    this.written.start(delay, registers.get(REG.TADV))
  }

  #takeContext(command: number): void {
    const view = this.#view
    const isForSegments = (command & SEGMENTS) !== 0
    this.#r.contexts[isForSegments ? 1 : 0] = {
      ipStart: view.getUint8(0),
      ipOffset: view.getUint8(1),
      ipEnd: view.getUint16(2, true),
      payloadStart: view.getUint8(4),
      payloadOffset: view.getUint8(5),
      payloadEnd: view.getUint16(6, true),
      isTcp: (command & IS_TCP) !== 0,
      isIpv4: (command & IS_IPV4) !== 0,
      headerBytes: view.getUint8(13),
      segmentBytes: view.getUint16(14, true),
    }
  }

  #takeData(command: number, isExtended: boolean): void {
    const view = this.#view
    const segments = isExtended && (command & SEGMENTS) !== 0
    // A packet's first descriptor holds the packet's options.
    this.#r.gathering ??= { segments, options: isExtended ? view.getUint8(13) & 3 : 0, tag: null }
    if ((command & INSERT_TAG) !== 0) this.#r.gathering.tag = view.getUint16(14, true)
    const gpa = view.getUint32(4, true) * 0x1_0000_0000 + view.getUint32(0, true)
    this.#append(gpa, isExtended ? view.getUint32(8, true) & 0xf_ffff : view.getUint16(8, true))
    if ((command & END_OF_PACKET) === 0) return
    const inserts = !isExtended && (command & INSERT_CHECKSUM) !== 0
    this.#endPacket(inserts ? { start: view.getUint8(13), offset: view.getUint8(10) } : null)
  }

  #append(gpa: number, bytes: number): void {
    const length = this.#length + bytes
    if (length > (this.#r.gathering!.segments ? MOST_SEGMENTED_BYTES : MOST_BYTES)) this.#r.lost = true
    if (this.#r.lost || bytes === 0) return
    if (length > this.#bytes.length) {
      const larger = new Uint8Array(2 ** Math.ceil(Math.log2(length)))
      larger.set(this.#bytes)
      this.#bytes = larger
    }
    if (this.#wires.context.dma.read(gpa, this.#bytes.subarray(this.#length, length))) this.#length = length
    else this.#r.lost = true
  }

  /** @param legacy - the checksum that a legacy descriptor asks for: from `start` to the end */
  #endPacket(legacy: { readonly start: number; readonly offset: number } | null): void {
    const { registers, statistics } = this.#wires
    const { segments, options, tag } = this.#r.gathering!
    const bytes = this.#bytes.slice(0, this.#length)
    const isLost = this.#r.lost
    this.#forgetGathering()
    const given = this.#r.contexts[segments ? 1 : 0]
    if (segments) {
      const isPossible = given.segmentBytes > 0 && given.headerBytes > 0 && given.headerBytes <= bytes.length
      statistics.count(isPossible && !isLost ? STAT.TSCTC : STAT.TSCTFC)
      if (!isPossible) return
    }
    // A packet that cannot be read is lost, as on a wire.
    if (isLost) return
    const hasTag = tag !== null && (registers.get(REG.CTRL) & VLAN_MODE) !== 0
    this.#packet = new OutgoingPacket({
      bytes,
      request: {
        ipChecksum: (options & 1) !== 0,
        payloadChecksum: legacy !== null || (options & 2) !== 0,
        context:
          legacy === null
            ? given
            : { ...NO_CONTEXT, isTcp: true, payloadStart: legacy.start, payloadOffset: legacy.offset },
        segments,
        tag: hasTag ? [registers.get(REG.VET), tag] : null,
        pads: (registers.get(REG.TCTL) & PAD_SHORT) !== 0,
      },
      sent: 0,
      index: 0,
    })
  }

  /** @returns false: the network has no room */
  #sendFrame(packet: OutgoingPacket): boolean {
    const { frame } = packet
    if (frame === null) {
      this.#packet = null
      return true
    }
    if (!this.#wires.send(frame)) return false
    packet.next()
    return true
  }

  #forgetGathering(): void {
    this.#r.gathering = null
    this.#length = 0
    this.#r.lost = false
  }

  /** Loses packets in flight. */
  override reset(): void {
    this.#forgetGathering()
    this.#packet = null
    super.reset()
  }
}
