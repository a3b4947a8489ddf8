/** `retrap test` with the embedded guest. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { buildGuestImage } from '@retrap/embedded-guest'
import { framePacket } from '@retrap/gdb'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { runHere } from '../support/in-process.ts'

const folder = temporaryFolder('tests')
const [plan, out, xml] = ['tests.json', 'out', 'results.xml'].map((name) => join(folder, name)) as [
  string,
  string,
  string,
]
writeFileSync(join(folder, 'guest.bin'), buildGuestImage())
writeFileSync(join(folder, 'disk'), new Uint8Array(512))
writeFileSync(
  plan,
  JSON.stringify({
    machine: {
      ...{ firmware: 'guest.bin', memory: '16M', disks: ['disk'], drive: { file: 'disk', if: 'virtio' } },
      ...{ nic: { kind: 'user', model: 'e1000' }, device: ['isa-debug-exit', { name: 'pci-testdev', addr: 9 }] },
    },
    ready: 'retrap> ',
    tests: [
      { name: 'echo prints', type: 'echo one', expect: 'one' },
      { name: 'echo lies', type: 'echo two', expect: 'three' },
      { name: 'off ends it', type: 'off', expect: 'x' },
      ...['8086:100e', '1af4:1001', '1b36:0005'].map((id) => ({ name: `has ${id}`, type: 'devices', expect: id })),
      { name: 'begins anew', type: 'echo three', expect: 'three' },
    ],
  }),
)
const NOT_BUNDLED =
  'a bundle: models of your own, vsocks, and devices in other threads are made by their program alone; leave them or the bundle out'
/** The host may be busy. */
const LIMIT = { deadlineMs: 300_000 }
const SLOW = { timeout: 600_000 }

test('reports what passes and fails, in three forms, and gdb opens what has failed', SLOW, async () => {
  const run = await runHere(['test', plan, '--out', out, '--junit', xml], LIMIT)
  expect(run.code).toBe(1)
  const folderOf = (name: string): string => join(out, 'tests-json', name)
  expect(run.stdout.replace(/\d+\.\d s\)/g, 'N s)').split('\n')).toEqual([
    'ok     echo prints (N s)',
    'FAILED echo lies (N s)',
    `       expected "three" in what 'echo two' prints`,
    '       The guest has printed:',
    '       echo two',
    '       two',
    '       retrap>',
    `       Its screen: ${join(folderOf('echo-lies'), 'screen.png')}`,
    `       Its run is recorded. A page does not open it: ${NOT_BUNDLED}.`,
    '       For gdb:',
    `         retrap test ${plan} --gdb ${folderOf('echo-lies')}`,
    'FAILED off ends it (N s)',
    '       the machine has ended (power-off) before "retrap> " has come',
    '       The guest has printed:',
    '       off',
    '       Power off.',
    `       Its screen: ${join(folderOf('off-ends-it'), 'screen.png')}`,
    `       Its run is recorded. A page does not open it: ${NOT_BUNDLED}.`,
    '       For gdb:',
    `         retrap test ${plan} --gdb ${folderOf('off-ends-it')}`,
    'ok     has 8086:100e (N s)',
    'ok     has 1af4:1001 (N s)',
    'ok     has 1b36:0005 (N s)',
    'ok     begins anew (N s)',
    '',
  ])
  expect(readFileSync(xml, 'utf8')).toMatch(/<testsuites tests="7" failures="2" errors="0"/)
  expect(readFileSync(join(folderOf('echo-lies'), 'serial.txt'), 'utf8')).toContain('two')
  expect(existsSync(folderOf('echo-prints'))).toBe(false)

  const page = await runHere(['web', '--recording', folderOf('echo-lies')], LIMIT)
  expect([page.code, page.stderr]).toEqual([
    74,
    expect.stringContaining('a page opens recordings that have their machine'),
  ])

  let attached: Promise<string> | undefined
  const shown = await runHere(['test', plan, '--gdb', folderOf('echo-lies')], {
    ...LIMIT,
    onError: (text) => {
      const port = /target remote 127\.0\.0\.1:(\d+)/.exec(text)?.[1]
      if (port !== undefined) attached ??= stepBack(Number(port))
    },
  })
  expect(shown.code).toBe(0)
  expect(await attached).toMatch(/\$T05/)
})

test('TAP, some of the tests, and mistakes', SLOW, async () => {
  const tap = await runHere(['test', plan, '--tap', '--filter', 'anew', '--out', out], LIMIT)
  expect([tap.code, tap.stdout.replace(/duration_ms: \d+/, 'duration_ms: N')]).toEqual([
    0,
    'TAP version 14\n1..1\nok 1 - begins anew\n  ---\n  duration_ms: N\n  ...\n',
  ])
  for (const [args, code, message] of [
    [['--filter', 'none'], 2, '--filter none: no test has this in its name'],
    [['--gdb', folder], 74, `--gdb ${folder} has no run.recording`],
    [['--gdb', folder, '--gdb-port', '70000'], 2, '--gdb-port 70000: expected 0 to 65535'],
  ] as const) {
    const run = await runHere(['test', plan, ...args], LIMIT)
    expect([run.code, run.stderr]).toEqual([code, expect.stringContaining(message)])
  }
})

/** Attaches as gdb, and goes back one instruction. @returns what was answered */
function stepBack(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(framePacket('bs')))
    let text = ''
    socket.on('data', (bytes) => {
      text += bytes.toString()
      if (text.includes('$T05')) socket.destroy()
    })
    socket.on('close', () => resolve(text))
    socket.on('error', reject)
  })
}
