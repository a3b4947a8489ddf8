import { CONTROL_INDEX, ENDPOINT } from './contexts.ts'
import type { Endpoint } from './endpoint.ts'
import type { GuestAccess } from './guest-access.ts'
import { fetchTrbs, placeOf, type RingPlace } from './ring.ts'
import type { Slot, Slots } from './slots.ts'
import { CODE, type EventWords, FLAG, highOf, lowOf, pointerOf, type Trb, TRB, typeOf } from './trb.ts'

const RUNNING = 0x8
const STOP = 0x2
const ABORT = 0x4

/** The part of the controller that a command ring needs. */
export interface CommandHost {
  readonly memory: GuestAccess
  readonly slots: Slots
  /** How many slots the guest has enabled. */
  mostSlots(): number
  /** Tells the guest. */
  post(event: EventWords): void
  /** An endpoint is to be left alone from now on. @param tell - the guest is notified of a transfer that was under way */
  stop(endpoint: Endpoint, tell: boolean): void
}

/** The command ring. Source: xHCI 1.2, §4.6, "Command Interface", and §5.4.5, "Command Ring Control Register". */
export class CommandRing {
  readonly #host: CommandHost
  #pointer: [lo: number, hi: number] = [0, 0]
  #place: RingPlace | null = null
  #running = false
  /** Where the guest has stopped it, until the event ring has room to say so. */
  #stopped: number | null = null

  constructor(host: CommandHost) {
    this.#host = host
  }

  get isRunning(): boolean {
    return this.#running
  }

  /** The pointer reads as zero. */
  read(high: boolean): number {
    return !high && this.#running ? RUNNING : 0
  }

  write(high: boolean, value: number): void {
    if (this.#running) {
      // The pointer is fixed while it runs. No command is ever under way between two accesses.
      if (!high && (value & (STOP | ABORT)) !== 0) {
        this.#running = false
        this.#stopped = this.#place!.address
      }
      return
    }
    if (high) this.#pointer[1] = value
    else this.#pointer[0] = (value & ~0x3e) >>> 0
    this.#place = placeOf(...this.#pointer)
  }

  /** The host controller's doorbell was rung. */
  start(): void {
    this.#place ??= placeOf(...this.#pointer)
    this.#running = true
  }

  /** Stops with the controller. */
  stop(): void {
    this.#running = false
  }

  /** Carries out one command. @returns how many TRBs were looked at; 0: there is no command */
  step(): number {
    if (this.#stopped !== null) {
      this.#host.post(completion(this.#stopped, CODE.RING_STOPPED, 0))
      this.#stopped = null
      return 1
    }
    if (!this.#running || this.#place === null) return 0
    const fetched = fetchTrbs(this.#host.memory, this.#place)
    if (fetched.kind === 'empty' || fetched.kind === 'unreachable') return 0
    if (fetched.kind === 'endless') {
      this.#running = false
      this.#host.post(completion(fetched.trbs[0]!.address, CODE.TRB_ERROR, 0))
      return fetched.trbs.length
    }
    this.#place = fetched.next
    for (const trb of fetched.trbs) {
      const isLink = typeOf(trb) === TRB.LINK
      if (isLink && (trb.control & FLAG.ON_COMPLETION) === 0) continue
      const [code, slot] = isLink ? [CODE.SUCCESS, 0] : this.#execute(trb)
      this.#host.post(completion(trb.address, code, slot))
    }
    return fetched.trbs.length
  }

  #execute(trb: Trb): readonly [code: number, slot: number] {
    const type = typeOf(trb)
    if (type === TRB.NO_OP_COMMAND) return [CODE.SUCCESS, 0]
    if (type === TRB.ENABLE_SLOT) {
      const made = this.#host.slots.enable(this.#host.mostSlots())
      return made === 0 ? [CODE.NO_SLOTS, 0] : [CODE.SUCCESS, made]
    }
    const isOfSlot = type >= TRB.DISABLE_SLOT && type <= TRB.RESET_DEVICE
    if (!isOfSlot) return [CODE.TRB_ERROR, 0]
    const id = trb.control >>> 24
    const slot = this.#host.slots.byId.get(id)
    return [slot === undefined ? CODE.SLOT_NOT_ENABLED : this.#ofSlot(trb, type, slot), id]
  }

  #ofSlot(trb: Trb, type: number, slot: Slot): number {
    const { slots } = this.#host
    const input = pointerOf(trb) - (trb.lo & 0xf)
    const flag = (trb.control & FLAG.DECONFIGURE) !== 0
    const stopAll = (from: number): void => {
      for (const endpoint of slot.endpoints.values()) if (endpoint.index >= from) this.#host.stop(endpoint, false)
    }
    switch (type) {
      case TRB.DISABLE_SLOT:
        stopAll(CONTROL_INDEX)
        return slots.disable(slot)
      case TRB.ADDRESS_DEVICE:
        stopAll(CONTROL_INDEX)
        return slots.address(slot, input, flag)
      case TRB.CONFIGURE_ENDPOINT:
        return slots.configure(slot, input, flag)
      case TRB.EVALUATE_CONTEXT:
        return slots.evaluate(slot, input)
      case TRB.RESET_DEVICE:
        stopAll(CONTROL_INDEX + 1)
        return slots.resetDevice(slot)
      default:
        return this.#ofEndpoint(trb, type, slot)
    }
  }

  #ofEndpoint(trb: Trb, type: number, slot: Slot): number {
    const { slots } = this.#host
    const endpoint = slot.endpoints.get((trb.control >>> 16) & 0x1f)
    if (endpoint === undefined) return CODE.ENDPOINT_NOT_ENABLED
    if (type === TRB.SET_DEQUEUE) return slots.setDequeue(endpoint, trb.lo, trb.hi)
    if (type === TRB.RESET_ENDPOINT) {
      if (endpoint.state !== ENDPOINT.HALTED) return CODE.CONTEXT_STATE
      endpoint.control = null
    } else {
      if (endpoint.state !== ENDPOINT.RUNNING) return CODE.CONTEXT_STATE
      this.#host.stop(endpoint, true)
    }
    slots.setState(endpoint, ENDPOINT.STOPPED)
    return CODE.SUCCESS
  }

  reset(): void {
    this.#pointer = [0, 0]
    this.#place = null
    this.#running = false
    this.#stopped = null
  }

  save(): unknown {
    return { pointer: [...this.#pointer], place: this.#place, running: this.#running, stopped: this.#stopped }
  }

  restore(state: unknown): void {
    const { pointer, place, running, stopped } = state as {
      pointer: [number, number]
      place: RingPlace | null
      running: boolean
      /** Absent in states of earlier versions. */
      stopped?: number | null
    }
    this.#pointer = [...pointer]
    this.#place = place
    this.#running = running
    this.#stopped = stopped ?? null
  }
}

function completion(address: number, code: number, slot: number): EventWords {
  return [lowOf(address), highOf(address), (code << 24) >>> 0, ((slot << 24) | (TRB.COMMAND_COMPLETION << 10)) >>> 0]
}
