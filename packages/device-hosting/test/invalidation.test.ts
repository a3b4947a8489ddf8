/** What the answer to an INVALIDATE request waits for, and who is told of it. */
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import {
  defineDevice,
  type DeviceContext,
  type DeviceDefinition,
  type DeviceMemory,
  type MappingsToEnd,
} from '@retrap/device'
import { DeviceServer, type Frame } from '../src/index.ts'
import {
  createIoRequest,
  type InvalidationListener,
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_INVALIDATE,
  type IoRequest,
  STATUS_DONE,
  STATUS_RETRY,
} from '@retrap/ioreq'
import { makeMachine } from './machine.ts'

const invalidate: IoRequest = { ...createIoRequest(), type: IOREQ_TYPE_INVALIDATE, size: 4 }

/** A device server whose link is the test: what it sends is in `sent`, and answers of vCPU n as `answer n`. */
function deviceServer(definition: Partial<DeviceDefinition>) {
  const sent: (Frame | string)[] = []
  let context: DeviceContext | undefined
  const server = new DeviceServer({
    send: (frame) => void sent.push(frame),
    answer: (vcpu) => void sent.push(`answer ${vcpu}`),
  })
  server.attach(
    defineDevice({
      name: 'far',
      ...definition,
      attach(given) {
        context = given
      },
    }),
  )
  server.ready()
  sent.length = 0
  return { server, sent, context: context as DeviceContext }
}

describe('a device server answers', () => {
  test('at once, where nothing is in flight', () => {
    const { server, sent } = deviceServer({})
    server.requests.serve(3, invalidate, server)
    expect(sent).toEqual(['answer 3'])
  })

  test('when DMA that was in flight has ended; what begins later is not waited for', async () => {
    const { server, sent, context } = deviceServer({})
    const read = context.dma.readAsync(0x1000, new Uint8Array(4))
    const write = context.dma.writeAsync(0x2000, new Uint8Array(4))
    server.requests.serve(0, invalidate, server)
    void context.dma.readAsync(0x3000, new Uint8Array(4))
    server.receive({ kind: 'dmaDone', call: 1, ok: true, bytes: new Uint8Array(4) })
    await read
    await turn()
    expect(sent).not.toContain('answer 0')
    server.receive({ kind: 'dmaDone', call: 2, ok: false, bytes: new Uint8Array(0) })
    expect(await write).toBe(false)
    await turn()
    expect(sent).toContain('answer 0')
  })

  test('when buffered writes that have begun have ended', async () => {
    const done: (() => void)[] = []
    const { server, sent } = deviceServer({
      mmio: { base: 0xa_0000, size: 16, buffered: true },
      write: () => new Promise<void>((resolve) => void done.push(resolve)),
    })
    server.serveBuffered({ ...createIoRequest(), type: IOREQ_TYPE_COPY, addressLo: 0xa_0000, size: 1 })
    server.requests.serve(0, invalidate, server)
    await turn()
    expect(sent.filter((each) => typeof each === 'string')).toEqual([])
    done[0]?.()
    await turn()
    expect(sent.filter((each) => typeof each === 'string')).toEqual(['answer 0'])
  })

  test('when its models say that they have done with it, or fail', async () => {
    let ended: { resolve: () => void; reject: (error: Error) => void } | undefined
    const { server, sent } = deviceServer({
      invalidate: () =>
        new Promise<void>((resolve, reject) => {
          ended = { resolve, reject }
        }),
    })
    server.requests.serve(0, invalidate, server)
    await turn()
    expect(sent).toEqual([])
    ended?.resolve()
    await turn()
    expect(sent).toEqual(['answer 0'])
    server.requests.serve(1, invalidate, server)
    ended?.reject(new Error('no'))
    await turn()
    expect(sent.slice(1)).toEqual([
      { kind: 'fault', vcpu: 0xffff_ffff, device: 'far', what: 'invalidate', message: 'no' },
      'answer 1',
    ])
  })

  test('guest memory in another process cannot be mapped', () => {
    const { context } = deviceServer({})
    for (const way of ['map', 'mapForWriting'] as const) {
      expect(() => context.dma[way](0, 1)).toThrow(expect.objectContaining({ code: 'ERR_PERMISSION' }))
    }
  })

  test('readSome and writeSome stop at the page that is no RAM', () => {
    const { host } = makeMachine()
    let dma: DeviceContext['dma'] | undefined
    host.attach({ name: 'near', attach: (given) => void (dma = given.dma) })
    // RAM ends at 64 KiB.
    expect(dma?.writeSome(0xfffc, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8))).toBe(4)
    const into = new Uint8Array(8)
    expect(dma?.readSome(0xfffc, into)).toBe(4)
    expect([...into]).toEqual([1, 2, 3, 4, 0, 0, 0, 0])
  })
})

/** A memory that remembers what it is asked, and holds what the test says. */
class TestMemory implements DeviceMemory {
  readonly asked: string[] = []
  held: (() => void)[] = []
  holds = false
  closed = false
  read = (): boolean => true
  write = (): boolean => true
  readSome = (): number => 0
  writeSome = (): number => 0
  map = (): never => {
    throw new Error('not here')
  }
  mapForWriting = this.map
  invalidate(gfn?: number, count?: number): MappingsToEnd {
    this.asked.push(gfn === undefined ? 'all' : `${gfn}+${count}`)
    return this.#mappings()
  }
  revokeWrites(gfn: number, count: number): MappingsToEnd {
    this.asked.push(`writes ${gfn}+${count}`)
    return this.#mappings()
  }
  #mappings(): MappingsToEnd {
    const callbacks: (() => void)[] = []
    const mappings = { done: !this.holds, onDone: (callback: () => void) => void callbacks.push(callback) }
    if (mappings.done) return { done: true, onDone: (callback) => callback() }
    this.held.push(() => {
      mappings.done = true
      for (const callback of callbacks) callback()
    })
    return mappings
  }
  release(): void {
    this.holds = false
    for (const end of this.held.splice(0)) end()
  }
  close(): void {
    this.closed = true
    this.release()
  }
}

