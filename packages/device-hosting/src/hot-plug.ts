import { DeviceError, type DeviceModel } from '@retrap/device'
import { isPromise, LONGEST_HOST_TIMER_MS, type PciTree, type TreeSlot } from '@retrap/device/host'
import type { AttachedModel } from './attached-model.ts'
import type { ModelNotices, ReportFailure } from './model-notices.ts'
import type { ModelRequests } from './model-requests.ts'
import { checkTimeLimit } from './model-state.ts'

/** How a device is taken out of its slot. */
export interface UnplugOptions {
  /** Takes the device out at once, without asking the guest. Default false. */
  readonly force?: boolean | undefined
  /** Milliseconds of host time that the guest, and requests in flight, may take; default for ever. */
  readonly deadlineMs?: number | undefined
}

/** The part of the set of models that {@link HotPlug} needs. */
export interface HotPlugParts {
  readonly tree: PciTree
  readonly notices: ModelNotices
  readonly requests: ModelRequests
  /** The attached models by name. */
  readonly attached: Map<string, AttachedModel>
  readonly failed: ReportFailure
  /** Called with a slot before its device is taken out. */
  readonly leaves: (busName: string) => void
}

/** The wait for a model's work in flight. */
interface Rest {
  /** The model was reset since. */
  again: boolean
  ends: Promise<void>
}

/** Takes devices out of the slots below PCI Express ports, when the guest has given them up. */
export class HotPlug {
  readonly #parts: HotPlugParts
  /** Waits by bus name, which end when the slot is empty. */
  readonly #removals = new Map<string, PromiseWithResolvers<void>>()
  /** Removals under way, by bus name. */
  readonly #leaving = new Map<string, Promise<void>>()
  /** Ends the waits for an empty slot, when they are given up. */
  readonly #waits = new Set<() => void>()
  /** Models that were reset and have work in flight. A guest may reset them any number of times. */
  readonly #resting = new Map<string, Rest>()

  constructor(parts: HotPlugParts) {
    this.#parts = parts
  }

  /**
   * Takes the device out of a slot.
   *
   * @param busName - the port's
   * @returns whether it is out: false when the deadline has passed. The request stays with the guest then
   * @throws DeviceError `ERR_NOT_FOUND` for an unknown or empty slot; `ERR_INVALID` for a deadline that is negative or
   * no number
   */
  async unplug(busName: string, { force = false, deadlineMs = Infinity }: UnplugOptions = {}): Promise<boolean> {
    checkTimeLimit(deadlineMs)
    const slot = this.#parts.tree.slot(busName)
    if (slot?.occupied !== true) {
      const why = slot === undefined ? 'there is no slot of this name' : 'the slot is empty'
      throw new DeviceError('ERR_NOT_FOUND', `PCI bus ${busName}: ${why}: expected the busName of a port with a device`)
    }
    const removal = this.#removals.get(busName) ?? Promise.withResolvers<void>()
    this.#removals.set(busName, removal)
    if (force) this.remove(busName)
    else if (!this.#leaving.has(busName)) slot.events.requested()
    const late = Promise.withResolvers<boolean>()
    const giveUp = (): void => late.resolve(false)
    this.#waits.add(giveUp)
    const timer = deadlineMs > LONGEST_HOST_TIMER_MS ? undefined : setTimeout(giveUp, deadlineMs)
    const out = await Promise.race([removal.promise.then(() => true), late.promise])
    clearTimeout(timer)
    this.#waits.delete(giveUp)
    return out
  }

  /** Ends the waits of `unplug`, as if their deadlines had passed. */
  giveUp(): void {
    for (const giveUp of this.#waits) giveUp()
  }

  /** Takes out a device that the guest has released: at once if it has had nothing in flight since its power was removed. */
  release(busName: string): void {
    const { tree } = this.#parts
    const slot = tree.slot(busName)
    if (slot === undefined || this.#leaving.has(busName)) return
    const isAtRest = !slot.connected && !tree.ownersBelow(busName).some((owner) => this.#resting.has(owner))
    if (isAtRest) this.#out(busName, slot)
    else this.remove(busName)
  }

  /** Takes the models in a slot out, after their work in flight has ended; deterministic time does not pass meanwhile. */
  remove(busName: string): void {
    const slot = this.#parts.tree.slot(busName)
    if (slot === undefined || this.#leaving.has(busName)) return
    const leaving = slot.disconnect().then(() => this.#out(busName, slot))
    this.#leaving.set(busName, leaving)
    this.#parts.notices.begun(leaving, busName, 'removal')
  }

  /** Settles when no device is leaving; undefined where none is. */
  settled(): Promise<unknown> | undefined {
    return this.#leaving.size === 0 ? undefined : Promise.all(this.#leaving.values())
  }

  #out(busName: string, slot: TreeSlot): void {
    const { tree, attached, leaves } = this.#parts
    leaves(busName)
    for (const owner of tree.ownersBelow(busName)) {
      attached.get(owner)?.remove()
      attached.delete(owner)
    }
    this.#leaving.delete(busName)
    slot.events.removed()
    this.#removals.get(busName)?.resolve()
    this.#removals.delete(busName)
  }

  /**
   * Resets models, and waits until nothing that they began is in flight: requests to their back ends, and mappings of
   * guest memory.
   */
  rest(owners: readonly string[]): Promise<void> {
    const [end = Promise.resolve(), ...others] = owners.map((owner) => this.#restOne(owner))
    // A slot has one: its wait is no new promise each time.
    return others.length === 0 ? end : Promise.all([end, ...others]).then(() => {})
  }

  #restOne(owner: string): Promise<void> {
    const { attached, failed, notices, requests } = this.#parts
    const found = attached.get(owner)
    if (found === undefined || found.detached) return Promise.resolve()
    requests.endAccessesTo(owner)
    try {
      // At once: its work in flight is dropped from here on.
      const reset = found.model.reset?.()
      if (isPromise(reset)) notices.begun(reset, owner, 'reset')
    } catch (error) {
      failed(owner, 'reset', error)
    }
    const under = this.#resting.get(owner)
    if (under !== undefined) {
      // The model may have begun further work since.
      under.again = true
      return under.ends
    }
    const rest: Rest = { again: true, ends: Promise.resolve() }
    this.#resting.set(owner, rest)
    rest.ends = this.#endOf(rest, found)
    return rest.ends
  }

  /** Settles when a model that was reset has nothing in flight; undefined where it has not been reset, or is at rest again. */
  resting(owner: string): Promise<void> | undefined {
    return this.#resting.get(owner)?.ends
  }

  async #endOf(rest: Rest, found: AttachedModel): Promise<void> {
    const { model } = found
    while (rest.again) {
      rest.again = false
      await this.#tell(model, 'reset', () => model.quiesce?.(Infinity))
      await new Promise<void>((resolve) => this.#parts.notices.dropMappingsOf(found, resolve))
    }
    this.#resting.delete(model.name)
    if (!found.detached) await this.#tell(model, 'resume', () => model.resume?.())
  }

  async #tell(model: DeviceModel, what: string, call: () => unknown): Promise<void> {
    try {
      const end = call()
      if (isPromise(end)) await end
    } catch (error) {
      this.#parts.failed(model.name, what, error)
    }
  }
}
