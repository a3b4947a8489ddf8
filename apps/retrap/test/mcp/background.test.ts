/** Machines of `retrap mcp` that run between calls: when they do, how fast their time passes, and forwards. */
import type { DomainClock } from '@retrap/hvm'
import type { ForwardOptions, Guest } from '@retrap/guest'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Background } from '../../src/mcp/background.ts'
import { Forwards } from '../../src/mcp/forwards.ts'
import { HostPacing } from '../../src/mcp/host-pacing.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** A machine that runs until it is stopped, and takes 5 ms for that. */
function machine(admit: () => void = () => undefined) {
  const state = { runs: 0, isRunning: false }
  const background = new Background((signal) => {
    state.runs++
    state.isRunning = true
    return new Promise((resolve) => {
      const stop = (): void =>
        void setTimeout(() => {
          state.isRunning = false
          resolve()
        }, 5)
      if (signal.aborted) stop()
      else signal.addEventListener('abort', stop)
    })
  }, admit)
  return { background, state }
}

describe('a machine in the background', () => {
  test('runs while there is a reason to, and stands still for calls', async () => {
    const { background, state } = machine()
    const [one, two] = [{}, {}]
    background.want(one)
    background.want(two)
    expect(state).toEqual({ runs: 1, isRunning: true })
    const held = background.hold()
    await vi.advanceTimersByTimeAsync(5)
    await held
    background.want({})
    expect(state).toEqual({ runs: 1, isRunning: false })
    background.release()
    expect(state).toEqual({ runs: 2, isRunning: true })
    background.unwant(one)
    expect(background.isWanted).toBe(true)
    const ended = background.end()
    await vi.advanceTimersByTimeAsync(5)
    await ended
    expect({ ...state, isWanted: background.isWanted }).toEqual({ runs: 2, isRunning: false, isWanted: false })
    background.release()
    expect(state.runs).toBe(2)
  })

  test('goes on where it is wanted again, or let go, before it stands still', async () => {
    const { background, state } = machine()
    const reason = {}
    background.want(reason)
    background.unwant(reason)
    background.want(reason)
    await vi.advanceTimersByTimeAsync(5)
    expect(state).toEqual({ runs: 2, isRunning: true })
    void background.hold()
    // The call has given up waiting.
    background.release()
    await vi.advanceTimersByTimeAsync(5)
    expect(state).toEqual({ runs: 3, isRunning: true })
  })

  test('does not run where it is not admitted', () => {
    const { background, state } = machine(() => {
      throw new Error('too many')
    })
    expect(() => background.want({})).toThrow('too many')
    expect({ ...state, isWanted: background.isWanted }).toEqual({ runs: 0, isRunning: false, isWanted: false })
  })
})

