/** Who is to blame, and who is not, where something takes longer than the deadline. Policy `detach`. */
import { expect, test, vi } from 'vitest'
import { defineDevice, type DeviceModel } from '@retrap/device'
import { createIoRequest, IOREQ_TYPE_COPY, type IoRequest, STATUS_DONE, STATUS_RETRY } from '@retrap/ioreq'
import { makeMachine } from './machine.ts'

const never = (): Promise<never> => new Promise(() => undefined)
const LATER = Infinity

async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve()
}

function machineOf(...models: DeviceModel[]) {
  return makeMachine({ policy: 'detach', deadlineMs: 1_000_000 }, models)
}

function read(address: number): IoRequest {
  return { ...createIoRequest(), type: IOREQ_TYPE_COPY, direction: 1, addressLo: address, size: 4 }
}

const sound = defineDevice({ name: 'sound', mmio: { base: 0x2000, size: 4 }, read: async () => 7 })

/** Whether the other models of the process are still there. */
async function soundAnswers({ dispatch }: ReturnType<typeof machineOf>): Promise<void> {
  expect(dispatch.submit(0, read(0x2000))).toBe(STATUS_RETRY)
  await turns()
  expect([dispatch.requests.take(0), dispatch.lo]).toEqual([STATUS_DONE, 7])
}

test('a model that never forgets what it was told to is taken out, and no other', async () => {
  const stubborn = defineDevice({ name: 'stubborn', synchronous: true, invalidate: never })
  const machine = machineOf(stubborn, sound)
  const { dispatch, failures } = machine
  expect(dispatch.requests.invalidate(1)).toBe(STATUS_RETRY)
  await turns()
  dispatch.requests.expire(LATER)
  await turns()
  expect(failures.map(({ device, request }) => [device, request])).toEqual([['stubborn', 'invalidate']])
  expect(dispatch.requests.has(1)).toBe(false)
  // It is not told again.
  expect(dispatch.requests.invalidate(1)).toBe(STATUS_DONE)
  await soundAnswers(machine)
})

test("a cancelled request that is never answered is its model's fault, also where a notice waits behind it", async () => {
  const silent = defineDevice({ name: 'silent', mmio: { base: 0x1000, size: 4 }, read: never })
  const machine = machineOf(silent, sound)
  const { dispatch, failures } = machine
  expect(dispatch.submit(1, read(0x1000))).toBe(STATUS_RETRY)
  dispatch.requests.cancel(1)
  expect(dispatch.requests.invalidate(1)).toBe(STATUS_RETRY)
  await turns()
  dispatch.requests.expire(LATER)
  await turns()
  expect(failures.map(({ device }) => device)).toEqual(['silent'])
  expect(dispatch.requests.has(1)).toBe(false)
  await soundAnswers(machine)
})

test('a server that is gone has nothing to answer for, whatever is cancelled afterwards', async () => {
  const machine = machineOf(sound)
  const { dispatch, failures } = machine
  const server = dispatch.createServer({ name: 'gone', transport: { notify: () => undefined } })
  server.mapRange(1, 0x3000, 0x3fff)
  server.setState(true)
  expect(dispatch.submit(1, read(0x3000))).toBe(STATUS_RETRY)
  server.destroy()
  // A reset comes before the vCPU has seen that nobody answers.
  dispatch.requests.cancel(1)
  dispatch.requests.expire(LATER)
  expect([failures, dispatch.requests.has(1)]).toEqual([[], false])
  await soundAnswers(machine)
})

/** A model that answers when it is told to: long after it has been taken out. */
function tardy(): { readonly model: DeviceModel; readonly answer: (value: number) => void } {
  let answer: (value: number) => void = () => undefined
  const model = defineDevice({
    name: 'tardy',
    mmio: { base: 0x1000, size: 4 },
    read: () => new Promise<number>((resolve) => (answer = resolve)),
  })
  return { model, answer: (value) => answer(value) }
}

test('the answer of a model that has been taken out for being late is not that to the next request', async () => {
  const { model, answer } = tardy()
  let answerNext: (value: number) => void = () => undefined
  const next = defineDevice({
    name: 'next',
    mmio: { base: 0x3000, size: 4 },
    read: () => new Promise<number>((resolve) => (answerNext = resolve)),
  })
  const { dispatch } = machineOf(model, next)
  expect(dispatch.submit(0, read(0x1000))).toBe(STATUS_RETRY)
  dispatch.requests.expire(LATER)
  expect(dispatch.requests.take(0)).not.toBe(STATUS_RETRY)
  expect(dispatch.submit(0, read(0x3000))).toBe(STATUS_RETRY)
  answer(13)
  await turns()
  expect(dispatch.requests.take(0)).toBe(STATUS_RETRY)
  answerNext(7)
  await turns()
  expect([dispatch.requests.take(0), dispatch.lo]).toEqual([STATUS_DONE, 7])
})

test('nor is it the acknowledgement of a notice that has waited behind its request', async () => {
  const { model, answer } = tardy()
  let forget: () => void = () => undefined
  const slow = defineDevice({
    name: 'slow',
    synchronous: true,
    invalidate: () => new Promise<void>((r) => (forget = r)),
  })
  const { dispatch } = machineOf(model, slow)
  expect(dispatch.submit(1, read(0x1000))).toBe(STATUS_RETRY)
  dispatch.requests.cancel(1)
  expect(dispatch.requests.invalidate(1)).toBe(STATUS_RETRY)
  // The cancelled request has been there for too long; the notice follows it.
  dispatch.requests.expire(performance.now() + 999_000)
  dispatch.requests.expire(performance.now() + 1_000_001)
  answer(13)
  await turns()
  expect(dispatch.requests.has(1)).toBe(true)
  forget()
  await turns()
  expect(dispatch.requests.has(1)).toBe(false)
})

test('a cancelled request whose answer has come does not shorten the time of the next one', async () => {
  const { model, answer } = tardy()
  const { dispatch, failures } = machineOf(model, sound)
  const began = performance.now()
  expect(dispatch.submit(1, read(0x1000))).toBe(STATUS_RETRY)
  dispatch.requests.cancel(1)
  answer(13)
  await turns()
  expect(dispatch.requests.expire(began)).toBe(Infinity)
  // Half of the first one's time later.
  const later = vi.spyOn(performance, 'now').mockReturnValue(began + 500_000)
  expect(dispatch.submit(1, read(0x1000))).toBe(STATUS_RETRY)
  dispatch.requests.cancel(1)
  later.mockRestore()
  expect(dispatch.requests.expire(began + 1_000_500)).toBeGreaterThan(499_000)
  expect(failures).toEqual([])
  answer(7)
  await turns()
  expect(dispatch.requests.expire(began + 1_000_500)).toBe(Infinity)
})
