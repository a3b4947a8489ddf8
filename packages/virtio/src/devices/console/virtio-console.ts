import { type ByteStreamBackend, DeviceError, Stateful } from '@retrap/device'
import type { VirtioChain } from '../../ring/chain.ts'
import type { VirtioQueue } from '../../queue.ts'
import type { VirtioDevice, VirtioHost, VirtioQueueDefinition } from '../../virtio-device.ts'
import { ConsolePort } from './console-port.ts'

/** A port of a {@link VirtioConsole}. */
export interface VirtioConsolePort {
  /** The port's back end. */
  readonly stream: ByteStreamBackend
  /** Names the port to the guest (`/dev/virtio-ports/NAME` of Linux); at most 64 ASCII characters. Default none. */
  readonly name?: string
  /** Whether the port is a console (`hvc0` and so on of Linux) or a plain port. Default: the first port is a console. */
  readonly console?: boolean
}

/** Options of {@link VirtioConsole}. */
export interface VirtioConsoleOptions {
  /** The ports, 1 to 31. One port without a name is a console without further ports. */
  readonly ports: readonly VirtioConsolePort[]
  /** Names the device; default `virtio-console`. */
  readonly name?: string
  /** Columns and rows of the consoles; default 80 by 25. */
  readonly size?: { readonly columns: number; readonly rows: number }
}

const CONSOLE = 3
const SIZE_FEATURE = 0
const MULTIPORT_FEATURE = 1
const MOST_PORTS = 31
const QUEUE_ENTRIES = 64

/* Numbers of queues (§5.3.2): port 0, control, then the others. */
const CONTROL_RECEIVE = 2

/* Control messages (§5.3.6.2). */
const DEVICE_READY = 0
const DEVICE_ADD = 1
const PORT_READY = 3
const CONSOLE_PORT = 4
const PORT_OPEN = 6
const PORT_NAME = 7
const MESSAGE_BYTES = 8
/** Most control messages kept for a driver that does not take them. */
const MOST_MESSAGES = 256

/**
 * Consoles and plain ports for bytes.
 *
 * Source: VIRTIO 1.2, §5.3, "Console Device".
 */
