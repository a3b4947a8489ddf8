/** Why machines end, from why their domains do; and how a domain is taken through S3. */
import { describe, expect, test } from 'vitest'
import { type DescribeCrash, machineExit } from '../src/lifecycle/machine-exit.ts'
import { type FinalExit, Sleep, type SleepParts } from '../src/lifecycle/sleep.ts'

describe('a machine ends', () => {
  const describeCrash: DescribeCrash = (vcpu, message) => ({ message: `vCPU ${vcpu}: ${message}` })
  const failure = (more: object): FinalExit =>
    ({ reason: 'memory-failure', failure: { vcpu: 1, gfn: 0x1f, ...more } }) as never

  test.each<[FinalExit, object]>([
    [{ reason: 'power-off' }, { reason: 'power-off' }],
    [{ reason: 'reset' }, { reason: 'reset' }],
    [{ reason: 'stopped' }, { reason: 'stopped' }],
    [
      { reason: 'debug-exit', code: 33 },
      { reason: 'debug-exit', code: 33 },
    ],
    [
      { reason: 'vcpu-shutdown', vcpu: 2 },
      { reason: 'triple-fault', detail: { message: 'vCPU 2: vCPU 2 shut down after a triple fault' } },
    ],
    [{ reason: 'guest-shutdown', vcpu: 0, code: 'suspend' }, { reason: 'suspend' }],
    [{ reason: 'guest-shutdown', vcpu: 0, code: 'soft-reset' }, { reason: 'reset' }],
    [
      { reason: 'guest-shutdown', vcpu: 3, code: 'watchdog' },
      { reason: 'guest-crash', detail: { message: 'vCPU 3: a watchdog of the guest has bitten' } },
    ],
    [
      { reason: 'guest-shutdown', vcpu: 3, code: 'crash' },
      { reason: 'guest-crash', detail: { message: 'vCPU 3: the guest says that it has crashed' } },
    ],
    [
      failure({ cause: 'unreadable', error: new Error('no disk') }),
      {
        reason: 'internal-error',
        detail: { message: 'the saved contents of guest frame 0x1f cannot be read: no disk' },
      },
    ],
    [
      failure({ cause: 'paged' }),
      { reason: 'internal-error', detail: { message: 'vCPU 1: guest frame 0x1f cannot be accessed: paged' } },
    ],
  ])('%j: %j', (exit, end) => expect(machineExit(exit, describeCrash)).toEqual(end))

  test('with the stack of an error of ours', () => {
    const { reason, detail } = machineExit(
      { reason: 'internal-error', vcpu: 1, error: new Error('ours') },
      describeCrash,
    )
    expect([reason, detail?.message]).toEqual(['internal-error', expect.stringMatching(/^vCPU 1: Error: ours\n +at /)])
  })

  test.each([
    { vcpu: -1, message: /^guest frame 0x1f cannot be written: / },
    { vcpu: 0, message: /^vCPU 0: guest frame 0x1f cannot be written: / },
  ])('without memory for a copy that vCPU $vcpu needs', ({ vcpu, message }) => {
    const { reason, detail } = machineExit(failure({ vcpu, cause: 'no-copy' }), describeCrash)
    expect([reason, detail?.message]).toEqual(['out-of-memory', expect.stringMatching(message)])
    expect(detail?.message).toMatch(/close clones, or make the machine with a larger forks\.writtenBytes$/)
  })

  test('with the device that failed', () => {
    const exit = {
      reason: 'device-failure',
      failure: { serverName: 's', device: 'd', request: 'a read', cause: new Error('why') },
    } as never
    expect(machineExit(exit, describeCrash)).toEqual({
      reason: 'device-failure',
      detail: { message: 'd of s (a read): why' },
    })
  })
})

