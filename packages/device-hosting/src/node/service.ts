import { IoreqError } from '@retrap/ioreq'
import { X509Certificate } from 'node:crypto'
import { MessageChannel, Worker } from 'node:worker_threads'
import { FramedServer } from '../framed-server.ts'
import type { Frame } from '../frames.ts'
import type { DeviceServer } from '../index.ts'
import { type FramePort, MessageLink } from '../message-link.ts'
import { ServerLink } from '../protocol/link.ts'
import { FrameListener, type ListenOptions } from './frame-listener.ts'
import { type FrameSocket, type Opening, reconnectMsOf, type SocketAddress } from './frame-socket.ts'
import { programOf, sourceFlags } from './programs.ts'
import { fromModelFrame, toModelFrame } from './socket-transport.ts'
import { identityOf } from './watched-tls.ts'

/** The options of a {@link DeviceService}. The token is the secret that hypervisors must know. */
export interface DeviceServiceOptions extends ListenOptions {
  /** Time for which a machine's models are kept without a connection, in milliseconds. Default 30,000 with TLS, else 5000. */
  readonly reconnectMs?: number
  /** Machines at a time that are served; further ones are refused. Default 16. */
  readonly maxMachines?: number
  /** Called when a machine is served from now on, with the name that it gives itself. */
  onMachine?(name: string): void
  /** Called when a machine is served no more; null: it has ended, or was not there again in time. */
  onMachineGone?(name: string, error: Error | null): void
}

/** Default of `maxMachines`. */
const MAX_MACHINES = 16

interface MachineModels {
  /** Takes a frame of the hypervisor. May throw: its service then ends. */
  receive(frame: Frame): void
  /** Ends the service of the machine. */
  close(): void
}

/** The place where a {@link DeviceService} keeps the models of each machine. */
type StartModels = (machine: ServedMachine) => MachineModels

/** One machine that is served, over as many connections as it takes. */
class ServedMachine {
  readonly name: string
  readonly link: ServerLink
  readonly #models: MachineModels
  readonly #reconnectMs: number
  readonly #gone: (error: Error | null) => void
  #frames: FrameSocket | null = null
  #isPaused = false
  #timer: NodeJS.Timeout | undefined
  #ended = false

  constructor(name: string, reconnectMs: number, start: StartModels, gone: (error: Error | null) => void) {
    this.name = name
    this.#reconnectMs = reconnectMs
    this.#gone = gone
    this.link = new ServerLink('devices', {
      onFrame: (frame) => this.#models.receive(fromModelFrame(frame)),
      onFailed: (error) => this.end(this.link.hasSaidBye ? null : error),
    })
    this.#models = start(this)
  }

  connect(frames: FrameSocket, { hello, rest }: Opening): void {
    clearTimeout(this.#timer)
    const before = this.#frames
    this.#frames = frames
    frames.onBytes = (bytes) => this.link.receive(bytes)
    frames.onEnd = () => {
      if (this.link.disconnected(frames)) this.#timer = setTimeout(() => this.end(null), this.#reconnectMs)
    }
    if (this.#isPaused) frames.pause()
    this.link.connect(frames, hello)
    before?.socket.destroy()
    this.link.receive(rest)
  }

  /** Takes no frames until `resume`: the machine waits for their acknowledgement. */
  pause(): void {
    this.#isPaused = true
    this.#frames?.pause()
  }

  /** Takes frames again. */
  resume(): void {
    this.#isPaused = false
    this.#frames?.resume()
  }

  /** Sends the machine a frame of its models. */
  send(frame: Frame): void {
    this.link.send(toModelFrame(frame))
  }

  /** Ends the service of the machine. @param error - why its models cannot go on; null: it has ended */
  end(error: Error | null): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#timer)
    this.link.close(error?.message ?? 'the other side has ended the server')
    this.#models.close()
    this.#gone(error)
  }
}

/** Models in a Worker of their own: one that hangs neither holds up the other machines, nor is taken for a lost connection. */
class WorkerModels implements MachineModels {
  readonly #machine: ServedMachine
  readonly #worker: Worker
  readonly #link: MessageLink

