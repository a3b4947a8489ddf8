import { type Clock, Instant } from '@retrap/device'
import type { AttachedDevice } from '../attached-device.ts'
import { CONTROL_INDEX, ENDPOINT, isIn, isInterrupt, KIND } from './contexts.ts'
import type { Endpoint } from './endpoint.ts'
import type { GuestAccess } from './guest-access.ts'
import { fetchTrbs } from './ring.ts'
import type { RootPort } from './root-port.ts'
import type { Slots } from './slots.ts'
import { CODE, type EventWords, FLAG, highOf, lengthOf, lowOf, pointerOf, type Trb, TRB, typeOf } from './trb.ts'
import type { UsbRefusal, UsbSetup } from '../usb-device.ts'

/** Bytes of one transfer. Drivers ask for at most 1 MiB at a time. */
const MOST_BYTES = 4 << 20
const IMMEDIATE_BYTES = 8
const SETUP_BYTES = 8
const TO_HOST = 0x80
const NOTHING = new Uint8Array(0)

/** The outcome of a transfer: bytes that were moved, or why none were. `nak`: the device has nothing yet. */
type Outcome = { readonly moved: number } | { readonly code: number } | 'nak' | 'unreachable'

const REFUSED: Readonly<Record<UsbRefusal, Outcome>> = { nak: 'nak', stall: { code: CODE.STALL } }

const isData = (trb: Trb): boolean => typeOf(trb) === TRB.NORMAL || typeOf(trb) === TRB.DATA_STAGE

/** Carries one transfer out. Source: xHCI 1.2, §4.11, "TRBs", and §3.2.9, "Control Transfers". */
function transfer(memory: GuestAccess, endpoint: Endpoint, trbs: readonly Trb[], device: AttachedDevice): Outcome {
  const parts = trbs.filter((trb) => typeOf(trb) !== TRB.LINK)
  const first = parts[0]!
  const type = typeOf(first)
  if (type === TRB.NO_OP || type === TRB.EVENT_DATA) return { moved: 0 }
  const data = parts.filter(isData)
  const known = parts.every((trb) => isData(trb) || typeOf(trb) === TRB.EVENT_DATA || trb === first)
  const bytes = data.reduce((sum, trb) => sum + lengthOf(trb), 0)
  const tooLarge = data.some((trb) => (trb.control & FLAG.IMMEDIATE) !== 0 && lengthOf(trb) > IMMEDIATE_BYTES)
  if (!known || bytes > MOST_BYTES || tooLarge) return { code: CODE.TRB_ERROR }
  if (endpoint.kind === KIND.CONTROL) return control(memory, endpoint, { first, data, bytes }, device)
  if (type !== TRB.NORMAL) return { code: CODE.TRB_ERROR }
  if (isIn(endpoint.kind)) return scatter(memory, data, bytes, device.in(endpoint.address, bytes))
  const from = gather(memory, data, bytes)
  if (from === null) return 'unreachable'
  const answer = device.out(endpoint.address, from)
  return answer === 'ack' ? { moved: bytes } : REFUSED[answer]
}

interface Stage {
  readonly first: Trb
  readonly data: readonly Trb[]
  readonly bytes: number
}

function control(
  memory: GuestAccess,
  endpoint: Endpoint,
  { first, data, bytes }: Stage,
  device: AttachedDevice,
): Outcome {
  const type = typeOf(first)
  if (type === TRB.SETUP_STAGE) {
    const isWhole = (first.control & FLAG.IMMEDIATE) !== 0 && lengthOf(first) === SETUP_BYTES
    if (!isWhole) return { code: CODE.TRB_ERROR }
    endpoint.control = { setup: readSetup(first), data: [], answered: false }
    return { moved: 0 }
  }
  const { control: open } = endpoint
  if (open === null || (type !== TRB.DATA_STAGE && type !== TRB.STATUS_STAGE)) return { code: CODE.TRB_ERROR }
  const { setup } = open
  if (type === TRB.STATUS_STAGE) {
    endpoint.control = null
    if (open.answered) return { moved: 0 }
    const answer = device.control(setup, Uint8Array.from(open.data))
    if (answer === 'nak') endpoint.control = open
    return typeof answer === 'string' ? REFUSED[answer] : { moved: 0 }
  }
  const isToHost = (first.control & FLAG.IN) !== 0
  // The device takes a data stage the other way round for a mistake.
  if (isToHost !== ((setup.type & TO_HOST) !== 0)) return { code: CODE.STALL }
  if (!isToHost) {
    const from = gather(memory, data, bytes)
    if (from === null) return 'unreachable'
    endpoint.control = { ...open, data: [...from.subarray(0, setup.length)] }
    return { moved: bytes }
  }
  const answer = device.control(setup, NOTHING)
  if (typeof answer !== 'string') endpoint.control = { ...open, answered: true }
  const cut = typeof answer === 'string' ? answer : answer.subarray(0, Math.min(setup.length, bytes))
  return scatter(memory, data, bytes, cut)
}

