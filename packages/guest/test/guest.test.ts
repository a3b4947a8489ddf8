/** The host's side, with peers that are scripted, lose lines, or lie. */
import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { connectGuest, type GuestOptions } from '@retrap/guest'
import { answerLine, running, ScriptedAgent } from './support/scripted-agent.ts'

const FAST: GuestOptions = { connectTimeoutMs: 300, answerTimeoutMs: 300 }
const base64 = (text: string): string => Buffer.from(text).toString('base64')
/** Each output's text, from a block on. */
function printed(...texts: readonly string[]): (output: string, block: number) => string[] {
  return (output, block) => ['ok', base64((texts[Number(output) - 1] ?? '').slice(512 * block))]
}

describe('a command', () => {
  test('has its outputs and its exit code', async () => {
    const agent = running(['running 0', 'end 3 12'], printed('out', 'err'))
    const guest = await connectGuest(agent, FAST)
    const heard: string[] = []
    const onStdout = (bytes: Uint8Array): void => void heard.push(Buffer.from(bytes).toString())
    expect(await guest.exec('a b', { onStdout })).toEqual({
      exitCode: 3,
      signal: null,
      stdout: 'out',
      stderr: 'err',
      stdoutBytes: new Uint8Array(Buffer.from('out')),
      stderrBytes: new Uint8Array(Buffer.from('err')),
    })
    expect(heard).toEqual(['out'])
    expect(agent.requests[1]!.words).toEqual(['exec', '0', '32769', 'none', 'a\\0040b'])
    expect(agent.operations).toEqual(['sync', 'exec', 'poll', 'poll', 'fetch', 'fetch'])
  })

  test('that ends is noticed by what the agent says of itself', async () => {
    const agent = new ScriptedAgent(({ session, id, words }) => {
      if (words[0] === 'sync') return []
      if (words[0] !== 'exec') return ['ok', base64('late')]
      return answerLine(session, id, ['ok']) + answerLine(session, 0, ['end', '0', '137', '1'])
    })
    const guest = await connectGuest(agent, FAST)
    expect(await guest.exec('x')).toMatchObject({ exitCode: 137, signal: 'SIGKILL', stdout: 'late', stderr: '' })
    expect(agent.operations).toEqual(['sync', 'exec', 'fetch'])
  })

  test('with input sends it first, in parts', async () => {
    const agent = running(['end 0 0'])
    const guest = await connectGuest(agent, FAST)
    await guest.exec('staged', { stdin: new Uint8Array(12_001) })
    await guest.exec('x'.repeat(2000))
    expect(agent.requests.map(({ words }) => words.join(' '))).toEqual([
      'sync',
      'put 0 in begin 16000',
      'put 0 in go-on 4',
      'exec 0 32769 staged staged\\0012',
      'poll 0',
      'put 0 script begin 2668',
      'exec 0 32769 none staged',
      'poll 0',
    ])
  })

  test('runs beside seven others, each at a place of its own, and the ninth waits for one', async () => {
    const ended = new Set<string>()
    const agent = new ScriptedAgent(({ words: [operation = '', place = ''] }) => {
      if (operation === 'sync') return []
      if (operation === 'poll') return ended.has(place) ? ['end', place, '1'] : ['running', '0']
      return operation === 'fetch' ? ['ok', base64(`place ${place}`)] : ['ok']
    })
    const guest = await connectGuest(agent, FAST)
    const calls = Array.from({ length: 9 }, (_, i) => guest.exec(`c${i}`))
    const given = new AbortController()
    const tenth = guest.exec('c9', { signal: given.signal }).catch((error: unknown) => error)
    await guest.ping()
    given.abort(new Error('given up'))
    expect(await tenth).toMatchObject({ message: 'given up' })
    const begun = (): readonly string[] =>
      agent.requests.filter(({ words }) => words[0] === 'exec').map(({ words }) => `${words[1]} ${words[4]}`)
    await expect.poll(begun).toHaveLength(8)
    expect(begun()).toEqual(Array.from({ length: 8 }, (_, i) => `${i} c${i}`))
    ended.add('5')
    expect(await calls[5]).toMatchObject({ exitCode: 5, stdout: 'place 5' })
    await expect.poll(begun).toContain('5 c8')
    for (let place = 0; place < 8; place++) ended.add(String(place))
    const codes = (await Promise.all(calls)).map(({ exitCode }) => exitCode)
    expect(codes).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 5])
    // No request is sent before the one before is answered.
    expect(new Set(agent.requests.map(({ id }) => id)).size).toBe(agent.requests.length)
  })

  test('ends when the agent is lost for another one, and the next call begins anew', async () => {
    let isLying = false
    const agent = new ScriptedAgent(({ words: [operation, place] }) => {
      if (operation === 'sync') return []
      if (operation === 'poll') return place === '1' && isLying ? ['nonsense'] : ['running', '0']
      return ['ok']
    })
    const guest = await connectGuest(agent, FAST)
    const [first, second] = [guest.exec('a'), guest.exec('b')].map((call) => call.catch((error: unknown) => error))
    isLying = true
    expect(await second).toMatchObject({ code: 'ERR_GUEST_PROTOCOL', message: /'nonsense' of a command/ })
    await guest.ping()
    expect(await first).toMatchObject({ code: 'ERR_GUEST_PROTOCOL', message: /lost meanwhile/ })
    guest.close()
  })
})

