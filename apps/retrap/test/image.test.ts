import { EventEmitter } from 'node:events'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openImage } from '@retrap/block/node'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { Program, runProgram } from '../src/commands/command-line.ts'
import { addImage } from '../src/commands/image/command.ts'
import { formatSize, parseOptions, parseSize } from '../src/machine/drives/formats.ts'

const folder = temporaryFolder('image')
let files = 0
const newPath = (extension: string): string => join(folder, `${files++}.${extension}`)
const MIB = 1 << 20

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Runs `retrap image`. */
async function image(...args: string[]): Promise<Ran> {
  let [out, err, code] = ['', '', 0]
  const outputs = {
    stdout: Object.assign(new EventEmitter(), { write: (text: string | Uint8Array) => (out += String(text)) }),
    stderr: { write: (text: string) => (err += text) },
  }
  const program = new Program(outputs)
  addImage(program, outputs.stdout, (result) => {
    code = result
  })
  const ended = await runProgram(program, ['image', ...args], outputs)
  return { code: ended === 0 ? code : ended, out, err }
}

/** The same, which has to succeed. @returns what it prints */
async function done(...args: string[]): Promise<string> {
  const ran = await image(...args)
  expect(ran).toMatchObject({ code: 0, err: '' })
  return ran.out
}

const hasQemuImg = hasProgram('qemu-img')
const note = skipNote(hasQemuImg, 'there is no qemu-img')

function qemuImg(...args: string[]): string {
  const run = spawnSync('qemu-img', args, { encoding: 'utf8' })
  expect([run.status, run.stderr]).toEqual([0, ''])
  return run.stdout
}

/** A disk with data that compresses, data that does not, and holes. */
function disk(bytes = 4 * MIB): Buffer {
  const content = Buffer.alloc(bytes)
  content.fill('all work and no play ', 0, MIB)
  for (let i = 0; i < MIB / 2; i++) content[2 * MIB + i] = Math.imul(i, 2_654_435_761) >>> 23
  content.fill(7, 3 * MIB + 4096, 3 * MIB + 8192)
  return content
}

function raw(content: Buffer = disk()): string {
  const path = newPath('raw')
  writeFileSync(path, content)
  return path
}

describe('sizes', () => {
  test.each([
    ['512', 512],
    ['64k', 65_536],
    ['1.5M', 1_572_864],
    ['20G', 20 * 1024 ** 3],
    ['2TiB', 2 * 1024 ** 4],
  ])('%s', (text, bytes) => expect(parseSize(text)).toBe(bytes))
  test.each(['', 'G', '-1', '1x', '99999999999G', '0.3'])("'%s' is refused", (text) => {
    expect(() => parseSize(text)).toThrow('is not a size')
  })
  test.each([
    [0, '0 B'],
    [393_216, '384 KiB'],
    [4 * MIB, '4 MiB'],
    [1_590_000, '1.52 MiB'],
  ])('%d is %s', (bytes, text) => expect(formatSize(bytes)).toBe(text))
})

describe('-o', () => {
  test('reads all options', () => {
    expect(parseOptions('cluster_size=4k,compat=0.10,refcount_bits=16,lazy_refcounts=off,size=1M', 'qcow2')).toEqual({
      clusterBytes: 4096,
      version: 2,
      refcountBits: 16,
      lazyRefcounts: false,
      bytes: MIB,
    })
  })
  test.each([
    { text: 'cluster_sise=4k', format: 'qcow2', message: "did you mean 'cluster_size'?" },
    { text: 'cluster=4k', format: 'qcow2', message: "-o has no 'cluster'; it has cluster_size" },
    { text: 'compat=0.10,lazy_refcounts=on', format: 'qcow2', message: 'lazy_refcounts=on needs compat=1.1' },
    { text: 'refcount_bits=8,compat=v2', format: 'qcow2', message: 'refcount_bits=8 needs compat=1.1' },
    { text: 'compat=1.0', format: 'qcow2', message: 'compat=1.0 is unknown' },
    { text: 'refcount_bits=3', format: 'qcow2', message: 'refcount_bits=3: there are 1, 2, 4, 8, 16, 32, 64' },
    { text: 'cluster_size=4k', format: 'raw', message: "a raw image has no option 'cluster_size'" },
  ] as const)('$text is refused', ({ text, format, message }) => {
    expect(() => parseOptions(text, format)).toThrow(message)
  })
})

