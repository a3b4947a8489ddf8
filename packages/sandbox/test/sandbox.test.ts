import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Sandbox, SandboxError, type SandboxOptions } from '@retrap/sandbox'
import { hasProc, hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { nodeSockets } from '@retrap/network/node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { namedSockets } from '../src/network.ts'

const isHere = hasProc && process.arch === 'x64' && hasProgram('apt-get')
const note = skipNote(isHere, 'it runs programs of an x86-64 Linux host with apt')
/** A kernel may have to be fetched, and booted on a busy host. */
const OPEN_MS = 400_000
const folder = isHere ? temporaryFolder('sandbox') : ''

const codeOf = (error: unknown): string => (error instanceof SandboxError ? error.code : String(error))
const refusal = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'none', codeOf)

describe.skipIf(!isHere)(`a sandbox${note}`, { timeout: 120_000 }, () => {
  let box: Sandbox
  beforeAll(async () => {
    mkdirSync(join(folder, 'shared'))
    writeFileSync(join(folder, 'shared/of-host'), 'host')
    box = await Sandbox.open({
      cwd: '/tmp',
      env: { COLOUR: 'red' },
      share: [
        { path: join(folder, 'shared'), at: '/shared', writable: true },
        { path: folder, at: '/read' },
      ],
    })
  }, OPEN_MS)
  afterAll(() => box?.close())

  test('runs commands with input, variables, a folder, exit codes and signals', async () => {
    const script = 'read line; echo "$line $COLOUR $SHAPE $PWD $(id -u)"; echo two >&2; exit 7'
    const options = { stdin: 'one\n', env: { SHAPE: 'round' }, cwd: '/' }
    expect(await box.run(script, options)).toEqual({ code: 7, stdout: 'one red round / 0\n', stderr: 'two\n' })
    expect(await box.run(['printf', '%s|', 'a b', '$HOME'])).toMatchObject({ code: 0, stdout: 'a b|$HOME|' })
    expect(await box.run('kill -SEGV $$')).toMatchObject({ code: 139, signal: 'SIGSEGV' })
    const large = 'x'.repeat(300_000)
    expect((await box.run('wc -c', { stdin: large })).stdout.trim()).toBe('300000')
    // A program may end without reading its input.
    expect((await box.run('true', { stdin: large })).code).toBe(0)
    const many = await Promise.all(Array.from({ length: 40 }, (_, i) => box.run(`sleep 0.2; echo ${i}`)))
    expect(many.map(({ stdout }) => Number(stdout))).toEqual(Array.from({ length: 40 }, (_, i) => i))
  })

  test('ends commands that take too long, print too much or are not wanted any more, with all that they have started', async () => {
    const late = await box.run('echo begun; sleep 471 & sleep 472', { timeout: 1000 }).catch((error: unknown) => error)
    expect(late).toMatchObject({ code: 'ERR_SANDBOX_TIMEOUT', stdout: 'begun\n' })
    expect(await refusal(box.run('yes', { maxOutputBytes: 100_000 }))).toBe('ERR_SANDBOX_OUTPUT')
    const stop = new AbortController()
    setTimeout(() => stop.abort(new Error('stopped')), 300)
    await expect(box.run('sleep 473', { signal: stop.signal })).rejects.toThrow('stopped')
    const left = await box.run(`cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -c '^47[123]$'`)
    expect(left.stdout).toBe('0\n')
    expect(await refusal(box.run(['no-such-program']))).toBe('ERR_SANDBOX_COMMAND')
    expect(await refusal(box.run('true', { cwd: '/no-such-folder' }))).toBe('ERR_SANDBOX_COMMAND')
    expect(await refusal(box.run(['echo', 'x'.repeat(300_000)]))).toBe('ERR_SANDBOX_OPTION')
  })

  test('reads, writes, lists and removes files as its commands see them', async () => {
    const bytes = Uint8Array.from({ length: 400_000 }, (_, i) => (i * 7919) >>> 3)
    await box.files.write('deep/er/data', bytes, { mode: 0o600 })
    expect(await box.files.read('/tmp/deep/er/data')).toEqual(bytes)
    expect((await box.run('stat -c "%a %s" deep/er/data; ln -s er deep/link; mkfifo deep/pipe')).stdout).toBe(
      '600 400000\n',
    )
    const found = (await box.files.list('deep')).toSorted((a, b) => a.name.localeCompare(b.name))
    const types = { er: 'directory', link: 'symlink', pipe: 'other' }
    expect(found).toEqual(Object.entries(types).map(([name, type]) => ({ name, type })))
    expect(await box.files.stat('deep/link')).toMatchObject({ type: 'directory' })
    expect(await box.files.stat('deep/link', { link: true })).toMatchObject({ type: 'symlink' })
    await box.files.write('deep/er/data', '+', { append: true })
    expect((await box.files.stat('deep/er/data')).size).toBe(400_001)
    await box.files.rename('deep/er/data', 'moved')
    await box.files.remove('moved')
    await box.files.makeFolder('deep/er')
    const missing = await box.files.read('moved').catch((error: unknown) => error)
    expect(missing).toMatchObject({ code: 'ERR_SANDBOX_FILE', errno: 'ENOENT' })
    expect(await box.files.readText('/shared/of-host')).toBe('host')
    await box.run('echo guest >/shared/of-guest')
    expect(readFileSync(join(folder, 'shared/of-guest'), 'utf8')).toBe('guest\n')
    expect((await box.run('echo x >/read/no')).code).not.toBe(0)
  })

  test('forks while a command runs: it goes on in both, and nothing else is seen by the other', async () => {
    const script = 'echo begun; read line; echo "$line" >said; sleep 1; echo end >>said'
    const running = await box.spawn(script, { stdin: true })
    const reader = running.stdout.getReader()
    expect(Buffer.from((await reader.read()).value!).toString()).toBe('begun\n')
    const writer = running.stdin!.getWriter()
    await writer.write(Buffer.from('to both\n'))
    await using fork = await box.fork()
    expect(await running.ended).toEqual({ code: 0 })
    await writer.close().catch(() => undefined)
    // The copy's command ends by itself, and nobody hears of it.
    await expect.poll(() => fork.files.readText('said'), { timeout: 30_000 }).toBe('to both\nend\n')
    await fork.run('echo changed >said; hostname')
    expect(await box.files.readText('said')).toBe('to both\nend\n')
    const random = (one: Sandbox): Promise<string> =>
      one.run('head -c 8 /dev/urandom | od -An -tx1').then((o) => o.stdout)
    // Both begin at the same instant, with the same state of the generator.
    const start = await fork.checkpoint()
    await using other = await box.at(start)
    await using twin = await box.at(start)
    await start.close()
    expect(new Set([await random(box), await random(fork), await random(other), await random(twin)]).size).toBe(4)
    const clock = Number((await other.run('date +%s')).stdout)
    expect(Math.abs(clock - Date.now() / 1000)).toBeLessThan(5)
  })

  test('goes back to checkpoints, which are a tree', async () => {
    await box.files.write('state', '0')
    const first = await box.checkpoint()
    await box.files.write('state', '1')
    const second = await box.checkpoint()
    await box.files.write('state', '2')
    await using again = await box.at(first)
    const third = await again.checkpoint()
    await using later = await again.at(second)
    const states = [again, later, box].map((one) => one.files.readText('state'))
    expect(await Promise.all(states)).toEqual(['0', '1', '2'])
    expect([second.parent, third.parent, first.parent]).toEqual([first, first, undefined])
    expect([...first.children]).toEqual([second, third])
    await Promise.all([first, second, third].map((one) => one.close()))
    expect(await refusal(box.at(first))).toBe('ERR_SANDBOX_CLOSED')
    expect(await later.files.readText('state')).toBe('1')
  })

  test('that is closed rejects what waits, and all later calls; others go on', async () => {
    const fork = await box.fork()
    const waits = refusal(fork.run('sleep 474'))
    await fork.run('true')
    await fork.close()
    await fork.close()
    expect(await waits).toBe('ERR_SANDBOX_CLOSED')
    const calls = [fork.run('true'), fork.files.read('/etc/passwd'), fork.fork(), fork.checkpoint(), fork.spawn('true')]
    expect(await Promise.all(calls.map(refusal))).toEqual(calls.map(() => 'ERR_SANDBOX_CLOSED'))
    // Its processes are not there, and it takes no time.
    expect((await box.run('echo on')).stdout).toBe('on\n')
    const dead = await box.fork()
    expect(await refusal(dead.run('echo o >/proc/sysrq-trigger; sleep 60'))).toBe('ERR_SANDBOX_ENDED')
    expect(await refusal(dead.run('true'))).toBe('ERR_SANDBOX_ENDED')
    await dead.close()
  })
})

