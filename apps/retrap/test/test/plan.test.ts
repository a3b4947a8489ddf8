/** Files of tests: what they say, and mistakes in them by their places. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { readPlan } from '../../src/commands/test/plan.ts'

const folder = temporaryFolder('plan')
const path = join(folder, 'tests.json')

const whole = {
  machine: { kernel: 'vmlinuz', disks: ['a.qcow2', '/b'], images: ['c'], memory: '64M', cpus: 2 },
  ready: '# ',
  tests: [
    { name: 'one', type: 'uname', expect: 'Linux' },
    { name: 'two', type: '', expect: '#', timeout: 0.5 },
  ],
}

test('is read with its usual values, and files of its folder', async () => {
  writeFileSync(path, JSON.stringify({ ...whole, timeout: 5 }))
  expect(await readPlan(path)).toEqual({
    machine: {
      flags: expect.objectContaining({ kernel: join(folder, 'vmlinuz'), memory: 64 << 20, cpus: 2 }),
      images: [join(folder, 'a.qcow2'), '/b', join(folder, 'c')],
    },
    ready: '# ',
    boot: [],
    prompt: '# ',
    enter: '\n',
    bootTimeoutMs: 300_000,
    tests: [
      { name: 'one', steps: [{ type: 'uname', expect: 'Linux' }], timeoutMs: 5000 },
      { name: 'two', steps: [{ type: '', expect: '#' }], timeoutMs: 500 },
    ],
  })
})

const [first, second] = whole.tests
test.each([
  [[], '[]; expected an object'],
  [
    { ...whole, test: [] },
    "there is no test; did you mean 'tests'?; expected about, machine, boot, ready, prompt, enter, bootTimeout, timeout, tests",
  ],
  [{ ...whole, machine: { kernal: 'x' } }, "machine.kernal: there is no such option; did you mean 'kernel'?"],
  [{ ...whole, machine: 1 }, 'machine: 1; expected an object'],
  [{ ...whole, machine: {} }, 'machine: nothing to run; give a disk image, --kernel FILE'],
  [{ ...whole, machine: { kernel: 'x', cpus: 1.5 } }, 'machine.cpus: --cpus 1.5'],
  [{ ...whole, machine: { kernel: 'x', disks: 'x' } }, 'machine.disks: "x"; expected a list'],
  [
    { ...whole, machine: { kernel: 'x', device: [{ name: 'e1000', mc: 1 }] } },
    "machine.device[0].mc: there is no such option; did you mean 'mac'?",
  ],
  [
    { ...whole, machine: { kernel: 'x', serial: 'stdio' } },
    "machine.serial: a test's machine has one output, its first serial port; leave it out",
  ],
  [
    { ...whole, machine: { kernel: 'x', share: '.' } },
    'machine.share: a test begins anew, and what it shares with the host would not; leave it out',
  ],
  [{ ...whole, machine: { kernel: 'x', timeout: 5 } }, 'machine.timeout: it is of a run, and not of its machine'],
  [
    { ...whole, machine: { kernel: 'x', arch: 'arm64', vapic: true } },
    'machine: --vapic is not there for --arch arm64',
  ],
  [{ ...whole, boot: [{ press: 'Esc' }] }, "boot[0].press: key 'Esc': expected a name as in KeyboardEvent.code"],
  [{ ...whole, enter: 'x' }, 'enter: "x"; expected "\\n", "\\r" or "\\r\\n"'],
  [{ ...whole, tests: [{ name: 'a', type: 'b' }] }, 'tests[0]: nothing that is looked at; expected expect, screen or'],
  [
    { ...whole, tests: [{ name: 'a', screenshot: '../a.png' }] },
    'tests[0].screenshot: "../a.png"; expected the name of',
  ],
  [{ ...whole, tests: [{ ...first, steps: [] }] }, 'tests[0]: type beside steps; expected either of them'],
  [{ ...whole, machine: { kernel: 'x', cpu: 'help' } }, "machine: help is not there; see 'retrap run --help'"],
  [{ ...whole, ready: '' }, 'ready: empty; expected one character or more'],
  [{ ...whole, ready: undefined }, 'ready: not there; expected a text'],
  [{ ...whole, timeout: 0 }, 'timeout: 0; expected seconds, above 0 and up to 2000000'],
  [{ ...whole, tests: [] }, 'tests: empty; expected one test or more'],
  [{ ...whole, tests: [first, { ...second, expect: 7 }] }, 'tests[1].expect: 7; expected a text'],
  [
    { ...whole, tests: [{ ...first, type: 'a\nb' }] },
    'tests[0].type: more than one line; expected one line, without its end',
  ],
  [{ ...whole, tests: [first, first] }, "tests[1].name: 'one' again; expected another name"],
])('%j is refused', async (given, message) => {
  writeFileSync(path, JSON.stringify(given))
  const error = await readPlan(path).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: 'ERR_INPUT' })
  expect((error as Error).message.replace(`${path}: `, '')).toContain(message)
})

test('that is no JSON, or is not there, is refused', async () => {
  writeFileSync(path, '{ "machine": ')
  await expect(readPlan(path)).rejects.toMatchObject({ code: 'ERR_INPUT', message: /tests\.json: not valid JSON: / })
  await expect(readPlan(join(folder, 'none'))).rejects.toMatchObject({
    code: 'ERR_INPUT',
    message: /none: there is no such file/,
  })
})
