/** Streams of the agent, in shells of this host. */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, connect, type AddressInfo, type Server } from 'node:net'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterAll, describe, expect, test } from 'vitest'
import { connectGuest, type Guest } from '@retrap/guest'
import { type LocalAgent, localAgent } from './support/local-agent.ts'
import { type Shell, shellsOf } from './support/shells.ts'
import { type Request, ScriptedAgent } from './support/scripted-agent.ts'

const scratch = temporaryFolder('streams')

const shells = await shellsOf(scratch)

async function withAgent(
  { command, env }: Shell,
  action: (guest: Guest, agent: LocalAgent) => Promise<void>,
): Promise<void> {
  // A folder of its own: a test that has failed may leave an agent's files behind.
  const agent = localAgent(command, { ...env, TMPDIR: mkdtempSync(join(scratch, 'agent-')) })
  const guest = await connectGuest(agent)
  try {
    await action(guest, agent)
  } finally {
    guest.close()
    await agent.end()
  }
}

async function all(output: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of output) parts.push(part)
  return Buffer.concat(parts)
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

describe.each(shells)('streams in $name', (shell) => {
  test('input goes in and output comes out while a command runs', () =>
    withAgent(shell, async (guest) => {
      const process = await guest.spawn('while read -r line; do echo "<$line>"; echo "$line" >&2; done; exit 3')
      const output = process.stdout[Symbol.asyncIterator]()
      await process.write('first\n')
      expect(String(Buffer.from((await output.next()).value as Uint8Array))).toBe('<first>\n')
      await process.write('second\n')
      expect(String(Buffer.from((await output.next()).value as Uint8Array))).toBe('<second>\n')
      process.end()
      expect((await output.next()).done).toBe(true)
      expect(String(await all(process.stderr))).toBe('first\nsecond\n')
      expect(await process.ended).toEqual({ exitCode: 3 })
      expect((await guest.exec('echo well')).stdout).toBe('well\n')
    }))

  test('what is short goes in with one request, and comes out unasked', () =>
    withAgent(shell, async (guest, agent) => {
      const process = await guest.spawn('cat')
      const output = process.stdout[Symbol.asyncIterator]()
      for (const text of ['\0 \\first\xff\n', 'second', 'third', 'fourth', 'fifth']) {
        const bytes = Buffer.from(text, 'latin1')
        void process.write(bytes)
        expect(Buffer.from((await output.next()).value as Uint8Array)).toEqual(bytes)
      }
      process.end()
      expect((await output.next()).done).toBe(true)
      expect(agent.operations.filter((each) => each === 'type')).toHaveLength(5)
      expect(agent.operations.filter((each) => each === 'feed' || each === 'part')).toEqual([])
    }))

  test('a command waits where nobody reads its output, and its writer where it does not read', () =>
    withAgent(shell, async (guest) => {
      const process = await guest.spawn(
        'i=0; while [ $i -lt 6 ]; do i=$((i+1)); printf "%065536d" 0; echo $i >&2; done',
      )
      void all(process.stderr)
      await new Promise((resolve) => setTimeout(resolve, 500))
      const begun = await guest.exec('cat "${TMPDIR:-/tmp}"/retrap-agent.*/8/out.count')
      expect(Number(begun.stdout)).toBeLessThanOrEqual(3)
      expect((await all(process.stdout)).length).toBe(6 * 65_536)

      const sleeper = await guest.spawn('while [ ! -e "$TMPDIR/awake" ]; do sleep 0.05; done; wc -c')
      let written = 0
      for (let i = 0; i < 20; i++) void sleeper.write(new Uint8Array(12_000)).then(() => written++)
      let before
      do {
        before = written
        await new Promise((resolve) => setTimeout(resolve, 500))
      } while (written > before || written === 0)
      expect(written).toBeLessThan(12)
      await guest.exec('>"$TMPDIR/awake"')
      sleeper.end()
      expect(String(await all(sleeper.stdout)).trim()).toBe('240000')
    }))

  test('signals, an abort, and a command that takes no input', () =>
    withAgent(shell, async (guest) => {
      const sleeper = await guest.spawn('sleep 1000')
      await sleeper.kill()
      for (const output of [sleeper.stdout, sleeper.stderr]) expect((await all(output)).length).toBe(0)
      expect(await sleeper.ended).toEqual({ exitCode: 143 })
      await expect(sleeper.kill('no')).resolves.toBeUndefined()

      const endless = await guest.spawn('echo $$ >"$TMPDIR/endless"; exec yes')
      const output = endless.stdout[Symbol.asyncIterator]()
      await output.next()
      endless.abort()
      await expect(output.next()).rejects.toMatchObject({ code: 'ERR_GUEST_CLOSED' })
      const gone = 'while kill -0 "$(cat "$TMPDIR/endless")" 2>/dev/null; do sleep 0.05; done'
      expect((await guest.exec(gone)).exitCode).toBe(0)

      const deaf = await guest.spawn('exec <&-; echo deaf; sleep 0.3')
      for (let i = 0; i < 20; i++) await deaf.write(new Uint8Array(12_000))
      expect(String(await all(deaf.stdout))).toBe('deaf\n')
      await expect(guest.spawn('a\0b')).rejects.toMatchObject({ code: 'ERR_GUEST_OPTION' })
      const open = await guest.spawn('cat')
      guest.close()
      await expect(open.ended).rejects.toMatchObject({ code: 'ERR_GUEST_CLOSED' })
    }))
})