  constructor(machine: ServedMachine, modules: readonly string[]) {
    this.#machine = machine
    const { port1, port2 } = new MessageChannel()
    this.#worker = new Worker(programOf('service-worker', import.meta.url), {
      workerData: { port: port2, modules },
      transferList: [port2],
      execArgv: sourceFlags(import.meta.url),
      name: `retrap devices ${machine.name}`,
    })
    const failed = (error: unknown): void =>
      machine.end(error instanceof Error ? error : new IoreqError('ERR_DEVICE', String(error)))
    this.#worker.on('error', failed)
    this.#worker.on('exit', (code) =>
      failed(new IoreqError('ERR_DEVICE', `the Worker of server ${machine.name} ended with ${code}`)),
    )
    this.#link = new MessageLink(port1 as unknown as FramePort, (frame) => machine.send(frame), failed)
    this.#link.onDrained = () => machine.resume()
    this.#link.start()
  }

  receive(frame: Frame): void {
    this.#link.send(frame)
    if (!this.#link.writable) this.#machine.pause()
  }

  close(): void {
    this.#link.close()
    void this.#worker.terminate()
  }
}

/**
 * Serves device models to machines on other hosts: it listens, and each machine that connects by `connectDeviceServer` has
 * models of its own, which end with it.
 */
export class DeviceService {
  readonly #options: DeviceServiceOptions
  readonly #start: StartModels
  readonly #machines = new Set<ServedMachine>()
  #listener!: FrameListener

  private constructor(options: DeviceServiceOptions, start: StartModels) {
    this.#options = options
    this.#start = start
  }

  /** @internal Use {@link serveDevices} or {@link serveDeviceModules}. */
  static async listen(options: DeviceServiceOptions, start: StartModels): Promise<DeviceService> {
    const service = new DeviceService(options, start)
    service.#listener = await FrameListener.listen(options, (name, session) => service.#create(name, session))
    return service
  }

  /** The address that it listens at: port 0 has become a real one. */
  get address(): SocketAddress {
    return this.#listener.address
  }

  /** Number of served machines. */
  get machines(): number {
    return this.#machines.size
  }

  /** Most machines served at a time. */
  get maxMachines(): number {
    return this.#options.maxMachines ?? MAX_MACHINES
  }

  /** SHA-256 of the certificate that it shows now; null without TLS. */
  get fingerprint(): string | null {
    const { tls } = this.#options
    return tls === undefined ? null : new X509Certificate(identityOf(tls).cert).fingerprint256
  }

  #create(name: string, session: string): ServedMachine {
    if (this.#machines.size >= this.maxMachines)
      throw new IoreqError('ERR_NO_SPACE', `at most ${this.maxMachines} machines are served at a time`)
    const machine: ServedMachine = new ServedMachine(name, reconnectMsOf(this.#options), this.#start, (error) => {
      this.#machines.delete(machine)
      this.#listener.forget(session, error?.message)
      this.#options.onMachineGone?.(name, error)
    })
    this.#machines.add(machine)
    this.#options.onMachine?.(name)
    return machine
  }

  /** Stops to listen, and serves no machine any more: their servers fail. */
  async close(): Promise<void> {
    for (const machine of this.#machines) machine.end(null)
    await this.#listener.close(true)
  }
}

/**
 * Serves device models in this thread.
 *
 * @param attach - adds the models of one machine to its server; each machine must get models of its own
 * @throws IoreqError `ERR_INVALID` for a TLS identity that cannot be used; errors of listening at the address
 */
export function serveDevices(
  options: DeviceServiceOptions,
  attach: (server: DeviceServer) => void | Promise<void>,
): Promise<DeviceService> {
  return DeviceService.listen(options, (machine) => {
    const framed = new FramedServer((frame) => machine.send(frame), { name: machine.name })
    void framed.server.attachAll(attach)
    return { receive: (frame) => framed.receive(frame), close: () => {} }
  })
}

/**
 * Serves the device models that modules export, in a Worker for each machine.
 *
 * @param modules - URLs, as `import` takes them
 * @throws IoreqError `ERR_INVALID` for a TLS identity that cannot be used; errors of listening at the address
 */
export function serveDeviceModules(options: DeviceServiceOptions, modules: readonly string[]): Promise<DeviceService> {
  return DeviceService.listen(options, (machine) => new WorkerModels(machine, modules))
}
