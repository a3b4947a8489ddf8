import { checksumOf, type DeviceContext, Stateful, sumWords } from '@retrap/device'
import { get16, putCheckSequence } from './frame-bytes.ts'
import { DelayedCause } from './interrupts.ts'
import { filterFrame, isTagged } from './receive-filter.ts'
import { CAUSE, REG, type RegisterFile } from './register-file.ts'
import { STAT, type Statistics } from './statistics.ts'

/*
 * Source: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual, §3.2, "Packet Reception".
 */

// RCTL.
const ENABLE = 1 << 1
const LONG_PACKETS = 1 << 5
const SIZE_EXTENSION = 1 << 25
const STRIP_CHECK_SEQUENCE = 1 << 26
// CTRL.
const VLAN_MODE = 0x4000_0000

const DESCRIPTOR_BYTES = 16
// Status of a descriptor.
const DONE = 0x01
const END_OF_PACKET = 0x02
const HAS_TAG = 0x08
const PASSED_INEXACTLY = 0x80

const ETHERNET_BYTES = 14
/** Least bytes of a frame, without its check sequence. */
const LEAST_BYTES = 60
const CHECK_BYTES = 4
/** Most bytes of a frame that is not long, with its check sequence and a tag. */
const MOST_USUAL_BYTES = 1522
const MOST_BYTES = 16_384

/** The part of its controller that the receiver reaches. */
export interface ReceiverWires {
  readonly context: DeviceContext
  readonly registers: RegisterFile
  readonly statistics: Statistics
  /** Whether memory can be reached. */
  readonly mayMaster: () => boolean
  readonly raise: (causes: number) => void
  /** Frames that were not taken may be offered again. */
  ready(): void
}

/** Writes frames to the receive ring. */
export class Receiver extends Stateful {
  readonly #wires: ReceiverWires
  /** Reports received packets after a delay: at once after a write of RDTR with bit 31. */
  readonly waiting: DelayedCause
  readonly #bytes = new Uint8Array(MOST_BYTES)
  readonly #r = this.keeps({ starved: false, waiting: () => this.waiting })

  constructor(wires: ReceiverWires) {
    super()
    this.#wires = wires
    this.waiting = new DelayedCause(wires.context, () => wires.raise(CAUSE.RXT0))
  }

