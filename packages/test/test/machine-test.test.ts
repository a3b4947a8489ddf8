/** The fixture in a vitest of its own: what a test that fails leaves behind, and gdb at its recording. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { framePacket } from '@retrap/gdb'
import { openBundle, type Pc, type PcSnapshot, replayPc } from '@retrap/machine'
import { readSnapshot } from '@retrap/snapshot'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const scratch = temporaryFolder('test')

/** Starts vitest for the file of tests that fail. */
function vitest(args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const program = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url))
  const config = ['--config', 'test/support/failing/vitest.config.ts']
  return spawn(process.execPath, [program, 'run', ...config, ...args], {
    cwd: root,
    env: { ...process.env, RETRAP_TEST_OUTPUT: scratch, NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/** All that it prints. */
function outputOf(child: ChildProcess): () => string {
  let text = ''
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (bytes: Buffer) => (text += bytes.toString()))
  return () => text
}

/** Sends a packet of gdb's. @returns what is answered */
async function ask(port: number, packets: readonly string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.on('data', (bytes) => (text += bytes.toString()))
  await once(socket, 'connect')
  for (const packet of packets) {
    const answers = text.split('#').length
    socket.write(framePacket(packet))
    await expect.poll(() => text.split('#').length, { timeout: 60_000 }).toBeGreaterThan(answers)
    socket.write('+')
  }
  socket.destroy()
  return text
}

const NAME = 'a test that fails leaves its output and its recording behind, and the command that shows it to gdb'
/** Two processes load all sources, and the host may be busy. */
const LIMIT = { timeout: 600_000 }

test(NAME, LIMIT, async () => {
  const run = vitest([])
  const output = outputOf(run)
  expect(await once(run, 'close')).toEqual([1, null])
  expect(output()).toContain('Tests  1 failed | 2 passed (3)')
  expect(output()).toContain("AssertionError: expected '1\\n' to be '2\\n'")
  const folder = join(scratch, 'failing-ts', 'fails-it-s-meant-to')
  expect(output()).toContain(
    [
      'Machine: The guest has printed:',
      'two',
      '1',
      '>',
      `Its screen: ${join(folder, 'screen.png')}`,
      'Its run is recorded. In a page, at the failure, and back from there:',
      `  retrap web --recording ${folder}`,
      'For gdb:',
      `  RETRAP_REPLAY=${folder} npx vitest run test/support/failing/failing.ts -t '^fails \\(it'\\''s meant to\\)$' --testTimeout=0`,
    ].join('\n'),
  )
  expect(output()).toContain('[2/2]')
  expect(
    [...readFileSync(join(folder, 'screen.png')).subarray(1, 4)].map((byte) => String.fromCharCode(byte)).join(''),
  ).toBe('PNG')
  expect(readFileSync(join(folder, 'serial.txt'), 'utf8')).toBe('two\n1\n> ')
  expect(existsSync(join(scratch, 'failing-ts', 'passes'))).toBe(false)

  // Anybody has the machine with the file alone, at the failure.
  const file = readFileSync(join(folder, 'run.recording'))
  const source = {
    bytes: file.length,
    read: (at: number, bytes: number) => new Uint8Array(file.subarray(at, at + bytes)),
  }
  const { options, snapshot } = await openBundle(source)
  const { state, pages } = await readSnapshot({
    bytes: snapshot!.length,
    read: (at, bytes) => snapshot!.subarray(at, at + bytes),
  })
  let printed = ''
  const onMachine = ({ serial }: Pc): void => serial.onTransmit((bytes) => (printed += Buffer.from(bytes).toString()))
  const found = await replayPc(
    { ...options!, clock: 'deterministic', snapshot: { state, pages } as PcSnapshot },
    source,
    { at: 'end', onMachine },
  )
  expect(printed.replaceAll('\r', '')).toBe('two\n1\n> ')
  found.close()

  const env = { RETRAP_REPLAY: folder }
  const replay = vitest(['-t', "^fails \\(it's meant to\\)$", '--testTimeout=0'], env)
  const said = outputOf(replay)
  await expect.poll(said, { timeout: 300_000 }).toMatch(/gdb -ex 'target remote 127\.0\.0\.1:\d+'/)
  const port = Number(/127\.0\.0\.1:(\d+)/.exec(said())![1])
  const hex = (text: string): string => Buffer.from(text).toString('hex')
  // It stands at the end; a step back, and registers.
  const answers = await ask(port, ['qSupported', 'g', 'bs', 'g', `qRcmd,${hex('kaslr')}`])
  expect(answers).toContain(hex('There is no Linux in memory'))
  expect(answers).toContain('ReverseStep+')
  expect(answers).toMatch(/\$T05/)
  expect(await once(replay, 'close')).toEqual([0, null])
  expect(said()).toContain('3 skipped')
})
