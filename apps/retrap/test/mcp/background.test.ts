/** Machines of `retrap mcp` that run between calls: when they do, how fast their time passes, and forwards. */
import type { ForwardOptions, Guest } from '@retrap/guest'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Background } from '../../src/commands/mcp/background.ts'
import { Forwards } from '../../src/commands/mcp/forwards.ts'

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
