import type { Endpoint } from './endpoint.ts'
import { CODE, type EventWords, FLAG, highOf, lengthOf, lowOf, type Trb, TRB, typeOf } from './trb.ts'

/** An event, and the TRB that asks for it. */
export interface TransferEvent {
  readonly words: EventWords
  readonly trb: Trb
}

/** Makes the event of one TRB. @param left - bytes of it that were not moved */
export function transferEvent({ slot, index }: Endpoint, trb: Trb, code: number, left: number): TransferEvent {
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
export function eventsOf(endpoint: Endpoint, trbs: readonly Trb[], moved: number): TransferEvent[] {
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
