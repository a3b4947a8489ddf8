import type { DeviceModel, InputBackend } from '@retrap/device'
import { Keyboard, Mouse, Screen } from '@retrap/display'
import { closePages, DeterministicClock, type Domain, RealClock } from '@retrap/hvm'
import { MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { P2mEntry } from '@retrap/p2m'
import { SerialLine } from '../board/serial-port.ts'
import type { withTrays } from '../devices/removable-drive.ts'
import type { watchModels } from '../devices/watched-models.ts'
import type { ForkFamily, ForkOrigin } from '../fork/fork-family.ts'
import { InputSwitch } from '../input/input-switch.ts'
import { hostClock, HostSleeper, laterTurn, randomOf } from '../lifecycle/host.ts'
import { pacingOf } from '../lifecycle/host-pacing.ts'
import { FirstFailure, MachineLife } from '../lifecycle/machine-life.ts'
import { generationAfter } from '../options/machine-options.ts'
import type { LetTimePass, PassingTime, SavedInstant } from '../snapshot/catch-up.ts'
import type { Board, InputGroup, MachineKind } from './board.ts'
import { type ComposedMachine, LazySnapshots, type Machine } from './machine.ts'
import type { MachineGate } from './machine-gate.ts'
import { xenConsole } from './xen.ts'
import { type ComposedOptions, runOf } from '../refusals/traits.ts'
import { loadWatch } from '../devices/device-kinds.ts'
import type { MachineSnapshotSource } from '../snapshot/snapshots.ts'
import type { MachineRun } from '../refusals/refusals.ts'

/** A composed machine whose Machine object does not exist yet. */
type Connected<K extends MachineKind> = Omit<ComposedMachine<K>, 'checkValues' | 'clone'>

/** The surroundings of a machine that is composed. */
export interface Surroundings<K extends MachineKind> {
  /** Stands between the machine and its back ends. */
  readonly gate: MachineGate<K> | undefined
  /** The machine that a clone is made from. */
  readonly origin: ForkOrigin<K['domain'], K['state']> | undefined
  /** Machines within the same machine memory, if the machine can be forked. */
  readonly family: ForkFamily | undefined
  /** Watches models of the caller's, on deterministic time. */
  readonly watchModels: typeof watchModels | undefined
  /** Exchanges media, if the machine has drives. */
  readonly withTrays: typeof withTrays | undefined
}

/**
 * Makes the parts of a machine in the order of their dependencies, and connects them. On an error all threads end.
 *
 * @throws MachineError, MemoryError or DeviceError with the value and the expected values
 */
export function composeMachine<K extends MachineKind>(
  board: Board<K>,
  given: K['options'],
  around: Surroundings<K>,
): Connected<K> {
  const { gate, origin } = around
  const failures = new FirstFailure()
  const random = randomOf(given)
  const sleeper = new HostSleeper()
  const domain = board.createDomain(
    {
      // A recording contains the frames of remote models, which then do not access memory directly.
      memory:
        origin?.domain.memory ??
        MachineMemory.create({ bytes: board.memoryBytes, shared: gate === undefined && board.isShared }),
      frameCounts: origin?.domain.frameCounts,
      vcpus: given.cpus ?? 1,
      clock: given.clock === 'deterministic' ? new DeterministicClock() : new RealClock(hostClock),
      sleeper,
      deferDevices: given.devicePlacement === 'deferred' ? laterTurn() : undefined,
      policy: given.devicePolicy,
      deviceDeadlineMs: given.deviceDeadlineMs,
      trace: given.trace,
      onFailure: (failure) => {
        failures.note(failure)
        given.onDeviceFailure?.(failure)
      },
    },
    random,
    origin?.domain,
  )
  if (origin !== undefined) origin.clone = domain
  try {
    return connectMachine(board, given, around, { domain, failures, random, sleeper })
  } catch (error) {
    // Servers may have been started.
    domain.close()
    throw error
  }
}

/** @throws IoreqError `ERR_EXISTS` where a fixed range of a caller's model is over RAM, or over a range of the board */
function refuseOverlaps({ devices, dispatch }: MachineKind['domain'], name: string): void {
  for (const { device, kind, base, length, enabled, window } of devices.regions.regions)
    // If the model's own memory appears in this window, it is guest memory as well.
    if (device === name && enabled && window === null)
      dispatch.refuseOverlap(name, kind, base, base + length - 1, devices.server)
}

/** The domain of a machine, and the parts made before it. */
interface Base<K extends MachineKind> extends Pick<ComposedMachine<K>, 'failures'> {
  readonly domain: K['domain']
  readonly random: ReturnType<typeof randomOf>
  readonly sleeper: HostSleeper
}

function connectMachine<K extends MachineKind>(
  board: Board<K>,
  given: K['options'],
  { gate, origin, family, watchModels, withTrays }: Surroundings<K>,
  { domain, failures, random, sleeper }: Base<K>,
): Connected<K> {
  const own = given.devices ?? []
  const wake = (): void => domain.wake()
  const { drives, removable = [] } = withTrays?.(given.drives ?? [], wake) ?? {}
  const ungated: K['options'] = { ...given, ...(drives !== undefined && { drives }) }
  let options = ungated
  const xen = board.connect(random, () => {
    for (const { gpa, bytes } of board.ram) {
      const [gfn, count] = [gpa / PAGE_BYTES, bytes / PAGE_BYTES]
      if (origin === undefined) domain.p2m.populate(gfn, count)
      else origin.memory.populate(domain, gfn, count)
    }
  })

  // The machine's lifecycle, its snapshots, and the source of its inputs.
  let passing: PassingTime | undefined
  const { onSleep, ...living } = board.life()
  const life = new MachineLife(domain, {
    ...{ ...living, sleeper, models: own, onReset: given.onReset },
    onSleep: (asleep) => {
      // A guest that wakes reads the real-time clock, which shows the host's time from now on.
      if (asleep) passing?.end()
      onSleep?.(asleep)
    },
  })
  // A recorded machine continues its log unless a restore changes where the run begins.
  const goesOn = (isNew: boolean, catchUp: LetTimePass, from?: SavedInstant): void => {
    passing?.end()
    passing = undefined
    if (isNew || gate === undefined) devices.goesOn(random)
    const isTold = given.generation !== undefined && generationAfter(given) !== 'same'
    if (gate !== undefined || given.clock === 'deterministic' || !(isTold || from !== undefined)) return
    const free = lines.map((line) => line.hold())
    passing = catchUp(domain, from, () => free.forEach((release) => release()))
  }
  const snapshots = new LazySnapshots<K>(
    {
      life,
      goesOn,
      behind: () => passing?.behind() ?? 0,
      catchesUp: board.catchesUp,
      gate,
    },
    () => board.loadState(options, random, life, () => switches),
  )
  gate?.start({ domain, pause: (action) => life.pause(action), snapshots: () => snapshots.load() })
  const inputs = gate?.gate ?? pacingOf(domain, given.keepsPace)
  if (inputs !== undefined) domain.takeInputs(inputs)

  // Inputs from outside, in the order in which a recording numbers them.
  let lines: readonly SerialLine[] = []
  let hvc = xenConsole(undefined, gate)
  const receiver = (port: number) => (bytes: Uint8Array) => {
    placed.receive(port, bytes)
    wake()
  }
  const take: Readonly<Record<InputGroup, () => void>> = {
    'back-ends': () => (options = gate?.options(options) ?? options),
    serial: () => {
      lines = Array.from({ length: board.serialPorts }, (_, port) => {
        const receive = receiver(port)
        return new SerialLine(gate?.serial(port, receive) ?? receive, () => placed.sent?.(port))
      })
    },
    xen: () => (hvc = xenConsole(xen?.consoleRing, gate)),
  }
  for (const group of board.inputGroups) take[group]()
  const { keyboard = new Keyboard(), mouse = new Mouse(), screen = new Screen() } = options
  const switchOf = (which: 'keyboard' | 'mouse', backend: InputBackend, pressed?: () => unknown): InputSwitch => {
    const outside = gate && new InputSwitch(backend, { wake })
    const inside = outside ? gate.input(which, outside.join()) : backend
    return new InputSwitch(inside, { wake, ...(pressed && { pressed }) }, outside)
  }
  const switches = {
    keyboard: switchOf('keyboard', keyboard, () => domain.asleep && placed.wake?.()),
    mouse: switchOf('mouse', mouse),
  }

  // Devices first, because the board describes them to firmware.
  const devices = board.placeDevices(options, { ...switches, screen, random: random.next })
  const placed = board.placeBoard(options, devices, life, {
    transmit: (port, bytes) => {
      if (port === 0) gate?.console.hear(0, bytes)
      if (gate?.isHeard !== false) lines[port]?.transmit(bytes)
    },
    taken: (port, count) => lines[port]?.taken(count),
    ramfb: devices.onRamfb,
  })
  life.startAgain = async (images) => {
    // The standby supply fails as well: the state that S3 keeps is lost.
    if (domain.asleep) placed.wake?.()
    domain.reset()
    domain.asleep = false
    life.sleep.isWoken = false
    populateHoles(domain, board.ram)
    // A recording has no place for servers that are started on the way.
    if (gate === undefined) await life.startGoneServers()
    await board.boot.setDevices?.(images)
    await board.boot.start(false, images)
  }
  const press = (): boolean | Promise<boolean> => placed.pressPowerButton()
  const pressPower = gate?.button(press) ?? press
  const move = (ns: number): void => {
    domain.dispatch.timeOffset(BigInt(Math.trunc(ns / 1e9)))
    xen?.moveWallClock(ns)
  }
  const moveWallClock = gate?.wallClock(move) ?? move
  life.ready.push(...devices.ready, placed.ready)
  // These models run in this thread even where the board has a Worker: their media are the caller's objects.
  const models = [...devices.models, ...own]
  const runsAgain = (model: DeviceModel): boolean =>
    own.includes(model) ? model.deterministic === true : !devices.fromHost.includes(model)
  const shares = gate?.place(domain, models, runsAgain) ?? { models }
  for (const model of watchModels?.(shares.models, own, domain) ?? shares.models) domain.attach(model)
  for (const { name } of own) refuseOverlaps(domain, name)
  if (shares.server !== undefined) {
    domain.addServer(shares.server)
    life.ready.push(shares.server.remote.ready)
  }
  gate?.attached()

  // The parts that the end of a run, and the machine's own end, concern.
  life.outlets.push(placed, { flush: devices.settled })
  life.leavers.push(...removable)
  if (origin !== undefined) life.leavers.push({ leave: () => origin.closeMedia() })
  if (family !== undefined) life.leavers.push({ leave: () => family.leave(domain, () => board.free?.()) })

  return {
    ...{ board, gate, family, domain, options, ungated, failures, life, snapshots, devices, placed, pressPower, xen },
    moveWallClock,
    ...{ removableDrives: removable, xenConsole: hvc, serialPorts: lines, screen, keyboard, mouse },
  }
}

/** Populates the frames of RAM that the guest has given up, such as by a balloon: at a reset it has all of its RAM again. */
function populateHoles(
  { p2m }: Pick<Domain, 'p2m'>,
  ram: readonly { readonly gpa: number; readonly bytes: number }[],
): void {
  const { hole, nothing } = p2m.types
  const entry = new P2mEntry()
  for (const { gpa, bytes } of ram) {
    const end = (gpa + bytes) / PAGE_BYTES
    for (let gfn = gpa / PAGE_BYTES; gfn < end;) {
      const type = p2m.lookup(gfn, entry)
      const count = Math.min(end - gfn, 2 ** entry.order - (gfn % 2 ** entry.order))
      if (type === hole || type === nothing) p2m.populate(gfn, count)
      gfn += count
    }
  }
}

/** The class of machines of a kind, and the creator of its boards. */
export interface MachineMaker<K extends MachineKind, B extends Board<K>, M extends Machine<K>> {
  /** Checks values that a type checker would have checked, and whether the combination exists. @throws MachineError */
  check(options: K['options'], run: MachineRun): void
  /** Checks each option by itself. @throws MachineError `ERR_OPTION` */
  checkValues(this: void, options: K['options']): void
  /** Loads the modules that the options need. @throws MachineError `ERR_OPTION` */
  load(options: K['options']): Promise<B>
  /** Makes an object of the class. */
  build(machine: ComposedMachine<K>, board: B): M
}

/**
 * Makes a machine: powered on, at the instant of its snapshot, or at that of a fork.
 *
 * @param gate - stands between the machine and its back ends
 * @param origin - the machine that a clone is made from
 * @throws MachineError, LoaderError, MemoryError or DeviceError, naming the value and the expected values
 */
export async function makeMachine<K extends MachineKind, B extends Board<K>, M extends Machine<K>>(
  maker: MachineMaker<K, B, M>,
  given: K['options'],
  gate?: MachineGate<K>,
  origin?: ForkOrigin<K['domain'], K['state']>,
): Promise<M> {
  try {
    return await make(maker, given, gate, origin)
  } catch (error) {
    // The argument may be no options at all.
    const { pages } = (given as K['options'] | undefined)?.snapshot ?? {}
    if (pages !== undefined) closePages(pages)
    throw error
  }
}

async function make<K extends MachineKind, B extends Board<K>, M extends Machine<K>>(
  maker: MachineMaker<K, B, M>,
  given: K['options'],
  gate: MachineGate<K> | undefined,
  origin: ForkOrigin<K['domain'], K['state']> | undefined,
): Promise<M> {
  if (origin === undefined) maker.check(given, runOf(gate))
  // Drop the snapshot here, which holds all of its RAM, and load no kernel over its state.
  const { snapshot, ...all } = given
  const goesOn = snapshot !== undefined || origin !== undefined
  const { firmware, flash = [] }: ComposedOptions = all
  const isDirect = firmware === undefined && flash.length === 0
  const { family, options } = await forkFamily<K>(
    snapshot !== undefined && isDirect ? { ...all, kernel: undefined } : all,
    origin,
  )
  const [board, watch, trays] = await Promise.all([
    maker.load(options),
    loadWatch(options),
    options.drives && import('../devices/removable-drive.ts'),
  ])
  origin?.checkRoom()
  const composed = composeMachine<K>(board, options, {
    ...{ gate, origin, family, watchModels: watch },
    withTrays: trays?.withTrays,
  })
  const clone: ComposedMachine<K>['clone'] = (changed, itsGate, its) => makeMachine(maker, changed, itsGate, its)
  const machine = maker.build({ ...composed, clone, checkValues: maker.checkValues }, board)
  const { life, snapshots } = composed
  try {
    await life.startServers(composed.options.deviceServers ?? [])
    if (!goesOn) await board.boot.setDevices?.()
  } catch (error) {
    machine.close()
    throw composed.failures.notStarted(error)
  }
  try {
    await board.boot.start(goesOn)
    await gate?.hasPorts(() => machine.hotPlug())
    if (origin !== undefined) await (await snapshots.load()).beginFork(origin.state, origin.memory)
    else if (snapshot !== undefined) await (await snapshots.load()).begin(snapshot as MachineSnapshotSource<K['state']>)
  } catch (error) {
    machine.close()
    throw error
  }
  return machine
}

/** Prepares a machine that is to be forked. @param origin - the machine that a clone is made from */
async function forkFamily<K extends MachineKind>(
  options: K['options'],
  origin: { readonly family: ForkFamily } | undefined,
): Promise<{ readonly family: ForkFamily | undefined; readonly options: K['options'] }> {
  if (options.forks === undefined) return { family: undefined, options }
  const [{ ForkFamily }, { withFreezableMedia }] = await Promise.all([
    import('../fork/fork-family.ts'),
    import('../fork/clone-options.ts'),
  ])
  return { family: origin?.family ?? new ForkFamily(), options: withFreezableMedia(options) }
}