/** Two models with memories of their own, and what the listener hears. */
function mappedMachine(options: Parameters<typeof makeMachine>[0] = {}) {
  const heard: string[] = []
  const listener: InvalidationListener = {
    acknowledged: (server, epoch) => void heard.push(`${server.name} ${epoch}`),
    serverChanged: (server) => void heard.push(`${server.name} ${server.alive ? server.enabled : 'gone'}`),
  }
  const memories: TestMemory[] = []
  const machine = makeMachine(
    { invalidations: listener, ...options },
    [],
    {},
    {
      openMemory: () => {
        const memory = new TestMemory()
        memories.push(memory)
        return memory
      },
    },
  )
  for (const name of ['a', 'b']) {
    machine.host.attach({ name, attach: (context) => void context.dma.read(0, new Uint8Array(1)) })
  }
  heard.length = 0
  const [a, b] = memories as [TestMemory, TestMemory]
  return { ...machine, heard, memories, a, b }
}

describe('models of this process', () => {
  test('are asked frame by frame, and for everything where there are no frames', () => {
    const { dispatch, a, b, heard, memories } = mappedMachine()
    const frames = [
      { gfn: 5, count: 2, writesOnly: false },
      { gfn: 9, count: 1, writesOnly: true },
    ]
    expect(dispatch.requests.invalidate(0, { epoch: 7, frames })).toBe(STATUS_DONE)
    expect(dispatch.requests.invalidate(1)).toBe(STATUS_DONE)
    expect([a.asked, b.asked]).toEqual([
      ['5+2', 'writes 9+1', 'all'],
      ['5+2', 'writes 9+1', 'all'],
    ])
    expect(heard).toEqual(['devices 7', 'devices 0'])
    // Who has never used guest memory has opened none.
    expect(memories).toHaveLength(2)
  })

  test('hold the answer up until the last of them has let go; a second notice waits for the same', () => {
    const { dispatch, a, b, completed, heard } = mappedMachine()
    a.holds = b.holds = true
    expect(dispatch.requests.invalidate(0, { epoch: 1, frames: null })).toBe(STATUS_RETRY)
    expect(dispatch.requests.invalidate(1, { epoch: 2, frames: [] })).toBe(STATUS_RETRY)
    a.release()
    expect([completed, heard]).toEqual([[], []])
    b.release()
    expect([completed, heard]).toEqual([
      [0, 1],
      ['devices 1', 'devices 2'],
    ])
  })

  test('that are detached end their mappings', () => {
    const { dispatch, host, a, completed } = mappedMachine()
    a.holds = true
    dispatch.requests.invalidate(0)
    host.detach('a')
    expect([a.closed, completed]).toEqual([true, [0]])
  })

  test('drop what they have mapped though their server is disabled', () => {
    const { dispatch, host, a, heard, completed } = mappedMachine()
    host.server.setState(false)
    a.holds = true
    expect(dispatch.requests.invalidate(0, { epoch: 3, frames: null })).toBe(STATUS_RETRY)
    expect(heard).toEqual(['devices false'])
    a.release()
    expect([completed, heard]).toEqual([[0], ['devices false', 'devices 3']])
  })

  test('are waited for when their server is disabled meanwhile', () => {
    const { dispatch, host, a, completed } = mappedMachine()
    a.holds = true
    dispatch.requests.invalidate(0)
    host.server.setState(false)
    expect(completed).toEqual([])
    a.release()
    expect(completed).toEqual([0])
    host.server.setState(true)
    expect(dispatch.requests.invalidate(0)).toBe(STATUS_DONE)
  })

  test('have nothing mapped when their server is gone', () => {
    const { dispatch, host, a, b, completed, heard } = mappedMachine()
    a.holds = true
    dispatch.requests.invalidate(0)
    host.server.destroy()
    expect([a.closed, b.closed, completed]).toEqual([true, true, [0]])
    expect(heard.at(-1)).toBe('devices gone')
  })

  test('that hold on for too long are taken out one by one', async () => {
    const { dispatch, a, b, completed, failures } = mappedMachine({ deadlineMs: 20, policy: 'detach' })
    a.holds = b.holds = true
    dispatch.requests.invalidate(0)
    while (completed.length === 0) await turn()
    expect(failures.map(({ device, request }) => [device, request])).toEqual([
      ['a', 'invalidate'],
      ['b', 'invalidate'],
    ])
    expect(String(failures[0]?.cause)).toMatch(/still mapped.*within 20 ms/)
    expect([a.closed, b.closed]).toEqual([true, true])
  })
})

test('a server that does not answer is not waited for once it is disabled', () => {
  const { dispatch, completed } = makeMachine()
  const server = dispatch.createServer({ name: 'silent', transport: { notify: () => {} } })
  server.setState(true)
  expect(dispatch.requests.invalidate(0)).toBe(STATUS_RETRY)
  server.setState(false)
  expect(completed).toEqual([0])
  // The answer that comes after all is dropped, and is not taken for a later one.
  expect(server.slot(0).accept(createIoRequest())).toBe(true)
  server.slot(0).answer(0, 0)
  server.answered(0)
  expect(completed).toEqual([0])
  server.setState(true)
  expect(dispatch.requests.invalidate(0)).toBe(STATUS_RETRY)
})
