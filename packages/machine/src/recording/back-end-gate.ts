import type {
  BlockProperties,
  ByteStreamBackend,
  DeviceModel,
  InputBackend,
  InputEvent,
  PacketBackend,
  PacketClient,
} from '@retrap/device'
import { type Domain, type DomainServer, type DomainState, LoggedMemory } from '@retrap/hvm'
import type { DeviceHostState } from '@retrap/device-hosting'
import type { DeviceImpairment } from '@retrap/ioreq'
import type { MachineDrive } from '../options/drives.ts'
import { type ComposedOptions, traitsOf } from '../refusals/traits.ts'
import { isOnRoot, moves } from '../controllers-worker/split.ts'
import { unusedMedium, unusedNetwork } from '../controllers-worker/unused.ts'
import type { MachineOptions } from '../options/machine-options.ts'
import type { MachinePciPlace } from '../options/pci-options.ts'
import { isRemovable } from '../devices/removable-drive.ts'
import type { MachineConsolePort, MachineVirtioDevice } from '../options/virtio-device.ts'
import { IMPAIR_PARTY, type InputGate, WALL_CLOCK_PARTY } from './input-gate.ts'
import { GatedMedium } from './gated-medium.ts'
import { networkOf, FarNetwork, NearNetwork, type NetworkFacts } from '../back-ends/packets.ts'
import { GatedStream } from './gated-stream.ts'
import type { PartServerOptions, StartPartServer } from '../board/start.ts'
import type { MachineKind } from '../machine/board.ts'
import type { GatedMachine, MachineGate } from '../machine/machine-gate.ts'
import type { PcKind } from '../pc/pc-board.ts'
import type { ImpairedDevice } from './impaired-devices.ts'
import type { BackEndFacts } from './description.ts'
import { RecordedPlugs } from './recorded-plugs.ts'
import { ServerStarts } from './server-starts.ts'
import { InputRelay, RemoteInput } from '../back-ends/input.ts'
import { message } from '../board/board-messages.ts'
import { MESSAGE, type Post } from '../back-ends/messages.ts'

/** Makes a keyboard or pointer whose events enter the machine by the gate. */
export function gatedInput(gate: InputGate, name: string, backend: InputBackend): InputBackend {
  const relay = new InputRelay({
    taken: (count) => remote?.taken(count),
    setLeds: (leds) => backend.setLeds?.(leds),
    setPointer: (kind) => backend.setPointer?.(kind),
    setActive: (active) => backend.setActive?.(active),
  })
  const number = gate.party(name, (data) => relay.receive(data), {
    save: () => relay.feeder.save(),
    restore: (saved) => relay.feeder.restore(saved as readonly InputEvent[]),
  })
  const remote = gate.hasOutside ? new RemoteInput(backend, (bytes) => gate.post(number, bytes)) : undefined
  return relay
}

/** A recording has at most this much of an input in one event. */
const INPUT_BYTES = 2 ** 20

/** The stream of a port in a replay, which is never full. */
const heard = (gate: InputGate, { stream, inReplays = false }: MachineConsolePort): ByteStreamBackend | null =>
  inReplays ? { send: (bytes) => (gate.isHeard ? void stream.send(bytes) : undefined) } : null

/** Joins the states of two sets of models. */
const joined = (some: DeviceHostState, more: DeviceHostState): DeviceHostState => ({
  ...some,
  devices: { ...some.devices, ...more.devices },
  functions: { ...some.functions, ...more.functions },
  detached: [...some.detached, ...more.detached],
})

/** Puts an {@link InputGate} between the models of a machine and its back ends. */
export class BackEndGate<K extends MachineKind = PcKind> implements MachineGate<K> {
  readonly gate: InputGate
  /** The machine, set after its creation. */
  machine!: GatedMachine<K>
  /** Log of RAM frames written since all RAM was zero; null unless requested. */
  sinceZeros: LoggedMemory | null = null
  readonly #wantsWritten: boolean
  readonly #facts: BackEndFacts
  readonly #drives: readonly MachineDrive[]
  /** Starters of servers whose models are recorded. */
  readonly servers: ServerStarts
  /** The devices that come and go at root ports. */
  readonly plugs: RecordedPlugs
  /** Settings for delayed accesses, in the order in which they enter the machine. A replay has none. */
  readonly #waits: DeviceImpairment['wait'][] = []
  readonly #isUsbRecorded: boolean
  readonly #areControllersRecorded: boolean

