// Device modules of users, in a folder that has no installation above it: `--device FILE` in the main thread, a Worker and a
// process, and the line of `run --help` that has an editor check their types.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeAll, describe, expect, test } from 'vitest'
import { sliceTests } from '@retrap/tooling/slice'
import { retrapCommand, runRetrap, SOURCE_START } from '../support/processes.ts'

const DEADLINE_MS = 120_000
const DEVICE = fileURLToPath(new URL('../../../../packages/device/', import.meta.url))
/** The oldest compiler that users may have, and the newest. */
const COMPILERS = ['typescript-5', 'typescript'].map((name) =>
  fileURLToPath(new URL(`../../../../node_modules/${name}/bin/tsc`, import.meta.url)),
)

const folder = realpathSync(temporaryFolder('user-modules'))

/** Answers with 42 where the error of the host is of the class that the module has imported. */
const MODULE = `
import { DeviceError, defineDevice } from '@retrap/device'

const value = { read: () => 0, write: () => {} }
export const answer = defineDevice({
  name: 'answer',
  stateless: true,
  mmio: { base: 0xfed9_0000, size: 16 },
  read: (offset: number) => (offset === 0 ? found : 0),
  attach(context) {
    try {
      context.mapPorts(-1, 1, value)
    } catch (error) {
      found = error instanceof DeviceError ? 42 : 13
    }
  },
})
let found = 0
// The process ends all the same.
setInterval(() => {}, 1000)
`
const file = join(folder, 'answer.ts')
writeFileSync(file, MODULE)

test.each(['inline', 'worker', 'process'])(
  'a model with transport=%s has the instance of @retrap/device that retrap has',
  async (transport) => {
    const { code, stdout, stderr } = await runRetrap(['--device', `${file},transport=${transport}`], {
      input: 'memory FED90000\noff\n',
      deadlineMs: DEADLINE_MS,
    })
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^ {2}fed90000 {2}0000002a /m)
  },
  DEADLINE_MS,
)

test('a module whose top level loops holds up neither --timeout nor SIGTERM', { timeout: DEADLINE_MS }, async () => {
  const loops = join(folder, 'loops.mjs')
  writeFileSync(loops, "process.stderr.write('here')\nfor (;;);\n")
  const timed = runRetrap(['--device', loops, '--timeout', '0.5'], { input: '', deadlineMs: DEADLINE_MS })
  const killed = spawn(process.execPath, retrapCommand(['--device', loops]), { stdio: ['ignore', 'ignore', 'pipe'] })
  killed.stderr.once('data', () => killed.kill('SIGTERM'))
  const [code, signal] = (await once(killed, 'exit')) as [number | null, string | null]
  expect([code, signal]).toEqual([null, 'SIGTERM'])
  expect(await timed).toMatchObject({
    code: 124,
    stderr: expect.stringContaining('ended by --timeout after 0.5 s') as string,
  })
})

const mine = (members: string): string => `
import { defineDevice } from '@retrap/device'
const spin = () => { process.stderr.write('here'); for (;;); }
const fail = () => { throw new Error('no luck') }
export const mine = defineDevice({ name: 'mine', stateless: true, mmio: { base: 0xfed9_0000, size: 16 }, read: () => 0, ${members} })
`
/** Starts a machine with the module whose guest reads its device. */
function startedWith(name: string, text: string, transport: string) {
  const module = join(folder, `${name}-${transport}.mjs`)
  writeFileSync(module, text)
  return ['--device', `${module},transport=${transport}`]
}
/** Each of these starts several machines. */
const drawn = sliceTests(6)
const READS = 'memory FED90000\noff\n'

