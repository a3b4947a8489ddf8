/** Machines that move from one process to another: `--incoming`, `--control`, `retrap migrate`. */
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { al, Assembler, dword, dx, eax, ecx, imm16, imm32 } from '@retrap/x86-assembler'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { armImage, POWER_OFF } from '@retrap/tooling/arm-image'
import { describe, expect, test, vi } from 'vitest'
import { createImage } from '../src/commands/image/create.ts'
import { sendCommand } from '../src/machine/migration/control.ts'
import { parseMigrationAddress } from '../src/machine/migration/socket-channel.ts'
import { runHere } from './support/in-process.ts'
import { runRetrap, type Finished } from './support/processes.ts'

const folder = temporaryFolder('migration')
const path = (name: string): string => join(folder, name)
const DEADLINE_MS = 60_000

/** A kernel that sends a point again and again, until it is sent a byte; it says so and powers off. */
function pointsKernel(): Uint8Array {
  const base = 0x10_0000
  const asm = new Assembler({ bits: 32, address: base })
  const [entry, loop, wait] = [asm.label('entry'), asm.label(), asm.label()]
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), base, base, 0, 0, entry)
  asm.bind(entry).mov(dx, imm16(0x3fb)).mov(al, 3).out(dx, al)
  asm.bind(loop).mov(ecx, imm32(100_000)).bind(wait).inc(dword(0x20_0000)).dec(ecx).jnz(wait)
  asm.mov(dx, imm16(0x3f8)).mov(al, 0x2e).out(dx, al)
  asm.mov(dx, imm16(0x3fd)).in(al, dx).test(al, 1).jz(loop)
  asm.mov(dx, imm16(0x3f8))
  for (const letter of 'bye\n') asm.mov(al, letter.charCodeAt(0)).out(dx, al)
  asm.mov(dx, imm16(0x604)).mov(eax, imm32(0x2000)).out(dx, eax).hlt()
  return asm.assemble().bytes
}
writeFileSync(path('kernel'), pointsKernel())
const MACHINE = ['run', '--kernel', path('kernel'), '--memory', '16M', '--timeout', '50']

/** The same guest, an arm64 Image. */
function armKernel(): Uint8Array {
  const put = [0xb900_0022] // str w2, [x1]
  const program = [
    0xd2a1_2001, // mov x1, #0x9000000: the PL011
    ...[0x5280_0c02, 0xb900_2c22], // eight bits: mov w2, #0x60; str w2, [x1, #0x2c]
    ...[0x5280_6022, 0xb900_3022], // on: mov w2, #0x301; str w2, [x1, #0x30]
    0xd2a0_0204, // again: mov x4, #0x100000
    0xf100_0484, // wait: subs x4, x4, #1
    0x54ff_ffe1, // b.ne wait
    ...[0x5280_05c2, ...put], // mov w2, #'.'
    0xb940_1823, // ldr w3, [x1, #0x18]: the flags
    0x3727_ff43, // tbnz w3, #4, again: nothing received
    ...[...'bye\n'].flatMap((letter) => [0x5280_0002 | (letter.charCodeAt(0) << 5), ...put]),
    ...POWER_OFF,
  ]
  return armImage(...program)
}
writeFileSync(path('arm'), armKernel())
const ARM_MACHINE = ['run', '--arch', 'arm64', '--kernel', path('arm'), '--memory', '64M', '--timeout', '50']

/** Moves a machine. @param there - where to, as both sides have it @param disk - which it may write */
async function move(
  there: string,
  disk: string,
  options: readonly string[] = MACHINE,
): Promise<{ source: Finished; destination: Finished; migrate: Finished }> {
  const control = path('control')
  const incoming = Promise.withResolvers<void>()
  const running = Promise.withResolvers<void>()
  const machine = [...options, '--drive', `file=${disk},if=virtio`]
  const destination = runRetrap([...machine, '--incoming', there], {
    answers: [{ to: '..', type: 'x' }],
    onError: (text) => text.includes('waiting for a machine') && incoming.resolve(),
    deadlineMs: DEADLINE_MS,
  })
  const source = runRetrap([...machine, '--control', control], {
    input: '',
    onOutput: (text) => text.includes('...') && running.resolve(),
    deadlineMs: DEADLINE_MS,
  })
  await Promise.all([incoming.promise, running.promise])
  expect(statSync(control).mode & 0o777).toBe(0o600)
  const migrate = await runRetrap(['migrate', control, there], { deadlineMs: DEADLINE_MS })
  return { source: await source, destination: await destination, migrate }
}

