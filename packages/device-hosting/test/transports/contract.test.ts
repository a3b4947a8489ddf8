import { sliceTests } from '@retrap/tooling/slice'
import { afterAll, afterEach, describe, expect, test as anyTest } from 'vitest'
import * as index from '@retrap/ioreq'
import { createIoRequest, type IoRequest } from '@retrap/ioreq'
import { STATUS } from '../machine.ts'
import * as models from './models.ts'
import { KINDS, type World } from './worlds.ts'

// Starting a Worker or a process takes a while on a busy machine.
const DEADLINE_MS = 120_000

const request = (fields: Partial<IoRequest>): IoRequest => ({ ...createIoRequest(), ...fields })
const portRead = (addressLo: number, size = 1): IoRequest =>
  request({ type: index.IOREQ_TYPE_PIO, direction: index.IOREQ_READ, addressLo, size })
const portWrite = (addressLo: number, dataLo: number, size = 1): IoRequest =>
  request({ type: index.IOREQ_TYPE_PIO, direction: index.IOREQ_WRITE, addressLo, dataLo, size })
const mmioRead = (addressLo: number, size = 4): IoRequest =>
  request({ type: index.IOREQ_TYPE_COPY, direction: index.IOREQ_READ, addressLo, size })
const mmioWrite = (addressLo: number, dataLo: number, size = 4, dataHi = 0): IoRequest =>
  request({ type: index.IOREQ_TYPE_COPY, direction: index.IOREQ_WRITE, addressLo, dataLo, dataHi, size })

interface RegistersState {
  readonly bytes: readonly number[]
  readonly log: readonly string[]
}

/** Threads, sockets and processes take long: a run has a part of what they are asked. */
const distantTest = sliceTests(5)

