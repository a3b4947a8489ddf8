import { describe, expect, test } from 'vitest'
import { defineDevice, type AccessRequest, type DeviceModel } from '@retrap/device'
import {
  IOREQ_READ,
  IOREQ_TYPE_PIO,
  IOREQ_WRITE,
  IoreqError,
  STATE_IOREQ_INPROCESS,
  STATE_IOREQ_NONE,
  STATE_IOREQ_READY,
  STATE_IORESP_READY,
  STATUS_DONE,
  STATUS_ERROR,
  STATUS_RESTART,
  STATUS_RETRY,
  STATUS_UNHANDLED,
  XEN_DMOP_IO_RANGE_PORT,
} from '@retrap/ioreq'
import { makeMachine, STATUS } from './machine.ts'

const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve()
}
const port = { type: IOREQ_TYPE_PIO, direction: IOREQ_READ, addressLo: 0x100, size: 4 }

/** A model over ports 0x100–0x107 whose reads are answered by the test. */
function slow() {
  const open: { resolve(value: unknown): void; reject(error: unknown): void; access: AccessRequest; offset: number }[] =
    []
  const writes: string[] = []
  const model = defineDevice({
    name: 'slow',
    ports: { base: 0x100, size: 8 },
    read: (offset, _size, access) =>
      new Promise<number>((resolve, reject) => {
        open.push({ resolve: resolve as (value: unknown) => void, reject, access: access!, offset })
      }),
    async write(offset, size, value) {
      await Promise.resolve()
      writes.push(`w${size}@${offset}=${value.toString(16)}`)
    },
  })
  return { model, open, writes }
}