const raw = path('disk.img')
writeFileSync(raw, new Uint8Array(1 << 20))

/** A qcow2 image above the raw one. */
async function overlay(): Promise<string> {
  const top = path('disk.qcow2')
  await createImage(top, 'qcow2', { bytes: 1 << 20 }, { name: raw, format: 'raw' })
  return top
}

test(
  'a machine that does not come is waited for until --timeout, or until its source goes',
  { timeout: DEADLINE_MS },
  async () => {
    const silent: Socket[] = []
    const [gone, ...ends] = await Promise.all(
      ['gone', 'nobody', 'silent'].map((name) =>
        runRetrap([...MACHINE, '--timeout', '2', '--incoming', `unix:${path(name)}`], {
          deadlineMs: DEADLINE_MS,
          onError: (text) => {
            if (name === 'gone' && text.includes('waiting'))
              connect(path(name))
                .on('error', () => {})
                .end('RTM')
            if (name === 'silent' && text.includes('waiting') && silent.length === 0)
              silent.push(connect(path(name)).on('error', () => {}))
          },
        }),
      ),
    )
    expect([gone!.code, gone!.stdout]).toEqual([74, ''])
    expect(gone!.stderr).toContain('retrap: the other side has gone, and the connection with it\n')
    for (const [i, { code, stderr }] of ends.entries()) {
      expect(code).toBe(124)
      expect(stderr).toBe(
        `retrap: waiting for a machine at ${path(['nobody', 'silent'][i]!)}\nretrap: ended by --timeout after 2 s\n`,
      )
    }
    expect(silent).toHaveLength(1)
  },
)

test('a machine goes on in another process, by a Unix socket', { timeout: DEADLINE_MS }, async () => {
  const { source, destination, migrate } = await move(`unix:${path('there')}`, raw)
  expect(migrate).toMatchObject({ code: 0, stderr: '' })
  expect(migrate.stdout).toMatch(
    /^moved to .*there: \d+ ms of standstill, [\d.]+ s in all, [\d.]+ MiB in \d+ rounds\n$/,
  )
  expect(source.code).toBe(0)
  expect(source.stdout).not.toContain('bye')
  expect(source.stderr).toContain('moved to')
  expect(destination).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\.+bye\n$/) })
  expect(destination.stderr).toContain('the machine has arrived, and runs here')
})

test('an Arm board by TCP, with a secret that both sides know', { timeout: DEADLINE_MS }, async () => {
  writeFileSync(path('secret'), 'x'.repeat(32))
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  const { destination } = await move(`tcp:127.0.0.1:${port},secret=${path('secret')}`, await overlay(), ARM_MACHINE)
  expect(destination.stdout).toMatch(/^\.+bye\n$/)
})

/** A run in this process, with --control. A guest that is let go on ends when it has printed. */
async function controlled(name: string, args: readonly string[], answers = [{ to: '..', type: 'x' }]) {
  const [control, seen] = [path(name), { printed: '' }]
  const ended = runHere([...args, '--control', control], {
    ...{ answers, deadlineMs: DEADLINE_MS },
    onOutput: (text) => void (seen.printed = text),
  })
  await Promise.race([ended, vi.waitUntil(() => existsSync(control), DEADLINE_MS)])
  return { control, ended, seen, say: (line: string) => sendCommand(control, line) }
}