describe('a domain sleeps', () => {
  type Exit = Awaited<ReturnType<ConstructorParameters<typeof Sleep>[0]['run']>>

  /** A domain whose runs end as the test says, and all that happens to it. */
  class Sleeper {
    asleep = false
    readonly log: string[] = []
    readonly runs: ((domain: Sleeper) => Exit)[] = []
    goesOn = true
    readonly sleep: Sleep

    constructor() {
      const parts: SleepParts = {
        boot: {
          resume: async () => {
            this.log.push('resume')
            return this.goesOn
          },
        },
        life: { paused: async () => void this.log.push('paused') },
        onSleep: (asleep) => void this.log.push(asleep ? 'asleep' : 'awake'),
        sleeper: {
          sleep: async (ms) => void this.log.push(ms === 0 ? 'turn' : `sleep ${ms}`),
          wake: () => void this.log.push('wake'),
        },
      }
      this.sleep = new Sleep(this as never, parts)
    }

    reset(): void {
      this.log.push('reset')
    }
    stop({ reason }: Exit): void {
      this.log.push(`stop ${reason}`)
    }
    async run(): Promise<Exit> {
      this.log.push(this.asleep ? 'run asleep' : 'run')
      return this.runs.shift()!(this)
    }
  }

  test('when it asks for it, until it is woken; its firmware goes on first', async () => {
    const machine = new Sleeper()
    machine.runs.push(
      () => {
        machine.sleep.begin()
        return { reason: 'sleep' }
      },
      () => {
        machine.sleep.end()
        return { reason: 'wake' }
      },
      () => ({ reason: 'pause' }),
      () => ({ reason: 'power-off' }),
    )
    expect(await machine.sleep.run()).toEqual({ reason: 'power-off' })
    expect(machine.log.join(', ')).toBe(
      'run, stop sleep, reset, asleep, paused, turn, run asleep, stop wake, paused, turn, resume, awake, run, paused, turn, run',
    )
    expect([machine.asleep, machine.sleep.isWoken]).toEqual([false, false])
  })

  test('also where the domain ends for another reason meanwhile, and the stop finds it asleep', async () => {
    for (const reason of ['pause', 'stopped'] as const) {
      const machine = new Sleeper()
      machine.runs.push(
        () => {
          machine.sleep.begin()
          return { reason }
        },
        () => ({ reason: 'power-off' }),
      )
      expect(await machine.sleep.run()).toEqual({ reason: reason === 'stopped' ? 'stopped' : 'power-off' })
      expect(machine.asleep).toBe(true)
      expect(machine.log.slice(0, 4)).toEqual(['run', 'stop sleep', 'reset', 'asleep'])
    }
  })

  test.each(['power-off', 'reset'] as const)('not where it ends by %s before', async (reason) => {
    const machine = new Sleeper()
    machine.runs.push(() => {
      machine.sleep.begin()
      return { reason }
    })
    expect(await machine.sleep.run()).toEqual({ reason })
    expect([machine.asleep, machine.log]).toEqual([false, ['run', 'stop sleep']])
  })

  test('once: a pause later is none', async () => {
    const machine = new Sleeper()
    machine.runs.push(
      () => ({ reason: 'pause' }),
      () => ({ reason: 'stopped' }),
    )
    expect(await machine.sleep.run()).toEqual({ reason: 'stopped' })
    expect(machine.log).toEqual(['run', 'paused', 'turn', 'run'])
  })

  test('and is reset where it has left no place to go on', async () => {
    const machine = new Sleeper()
    machine.goesOn = false
    machine.asleep = true
    machine.sleep.isWoken = true
    expect(await machine.sleep.run()).toEqual({ reason: 'reset' })
    expect([machine.asleep, machine.log]).toEqual([false, ['resume', 'awake']])
  })

  test('what would wake it before it asks is forgotten, and one that is awake is not woken', async () => {
    const machine = new Sleeper()
    expect(machine.sleep.isWoken).toBe(false)
    machine.sleep.end()
    expect([machine.sleep.isWoken, machine.log]).toEqual([true, []])
    machine.runs.push(
      () => {
        machine.sleep.begin()
        return { reason: 'sleep' }
      },
      () => ({ reason: 'stopped' }),
    )
    expect(await machine.sleep.run()).toEqual({ reason: 'stopped' })
    expect([machine.asleep, machine.sleep.isWoken]).toEqual([true, false])
  })
})
