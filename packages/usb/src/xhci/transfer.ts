import type { AttachedDevice } from '../attached-device.ts'
import type { UsbRefusal, UsbSetup } from '../usb-device.ts'
import { isIn, KIND } from './contexts.ts'
import type { Endpoint } from './endpoint.ts'
import type { GuestAccess } from './guest-access.ts'
import { CODE, FLAG, lengthOf, pointerOf, type Trb, TRB, typeOf } from './trb.ts'

/** Bytes of one transfer. Drivers ask for at most 1 MiB at a time. */
const MOST_BYTES = 4 << 20
const IMMEDIATE_BYTES = 8
const SETUP_BYTES = 8
const TO_HOST = 0x80
const NOTHING = new Uint8Array(0)

/** The outcome of a transfer: bytes that were moved, or why none were. `nak`: the device has nothing yet. */
export type Outcome = { readonly moved: number } | { readonly code: number } | 'nak' | 'unreachable'

const REFUSED: Readonly<Record<UsbRefusal, Outcome>> = { nak: 'nak', stall: { code: CODE.STALL } }

const isData = (trb: Trb): boolean => typeOf(trb) === TRB.NORMAL || typeOf(trb) === TRB.DATA_STAGE

/** Carries one transfer out. Source: xHCI 1.2, §4.11, "TRBs", and §3.2.9, "Control Transfers". */
export function transfer(
  memory: GuestAccess,
  endpoint: Endpoint,
  trbs: readonly Trb[],
  device: AttachedDevice,
): Outcome {
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