function readSetup({ lo, hi }: Trb): UsbSetup {
  return {
    type: lo & 0xff,
    request: (lo >>> 8) & 0xff,
    value: lo >>> 16,
    index: hi & 0xffff,
    length: hi >>> 16,
  }
}

function gather(memory: GuestAccess, data: readonly Trb[], bytes: number): Uint8Array | null {
  const into = new Uint8Array(bytes)
  let at = 0
  for (const trb of data) {
    const length = lengthOf(trb)
    const part = into.subarray(at, at + length)
    if ((trb.control & FLAG.IMMEDIATE) !== 0) part.set(immediate(trb).subarray(0, length))
    else if (!memory.read(pointerOf(trb), part)) return null
    at += length
  }
  return into
}

function immediate({ lo, hi }: Trb): Uint8Array {
  const view = new DataView(new ArrayBuffer(IMMEDIATE_BYTES))
  view.setUint32(0, lo, true)
  view.setUint32(4, hi, true)
  return new Uint8Array(view.buffer)
}

function scatter(memory: GuestAccess, data: readonly Trb[], bytes: number, answer: Uint8Array | UsbRefusal): Outcome {
  if (typeof answer === 'string') return REFUSED[answer]
  if (answer.length > bytes) return { code: CODE.BABBLE }
  let at = 0
  for (const trb of data) {
    const length = Math.min(lengthOf(trb), answer.length - at)
    if (length === 0) continue
    if ((trb.control & FLAG.IMMEDIATE) !== 0) return { code: CODE.TRB_ERROR }
    if (!memory.write(pointerOf(trb), answer.subarray(at, at + length))) return 'unreachable'
    at += length
  }
  return { moved: answer.length }
}

/** An event, with the TRB that requested it. */
interface TransferEvent {
  readonly words: EventWords
  readonly trb: Trb
}

/** Makes the event of one TRB. @param left - bytes not transferred */
function transferEvent({ slot, index }: Endpoint, trb: Trb, code: number, left: number): TransferEvent {
  const words: EventWords = [
    lowOf(trb.address),
    highOf(trb.address),
    ((code << 24) | left) >>> 0,
    eventControl(slot, index, 0),
  ]
  return { trb, words }
}

const eventControl = (slot: number, index: number, flags: number): number =>
  ((slot << 24) | (index << 16) | (TRB.TRANSFER_EVENT << 10) | flags) >>> 0

/**
 * Makes the events of a transfer that has ended well, perhaps short: the short piece has one where it asks for it, otherwise a
 * later piece of the same transfer that asks for an event at its end.
 *
 * Source: xHCI 1.2, §4.10.1.1, "Short Transfers", and §4.11.5.2, "Event Data TRB".
 */