// The programs that connect are those of busybox, where it is there.
describe.each(shells.slice(-1))('a forwarded port of $name', (shell) => {
  const servers: Server[] = []
  afterAll(() => servers.forEach((server) => server.close()))

  /** Returns what has come, when it has come to its end. */
  async function echoPort(): Promise<number> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {})
      // A loop over the socket itself destroys it at its end, in most versions of Node.
      void all(socket.iterator({ destroyOnReturn: false })).then((bytes) => socket.end(bytes))
    })
    servers.push(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }

  async function echoed(port: number, bytes: Uint8Array): Promise<Buffer> {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    socket.end(bytes)
    return all(socket)
  }

  test('20 connections at once, half-closed, each with its own bytes', () =>
    withAgent(shell, async (guest) => {
      const forward = await guest.forward(await echoPort())
      const sent = [1 << 17, ...Array.from({ length: 19 }, (_, i) => 1000 * i)].map((length) => randomBytes(length))
      const back = await Promise.all(sent.map((bytes) => echoed(forward.port, bytes)))
      expect(back.map(sha256)).toEqual(sent.map(sha256))
      await expect(guest.forward(1, { hostPort: forward.port })).rejects.toMatchObject({ code: 'ERR_GUEST_OPTION' })
      forward.close()
      await expect(echoed(forward.port, sent[1]!)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    }))

  test('a port that nothing listens at: the peer is closed, and the caller is told', () =>
    withAgent(shell, async (guest) => {
      const told = Promise.withResolvers<unknown>()
      const forward = await guest.forward(1, { onError: told.resolve })
      expect((await echoed(forward.port, new Uint8Array(1)).catch(() => Buffer.alloc(0))).length).toBe(0)
      expect(await told.promise).toMatchObject({
        code: 'ERR_GUEST_CONNECT',
        message: expect.stringMatching(/refused/i),
      })
      forward.close()
      await expect(guest.connect(0)).rejects.toMatchObject({ code: 'ERR_GUEST_OPTION' })
      await expect(guest.connect(1, { address: 'a b' })).rejects.toMatchObject({ code: 'ERR_GUEST_OPTION' })
    }))
})

test.runIf(shells.length > 1)(
  'a connection starts four programs, as each takes an emulated guest milliseconds',
  async () => {
    const bin = mkdtempSync(join(scratch, 'counted-'))
    const log = join(bin, 'log')
    const { PATH: programs } = shells[1]!.env
    // Each says its name, and is busybox's then.
    for (const name of 'base64 busybox cat dd head mkdir mkfifo nc rm setsid sleep'.split(' ')) {
      const real = name === 'busybox' ? name : `busybox ${name}`
      const script = `#!/bin/sh\necho ${name} >>'${log}'\nPATH='${programs}' exec ${real} "$@"\n`
      writeFileSync(join(bin, name), script, { mode: 0o755 })
    }
    const server = createServer((socket) => socket.on('data', (bytes) => socket.end(bytes)))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const counted = { name: 'counted', command: ['/bin/sh'], env: { ...process.env, PATH: bin } }
    await withAgent(counted, async (guest) => {
      const echoed = async (): Promise<string> => {
        const connection = await guest.connect(port)
        await connection.write(Buffer.from('typed'))
        return String(await all(connection.readable))
      }
      // What it connects with is found first, and pipes are made for 16.
      expect(await echoed()).toBe('typed')
      writeFileSync(log, '')
      expect(await echoed()).toBe('typed')
      await expect
        .poll(() => readFileSync(log, 'utf8').split('\n').sort().join(' ').trim())
        .toBe('base64 busybox dd dd')
      for (let i = 0; i < 20; i++) expect(await echoed()).toBe('typed')
      expect(readFileSync(log, 'utf8').match(/^(rm|mkfifo)$/gm)).toEqual(['rm', 'mkfifo'])
    })
    server.close()
  },
)

