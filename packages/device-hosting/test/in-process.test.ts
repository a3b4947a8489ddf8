/** Requests to the models of this process, which no page holds: whose an answer is, and whose handler is called. */
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { defineDevice, type DeviceModel, type Region } from '@retrap/device'
import { DeviceHost } from '../src/index.ts'
import * as index from '@retrap/ioreq'
import type { IoDispatch, IoDispatchOptions } from '@retrap/ioreq'
import { makeMachine } from './machine.ts'

async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve()
}

const first = { name: 'first', base: 0x100, mmio: 0x1000 }
const second = { name: 'second', base: 0x200, mmio: 0x2000 }

/** Answers that are still to come, in the order in which they were asked for. */
let open: { readonly name: string; resolve(value: number): void; reject(error: Error): void }[]
beforeEach(() => {
  open = []
})

/** A model over four ports and sixteen bytes that answers when it is told to. */
function slow({ name, base, mmio }: typeof first): DeviceModel & { regions: Region[] } {
  const later = (): Promise<number> =>
    new Promise((resolve, reject) => {
      open.push({ name, resolve, reject })
    })
  const handler = { read: later, write: async () => void (await later()) }
  const regions: Region[] = []
  return {
    name,
    regions,
    synchronous: false,
    attach: (context) => void regions.push(context.mapPorts(base, 4, handler), context.mapMmio(mmio, 16, handler)),
  }
}

/** A dispatcher with both models, and what `onComplete` has been told. */
function makeBoth(options: Partial<IoDispatchOptions> = {}) {
  const completions: [vcpu: number, mayRun: boolean][] = []
  const models = [slow(first), slow(second)] as const
  const onComplete = (vcpu: number, mayRun: boolean): void => void completions.push([vcpu, mayRun])
  return { ...makeMachine({ onComplete, ...options }, [...models]), completions, models }
}

/** A port read as a vCPU makes it: directly, and when that may take its time as a request. */
function ask(dispatch: IoDispatch, port: number): number {
  expect(dispatch.portRead(port, 4)).toBe(index.STATUS_RESTART)
  return dispatch.portReadOrSend(0, port, 4)
}

const taken = (dispatch: IoDispatch): [number, number] => [dispatch.requests.take(0), dispatch.lo]

test('a dispatcher that is closed leaves no timer for the deadline of a request', () => {
  vi.useFakeTimers()
  const { dispatch, failures } = makeBoth({ policy: 'detach', deadlineMs: 1000 })
  expect(ask(dispatch, first.base)).toBe(index.STATUS_RETRY)
  expect(vi.getTimerCount()).toBe(1)
  dispatch.requests.close()
  expect([vi.getTimerCount(), failures]).toEqual([0, []])
  vi.useRealTimers()
})

test.each(['reset', 'resume'] as const)(
  'a model whose %s throws or rejects has failed; the others hear of it',
  async (what) => {
    const told: string[] = []
    const models = [
      defineDevice({
        name: 'throws',
        stateless: true,
        [what]() {
          throw new Error('at once')
        },
      }),
      defineDevice({ name: 'rejects', stateless: true, [what]: () => Promise.reject(new Error('later')) as never }),
      defineDevice({ name: 'last', stateless: true, [what]: () => void told.push('last') }),
    ]
    const { host, failures } = makeMachine({ policy: 'detach' }, models)
    host[what]()
    expect(told).toEqual(['last'])
    await host.settle()
    expect(failures.map(({ device, request, cause }) => [device, request, String(cause)])).toEqual([
      ['throws', what, 'Error: at once'],
      ['rejects', what, 'Error: later'],
    ])
  },
)