function eventsOf(endpoint: Endpoint, trbs: readonly Trb[], moved: number): TransferEvent[] {
  const events: TransferEvent[] = []
  let left = moved
  let moreThanLast = 0
  let isShort = false
  let told = false
  for (const trb of trbs) {
    const type = typeOf(trb)
    const wants = (trb.control & FLAG.ON_COMPLETION) !== 0
    if (type === TRB.EVENT_DATA) {
      const code = isShort ? CODE.SHORT_PACKET : CODE.SUCCESS
      const status = ((code << 24) | (moreThanLast & 0xff_ffff)) >>> 0
      const control = eventControl(endpoint.slot, endpoint.index, FLAG.EVENT_DATA)
      if (wants) events.push({ trb, words: [trb.lo, trb.hi, status, control] })
      moreThanLast = 0
      continue
    }
    const length = type === TRB.NORMAL || type === TRB.DATA_STAGE ? lengthOf(trb) : 0
    const part = Math.min(left, length)
    left -= part
    moreThanLast += part
    const becomesShort: boolean = !isShort && part < length
    isShort ||= becomesShort
    const tells = wants || (becomesShort && (trb.control & FLAG.SHORT_PACKET) !== 0)
    if (!tells || told) continue
    told = isShort
    events.push(transferEvent(endpoint, trb, isShort ? CODE.SHORT_PACKET : CODE.SUCCESS, length - part))
  }
  return events
}

const MICROFRAME_NS = 125_000

/** Endpoints by slot and index. */
export type ReadyEndpoints = readonly (readonly [slot: number, index: number])[]

/** The part of the controller that transfers need. */
export interface TransferHost {
  readonly memory: GuestAccess
  readonly clock: Clock
  readonly slots: Slots
  port(number: number): RootPort | undefined
  /** Tells the guest by an interrupter. @param interrupts - false: without an interrupt */
  post(interrupter: number, event: EventWords, interrupts: boolean): void
}

/** Works off transfer rings. Source: xHCI 1.2, §4.9, "TRB Ring Data Structure", and §4.10, "Transfer Ring Events". */
export class Transfers {
  readonly #host: TransferHost
  /** Endpoints that may have work. */
  readonly ready: Set<Endpoint> = new Set()
  /** Instant at which the next interrupt endpoint may be asked. */
  readonly #next = new Instant()
  readonly #now = new Instant()
  /** TRBs that the last step has looked at. */
  #looked = 1

  constructor(host: TransferHost) {
    this.#host = host
  }

  /** A doorbell was rung. */
  ring(slot: number, index: number): void {
    const endpoint = this.#host.slots.byId.get(slot)?.endpoints.get(index)
    if (endpoint === undefined) return
    if (endpoint.state === ENDPOINT.STOPPED) this.#host.slots.setState(endpoint, ENDPOINT.RUNNING)
    if (endpoint.state === ENDPOINT.RUNNING) this.ready.add(endpoint)
  }

  /** An endpoint that said "not now" may go on. */
  wake(port: RootPort, index: number): void {
    for (const slot of this.#host.slots.byId.values()) {
      if (slot.port !== port.number) continue
      const endpoint = slot.endpoints.get(index)
      if (endpoint?.state === ENDPOINT.RUNNING) this.ready.add(endpoint)
    }
  }

