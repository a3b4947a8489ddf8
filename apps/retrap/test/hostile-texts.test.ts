// Texts that give a terminal orders, and look like messages of ours: in the name of a file, and in each of its texts, for each command.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ClusterRun, writeClusterRun } from '@retrap/cluster'
import { buildGuestImage } from '@retrap/embedded-guest'
import { RecordingWriter } from '@retrap/recording'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { writeSnapshotFile } from '@retrap/linux-guest/machine/snapshots/snapshot-file'
import { elfFile, peFile } from './support/executables.ts'
import { runHere } from './support/in-process.ts'

const H = '\u001b[2J\u009b31m\r\nretrap: fine\nretrap: fine\rretrap: fine\u202e\u2028\u007f'
const folder = temporaryFolder('hostile')
const LIMIT = { deadlineMs: 60_000 }
let files = 0
const newPath = (): string => join(folder, `${files++}${H}.json`)

function file(bytes: string | Uint8Array): string {
  const path = newPath()
  writeFileSync(path, bytes)
  return path
}

/** Copies of a value: each has another text, or another name of a field, that is hostile. */
function poisoned(value: unknown): unknown[] {
  if (typeof value === 'string') return [value + H]
  if (typeof value !== 'object' || value === null) return []
  if (Array.isArray(value)) return value.flatMap((part, i) => poisoned(part).map((bad) => value.with(i, bad)))
  return Object.entries(value).flatMap(([key, part]) => [
    { ...value, [key]: undefined, [key + H]: part },
    ...poisoned(part).map((bad) => ({ ...value, [key]: bad })),
  ])
}
const inJson = (value: unknown): string[] => poisoned(value).map((bad) => file(JSON.stringify(bad)))

const NOTES = { version: 1, arguments: ['run', '--kernel', 'none'], savedAt: 'now' }
const noted = (write: (about: unknown) => Promise<string>): Promise<string[]> => Promise.all(poisoned(NOTES).map(write))

async function recording(about: unknown): Promise<string> {
  const parts: Uint8Array[] = []
  await new RecordingWriter((bytes) => parts.push(bytes.slice()), { about }).end()
  return file(Buffer.concat(parts))
}

async function snapshot(about: unknown): Promise<string> {
  const [path, pages] = [newPath(), { gfns: new Uint32Array(), bytes: new Uint8Array() }]
  await writeSnapshotFile(path, about as Parameters<typeof writeSnapshotFile>[1], { state: {}, pages })
  return path
}

async function clusterRun(): Promise<string[]> {
  const machines = [{ name: H, number: 0, starts: [{ ns: 0, until: 5, offsets: [{ ns: 0, offset: 0 }] }] }]
  const kinds = ['output', 'report', 'ended', 'fault', 'machine', 'phase']
  const run = {
    ...{ seed: 1, branch: 0, ns: 5, failure: H, faults: [], machines },
    description: { machines, network: { latency: 1, links: [] }, faults: { for: 1, heal: 1 }, limit: 9 },
    events: kinds.map((kind) => ({ ns: 1, kind, machine: H, text: H })),
    frames: [{ from: 0, to: 0, sent: 1, arrives: 2, causes: [], bytes: new Uint8Array(60).fill(27) }],
  }
  const parts: Uint8Array[] = []
  await writeClusterRun(run as unknown as ClusterRun, [], (bytes) => parts.push(bytes.slice()))
  return [file(Buffer.concat(parts))]
}

async function image(): Promise<string[]> {
  const path = newPath()
  await runHere(['image', 'create', '-f', 'qcow2', '-u', '-b', H, '-F', 'raw', path, '1M'], LIMIT)
  return [path]
}

const CODE = [0xe8, 0, 0, 0, 0, 0xc3]
const ELF = elfFile(64, CODE, [{ name: H, value: 0x401000, size: 6, info: 0x12 }])
const DEVICE = `exec:node ${fileURLToPath(new URL('support/raw-device.mjs', import.meta.url))} 'forges a fault'`
const MACHINE = { kernel: 'none', append: 'a', nic: ['user'], drive: ['file=none'], device: ['edu'] }
const CLUSTER = {
  machines: [{ name: 'a', image: './none', command: ['b'] }],
  faults: { crash: { every: '1s', for: '1s' } },
}
const PLAN = { seed: 1, branch: 0, failure: 'a', faults: [{ kind: 'crash', at: 1, for: 1, machines: ['a'] }] }
const TESTS = { machine: { firmware: 'none' }, ready: 'a', tests: [{ name: 'b', type: 'c', expect: 'd' }] }
const FAILING = { machine: { firmware: 'guest' }, ready: 'retrap> ', tests: [{ name: H, type: 'echo', expect: H }] }
writeFileSync(join(folder, 'guest'), buildGuestImage())
writeFileSync(join(folder, 'cluster'), JSON.stringify(CLUSTER))

/** Command lines, with a place for a file, and the files. */
const LINES: readonly (readonly [line: string, paths: () => readonly string[] | Promise<readonly string[]>])[] = [
  ['run @', () => inJson(MACHINE)],
  ['run --kernel @', () => [newPath()]],
  ['run --device @', () => [H]],
  ['linux --package @', () => [H]],
  ['qemu -M @ -device @', () => [H]],
  ['restore @', () => noted(snapshot)],
  ['replay @', () => noted(recording)],
  ...['info', 'info --output=json', 'info --backing-chain', 'map'].map((name) => [`image ${name} @`, image] as const),
  ['device-check @ --timeout 0.3 --trace', () => [DEVICE]],
  ['disasm @', () => [ELF, peFile(CODE, H)].map(file)],
  ['walk @ 0', () => [newPath()]],
  ['p2m --kernel @', () => [newPath()]],
  [`test --out ${folder} @`, () => [...inJson(TESTS), file(JSON.stringify(FAILING))]],
  ...['', ' --jsonl', ' --frames', ' --frame 0', ' --machine x'].map(
    (more) => [`cluster replay @${more}`, clusterRun] as const,
  ),
  ['crash-test --work a --check b --image @', () => [H]],
  ['cluster run @', () => inJson(CLUSTER)],
  ['cluster explore @ --branches 1', () => inJson(CLUSTER)],
  [`cluster run ${folder}/cluster --plan @`, () => inJson(PLAN)],
]
/** Commands that read no file, or print for programs; web and site read as replay does; exec is another program. */
const OTHERS = 'device-sdk device-server esr kernels layers migrate help mcp dap web site exec'.split(' ')

test('each command is here', async () => {
  const [list = ''] = (await runHere(['--help'], LIMIT)).stdout.split('\nExit')
  const commands = [...list.matchAll(/^ {2}([a-z][\w-]*) /gm)].map(([, name]) => name!)
  expect(new Set([...OTHERS, ...LINES.map(([line]) => line.split(' ')[0])])).toEqual(new Set(commands))
})

test.each(LINES)('%s gives a terminal no orders, and forges no message', { timeout: 240_000 }, async (line, paths) => {
  let shown = ''
  for (const path of await paths()) {
    const words = line.split(' ').map((word) => (word === '@' ? path : word))
    const { stdout, stderr } = await runHere(words, LIMIT)
    shown += `${stdout}\n${stderr}`
    expect(shown).not.toMatch(/(?!\r\n)[^\P{Cc}\n\t]|[\p{Cf}\u2028\u2029]|^ *retrap: fine/mu)
    if (line.includes('json')) for (const one of stdout.split(/\n(?=[{\n])/)) JSON.parse(one)
  }
  expect(shown).toContain('fine')
})
