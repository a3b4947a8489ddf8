import {
  type AccessSize,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type Instant,
  type PciFunction,
  Stateful,
  type Timer,
} from '@retrap/device'
import type { UsbDevice } from '../usb-device.ts'
import { CommandRing } from './command-ring.ts'
import { indexOf } from './contexts.ts'
import { FrameCounter } from './frame-counter.ts'
import { GuestAccess } from './guest-access.ts'
import { Interrupter } from './interrupter.ts'
import { capabilityRegister, ExtendedCapabilities, INTERRUPTERS, LAYOUT, MOST_SLOTS, registerAt } from './layout.ts'
import { OperationalRegisters } from './operational-registers.ts'
import { RootHub, type RootHubState } from './root-hub.ts'
import { Slots } from './slots.ts'
import { type ReadyEndpoints, Transfers } from './transfers.ts'
import { CODE, TRB } from './trb.ts'

/** Options of {@link Xhci}. */
export interface XhciOptions {
  /** The bus: a bridge's `busName`; default bus 0. */
  readonly bus?: string | undefined
  /** PCI device of which it is function 0. */
  readonly device: number
  /** Name of the model, unique within a machine. Default `xhci`. */
  readonly name?: string
  /** Number of sockets, 1 to 15, each for a device of any speed; default 4, or the number of devices if more. */
  readonly ports?: number | undefined
  /** The devices that are plugged in from the beginning, from the first socket on. */
  readonly devices?: readonly UsbDevice[]
}

const BAR = 0
/** Red Hat's vendor id, by which drivers know a virtual machine's controller. */
const VENDOR_ID = 0x1b36
const DEVICE_ID = 0x000d
/** Serial bus, USB, xHCI. */
const CLASS = 0x0c_0330
const MOST_CONNECTORS = 15
const USUAL_CONNECTORS = 4
/** TRBs that are looked at in one go; more are after the pause. */
const BATCH = 512
const PAUSE_NS = 100_000

/**
 * An xHCI host controller with a root hub: USB 3 and 2 at once. Devices are plugged in when it is made, or later.
 *
 * Source: Intel, eXtensible Host Controller Interface for Universal Serial Bus, revision 1.2.
 */