describe("a guest's time", () => {
  const MS = 1e6
  const at = (ms: number): { lo: number; hi: number } => ({
    lo: (ms * MS) >>> 0,
    hi: Math.floor((ms * MS) / 2 ** 32),
  })
  const guest = () => {
    let time = 0
    const clock = {
      now: () => time,
      advance: (ns: number) => void (time += ns),
      skipTo: ({ lo, hi }: { lo: number; hi: number }) => void (time = Math.max(time, hi * 2 ** 32 + lo)),
    }
    const pacing = new HostPacing(clock as unknown as DomainClock)
    pacing.isOn = true
    pacing.restart()
    return { clock, pacing, ms: () => Math.round(time / MS) }
  }

  test('goes on to a timer only when as much of the time of the host has passed', () => {
    const { clock, pacing, ms } = guest()
    expect(pacing.early(at(5000))).toBeCloseTo(5000)
    vi.advanceTimersByTime(2000)
    // An input comes: it comes at this time, and the timer is still 3 s ahead.
    pacing.begin()
    expect(ms()).toBe(2000)
    expect(pacing.early(at(5000))).toBeCloseTo(3000)
    vi.advanceTimersByTime(2999.5)
    pacing.begin()
    expect(pacing.early(at(5000))).toBe(0)
    clock.skipTo(at(5000))
    // It was early by half a millisecond, which is not forgotten.
    expect(pacing.early(at(6000))).toBeCloseTo(1000.5)
  })

  test('does not make up for what the guest or the host was too slow for', () => {
    const { clock, pacing, ms } = guest()
    expect(pacing.early(at(1000))).toBeCloseTo(1000)
    vi.advanceTimersByTime(1000)
    pacing.begin()
    // 100 ms of the guest take a second of the host.
    clock.advance(100 * MS)
    vi.advanceTimersByTime(1000)
    expect(pacing.early(at(1200))).toBeCloseTo(100)
    // The machine stands still for an hour, and its guest has seen nothing of it.
    vi.advanceTimersByTime(3_600_000)
    pacing.restart()
    pacing.begin()
    expect(ms()).toBe(1100)
    expect(pacing.early(at(1200))).toBeCloseTo(100)
  })

  test('is its own where nobody wants it to be as that of the host', () => {
    const { pacing, ms } = guest()
    pacing.isOn = false
    expect(pacing.early(at(5000))).toBe(0)
    vi.advanceTimersByTime(1000)
    pacing.begin()
    expect(ms()).toBe(0)
  })
})

describe('forwards of a machine', () => {
  function opened(isLate = false) {
    const { background, state } = machine()
    const told: { close: number[]; options: ForwardOptions[] } = { close: [], options: [] }
    const answer = Promise.withResolvers<void>()
    if (!isLate) answer.resolve()
    let last = 40_000
    const guest = {
      async forward(_: number, options: ForwardOptions) {
        told.options.push(options)
        await answer.promise
        const port = options.hostPort ?? ++last
        return { port, close: () => told.close.push(port) }
      },
    } as unknown as Guest
    return { background, state, told, guest, answer, forwards: new Forwards(background) }
  }

  test('keep it running until the last one is closed, or its time is over', async () => {
    const { background, told, guest, forwards } = opened()
    expect(await forwards.open(guest, 80, undefined, 100)).toBe(40_001)
    expect(await forwards.open(guest, 81, 8081, 10)).toBe(8081)
    expect(told.options.map(({ hostAddress }) => hostAddress)).toEqual(['127.0.0.1', '127.0.0.1'])
    told.options[1]!.onError!(new Error('refused\u001b[2J'))
    expect(forwards.all).toEqual([
      { port: 40_001, guestPort: 80, trouble: undefined },
      { port: 8081, guestPort: 81, trouble: 'refused\\x1b[2J' },
    ])
    await vi.advanceTimersByTimeAsync(10_000)
    expect([told.close, background.isWanted]).toEqual([[8081], true])
    expect([forwards.close(8081), forwards.close(40_001)]).toEqual([false, true])
    expect(background.isWanted).toBe(false)
    await vi.advanceTimersByTimeAsync(100_000)
    expect(told.close).toEqual([8081, 40_001])
  })

  test('are sixteen at most, and none is open behind the end of all', async () => {
    const { background, told, guest, forwards } = opened()
    await Promise.all(Array.from({ length: 16 }, () => forwards.open(guest, 80, undefined, 100)))
    await expect(forwards.open(guest, 80, undefined, 100)).rejects.toMatchObject({ code: 'ERR_LIMIT' })
    expect(forwards.closeAll()).toHaveLength(16)
    expect([told.close.length, background.isWanted]).toEqual([16, false])

    const late = opened(true)
    const opening = late.forwards.open(late.guest, 80, undefined, 100)
    expect(late.background.isWanted).toBe(true)
    late.forwards.closeAll()
    late.answer.resolve()
    await expect(opening).rejects.toMatchObject({ code: 'ERR_STATE' })
    expect([late.told.close, late.forwards.all, late.background.isWanted]).toEqual([[40_001], [], false])
  })
})