test('there is something to settle while a promise of a model is open that no vCPU waits for', async () => {
  const settles: (() => void)[] = []
  const later = (): Promise<void> => new Promise((resolve) => settles.push(resolve))
  const waits = defineDevice({ name: 'waits', stateless: true, resume: later as () => void })
  const { host } = makeMachine({}, [waits])
  expect(host.settle()).toBe(null)
  host.resume()
  let settled = false
  const promise = host.settle()!.then(() => (settled = true))
  await new Promise(setImmediate)
  expect([settles.length, settled]).toEqual([1, false])
  settles[0]!()
  await promise
  expect(host.settle()).toBe(null)
})

test('a model is taken out once: its ports read as ones; others cannot be', () => {
  const now = defineDevice({ name: 'now', ports: { base: 0x300, size: 4 }, read: () => 3 })
  const { dispatch, host } = makeBoth()
  host.attach(now)
  expect(host.detach('never')).toBe(false)
  expect([ask(dispatch, 0x300), dispatch.lo]).toEqual([index.STATUS_DONE, 3])
  expect(host.detach('now')).toBe(true)
  expect([ask(dispatch, 0x300), dispatch.lo]).toEqual([index.STATUS_DONE, 0xffff_ffff])
})

describe('an answer', () => {
  test('says that the vCPU may run on where it comes by itself, and only then', async () => {
    const now = defineDevice({ name: 'now', ports: { base: 0x300, size: 4 }, read: () => 3 })
    const { dispatch, completions, host } = makeBoth({ policy: 'detach', deadlineMs: 1_000_000 })
    host.attach(now)
    ask(dispatch, first.base)
    open[0]!.resolve(1)
    await turns()
    expect(completions).toEqual([[0, true]])
    expect(taken(dispatch)).toEqual([index.STATUS_DONE, 1])
    // At once.
    expect([ask(dispatch, 0x300), dispatch.lo]).toEqual([index.STATUS_DONE, 3])
    expect(completions).toHaveLength(1)
    // At once, but in the course of what has become of the request before it.
    ask(dispatch, second.base)
    dispatch.requests.cancel(0)
    expect(ask(dispatch, 0x300)).toBe(index.STATUS_RETRY)
    dispatch.requests.expire(Infinity)
    expect(completions).toEqual([
      [0, true],
      [0, false],
    ])
    expect(taken(dispatch)).toEqual([index.STATUS_DONE, 3])
  })

  test('of a server that has been destroyed is not that of the next one', async () => {
    const { dispatch, host, platform, completions } = makeBoth()
    ask(dispatch, first.base)
    host.server.destroy()
    expect(taken(dispatch)).toEqual([index.STATUS_UNHANDLED, 0xffff_ffff])
    const next = new DeviceHost(dispatch, platform)
    next.attach(slow(second))
    expect(ask(dispatch, second.base)).toBe(index.STATUS_RETRY)
    open[0]!.resolve(1)
    await turns()
    expect([dispatch.requests.take(0), completions.length]).toEqual([index.STATUS_RETRY, 1])
    open[1]!.resolve(2)
    await turns()
    expect(taken(dispatch)).toEqual([index.STATUS_DONE, 2])
  })

  test('that nobody has taken when its server is destroyed counts', async () => {
    const { dispatch, host } = makeBoth()
    ask(dispatch, first.base)
    open[0]!.resolve(1)
    await turns()
    host.server.destroy()
    expect(taken(dispatch)).toEqual([index.STATUS_DONE, 1])
    expect(dispatch.requests.has(0)).toBe(false)
  })

  test.each([
    ['one call of a handler', (dispatch: IoDispatch) => ask(dispatch, first.base)],
    ['several', (dispatch: IoDispatch) => dispatch.mmioWriteOrSend(0, first.mmio, 8, 1, 2)],
  ])('comes by itself after a notice, which came through the page: %s', async (_, send) => {
    const { dispatch } = makeBoth()
    expect(dispatch.requests.invalidate(0)).toBe(index.STATUS_DONE)
    expect(send(dispatch)).toBe(index.STATUS_RETRY)
    for (let i = 0; i < 2; i++) {
      open[i]?.resolve(1)
      await turns()
    }
    expect(dispatch.requests.take(0)).toBe(index.STATUS_DONE)
  })

  test('is traced, and has a deadline, like any other', async () => {
    const events: string[] = []
    const { dispatch, failures } = makeBoth({
      trace: ({ event, lo }) => void events.push(`${event} ${lo}`),
      deadlineMs: 1_000_000,
    })
    ask(dispatch, first.base)
    open[0]!.resolve(1)
    await turns()
    expect(taken(dispatch)).toEqual([index.STATUS_DONE, 1])
    ask(dispatch, first.base)
    dispatch.requests.expire(Infinity)
    expect(failures.map(({ device }) => device)).toEqual(['first'])
    dispatch.requests.take(0)
    expect(events).toEqual(['sent 0', 'answered 1', 'sent 0', 'ended 4294967295'])
  })
})