export class VirtioConsole extends Stateful implements VirtioDevice {
  /** Names the device. */
  readonly name: string
  /** Device type. */
  readonly type: number = CONSOLE
  /** Two for each port, and two for control. */
  readonly queues: readonly VirtioQueueDefinition[]
  /** The size of a console, and several ports. */
  readonly features: readonly number[] = [SIZE_FEATURE, MULTIPORT_FEATURE]
  /** Columns, rows, and the count of ports. */
  readonly config: Uint8Array = new Uint8Array(12)
  readonly #options: readonly VirtioConsolePort[]
  readonly #ports: readonly ConsolePort[]
  readonly #r = this.keeps({
    ports: () => this.#ports,
    /** Messages that the driver had no buffer for. */
    messages: [] as Uint8Array[],
  })
  #host: VirtioHost | null = null

  /** @throws DeviceError `ERR_OPTION` */
  constructor({ ports, name = 'virtio-console', size = { columns: 80, rows: 25 } }: VirtioConsoleOptions) {
    super()
    const bad = (what: string): DeviceError => new DeviceError('ERR_OPTION', `${name}: ${what}`)
    if (ports.length < 1 || ports.length > MOST_PORTS) throw bad(`${ports.length} ports: expected 1 to ${MOST_PORTS}`)
    for (const { name: portName = '' } of ports)
      if (!/^[\x21-\x7e]{0,64}$/.test(portName))
        throw bad(`a port named '${portName}': expected at most 64 ASCII characters without blanks`)
    this.name = name
    this.#options = ports
    const view = new DataView(this.config.buffer)
    view.setUint16(0, size.columns, true)
    view.setUint16(2, size.rows, true)
    view.setUint32(4, ports.length, true)
    this.#ports = ports.map(
      ({ stream }, index) =>
        new ConsolePort(stream, {
          queues: () => this.#queueOf(index),
          lookAgain: () => this.#host?.lookAgain(),
          ended: () => this.#say(index, PORT_OPEN, 0),
        }),
    )
    const portQueues = this.#ports.map((port): VirtioQueueDefinition[] => [
      { size: QUEUE_ENTRIES, notify: () => port.refilled() },
      { size: QUEUE_ENTRIES, notify: (queue) => port.transmit(queue) },
    ])
    const control: VirtioQueueDefinition[] = [
      { size: QUEUE_ENTRIES, notify: (queue) => this.#deliver(queue) },
      { size: QUEUE_ENTRIES, handle: (chain) => this.#control(chain) },
    ]
    const [first = [], ...others] = portQueues
    this.queues = [...first, ...control, ...others.flat()]
  }

  /** The receive queue of a port; the transmit queue follows. */
  #queueOf(port: number): VirtioHost['queues'] {
    const at = port === 0 ? 0 : 2 + 2 * port
    return this.#host?.queues.slice(at, at + 2) ?? []
  }

  /** Connects the ports to their streams. */
  attach(host: VirtioHost): void {
    this.#host = host
    for (const port of this.#ports) port.connect()
  }

  /** A driver that knows of one port has it open from the beginning on. */
  start(): void {
    if (this.#host?.hasFeature(MULTIPORT_FEATURE) !== true) this.#ports[0]!.open(true)
  }

  // ---- Control ----

  #control({ readable }: VirtioChain): number {
    const bytes = readable.slice(0, MESSAGE_BYTES)
    if (bytes === null) return 0
    const view = new DataView(bytes.buffer)
    const id = view.getUint32(0, true)
    const value = view.getUint16(6, true)
    const port = this.#ports[id]
    switch (view.getUint16(4, true)) {
      case DEVICE_READY:
        if (value === 1) this.#ports.forEach((_, index) => this.#say(index, DEVICE_ADD, 1))
        break
      case PORT_READY:
        if (port !== undefined && value === 1) this.#introduce(id)
        break
      case PORT_OPEN:
        port?.open(value === 1)
        break
    }
    return 0
  }

  #introduce(id: number): void {
    const { name = '', console = id === 0 } = this.#options[id]!
    if (console) this.#say(id, CONSOLE_PORT, 1)
    if (name !== '')
      this.#say(
        id,
        PORT_NAME,
        1,
        Uint8Array.from(name, (character) => character.charCodeAt(0)),
      )
    this.#say(id, PORT_OPEN, this.#ports[id]!.hasEnded ? 0 : 1)
  }

  #say(id: number, event: number, value: number, data: Uint8Array = new Uint8Array(0)): void {
    const message = new Uint8Array(MESSAGE_BYTES + data.length)
    const view = new DataView(message.buffer)
    view.setUint32(0, id, true)
    view.setUint16(4, event, true)
    view.setUint16(6, value, true)
    message.set(data, MESSAGE_BYTES)
    if (this.#r.messages.length < MOST_MESSAGES) this.#r.messages.push(message)
    const queue = this.#host?.queues[CONTROL_RECEIVE]
    if (queue !== undefined) this.#deliver(queue)
  }

  #deliver(queue: VirtioQueue): void {
    while (this.#r.messages.length > 0) {
      const chain = queue.take()
      if (chain === null) return
      const message = this.#r.messages.shift()!
      const part = message.subarray(0, chain.writable.length)
      chain.complete(chain.writable.write(0, part) ? part.length : 0)
    }
  }

  // ---- Machine ----

  /** Whether all output of the driver was sent, and no input waits although buffers are available. */
  isAtRest(): boolean {
    const isPortAtRest = (port: ConsolePort, number: number): boolean => {
      const [receive, transmit] = this.#queueOf(number)
      return transmit?.isEmpty !== false && port.isAtRest(receive)
    }
    const isTold = this.#r.messages.length === 0 || this.#host?.queues[CONTROL_RECEIVE]?.isEmpty !== false
    return isTold && this.#ports.every(isPortAtRest)
  }

  /** Goes on with what streams have kept back. */
  resume(): void {
    for (const port of this.#ports) port.refilled()
  }
}