describe.each(KINDS)('$name', { timeout: DEADLINE_MS }, (kind) => {
  const test = (kind.name.startsWith('in process') ? anyTest : distantTest).skipIf(kind.isMissing === true)
  let world: World
  /** For tests that leave their world as they found it: a Worker or a process takes long to start. */
  let shared: World | null = null
  afterEach(async () => {
    if (world !== shared) await world.stop()
  })
  afterAll(() => shared?.stop())
  const start = async (options?: Parameters<typeof kind.make>[0]): Promise<void> => {
    if (options !== undefined) {
      world = await kind.make(options)
      return
    }
    world = shared ??= await kind.make()
    await world.resetModels()
    await world.save()
    world.ram.fill(0)
    world.clock.time = 0
    for (const list of [world.events, world.failures, world.completed]) list.length = 0
  }
  const done = async (what: IoRequest, vcpu = 0): Promise<number> => {
    expect(STATUS[await world.access(vcpu, what)]).toBe('done')
    return world.dispatch.lo
  }
  /** Reads or writes a register of the PCI function. */
  const config = async (register: number, value?: number): Promise<number> => {
    const address = 0x8000_0000 + (models.FUNCTION_DEVICE << 11) + register
    await world.access(0, portWrite(0xcf8, address, 4))
    return done(value === undefined ? portRead(0xcfc, 4) : portWrite(0xcfc, value, 4))
  }
  /** Switches messages of the PCI function on, where it has them. */
  const switchMessagesOn = async (): Promise<void> => {
    const at = (await config(0x34)) & 0xff
    if (at === 0) return
    for (const [register, value] of [
      [4, 0xfee0_1000],
      [8, 0],
      [12, 49],
      [0, 1 << 16],
    ] as const)
      await config(at + register, value >>> 0)
    await config(4, 4)
  }
  /** What the models were asked since this was last asked. */
  const log = async (): Promise<readonly string[]> => {
    const { devices } = await world.save()
    return (devices['registers'] as RegistersState).log
  }
  /** Driving a line to the level that it has is nothing, and not every way carries it. */
  const levels = (): string[] => world.events.filter((event, i) => event !== world.events[i - 1])
  const until = async (what: () => boolean): Promise<void> => {
    for (const end = performance.now() + 0.8 * DEADLINE_MS; !what() && performance.now() < end;) await world.turn()
    expect(what()).toBe(true)
  }

  test('reads what was written, in every size, by port and by address, each access once and in order', async () => {
    await start()
    await done(portWrite(models.REGISTERS, 0x12))
    await done(portWrite(models.REGISTERS + 2, 0x5634, 2))
    await done(mmioWrite(models.REGISTERS_MMIO + 4, 0xdead_beef))
    expect(await done(portRead(models.REGISTERS, 4))).toBe(0x5634_0012)
    expect(await done(mmioRead(models.REGISTERS_MMIO + 4))).toBe(0xdead_beef)
    expect(await done(mmioRead(models.REGISTERS_MMIO + 6, 2))).toBe(0xdead)
    expect(await done(portRead(models.REGISTERS + 7))).toBe(0xde)
    expect(await log()).toEqual(['w1@0=12', 'w2@2=5634', 'w4@4=deadbeef', 'r4@0', 'r4@4', 'r2@6', 'r1@7'])
  })

  test('splits and widens as the range says', async () => {
    await start()
    await done(mmioWrite(models.REGISTERS_MMIO, 0x4433_2211, 8, 0x8877_6655))
    await done(mmioRead(models.REGISTERS_MMIO + 2, 8))
    expect([world.dispatch.lo, world.dispatch.hi]).toEqual([0x6655_4433, 0x8877])
    expect(await log()).toEqual(['w4@0=44332211', 'w4@4=88776655', 'r4@2', 'r4@6'])
    await done(mmioRead(models.WIDE_MMIO + 1, 2))
    expect(world.dispatch.lo).toBe(0x3322)
    await done(mmioWrite(models.WIDE_MMIO + 3, 0xff, 1))
    await done(mmioRead(models.WIDE_MMIO, 8))
    expect([world.dispatch.lo, world.dispatch.hi]).toEqual([0xff33_2211, 0x8877_6655])
    expect(await log()).toEqual(['r4@0', 'r4@0', 'w4@0=ff332211', 'r4@0', 'r4@4'])
  })

  test('serves strings, with data in guest memory, upwards and downwards', async () => {
    await start()
    world.ram.set([1, 2, 3, 4, 5, 6], 0x1000)
    const out = { type: index.IOREQ_TYPE_COPY, direction: index.IOREQ_WRITE, size: 2, count: 3, dataIsPointer: true }
    await done(request({ ...out, addressLo: models.REGISTERS_MMIO, dataLo: 0x1000 }))
    await done(request({ ...out, addressLo: models.REGISTERS_MMIO + 12, dataLo: 0x1004, df: true }))
    expect(await log()).toEqual(['w2@0=201', 'w2@2=403', 'w2@4=605', 'w2@12=605', 'w2@10=403', 'w2@8=201'])
    const from = {
      type: index.IOREQ_TYPE_PIO,
      direction: index.IOREQ_READ,
      size: 1,
      count: 3,
      dataIsPointer: true,
      df: true,
    }
    await done(request({ ...from, addressLo: models.REGISTERS + 1, dataLo: 0x2002 }))
    expect([...world.ram.subarray(0x2000, 0x2003)]).toEqual([2, 2, 2])
  })

  test('an interrupt is there before the answer of the access that raised it', async () => {
    await start()
    await switchMessagesOn()
    world.events.length = 0
    await done(portWrite(models.CONTROL, models.DO.raise))
    expect(world.events).toEqual(['irq5=1'])
    await done(portWrite(models.CONTROL, models.DO.lower))
    await done(portWrite(models.CONTROL, models.DO.pulse))
    await done(portWrite(models.CONTROL, models.DO.msi))
    const pulse = kind.program === undefined ? ['irq5 pulse'] : ['irq5=1', 'irq5=0']
    expect(world.events).toEqual(['irq5=1', 'irq5=0', ...pulse, 'msi fee01000 49'])
  })

  test.each([5000n, 2n ** 53n - 1001n, 2n ** 53n + 1n, 2n ** 62n - 999n, 2n ** 63n + 1n])(
    'timers run on the machine’s clock, exactly: at %d ns',
    async (time) => {
      await start()
      const word = (ns: bigint): number => Number(BigInt.asUintN(32, ns))
      world.clock.time = time
      await done(portWrite(models.CONTROL, models.DO.arm))
      world.clock.time = time + 999n
      await world.turn()
      expect(await done(portRead(models.CONTROL))).toBe(0)
      for (const due of [time + 1000n, time + 1001n]) {
        const fired = Number(due - time) - 999
        world.clock.time = due
        await world.turn()
        // The notice of a timer may be on its way still.
        for (const end = performance.now() + 0.8 * DEADLINE_MS; (await done(portRead(models.CONTROL))) < fired;)
          if (performance.now() > end) break
        expect(await done(portRead(models.CONTROL))).toBe(fired)
        expect(levels()).toEqual(['irq5=1'])
        expect([await done(portRead(models.CONTROL + 8, 4)), await done(portRead(models.CONTROL + 12, 4))]).toEqual([
          word(due),
          Number(due >> 32n),
        ])
        expect(await done(portRead(models.CONTROL + 4, 4))).toBe(word(due))
      }
      world.clock.time = time + 7000n
      expect(await done(portRead(models.CONTROL + 4, 4))).toBe(word(time + 7000n))
      await done(portWrite(models.CONTROL, models.DO.arm))
      await done(portWrite(models.CONTROL, models.DO.cancel))
      world.clock.time = time + 100_000n
      await world.turn()
      expect(await done(portRead(models.CONTROL))).toBe(2)
    },
  )

  test('memory is read and written before the answer', async () => {
    await start()
    world.ram.set([1, 2, 3, 4], 0x100)
    await done(portWrite(models.DMA, 0x100, 4))
    expect([...world.ram.subarray(0x104, 0x108)]).toEqual([0xfe, 0xfd, 0xfc, 0xfb])
    if (kind.synchronousDma !== true) return
    await done(portWrite(models.DMA + 8, 0x100, 4))
    expect([...world.ram.subarray(0x104, 0x108)]).toEqual([4, 3, 2, 1])
  })

  test('a PCI function is found, and its BAR answers as soon as it has been placed', async () => {
    await start()
    expect(await config(0)).toBe(0x4321_1234)
    expect(await world.access(0, mmioRead(0xe000_0008, 1))).toBe(index.STATUS_UNHANDLED)
    await config(0x10, 0xffff_ffff)
    expect(await config(0x10)).toBe(0xffff_fff0)
    await config(0x10, 0xe000_0000)
    await config(4, 2)
    expect(await done(mmioRead(0xe000_0008, 1))).toBe(8)
    await done(mmioWrite(0xe000_0000, 1))
    expect(levels().at(-1)).toBe('pci4.1=1')
    await config(4, 0)
    expect(await world.access(0, mmioRead(0xe000_0008, 1))).toBe(index.STATUS_UNHANDLED)
  })

  test('buffered writes come in order, before the request that follows them', async () => {
    await start()
    for (let i = 0; i < 20; i++) await done(mmioWrite(models.BUFFERED + i, i, 1))
    await done(portRead(models.REGISTERS))
    const expected = Array.from({ length: 20 }, (_, i) => `b1@${i}=${i.toString(16)}`)
    expect(await log()).toEqual([...expected, 'r1@0'])
  })

  test('vCPUs have requests at the same time, and each gets its own answer', async () => {
    await start()
    for (let i = 0; i < 8; i++) await done(portWrite(models.REGISTERS + i, 0x10 + i))
    const seen = await Promise.all(
      [0, 1].map(async (vcpu) => {
        const values: number[] = []
        for (let i = 0; i < 8; i++) {
          const register = vcpu === 0 ? i : 7 - i
          let status = world.dispatch.submit(vcpu, portRead(models.REGISTERS + register))
          for (; status === index.STATUS_RETRY; status = world.dispatch.requests.take(vcpu)) await world.turn()
          values.push(world.dispatch.lo)
        }
        return values
      }),
    )
    expect(seen[0]).toEqual([0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17])
    expect(seen[1]).toEqual(seen[0]!.toReversed())
  })

  test('state is saved, reset and restored', async () => {
    await start()
    await done(mmioWrite(models.REGISTERS_MMIO, 0x1234_5678))
    // Nothing has told a model elsewhere of that time. A program saves instants.
    world.clock.time = 5000
    const state = await world.save()
    if (kind.program === undefined) expect(state.devices['control']).toEqual({ now: 5000 })
    await world.resetModels()
    expect(await done(mmioRead(models.REGISTERS_MMIO))).toBe(0)
    await world.restore(state)
    expect(await done(mmioRead(models.REGISTERS_MMIO))).toBe(0x1234_5678)
    await expect(world.restore({ ...state, devices: { other: {} } })).rejects.toThrow(/other/)
  })

  test('a model owns memory: it is placed, read, written, logged and trapped, wherever the model lives', async () => {
    await start({})
    const { memories } = world
    const own = async (action: number): Promise<number> => {
      await done(portWrite(models.OWNED, action))
      return done(portRead(models.OWNED, 4))
    }
    const [memory] = memories
    const isProgram = kind.program !== undefined
    expect(memory?.placed).toEqual([isProgram ? '60000: 4000 from 0' : '60000: 2000 from 1000'])
    if (!isProgram) expect(memory?.bytes[0]).toBe(7)
    await own(models.OWN.write)
    expect([...(memory?.bytes.subarray(0x1ffe, 0x2002) ?? [])]).toEqual([1, 2, 3, 4])
    expect(await own(models.OWN.read)).toBe(0x1234)
    if (!isProgram) expect([await own(models.OWN.dirty), await own(models.OWN.dirty)]).toEqual([0x206, 0])
    // A process of its own has no other way than to ask.
    expect(await own(models.OWN.sync)).toBe(
      /process|socket|message/i.test(kind.name) && !kind.name.startsWith('in process') ? 0xee : 3,
    )
    if (isProgram) return
    await own(models.OWN.trap)
    expect(memory?.mode).toBe('trapped')
    await own(models.OWN.unmap)
    expect(memory?.placed).toEqual([])
  })

  test('the machine’s own requests arrive: power off, reset, exit', async () => {
    await start()
    for (const action of [models.DO.powerOff, models.DO.reset, models.DO.exit])
      await done(portWrite(models.CONTROL, action))
    expect(world.events).toEqual(['power off', 'reset', 'exit 3'])
  })

  test('TIMEOFFSET and INVALIDATE reach the models', async () => {
    await start()
    expect(world.dispatch.timeOffset(-60n)).toBe(0)
    if (world.dispatch.requests.invalidate(0) === index.STATUS_RETRY) await until(() => world.completed.includes(0))
    await done(portRead(models.REGISTERS))
    expect(await log()).toEqual([...(kind.program === undefined ? ['time -60', 'invalidate'] : []), 'r1@0'])
  })

  test('INVALIDATE tells the models which frames it is about', async () => {
    await start()
    const frames = [
      { gfn: 0x10, count: 3, writesOnly: false },
      { gfn: 2 ** 36 - 1, count: 1, writesOnly: false },
      { gfn: 0x20, count: 1, writesOnly: true },
    ]
    for (const notice of [
      { epoch: 1, frames },
      { epoch: 2, frames: [] },
      { epoch: 3, frames: null },
    ]) {
      world.completed.length = 0
      if (world.dispatch.requests.invalidate(1, notice) === index.STATUS_RETRY)
        await until(() => world.completed.includes(1))
    }
    if (kind.program !== undefined) return
    expect(await log()).toEqual([`invalidate ${JSON.stringify(frames)}`, 'invalidate []', 'invalidate'])
  })

  test('an access that no range holds is nobody’s', async () => {
    await start()
    expect(await world.access(0, portRead(0x300, 2))).toBe(index.STATUS_UNHANDLED)
    expect(world.dispatch.lo).toBe(0xffff)
  })

  describe('a model that misbehaves', () => {
    const outcomes = [
      { policy: 'crash' as const, status: index.STATUS_ERROR },
      { policy: 'detach' as const, status: index.STATUS_UNHANDLED },
    ]
    const ways = [
      { how: 'throws', at: models.BADLY.throw, message: /thrown in a handler/ },
      { how: 'throws later', at: models.BADLY.throwLater, message: /thrown later/ },
      // In C there is nothing but numbers.
      ...(kind.program === 'C'
        ? []
        : [
            {
              how: 'answers what is no number',
              at: models.BADLY.answerText,
              message: /with string text|returned 'text'/,
            },
          ]),
    ]
    const cases = ways.flatMap((way) => outcomes.map((outcome) => ({ ...way, ...outcome })))
    test.each(cases)('$how: policy $policy', async ({ at, message, policy, status }) => {
      await start({ policy })
      const given = await world.access(0, portRead(models.BAD + at))
      expect([STATUS[given], world.dispatch.lo]).toEqual([STATUS[status], 0xff])
      expect(world.failures.map((f) => [f.device, f.request])).toEqual([
        ['bad', `port read of 1 bytes at 0x${(models.BAD + at).toString(16)}`],
      ])
      expect(String(world.failures[0]!.cause)).toMatch(message)
      if (policy === 'crash') return
      // The others go on, and the bad one is all ones.
      await done(portWrite(models.REGISTERS, 0x77))
      expect(await done(portRead(models.REGISTERS))).toBe(0x77)
      expect(await done(portRead(models.BAD + at))).toBe(0xff)
      expect(world.failures).toHaveLength(1)
    })

    test('throws in a timer', async () => {
      await start({ policy: 'detach' })
      await done(portRead(models.BAD + models.BADLY.throwInTimer))
      await until(() => world.failures.length > 0)
      expect(world.failures.map((f) => [f.device, f.request])).toEqual([['bad', 'timer at 0 ns']])
      await done(portRead(models.REGISTERS))
    })

    test.each(outcomes)('does not answer before the deadline: policy $policy', async ({ policy, status }) => {
      await start({ policy, deadlineMs: 300 })
      const given = await world.access(0, portRead(models.BAD + models.BADLY.hang))
      expect([STATUS[given], world.dispatch.lo]).toEqual([STATUS[status], 0xff])
      expect(String(world.failures[0]!.cause)).toMatch(/no answer within 300 ms/)
      expect(world.failures).toHaveLength(1)
    })

    // In the domain's own process its end is the domain's too.
    const ends = [
      { how: 'dies', at: models.BADLY.die, message: /ended with|connection was lost/ },
      ...(kind.program === undefined
        ? []
        : [
            {
              how: 'answers with another frame',
              at: models.BADLY.otherFrame,
              message: /a read, with done: expected answer/,
            },
          ]),
    ].flatMap((way) => outcomes.map((outcome) => ({ ...way, ...outcome })))
    if (kind.separate === true)
      test.each(ends)('$how: policy $policy', async ({ at, message, policy, status }) => {
        await start({ policy })
        const given = await world.access(0, portRead(models.BAD + at))
        expect([STATUS[given], world.dispatch.lo]).toEqual([STATUS[status], 0xff])
        expect(String(world.failures[0]!.cause)).toMatch(message)
        expect(world.failures).toHaveLength(1)
        // Nobody is there any more; the process and its dispatcher are.
        expect(await world.access(0, portRead(models.REGISTERS))).toBe(index.STATUS_UNHANDLED)
      })

    if (kind.direct !== true)
      test('its cancelled request is drained when the deadline has passed', async () => {
        await start({ policy: 'detach', deadlineMs: 300 })
        expect(world.dispatch.submit(0, portRead(models.BAD + models.BADLY.hang))).toBe(index.STATUS_RETRY)
        await world.turn()
        world.dispatch.requests.cancel(0)
        expect(world.dispatch.requests.has(0)).toBe(false)
        await until(() => world.failures.length > 0)
        expect(world.failures.map((f) => f.request)).toEqual(['a cancelled request'])
      })
  })

  if (kind.direct !== true)
    test('a cancelled request is drained, and the next one gets its own answer', async () => {
      await start()
      await done(portWrite(models.REGISTERS, 0x11))
      await done(portWrite(models.REGISTERS + 1, 0x22))
      for (let i = 0; i < 5; i++) {
        const first = world.dispatch.submit(0, portRead(models.REGISTERS))
        if (first === index.STATUS_RETRY) world.dispatch.requests.cancel(0)
        expect(await done(portRead(models.REGISTERS + 1))).toBe(0x22)
      }
      const server = world.remote?.server ?? world.host.server
      await until(() => server.slot(0).state === index.STATE_IOREQ_NONE)
      expect(world.failures).toEqual([])
    })
})
