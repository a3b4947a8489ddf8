/** The names of kernels, and a program on several: its lines, the table and the reports. No machine is made. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test, vi } from 'vitest'
import { runOnKernels } from '../../src/commands/exec/on-kernels.ts'
import type { ExecHost } from '../../src/commands/exec/run.ts'
import { CliError } from '@retrap/linux-guest/errors'
import { kernelFileName, parseKernel, parseKernels } from '../../src/guests/linux/kernel-names.ts'
import { runFake } from '../support/run-fake.ts'

const folder = temporaryFolder('kernels')
const bzImage = join(folder, 'bzImage')
writeFileSync(bzImage, '')

test.each([
  ['debian:11', 'debian:11', 'debian-11'],
  ['13', 'debian:13', 'debian-13'],
  ['sid', 'debian:sid', 'debian-sid'],
  [bzImage, bzImage, bzImage.replaceAll('/', '-')],
])('%s names a kernel', (given, name, file) => {
  const kernel = parseKernel(given)
  expect(kernel).toMatchObject(given === bzImage ? { name, file: bzImage } : { name, release: name.split(':')[1] })
  expect(kernelFileName(kernel)).toBe(file)
})

test.each([
  ['debian:14', "kernel 'debian:14': there is no such file; Debian's are debian:11, debian:12"],
  ['11,', "kernel '': there is no such file"],
  ['12,13,debian:12', '--kernels 12,13,debian:12: debian:12 is named twice'],
])('%s is refused', (given, message) => expect(() => parseKernels(given)).toThrow(message))

const none = (): void => {}
const AROUND = { env: {}, cwd: '/', setRaw: none, endSoon: none }

/** Runs a program that is told its kernel, on three of them. */
async function runOn(program: (kernel: string, host: ExecHost) => Promise<number>) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const report = join(folder, 'report.xml')
  const host = { ...AROUND, stdin: new PassThrough(), stdout, stderr, on: none, off: none }
  const kernels = parseKernels('11,13,sid')
  const code = await runOnKernels(kernels, 'prog', host, report, ({ name }, around) => program(name, around))
  return {
    code,
    stdout: await text(stdout.end()),
    stderr: await text(stderr.end()),
    report: readFileSync(report, 'utf8'),
  }
}

test('lines have the name of a kernel, and a table has the program and its TAP', async () => {
  const run = await runOn(async (kernel, { stdout, stderr, stdin }) => {
    expect(await text(stdin)).toBe('')
    if (kernel === 'debian:sid') throw new CliError('ERR_FETCH', 'Debian sid (sid) is not at http://mirror')
    const second = kernel === 'debian:11' ? 'not ok 2 - b' : 'ok 2 - b # TODO later'
    for (const piece of ['1..2\nok 1', ` - a\n${second}\nno`, ' end']) stdout.write(Buffer.from(piece))
    stderr.write('retrap: a text of ours\n')
    return kernel === 'debian:11' ? 3 : 0
  })
  const lines = (kernel: string, second: string): string =>
    ['1..2', 'ok 1 - a', second, 'no end'].map((line) => `${kernel} | ${line}\n`).join('')
  expect(run.code).toBe(1)
  expect(run.stdout).toBe(`${lines('debian:11', 'not ok 2 - b')}${lines('debian:13', 'ok 2 - b # TODO later')}\
      debian:11  debian:13  debian:sid
prog  FAILED     ok         FAILED
1 a   ok         ok         -
2 b   FAILED     skipped    -
`)
  const ours = 'retrap: a text of ours\n'
  expect(run.stderr).toBe(`${ours}${ours}retrap: debian:sid: Debian sid (sid) is not at http://mirror\n`)
  expect(run.report).toContain('<testsuites tests="7" failures="3" errors="0" skipped="1"')
  expect(run.report).toContain('<testcase classname="debian:13" name="1 a" time="0.000"/>')
})

test('a program that passes on all kernels ends with 0, and what looks like TAP is none without its plan', async () => {
  const run = await runOn(async (_kernel, { stdout }) => {
    stdout.write(Buffer.from('not ok\n'))
    return 0
  })
  expect([run.code, run.stdout.split('\n').at(-2)]).toEqual([0, 'prog  ok         ok         ok'])
})

test('the first signal is the program’s, and no other kernel follows', async () => {
  const on = vi.fn()
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const host = { ...AROUND, stdin: new PassThrough(), stdout, stderr, on, off: vi.fn() }
  const ran: string[] = []
  const code = await runOnKernels(parseKernels('11,13'), 'prog', host, undefined, async ({ name }, around) => {
    const listener = (): void => void ran.push('signal')
    around.on('SIGINT', listener)
    ran.push(name)
    for (const [signal, heard] of on.mock.calls) if (signal === 'SIGINT') heard()
    around.off('SIGINT', listener)
    return 130
  })
  expect([code, ran]).toEqual([130, ['debian:11', 'signal']])
  expect(new Set(host.off.mock.calls)).toEqual(new Set(on.mock.calls))
})

const tests = (machine: object): string => {
  const path = join(mkdtempSync(join(folder, 'tests-')), 'tests.json')
  writeFileSync(path, JSON.stringify({ machine, ready: 'a', tests: [{ name: 'b', type: 'c', expect: 'd' }] }))
  return path
}
test.each([
  [[{ firmware: bzImage }], 'machine.kernel: not there'],
  [[{ kernel: bzImage, module: 'x y' }], 'machine.module: no kernel of Linux takes it'],
  [[{ kernel: bzImage }, '--tap'], '--tap and --kernels'],
  [[{ kernel: bzImage }, '--gdb', folder], '--gdb: give the one kernel'],
] as const)('test --kernels refuses %j', async ([machine, ...more], message) => {
  const { code, stderr } = await runFake('test', tests(machine), '--kernels', '11,12', ...more)
  expect([code, stderr]).toEqual([2, expect.stringContaining(message)])
})

test('kernels lists versions, and what the cache has', async () => {
  vi.stubEnv('XDG_CACHE_HOME', folder)
  const { stdout } = await runFake('kernels')
  vi.unstubAllEnvs()
  expect(stdout).toMatch(/^kernel +Linux +x86-64 +arm64 +suite\ndebian:11 +5\.10\.\d+-\d+ +- +- +bullseye\n/)
  expect(await runFake('kernels', bzImage)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("is no kernel of Debian's"),
  })
})