  get #entries(): number {
    return this.#wires.registers.get(REG.RDLEN) / DESCRIPTOR_BYTES
  }

  /** Descriptors that the driver has given. A head or tail beyond the ring gives none. */
  get #free(): number {
    const { registers } = this.#wires
    const [head, tail] = [registers.get(REG.RDH), registers.get(REG.RDT)]
    const entries = this.#entries
    return head < entries && tail < entries ? (tail - head + entries) % entries : 0
  }

  get #bufferBytes(): number {
    const control = this.#wires.registers.get(REG.RCTL)
    const bytes = 2048 >>> ((control >>> 16) & 3)
    // The extended form of the first size is reserved.
    return (control & SIZE_EXTENSION) === 0 || bytes === 2048 ? bytes : bytes * 16
  }

  /** Receives a frame from the network. @returns false without room; the network keeps the frame */
  receive(frame: Uint8Array): boolean {
    const { registers, statistics, mayMaster, raise } = this.#wires
    const control = registers.get(REG.RCTL)
    if ((control & ENABLE) === 0 || frame.length < ETHERNET_BYTES || frame.length > MOST_BYTES - CHECK_BYTES)
      return true
    const bytes = Math.max(frame.length, LEAST_BYTES) + CHECK_BYTES
    const isTooLong = bytes > MOST_USUAL_BYTES && (control & LONG_PACKETS) === 0
    const passed = filterFrame(frame, registers)
    if (isTooLong || passed === 'none') {
      statistics.seen(bytes)
      if (isTooLong && passed !== 'none') statistics.count(STAT.ROC)
      return true
    }
    const total = this.#prepare(frame, control)
    const needed = Math.ceil(total.length / this.#bufferBytes)
    if (needed >= this.#entries) {
      // The frame is larger than the ring's buffers.
      statistics.count(STAT.MPC)
      raise(CAUSE.RXO)
      return true
    }
    if (this.#free < needed || !mayMaster()) return this.refuse()
    statistics.seen(bytes)
    statistics.received(frame, bytes)
    this.#store(total, passed === 'inexact' ? total.status | PASSED_INEXACTLY : total.status)
    raise((this.#isBelowThreshold ? CAUSE.RXDMT0 : 0) | (bytes <= registers.get(REG.RSRPD) ? CAUSE.SRPD : 0))
    this.waiting.start(registers.get(REG.RDTR), registers.get(REG.RADV))
    return true
  }

  /** Leaves a frame with the network until there is room. */
  refuse(): false {
    this.#r.starved = true
    return false
  }

  get #isBelowThreshold(): boolean {
    // The guest is notified when a half, a quarter or an eighth of the descriptors is left.
    const share = 2 << ((this.#wires.registers.get(REG.RCTL) >>> 8) & 3)
    return this.#free * share <= this.#entries
  }

  /** Puts a frame as the driver will see it in front of `#bytes`. */
  #prepare(frame: Uint8Array, control: number): { length: number; status: number; tag: number } {
    const { registers } = this.#wires
    const bytes = this.#bytes
    const hasTag = (registers.get(REG.CTRL) & VLAN_MODE) !== 0 && isTagged(frame, registers)
    let length = frame.length
    if (hasTag) {
      bytes.set(frame.subarray(0, 12))
      bytes.set(frame.subarray(16), 12)
      length -= 4
    } else bytes.set(frame)
    const padded = Math.max(length, LEAST_BYTES)
    bytes.fill(0, length, padded)
    const start = !hasTag && isTagged(frame, registers) ? 18 : ETHERNET_BYTES
    const checked = checkReceived(bytes.subarray(0, padded), start, registers.get(REG.RXCSUM))
    const result = { length: padded, status: checked | (hasTag ? HAS_TAG : 0), tag: hasTag ? get16(frame, 14) : 0 }
    if ((control & STRIP_CHECK_SEQUENCE) !== 0) return result
    putCheckSequence(bytes, padded)
    return { ...result, length: padded + CHECK_BYTES }
  }

  /** @param status - the descriptor's status, and its errors from bit 8 on */
  #store({ length, tag }: { length: number; tag: number }, status: number): void {
    const { registers, context } = this.#wires
    const bytes = this.#bytes
    const bufferBytes = this.#bufferBytes
    const sumStart = Math.min(registers.get(REG.RXCSUM) & 0xff, length)
    const checksum = checksumOf(sumWords(bytes, sumStart, length))
    const descriptor = new Uint8Array(DESCRIPTOR_BYTES)
    const view = new DataView(descriptor.buffer)
    let head = registers.get(REG.RDH)
    for (let done = 0; done < length; done += bufferBytes) {
      const part = bytes.subarray(done, Math.min(done + bufferBytes, length))
      const at = registers.address(REG.RDBAL) + DESCRIPTOR_BYTES * head
      // Skip the part whose descriptor or buffer lies outside memory.
      if (context.dma.read(at, descriptor)) {
        const gpa = view.getUint32(4, true) * 0x1_0000_0000 + view.getUint32(0, true)
        context.dma.write(gpa, part)
        const isLast = done + part.length === length
        view.setUint16(8, part.length, true)
        view.setUint16(10, checksum, true)
        view.setUint16(12, isLast ? status | DONE | END_OF_PACKET : DONE, true)
        view.setUint16(14, tag, true)
        context.dma.write(at + 8, descriptor.subarray(8))
      }
      head = (head + 1) % this.#entries
    }
    registers.set(REG.RDH, head)
  }

  /** The driver has given descriptors, or has switched the receiver on or off. */
  refilled(): void {
    if (!this.#r.starved) return
    this.#r.starved = false
    this.#wires.ready()
  }

  /** Drops waiting frames. The network may offer frames that it has kept again. */
  override reset(): void {
    this.waiting.cancel()
    this.refilled()
  }
}

/*
 * Source: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual, §3.2.9, "Receive Packet Checksum
 * Offloading".
 */

const IPV4 = 0x0800
const IPV6 = 0x86dd
const IPV6_BYTES = 40
const TCP = 6
const UDP = 17

// RXCSUM.
const IP_OFFLOAD = 1 << 8
const PAYLOAD_OFFLOAD = 1 << 9
const IPV6_OFFLOAD = 1 << 10

// Status and errors of a descriptor.
const IGNORE = 0x04
const PAYLOAD_CHECKED = 0x20
const IP_CHECKED = 0x40
const PAYLOAD_WRONG = 0x20
const IP_WRONG = 0x40

/** Bits of a descriptor's status, and of its errors in the bits from 8 on. */
function checkReceived(frame: Uint8Array, start: number, control: number): number {
  const type = start >= 2 && start + 20 <= frame.length ? get16(frame, start - 2) : 0
  if (type === IPV4 && frame[start]! >>> 4 === 4) return checkIpv4(frame, start, control)
  const isIpv6 = type === IPV6 && frame[start]! >>> 4 === 6 && start + IPV6_BYTES <= frame.length
  if (!isIpv6 || (control & (IPV6_OFFLOAD | PAYLOAD_OFFLOAD)) !== (IPV6_OFFLOAD | PAYLOAD_OFFLOAD)) return IGNORE
  const bytes = get16(frame, start + 4)
  return checkPayload(frame, start + IPV6_BYTES, bytes, frame[start + 6]!, start + 8, 32) || IGNORE
}

function checkIpv4(frame: Uint8Array, start: number, control: number): number {
  const headerBytes = 4 * (frame[start]! & 15)
  const total = get16(frame, start + 2)
  if (headerBytes < 20 || total < headerBytes || start + total > frame.length) return IGNORE
  let found = 0
  if ((control & IP_OFFLOAD) !== 0) {
    const isRight = checksumOf(sumWords(frame, start, start + headerBytes)) === 0
    found |= IP_CHECKED | (isRight ? 0 : IP_WRONG << 8)
  }
  // A fragment's payload is not whole.
  const isFragment = (get16(frame, start + 6) & 0x3fff) !== 0
  if ((control & PAYLOAD_OFFLOAD) !== 0 && !isFragment)
    found |= checkPayload(frame, start + headerBytes, total - headerBytes, frame[start + 9]!, start + 12, 8)
  return found === 0 ? IGNORE : found
}

/** @param addresses - offset and length of the pseudo-header's addresses, in bytes */
function checkPayload(
  frame: Uint8Array,
  start: number,
  bytes: number,
  protocol: number,
  addresses: number,
  addressBytes: number,
): number {
  const field = protocol === TCP ? 16 : 6
  if ((protocol !== TCP && protocol !== UDP) || bytes < field + 2 || start + bytes > frame.length) return 0
  if (protocol === UDP && get16(frame, start + field) === 0) return 0
  const pseudo = sumWords(frame, addresses, addresses + addressBytes, protocol + bytes)
  const isRight = checksumOf(sumWords(frame, start, start + bytes, pseudo)) === 0
  return PAYLOAD_CHECKED | (isRight ? 0 : PAYLOAD_WRONG << 8)
}
