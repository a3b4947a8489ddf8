import { CONTEXT_BYTES, CONTEXTS, CONTROL_INDEX, ENDPOINT, readEndpoint, readSlot, SLOT } from './contexts.ts'
import { Endpoint } from './endpoint.ts'
import type { GuestAccess } from './guest-access.ts'
import { placeOf } from './ring.ts'
import type { RootPort } from './root-port.ts'
import { CODE } from './trb.ts'

/** A device slot. */
export interface Slot {
  readonly id: number
  /** See `SLOT`. */
  state: number
  /** Number of the device's root port; 0: none yet. */
  port: number
  /** Guest-physical address of its device context. */
  context: number
  /** Interrupter that events of the slot go to. */
  interrupter: number
  readonly endpoints: Map<number, Endpoint>
}

/** Saved form of the slots. */
export type SlotsState = readonly (Omit<Slot, 'endpoints'> & { readonly endpoints: readonly unknown[] })[]

const ADD_FLAGS = 4
const SLOT_STATE_BYTE = 12
const WHOLE_INPUT = (CONTEXTS + 1) * CONTEXT_BYTES
const SLOT_FLAG = 1 << 0
const CONTROL_FLAG = 1 << CONTROL_INDEX

/** The part of the controller that slots need. */
export interface SlotsHost {
  readonly memory: GuestAccess
  readonly interrupters: number
  port(number: number): RootPort | undefined
  /** Guest-physical address of the device context base address array. */
  contexts(): number
}

/** Device slots and the commands that change them. Source: xHCI 1.2, §4.5, "Device Slots", and §4.6, "Command Interface". */
export class Slots {
  readonly #host: SlotsHost
  /** Enabled slots by number. */
  readonly byId: Map<number, Slot> = new Map()

  constructor(host: SlotsHost) {
    this.#host = host
  }

  /** @returns the slot's number; 0 if all slots are in use */
  enable(most: number): number {
    let id = 1
    while (this.byId.has(id)) id++
    if (id > most) return 0
    this.byId.set(id, { id, state: SLOT.ENABLED, port: 0, context: 0, interrupter: 0, endpoints: new Map() })
    return id
  }

  disable({ id, context }: Slot): number {
    this.byId.delete(id)
    // Shows in the slot's context, if any, that the slot is disabled.
    if (context !== 0) this.#host.memory.writeWords(context + SLOT_STATE_BYTE, [0])
    return CODE.SUCCESS
  }

