/** What the states of a slot mean for the side that sends requests. */
import { STATE_IOREQ_INPROCESS, STATE_IOREQ_NONE, STATE_IOREQ_READY } from './layout.ts'
import type { IoreqServer } from './server.ts'

/** Whether the server has yet to answer what is in a slot. */
export function isWithServer(state: number): boolean {
  return state === STATE_IOREQ_READY || state === STATE_IOREQ_INPROCESS
}

/** Says what is wrong with a slot that is about to take a request; null, with a right slot, if nothing is. */
export function wrongFreeSlot(server: IoreqServer, vcpu: number): string | null {
  const slot = server.slot(vcpu)
  const { state, eventPort } = slot
  if (state === STATE_IOREQ_NONE && eventPort === vcpu + 1) return null
  slot.state = STATE_IOREQ_NONE
  slot.eventPort = vcpu + 1
  return `the free slot was in state ${state} with event port ${eventPort}`
}
