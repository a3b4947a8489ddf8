import { Stateful } from '@retrap/device'
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
  /** Number of slots that the guest has enabled. */
  mostSlots(): number
  /** Tells the guest. */
  post(event: EventWords): void
  /** An endpoint is to be left alone from now on. @param tell - the guest is notified of a transfer that was under way */
  stop(endpoint: Endpoint, tell: boolean): void
}

/** The command ring. Source: xHCI 1.2, §4.6, "Command Interface", and §5.4.5, "Command Ring Control Register". */
export class CommandRing extends Stateful {
  readonly #host: CommandHost
  readonly #r = this.keeps(
    {
      pointer: [0, 0] as readonly [lo: number, hi: number],
      place: null as RingPlace | null,
      running: false,
      /** Position at which the guest has stopped the ring, until the event ring has room for the event; null: not stopped. */
      stopped: null as number | null,
    },
    { recent: ['stopped'] },
  )

  constructor(host: CommandHost) {
    super()
    this.#host = host
  }

  get isRunning(): boolean {
    return this.#r.running
  }

  /** The pointer reads as zero. */
  read(high: boolean): number {
    return !high && this.#r.running ? RUNNING : 0
  }

  write(high: boolean, value: number): void {
    if (this.#r.running) {
      // The pointer is fixed while it runs. No command is ever under way between two accesses.
      if (!high && (value & (STOP | ABORT)) !== 0) {
        this.#r.running = false
        this.#r.stopped = this.#r.place!.address
      }
      return
    }
    const [lo, hi] = this.#r.pointer
    this.#r.pointer = high ? [lo, value] : [(value & ~0x3e) >>> 0, hi]
    this.#r.place = placeOf(...this.#r.pointer)
  }

  /** The host controller's doorbell was rung. */
  start(): void {
    this.#r.place ??= placeOf(...this.#r.pointer)
    this.#r.running = true
  }

  /** Stops with the controller. */
  stop(): void {
    this.#r.running = false
  }

  /** Executes one command. @returns number of TRBs read; 0: no command */
  step(): number {
    if (this.#r.stopped !== null) {
      this.#host.post(completion(this.#r.stopped, CODE.RING_STOPPED, 0))
      this.#r.stopped = null
      return 1
    }
    if (!this.#r.running || this.#r.place === null) return 0
    const fetched = fetchTrbs(this.#host.memory, this.#r.place)
    if (fetched.kind === 'empty' || fetched.kind === 'unreachable') return 0
    if (fetched.kind === 'endless') {
      this.#r.running = false
      this.#host.post(completion(fetched.trbs[0]!.address, CODE.TRB_ERROR, 0))
      return fetched.trbs.length
    }
    this.#r.place = fetched.next
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
}

function completion(address: number, code: number, slot: number): EventWords {
  return [lowOf(address), highOf(address), (code << 24) >>> 0, ((slot << 24) | (TRB.COMMAND_COMPLETION << 10)) >>> 0]
}