describe('a model that may take its time', () => {
  test('is not reached by a direct access', () => {
    const { model, open } = slow()
    const { dispatch } = makeMachine({}, [model])
    expect(dispatch.portRead(0x100, 4)).toBe(STATUS_RESTART)
    expect(dispatch.portWrite(0x100, 4, 1)).toBe(STATUS_RESTART)
    expect(open).toHaveLength(0)
  })

  test('its request goes READY → INPROCESS → NONE where models are deferred, and wakes the vCPU once, with the answer in its record', async () => {
    const { model, open } = slow()
    const { dispatch, host, completed, request } = makeMachine({}, [model], { defer: queueMicrotask })
    expect(dispatch.submit(1, request(port))).toBe(STATUS_RETRY)
    const slot = host.server.slot(1)
    expect([slot.state, slot.addressLo, slot.size, slot.direction]).toEqual([STATE_IOREQ_READY, 0x100, 4, 1])
    expect(dispatch.requests.take(1)).toBe(STATUS_RETRY)
    await settle()
    expect([slot.state, slot.addressLo, slot.size, slot.direction]).toEqual([STATE_IOREQ_INPROCESS, 0x100, 4, 1])
    open[0]!.resolve(-0x2345_6789)
    await settle()
    expect(completed).toEqual([1])
    expect(slot.state).toBe(STATE_IOREQ_NONE)
    expect(dispatch.requests.record(1)).toMatchObject({ lo: -0x2345_6789 >>> 0, hi: 0, progress: STATE_IORESP_READY })
    expect(dispatch.requests.take(1)).toBe(STATUS_DONE)
    expect([dispatch.lo, dispatch.hi]).toEqual([0x1_0000_0000 - 0x2345_6789, 0])
  })

  test('its request is in no page where it is of this process, and wakes the vCPU once', async () => {
    const { model, open } = slow()
    const { dispatch, host, completed, request } = makeMachine({}, [model])
    const { words } = host.server.page
    const before = words.slice()
    expect(dispatch.submit(1, request(port))).toBe(STATUS_RETRY)
    expect(dispatch.requests.take(1)).toBe(STATUS_RETRY)
    expect(() => dispatch.submit(1, request(port))).toThrow(IoreqError)
    await settle()
    expect(completed).toEqual([])
    open[0]!.resolve(-0x2345_6789)
    await settle()
    expect(completed).toEqual([1])
    expect(dispatch.requests.has(1)).toBe(true)
    expect(words).toEqual(before)
    expect(dispatch.requests.take(1)).toBe(STATUS_DONE)
    expect([dispatch.lo, dispatch.hi]).toEqual([0x1_0000_0000 - 0x2345_6789, 0])
    expect(dispatch.requests.has(1)).toBe(false)
    expect(() => dispatch.requests.take(1)).toThrow(IoreqError)
  })

  test('that answers at once ends the request at once', () => {
    const model = defineDevice({ name: 'quick', ports: { base: 0x100, size: 8 }, read: (offset) => offset + 7 })
    const { dispatch, completed, request } = makeMachine({}, [model])
    expect(dispatch.submit(0, request({ ...port, addressLo: 0x104, size: 1 }))).toBe(STATUS_DONE)
    expect(dispatch.lo).toBe(11)
    expect(completed).toEqual([])
  })

  test('two vCPUs wait at the same time and get their own answers', async () => {
    const { model, open } = slow()
    const { dispatch, completed, request } = makeMachine({}, [model])
    dispatch.submit(0, request(port))
    dispatch.submit(1, request({ ...port, addressLo: 0x104, size: 1 }))
    open[1]!.resolve(0x1ff)
    await settle()
    open[0]!.resolve(7)
    await settle()
    expect(completed).toEqual([1, 0])
    dispatch.requests.take(0)
    expect(dispatch.lo).toBe(7)
    dispatch.requests.take(1)
    expect(dispatch.lo).toBe(0xff)
  })

  test('a write is retried until its promise has settled', async () => {
    const { model, writes } = slow()
    const { dispatch, completed, request } = makeMachine({}, [model])
    const fields = { ...port, direction: IOREQ_WRITE, dataLo: 0xabcd_ef01, size: 2 }
    expect(dispatch.submit(0, request(fields))).toBe(STATUS_RETRY)
    await settle()
    expect([writes, completed]).toEqual([['w2@0=ef01'], [0]])
    expect(dispatch.requests.take(0)).toBe(STATUS_DONE)
  })

  test('an access that must be split is made piece by piece, in order', async () => {
    const calls: string[] = []
    const model = defineDevice({
      name: 'wide',
      mmio: { base: 0x8000, size: 16, maximumAccess: 2 },
      async read(offset, size) {
        await Promise.resolve()
        calls.push(`r${size}@${offset}`)
        return offset * 0x101
      },
      async write(offset, size, value) {
        await Promise.resolve()
        calls.push(`w${size}@${offset}=${value.toString(16)}`)
      },
    })
    const { dispatch, request } = makeMachine({}, [model])
    dispatch.submit(0, request({ direction: IOREQ_READ, addressLo: 0x8002, size: 8 }))
    for (let i = 0; i < 5; i++) await settle()
    expect(dispatch.requests.take(0)).toBe(STATUS_DONE)
    expect([dispatch.lo, dispatch.hi]).toEqual([0x0404_0202, 0x0808_0606])
    dispatch.submit(0, request({ addressLo: 0x8000, size: 4, dataLo: 0x1122_3344 }))
    for (let i = 0; i < 5; i++) await settle()
    expect(dispatch.requests.take(0)).toBe(STATUS_DONE)
    expect(calls).toEqual(['r2@2', 'r2@4', 'r2@6', 'r2@8', 'w2@0=3344', 'w2@2=1122'])
  })

  test('a descending string through a pointer is served from guest memory', async () => {
    const calls: string[] = []
    const model = defineDevice({
      name: 'wide',
      mmio: { base: 0x8000, size: 16 },
      async write(offset, size, value) {
        await Promise.resolve()
        calls.push(`w${size}@${offset}=${value.toString(16)}`)
      },
    })
    const { dispatch, ram, request } = makeMachine({}, [model])
    ram.set([1, 2, 3], 0)
    const fields = { addressLo: 0x8002, size: 1, count: 3, df: true, dataIsPointer: true, dataLo: 2 }
    expect(dispatch.submit(0, request(fields))).toBe(STATUS_RETRY)
    for (let i = 0; i < 5; i++) await settle()
    expect(dispatch.requests.take(0)).toBe(STATUS_DONE)
    expect(calls).toEqual(['w1@2=3', 'w1@1=2', 'w1@0=1'])
  })
})

