/** Requests to a server behind its page: what the slot says is what the vCPU gets. */
import { expect, test } from 'vitest'
import * as index from '../src/index.ts'
import { createIoRequest, IoDispatch } from '../src/index.ts'

const BASE = 0xfed9_0000

/** A domain with one server, which takes a request and does nothing more. */
function domain() {
  const completed: number[] = []
  const failures: unknown[] = []
  const dispatch = new IoDispatch({
    vcpus: 1,
    onComplete: (vcpu) => completed.push(vcpu),
    onFailure: ({ cause }) => failures.push(cause),
  })
  const taken = createIoRequest()
  const server = dispatch.createServer({
    name: 'emulator',
    transport: { notify: (vcpu) => void server.slot(vcpu).accept(taken) },
  })
  server.mapRange(index.XEN_DMOP_IO_RANGE_MEMORY, BASE, BASE + 0xfff)
  server.setState(true)
  const ask = (fields: object) =>
    dispatch.submit(0, { ...createIoRequest(), direction: index.IOREQ_READ, addressLo: BASE, size: 4, ...fields })
  return { dispatch, server, slot: server.slot(0), ask, completed, failures, taken }
}

test('an answer is taken from the slot, once it is there, and the slot is free again', () => {
  const { dispatch, server, slot, ask, completed, taken } = domain()
  expect([ask({}), taken.addressLo, dispatch.requests.take(0), completed]).toEqual([
    index.STATUS_RETRY,
    BASE,
    index.STATUS_RETRY,
    [],
  ])
  slot.answer(0x1234_5678, 0x9abc_def0)
  server.answered(0)
  expect([completed, dispatch.requests.take(0), dispatch.lo, dispatch.hi]).toEqual([
    [0],
    index.STATUS_DONE,
    0x1234_5678,
    0,
  ])
  expect(slot.state).toBe(index.STATE_IOREQ_NONE)
})

test.each([
  { made: 3, count: 3 },
  { made: 1, count: 1 },
  { made: 0, count: 8 },
  { made: 9, count: 8 },
])('of a string of 8 elements a slot says $made: $count are covered', ({ made, count }) => {
  const { dispatch, server, slot, ask } = domain()
  expect(ask({ count: 8, dataIsPointer: true, dataLo: 0x1000 })).toBe(index.STATUS_RETRY)
  slot.count = made
  slot.answer(0, 0)
  server.answered(0)
  expect([dispatch.requests.take(0), dispatch.count]).toEqual([index.STATUS_DONE, count])
})

test('a slot that was zeroed ends the access quietly; one whose state goes back fails the server', () => {
  const quiet = domain()
  quiet.ask({})
  quiet.slot.state = index.STATE_IOREQ_NONE
  quiet.server.answered(0)
  expect([quiet.dispatch.requests.take(0), quiet.dispatch.lo, quiet.failures]).toEqual([
    index.STATUS_UNHANDLED,
    0xffff_ffff,
    [],
  ])

  const back = domain()
  back.ask({})
  expect(back.dispatch.requests.take(0)).toBe(index.STATUS_RETRY)
  back.slot.state = index.STATE_IOREQ_READY
  back.server.answered(0)
  expect([back.dispatch.requests.take(0), back.failures.length]).toEqual([index.STATUS_ERROR, 1])
})

test('a request behind a cancelled one completes, also where the transport waits for its answer and tells nobody', () => {
  const { dispatch, server, slot, ask, completed, taken } = domain()
  ask({})
  dispatch.requests.cancel(0)
  expect(ask({ addressLo: BASE + 4 })).toBe(index.STATUS_RETRY)
  server.transport.notify = () => {
    slot.accept(taken)
    slot.answer(taken.addressLo, 0)
  }
  slot.answer(1, 0)
  server.answered(0)
  expect([completed, dispatch.requests.take(0), dispatch.lo]).toEqual([[0], index.STATUS_DONE, BASE + 4])
})