  /**
   * @param options - the options as given, before drives have trays
   * @param wantsWritten - whether to log the frames that are written while the machine is made
   */
  constructor(gate: InputGate, facts: BackEndFacts, options: ComposedOptions, wantsWritten = false) {
    this.#wantsWritten = wantsWritten
    this.gate = gate
    this.#facts = facts
    this.#drives = options.drives ?? []
    this.servers = new ServerStarts(gate)
    this.plugs = new RecordedPlugs(gate, (plugged, its) => this.#behindGate(plugged, its, false))
    this.#isUsbRecorded = traitsOf(options).has('usb-device')
    this.#areControllersRecorded = options.controllerPlacement !== undefined
  }

  get console(): InputGate['console'] {
    return this.gate.console
  }

  get isRecording(): boolean {
    return this.gate.hasOutside
  }

  get isHeard(): boolean {
    return this.gate.isHeard
  }

  start(machine: GatedMachine<K>): void {
    this.machine = machine
    const { domain } = machine
    if (this.#wantsWritten) this.sinceZeros = new LoggedMemory(domain)
    this.gate.start(domain)
    this.servers.begin(domain)
  }

  attached(): void {
    const { gate } = this
    const { devices } = this.machine.domain
    gate.attached(devices)
    const text = new TextDecoder()
    gate.others.set(IMPAIR_PARTY, (data) =>
      gate.impaired!.set(JSON.parse(text.decode(data)) as ImpairedDevice, this.#waits.shift()),
    )
  }

  /** Makes a device of the recorded machine slow or dead when it runs on; see `PcRecorder`. */
  impair(device: string, impairment: DeviceImpairment | null): boolean {
    const { gate } = this
    if (!this.machine.domain.devices.models().some(({ name }) => name === device)) return false
    const { wait, dead = false } = impairment ?? {}
    const impaired: ImpairedDevice = { device, dead, waits: wait !== undefined }
    this.#waits.push(wait)
    gate.post(IMPAIR_PARTY, new TextEncoder().encode(JSON.stringify(impaired)))
    return true
  }

  /** Puts the gate before all back ends of the options. */
  options<Options extends Partial<MachineOptions>>(options: Options): Options {
    const { devicePlacement, controllerPlacement }: ComposedOptions = options
    const { servers } = this
    return {
      ...this.#behindGate(options, this.#facts, true),
      ...(typeof devicePlacement === 'function' && {
        devicePlacement: servers.board(devicePlacement as StartPartServer<PartServerOptions>),
      }),
      ...(controllerPlacement !== undefined && { controllerPlacement: servers.controllers(controllerPlacement) }),
      deviceServers: servers.devices(options.deviceServers ?? [], this.#facts.servers ?? 0),
    }
  }

  /** @param isShown - whether consoles are for people, as the consoles of the machine's options are */
  #behindGate<Options extends Partial<MachineOptions>>(
    options: Options,
    facts: BackEndFacts,
    isShown: boolean,
  ): Options {
    const { gate, plugs } = this
    const { media, networks } = facts
    const { drives, virtio, networkCards, controllerPlacement }: ComposedOptions = options
    let card = 0
    const network = <Card extends MachinePciPlace & { readonly network: PacketBackend }>(given: Card): Card => {
      const about = networks[card]!
      const outside = gate.hasOutside ? given.network : null
      card++
      // For a network card in another thread, the recording holds all of the card's actions.
      if (controllerPlacement !== undefined && isOnRoot(given))
        return { ...given, network: outside ?? unusedNetwork(about) }
      const name = `network ${card - 1}`
      const behind = (): PacketBackend =>
        gate.isTimed ? timedNetwork(gate, name, outside, about) : gatedPackets(gate, name, outside, about)
      return { ...given, network: plugs.behind(given.port, behind) }
    }
    const console = (given: MachineVirtioDevice & { readonly kind: 'console' }, index: number): MachineVirtioDevice => {
      const ports = given.ports.map((port, i) => ({
        ...port,
        stream: new GatedStream(
          gate,
          `console ${index}.${i}`,
          gate.hasOutside ? port.stream : heard(gate, port),
          isShown && (port.inReplays ?? port.console ?? i === 0),
        ),
      }))
      return { ...given, ports }
    }
    const device = (given: MachineVirtioDevice, index: number): MachineVirtioDevice => {
      if (given.kind === 'net') return network(given)
      return given.kind === 'console' ? plugs.behind(given.port, () => console(given, index)) : given
    }
    const drive = (given: MachineDrive, i: number): MachineDrive =>
      plugs.behind((given.virtio ?? given.nvme)?.port, () => this.#drive(given, i, media[i]!))
    return {
      ...options,
      ...(drives !== undefined && { drives: drives.map(drive) }),
      ...(virtio !== undefined && { virtio: virtio.map(device) }),
      ...(networkCards !== undefined && { networkCards: networkCards.map(network) }),
    }
  }

  #drive(drive: MachineDrive, index: number, properties: BlockProperties): MachineDrive {
    const { gate } = this
    const outside = gate.hasOutside ? drive.medium : null
    if (this.#hasRecordedController(drive))
      return { ...drive, medium: drive.medium === null ? null : (outside ?? unusedMedium(properties)) }
    const hasTray = isRemovable(this.#drives[index] ?? drive)
    return { ...drive, medium: new GatedMedium(gate, `drive ${index}`, outside, properties, hasTray) }
  }

  /** Whether all is recorded that a drive's controller does. */
  #hasRecordedController(drive: MachineDrive): boolean {
    if (drive.interface === 'usb') return this.#isUsbRecorded
    return this.#areControllersRecorded && moves(drive)
  }

  async saveModels(devices: DomainState['devices'], deadlineMs: number): Promise<DomainState['devices']> {
    let { local } = devices
    const servers = { ...devices.servers }
    const unknown: string[] = []
    for (const models of this.gate.models) {
      const state = await models.saved(deadlineMs)
      if (state === null) unknown.push(models.name)
      else if (models.isLocal) local = joined(local, state)
      else servers[models.name] = state
    }
    return { ...devices, local, servers, ...(unknown.length > 0 && { unknown }) }
  }

  hasPorts(load: Parameters<MachineGate<K>['hasPorts']>[0]): Promise<void> {
    return this.plugs.begin(this.machine.domain.devices, load)
  }

  place(
    domain: Pick<Domain, 'dispatch' | 'platform'>,
    models: readonly DeviceModel[],
    runsAgain: (model: DeviceModel) => boolean,
  ): { readonly models: readonly DeviceModel[]; readonly server?: DomainServer } {
    const { locals, answersAtOnce = false } = this.#facts
    if (typeof locals !== 'string') return { models }
    const recorded = models.filter((model) => !runsAgain(model))
    const server = this.servers.local(domain, { name: locals, answersAtOnce }, recorded)
    return { models: models.filter(runsAgain), server }
  }

  /** Puts the gate before the input of a serial port. */
  serial(port: number | 'xen', receive: (bytes: Uint8Array) => void): (bytes: Uint8Array) => void {
    const { gate } = this
    const number = gate.party(`serial ${port}`, receive)
    return (bytes) => {
      for (let at = 0; at < bytes.length; at += INPUT_BYTES) gate.post(number, bytes.subarray(at, at + INPUT_BYTES))
    }
  }

  /** Puts the gate before a keyboard or a mouse. */
  input(which: 'keyboard' | 'mouse', backend: InputBackend): InputBackend {
    return gatedInput(this.gate, which, backend)
  }

  /** Puts the gate before moves of the wall clock. */
  wallClock(move: (ns: number) => void): (ns: number) => void {
    const { gate } = this
    gate.others.set(WALL_CLOCK_PARTY, (data) => move(new Float64Array(data.slice().buffer)[0]!))
    return (ns) => gate.post(WALL_CLOCK_PARTY, new Uint8Array(Float64Array.of(ns).buffer))
  }

  /** Wraps a button. @returns a function that presses the button, and resolves when the press has entered the machine */
  button(press: () => boolean | Promise<boolean>): () => Promise<boolean> {
    const presses: ((listens: boolean | Promise<boolean>) => void)[] = []
    const number = this.gate.party('power button', () => {
      const listens = press()
      presses.shift()?.(listens)
    })
    return () =>
      new Promise((resolve) => {
        presses.push(resolve)
        this.gate.post(number, new Uint8Array())
      })
  }
}

/** Frames that may be on their way, or wait for the card, before the network waits. */
const MOST_OUTSTANDING = 256
/** First byte of an input. */
const FRAME = 0
const LINK = 1

/**
 * Makes a network whose frames enter the machine by the gate. It takes every frame of the guest's: whether the network has room
 * is no matter of the machine's.
 *
 * @param network - null in a replay
 */
export function gatedPackets(
  gate: InputGate,
  name: string,
  network: PacketBackend | null,
  facts: NetworkFacts,
): FarNetwork {
  const far = new FarNetwork(facts, (kind, said) => near?.receive({ kind, ...said }), Infinity)
  const number = gate.party(
    name,
    (data) => {
      if (data[0] === LINK) far.receive({ kind: MESSAGE.link, flags: data[1]! })
      else far.receive({ kind: MESSAGE.receive, bytes: data.subarray(1) })
    },
    {
      save: () => far.save(),
      restore: (saved) => {
        const waiting = far.restore(saved)
        if (near !== null) near.onTheWay = waiting
      },
    },
  )
  const post = (kind: number, { flags = 0, bytes }: Parameters<Post>[1]): void => {
    if (kind === MESSAGE.receive) gate.post(number, message(FRAME, bytes!))
    else if (kind === MESSAGE.link) gate.post(number, Uint8Array.of(LINK, flags))
  }
  const near = network && new NearNetwork(network, post, MOST_OUTSTANDING, MOST_OUTSTANDING)
  return far
}

/**
 * A network whose frames enter by timers from outside. It keeps frames beyond the card's room, outside the machine's state.
 *
 * @param network - null in a replay
 */
function timedNetwork(
  gate: InputGate,
  name: string,
  network: PacketBackend | null,
  facts: NetworkFacts,
): PacketBackend {
  let connected: PacketClient | null = null
  const party = gate.party(name, (frame) => connected?.receive(frame))
  return {
    ...networkOf(facts),
    connect: (client) => {
      connected = client
      network?.connect({
        ...{ drained: () => client.drained(), linkChanged: (up) => client.linkChanged(up) },
        receive: (frame) => gate.offer(party, frame.slice(), () => client.receive(frame)),
      })
    },
    send: (frame) => network?.send(frame) ?? true,
    ready: () => network?.ready(),
  }
}