export class Xhci extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string
  /** Handlers answer at once. */
  readonly synchronous: boolean = true
  readonly #bus: string | undefined
  readonly #device: number
  readonly #hub: RootHub
  readonly #extended: ExtendedCapabilities
  readonly #registers: OperationalRegisters
  #pci!: PciFunction
  #interrupters: readonly Interrupter[] = []
  #slots!: Slots
  #commands!: CommandRing
  #transfers!: Transfers
  #later!: Timer
  #frames!: FrameCounter
  #pumping = false
  #paused = false
  /** A doorbell or a device has called while the controller was paused. */
  #wasCalled = false

  /** @throws DeviceError `ERR_OPTION` */
  constructor({ bus, device, name = 'xhci', ports, devices = [] }: XhciOptions) {
    super()
    const connectors = ports ?? Math.max(USUAL_CONNECTORS, devices.length)
    if (!Number.isInteger(device) || device < 0 || device > 31)
      throw new DeviceError('ERR_OPTION', `${name}: device ${device}: expected 0 to 31`)
    if (!Number.isInteger(connectors) || connectors < 1 || connectors > MOST_CONNECTORS)
      throw new DeviceError('ERR_OPTION', `${name}: ports ${connectors}: expected 1 to ${MOST_CONNECTORS}`)
    if (devices.length > connectors)
      throw new DeviceError('ERR_OPTION', `${name}: ${devices.length} devices: expected at most ${connectors}`)
    this.name = name
    this.#bus = bus
    this.#device = device
    this.#extended = new ExtendedCapabilities(connectors)
    this.#hub = new RootHub(name, connectors, {
      changed: (port) => {
        if (port.unannounced) this.#registers.notePortChange()
        this.#pump()
      },
      woken: (port, address) => {
        this.#transfers.wake(port, indexOf(address))
        this.#pump()
      },
    })
    this.#registers = new OperationalRegisters({
      runs: (on) => this.#runs(on),
      reset: () => this.#reset(),
      interruptsChanged: () => this.#driveAll(),
      readCommandRing: (high) => this.#commands.read(high),
      writeCommandRing: (high, value) => this.#commands.write(high, value),
    })
    for (const one of devices) this.#hub.plug(one)
    this.keeps(
      {
        version: 1,
        registers: this.#registers.state,
        extended: this.#extended,
        // Devices and ready endpoints are restored after the slots.
        hub: {
          save: () => this.#hub.save(),
          restore: () => undefined,
          stateFault: (hub: unknown) => this.#hub.stateFault(hub),
        },
        interrupters: () => this.#interrupters,
        commands: () => this.#commands,
        slots: () => this.#slots,
        ready: { save: () => this.#transfers.save(), restore: () => undefined },
        later: () => this.#later,
        // Whether endpoints wait for their turn; absent: unknown.
        wasCalled: { save: () => this.#wasCalled, restore: (called = true) => (this.#wasCalled = called) },
        // Exact time at which the frame counter was 0.
        frames: () => this.#frames.zero,
      },
      { flat: ['extended'], recent: ['ready', 'later'] },
    )
  }

  /** Adds the PCI function. */
  attach(context: DeviceContext): void {
    const { clock } = context
    const memory = new GuestAccess(context.dma, () => this.#registers.failHost())
    const port = (number: number): ReturnType<RootHub['port']> => this.#hub.port(number)
    this.#later = context.timer(() => this.#pump())
    this.#frames = new FrameCounter(context, () => this.#wrapped())
    this.#interrupters = Array.from({ length: INTERRUPTERS }, (_, index) => {
      return new Interrupter(index, {
        memory,
        clock,
        timer: (callback) => context.timer(callback),
        mayWrite: () => this.#registers.isRunning && this.#pci.mayMaster,
        raised: (interrupter) => {
          this.#registers.noteEvent()
          this.#drive(interrupter)
        },
        changed: (interrupter) => this.#drive(interrupter),
        broken: () => this.#registers.failController(),
        drained: () => this.#pump(),
      })
    })
    const slots = new Slots({ memory, interrupters: INTERRUPTERS, port, contexts: () => this.#registers.contexts })
    this.#slots = slots
    this.#transfers = new Transfers({
      memory,
      clock,
      slots,
      port,
      post: (index, event, interrupts) => (this.#interrupters[index] ?? this.#interrupters[0]!).post(event, interrupts),
    })
    this.#commands = new CommandRing({
      memory,
      slots,
      mostSlots: () => Math.min(MOST_SLOTS, this.#registers.slots),
      post: (event) => this.#interrupters[0]!.post(event),
      stop: (endpoint, tell) => this.#transfers.stop(endpoint, tell),
    })
    this.#pci = context.pci.add({
      bus: this.#bus ?? 0,
      device: this.#device,
      vendorId: VENDOR_ID,
      deviceId: DEVICE_ID,
      revisionId: 1,
      classCode: CLASS,
      interruptPin: 1,
      msix: { vectors: INTERRUPTERS, table: { bar: BAR, offset: LAYOUT.MSIX_TABLE } },
      // Serial bus release 3.0; frame length adjustment: 60000 high-speed bit times.
      writable: [[0x60, 0x0000_3f00, 0x0000_2030]],
      bars: [
        {
          index: BAR,
          kind: 'memory64',
          bytes: LAYOUT.BAR_BYTES,
          minimumAccess: 4,
          handler: {
            read: (offset: number): number => this.#read(offset),
            write: (offset: number, _size: AccessSize, value: number): void => this.#write(offset, value),
          },
        },
      ],
      onWrite: () => {
        // Memory may be reached again, or message interrupts have taken the place of the pin.
        this.#driveAll()
        this.#pump()
      },
    })
    this.#hub.attach(context)
  }

  /** Called when the controller, with its devices, has left the machine. */
  removed(): void {
    this.#hub.removed()
  }

  /** Number of sockets. */
  get sockets(): number {
    return this.#hub.sockets
  }

  /**
   * Plugs a device in. The guest gets an event if events are enabled.
   *
   * @returns number of the device's socket, from 0
   * @throws DeviceError `ERR_NO_SPACE` where all are taken, `ERR_EXISTS` for a name that is, `ERR_OPTION` for a wrong description
   */
  plug(device: UsbDevice): number {
    return this.#hub.plug(device)
  }

  /** Unplugs a device. @throws DeviceError `ERR_NOT_FOUND` if it is not plugged in */
  unplug(device: UsbDevice): void {
    this.#transfers.wakeAll(this.#hub.unplug(device))
    this.#pump()
  }

  #read(offset: number): number {
    const place = registerAt(offset, this.#hub.ports.length)
    switch (place.part) {
      case 'capability':
        return capabilityRegister(place.offset, this.#hub.sockets)
      case 'operational':
        return this.#registers.read(place.offset)
      case 'extended':
        return this.#extended.read(place.offset)
      case 'port':
        return this.#hub.ports[place.index]!.read(place.offset)
      case 'interrupter':
        return this.#interrupters[place.index]!.read(place.offset)
      case 'frame':
        // The frame number stands still while the controller is stopped.
        return this.#registers.isRunning ? this.#frames.value : 0
      default:
        return 0
    }
  }

  #write(offset: number, value: number): void {
    const place = registerAt(offset, this.#hub.ports.length)
    if (place.part === 'operational') {
      this.#registers.write(place.offset, value)
      this.#armWrap()
    } else if (place.part === 'extended') this.#extended.write(place.offset, value)
    else if (place.part === 'interrupter') this.#interrupters[place.index]!.write(place.offset, value)
    else if (place.part === 'doorbell') this.#ring(place.index, value & 0xff)
    else if (place.part === 'port') {
      const port = this.#hub.ports[place.index]!
      port.write(place.offset, value)
      // Wakes transfers of a port that was resumed or disabled, so that they continue or fail.
      this.#transfers.wakeAll(port)
    } else return
    this.#pump()
  }

  #ring(slot: number, target: number): void {
    if (!this.#registers.isRunning) return
    if (slot !== 0) this.#transfers.ring(slot, target)
    else if (target === 0) this.#commands.start()
  }

  #runs(on: boolean): void {
    if (on) {
      this.#frames.start()
      this.#transfers.wakeAll()
      return
    }
    this.#commands.stop()
    this.#later.cancel()
    this.#frames.timer.cancel()
  }

  /** A timer only where the guest wants to be notified of the counter's wrap. */
  #armWrap(): void {
    if (this.#registers.isRunning && this.#registers.wrapEvents) this.#frames.arm()
    else this.#frames.timer.cancel()
  }

  #wrapped(): void {
    // A full ring loses the event: a guest that takes no events does not fill the host.
    if (this.#pci.mayMaster && !this.#isFull)
      this.#interrupters[0]!.post([0, 0, CODE.SUCCESS << 24, TRB.FRAME_WRAP << 10])
    this.#armWrap()
  }

  /** Processes commands and transfers that wait, up to a bound. */
  #pump(): void {
    if (this.#paused) this.#wasCalled = true
    if (this.#pumping || this.#paused || !this.#registers.isRunning || !this.#pci.mayMaster) return
    this.#pumping = true
    for (const interrupter of this.#interrupters) interrupter.proceed()
    for (const port of this.#hub.ports) {
      if (!port.unannounced || this.#isFull) continue
      port.sent()
      this.#interrupters[0]!.post([(port.number << 24) >>> 0, 0, CODE.SUCCESS << 24, TRB.PORT_STATUS_CHANGE << 10])
    }
    let left = BATCH
    while (left > 0 && this.#registers.isRunning && !this.#isFull) {
      const used = this.#commands.step()
      left -= used
      if (used === 0) break
    }
    // One transfer at a time: each may fill the event ring, or end the controller.
    let next: Instant | null = null
    while (left > 0 && this.#registers.isRunning && !this.#isFull) {
      const used = this.#transfers.run(1)
      next = this.#transfers.next
      left -= used
      if (used === 0) break
    }
    this.#pumping = false
    if (!this.#registers.isRunning || this.#isFull) return
    if (left <= 0) this.#later.armAfter(PAUSE_NS)
    else if (next === null) this.#later.cancel()
    else this.#later.armAfter(0, next)
  }

  get #isFull(): boolean {
    return this.#interrupters.some((interrupter) => interrupter.isFull)
  }

  #driveAll(): void {
    for (const interrupter of this.#interrupters) this.#drive(interrupter)
  }

  /** Sends an interrupter's interrupt: as a message, or by the pin while the guest has no messages on. */
  #drive(interrupter: Interrupter): void {
    const asks = this.#registers.interrupts && interrupter.isPending
    if (asks && this.#pci.messages?.signal(interrupter.index) === true) interrupter.sent()
    if (interrupter.index === 0) this.#pci.interrupt?.set(this.#registers.interrupts && interrupter.isPending)
  }

  /** A reset by the guest: the PCI function stays as it is. */
  #reset(): void {
    this.#registers.state.reset?.()
    this.#later.cancel()
    this.#frames.timer.cancel()
    this.#transfers.ready.clear()
    this.#slots.byId.clear()
    this.#commands.reset()
    for (const interrupter of this.#interrupters) interrupter.reset()
    this.#hub.reset()
    this.#driveAll()
  }

  /** Returns to the state at power-on. */
  override reset(): void {
    this.#reset()
    this.#extended.reset()
  }

  /** Waits for requests that devices are executing. Nothing reaches the guest until `resume`. */
  async quiesce(): Promise<void> {
    this.#paused = true
    await this.#hub.quiesce()
  }

  /** Goes on. */
  resume(): void {
    this.#paused = false
    this.#hub.resume()
    for (const interrupter of this.#interrupters) interrupter.resume()
    this.#driveAll()
    // Rings whose doorbell was not rung are not looked at: a guest does not notice that it was saved.
    if (this.#wasCalled) this.#pump()
    this.#wasCalled = false
  }

  /** Takes over a saved state. Throws `DeviceError` `ERR_STATE` for one of another version or shape, or of other devices. */
  override restore(given: unknown): void {
    const fault = this.stateFault(given)
    if (fault === undefined) this.reset()
    super.restore(given)
    const { hub, ready } = given as { readonly hub: RootHubState; readonly ready?: ReadyEndpoints }
    this.#hub.restore(hub)
    this.#transfers.restore(ready)
    this.#armWrap()
  }
}