describe('cancellation (reset, INIT, SIPI, set-context)', () => {
  test('aborts the handler’s signal, drains the late answer and drops it', async () => {
    const { model, open } = slow()
    const { dispatch, host, completed, request } = makeMachine({}, [model])
    dispatch.submit(0, request(port))
    const { signal } = open[0]!.access
    expect(signal.aborted).toBe(false)
    dispatch.requests.cancel(0)
    expect(signal.aborted).toBe(true)
    expect(dispatch.requests.has(0)).toBe(false)
    expect(host.server.draining[0]).toBe(1)
    open[0]!.resolve(1)
    await settle()
    expect(host.server.draining[0]).toBe(0)
    expect(completed).toEqual([])
  })

  test('a signal that is asked for after the cancellation is aborted already', () => {
    const { model, open } = slow()
    const { dispatch, request } = makeMachine({}, [model])
    dispatch.submit(0, request(port))
    dispatch.requests.cancel(0)
    expect(open[0]!.access.signal.aborted).toBe(true)
  })

  test('a new request is sent when the old one has drained, and gets its own answer', async () => {
    const { model, open } = slow()
    const { dispatch, completed, request } = makeMachine({}, [model])
    dispatch.submit(0, request(port))
    dispatch.requests.cancel(0)
    expect(dispatch.submit(0, request({ ...port, addressLo: 0x104 }))).toBe(STATUS_RETRY)
    expect(open).toHaveLength(1)
    open[0]!.resolve(0xbad)
    await settle()
    expect(open.map((o) => o.offset)).toEqual([0, 4])
    expect(completed).toEqual([])
    open[1]!.resolve(0x900d)
    await settle()
    expect(completed).toEqual([0])
    expect(dispatch.requests.take(0)).toBe(STATUS_DONE)
    expect(dispatch.lo).toBe(0x900d)
  })

  test('a queued request that is cancelled too is never sent', async () => {
    const { model, open } = slow()
    const { dispatch, request } = makeMachine({}, [model])
    dispatch.submit(0, request(port))
    dispatch.requests.cancel(0)
    dispatch.submit(0, request(port))
    dispatch.requests.cancel(0)
    open[0]!.resolve(0)
    await settle()
    expect(open).toHaveLength(1)
    expect(dispatch.requests.has(0)).toBe(false)
  })

  test('an answer that nobody has taken yet is dropped with the request', async () => {
    const { model, open } = slow()
    const { dispatch, host, request } = makeMachine({}, [model])
    dispatch.submit(0, request(port))
    open[0]!.resolve(0)
    await settle()
    dispatch.requests.cancel(0)
    expect(host.server.slot(0).state).toBe(STATE_IOREQ_NONE)
    expect(dispatch.submit(0, request(port))).toBe(STATUS_RETRY)
  })

  test.each(['crash', 'detach'] as const)(
    'a cancellation after the failure leaves nothing behind, policy %s',
    async (policy) => {
      const { model, open } = slow()
      const next = defineDevice({ name: 'next', ports: { base: 0x200, size: 4 }, read: async () => 7 })
      const { dispatch, host, request } = makeMachine({ policy }, [model, next])
      dispatch.submit(0, request(port))
      open[0]!.reject(new Error('gone'))
      await settle()
      dispatch.requests.cancel(0)
      expect(host.server.draining[0]).toBe(0)
      expect(dispatch.submit(0, request({ ...port, addressLo: 0x200 }))).toBe(STATUS_RETRY)
      await settle()
      expect([dispatch.requests.take(0), dispatch.lo]).toEqual([STATUS_DONE, 7])
    },
  )

  test('a rejection after the cancellation is reported but harms nobody', async () => {
    const { model, open } = slow()
    const { dispatch, failures, request } = makeMachine({}, [model])
    dispatch.submit(0, request(port))
    dispatch.requests.cancel(0)
    open[0]!.reject(new Error('late'))
    await settle()
    expect(failures).toHaveLength(1)
    expect(dispatch.submit(0, request(port))).toBe(STATUS_RETRY)
  })
})