describe.each([
  ['a PC', MACHINE],
  ['an Arm board', ARM_MACHINE],
])('%s that its user has paused', (board, machine) => {
  const file = path(`${board}.snapshot`)
  const expectPaused = async ({ seen, say, ended }: Awaited<ReturnType<typeof controlled>>): Promise<void> => {
    expect(await say('info status')).toBe('VM status: paused\n')
    expect(seen.printed).toBe('')
    expect(await say('cont')).toBe('')
    expect(await ended).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\.+bye\n$/) })
  }

  test('stays paused where it is moved, and where it is restored, until cont', { timeout: DEADLINE_MS }, async () => {
    // Its command line says --paused, and its user has let it go on, and has stopped it again.
    const source = await controlled(`${board}-source`, [...machine, '--paused'], [])
    expect(await source.say('cont')).toBe('')
    await vi.waitUntil(() => source.seen.printed.length > 2, DEADLINE_MS)
    await source.say(`savevm "${file}.runs"`)
    await source.say('stop')
    const there = `unix:${path(`${board}-there`)}`
    const arriving = controlled(`${board}-destination`, [...machine, '--incoming', there])
    await vi.waitUntil(() => existsSync(there.slice(5)), DEADLINE_MS)
    expect(await source.say(`migrate "${there}"`)).toContain('moved to')
    const destination = await arriving
    await destination.say(`savevm "${file}"`)
    await expectPaused(destination)
    await expectPaused(await controlled(`${board}-restored`, ['restore', file]))
    const runs = await controlled(`${board}-runs`, ['restore', `${file}.runs`])
    expect(await runs.ended).toMatchObject({ code: 0, stdout: expect.stringContaining('bye') })
    const held = await controlled(`${board}-held`, ['restore', `${file}.runs`, '--paused'])
    expect(await held.say('info status')).toBe('VM status: paused (prelaunch)\n')
    await held.say('quit')
    expect(await held.ended).toMatchObject({ code: 0, stdout: '' })
  })
})

describe('no answer is an error', () => {
  test('an answer of a run that has ended within it, after each of its bytes', async () => {
    const [at, answer] = [path('ends'), 'moved to there\nor not\n\u0004']
    let bytes = 0
    const answers = (socket: Socket) => socket.resume().on('end', () => socket.end(answer.slice(0, bytes)))
    const server = createServer({ allowHalfOpen: true }, answers).listen(at)
    for (; bytes < answer.length; bytes++) {
      const message = `${at}: the run ended before it answered: 'stop' may be done, or not`
      await expect(sendCommand(at, 'stop')).rejects.toMatchObject({ code: 'ERR_INPUT', message })
    }
    expect(await sendCommand(at, 'stop')).toBe(answer.slice(0, -1))
    server.close()
  })

  test.each([
    ['is killed', (pid: number) => process.kill(pid, 'SIGKILL'), /: the run ended before it answered: 'migrate/],
    ['is left', () => sendCommand(path('moving'), 'quit'), /^retrap: the run has ended before the command was done\n$/],
    ['loses its destination', (_: number, socket: Socket) => socket.end(), /^retrap: the other side has gone/],
  ])('a run that %s while its machine is moved', { timeout: DEADLINE_MS }, async (_how, act, expected) => {
    const [control, there] = [path('moving'), path('moving-there')]
    const begun = Promise.withResolvers<number>()
    let printed = ''
    const onOutput = (text: string, pid: number): void => ((printed = text), begun.resolve(pid))
    const ended = runRetrap([...MACHINE, '--control', control], { onOutput, deadlineMs: DEADLINE_MS })
    const pid = await begun.promise
    const server = createServer((socket) => void socket.on('error', () => {}).once('data', () => void act(pid, socket)))
    server.listen(there)
    expect(await sendCommand(control, `migrate unix:${there}`).catch(String)).toMatch(expected)
    server.close()
    if (!expected.source.includes('other side')) return void (await ended)
    const before = printed.length
    await vi.waitUntil(() => printed.length > before, DEADLINE_MS)
    await sendCommand(control, 'quit')
    expect(await ended).toMatchObject({ code: 0 })
  })
})

test('a command for a run that is not there says so', { timeout: DEADLINE_MS }, async () => {
  const { code, stderr } = await runRetrap(['migrate', path('nowhere'), '--resume'], { deadlineMs: DEADLINE_MS })
  expect([code, stderr]).toEqual([74, expect.stringContaining('no run with --control answers there')])
})

describe('addresses', () => {
  test.each([
    ['unix:/tmp/a b', { kind: 'unix', path: '/tmp/a b' }],
    ['tcp:[::1]:80,secret=s', { kind: 'tcp', host: '::1', port: 80, secretFile: 's' }],
  ])('%s', (text, address) => expect(parseMigrationAddress('migrate', text)).toEqual(address))

  test.each([
    ['tcp:host:80', 'a port is open to others; add secret=FILE'],
    ['tcp:host:0,secret=s', 'is no address'],
    ['/tmp/a', 'give unix:PATH or tcp:HOST:PORT,secret=FILE'],
  ])('%s is refused', (text, message) => expect(() => parseMigrationAddress('migrate', text)).toThrow(message))
})
