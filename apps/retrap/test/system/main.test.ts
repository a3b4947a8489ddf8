import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openQcow2 } from '@retrap/block/node'
import { sliced } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { realModeFirmware } from '../support/firmware.ts'
import { retrapCommand, runProgram, runRetrap } from '../support/processes.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const DEADLINE_MS = 60_000

const folder = temporaryFolder('main')

test('an older Node is told which one is needed, before anything else is loaded', async () => {
  const older = 'Object.defineProperty(process.versions, "node", { value: "20.19.0" })'
  const args = ['--import', `data:text/javascript,${encodeURIComponent(older)}`, MAIN, '--version']
  const { code, stdout, stderr } = await runProgram(process.execPath, args, { deadlineMs: DEADLINE_MS })
  expect(stderr).toMatch(/^retrap: Node 22 or later is needed; this is v\S+\n$/)
  expect([code, stdout]).toEqual([2, ''])
})

/** Runs the command line. @param output - what its stdout is */
function run(args: readonly string[], output: number | 'pipe', error: number | 'pipe' = 'pipe'): Ran {
  const { status, stdout, stderr } = spawnSync(process.execPath, retrapCommand(args), {
    stdio: ['ignore', output, error],
    encoding: 'utf8',
    timeout: DEADLINE_MS,
  })
  return { status, stdout, stderr }
}

interface Ran {
  readonly status: number | null
  readonly stdout: string | null
  readonly stderr: string | null
}

/** Two MiB that do not compress, as a raw image and with an empty image above it. */
function makeImages(): { readonly raw: string; readonly above: string } {
  const [raw, above] = [join(folder, 'disk.raw'), join(folder, 'above.qcow2')]
  if (existsSync(raw)) return { raw, above }
  const content = Buffer.alloc(2 << 20)
  for (let i = 0; i < content.length; i++) content[i] = Math.imul(i, 2_654_435_761) >>> 23
  writeFileSync(raw, content)
  run(['image', 'create', '-q', '-f', 'qcow2', '-b', raw, '-F', 'raw', above], 'pipe')
  return { raw, above }
}

/** Commands that print on stdout without a machine. */
const PRINTING = [
  '--help',
  'image --help',
  '--cpu help',
  'run --schema',
  'image info RAW',
  'image map RAW',
  'image map --output json ABOVE',
  'image check ABOVE',
  'image create -f raw NEW 1M',
  'image convert -p -O qcow2 RAW NEW',
  'image commit -p ABOVE',
  'disasm RAW',
  'esr 0x93800007',
  'walk RAW 0x1000 --cr3 0x1000',
] as const

function argumentsOf(words: string): string[] {
  const { raw, above } = makeImages()
  const files: Readonly<Record<string, string>> = { RAW: raw, ABOVE: above, NEW: join(folder, `${Math.random()}`) }
  return words.split(' ').map((word) => files[word] ?? word)
}

const hasFull = existsSync('/dev/full')

describe.skipIf(!hasFull)('an output that is full is an error of one line', () => {
  test.each(sliced(PRINTING, 3))('%s', (words) => {
    const { status, stderr } = run(argumentsOf(words), openSync('/dev/full', 'w'))
    expect(stderr).toMatch(/^retrap: cannot write the output: ENOSPC[^\n]*\n$/)
    expect(status).toBe(74)
  })

  test('a command does its work all the same', () => {
    const { raw } = makeImages()
    const copy = join(folder, 'copy.raw')
    expect(run(['image', 'convert', '-p', raw, copy], openSync('/dev/full', 'w')).status).toBe(74)
    expect(readFileSync(copy).equals(readFileSync(raw))).toBe(true)
  })

  test('a message that stderr does not take changes no exit code', () => {
    const full = (): number => openSync('/dev/full', 'w')
    expect(run(['--nonsense'], 'pipe', full()).status).toBe(2)
    expect(run(['image', 'info', join(folder, 'none')], 'pipe', full()).status).toBe(74)
    expect(run(['image', 'info', makeImages().raw], full(), full()).status).toBe(74)
  })
})

test.each(['image info RAW', 'image convert -p RAW NEW', 'image map --output json ABOVE', 'esr 0x93800007'])(
  'a reader that went away is no error: %s',
  async (words) => {
    const child = spawn(process.execPath, retrapCommand(argumentsOf(words)), { stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.destroy()
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    const [code] = await once(child, 'close')
    expect([code, stderr]).toEqual([0, ''])
  },
)

describe.skipIf(process.platform === 'win32')('an image for which there is no room is an error of one line', () => {
  test.each([
    'create -f raw TARGET 4M',
    'convert -O raw RAW TARGET',
    'convert -O qcow2 RAW TARGET',
    'convert -c -O qcow2 RAW TARGET',
    'commit TOP',
  ])('image %s', async (words) => {
    const { raw } = makeImages()
    const [target, top] = [join(folder, `${Math.random()}.raw`), join(folder, `${Math.random()}.qcow2`)]
    if (words.startsWith('commit')) {
      writeFileSync(target, new Uint8Array(2 << 20))
      run(['image', 'create', '-q', '-f', 'qcow2', '-b', target, '-F', 'raw', top], 'pipe')
      const image = await openQcow2(top)
      await image.write(1 << 20, new Uint8Array(1 << 20).fill(1))
      await image.close()
    }
    const files: Readonly<Record<string, string>> = { RAW: raw, TARGET: target, TOP: top }
    const command = retrapCommand(['image', ...words.split(' ').map((word) => files[word] ?? word)])
    // No file may have over one MiB (or half of one: shells differ). The host says EFBIG where a full disk is ENOSPC.
    const { status, stderr } = spawnSync('sh', ['-c', 'ulimit -f 1024; exec "$0" "$@"', process.execPath, ...command], {
      encoding: 'utf8',
      timeout: DEADLINE_MS,
    })
    expect(stderr).toBe(`retrap: ${target}: there is no room for it: the host's file: EFBIG\n`)
    expect(status).toBe(74)
  })
})

describe('a device module that throws where nothing catches it ends the run with 70, which no guest can', () => {
  test.each([
    ['an error in its own timer', "setTimeout(() => { throw new Error('too late') }, 100)", 'Error: too late'],
    ['a promise that nobody awaits', "void Promise.reject(new Error('unheard'))", 'Error: unheard'],
    [
      'a value that cannot be printed',
      'setTimeout(() => { throw Object.create(null) }, 100)',
      'a value that cannot be printed',
    ],
  ])('%s', async (_what, statement, said) => {
    const file = join(folder, `${Math.random()}.mjs`)
    await writeFile(file, `export const device = { name: 'mine', attach() { ${statement} } }\n`)
    const image = join(folder, 'loop.bin')
    await writeFile(image, realModeFirmware(['eb fe', 'jmp $']))
    const { code, stderr } = await runRetrap(
      ['run', '--firmware', image, '--memory', '16M', '--timeout', '20', '--device', file],
      { deadlineMs: DEADLINE_MS },
    )
    expect(stderr).toContain('retrap: nothing caught what was thrown, by a device module or by retrap: ')
    expect(stderr).toContain(said)
    expect(code).toBe(70)
  })
})
