import { DeviceHost, DeviceServer, RemoteServer, type Frame } from '@retrap/device-hosting'
import { createIoRequest, IOREQ_TYPE_INVALIDATE, type IoreqServer } from '@retrap/ioreq'
import { Model } from './model.ts'
import type { Grip, Reach } from './witness.ts'
import type { Party, World } from './world.ts'

/** Models of this process, at the hypervisor's own server of them. */
export class Host implements Party {
  readonly name: string
  readonly base: number
  readonly grip: Grip
  readonly server: IoreqServer
  readonly #world: World
  readonly #models: Model[]

  constructor(world: World, name: string, base: number) {
    this.#world = world
    this.name = name
    this.base = base
    this.grip = world.newGrip()
    const platform = { ...world.platform, openMemory: () => world.openMemory(this.grip) }
    const host = new DeviceHost(world.dispatch, platform, { name })
    this.server = host.server
    this.#models = [0, 1].map((i) => new Model(world, this, `${name}.${i}`, base + i * 0x1000, true))
    for (const model of this.#models) host.attach(model)
  }

  get reaches(): Reach[] {
    return this.#models.flatMap((model) => model.reaches)
  }

  act(): string | undefined {
    return this.server.alive ? this.#world.rng.pick(this.#models).act() : undefined
  }

  finish(release: boolean): boolean {
    return this.#models.map((model) => model.finish(release)).includes(true)
  }

  setEnabled(enabled: boolean): void {
    this.server.setState(enabled)
  }

  die(): void {
    this.server.destroy()
  }
}

/** What goes from a device server to its hypervisor, in order. */
type Event = { readonly frame: Frame } | { readonly vcpu: number; readonly lo: number; readonly hi: number }

/** Models of another process: what is said between the two arrives when the interleaving says so. */
export class Remote implements Party {
  readonly name: string
  readonly base: number
  readonly grip: Grip
  readonly server: IoreqServer
  readonly #world: World
  readonly #model: Model
  readonly #near: RemoteServer
  readonly #far: DeviceServer
  readonly #commands: Frame[] = []
  readonly #events: Event[] = []
  readonly #notified = new Set<number>()
  readonly #request = createIoRequest()
  #rung = false
  #closed = false

  constructor(world: World, name: string, base: number) {
    this.#world = world
    this.name = name
    this.base = base
    this.grip = world.newGrip()
    const platform = { ...world.platform, openMemory: () => world.openMemory(this.grip) }
    this.#near = new RemoteServer(
      world.dispatch,
      platform,
      {
        send: (frame) => void this.#commands.push(frame),
        notify: (vcpu) => void this.#notified.add(vcpu),
        notifyBuffered: () => (this.#rung = true),
        receive: () => this.#arriveAll(),
        close: () => (this.#closed = true),
      },
      { name, realTime: false },
    )
    this.server = this.#near.server
    this.#far = new DeviceServer({
      send: (frame) => void this.#events.push({ frame }),
      answer: (vcpu, lo, hi) => void this.#events.push({ vcpu, lo, hi }),
    })
    this.#model = new Model(world, this, name, base, false)
    this.#far.attach(this.#model)
    this.#far.ready()
    this.#deliverAll()
    this.#arriveAll()
  }

  get reaches(): Reach[] {
    return this.#model.reaches
  }

  act(): string | undefined {
    if (this.#closed) return undefined
    switch (this.#world.rng.below(4)) {
      case 0:
        return this.#deliver()
      case 1:
        return this.#arrive()
      case 2:
        return this.#serve()
      default:
        return this.#model.act()
    }
  }

  /** A frame reaches the device server. */
  #deliver(): string | undefined {
    const frame = this.#commands.shift()
    if (frame === undefined) return undefined
    // As `serveSharedDevices` does.
    if (frame.kind === 'drop') this.#serveRing()
    this.#far.receive(frame)
    return `${frame.kind} reaches ${this.name}`
  }

  #deliverAll(): void {
    while (this.#deliver() !== undefined);
  }

  /** A frame, or an answer, comes from the device server. */
  #arrive(): string | undefined {
    const event = this.#events.shift()
    if (event === undefined || this.#closed) return undefined
    if ('frame' in event) {
      const { frame } = event
      if (frame.kind === 'dmaWrite') this.#world.transferArrives(this.name, frame.gpa, frame.bytes)
      this.#near.take(frame)
      return `${frame.kind} comes from ${this.name}`
    }
    this.server.slot(event.vcpu).answer(event.lo, event.hi)
    this.server.answered(event.vcpu)
    return `the answer to vCPU ${event.vcpu} comes from ${this.name}`
  }

  #arriveAll(): void {
    while (this.#arrive() !== undefined);
  }

  /** As `serveSharedDevices` does: what is in the ring comes first, and what was sent before a notice. */
  #serve(): string | undefined {
    if (this.#rung) this.#serveRing()
    const [vcpu] = this.#notified
    if (vcpu === undefined) return undefined
    this.#notified.delete(vcpu)
    const request = this.#request
    if (!this.server.slot(vcpu).accept(request)) return undefined
    if (this.#rung) this.#serveRing()
    if (request.type === IOREQ_TYPE_INVALIDATE) this.#deliverAll()
    this.#far.requests.serve(vcpu, request, this.#far)
    return `${this.name} takes the request of vCPU ${vcpu}`
  }

  #serveRing(): void {
    this.#rung = false
    const request = createIoRequest()
    while (this.server.ring?.consume(request) === true) this.#far.serveBuffered(request)
  }

  finish(release: boolean): boolean {
    let any = this.#commands.length + this.#events.length > 0
    this.#deliverAll()
    this.#arriveAll()
    if (this.#closed) return false
    while (this.#serve() !== undefined) any = true
    return this.#model.finish(release) || any
  }

  setEnabled(enabled: boolean): void {
    this.server.setState(enabled)
  }

  die(): void {
    this.server.destroy()
  }
}