  #input(at: number): DataView | null {
    return this.#host.memory.view(at, WHOLE_INPUT)
  }

  /** Source: xHCI 1.2, §4.6.5, "Address Device". */
  address(slot: Slot, input: number, blocked: boolean): number {
    if (slot.state > SLOT.DEFAULT || (blocked && slot.state !== SLOT.ENABLED)) return CODE.CONTEXT_STATE
    const view = this.#input(input)
    const entry = this.#host.memory.view(this.#host.contexts() + 8 * slot.id, 8)
    if (view === null || entry === null) return CODE.TRB_ERROR
    const flags = view.getUint32(ADD_FLAGS, true)
    const { port: number, route, interrupter } = readSlot(view, CONTEXT_BYTES)
    const control = readEndpoint(view, 2 * CONTEXT_BYTES, CONTROL_INDEX)
    const port = this.#host.port(number)
    const wanted = SLOT_FLAG | CONTROL_FLAG
    const isKnown = port !== undefined && route === 0 && interrupter < this.#host.interrupters
    if ((flags & wanted) !== wanted || control === null || !isKnown) return CODE.PARAMETER_ERROR
    if (!blocked && (port.device === null || !port.isEnabled)) return CODE.TRANSACTION_ERROR
    slot.context = entry.getUint32(4, true) * 2 ** 32 + ((entry.getUint32(0, true) & ~0x3f) >>> 0)
    slot.port = number
    slot.interrupter = interrupter
    slot.state = blocked ? SLOT.DEFAULT : SLOT.ADDRESSED
    slot.endpoints.clear()
    slot.endpoints.set(CONTROL_INDEX, Endpoint.of(slot.id, CONTROL_INDEX, control))
    view.setUint32(CONTEXT_BYTES + SLOT_STATE_BYTE, this.#stateWord(slot), true)
    setState(view, 2 * CONTEXT_BYTES, ENDPOINT.RUNNING)
    const both = new Uint8Array(view.buffer).subarray(CONTEXT_BYTES, 3 * CONTEXT_BYTES)
    return this.#host.memory.write(slot.context, both) ? CODE.SUCCESS : CODE.TRB_ERROR
  }

  /** State and address. The address is the slot's number. */
  #stateWord({ id, state }: Slot): number {
    const address = state >= SLOT.ADDRESSED ? id : 0
    return (address | (state << 27)) >>> 0
  }

  /** Source: xHCI 1.2, §4.6.6, "Configure Endpoint". */
  configure(slot: Slot, input: number, deconfigure: boolean): number {
    if (slot.state < SLOT.ADDRESSED) return CODE.CONTEXT_STATE
    if (deconfigure) return this.#dropAll(slot, SLOT.ADDRESSED)
    const view = this.#input(input)
    if (view === null) return CODE.TRB_ERROR
    const drop = view.getUint32(0, true)
    const add = view.getUint32(ADD_FLAGS, true)
    // Slot and endpoint 0 are never dropped, endpoint 0 is never added.
    if ((drop & (SLOT_FLAG | CONTROL_FLAG)) !== 0 || (add & CONTROL_FLAG) !== 0) return CODE.PARAMETER_ERROR
    const made: Endpoint[] = []
    for (let index = CONTROL_INDEX + 1; index < CONTEXTS; index++) {
      if (((add >>> index) & 1) === 0) continue
      const context = readEndpoint(view, (index + 1) * CONTEXT_BYTES, index)
      if (context === null) return CODE.PARAMETER_ERROR
      made.push(Endpoint.of(slot.id, index, context))
    }
    const { memory } = this.#host
    for (let index = CONTROL_INDEX + 1; index < CONTEXTS; index++) {
      if (((drop >>> index) & 1) === 0) continue
      slot.endpoints.delete(index)
      if (!memory.write(slot.context + index * CONTEXT_BYTES, new Uint8Array(CONTEXT_BYTES))) return CODE.TRB_ERROR
    }
    for (const endpoint of made) {
      const at = (endpoint.index + 1) * CONTEXT_BYTES
      slot.endpoints.set(endpoint.index, endpoint)
      setState(view, at, ENDPOINT.RUNNING)
      const bytes = new Uint8Array(view.buffer).subarray(at, at + CONTEXT_BYTES)
      if (!memory.write(slot.context + endpoint.index * CONTEXT_BYTES, bytes)) return CODE.TRB_ERROR
    }
    slot.state = slot.endpoints.size > 1 ? SLOT.CONFIGURED : SLOT.ADDRESSED
    return this.#writeSlot(slot)
  }

  /** Shows the slot's state and its last endpoint. */
  #writeSlot(slot: Slot): number {
    const { memory } = this.#host
    const view = memory.view(slot.context, 4)
    if (view === null) return CODE.TRB_ERROR
    const last = Math.max(...slot.endpoints.keys())
    const first = (view.getUint32(0, true) & 0x07ff_ffff) | (last << 27)
    const written =
      memory.writeWords(slot.context, [first >>> 0]) &&
      memory.writeWords(slot.context + SLOT_STATE_BYTE, [this.#stateWord(slot)])
    return written ? CODE.SUCCESS : CODE.TRB_ERROR
  }

  #dropAll(slot: Slot, state: number): number {
    for (const index of slot.endpoints.keys()) {
      if (index === CONTROL_INDEX) continue
      slot.endpoints.delete(index)
      const at = slot.context + index * CONTEXT_BYTES
      if (!this.#host.memory.write(at, new Uint8Array(CONTEXT_BYTES))) return CODE.TRB_ERROR
    }
    slot.state = state
    return this.#writeSlot(slot)
  }

  /** Source: xHCI 1.2, §4.6.7, "Evaluate Context". */
  evaluate(slot: Slot, input: number): number {
    if (slot.state < SLOT.DEFAULT) return CODE.CONTEXT_STATE
    const view = this.#input(input)
    if (view === null) return CODE.TRB_ERROR
    const flags = view.getUint32(ADD_FLAGS, true)
    const { memory } = this.#host
    if ((flags & SLOT_FLAG) !== 0) {
      const { interrupter } = readSlot(view, CONTEXT_BYTES)
      if (interrupter >= this.#host.interrupters) return CODE.PARAMETER_ERROR
      slot.interrupter = interrupter
      const own = memory.view(slot.context, 12)
      if (own === null) return CODE.TRB_ERROR
      const latency = view.getUint16(CONTEXT_BYTES + 4, true)
      const third = (own.getUint32(8, true) & 0x003f_ffff) | (interrupter << 22)
      const second = (own.getUint32(4, true) & 0xffff_0000) | latency
      if (!memory.writeWords(slot.context + 4, [second >>> 0, third >>> 0])) return CODE.TRB_ERROR
    }
    if ((flags & CONTROL_FLAG) !== 0) {
      const at = slot.context + CONTROL_INDEX * CONTEXT_BYTES + 4
      const own = memory.view(at, 4)
      if (own === null) return CODE.TRB_ERROR
      const packet = view.getUint32(2 * CONTEXT_BYTES + 4, true) & 0xffff_0000
      if (!memory.writeWords(at, [((own.getUint32(0, true) & 0xffff) | packet) >>> 0])) return CODE.TRB_ERROR
    }
    return CODE.SUCCESS
  }

  /** Source: xHCI 1.2, §4.6.11, "Reset Device". */
  resetDevice(slot: Slot): number {
    if (slot.state < SLOT.ADDRESSED) return CODE.CONTEXT_STATE
    return this.#dropAll(slot, SLOT.DEFAULT)
  }

  /** Source: xHCI 1.2, §4.6.10, "Set TR Dequeue Pointer". */
  setDequeue(endpoint: Endpoint, lo: number, hi: number): number {
    if (endpoint.state !== ENDPOINT.STOPPED && endpoint.state !== ENDPOINT.ERROR) return CODE.CONTEXT_STATE
    endpoint.place = placeOf(lo, hi)
    endpoint.control = null
    this.setState(endpoint, ENDPOINT.STOPPED)
    return CODE.SUCCESS
  }

  /** Sets an endpoint's state, and writes it with the dequeue pointer to the endpoint's context. */
  setState(endpoint: Endpoint, state: number): void {
    endpoint.state = state
    const context = this.byId.get(endpoint.slot)?.context ?? 0
    const at = context + endpoint.index * CONTEXT_BYTES
    const view = this.#host.memory.view(at, 4)
    if (view === null) return
    const { address, cycle } = endpoint.place
    const words = [((address % 2 ** 32) | cycle) >>> 0, Math.floor(address / 2 ** 32)]
    this.#host.memory.writeWords(at, [((view.getUint32(0, true) & ~7) | state) >>> 0])
    this.#host.memory.writeWords(at + 8, words)
  }

  save(): SlotsState {
    return [...this.byId.values()].map((slot) => ({
      ...slot,
      endpoints: [...slot.endpoints.values()].map((one) => one.save()),
    }))
  }

  restore(state: SlotsState): void {
    this.byId.clear()
    for (const { endpoints, ...slot } of state) {
      const made = endpoints.map((one) => Endpoint.from(slot.id, one))
      this.byId.set(slot.id, { ...slot, endpoints: new Map(made.map((one) => [one.index, one])) })
    }
  }
}

function setState(view: DataView, at: number, state: number): void {
  view.setUint32(at, ((view.getUint32(at, true) & ~7) | state) >>> 0, true)
}