describe('a model that breaks its contract', () => {
  const throwing = (synchronous: boolean): DeviceModel =>
    defineDevice({
      name: 'broken',
      synchronous,
      ports: { base: 0x100, size: 4 },
      read() {
        throw new Error('out of paper')
      },
      write() {
        throw new Error('out of ink')
      },
    })
  const rows: { name: string; model: DeviceModel; text: RegExp }[] = [
    { name: 'throws', model: throwing(true), text: /out of paper/ },
    {
      name: 'returns a promise though declared synchronous',
      model: defineDevice({ name: 'broken', synchronous: true, ports: { base: 0x100, size: 4 }, read: async () => 1 }),
      text: /promise/,
    },
    {
      name: 'rejects a promise though declared synchronous',
      model: defineDevice({
        name: 'broken',
        synchronous: true,
        ports: { base: 0x100, size: 4 },
        read: () => Promise.reject(new Error('must not reach the process')),
      }),
      text: /promise/,
    },
    {
      name: 'answers with what is no number',
      model: defineDevice({
        name: 'broken',
        synchronous: true,
        ports: { base: 0x100, size: 4 },
        read: (() => 'four') as unknown as () => number,
      }),
      text: /string four/,
    },
  ]
  test.each(rows)('$name: the domain stops, and the error names model and request', ({ model, text }) => {
    const { dispatch, failures } = makeMachine({}, [model])
    expect(dispatch.portRead(0x100, 4)).toBe(STATUS_ERROR)
    expect(failures).toHaveLength(1)
    expect(failures[0]).toMatchObject({ server: 0, device: 'broken', request: 'port read of 4 bytes at 0x100' })
    expect(String(failures[0]!.cause)).toMatch(text)
  })

  test.each(rows)('$name, split access, policy detach: reads as ones from then on', ({ model }) => {
    const { dispatch, failures } = makeMachine({ policy: 'detach' }, [model])
    expect(STATUS[dispatch.portRead(0x101, 2)]).toBe('done')
    expect(dispatch.lo).toBe(0xffff)
    expect(dispatch.portRead(0x100, 4)).toBe(STATUS_DONE)
    expect(dispatch.lo).toBe(0xffff_ffff)
    expect(dispatch.portWrite(0x100, 4, 1)).toBe(STATUS_DONE)
    expect(failures).toHaveLength(1)
  })

  test('a write that throws', () => {
    const { dispatch, failures } = makeMachine({}, [throwing(true)])
    expect(dispatch.portWrite(0x102, 1, 1)).toBe(STATUS_ERROR)
    expect(failures[0]!.request).toBe('port write of 1 bytes at 0x102')
  })

  test.each([
    { policy: 'crash', status: STATUS_ERROR },
    { policy: 'detach', status: STATUS_UNHANDLED },
  ] as const)('an asynchronous one that rejects, policy $policy', async ({ policy, status }) => {
    const { model, open } = slow()
    const { dispatch, host, failures, completed, request } = makeMachine({ policy }, [model])
    dispatch.submit(0, request(port))
    open[0]!.reject(new Error('gone'))
    await settle()
    expect(completed).toEqual([0])
    expect(dispatch.requests.take(0)).toBe(status)
    expect(failures[0]).toMatchObject({ device: 'slow', request: 'port read of 4 bytes at 0x100' })
    expect(host.server.slot(0).state).toBe(STATE_IOREQ_NONE)
    if (policy === 'detach') {
      expect(dispatch.lo).toBe(0xffff_ffff)
      expect(dispatch.submit(0, request(port))).toBe(STATUS_DONE)
      expect(dispatch.lo).toBe(0xffff_ffff)
    }
  })

  test('an asynchronous one that throws at once', () => {
    const { dispatch, failures, request } = makeMachine({}, [throwing(false)])
    expect(dispatch.submit(0, request(port))).toBe(STATUS_ERROR)
    expect(failures).toHaveLength(1)
    expect(dispatch.requests.has(0)).toBe(false)
  })

  const strange: { name: string; answer: unknown }[] = [
    { name: 'an object that is no text', answer: Object.create(null) },
    {
      name: 'an object whose text throws',
      answer: {
        toString: () => {
          throw new Error('must not reach the process')
        },
      },
    },
    { name: 'a symbol', answer: Symbol('four') },
  ]
  test.each(strange)('an asynchronous one that answers with $name, at once or later', async ({ answer }) => {
    for (const [index, read] of [() => answer, async () => answer].entries()) {
      const model = defineDevice({ name: 'strange', ports: { base: 0x100, size: 4 }, read: read as () => number })
      const { dispatch, failures, request } = makeMachine({}, [model])
      let status = dispatch.submit(0, request(port))
      await settle()
      if (index === 1) status = dispatch.requests.take(0)
      expect(STATUS[status]).toBe('failed')
      expect(String(failures[0]!.cause)).toMatch(/a read was answered with/)
    }
  })

  test('an asynchronous one whose answer throws when it is asked for its then', () => {
    const answer = new Proxy(Promise.resolve(0), {
      get: () => {
        throw new Error('not yet')
      },
    })
    const model = defineDevice({ name: 'shy', ports: { base: 0x100, size: 4 }, read: () => answer })
    const { dispatch, failures, request } = makeMachine({}, [model])
    expect(dispatch.submit(0, request(port))).toBe(STATUS_ERROR)
    expect(failures[0]).toMatchObject({ device: 'shy', cause: new Error('not yet') })
    expect(dispatch.requests.has(0)).toBe(false)
  })

  test.each([
    ['a thenable', {}],
    ['a promise with a then of its own', Promise.resolve(0)],
  ])('the second time that %s settles is nobody\u2019s answer', async (_, thenable) => {
    let [settled, resolve] = [(_value: number): void => undefined, (_value: number): void => undefined]
    const then = (onSettled: typeof settled): void => {
      settled = onSettled
      // Now, too.
      onSettled(1)
    }
    const answers = [
      // oxlint-disable-next-line unicorn/no-thenable -- that is what it is
      Object.assign(thenable, { then }),
      new Promise<number>((onResolved) => (resolve = onResolved)),
    ]
    const read = (): Promise<number> => answers.shift() as Promise<number>
    const { dispatch, request } = makeMachine({}, [
      defineDevice({ name: 'twice', ports: { base: 0x100, size: 4 }, read }),
    ])
    expect(dispatch.submit(0, request(port))).toBe(STATUS_RETRY)
    await settle()
    expect([dispatch.requests.take(0), dispatch.lo]).toEqual([STATUS_DONE, 1])
    expect(dispatch.submit(0, request(port))).toBe(STATUS_RETRY)
    settled(2)
    await settle()
    expect(dispatch.requests.take(0)).toBe(STATUS_RETRY)
    resolve(3)
    await settle()
    expect([dispatch.requests.take(0), dispatch.lo]).toEqual([STATUS_DONE, 3])
  })

  test.each(['crash', 'detach'] as const)('a timer that throws, policy %s', (policy) => {
    const { host, clock, timers, failures } = makeMachine({ policy })
    let fired = 0
    host.attach({
      name: 'ticker',
      attach(context) {
        const timer = context.timer(() => {
          fired++
          timer.arm(context.clock.now() + 1)
          throw new Error('tick')
        })
        timer.arm(5)
      },
    })
    clock.time = 5
    timers.expire()
    clock.time = 9
    timers.expire()
    expect(failures[0]).toMatchObject({ device: 'ticker', request: 'timer at 5 ns' })
    expect(fired).toBe(policy === 'detach' ? 1 : 2)
  })

  const foreign = (policy: 'crash' | 'detach' = 'crash') => {
    const made = makeMachine({ policy })
    const server = made.dispatch.createServer({ name: 'far', transport: { notify: () => {} } })
    server.mapRange(XEN_DMOP_IO_RANGE_PORT, 0x100, 0x1ff)
    server.setState(true)
    return { ...made, server, slot: server.slot(0) }
  }
  test.each([
    { name: 'steps back from INPROCESS to READY', states: [STATE_IOREQ_INPROCESS, STATE_IOREQ_READY] },
    { name: 'writes state 9', states: [9] },
    { name: 'writes state 4', states: [STATE_IOREQ_INPROCESS, 4] },
  ])('a foreign server that $name', ({ states }) => {
    const { dispatch, server, slot, failures, completed, request } = foreign()
    expect(dispatch.submit(0, request(port))).toBe(STATUS_RETRY)
    for (const state of states) {
      slot.state = state
      server.answered(0)
    }
    expect(completed).toEqual([0])
    expect(dispatch.requests.take(0)).toBe(STATUS_ERROR)
    expect(failures[0]).toMatchObject({ server: 1, serverName: 'far' })
  })

  test.each([
    { answersLater: false, status: STATUS_DONE },
    { answersLater: true, status: STATUS_RETRY },
  ])('a foreign server that answers before the vCPU has left it, answersLater $answersLater', (row) => {
    const { answersLater, status } = row
    const made = makeMachine({ answersLater }, [
      { name: 'near', attach: (c) => void c.mapPorts(0x300, 4, { read: () => 1, write: () => {} }) },
    ])
    const { dispatch, completed, request } = made
    const server = dispatch.createServer({
      name: 'far',
      transport: {
        notify: () => {
          const slot = server.slot(0)
          slot.state = STATE_IOREQ_INPROCESS
          slot.answer(0x1234, 0)
        },
      },
    })
    server.mapRange(XEN_DMOP_IO_RANGE_PORT, 0x100, 0x1ff)
    server.setState(true)
    expect(dispatch.submit(0, request(port))).toBe(status)
    if (status === STATUS_RETRY)
      expect([dispatch.requests.has(0), dispatch.requests.take(0)]).toEqual([true, STATUS_DONE])
    expect([dispatch.lo & 0xffff, completed]).toEqual([0x1234, []])
    // A model of this process is not elsewhere.
    expect(dispatch.submit(1, request({ ...port, addressLo: 0x300 }))).toBe(STATUS_DONE)
  })

  test('a foreign server that writes NONE has died: the access ends with ones', () => {
    const { dispatch, server, slot, failures, request } = foreign()
    dispatch.submit(0, request(port))
    slot.state = STATE_IOREQ_NONE
    server.answered(0)
    expect(dispatch.requests.take(0)).toBe(STATUS_UNHANDLED)
    expect(dispatch.lo).toBe(0xffff_ffff)
    expect(failures).toHaveLength(0)
  })

  test.each([
    ['alters vp_eport', (slot: ReturnType<typeof foreign>['slot']) => (slot.eventPort = 77)],
    [
      'leaves the slot in a state of its own',
      (slot: ReturnType<typeof foreign>['slot']) => (slot.state = STATE_IORESP_READY),
    ],
  ])('a foreign server that %s is found out at the next request', (_, harm) => {
    const { dispatch, slot, failures, request } = foreign()
    harm(slot)
    expect(dispatch.submit(0, request(port))).toBe(STATUS_ERROR)
    expect(failures).toHaveLength(1)
    expect(dispatch.requests.has(0)).toBe(false)
  })

  test('a size or type that is changed in flight does not change what the vCPU takes', () => {
    const { dispatch, server, slot, request } = foreign()
    dispatch.submit(0, request({ ...port, size: 1 }))
    slot.accept(request({}))
    slot.size = 8
    slot.type = 8
    slot.answer(0x1234, 0x5678)
    server.answered(0)
    expect(dispatch.requests.take(0)).toBe(STATUS_DONE)
    expect([dispatch.lo, dispatch.hi]).toEqual([0x34, 0])
  })

  test('a spurious notification changes nothing', () => {
    const { dispatch, server, completed, request } = foreign()
    server.answered(0)
    dispatch.submit(0, request(port))
    server.answered(0)
    server.answered(1)
    expect(completed).toEqual([])
    expect(dispatch.requests.take(0)).toBe(STATUS_RETRY)
  })

  test('an answer twice is taken once', () => {
    const { dispatch, server, slot, completed, request } = foreign()
    dispatch.submit(0, request(port))
    slot.accept(request({}))
    slot.answer(1, 0)
    server.answered(0)
    server.answered(0)
    expect(completed).toEqual([0])
    expect(dispatch.requests.take(0)).toBe(STATUS_DONE)
    server.answered(0)
    expect(completed).toEqual([0])
  })

  test.each([STATE_IOREQ_READY, STATE_IOREQ_INPROCESS])(
    'a server destroyed in state %i ends its requests with ones',
    (state) => {
      const { dispatch, server, slot, completed, request } = foreign()
      dispatch.submit(0, request(port))
      slot.state = state
      server.destroy()
      expect(completed).toEqual([0])
      expect(dispatch.requests.take(0)).toBe(STATUS_UNHANDLED)
      expect(dispatch.submit(0, request(port))).toBe(STATUS_UNHANDLED)
    },
  )

  test('a server disabled while it works still answers', () => {
    const { dispatch, server, slot, request } = foreign()
    dispatch.submit(0, request(port))
    slot.accept(request({}))
    server.setState(false)
    slot.answer(5, 0)
    server.answered(0)
    expect(dispatch.requests.take(0)).toBe(STATUS_DONE)
    expect(dispatch.lo).toBe(5)
  })

  test('a range unmapped after the request was sent: the model is asked all the same', () => {
    const { dispatch, server, slot, request } = foreign()
    dispatch.submit(0, request(port))
    server.unmapRange(XEN_DMOP_IO_RANGE_PORT, 0x100, 0x1ff)
    expect(slot.accept(request({}))).toBe(true)
    slot.answer(6, 0)
    server.answered(0)
    expect(dispatch.requests.take(0)).toBe(STATUS_DONE)
  })

  test('a foreign server is destroyed by policy detach', () => {
    const { dispatch, server, slot, request } = foreign('detach')
    dispatch.submit(0, request(port))
    slot.state = 9
    server.answered(0)
    expect(dispatch.requests.take(0)).toBe(STATUS_UNHANDLED)
    expect(dispatch.portRead(0x100, 1)).toBe(STATUS_UNHANDLED)
  })
})

describe('reset', () => {
  test('cancels every request and clears CF8', async () => {
    const { model, open } = slow()
    const { dispatch, request } = makeMachine({}, [model])
    dispatch.portWrite(0xcf8, 4, 0x8000_0000)
    dispatch.submit(0, request(port))
    const saved = dispatch.save()
    dispatch.reset()
    expect([dispatch.requests.has(0), dispatch.config.value]).toEqual([false, 0])
    dispatch.restore(saved)
    expect(dispatch.config.value).toBe(0x8000_0000)
    expect(open[0]!.access.signal.aborted).toBe(true)
    await settle()
  })
})