describe('mistakes', () => {
  test.each([
    { args: ['create', 'x.raw'], message: 'the new image needs a size' },
    { args: ['create', '-f', 'vmdk', 'x', '1M'], message: "there is no format 'vmdk'; there are raw and qcow2" },
    { args: ['create', '-f', 'qcow2', '-b', 'x', 'y'], message: '-b x: give its format too' },
    { args: ['create', '-b', 'x', '-F', 'raw', 'y'], message: 'a raw image has no file below' },
    { args: ['convert', '-c', '/dev/null', 'y'], message: '-c: a raw image cannot be compressed' },
    { args: ['convert', '-O', 'qcow2', '-o', 'backing_file=x', '/dev/null', 'y'], message: 'holds everything itself' },
    { args: ['frobnicate'], message: "unknown command 'frobnicate'" },
  ])('$args', async ({ args, message }) => {
    const { code, err } = await image(...args)
    expect(code).toBe(2)
    expect(err).toContain(message)
  })

  test('a file that is absent, or is also the target', async () => {
    expect(await image('info', join(folder, 'absent'))).toMatchObject({ code: 74 })
    const path = raw()
    expect((await image('convert', path, path)).err).toContain('it is the same file')
    expect(readFileSync(path).equals(disk())).toBe(true)
    expect((await image('create', '-f', 'qcow2', '-b', path, '-F', 'raw', path)).err).toContain('it is the same file')
  })

  test.each([
    { args: ['create', '-f', 'qcow2', '-o', 'cluster_size=1000'], size: '1G' },
    { args: ['create', '-f', 'qcow2', '-o', 'cluster_size=512'], size: '1T' },
    { args: ['create', '-f', 'qcow2', '-o', 'compat=0.10,refcount_bits=8'], size: '1G' },
  ])('$args $size costs no file that is there', async ({ args, size }) => {
    const path = raw()
    expect((await image(...args, path, size)).code).not.toBe(0)
    expect(readFileSync(path).equals(disk())).toBe(true)
    const absent = newPath('img')
    expect((await image(...args, absent, size)).code).not.toBe(0)
    expect(existsSync(absent)).toBe(false)
  })

  test('commit leaves a file alone that a machine has open', async () => {
    const base = newPath('raw')
    const top = newPath('qcow2')
    writeFileSync(base, Buffer.alloc(1024, 1))
    await done('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', top, '1M')
    const machine = await openImage(base)
    expect((await image('commit', top)).err).toContain('another machine has it open')
    expect(readFileSync(base)).toHaveLength(1024)
    await machine.close()
    await done('commit', '-q', top)
    expect(readFileSync(base).equals(Buffer.concat([Buffer.alloc(1024, 1), Buffer.alloc(MIB - 1024)]))).toBe(true)
  })

  test('convert and create leave a file alone that is below the disk of a machine', async () => {
    const [base, overlay, other] = [newPath('img'), newPath('qcow2'), newPath('img')]
    writeFileSync(base, disk())
    writeFileSync(other, new Uint8Array(MIB))
    await done('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', overlay)
    const open = await openImage(overlay, { format: 'qcow2' })
    for (const args of [
      ['convert', '-O', 'raw', other, base],
      ['create', '-f', 'raw', base, '1M'],
    ]) {
      expect(await image(...args)).toMatchObject({ code: 74, err: expect.stringContaining('another machine reads it') })
    }
    await open.close()
    expect(readFileSync(base).equals(disk())).toBe(true)
  })

  test('an image that is qcow2 by its content alone names no file to write to', async () => {
    const base = raw()
    const path = newPath('img')
    await done('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', path)
    for (const command of ['commit', 'map']) {
      expect((await image(command, path)).err).toContain('give -f qcow2')
    }
    expect((await image('convert', path, newPath('raw'))).err).toContain('give -f qcow2')
    await done('map', '-f', 'qcow2', path)
  })
})

