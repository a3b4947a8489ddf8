import { fromBase64, toBase64 } from '@retrap/basics'
import type { Domain } from '@retrap/hvm'
import { fromJson, toJson } from '../back-ends/messages.ts'
import type { HotPlug } from '../machine/hot-plug.ts'
import type { PcOptions } from '../options/pc-options.ts'
import { backEndFacts, type BackEndFacts } from './description.ts'
import { bundleOptions, optionsOfBundle } from './bundled-options.ts'
import { HOT_PLUG_PARTY, type InputGate } from './input-gate.ts'

/** A device that was plugged in, as plain data. */
interface PluggedDevice {
  readonly options: object
  /** The images that the options refer to by number, in Base64. */
  readonly images: readonly string[]
  readonly facts: BackEndFacts
}

/** A device comes to a root port, or is to leave it, at an instant of a run: plain data. */
interface PlugChange {
  readonly port: string
  /** The port's number among the parties from now on; the numbers of the device's back ends follow. */
  readonly party: number
  /** The device that comes; absent: the present device is to leave. */
  readonly device?: PluggedDevice | undefined
  /** The device leaves without the guest. */
  readonly force?: boolean
}

/** A checkpoint's part of a root port that is not as the machine's options say. */
interface PortState extends Omit<PlugChange, 'force'> {
  /** The port had a device at power-on. */
  readonly had: boolean
  /** The port has no device. */
  readonly isEmpty: boolean
}

/** The devices of a machine, as far as root ports need them. */
type PortDevices = Pick<Domain['devices'], 'isOccupied' | 'unplug'>

/** A port that is not as the machine's options say. */
interface Changed {
  readonly party: number
  had: boolean
}

/** Plugs in the options' device. */
type Enter = (options: PcOptions) => void

/** Puts the gate before the back ends of a device. */
type Wrap = (options: PcOptions, facts: BackEndFacts) => PcOptions

/** Plugs and unplugs of a machine's root ports as inputs: recorded with the device, and made again by a replay. */
export class RecordedPlugs {
  readonly #gate: InputGate
  readonly #wrap: Wrap
  /** Numbers of the parties behind each port. */
  readonly #behind = new Map<string, number[]>()
  /** Ports whose device has come or gone. */
  readonly #changed = new Map<string, Changed>()
  #devices!: PortDevices
  #load!: () => Promise<HotPlug>

  constructor(gate: InputGate, wrap: Wrap) {
    this.#gate = gate
    this.#wrap = wrap
  }

  /** Makes the back ends of a device, and notes their parties. @param port - absent: the device is not behind one */
  behind<T>(port: string | undefined, make: () => T): T {
    const from = this.#gate.nextParty
    const made = make()
    if (port === undefined) return made
    const parties = this.#behind.get(port) ?? []
    for (let party = from; party < this.#gate.nextParty; party++) parties.push(party)
    this.#behind.set(port, parties)
    return made
  }

  /** Takes the machine, which has not run. Brings its ports to where they are at the checkpoint that it goes on from. */
  async begin(devices: PortDevices, load: () => Promise<HotPlug>): Promise<void> {
    const gate = this.#gate
    this.#devices = devices
    this.#load = load
    gate.ports = { prepared: (data) => this.#prepared(fromJson(data) as PlugChange), look: () => this.#look() }
    for (const saved of gate.saved as readonly ({ readonly slot?: PortState } | null)[]) {
      if (saved?.slot === undefined) continue
      const { port, had, isEmpty, device } = saved.slot
      if (devices.isOccupied(port) && (isEmpty || device !== undefined)) await devices.unplug(port, { force: true })
      if (isEmpty || device === undefined) this.#changes(port, this.#party(saved.slot))
      else (await this.#prepared(saved.slot))()
      this.#changed.get(port)!.had = had
    }
  }

  /**
   * Plugs a device in when the machine runs on; in a replay it has no effect, like other input of the user.
   *
   * @param enter - plugs in the options' device
   * @throws what `enter` throws
   */
  async plug(port: string, options: PcOptions, enter: Enter): Promise<void> {
    if (!this.#gate.hasOutside) return
    const { options: plain, images } = bundleOptions(options)
    const device = { options: plain, images: images.map(toBase64), facts: backEndFacts(options, []) }
    await this.#post(() => {
      const change = { port, party: this.#gate.nextParty, device }
      this.#enter(change, options, enter)
      return { change }
    })
  }

  /** Asks the guest for a device when the machine runs on; a replay has it leave when the recording says so. @param unplug - asks */
  async unplug(port: string, force: boolean, unplug: () => Promise<boolean>): Promise<boolean> {
    if (!this.#gate.hasOutside) return true
    const { out } = await this.#post(() => {
      // An error if the port is empty: the run is as without the call.
      if (!this.#devices.isOccupied(port)) return { out: unplug() }
      const change = { port, party: this.#gate.nextParty, force }
      this.#changes(port, this.#party(change))
      return { change, out: unplug() }
    })
    return out
  }

  #post<T extends { readonly change?: PlugChange }>(act: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#gate.post(HOT_PLUG_PARTY, () => {
        try {
          const done = act()
          resolve(done)
          return done.change === undefined ? null : toJson(done.change)
        } catch (error) {
          reject(error)
          return null
        }
      })
    })
  }

  /** Loads the code and images of a recorded change. @returns a function that makes the change */
  async #prepared(change: PlugChange): Promise<() => void> {
    const { port, device, force = false } = change
    if (device === undefined)
      return () => {
        this.#changes(port, this.#party(change))
        void this.#devices.unplug(port, { force })
      }
    const images = device.images.map(fromBase64)
    const options = optionsOfBundle({ options: device.options, images })
    const enter = await (await this.#load()).prepared(port, options)
    return () => this.#enter({ ...change, device }, options, enter)
  }

  #enter(change: PlugChange & Pick<PortState, 'device'>, options: PcOptions, enter: Enter): void {
    const { port, party: from, device } = change
    const changed = this.#party(change)
    try {
      enter(this.#wrap(options, device!.facts))
    } catch (error) {
      for (let party = from; party < this.#gate.nextParty; party++) this.#gate.leaves(party)
      throw error
    }
    this.#changes(port, changed)
  }

  /** Adds a port with its new state to the parties. */
  #party({ port, party, device }: PlugChange): Changed {
    this.#look()
    const changed = { party, had: this.#changed.get(port)?.had ?? this.#devices.isOccupied(port) }
    const save = (): { readonly slot: PortState } | null => {
      const isEmpty = !this.#devices.isOccupied(port)
      return isEmpty && !changed.had ? null : { slot: { port, party, device, had: changed.had, isEmpty } }
    }
    this.#gate.party(`root port ${port}`, () => undefined, { save, restore: () => undefined, isFixed: true }, party)
    return changed
  }

  #changes(port: string, changed: Changed): void {
    const former = this.#changed.get(port)
    if (former !== undefined) this.#gate.leaves(former.party)
    this.#changed.set(port, changed)
  }

  /** The back ends of devices that have left are parties no more. */
  #look(): void {
    for (const port of this.#changed.keys()) {
      if (this.#devices.isOccupied(port)) continue
      for (const party of this.#behind.get(port) ?? []) this.#gate.leaves(party)
      this.#behind.delete(port)
    }
  }
}