describe('lines that are lost', () => {
  test('are asked for again, by the same id', async () => {
    const agent = new ScriptedAgent(({ words }, times) => {
      if (words[0] === 'sync') return times < 2 ? undefined : []
      return times < 1 ? '\nrt1< 99 garbled\n' : ['ok']
    })
    const guest = await connectGuest(agent, { ...FAST, connectTimeoutMs: 10_000, answerTimeoutMs: 10_000 })
    await guest.ping()
    expect(agent.operations).toEqual(['sync', 'sync', 'sync', 'ping', 'ping'])
    expect(new Set(agent.requests.map(({ session }) => session)).size).toBe(1)
    expect(agent.requests[4]).toEqual(agent.requests[3])
  })

  test('are not sent again before the guest has taken what waits', async () => {
    let sent = 0
    let drain = (): void => {}
    let hear: (bytes: Uint8Array) => void = () => {}
    const connecting = connectGuest(
      {
        onTransmit: (listener) => (hear = listener),
        onDrain: (listener) => (drain = listener),
        receive(bytes) {
          const [, , session = '', id = ''] = Buffer.from(bytes).toString().trim().split(' ')
          if (++sent > 1) queueMicrotask(() => hear(Buffer.from(answerLine(session, id, ['ok', '1']))))
          return sent > 1
        },
      },
      { connectTimeoutMs: 10_000 },
    )
    await wait(600)
    expect(sent).toBe(1)
    drain()
    const guest = await connecting
    expect(sent).toBe(2)
    guest.close()
  })

  test('of another session, another id, or an echo answer nothing', async () => {
    const agent = new ScriptedAgent(({ session, id, words }) => {
      if (words[0] === 'sync') return []
      const echo = `\nrt1> 99 ${session} ${id} ping\n`
      return echo + answerLine('0123456789abcdef', id, ['ok']) + answerLine(session, Number(id) + 1, ['ok'])
    })
    const guest = await connectGuest(agent, FAST)
    await expect(guest.ping()).rejects.toMatchObject({ code: 'ERR_GUEST_TIMEOUT' })
  })
})

