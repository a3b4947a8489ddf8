import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { P2mLeaf } from '@retrap/p2m'
import { describe, expect, test } from 'vitest'
import { runCli } from '../../src/cli.ts'
import { FakeHost } from '../support/fake-machine.ts'
import { runFake } from '../support/run-fake.ts'
import { runHere } from '../support/in-process.ts'

const leaf = (gfn: number, mfn: number, order = 0, type = 0, rights = 7): P2mLeaf => ({
  gfn,
  mfn,
  type,
  order,
  rights,
  access: 0,
})

async function listing(leaves: readonly P2mLeaf[], ...args: string[]): Promise<string[]> {
  const host = new FakeHost(async () => ({ reason: 'power-off' }))
  host.leaves = leaves
  expect([await runCli(['p2m', ...args], host), host.stderr.text]).toEqual([0, ''])
  return host.stdout.text.trimEnd().split('\n').slice(1)
}

describe('a map as text', () => {
  test('a line is a run of one type in consecutive machine frames, with the leaves that it is made of', async () => {
    const leaves = [
      ...Array.from({ length: 0x200 }, (_, i) => leaf(0x200 + i, 0x1200 + i)),
      leaf(0x400, 0x1400, 9),
      leaf(0x600, 0x3000, 9),
      leaf(0x800, 0x3200, 9, 3, 5),
      leaf(0x4_0000, 0x4_0000, 18),
    ]
    expect(await listing(leaves)).toEqual([
      '0x00200000-0x005fffff        0x01200000      4 MiB  ram_rw          rwx  1 of 2M, 512 of 4K',
      '0x00600000-0x007fffff        0x03000000      2 MiB  ram_rw          rwx  1 of 2M',
      '0x00800000-0x009fffff        0x03200000      2 MiB  ram_ro          r-x  1 of 2M',
      '0x40000000-0x7fffffff        0x40000000      1 GiB  ram_rw          rwx  1 of 1G',
      'in all: ram_rw 1030 MiB, ram_ro 2 MiB; leaves: 1 of 1G, 3 of 2M, 512 of 4K',
      'tables: 20 KiB, the top one at MA 0x00001000',
    ])
  })

  test('one machine frame under many guest frames is one line, holes that a leaf says are as well', async () => {
    const leaves = [leaf(0xc0, 7), leaf(0xc1, 7), leaf(0xc2, 7), leaf(0xc3, 8), leaf(0xc4, -1, 0, 1, 0)]
    leaves.push(leaf(0xc5, -1, 0, 1, 0))
    const lines = await listing(leaves)
    expect(lines.slice(0, 3)).toEqual([
      '0x000c0000-0x000c2fff        0x00007000     12 KiB  ram_rw          rwx  3 of 4K, one frame',
      '0x000c3000-0x000c3fff        0x00008000      4 KiB  ram_rw          rwx  1 of 4K',
      '0x000c4000-0x000c5fff        -               8 KiB  invalid         ---  2 of 4K',
    ])
  })

  test('--leaves has a line for each, --start and --stop cut a part out', async () => {
    const leaves = [leaf(1, 1), leaf(2, 2), leaf(3, 3), leaf(4, 4)]
    const lines = await listing(leaves, '--leaves', '--start', '0x2000', '--stop', '0x4000')
    expect(lines.map((line) => line.slice(0, 21))).toEqual([
      '0x00002000-0x00002fff',
      '0x00003000-0x00003fff',
      'in all: ram_rw 8 KiB;',
      'tables: 20 KiB, the t',
    ])
    expect((await listing(leaves, '--start', '0x5000'))[0]).toBe('nothing is mapped: there are only holes')
  })

  test('--after runs the machine for so long, or until it ends, and keeps what it prints to itself', async () => {
    const host = new FakeHost(async ({ print }) => {
      print('Hello')
      return { reason: 'power-off' }
    })
    expect(await runCli(['p2m', '--after', '2', '--memory', '1G', '--hypervisor', 'xen'], host)).toBe(0)
    expect(host.timeouts).toEqual([2000])
    expect(host.created).toMatchObject([{ memoryBytes: 2 ** 30, firmware: host.embeddedGuest(), hypervisor: 'xen' }])
    expect(host.stdout.text).not.toContain('Hello')
  })

  test('a kernel is loaded as by run', async () => {
    const file = join(tmpdir(), `retrap-p2m-${process.pid}`)
    await writeFile(file, 'image')
    const image = new TextEncoder().encode('image')
    expect(await runFake('p2m', '--kernel', file, '--initrd', file, '--append', 'quiet')).toMatchObject({
      code: 0,
      created: [{ kernel: image, initrd: image, commandLine: 'quiet' }],
      timeouts: [],
    })
  })

  test.each([
    { args: ['--start', '0x2000', '--stop', '0x2000'], says: 'give a --start below --stop' },
    { args: ['--start', '0x1000000000000'], says: 'below 0x1000000000000' },
    { args: ['--start', 'here'], says: "--start 'here' is not an address" },
    { args: ['--after', '0'], says: "--after '0' is not a time" },
    { args: ['--append', 'quiet'], says: 'give --kernel FILE' },
    { args: ['--debian', '--firmware', 'x'], says: '--debian brings a kernel of its own' },
  ])('$args: $says', async ({ args, says }) => {
    const stderr = expect.stringContaining(says) as string
    expect(await runFake('p2m', ...args)).toMatchObject({ code: 2, stderr, created: [] })
  })
})

test('a PC has its RAM in large leaves, but for the part that firmware lies over, and few tables', async () => {
  const { code, stdout } = await runHere(['p2m', '--memory', '3G'], { deadlineMs: 100_000 })
  const lines = stdout.trimEnd().split('\n').slice(1)
  const ends = lines.flatMap((line) => {
    const [, start, end] = /^0x([0-9a-f]+)-0x([0-9a-f]+) /.exec(line) ?? []
    return start === undefined || end === undefined ? [] : [[parseInt(start, 16), parseInt(end, 16)] as const]
  })
  expect(ends.every(([start], i) => i === 0 || start > (ends[i - 1]?.[1] ?? Infinity))).toBe(true)
  expect(code).toBe(0)
  const ram = lines.filter((line) => line.includes(' ram_rw ')).join('\n')
  expect(ram).toMatch(/2 GiB +ram_rw +rwx +2 of 1G/)
  expect(lines.at(-2)).toMatch(/^in all: ram_rw 3071\.63 MiB, ram_ro 320 KiB; leaves: 2 of 1G, 511 of 2M, 496 of 4K$/)
  expect(Number(/^tables: (\d+) KiB/.exec(lines.at(-1) ?? '')?.[1])).toBeLessThanOrEqual(32)
})

test('of an Arm machine there is a map too, of what is named', async () => {
  const host = new FakeHost(async () => ({ reason: 'power-off' }))
  const kernel = join(tmpdir(), `retrap-p2m-${process.pid}`)
  await writeFile(kernel, 'kernel')
  expect(await runCli(['p2m', '--arch', 'arm64', '--kernel', kernel], host)).toBe(0)
  expect(host.created[0]).toMatchObject({ architecture: 'arm64' })
  expect(await runCli(['p2m', '--arch', 'arm64', '--hypervisor', 'xen', '--kernel', kernel], host)).toBe(0)
  expect(host.created[1]).toMatchObject({ architecture: 'arm64', hypervisor: 'xen' })
  expect(await runCli(['p2m', '--arch', 'arm64'], host)).not.toBe(0)
  expect(host.stderr.text).toContain('give --kernel, --firmware or --debian for --arch arm64')
})