describe.runIf(hasQemuImg)(`agrees with qemu-img${note}`, () => {
  test.each([
    [],
    ['-o', 'cluster_size=4k,refcount_bits=64'],
    ['-o', 'compat=0.10'],
    ['-o', 'lazy_refcounts=on', '-o', 'cluster_size=2M'],
  ])('create and info: %s %s', async (...options) => {
    const [ours, theirs] = [newPath('qcow2'), newPath('qcow2')]
    await done('create', '-f', 'qcow2', ...options, ours, '10G')
    qemuImg('create', '-f', 'qcow2', ...options, theirs, '10G')
    for (const path of [ours, theirs]) {
      const said = JSON.parse(qemuImg('info', '--output', 'json', path)) as object
      expect(JSON.parse(await done('info', '--output', 'json', path))).toEqual(said)
      const text = qemuImg('info', path).split('\n').sort()
      expect(
        (await done('info', path))
          .split('\n')
          .filter((line) => !text.includes(line) && !/^ +(lazy|corrupt|ext)/.test(line)),
      ).toEqual([])
      expect(JSON.parse(await done('check', '--output', 'json', path))).toMatchObject({
        'total-clusters': (10 * 1024 ** 3) / (said as { 'cluster-size': number })['cluster-size'],
      })
    }
  })

  test.each([
    { options: ['-O', 'qcow2'] },
    { options: ['-O', 'qcow2', '-c'] },
    { options: ['-O', 'qcow2', '-c', '-o', 'cluster_size=4k'] },
    { options: ['-O', 'qcow2', '-c', '-o', 'refcount_bits=1'] },
    { options: ['-O', 'qcow2', '-c', '-o', 'cluster_size=2M'] },
    { options: ['-O', 'raw'] },
  ])('convert $options, in both directions', async ({ options }) => {
    const source = raw(disk(5 * MIB + 1024))
    const [ours, theirs] = [newPath('img'), newPath('img')]
    const out = await done('convert', '-p', ...options, source, ours)
    expect(out.endsWith('(100.00/100%)\n')).toBe(true)
    qemuImg('compare', source, ours)
    if (options.includes('qcow2')) qemuImg('check', ours)
    // As dense as what qemu-img makes.
    qemuImg('convert', ...options, source, theirs)
    const size = (path: string): number =>
      (JSON.parse(qemuImg('info', '--output', 'json', path)) as { 'actual-size': number })['actual-size']
    expect(size(ours)).toBeLessThan(size(theirs) * 1.1 + 70_000)
    const back = newPath('raw')
    await done('convert', theirs, back)
    expect(readFileSync(back).equals(readFileSync(source))).toBe(true)
  })

  test('map, commit and convert of a chain', async () => {
    const [base, middle, top] = [newPath('qcow2'), newPath('qcow2'), newPath('qcow2')]
    await done('convert', '-q', '-O', 'qcow2', raw(), base)
    await done('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', middle)
    qemuImg('create', '-q', '-f', 'qcow2', '-b', middle, '-F', 'qcow2', top, '6M')
    for (const [path, command] of [
      [middle, 'write -P 1 100k 200k'],
      [middle, 'write -z 2M 256k'],
      [top, 'write -P 2 200k 64k'],
      [top, 'write -P 3 5M 64k'],
    ] as const) {
      expect(spawnSync('qemu-io', ['-f', 'qcow2', '-c', command, path]).status).toBe(0)
    }
    expect(JSON.parse(await done('map', '--output', 'json', top))).toEqual(
      JSON.parse(qemuImg('map', '--output', 'json', top)),
    )
    expect(await done('map', top)).toBe(qemuImg('map', top))
    const chain = JSON.parse(await done('info', '--backing-chain', '--output', 'json', top)) as object[]
    expect(chain).toEqual(JSON.parse(qemuImg('info', '--backing-chain', '--output', 'json', top)))
    const flat = newPath('raw')
    qemuImg('convert', top, flat)
    const ours = newPath('raw')
    await done('convert', top, ours)
    expect(readFileSync(ours).equals(readFileSync(flat))).toBe(true)
    // The middle one goes into the base, which shows the same through it.
    const shown = newPath('raw')
    qemuImg('convert', middle, shown)
    expect(await done('commit', middle)).toBe('Image committed.\n')
    qemuImg('compare', base, shown)
    qemuImg('check', base)
    qemuImg('check', middle)
    qemuImg('compare', top, flat)
    expect((await image('commit', top)).err).toContain('it is smaller than')
  })

  test('check finds what qemu-img finds, and repairs it', async () => {
    const path = newPath('qcow2')
    await done('convert', '-q', '-O', 'qcow2', raw(), path)
    expect(await done('check', path)).toContain('No errors were found on the image.')
    const whole = readFileSync(path)
    // The only block of counts is the third cluster.
    const countAt = (cluster: number): number => 2 * 65_536 + 2 * cluster
    for (const { cluster, count, code, repair, repaired } of [
      { cluster: whole.length / 65_536, count: 1, code: 3, repair: 'leaks', repaired: '1 leaks, 0 errors' },
      { cluster: 5, count: 0, code: 2, repair: 'all', repaired: '0 leaks, 2 errors' },
      { cluster: 6, count: 2, code: 2, repair: 'all', repaired: '1 leaks, 1 errors' },
    ]) {
      const bytes = Buffer.concat([whole, Buffer.alloc(65_536)])
      bytes.writeUInt16BE(count, countAt(cluster))
      writeFileSync(path, bytes)
      expect(spawnSync('qemu-img', ['check', path]).status).toBe(code)
      expect(await image('check', path)).toMatchObject({ code })
      expect(await image('check', '-r', repair, path)).toMatchObject({
        code: 0,
        out: expect.stringContaining(`\nRepaired: ${repaired}.\nNo errors were found on the image.\n`),
      })
      qemuImg('check', path)
    }
  })
})