describe('a guest that lies', () => {
  test.each([
    ['never answers', undefined],
    ['floods with noise', 'x'.repeat(1_000_000)],
    ['floods with lines', '\nrt1< 9 x 1 ok 1\n'.repeat(10_000)],
  ])('and %s has no connection', async (_, reply) => {
    const agent = new ScriptedAgent(() => reply)
    await expect(connectGuest(agent, FAST)).rejects.toMatchObject({ code: 'ERR_GUEST_TIMEOUT' })
  })

  test('about its protocol has none either', async () => {
    const agent = new ScriptedAgent(() => ['ok', '7'])
    await expect(connectGuest(agent, FAST)).rejects.toMatchObject({ code: 'ERR_GUEST_PROTOCOL' })
  })

  test.each([
    ['a state that there is not', ['dead 0']],
    ['outputs that there are not', ['end 0 3']],
    ['an exit code that is too large', ['end 256 0']],
    ['an end without its words', ['end']],
  ])('with %s is found out, and the next call begins anew', async (_, states) => {
    const agent = running(states)
    const guest = await connectGuest(agent, FAST)
    await expect(guest.exec('x')).rejects.toMatchObject({ code: 'ERR_GUEST_PROTOCOL' })
    await guest.ping()
    expect(agent.operations).toEqual(['sync', 'exec', 'poll', 'sync', 'ping'])
    expect(agent.requests[3]!.session).not.toBe(agent.requests[0]!.session)
  })

  test.each([
    ['no base64', ['ok', 'A']],
    ['more than was asked for', ['ok', 'AAAA'.repeat(8001)]],
    ['a refusal', ['failed']],
    ['more words', ['ok', 'AAAA', 'AAAA']],
  ])('with %s for a part of an output is found out', async (_, part) => {
    const guest = await connectGuest(
      running(['end 0 1'], () => part),
      FAST,
    )
    await expect(guest.exec('x')).rejects.toMatchObject({ code: 'ERR_GUEST_PROTOCOL' })
  })

  test('with endless output is stopped at the limit, which counts both outputs', async () => {
    const part = base64('y'.repeat(23_552))
    let isKilled = false
    const agent: ScriptedAgent = new ScriptedAgent(({ words }) => {
      if (words[0] === 'sync') return []
      if (words[0] === 'kill') isKilled = true
      if (words[0] === 'poll') return isKilled ? ['end', '137', '12'] : ['running', '12']
      return words[0] === 'fetch' ? ['ok', part] : ['ok']
    })
    const guest = await connectGuest(agent, { ...FAST, maxOutputBytes: 100_000 })
    const error = await guest.exec('yes').catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'ERR_GUEST_OUTPUT' })
    expect((error as { output: { stdout: Uint8Array } }).output.stdout).toHaveLength(117_760)
    expect(agent.requests.find(({ words }) => words[0] === 'kill')?.words).toEqual(['kill', '0', 'KILL'])
    expect(agent.requests.find(({ words }) => words[0] === 'exec')?.words[2]).toBe('196')
  })

  test('with two outputs that are each below the limit is stopped, too', async () => {
    for (const [maxOutputBytes, ending] of [
      [1199, { status: 'rejected', reason: { code: 'ERR_GUEST_OUTPUT' } }],
      [1200, { status: 'fulfilled' }],
    ] as const) {
      const agent = running(['running 12', 'end 0 12'], printed('y'.repeat(600), 'y'.repeat(600)))
      const guest = await connectGuest(agent, FAST)
      const [result] = await Promise.allSettled([guest.exec('x', { maxOutputBytes })])
      expect(result).toMatchObject(ending)
    }
  })

  test('with endless full parts is stopped by the time limit between two of them', async () => {
    const part = base64('y'.repeat(23_552))
    const agent = running(['running 1', 'end 143 1'], () => ['ok', part])
    const guest = await connectGuest(agent, FAST)
    // Each part is a turn of microtasks: timers have none.
    const onStdout = (): void => {
      const until = performance.now() + 5
      while (performance.now() < until);
    }
    await expect(guest.exec('x', { timeoutMs: 250, maxOutputBytes: 20_000_000, onStdout })).rejects.toMatchObject({
      code: 'ERR_GUEST_TIMEOUT',
    })
  })

  test('with a command that never ends is given up', async () => {
    const agent = new ScriptedAgent(({ words }) =>
      words[0] === 'sync' ? [] : words[0] === 'exec' ? ['ok'] : undefined,
    )
    const guest = await connectGuest(agent, FAST)
    await expect(guest.exec('x', { timeoutMs: 50 })).rejects.toMatchObject({
      code: 'ERR_GUEST_TIMEOUT',
      message: /50 ms/,
    })
    await expect(guest.exec('x')).rejects.toMatchObject({ code: 'ERR_GUEST_TIMEOUT' })
    expect(agent.operations.filter((name) => name === 'sync')).toHaveLength(2)
  })

  test('when its command is ended begins anew with the next call', async () => {
    const agent = running(['nonsense'])
    const guest = await connectGuest(agent, FAST)
    await expect(guest.exec('x', { timeoutMs: 50 })).rejects.toMatchObject({ code: 'ERR_GUEST_TIMEOUT' })
    await guest.ping()
    expect(agent.operations).toEqual(['sync', 'exec', 'kill', 'poll', 'sync', 'ping'])
  })

  test('and does not answer has seconds to end a command, whatever it has for an answer', async () => {
    vi.useFakeTimers()
    try {
      const agent = new ScriptedAgent(({ words }) => (words[0] === 'sync' ? [] : undefined))
      const guest = await connectGuest(agent, { answerTimeoutMs: 1_000_000 })
      const call = guest.exec('x', { timeoutMs: 1000 }).catch((error: unknown) => error)
      await vi.advanceTimersByTimeAsync(6001)
      expect(await Promise.race([call, Promise.resolve('nothing')])).toMatchObject({ code: 'ERR_GUEST_TIMEOUT' })
    } finally {
      vi.useRealTimers()
    }
  })

  test('with notes without end changes nothing', async () => {
    const agent = new ScriptedAgent(({ session, id, words }) => {
      if (words[0] === 'sync') return []
      return (
        answerLine(session, 0, ['begin', 'x']).repeat(1000) +
        answerLine(session, id, words[0] === 'poll' ? ['end', '0', '0'] : ['ok'])
      )
    })
    const guest = await connectGuest(agent, FAST)
    expect((await guest.exec('x')).exitCode).toBe(0)
  })
})