  /** A device has gone, or a state of old was restored: all rings of a port, or of all, are looked at again. */
  wakeAll(port?: RootPort): void {
    for (const slot of this.#host.slots.byId.values())
      if (port === undefined || slot.port === port.number)
        for (const endpoint of slot.endpoints.values())
          if (endpoint.state === ENDPOINT.RUNNING) this.ready.add(endpoint)
  }

  /** Leaves an endpoint alone. @param tell - the guest is notified of a transfer that was under way */
  stop(endpoint: Endpoint, tell: boolean): void {
    this.ready.delete(endpoint)
    if (!tell) return
    const fetched = fetchTrbs(this.#host.memory, endpoint.place)
    if (fetched.kind !== 'trbs') return
    const trb = fetched.trbs.find((one) => typeOf(one) !== TRB.LINK)!
    const isData = typeOf(trb) === TRB.NORMAL || typeOf(trb) === TRB.DATA_STAGE
    this.#post(endpoint, transferEvent(endpoint, trb, CODE.STOPPED, isData ? trb.status & 0x1_ffff : 0))
  }

  /** Returns the endpoints that may have work, in the order of their turns. */
  save(): ReadyEndpoints {
    // Whether an endpoint is still current: the guest may have replaced it.
    const isThere = (one: Endpoint): boolean => this.#host.slots.byId.get(one.slot)?.endpoints.get(one.index) === one
    return [...this.ready].filter(isThere).map(({ slot, index }) => [slot, index])
  }

  /** Takes over saved endpoints. The caller has restored the slots. @param ready - absent from old states: all rings are looked at again */
  restore(ready: ReadyEndpoints | undefined): void {
    this.ready.clear()
    if (ready === undefined) return this.wakeAll()
    for (const [slot, index] of ready) {
      const endpoint = this.#host.slots.byId.get(slot)?.endpoints.get(index)
      if (endpoint !== undefined) this.ready.add(endpoint)
    }
  }

  /** The time at which to continue. @returns null if nothing waits */
  get next(): Instant | null {
    return this.#next.isNever ? null : this.#next
  }

  /**
   * Processes the rings of ready endpoints in turn.
   *
   * @param budget - TRBs to look at
   * @returns number of TRBs read
   */
  run(budget: number): number {
    let used = 0
    this.#next.clear()
    this.#host.clock.read(this.#now)
    for (let goesOn = true; goesOn && used < budget;) {
      goesOn = false
      for (const endpoint of this.ready) {
        if (used >= budget) break
        if (isInterrupt(endpoint.kind) && this.#now.isBefore(endpoint.notBefore)) {
          if (endpoint.notBefore.isBefore(this.#next)) this.#next.set(endpoint.notBefore)
          continue
        }
        const goes = this.#step(endpoint)
        this.ready.delete(endpoint)
        if (goes) {
          // Append the endpoint, so that all endpoints take turns.
          this.ready.add(endpoint)
          goesOn = true
        }
        used += this.#looked
      }
    }
    return used
  }

  /** Executes one transfer. @returns false if there is currently no work */
  #step(endpoint: Endpoint): boolean {
    const { memory, slots } = this.#host
    const slot = slots.byId.get(endpoint.slot)
    const port = this.#host.port(slot?.port ?? 0)
    this.#looked = 1
    // The guest may have removed or replaced the endpoint without stopping it.
    if (slot?.endpoints.get(endpoint.index) !== endpoint) return false
    if (endpoint.state !== ENDPOINT.RUNNING || port === undefined || port.isSuspended) return false
    const fetched = fetchTrbs(memory, endpoint.place)
    this.#looked = fetched.looked
    if (fetched.kind === 'empty' || fetched.kind === 'unreachable') return false
    const { trbs } = fetched
    if (fetched.kind === 'endless') {
      this.#fail(endpoint, trbs, CODE.TRB_ERROR)
      return false
    }
    const outcome = this.#transfer(port, endpoint, trbs)
    if (outcome === 'nak' || outcome === 'unreachable') return false
    if ('code' in outcome) {
      this.#fail(endpoint, trbs, outcome.code)
      return false
    }
    endpoint.place = fetched.next
    if (isInterrupt(endpoint.kind)) endpoint.notBefore.set(this.#now).add(endpoint.interval * MICROFRAME_NS)
    for (const event of eventsOf(endpoint, trbs, outcome.moved)) this.#post(endpoint, event)
    return true
  }

  #transfer(port: RootPort, endpoint: Endpoint, trbs: readonly Trb[]): ReturnType<typeof transfer> {
    const device: AttachedDevice | null = port.isEnabled ? port.device : null
    if (device === null) return { code: CODE.TRANSACTION_ERROR }
    return transfer(this.#host.memory, endpoint, trbs, device)
  }

  /** Halts an endpoint, and notifies the driver regardless of the TRB's flags. */
  #fail(endpoint: Endpoint, trbs: readonly Trb[], code: number): void {
    const isRing = code === CODE.TRB_ERROR
    const trb = trbs.find((one) => typeOf(one) !== TRB.LINK) ?? trbs[0]!
    if (endpoint.index === CONTROL_INDEX) endpoint.control = null
    this.#host.slots.setState(endpoint, isRing ? ENDPOINT.ERROR : ENDPOINT.HALTED)
    this.#post(endpoint, transferEvent(endpoint, trb, code, trb.status & 0x1_ffff))
  }

  #post(endpoint: Endpoint, { trb, words }: TransferEvent): void {
    this.#host.post(trb.status >>> 22, words, (trb.control & FLAG.BLOCK_INTERRUPT) === 0)
  }
}