describe('the handler that is called', () => {
  test('is not that of the request before', async () => {
    const { dispatch, request } = makeBoth()
    ask(dispatch, first.base)
    open[0]!.resolve(1)
    await turns()
    dispatch.requests.take(0)
    const fields = { type: index.IOREQ_TYPE_COPY, direction: index.IOREQ_READ, addressLo: second.mmio, size: 4 }
    expect(dispatch.submit(0, request(fields))).toBe(index.STATUS_RETRY)
    expect(open.map(({ name }) => name)).toEqual(['first', 'second'])
  })

  test('is not one that was found before its server was disabled', () => {
    const { dispatch, host } = makeBoth()
    expect(dispatch.portRead(first.base, 4)).toBe(index.STATUS_RESTART)
    host.server.setState(false)
    expect(dispatch.portReadOrSend(0, first.base, 4)).toBe(index.STATUS_UNHANDLED)
    expect(open).toEqual([])
  })

  test('is who has the range when a cancelled request has made way', async () => {
    const { dispatch, models } = makeBoth()
    ask(dispatch, first.base)
    dispatch.requests.cancel(0)
    expect(ask(dispatch, second.base)).toBe(index.STATUS_RETRY)
    models[1].regions[0]!.move(0x400)
    open[0]!.resolve(1)
    await turns()
    expect(open).toHaveLength(1)
    expect(taken(dispatch)).toEqual([index.STATUS_DONE, 0xffff_ffff])
  })
})

describe('mmioReadOrSend', () => {
  const quick = defineDevice({
    name: 'quick',
    synchronous: true,
    mmio: { base: 0x4000, size: 16 },
    read: (at) => at + 7,
  })

  test.each([false, true])('reads what answers at once, and asks the others (traced: %s)', async (traced) => {
    const sent: string[] = []
    const options = traced ? { trace: (record: { event: string }) => void sent.push(record.event) } : {}
    const { dispatch, host } = makeBoth(options)
    host.attach(quick)
    expect(dispatch.mmioReadOrSend(0, 0x4004, 4)).toBe(index.STATUS_DONE)
    expect(dispatch.lo).toBe(11)
    expect(dispatch.mmioReadOrSend(0, 0x9000, 4)).toBe(index.STATUS_UNHANDLED)
    expect(dispatch.lo).toBe(0xffff_ffff)
    // Not all of it is the model's.
    expect(dispatch.mmioReadOrSend(0, 0x100e, 4)).toBe(index.STATUS_UNHANDLED)
    for (const [gpa, size] of [
      [0x1004, 4],
      // Two calls of the handler.
      [0x1008, 8],
    ] as const) {
      expect(dispatch.mmioReadOrSend(1, gpa, size)).toBe(index.STATUS_RETRY)
      expect(() => dispatch.mmioReadOrSend(1, gpa, size)).toThrow(/already waits/)
      for (let calls = 0; dispatch.requests.take(1) === index.STATUS_RETRY; calls++) {
        expect(calls).toBeLessThan(4)
        open.shift()?.resolve(0x1234_5678)
        await turns()
      }
      expect(dispatch.requests.has(1)).toBe(false)
    }
    expect(sent.includes('sent')).toBe(traced)
  })
})