describe('a module fails alike in this process, a Worker and another process: it', () => {
  const attached = (why: string): RegExp =>
    new RegExp(`^retrap: (the device models cannot be started: )?mine: ${why}\n$`)
  drawn.each([
    [
      'throws at its top level',
      "throw new Error('no luck')",
      2,
      () => /^retrap: .*-at-its-top-level-\w+\.mjs cannot be loaded: no luck\n$/,
    ],
    ['throws in attach', mine('attach: fail'), 2, () => attached('attach failed: no luck')],
    ['rejects in attach', mine('async attach() { fail() }'), 2, () => attached('attach returned a promise: .*')],
    [
      'throws in read',
      mine('read: fail'),
      70,
      // One that is elsewhere is a device of its server, which has the module's name.
      (server: string) => new RegExp(`^retrap: the device failed: mine${server} \\(mmio read .*\\): no luck\n$`),
    ],
  ])('%s', { timeout: DEADLINE_MS }, async (what, text, code, line) => {
    const ends = ['inline', 'worker', 'process'].map((transport) =>
      runRetrap(startedWith(what.replaceAll(' ', '-'), text, transport), { input: READS, deadlineMs: DEADLINE_MS }),
    )
    for (const [i, end] of (await Promise.all(ends)).entries())
      expect(end).toMatchObject({
        code,
        stderr: expect.stringMatching(line(i === 0 ? '' : ' of /\\S+\\.mjs')) as string,
      })
  })
})

describe('a model in this process that never returns', () => {
  drawn.each(['attach', 'read'])(
    'from %s holds up neither --timeout nor SIGTERM',
    async (what) => {
      const args = startedWith(`spins-in-${what}`, mine(`${what}: spin`), 'inline')
      const timed = runRetrap([...args, '--timeout', '0.5'], { input: READS, deadlineMs: DEADLINE_MS })
      const killed = spawn(process.execPath, retrapCommand(args), { stdio: 'pipe' })
      killed.stdin.end(READS)
      // A signal of the first half second waits for the model to return.
      killed.stderr.once('data', () => setTimeout(() => killed.kill('SIGTERM'), 1000))
      const hung = setTimeout(() => killed.kill('SIGKILL'), DEADLINE_MS / 2)
      const [code, signal] = (await once(killed, 'exit')) as [number | null, string | null]
      clearTimeout(hung)
      expect([code, signal]).toEqual([null, 'SIGTERM'])
      expect(await timed).toMatchObject({
        code: 124,
        stderr: expect.stringMatching(/^(here)?retrap: ended by --timeout after 0.5 s\n$/) as string,
      })
    },
    DEADLINE_MS,
  )
})

describe('the line of run --help for editors', () => {
  const help = spawnSync(process.execPath, [...SOURCE_START, 'run', '--help'], {
    encoding: 'utf8',
    timeout: DEADLINE_MS,
  })
  const [line = ''] = /\{ "extends": .*\}/.exec(help.stdout) ?? []
  /** Beside the package's manifest, whose types are in `dist` once it is built: here, from the sources as they are. */
  const installed = join(folder, 'installed')
  mkdirSync(installed)
  cpSync(join(DEVICE, 'tsconfig.user.json'), join(installed, 'tsconfig.user.json'))

  function compile(compiler: string, text: string): string {
    writeFileSync(file, text)
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ ...(JSON.parse(line) as object), extends: join(installed, 'tsconfig.user.json') }),
    )
    const { stdout, stderr } = spawnSync(process.execPath, [compiler, '-p', folder], { encoding: 'utf8' })
    return stdout + stderr
  }

  test('names a file of the package', () => {
    expect(JSON.parse(line)).toEqual({ extends: join(dirname(DEVICE), 'device', 'tsconfig.user.json') })
  })

  beforeAll(() => {
    const types = ['--composite', 'false', '--incremental', 'false', '--emitDeclarationOnly', '--declaration']
    const { status, stdout } = spawnSync(
      process.execPath,
      [COMPILERS.at(-1)!, '-p', DEVICE, ...types, '--declarationMap', 'false', '--outDir', join(installed, 'dist')],
      { encoding: 'utf8' },
    )
    expect([status, stdout]).toEqual([0, ''])
  }, DEADLINE_MS)

  test.each(COMPILERS)('is all that %s needs, and has it find mistakes', (compiler) => {
    expect(compile(compiler, MODULE)).toBe('')
    expect(compile(compiler, MODULE.replace('(offset: number)', '(offset: string)'))).toMatch(/error TS\d+/)
    expect(compile(compiler, MODULE.replace("name: 'answer'", 'title: 1'))).toMatch(/error TS\d+/)
  })
})
