import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readdirSync, readFileSync, copyFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDirectory } from '@retrap/debian'
import { hasProc, hasProgram, skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterAll, expect } from 'vitest'
import { EXEC_DEADLINE_MS as timeout, EXEC_START, retrapExec, runToEnd } from '../support/exec.ts'
import { CANARIES, canaryScript } from '../support/canaries.ts'

const isHere = hasProc && process.arch === 'x64' && hasProgram('apt-get')
const test = sliceTests(4).skipIf(!isHere)
const note = skipNote(isHere, 'it runs programs of an x86-64 Linux host with apt')

/** The processes of one test are not those of another. */
const environment = (folder: string): NodeJS.ProcessEnv => ({
  ...process.env,
  XDG_RUNTIME_DIR: folder,
  RETRAP_STAY: '2m',
})
const folder = isHere ? temporaryFolder('stay') : ''
const env = environment(folder)
const [node = '', ...start] = EXEC_START
const exec = (args: readonly string[], input = ''): ReturnType<typeof retrapExec> => retrapExec(args, input, env)
const running = (): string => exec(['--running']).stdout
afterAll(() => isHere && void exec(['--stop']))

test(`no run leaves anything for another${note}`, { timeout: 2 * timeout }, async () => {
  const run = async (number: number): Promise<string> => {
    const child = spawn(node, [...start, '--', 'sh', '-c', canaryScript(number)], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let said = ''
    child.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()))
    await once(child, 'close')
    return said
  }
  const lines = [await run(0), await run(1), ...(await Promise.all([2, 3, 4, 5].map(run)))]
  const own = lines.map((line) => line.trim().split(' '))
  expect(own.map((words) => words.slice(3).join(' '))).toEqual(own.map(() => CANARIES))
  expect(new Set(own.flatMap((words) => words.slice(0, 3))).size).toBe(3 * own.length)
  expect(running()).toMatch(/^\d+ {2}x86-64 512M {2}\d+M in use {2}\d+ runs, idle, ends in \d+ s\n/)
})

test(`its streams, signals and exit codes are those of a run of its own${note}`, { timeout: 2 * timeout }, async () => {
  const input = 'some\0thing\n'.repeat(50_000)
  expect(exec(['--', 'cat'], input)).toEqual({ code: 0, stdout: input, stderr: '' })
  expect(exec(['--', 'sh', '-c', 'echo out; echo err >&2; exit 7'])).toEqual({
    code: 7,
    stdout: 'out\n',
    stderr: 'err\n',
  })
  expect(exec(['--timeout', '1', '--', 'sleep', '100']).code).toBe(124)
  const piped = `"$@" -- sh -c 'while :; do echo y; done' | head -1; echo "\${PIPESTATUS[0]}"`
  expect(runToEnd('bash', ['-c', piped, 'bash', ...EXEC_START], '', env).stdout).toBe('y\n141\n')
  const child = spawn(
    node,
    [...start, '--', 'sh', '-c', 'trap "echo told; exit 3" INT; echo on; while :; do sleep 0.1; done'],
    { env },
  )
  await once(child.stdout, 'data')
  child.kill('SIGTSTP')
  const stat = (): string => readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]!.slice(0, 1)
  await expect.poll(stat).toBe('T')
  let isHeard = false
  child.stdout.on('data', () => (isHeard = true))
  child.kill('SIGINT')
  await new Promise((resolve) => setTimeout(resolve, 1000))
  expect(isHeard).toBe(false)
  child.kill('SIGCONT')
  expect(await once(child, 'close')).toEqual([3, null])
  const shared = temporaryFolder('stay-share')
  writeFileSync(join(shared, 'a'), 'host\n')
  expect(exec(['--share', `${shared}:rw`, '-w', shared, '--', 'sh', '-c', 'cat a; echo guest >b'])).toMatchObject({
    code: 0,
    stdout: 'host\n',
  })
  expect(readFileSync(join(shared, 'b'), 'utf8')).toBe('guest\n')
})

test(
  `a run without end stops no other; --stop ends it, and its user is told${note}`,
  { timeout: 2 * timeout },
  async () => {
    exec(['--', 'true'])
    const child = spawn(node, [...start, '--', 'sh', '-c', 'echo on; while :; do :; done'], { env })
    let said = ''
    child.stderr.on('data', (bytes: Buffer) => (said += bytes.toString()))
    await once(child.stdout, 'data')
    expect(exec(['--', 'echo', 'beside'])).toEqual({ code: 0, stdout: 'beside\n', stderr: '' })
    expect(exec(['--stop']).stdout).toContain('has ended, and 1 of its runs with it')
    expect(await once(child, 'close')).toEqual([125, null])
    expect(said).toMatch(/^retrap: the process that stays has ended, and with it this run; [^\n]*\n$/)
    expect(running()).toBe('no process stays\n')
  },
)

test(`a folder that is not the user's alone is told, and the run has a process of its own${note}`, { timeout }, () => {
  const other = temporaryFolder('stay-open')
  mkdirSync(join(other, 'retrap'))
  chmodSync(join(other, 'retrap'), 0o755)
  const { stderr, ...ended } = retrapExec(['--', 'echo', 'hi'], '', environment(other))
  expect(ended).toEqual({ code: 0, stdout: 'hi\n' })
  expect(stderr).toMatch(
    /^retrap: --stay: \S+\/retrap is not a folder of yours alone; [^\n]*; this run has a process of its own\n$/,
  )
})

test(`a prepared machine that is replaced in the cache ends its process${note}`, { timeout }, async () => {
  exec(['--', 'true'])
  const machines = join(cacheDirectory(), 'exec')
  const all = readdirSync(machines).filter((name) => name.endsWith('.snapshot'))
  expect(running()).toContain('x86-64')
  for (const name of all) {
    copyFileSync(join(machines, name), join(machines, `${name}.new`))
    renameSync(join(machines, `${name}.new`), join(machines, name))
  }
  await expect.poll(running, { timeout: 20_000 }).toBe('no process stays\n')
})
