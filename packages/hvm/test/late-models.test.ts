/** Models of this process that wait, on deterministic time, for what cannot come before they have answered. */
import { defineDevice, type DeviceContext, type DeviceModel } from '@retrap/device'
import { al, dword, eax, ecx, imm8 } from '@retrap/x86-assembler'
import { expect, test, vi } from 'vitest'
import { DeterministicClock } from '../src/index.ts'
import { EXIT_PORT, Guest, realClock } from './support/guest.ts'

const PORT = 0x80

/** Answers when virtual time has passed. */
function answersLater(): DeviceModel {
  let context: DeviceContext
  return defineDevice({
    name: 'later',
    stateless: true,
    ports: { base: PORT, size: 1 },
    attach: (given) => void (context = given),
    read: () => new Promise((resolve) => context.timer(() => resolve(1)).arm(context.clock.now() + 1000)),
  })
}

/** Has a timer whose callback ends when another timer has fired. */
function settlesLater(): DeviceModel {
  let context: DeviceContext
  return defineDevice({
    name: 'settles later',
    stateless: true,
    ports: { base: PORT, size: 1 },
    attach: (given) => void (context = given),
    write: () => {
      const timer = context.timer(async () => {
        await new Promise<void>((resolve) => context.timer(() => resolve()).arm(context.clock.now() + 1000))
      })
      timer.arm(500)
    },
    read: () => 0,
  })
}

const machine = (model: DeviceModel, policy: 'crash' | 'detach', deviceDeadlineMs?: number): Guest =>
  new Guest(
    (asm) => {
      asm.out(imm8(PORT), al).in(al, imm8(PORT)).mov(dword(0x4000), eax)
      // Some rounds: timers fire between two of them.
      asm.mov(ecx, 50_000)
      const loop = asm.here()
      asm.dec(ecx).jnz(loop)
      asm.mov(al, 0).out(EXIT_PORT, al).hlt()
    },
    {
      clock: new DeterministicClock(),
      devices: [model],
      policy,
      ...(deviceDeadlineMs !== undefined && { deviceDeadlineMs }),
    },
  )

test.each([
  { what: 'an answer', model: answersLater, device: 'later', request: 'port read of 1 bytes at 0x80' },
  { what: 'the end of a timer’s callback', model: settlesLater, device: 'settles later', request: 'timer at 500 ns' },
])(
  '$what that needs virtual time to pass is a failure that names model and request',
  async ({ model, device, request }) => {
    const exit = await machine(model(), 'crash', 30).run()
    expect(exit).toMatchObject({ reason: 'device-failure', failure: { device, request } })
    expect(String((exit as { failure: { cause: unknown } }).failure.cause)).toMatch(/within 30 ms$/)
  },
)

test.each([answersLater, settlesLater])(
  'a domain goes on without the model under the policy detach: %o',
  async (model) => {
    const guest = machine(model(), 'detach', 30)
    expect((await guest.run()).reason).toBe('debug-exit')
    expect(guest.failures).toHaveLength(1)
  },
)

test.each([answersLater, settlesLater])('the deadline is 30 seconds where none is given: %o', async (model) => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  try {
    const run = machine(model(), 'crash').run()
    let ended = false
    void run.then(() => (ended = true))
    await vi.advanceTimersByTimeAsync(29_000)
    expect(ended).toBe(false)
    await vi.advanceTimersByTimeAsync(2000)
    expect((await run).reason).toBe('device-failure')
  } finally {
    vi.useRealTimers()
  }
})

test('no deadline is longer than any other', async () => {
  const guest = machine(answersLater(), 'crash', Infinity)
  setTimeout(() => guest.domain.stop({ reason: 'stopped' }), 100)
  expect((await guest.run()).reason).toBe('stopped')
  expect(guest.failures).toHaveLength(0)
})

test('a domain that is stopped while it waits has no deadline; the next run begins a new one', async () => {
  const guest = machine(settlesLater(), 'detach', 60)
  setTimeout(() => guest.domain.stop({ reason: 'stopped' }), 20)
  expect(await guest.run()).toEqual({ reason: 'stopped' })
  await new Promise((resolve) => setTimeout(resolve, 120))
  expect(guest.failures).toEqual([])
  expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
  expect(guest.failures.map(({ device }) => device)).toEqual(['settles later'])
})

test('a timer that a model arms from a promise goes off while every vCPU is halted', async () => {
  const clock = realClock()
  const guest = new Guest((asm) => asm.hlt(), {
    clock,
    devices: [
      defineDevice({
        name: 'continues',
        stateless: true,
        attach(context) {
          const second = context.timer(() => context.requestExit(3))
          context
            .timer(async () => {
              await new Promise((resolve) => setTimeout(resolve, 20))
              second.armAfter(1_000_000)
            })
            .armAfter(1_000_000)
        },
      }),
    ],
  })
  expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 3 })
  // The test's sleeper looks again by itself after five seconds.
  expect(clock.now()).toBeLessThan(4e9)
})