test('options that are wrong are refused by a sentence', async () => {
  const wrong: readonly SandboxOptions[] = [
    { image: 'a', root: '/b' },
    { network: [] },
    { network: ['http://a'] },
    { memoryBytes: 1 },
    { share: [{ path: '/no-such-folder' }] },
    { share: [{ path: '/', at: '/host' }] },
  ]
  for (const options of wrong)
    expect(await refusal(Sandbox.open(options)), JSON.stringify(options)).toBe('ERR_SANDBOX_OPTION')
})

test('a network of names reaches these alone, by the addresses that they have', async () => {
  const server = createServer((_, response) => response.end('hello'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const asked: string[] = []
  const lookup = (name: string): Promise<readonly string[]> => {
    asked.push(name)
    return Promise.resolve(['127.0.0.1'])
  }
  const sockets = namedSockets(['one.test', '*.two.test'], { ...nodeSockets(), lookup })
  const reach = (address: string): Promise<string> =>
    new Promise((resolve) => {
      const silent = { data() {}, ended() {}, drained() {} }
      const socket = sockets.connectTcp(
        { address, port },
        { ...silent, connected: () => (socket.abort(), resolve('reached')), closed: resolve },
      )
    })
  expect(await reach('127.0.0.1')).toBe('refused')
  expect([
    await sockets.lookup('three.test'),
    await sockets.lookup('two.test'),
    await sockets.lookup('xtwo.test'),
  ]).toEqual([null, null, null])
  expect([await sockets.lookup('a.b.TWO.test.'), await sockets.lookup('one.test')]).toEqual([
    ['127.0.0.1'],
    ['127.0.0.1'],
  ])
  expect(asked).toEqual(['a.b.TWO.test.', 'one.test'])
  expect(await reach('127.0.0.1')).toBe('reached')
  expect(await reach('127.0.0.2')).toBe('refused')
  server.close()
})