test('an agent of an older version connects by a shell; a guest that has nothing to connect with says so, and may get it later', async () => {
  let found = ''
  const spawned: string[] = []
  const agent: ScriptedAgent = new ScriptedAgent(({ words }) => {
    if (words[0] === 'sync') return ['ok', '4']
    if (words[0] === 'spawn') spawned.push(words[2]!.replaceAll('\\0040', ' '))
    if (words[0] === 'part') return ['ok', Buffer.from(found).toString('base64')]
    return words[0] === 'look' ? ['ok', ...words.slice(1).map((place) => `${place},0,${found ? 1 : 0},0,0`)] : ['ok']
  })
  const guest = await connectGuest(agent)
  await expect(guest.connect(80)).rejects.toMatchObject({ code: 'ERR_GUEST_CONNECT' })
  found = 'nc -N\n'
  for (let i = 0; i < 2; i++) {
    await all((await guest.connect(80)).readable)
  }
  expect(spawned.map((text) => (text.startsWith('exec nc') ? text : 'look'))).toEqual([
    ...['look', 'look'],
    ...['exec nc -N 127.0.0.1 80', 'exec nc -N 127.0.0.1 80'],
  ])
  guest.close()
})

describe('an agent that lies about streams', () => {
  /** A peer that knows of streams, and answers `look` and others as a test says. */
  const liar = (reply: (request: Request) => readonly string[] | undefined): ScriptedAgent =>
    new ScriptedAgent((request) => {
      const [operation] = request.words
      if (operation === 'sync') return ['ok', '2']
      return reply(request) ?? ['ok']
    })
  const looked = (text: string) =>
    liar(({ words }) =>
      words[0] === 'look' ? ['ok', ...text.split(' ')] : words[0] === 'part' ? ['ok', 'QQ=='] : undefined,
    )

  test.each([
    { name: 'no report', look: 'nonsense' },
    { name: 'a report of another stream', look: '9,0,0,0,-' },
    { name: 'reports of two', look: '8,0,0,0,- 9,0,0,0,-' },
    { name: 'input that was not sent', look: '8,1,0,0,-' },
    { name: 'an exit code that is none', look: '8,0,0,0,1000' },
  ])('$name: the stream fails, and the next call begins a new session', async ({ look }) => {
    const agent = looked(look)
    const guest = await connectGuest(agent)
    const process = await guest.spawn('cat')
    await expect(process.ended).rejects.toMatchObject({ code: 'ERR_GUEST_PROTOCOL' })
    await expect(all(process.stdout)).rejects.toMatchObject({ code: 'ERR_GUEST_PROTOCOL' })
    await guest.ping()
    expect(agent.requests.filter(({ words }) => words[0] === 'sync')).toHaveLength(2)
    guest.close()
  })

  test.each([
    { name: 'empty', part: '' },
    { name: 'no base64', part: '*' },
    { name: 'too long', part: 'A'.repeat(31_408) },
  ])('a part that is $name ends the stream', async ({ part }) => {
    const guest = await connectGuest(
      liar(({ words }) => (words[0] === 'look' ? ['ok', '8,0,1,0,-'] : words[0] === 'part' ? ['ok', part] : undefined)),
    )
    const process = await guest.spawn('cat')
    await expect(all(process.stdout)).rejects.toMatchObject({ code: 'ERR_GUEST_PROTOCOL' })
    guest.close()
  })

  test('parts without end wait for their reader, one of each output', async () => {
    const agent = looked('8,0,999999999,999999999,0')
    const guest = await connectGuest(agent)
    const process = await guest.spawn('yes')
    const output = process.stdout[Symbol.asyncIterator]()
    for (let i = 0; i < 3; i++) expect(await output.next()).toEqual({ done: false, value: Uint8Array.of(65) })
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(agent.requests.filter(({ words }) => words[0] === 'part').length).toBeLessThanOrEqual(6)
    process.abort()
    await expect(output.next()).rejects.toMatchObject({ code: 'ERR_GUEST_CLOSED' })
    guest.close()
  })

  test('one that does not answer any more fails in time', async () => {
    const agent = new ScriptedAgent(({ words }) =>
      words[0] === 'sync' ? ['ok', '2'] : words[0] === 'spawn' ? ['ok'] : undefined,
    )
    const guest = await connectGuest(agent, { answerTimeoutMs: 50 })
    const process = await guest.spawn('cat')
    await expect(process.ended).rejects.toMatchObject({ code: 'ERR_GUEST_TIMEOUT' })
    guest.close()
  })

  test('an older agent has no streams, and says so; 33 streams take turns', async () => {
    const old = await connectGuest(new ScriptedAgent(() => []))
    await expect(old.spawn('cat')).rejects.toMatchObject({ code: 'ERR_GUEST_OPTION' })
    old.close()
    const guest = await connectGuest(
      liar(({ words }) =>
        words[0] === 'look' ? ['ok', ...words.slice(1).map((place) => `${place},0,0,0,-`)] : undefined,
      ),
    )
    const running = await Promise.all(Array.from({ length: 32 }, () => guest.spawn('cat')))
    let isThere = false
    const next = guest.spawn('cat').then(() => (isThere = true))
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(isThere).toBe(false)
    running[5]!.abort()
    await next
    guest.close()
  })
})
