import { expect } from 'vitest'
import { VirtioPci } from '../../src/index.ts'
import { VirtioVsock, type VsockBackend, type VsockClient, type VsockEnd, type VsockStream } from '../../src/vsock.ts'
import { PciDriver } from './pci-driver.ts'
import { SplitDriver } from './ring-drivers.ts'
import { VirtioMachine } from './virtio-machine.ts'

/** As in `uapi/linux/virtio_vsock.h`. */
export const OP = { request: 1, response: 2, rst: 3, shutdown: 4, rw: 5, creditUpdate: 6, creditRequest: 7 } as const
export const CID = 3

/** A packet without the fields that a test does not name. */
export interface Packet {
  readonly op: number
  readonly guestPort: number
  readonly hostPort: number
  readonly flags: number
  readonly room: number
  readonly forwarded: number
  readonly payload: Uint8Array
}

export interface Sent extends Partial<Packet> {
  readonly op: number
  readonly sourceCid?: number
  readonly destinationCid?: number
  readonly type?: number
  readonly length?: number
}

const RING = { size: 128, eventIndex: false }
const place = (queue: number) => {
  const at = 0x1_0000 + 0x4000 * queue
  return { ...RING, descriptors: at, driver: at + 0x1000, device: at + 0x2000 }
}
const SENDING = 0x4_0000
const HEADERS = 0x3_0000
const BUFFERS = 0x8_0000
const BUFFER_BYTES = 0x1000

/** The driver's side of a vsock device as the specification has it; it shares nothing with the product. */
export class VsockDriver {
  readonly device: VirtioVsock
  readonly model: VirtioPci
  readonly machine: VirtioMachine
  readonly driver: PciDriver
  readonly rings: SplitDriver[] = []
  /** Buffers that the device does not have; each lies in memory of its own. */
  readonly #free: number[] = Array.from({ length: RING.size }, (_, i) => BUFFERS + BUFFER_BYTES * (RING.size - 1 - i))
  #sends = 0

  constructor(host?: VsockBackend) {
    this.device = new VirtioVsock({ cid: CID, host })
    this.model = new VirtioPci(this.device, { device: 3 })
    this.machine = new VirtioMachine(this.model)
    this.driver = new PciDriver(this.machine)
  }

  start(): this {
    expect(this.driver.negotiate([32, 0])).toBe(true)
    this.device.queues.forEach((_, queue) => {
      this.driver.setQueue(queue, place(queue))
      this.rings[queue] = new SplitDriver(this.machine.view, place(queue))
    })
    this.driver.start()
    return this
  }

  /** Gives buffers for packets of the host. */
  give(count: number, queue = 0, length = BUFFER_BYTES): void {
    for (let i = 0; i < count; i++) {
      const gpa = this.#free.pop()!
      this.rings[queue]!.add([{ gpa, length, write: true }], gpa)
    }
    this.rings[queue]!.publish()
    this.driver.notify(queue)
  }

  send({ op, sourceCid = CID, destinationCid = 2, type = 1, guestPort = 1000, hostPort = 1, ...more }: Sent): void {
    const { flags = 0, room = 0x4_0000, forwarded = 0, payload = new Uint8Array(0), length = payload.length } = more
    const { view, ram } = this.machine
    // Packets that the device has not taken yet keep their bytes.
    const at = payload.length > 0 ? SENDING : HEADERS + 64 * (this.#sends++ % RING.size)
    view.setBigUint64(at, BigInt(sourceCid), true)
    view.setBigUint64(at + 8, BigInt(destinationCid), true)
    for (const [i, word] of [guestPort, hostPort, length].entries()) view.setUint32(at + 16 + 4 * i, word, true)
    view.setUint16(at + 28, type, true)
    view.setUint16(at + 30, op, true)
    for (const [i, word] of [flags, room, forwarded].entries()) view.setUint32(at + 32 + 4 * i, word, true)
    ram.set(payload, at + 44)
    this.rings[1]!.reap()
    this.rings[1]!.add([{ gpa: at, length: 44 + payload.length, write: false }], at)
    this.rings[1]!.publish()
    this.driver.notify(1)
  }

  /** Takes the packets that have come. */
  got(): Packet[] {
    const { view, ram } = this.machine
    return this.rings[0]!.reap().map(({ token, written }) => {
      this.#free.push(token)
      const word = (at: number): number => view.getUint32(token + at, true)
      expect(written).toBe(44 + word(24))
      return {
        op: view.getUint16(token + 30, true),
        hostPort: word(16),
        guestPort: word(20),
        flags: word(32),
        room: word(36),
        forwarded: word(40),
        payload: ram.slice(token + 44, token + written),
      }
    })
  }

  /** Takes the operations that have come, and gives new buffers. */
  ops(): number[] {
    const ops = this.got().map(({ op }) => op)
    this.give(ops.length)
    return ops
  }
}

/** A user of a connection that notes all. */
export class Noted implements VsockClient {
  readonly log: string[] = []
  readonly parts: Uint8Array[] = []
  onDrained: () => void = () => {}
  connected(): void {
    this.log.push('connected')
  }
  data(bytes: Uint8Array): void {
    this.parts.push(bytes)
  }
  ended(): void {
    this.log.push('ended')
  }
  drained(): void {
    this.onDrained()
  }
  closed(end: VsockEnd): void {
    this.log.push(end)
  }
  get bytes(): Buffer {
    return Buffer.concat(this.parts)
  }
}

/** A listener that keeps what it was given. */
export interface Accepted {
  readonly stream: VsockStream
  readonly client: Noted
}