describe('a call ends', () => {
  test('by its signal, with its reason', async () => {
    const agent = running(['running 0', 'running 0', 'end 143 0'])
    const guest = await connectGuest(agent, FAST)
    const controller = new AbortController()
    setTimeout(() => controller.abort(new Error('enough')), 100)
    await expect(guest.exec('x', { signal: controller.signal })).rejects.toThrow('enough')
    expect(agent.requests.find(({ words }) => words[0] === 'kill')?.words).toEqual(['kill', '0', 'TERM'])
    await expect(guest.exec('x', { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before')
    expect(agent.operations.filter((name) => name === 'exec')).toHaveLength(1)
  })

  test('when the connection is closed, and those that wait', async () => {
    const agent = running(['running 0'])
    const guest = await connectGuest(agent, FAST)
    // More than the agent has places for.
    const calls = [...Array.from({ length: 10 }, () => guest.exec('x')), guest.files.read('/x')]
    setTimeout(() => guest.close(), 100)
    for (const result of await Promise.allSettled(calls))
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'ERR_GUEST_CLOSED' } })
    await expect(guest.ping()).rejects.toMatchObject({ code: 'ERR_GUEST_CLOSED' })
    // The agent ends what it runs.
    expect(agent.operations.at(-1)).toBe('sync')
    guest.close()
    expect(agent.operations.filter((name) => name === 'sync')).toHaveLength(2)
  })
})

test('options are checked', async () => {
  const agent = running(['end 0 0'])
  for (const options of [{ connectTimeoutMs: 0 }, { answerTimeoutMs: 2 ** 31 }, { maxOutputBytes: 1.5 }])
    await expect(connectGuest(agent, options)).rejects.toMatchObject({ code: 'ERR_GUEST_OPTION' })
  const guest = await connectGuest(agent, FAST)
  const calls = [
    guest.exec('a\0b'),
    guest.exec('a', { timeoutMs: -1 }),
    guest.exec('a', { maxOutputBytes: 0 }),
    guest.files.read(''),
    guest.files.list('a\0'),
    guest.files.write('/x', '', { mode: 0o10000 }),
  ]
  for (const result of await Promise.allSettled(calls))
    expect(result).toMatchObject({ status: 'rejected', reason: { code: 'ERR_GUEST_OPTION' } })
  expect(agent.operations).toEqual(['sync'])
})
